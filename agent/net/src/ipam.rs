//! Which address a pod gets: the next free one behind the last, so that an address rests before it is used again.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The bridge's own address: the first of the range.
pub(crate) fn gateway(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).saturating_add(1))
}

/// A free address of the range, the first behind `last`. None where all are taken.
pub(crate) fn next_free(
    range: Ipv4Net,
    taken: &BTreeSet<Ipv4Addr>,
    last: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let usable = || range.hosts().filter(|ip| *ip != gateway(range));
    let free = |ip: &Ipv4Addr| !taken.contains(ip);
    usable().filter(|ip| last.is_none_or(|l| *ip > l)).find(free).or_else(|| usable().find(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_rotate_and_run_out() {
        let range: Ipv4Net = "10.42.0.0/29".parse().unwrap();
        assert_eq!(gateway(range).to_string(), "10.42.0.1");
        let ip = |n| Ipv4Addr::new(10, 42, 0, n);
        assert_eq!(next_free(range, &BTreeSet::new(), None), Some(ip(2)));
        assert_eq!(next_free(range, &BTreeSet::from([ip(3)]), Some(ip(2))), Some(ip(4)));
        assert_eq!(next_free(range, &BTreeSet::from([ip(6)]), Some(ip(6))), Some(ip(2)));
        assert_eq!(next_free(range, &(2..=6).map(ip).collect(), None), None);
    }
}
