//! The hub's Kubernetes API: HTTP and TLS around the objects.
//!
//! In: requests of kubectl and of any other client of Kubernetes. Out: objects, lists, Tables, watches, logs and `Status`
//! errors. Handlers only translate: what may be written stands in `gannet-hub-objects` and the pure admission, what is
//! shown in `gannet-hub-table`, which kinds there are in the table of kinds.
//!
//! Invariants: nobody without a certificate of our authority gets more than health and version; a body is read only
//! after its sender was found to be allowed; every body, header and connection count is bounded.

#![forbid(unsafe_code)]

mod accept;
mod alias;
mod auth;
mod decode;
mod discovery;
mod dispatch;
mod figures;
mod logs;
mod query;
mod read;
mod response;
mod route;
mod scale;
mod selector;
mod server;
mod view;
mod watch;
mod write;

pub use figures::{Answers, NodeFigures};
pub use gannet_hub_objects as objects;
pub use logs::{LogOptions, LogStream, PodLogs};
pub use server::{ApiConfig, ApiServer, serve};
