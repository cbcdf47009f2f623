//! `/etc/resolv.conf` of a pod, from its `dnsPolicy` and `dnsConfig`: kubelet's rules and limits.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use gannet_protocols_model::{DnsPolicy, Manifest, PodEntry};

/// As many name servers as the C library asks.
const MAX_SERVERS: usize = 3;
/// As many search domains as Kubernetes takes.
const MAX_SEARCHES: usize = 32;
/// All of them together, with the spaces between.
const MAX_SEARCH_CHARACTERS: usize = 2048;

/// What the node has to offer.
#[derive(Debug, Clone, Copy)]
pub struct NodeDns<'a> {
    /// The node's own server, which knows the names of services; `None` while there is no pod network.
    pub server: Option<Ipv4Addr>,
    /// The domain of services.
    pub domain: &'a str,
    /// The node's own file.
    pub resolv_conf: &'a str,
}

#[derive(Debug, Default)]
struct Resolver {
    servers: Vec<IpAddr>,
    searches: Vec<String>,
    options: BTreeMap<String, Option<String>>,
}

/// The text of the file.
pub fn resolv_conf(entry: &PodEntry, manifest: &Manifest, node: &NodeDns<'_>) -> String {
    let mut resolver = by_policy(entry, manifest, node);
    let config = &manifest.dns_config;
    resolver.servers.extend(&config.nameservers);
    resolver.searches.extend(config.searches.iter().cloned());
    // The pod's own value wins over that of the policy.
    resolver.options.extend(config.options.iter().cloned());
    resolver.text()
}

fn by_policy(entry: &PodEntry, manifest: &Manifest, node: &NodeDns<'_>) -> Resolver {
    let own = Resolver::parse(node.resolv_conf);
    let cluster = match manifest.dns_policy {
        DnsPolicy::None => return Resolver::default(),
        DnsPolicy::Default => None,
        DnsPolicy::ClusterFirst => node.server.filter(|_| !manifest.host_network),
        DnsPolicy::ClusterFirstWithHostNet => node.server,
    };
    let Some(server) = cluster else { return own.reachable(manifest, node.server) };
    let (namespace, domain) = (&entry.namespace, node.domain);
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
    searches.extend(own.searches);
    let options = BTreeMap::from([("ndots".to_owned(), Some("5".to_owned()))]);
    Resolver { servers: vec![server.into()], searches, options }
}

impl Resolver {
    /// Reads a `resolv.conf` (resolv.conf(5)): the last `search` and the last `options` count.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    found.servers.extend(words.next().and_then(|ip| ip.parse::<IpAddr>().ok()))
                }
                Some("search") => found.searches = words.map(trimmed).collect(),
                Some("options") => {
                    let option = |word: &str| match word.split_once(':') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (word.to_owned(), None),
                    };
                    found.options = words.map(option).collect();
                }
                _ => {}
            }
        }
        found
    }

    /// In a pod's own network a loopback address is the pod's: there the node's server stands for the node's resolver,
    /// which it asks.
    fn reachable(mut self, manifest: &Manifest, server: Option<Ipv4Addr>) -> Self {
        if !manifest.host_network {
            for own in self.servers.iter_mut().filter(|ip| ip.is_loopback()) {
                *own = server.map_or(*own, IpAddr::from);
            }
        }
        self
    }

    fn text(mut self) -> String {
        once(&mut self.servers);
        once(&mut self.searches);
        let mut text = String::new();
        let mut length = 0;
        let searches = self.searches.iter().take(MAX_SEARCHES).take_while(|search| {
            length += search.len() + usize::from(length > 0);
            length <= MAX_SEARCH_CHARACTERS
        });
        let searches: Vec<&str> = searches.map(String::as_str).collect();
        if !searches.is_empty() {
            text.push_str(&format!("search {}\n", searches.join(" ")));
        }
        for server in self.servers.iter().take(MAX_SERVERS) {
            text.push_str(&format!("nameserver {server}\n"));
        }
        let option = |(name, value): (&String, &Option<String>)| match value {
            Some(value) => format!("{name}:{value}"),
            None => name.clone(),
        };
        let options: Vec<String> = self.options.iter().map(option).collect();
        if !options.is_empty() {
            text.push_str(&format!("options {}\n", options.join(" ")));
        }
        text
    }
}

fn trimmed(domain: &str) -> String {
    if domain == "." { domain.to_owned() } else { domain.trim_end_matches('.').to_owned() }
}

/// Keeps the first of equals.
fn once<T: PartialEq + Clone>(list: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::with_capacity(list.len().min(MAX_SEARCHES));
    for item in list.drain(..) {
        // What is beyond the limits is cut anyway.
        if kept.len() <= MAX_SEARCHES && !kept.contains(&item) {
            kept.push(item);
        }
    }
    *list = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, manifest};

    fn check(edit: impl Fn(&mut Manifest), expect: &str) {
        let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
        edit(&mut manifest);
        let node = NodeDns {
            server: Some(Ipv4Addr::new(10, 42, 0, 1)),
            domain: "cluster.local",
            resolv_conf: "# own\nsearch old\nsearch lan. cluster.local\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver x\noptions edns0 timeout:1\n",
        };
        assert_eq!(resolv_conf(&entry(), &manifest, &node), expect);
    }

    const CLUSTER: &str = "search prod.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.42.0.1\noptions ndots:5\n";

    #[test]
    fn policies() {
        check(|_| (), CLUSTER);
        let own =
            "search lan cluster.local\nnameserver 127.0.0.53\nnameserver 9.9.9.9\noptions edns0 timeout:1\n";
        check(|m| m.host_network = true, own);
        let reachable = own.replace("127.0.0.53", "10.42.0.1");
        check(|m| m.dns_policy = DnsPolicy::Default, &reachable);
        check(
            |m| {
                m.host_network = true;
                m.dns_policy = DnsPolicy::ClusterFirstWithHostNet;
            },
            CLUSTER,
        );
        check(|m| m.dns_policy = DnsPolicy::None, "");
    }

    #[test]
    fn configs() {
        let config = |text: &str| serde_json::from_str(text).unwrap();
        let own = r#"{"nameservers":["10.42.0.1","1.1.1.1","fd00::1","8.8.8.8"],"searches":["lan","own.example"],
            "options":[["ndots","2"],["single-request",null]]}"#;
        check(
            |m| m.dns_config = config(own),
            "search prod.svc.cluster.local svc.cluster.local cluster.local lan own.example\n\
             nameserver 10.42.0.1\nnameserver 1.1.1.1\nnameserver fd00::1\noptions ndots:2 single-request\n",
        );
        check(
            |m| {
                m.dns_policy = DnsPolicy::None;
                m.dns_config = config(own);
            },
            "search lan own.example\nnameserver 10.42.0.1\nnameserver 1.1.1.1\nnameserver fd00::1\noptions ndots:2 single-request\n",
        );
        let many = |count: usize, length: usize| {
            move |m: &mut Manifest| {
                m.dns_policy = DnsPolicy::None;
                m.dns_config.searches = (0..count).map(|n| format!("{n:0length$}")).collect();
            }
        };
        let expect = |count: usize, length: usize| {
            let all: Vec<String> = (0..count).map(|n| format!("{n:0length$}")).collect();
            format!("search {}\n", all.join(" "))
        };
        check(many(40, 3), &expect(32, 3));
        check(many(20, 200), &expect(10, 200));
    }
}
