//! Which ports of the node its own programs listen at, from `/proc/net` (proc_pid_net(5)).

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gannet_protocols_model::Protocol;

/// A port of the node.
pub type NodePort = (Protocol, u16);

/// `st` of a TCP socket that listens, and of a UDP socket that talks to nobody in particular.
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";

/// The ports at which somebody listens on an address that others reach. `own` is the address of the bridge, where the
/// agent's name server is.
pub(crate) fn listeners(own: Option<Ipv4Addr>) -> BTreeSet<NodePort> {
    let tables = [
        ("tcp", Protocol::Tcp, TCP_LISTEN),
        ("tcp6", Protocol::Tcp, TCP_LISTEN),
        ("udp", Protocol::Udp, UDP_UNCONNECTED),
        ("udp6", Protocol::Udp, UDP_UNCONNECTED),
    ];
    let mut found = BTreeSet::new();
    for (table, protocol, state) in tables {
        // A kernel without IPv6 has no such table.
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        let reached = |ip: &IpAddr| !ip.is_loopback() && own.is_none_or(|own| *ip != own);
        let sockets = text.lines().skip(1).filter_map(|line| socket(line, state));
        found.extend(sockets.filter(|(ip, _)| reached(ip)).map(|(_, port)| (protocol, port)));
    }
    found
}

/// The local end of a socket in this state.
fn socket(line: &str, state: &str) -> Option<(IpAddr, u16)> {
    let mut fields = line.split_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    if fields.nth(1)? != state {
        return None;
    }
    // Numbers of 32 bits, as they lie in memory.
    let words: Option<Vec<u8>> = (0..address.len() / 8)
        .map(|n| u32::from_str_radix(address.get(n * 8..n * 8 + 8)?, 16).ok())
        .collect::<Option<Vec<u32>>>()
        .map(|words| words.into_iter().flat_map(u32::to_ne_bytes).collect());
    let words = words?;
    let ip = match words.len() {
        4 => IpAddr::V4(<[u8; 4]>::try_from(words).ok()?.into()),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).to_canonical(),
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets() {
        let check = |line: &str, state: &str, expect: Option<(&str, u16)>| {
            let expect = expect.map(|(ip, port)| (ip.parse().unwrap(), port));
            assert_eq!(socket(line, state), expect, "{line}");
        };
        let line = |ip: &[u8], rest: &str| {
            let words = ip.chunks(4).map(|w| u32::from_ne_bytes(w.try_into().unwrap()));
            let hex: String = words.map(|w| format!("{w:08X}")).collect();
            format!("   0: {hex}:1F90 {rest}")
        };
        let listens = "00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1";
        check(&line(&[10, 42, 0, 1], listens), "0A", Some(("10.42.0.1", 8080)));
        check(&line(&[0; 16], listens), "0A", Some(("::", 8080)));
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7];
        check(&line(&mapped, listens), "0A", Some(("10.0.0.7", 8080)));
        check(&line(&[0; 4], "0100007F:0016 01 rest"), "0A", None);
        for broken in
            ["", "0: nonsense", "0: 00000000:XX 0:0 0A", "0: 0000:1F90 0:0 0A", "0: ÿÿÿÿÿÿÿÿ:1F90 0:0 0A"]
        {
            check(broken, "0A", None);
        }
    }

    #[test]
    fn a_listener_of_this_machine() {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let local = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let found = listeners(None);
        assert!(found.contains(&(Protocol::Tcp, listener.local_addr().unwrap().port())));
        assert!(!found.contains(&(Protocol::Tcp, local.local_addr().unwrap().port())));
        assert!(found.contains(&(Protocol::Udp, udp.local_addr().unwrap().port())));
    }
}
