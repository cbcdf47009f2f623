//! A pod's names and its files for `/etc`.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use anyhow::Context as _;
use gannet_agent_core::DesiredPod;
use gannet_agent_spec::node_files::{self, PodNames};
use gannet_agent_spec::{NodeDns, SpecError, resolv_conf};
use gannet_protocols_model::{DnsPolicy, Manifest};

use super::pod::blocking;
use super::{PodWork, Tools};

/// What the pod is called.
pub(super) fn names(tools: &Tools, pod: &DesiredPod, manifest: &Manifest) -> Result<PodNames, SpecError> {
    let document = tools.wish.borrow().document.clone();
    let domain = document.as_ref().map_or("", |network| network.domain.as_str());
    node_files::names(&pod.entry, manifest, &tools.node_hostname, domain)
}

/// Writes the pod's `hosts`, `hostname` and `resolv.conf`.
pub(super) async fn write(
    tools: &Tools,
    work: &PodWork,
    pod: &DesiredPod,
    manifest: &Manifest,
    names: &PodNames,
    ip: Option<Ipv4Addr>,
) -> anyhow::Result<()> {
    let document = tools.wish.borrow().document.clone();
    let server = match &document {
        Some(network) => {
            // The name server comes with the pod network, which a pod on the node's network does not need otherwise.
            if manifest.dns_policy == DnsPolicy::ClusterFirstWithHostNet {
                tools.network.configure(&network.pod_cidr).await.context("pod network")?;
            }
            tools.network.dns_address().await
        }
        None => None,
    };
    let text = fs::read_to_string(&tools.resolv_conf).unwrap_or_default();
    let domain = document.as_ref().map_or("", |network| network.domain.as_str());
    let dns = NodeDns { server, domain, resolv_conf: &text };
    let resolv = resolv_conf(&pod.entry, manifest, &dns);
    // On the node's network a pod sees the node's own names.
    let node_hosts = if manifest.host_network { fs::read_to_string("/etc/hosts").ok() } else { None };
    let hosts = node_files::hosts(manifest, names, ip, &node_hosts.unwrap_or_default());
    let hostname = format!("{}\n", names.kernel);
    let etc = tools.layout.etc(&work.uid);
    blocking(move || {
        let write = || -> io::Result<()> {
            fs::create_dir_all(&etc)?;
            fs::write(etc.join("hosts"), hosts)?;
            fs::write(etc.join("hostname"), hostname)?;
            fs::write(etc.join("resolv.conf"), resolv)
        };
        write().with_context(|| format!("write {}", etc.display()))
    })
    .await
}
