//! A machine's network of the test's own: a network namespace with one address that is not loopback.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::program::run;

/// A network namespace; it goes with this value.
#[derive(Debug)]
pub struct Sandbox {
    name: String,
}

impl Sandbox {
    /// The address of the machine that the namespace plays.
    pub const ADDRESS: &str = "198.51.100.10";

    /// Makes a namespace with loopback and one address (a veth whose other end leads nowhere).
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let sandbox = Self { name: format!("{name}-{}", std::process::id()) };
        sandbox.ip(&["netns", "add", &sandbox.name])?;
        let inside = ["-n", &sandbox.name];
        let ip = |args: &[&str]| sandbox.ip(&[&inside, args].concat());
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "add", "uplink0", "type", "veth", "peer", "name", "nowhere0"])?;
        ip(&["link", "set", "nowhere0", "up"])?;
        ip(&["address", "add", &format!("{}/24", Self::ADDRESS), "dev", "uplink0"])?;
        ip(&["link", "set", "uplink0", "up"])?;
        ip(&["route", "add", "default", "via", "198.51.100.1"])?;
        Ok(sandbox)
    }

    fn ip(&self, args: &[&str]) -> anyhow::Result<()> {
        let (status, text) = run(Command::new("ip").args(args))?;
        ensure!(status.success(), "ip {}: {text}", args.join(" "));
        Ok(())
    }

    /// The namespace's file.
    pub fn netns(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// A command that runs inside. (`nsenter`, since `ip netns exec` would also leave the mounts behind.)
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.netns().display())).arg(program);
        command
    }

    /// What is left in the namespace beside what the sandbox made: interfaces, nftables tables, routes of ours.
    pub fn leftovers(&self) -> anyhow::Result<Vec<String>> {
        let (_, links) = run(self.command("ip").args(["-o", "link"]))?;
        let (_, tables) = run(self.command("nft").args(["list", "tables"]))?;
        let name = |line: &str| line.split(": ").nth(1).unwrap_or_default().to_owned();
        // ifb0, ifb1 and tunnels appear by themselves in every namespace of some kernels.
        let known =
            ["lo", "uplink0", "nowhere0", "ifb", "sit0", "ip6tnl0", "tunl0", "gre", "erspan0", "ip_vti0"];
        let strange = links.lines().map(name).filter(|n| !known.iter().any(|k| n.starts_with(k)));
        Ok(strange.chain(tables.lines().map(str::to_owned)).collect())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}
