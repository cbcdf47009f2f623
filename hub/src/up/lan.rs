//! The network of `gannet up --nodes N`: a bridge, and for each node a network namespace with an address on it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use gannet_protocols_model::Digest;

/// The hub's address on the bridge, and the nodes' behind it. TEST-NET-3 (RFC 5737): nobody routes it.
const PREFIX: [u8; 3] = [203, 0, 113];

/// The network; it goes with this value.
#[derive(Debug)]
pub(super) struct Lan {
    bridge: String,
    nodes: u8,
}

impl Lan {
    /// Ensures the bridge and the namespaces; what an earlier run left behind is made anew.
    pub(super) fn ensure(data: &Path, nodes: u8) -> anyhow::Result<Self> {
        let hash = Digest::of(data.as_os_str().as_encoded_bytes()).hex();
        let lan = Self { bridge: format!("gup{}", &hash[..8]), nodes };
        lan.remove();
        ip(&["link", "add", &lan.bridge, "type", "bridge"])?;
        ip(&["address", "add", &format!("{}/24", lan.hub_address()), "dev", &lan.bridge])?;
        ip(&["link", "set", &lan.bridge, "up"])?;
        for number in 1..=nodes {
            let (name, host) = (lan.name(number), lan.host_end(number));
            ip(&["netns", "add", &name])?;
            ip(&["link", "add", &host, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            ip(&["link", "set", &host, "master", &lan.bridge, "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&["-n", &name, "address", "add", &format!("{}/24", lan.address(number)), "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "route", "add", "default", "via", &lan.hub_address().to_string()])?;
        }
        Ok(lan)
    }

    /// Where the nodes reach the hub.
    pub(super) fn hub_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(PREFIX[0], PREFIX[1], PREFIX[2], 1)
    }

    /// A node's address. Nodes count from 1.
    pub(super) fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(PREFIX[0], PREFIX[1], PREFIX[2], 10 + number)
    }

    /// A node's network namespace.
    pub(super) fn netns(&self, number: u8) -> PathBuf {
        Path::new("/run/netns").join(self.name(number))
    }

    fn name(&self, number: u8) -> String {
        format!("{}-{number}", self.bridge)
    }

    fn host_end(&self, number: u8) -> String {
        format!("{}.{number}", self.bridge)
    }

    fn remove(&self) {
        // What is not there is fine.
        for number in 1..=self.nodes {
            let _ = ip(&["netns", "delete", &self.name(number)]);
            let _ = ip(&["link", "delete", &self.host_end(number)]);
        }
        let _ = ip(&["link", "delete", &self.bridge]);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(args).output().context("cannot run ip (Debian package iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
