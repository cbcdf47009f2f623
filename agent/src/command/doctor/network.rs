//! What pods' network needs: nftables with address translation, bridges, pairs of devices, forwarding.

use std::fs;
use std::path::Path;

use super::finding::{Finding, Findings, good, warning, wrong};
use super::try_out::{Tried, run_apart};

/// What the rules of services are made of.
const RULES: &str = "table ip gannet-doctor {
  chain prerouting { type nat hook prerouting priority dstnat; policy accept; ip daddr 192.0.2.1 meta l4proto tcp dnat ip to numgen inc mod 2 map { 0 : 192.0.2.2 . 80, 1 : 192.0.2.3 . 80 }; }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; ct status dnat masquerade; }
  chain forward { type filter hook forward priority filter; policy accept; ip daddr 192.0.2.1 reject; fib daddr type local accept; }
}
";

pub(super) fn check(findings: &mut Findings) {
    findings.add("nftables", nftables());
    findings.add("bridge", device("bridge", "CONFIG_BRIDGE"));
    findings.add("veth", device("veth", "CONFIG_VETH"));
    findings.add("forwarding", forwarding());
    findings.add("br_netfilter", br_netfilter());
}

fn nftables() -> Finding {
    let places = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"];
    let Some(program) = places.into_iter().find(|path| Path::new(path).exists()) else {
        return wrong("the program nft is not installed", "apt-get install nftables");
    };
    match run_apart(&[program, "-f", "-"], RULES) {
        Tried::Worked => good("nft works, with address translation"),
        Tried::Failed(why) => wrong(
            format!("rules as services need them are refused: {why}"),
            "be root, and use a kernel with CONFIG_NF_TABLES, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_NUMGEN, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_REJECT",
        ),
        Tried::Missing(error) => warning(format!("not tried: {error}"), "apt-get install util-linux"),
    }
}

/// A kind of network device, by making one.
fn device(kind: &'static str, option: &str) -> Finding {
    match run_apart(&["ip", "link", "add", "type", kind], "") {
        Tried::Worked => good("the kernel has it"),
        Tried::Failed(why) => wrong(
            format!("cannot make one: {why}"),
            format!("be root, and load the module `{kind}` or build the kernel with {option}"),
        ),
        Tried::Missing(error) => warning(
            format!("not tried: {error}"),
            format!("make sure that the kernel was built with {option}"),
        ),
    }
}

/// The agent turns it on when it makes the pods' network.
fn forwarding() -> Finding {
    let path = "/proc/sys/net/ipv4/ip_forward";
    let writable = || fs::OpenOptions::new().write(true).open(path);
    match (fs::read_to_string(path), writable()) {
        (Ok(text), _) if text.trim() == "1" => good("on"),
        (Ok(_), Ok(_)) => good("off; the agent turns it on with the first pod that has a network"),
        (Ok(_), Err(error)) => wrong(
            format!("off, and cannot be turned on: {error}"),
            "sysctl -w net.ipv4.ip_forward=1; in a container mount /proc/sys with write access",
        ),
        (Err(error), _) => wrong(format!("{path} cannot be read: {error}"), "mount /proc"),
    }
}

/// Where it is on, packets between pods pass the rules of the node's firewall too.
fn br_netfilter() -> Finding {
    match fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables") {
        Ok(text) if text.trim() == "1" => good("on: packets between pods pass the node's firewall too"),
        _ => good("off: pods on this node reach each other directly"),
    }
}
