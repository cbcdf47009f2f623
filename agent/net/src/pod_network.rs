//! What the agent calls: attach and detach pods, apply the network document, leave nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use gannet_protocols_model::{Digest, Network, PodUid, Protocol};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::dns::Dns;
use crate::ipam::{gateway, next_free};
use crate::link::{self, Netlink, Via};
use crate::listeners::{NodePort, listeners};
use crate::names::Names;
use crate::rules::{self, Place};
use crate::{NetError, netns, nft};

/// Where the network lives.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// State that a reboot may clear: `RUN/net` is made in it.
    pub run_dir: PathBuf,
    /// The bridge's name, at most 15 characters.
    pub bridge: String,
    /// The node's `resolv.conf`.
    pub resolv_conf: PathBuf,
}

/// A pod's place in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The network namespace, by path.
    pub netns: PathBuf,
    /// The pod's address.
    pub ip: Ipv4Addr,
}

/// What the node sees of a pod of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPod {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Whether services may use it.
    pub ready: bool,
    /// Ports of the node that lead to it: protocol, the node's port, the pod's port.
    pub host_ports: Vec<(Protocol, u16, u16)>,
}

/// A pod's place, as it stands on disk beside the namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    ip: Ipv4Addr,
    /// Ports of the node that lead to it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    host_ports: BTreeSet<NodePort>,
}

#[derive(Debug, Default)]
struct State {
    range: Option<Ipv4Net>,
    bridge: Option<u32>,
    attached: BTreeMap<PodUid, Record>,
    last: Option<Ipv4Addr>,
    routes: BTreeSet<Ipv4Net>,
    loaded: Option<String>,
    dns: Option<(Dns, SocketAddrV4)>,
    /// Services that do not have the ports of the node that they want.
    refused: BTreeSet<(String, NodePort)>,
    forwarding_was_off: bool,
}

/// The node's pod network.
#[derive(Debug)]
pub struct PodNetwork {
    config: NetConfig,
    dir: PathBuf,
    node: OwnedFd,
    netlink: Netlink,
    state: Mutex<State>,
}

impl PodNetwork {
    /// Adopts what an earlier agent left, in the network namespace of the calling thread. Changes nothing yet.
    pub async fn open(config: NetConfig) -> Result<Self, NetError> {
        let dir = config.run_dir.join("net");
        fs::create_dir_all(&dir).map_err(NetError::file("create", &dir))?;
        let own = PathBuf::from("/proc/thread-self/ns/net");
        let node = fs::File::open(&own).map_err(NetError::file("open", own))?.into();
        let netlink = Netlink::open()?;
        let mut state = State::default();
        for uid in recorded(&dir)? {
            let network = Self::paths(&dir, &uid);
            let record = fs::read(&network.1).ok().and_then(|b| serde_json::from_slice::<Record>(&b).ok());
            match record.filter(|_| netns::holds(&network.0)) {
                Some(record) => drop(state.attached.insert(uid, record)),
                None => {
                    warn!(pod.uid = %uid, "half-made network of a pod found; it is made anew when the pod starts")
                }
            }
        }
        Ok(Self { config, dir, node, netlink, state: Mutex::new(state) })
    }

    fn paths(dir: &Path, uid: &PodUid) -> (PathBuf, PathBuf) {
        (dir.join(format!("{uid}.ns")), dir.join(format!("{uid}.json")))
    }

    /// Pods that have a place.
    pub async fn attached(&self) -> BTreeMap<PodUid, Attachment> {
        let state = self.state.lock().await;
        let place = |(uid, record): (&PodUid, &Record)| {
            (uid.clone(), Attachment { netns: Self::paths(&self.dir, uid).0, ip: record.ip })
        };
        state.attached.iter().map(place).collect()
    }

    /// Ensures the bridge with the first address of the node's range, and the DNS server on it.
    /// Pods that are attached keep their addresses where the range changes; new ones come from the new range.
    pub async fn configure(&self, pod_cidr: &str) -> Result<(), NetError> {
        let wrong = || NetError::Range { value: pod_cidr.chars().take(64).collect() };
        let range: Ipv4Net = pod_cidr.parse().map_err(|_| wrong())?;
        if !(8..=29).contains(&range.prefix_len()) {
            return Err(wrong());
        }
        let range = range.trunc();
        let mut state = self.state.lock().await;
        if state.range == Some(range) && state.bridge.is_some() && state.dns.is_some() {
            return Ok(());
        }
        let address = gateway(range);
        let stranger = link::stranger_in(&self.netlink.handle, range, &self.config.bridge).await?;
        if let Some((address, interface)) = stranger {
            return Err(NetError::Overlap { range, address, interface });
        }
        state.forwarding_was_off |= enable_forwarding()?;
        let bridge =
            link::ensure_bridge(&self.netlink.handle, &self.config.bridge, address, range.prefix_len())
                .await?;
        (state.range, state.bridge) = (Some(range), Some(bridge));
        if state.dns.as_ref().is_none_or(|(_, at)| *at.ip() != address) {
            state.dns = None;
            let at = SocketAddr::new(address.into(), DNS_PORT);
            let (dns, at) = Dns::start_at_any(at, self.config.resolv_conf.clone()).await?;
            state.dns = Some((dns, SocketAddrV4::new(address, at.port())));
        }
        info!(bridge = self.config.bridge, %range, "pod network ready");
        Ok(())
    }

    /// The address of the node's DNS server, for pods' `resolv.conf`.
    pub async fn dns_address(&self) -> Option<Ipv4Addr> {
        self.state.lock().await.range.map(gateway)
    }

    /// Ensures that a pod has a namespace with an address on the bridge. `host_ports` are the ports of the node that are to
    /// lead to it: one that another pod or a program of the node has is refused. `made` is where the pod's namespace is
    /// mounted, for a pod that has one already because it belongs to its user namespace.
    pub async fn attach(
        &self,
        uid: &PodUid,
        host_ports: &BTreeSet<NodePort>,
        made: Option<&Path>,
    ) -> Result<Attachment, NetError> {
        let (ns, record) = Self::paths(&self.dir, uid);
        let mut state = self.state.lock().await;
        if let Some(record) = state.attached.get(uid) {
            if made.is_none_or(|made| netns::same(&ns, made)) {
                return Ok(Attachment { netns: ns, ip: record.ip });
            }
            // The pod was made anew: what it had leads nowhere.
            state.attached.remove(uid);
        }
        let (Some(range), Some(bridge)) = (state.range, state.bridge) else { return Err(NetError::NoRange) };
        state.claim(host_ports)?;
        let taken = state.attached.values().map(|record| record.ip).collect();
        let ip = next_free(range, &taken, state.last).ok_or(NetError::Exhausted { range })?;
        // What a crash left half made starts anew: its veth goes with its namespace, or by name.
        netns::remove(&ns)?;
        let host_end = host_end(uid);
        link::remove(&self.netlink.handle, &host_end).await?;
        match made {
            Some(made) => netns::adopt(&ns, made)?,
            None => drop(netns::ensure(&ns)?),
        }
        let node = self.node.try_clone().map_err(NetError::file("duplicate", &ns))?;
        let (at, name) = (ns.clone(), host_end.clone());
        let inside = move || async move {
            let netlink = Netlink::open()?;
            if let Some(lo) = link::index(&netlink.handle, "lo").await? {
                link::up(&netlink.handle, lo).await?;
            }
            let eth0 = link::ensure_veth(&netlink.handle, &name, &node, ip).await?;
            link::ensure_address(&netlink.handle, eth0, ip, range.prefix_len()).await?;
            link::up(&netlink.handle, eth0).await
        };
        blocking(move || netns::inside(&at, inside)).await?;
        link::enslave(&self.netlink.handle, &host_end, bridge).await?;
        let at = ns.clone();
        let route = move || async move {
            let netlink = Netlink::open()?;
            link::ensure_default_route(&netlink.handle, gateway(range)).await
        };
        blocking(move || netns::inside(&at, route)).await?;
        let place = Record { ip, host_ports: host_ports.clone() };
        write_record(&record, &place)?;
        state.attached.insert(uid.clone(), place);
        state.last = Some(ip);
        Ok(Attachment { netns: ns, ip })
    }

    /// Ensures that nothing of a pod is left.
    pub async fn detach(&self, uid: &PodUid) -> Result<(), NetError> {
        let (ns, record) = Self::paths(&self.dir, uid);
        let mut state = self.state.lock().await;
        link::remove(&self.netlink.handle, &host_end(uid)).await?;
        netns::remove(&ns)?;
        remove_file(&record)?;
        state.attached.remove(uid);
        Ok(())
    }

    /// Makes services, names and routes as the document says, for these pods. Does nothing where nothing changed. False
    /// where a service lacks a port of the node that a program has, which may become free.
    pub async fn apply(
        &self,
        network: &Network,
        local: &BTreeMap<PodUid, LocalPod>,
    ) -> Result<bool, NetError> {
        self.configure(&network.pod_cidr).await?;
        let wrong = |value: &str| NetError::Range { value: value.chars().take(64).collect() };
        let services: Ipv4Net = network.service_cidr.parse().map_err(|_| wrong(&network.service_cidr))?;
        let mut state = self.state.lock().await;
        let (Some(pods), Some(bridge)) = (state.range, state.bridge) else { return Err(NetError::NoRange) };
        if let Some((dns, _)) = &state.dns {
            dns.set(Names::new(network, local));
        }
        let taken = listeners(Some(gateway(pods)));
        let refused = rules::refused(network, &taken);
        for (service, (protocol, port)) in refused.difference(&state.refused) {
            let protocol = rules::name(*protocol);
            warn!(
                service,
                protocol, port, "a program of the node listens at the port, the service does not get it"
            );
        }
        let complete = refused.is_empty();
        state.refused = refused;
        let dns = state.dns.as_ref().map(|(_, at)| *at).filter(|at| at.port() != DNS_PORT);
        let place = Place { bridge: &self.config.bridge, pods, services, dns, taken };
        let ruleset = rules::ruleset(&place, network, local);
        if state.loaded.as_ref() != Some(&ruleset) {
            nft::load(&ruleset).await?;
            state.loaded = Some(ruleset);
        }
        // The node itself reaches services too, also where it has no default route.
        let mut wanted = BTreeMap::from([(services.trunc(), Via::Link(bridge))]);
        for route in &network.routes {
            let to: Ipv4Net = route.pod_cidr.parse().map_err(|_| wrong(&route.pod_cidr))?;
            wanted.insert(to.trunc(), Via::Gateway(route.address));
        }
        let gone: Vec<Ipv4Net> = state.routes.iter().filter(|r| !wanted.contains_key(r)).copied().collect();
        for to in gone {
            link::remove_route(&self.netlink.handle, to).await?;
            state.routes.remove(&to);
        }
        for (to, via) in wanted {
            // A neighbour that cannot be reached (yet) must not stop the services of this node.
            match link::ensure_route(&self.netlink.handle, to, via).await {
                Ok(()) => drop(state.routes.insert(to)),
                Err(error) => warn!(%to, ?via, ?error, "no route to a neighbour's pods"),
            }
        }
        Ok(complete)
    }

    /// Removes all of it: rules, routes, bridge, every pod's namespace.
    pub async fn shutdown(&self) -> Result<(), NetError> {
        for uid in recorded(&self.dir)? {
            self.detach(&uid).await?;
        }
        let mut state = self.state.lock().await;
        nft::load(rules::REMOVE).await?;
        for to in std::mem::take(&mut state.routes) {
            link::remove_route(&self.netlink.handle, to).await?;
        }
        link::remove(&self.netlink.handle, &self.config.bridge).await?;
        if state.forwarding_was_off {
            fs::write(FORWARDING, "0").map_err(NetError::file("write", FORWARDING))?;
        }
        *state = State::default();
        match fs::remove_dir(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(NetError::file("remove", &self.dir)(e)),
            _ => Ok(()),
        }
    }
}

impl State {
    /// Checks that nobody has a port of the node that a pod wants.
    fn claim(&self, wanted: &BTreeSet<NodePort>) -> Result<(), NetError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let listeners = listeners(self.range.map(gateway));
        for port in wanted {
            let other = self.attached.iter().find(|(_, record)| record.host_ports.contains(port));
            let reason = match other {
                Some((uid, _)) => format!("it leads to pod {uid}"),
                None if listeners.contains(port) => {
                    let number = port.1;
                    format!("listen {} :{number}: bind: address already in use", rules::name(port.0))
                }
                None => continue,
            };
            return Err(NetError::HostPort { protocol: rules::name(port.0), port: port.1, reason });
        }
        Ok(())
    }
}

/// Where resolvers ask.
const DNS_PORT: u16 = 53;
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Lets the node pass packets on. Returns whether that was off.
fn enable_forwarding() -> Result<bool, NetError> {
    let before = fs::read_to_string(FORWARDING).map_err(NetError::file("read", FORWARDING))?;
    if before.trim() == "1" {
        return Ok(false);
    }
    fs::write(FORWARDING, "1").map_err(NetError::file("write", FORWARDING))?;
    Ok(true)
}

/// The node's end of a pod's veth: 15 characters at the most (IFNAMSIZ), so a hash of the uid.
fn host_end(uid: &PodUid) -> String {
    format!("gn{}", &Digest::of(uid.as_str().as_bytes()).hex()[..12])
}

/// The pods that have files in the folder.
fn recorded(dir: &Path) -> Result<BTreeSet<PodUid>, NetError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other.map_err(NetError::file("read", dir))?,
    };
    let mut uids = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(NetError::file("read", dir))?.file_name();
        let stem = name.to_str().and_then(|n| n.strip_suffix(".ns").or_else(|| n.strip_suffix(".json")));
        uids.extend(stem.and_then(|s| s.parse().ok()));
    }
    Ok(uids)
}

/// The folder lies in memory (`/run`) and need not outlive a power cut: no fsync.
fn write_record(path: &Path, record: &Record) -> Result<(), NetError> {
    let temporary = path.with_extension("tmp");
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(NetError::file("write", path))
}

fn remove_file(path: &Path) -> Result<(), NetError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(NetError::file("remove", path)(e)),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetError> + Send + 'static,
) -> Result<T, NetError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|e| Err(NetError::file("run", "a network task")(std::io::Error::other(e))))
}
