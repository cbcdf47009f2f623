//! The node's network: a bridge, a veth a pod, addresses from the node's range, nftables for services, DNS for their names.
//!
//! In: the network document of the node, and what the node sees of its own pods. Out: kernel state. Every step is an
//! "ensure": it may be repeated after a crash at any line. All state of a pod stands in `RUN/net` (a mounted network
//! namespace and a small JSON file), so an agent that starts anew adopts it; [`PodNetwork::shutdown`] leaves nothing.
//!
//! - `rules`, `names`: pure; from documents to an nftables ruleset and to DNS answers
//! - `listeners`: what the node's own programs listen at: such a port is never taken from them
//! - `netns`, `link`, `nft`, `dns`: the kernel and the wire
//! - `pod_network`: what the agent calls

#![forbid(unsafe_code)]

mod dns;
mod error;
mod ipam;
mod link;
mod listeners;
mod names;
mod netns;
mod nft;
mod pod_network;
mod resolv;
mod rules;

pub use error::NetError;
pub use listeners::NodePort;
pub use pod_network::{Attachment, LocalPod, NetConfig, PodNetwork};
