//! Registries: which are asked, and the distribution API as far as pulls and pushes need it.

mod auth;
pub(crate) mod candidates;
pub(crate) mod client;
pub(crate) mod fetch;
pub(crate) mod push;
pub(crate) mod registry;
pub(crate) mod request;
