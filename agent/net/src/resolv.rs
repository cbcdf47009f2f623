//! Which name servers the node itself uses.

use std::net::{IpAddr, SocketAddr};

/// The name servers of a `resolv.conf` (resolv.conf(5)), at most three as the C library uses them.
pub(crate) fn name_servers(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    });
    servers.map(|ip| SocketAddr::new(ip, 53)).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        let text = "# nameserver 1.1.1.1\nsearch a b\nnameserver 192.0.2.1\nnameserver nonsense\nnameserver fd00::1\noptions ndots:5\n";
        let got: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(got, ["192.0.2.1:53", "[fd00::1]:53"]);
    }
}
