//! The fleet's certificate authority and everything signed by it or by the hub.
//!
//! In: a data folder and the time. Out: the authority, identities (certificate and key), rustls configurations, the
//! name inside a peer's certificate, and the kubeconfig. Invariants: P-256 keys; private files are 0600 and whole or
//! absent, also after a power cut; no clock of its own; rustls only with *ring*, never with a process default.

#![forbid(unsafe_code)]

mod authority;
mod files;
mod identity;
mod kubeconfig;
mod leaf;
mod tls;

pub use authority::{Authority, AuthorityError};
pub use identity::{HUB_ORGANIZATION, Identity, IdentityError, PeerIdentity, peer_identity};
pub use kubeconfig::kubeconfig;
pub use leaf::SanName;
pub use tls::{ClientAuth, TlsError, client_config, server_config};
