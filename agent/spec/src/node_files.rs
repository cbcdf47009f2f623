//! A pod's names, and the text of its `/etc/hosts`. Kubelet's form, since programs look for it.

use std::net::Ipv4Addr;

use gannet_protocols_model::{Manifest, PodEntry};

use crate::env::SpecError;

/// The longest label of a name.
const MAX_LABEL: usize = 63;
/// The longest host name that Linux takes.
const MAX_KERNEL: usize = 64;

/// What a pod is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNames {
    /// Its host name, one label; on the node's network the node's own.
    pub host: String,
    /// The domain of its `subdomain`.
    pub domain: Option<String>,
    /// What the kernel calls it: with `setHostnameAsFQDN` both together.
    pub kernel: String,
}

/// A pod's names. `cluster_domain` is empty where the node does not know it yet.
///
/// # Errors
/// The whole name is wanted and too long.
pub fn names(
    entry: &PodEntry,
    manifest: &Manifest,
    node_hostname: &str,
    cluster_domain: &str,
) -> Result<PodNames, SpecError> {
    if manifest.host_network {
        let node = node_hostname.to_owned();
        return Ok(PodNames { host: node.clone(), domain: None, kernel: node });
    }
    let cut: String = manifest.hostname.as_deref().unwrap_or(&entry.name).chars().take(MAX_LABEL).collect();
    let host = cut.trim_end_matches(['-', '.']).to_owned();
    let domain = manifest.subdomain.as_ref().map(|sub| {
        let domain = format!("{sub}.{}.svc.{cluster_domain}", entry.namespace);
        domain.trim_end_matches('.').to_owned()
    });
    let kernel = match &domain {
        Some(domain) if manifest.hostname_as_fqdn => format!("{host}.{domain}"),
        _ => host.clone(),
    };
    if kernel.len() > MAX_KERNEL {
        return Err(SpecError::Fqdn { name: kernel });
    }
    Ok(PodNames { host, domain, kernel })
}

/// `/etc/hosts`. On the node's network it has the node's own lines, which are `node_hosts`.
pub fn hosts(manifest: &Manifest, names: &PodNames, ip: Option<Ipv4Addr>, node_hosts: &str) -> String {
    let mut text = if manifest.host_network {
        format!("# Kubernetes-managed hosts file (host network).\n{node_hosts}")
    } else {
        String::from(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        )
    };
    match (ip.filter(|_| !manifest.host_network), &names.domain) {
        (Some(ip), Some(domain)) => text.push_str(&format!("{ip}\t{0}.{domain}\t{0}\n", names.host)),
        (Some(ip), None) => text.push_str(&format!("{ip}\t{}\n", names.host)),
        (None, _) => {}
    }
    if !manifest.host_aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in &manifest.host_aliases {
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.join("\t")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, manifest};

    fn names_of(edit: impl Fn(&mut Manifest)) -> Result<PodNames, String> {
        let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
        edit(&mut manifest);
        names(&entry(), &manifest, "node", "cluster.local").map_err(|e| e.to_string())
    }

    fn check(edit: impl Fn(&mut Manifest), expect: &str) {
        let got = match names_of(edit) {
            Ok(n) => format!("{} {} {}", n.host, n.domain.unwrap_or_default(), n.kernel),
            Err(error) => error,
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn names_of_pods() {
        check(|_| (), "web-1  web-1");
        check(|m| m.hostname = Some("x".into()), "x  x");
        let long = "x".repeat(62);
        check(|m| m.hostname = Some(long.clone() + "-y"), &format!("{long}  {long}"));
        check(|m| m.subdomain = Some("web".into()), "web-1 web.prod.svc.cluster.local web-1");
        check(|m| m.hostname_as_fqdn = true, "web-1  web-1");
        let whole = |m: &mut Manifest| {
            m.subdomain = Some("web".into());
            m.hostname_as_fqdn = true;
        };
        check(whole, "web-1 web.prod.svc.cluster.local web-1.web.prod.svc.cluster.local");
        let host = "h".repeat(40);
        check(
            |m| {
                whole(m);
                m.hostname = Some(host.clone());
            },
            &format!(
                "Failed to construct FQDN from Pod hostname and cluster domain, FQDN {host}.web.prod.svc.cluster.local \
                 is too long (64 characters is the max, 67 characters requested)"
            ),
        );
        check(
            |m| {
                whole(m);
                m.host_network = true;
            },
            "node  node",
        );
    }

    #[test]
    fn hosts_files() {
        let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
        let ip = Some(Ipv4Addr::new(10, 42, 0, 5));
        let plain = names_of(|_| ()).unwrap();
        let text = hosts(&manifest, &plain, ip, "1.2.3.4\tnode\n");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{text}");
        assert!(text.ends_with("fe00::2\tip6-allrouters\n10.42.0.5\tweb-1\n"), "{text}");

        manifest.host_aliases = serde_json::from_str(
            r#"[{"ip":"10.1.2.3","hostnames":["a","b.c"]},{"ip":"fd00::1","hostnames":["six"]}]"#,
        )
        .unwrap();
        let domain = names_of(|m| m.subdomain = Some("web".into())).unwrap();
        let text = hosts(&manifest, &domain, ip, "");
        let end = "10.42.0.5\tweb-1.web.prod.svc.cluster.local\tweb-1\n\n# Entries added by HostAliases.\n10.1.2.3\ta\tb.c\nfd00::1\tsix\n";
        assert!(text.ends_with(end), "{text}");

        manifest.host_network = true;
        let text = hosts(&manifest, &plain, None, "1.2.3.4\tnode\n");
        assert_eq!(
            text,
            "# Kubernetes-managed hosts file (host network).\n1.2.3.4\tnode\n\n# Entries added by HostAliases.\n10.1.2.3\ta\tb.c\nfd00::1\tsix\n"
        );
    }
}
