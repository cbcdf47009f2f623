//! Why the network could not be made so.

use std::io;
use std::path::PathBuf;

/// A failed step. Each step may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A netlink request.
    #[error("cannot {what}")]
    Netlink {
        /// What was asked for.
        what: String,
        /// What the kernel said.
        #[source]
        source: rtnetlink::Error,
    },
    /// A file, a mount, a namespace.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// `nft` refused a ruleset, or is not installed.
    #[error("cannot load the nftables ruleset: {reason}")]
    Nft {
        /// What it said.
        reason: String,
    },
    /// A network document with a range that is none.
    #[error("pod range {value:?} is not an IPv4 network such as 10.42.0.0/24")]
    Range {
        /// The text.
        value: String,
    },
    /// Every address of the range is taken.
    #[error("no address is free in {range}")]
    Exhausted {
        /// The range.
        range: ipnet::Ipv4Net,
    },
    /// A port of the node that the pod wants and that leads elsewhere.
    #[error("cannot open hostport {port}/{protocol}: {reason}")]
    HostPort {
        /// `tcp`, `udp`
        protocol: &'static str,
        /// Its number.
        port: u16,
        /// Who has it.
        reason: String,
    },
    /// The node uses the pods' addresses for something else.
    #[error("pod range {range} is in use: interface {interface} has address {address}")]
    Overlap {
        /// The pods' range.
        range: ipnet::Ipv4Net,
        /// An address in it.
        address: std::net::Ipv4Addr,
        /// The interface that has it.
        interface: String,
    },
    /// The hub has not yet said which range is this node's.
    #[error("the node has no pod range yet")]
    NoRange,
}

impl NetError {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    pub(crate) fn netlink(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let what = what.into();
        move |source| Self::Netlink { what, source }
    }
}
