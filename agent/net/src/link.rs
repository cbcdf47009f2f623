//! Interfaces, addresses and routes, by netlink. Every function ensures a state and may be repeated.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;

use futures::TryStreamExt as _;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::NetError;

/// Marks our own routes, so that exactly they are removed. An unassigned number (see `rt_protos` of iproute2).
pub(crate) const ROUTE_PROTOCOL: RouteProtocol = RouteProtocol::Other(0x67);

const EEXIST: i32 = nix::errno::Errno::EEXIST as i32;
const ENODEV: i32 = nix::errno::Errno::ENODEV as i32;
const ESRCH: i32 = nix::errno::Errno::ESRCH as i32;

/// A netlink connection and the task that drives it; it ends with this value.
#[derive(Debug)]
pub(crate) struct Netlink {
    pub(crate) handle: Handle,
    task: tokio::task::JoinHandle<()>,
}

impl Netlink {
    /// Connects to the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, NetError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(NetError::file("open", "netlink"))?;
        Ok(Self { handle, task: tokio::spawn(connection) })
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn errno(error: &rtnetlink::Error) -> i32 {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.raw_code().abs(),
        _ => 0,
    }
}

/// The index of an interface; none where there is no such interface.
pub(crate) async fn index(handle: &Handle, name: &str) -> Result<Option<u32>, NetError> {
    let found = handle.link().get().match_name(name.to_owned()).execute().try_next().await;
    match found {
        Ok(link) => Ok(link.map(|l: LinkMessage| l.header.index)),
        Err(e) if errno(&e) == ENODEV => Ok(None),
        Err(e) => Err(NetError::netlink(format!("look up interface {name}"))(e)),
    }
}

/// Ensures a bridge with this address, up.
pub(crate) async fn ensure_bridge(
    handle: &Handle,
    name: &str,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<u32, NetError> {
    if index(handle, name).await?.is_none() {
        let add = handle.link().add(LinkBridge::new(name).up().build()).execute().await;
        add.or_else(ignore(EEXIST)).map_err(NetError::netlink(format!("create bridge {name}")))?;
    }
    let Some(bridge) = index(handle, name).await? else {
        return Err(NetError::file("find bridge", name)(std::io::ErrorKind::NotFound.into()));
    };
    // Unless it is set, a bridge takes the lowest address among its ports, and changes it as pods come and go: the others
    // would lose their gateway until their ARP caches have forgotten it.
    let fixed = LinkUnspec::new_with_index(bridge).address(hardware_address(address)).build();
    let set = handle.link().set(fixed).execute().await;
    set.map_err(NetError::netlink(format!("set the hardware address of {name}")))?;
    ensure_address(handle, bridge, address, prefix).await?;
    up(handle, bridge).await?;
    Ok(bridge)
}

/// An address in this range that an interface other than `own` has, and that interface's name.
pub(crate) async fn stranger_in(
    handle: &Handle,
    range: Ipv4Net,
    own: &str,
) -> Result<Option<(Ipv4Addr, String)>, NetError> {
    let failed = || NetError::netlink("list addresses");
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await.map_err(failed())? {
        let found = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(ip)) | AddressAttribute::Address(IpAddr::V4(ip)) => Some(*ip),
            _ => None,
        });
        let Some(ip) = found.filter(|ip| range.contains(ip)) else { continue };
        let name = name(handle, message.header.index).await?;
        if name != own {
            return Ok(Some((ip, name)));
        }
    }
    Ok(None)
}

async fn name(handle: &Handle, index: u32) -> Result<String, NetError> {
    let found = handle.link().get().match_index(index).execute().try_next().await;
    let link = found.map_err(NetError::netlink(format!("look up interface {index}")))?;
    let name = link.into_iter().flat_map(|l| l.attributes).find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    });
    Ok(name.unwrap_or_else(|| index.to_string()))
}

pub(crate) async fn ensure_address(
    handle: &Handle,
    link: u32,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<(), NetError> {
    let add = handle.address().add(link, IpAddr::V4(address), prefix).execute().await;
    add.or_else(ignore(EEXIST)).map_err(NetError::netlink(format!("add address {address}/{prefix}")))
}

pub(crate) async fn up(handle: &Handle, link: u32) -> Result<(), NetError> {
    let set = handle.link().set(LinkUnspec::new_with_index(link).up().build()).execute().await;
    set.map_err(NetError::netlink(format!("bring interface {link} up")))
}

/// Makes a veth pair in the calling thread's namespace: `eth0` stays, the other end goes to `host`.
///
/// The hardware address follows from the pod's address: a pod that gets the address of one that is gone is then found
/// where the node and the other pods last saw it, instead of after their ARP caches have forgotten the old one.
pub(crate) async fn ensure_veth(
    handle: &Handle,
    host_end: &str,
    host: &OwnedFd,
    address: Ipv4Addr,
) -> Result<u32, NetError> {
    if let Some(there) = index(handle, "eth0").await? {
        return Ok(there);
    }
    let add = handle
        .link()
        .add(LinkVeth::new("eth0", host_end).address(hardware_address(address)).build())
        .execute()
        .await;
    add.map_err(NetError::netlink(format!("create veth {host_end}")))?;
    if let Some(other) = index(handle, host_end).await? {
        let moved = LinkUnspec::new_with_index(other).setns_by_fd(host.as_raw_fd()).build();
        let moved = handle.link().set(moved).execute().await;
        moved.map_err(NetError::netlink(format!("move {host_end} to the node")))?;
    }
    match index(handle, "eth0").await? {
        Some(index) => Ok(index),
        None => Err(NetError::file("find interface", "eth0")(std::io::ErrorKind::NotFound.into())),
    }
}

/// `0a:58` (locally administered) and the four bytes of the address.
fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    [&[0x0a, 0x58][..], &address.octets()].concat()
}

/// Attaches an interface to the bridge and brings it up.
pub(crate) async fn enslave(handle: &Handle, name: &str, bridge: u32) -> Result<(), NetError> {
    let Some(link) = index(handle, name).await? else {
        return Err(NetError::file("find interface", name)(std::io::ErrorKind::NotFound.into()));
    };
    let set =
        handle.link().set(LinkUnspec::new_with_index(link).controller(bridge).up().build()).execute().await;
    set.map_err(NetError::netlink(format!("attach {name} to the bridge")))?;
    // Where the bridge passes packets through nftables (br_netfilter), a pod that reaches itself through a service is
    // sent back out of the port that it came from.
    let hairpin = handle.link().set_port(LinkBridgePort::new(link).hairpin(true).build()).execute().await;
    hairpin.map_err(NetError::netlink(format!("let {name} reach itself")))
}

/// Removes an interface; none is fine.
pub(crate) async fn remove(handle: &Handle, name: &str) -> Result<(), NetError> {
    let Some(link) = index(handle, name).await? else { return Ok(()) };
    let del = handle.link().del(link).execute().await;
    del.or_else(ignore(ENODEV)).map_err(NetError::netlink(format!("remove interface {name}")))
}

/// Ensures the route to everything else.
pub(crate) async fn ensure_default_route(handle: &Handle, gateway: Ipv4Addr) -> Result<(), NetError> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
    let add = handle.route().add(route).execute().await;
    add.or_else(ignore(EEXIST)).map_err(NetError::netlink(format!("add default route via {gateway}")))
}

/// Where a route of ours leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Via {
    /// A neighbour's address.
    Gateway(Ipv4Addr),
    /// An interface.
    Link(u32),
}

/// Ensures a route of ours.
pub(crate) async fn ensure_route(handle: &Handle, to: Ipv4Net, via: Via) -> Result<(), NetError> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(to.network(), to.prefix_len())
        .protocol(ROUTE_PROTOCOL);
    let route = match via {
        Via::Gateway(address) => route.gateway(address),
        Via::Link(index) => route.output_interface(index),
    };
    let add = handle.route().add(route.build()).replace().execute().await;
    add.map_err(NetError::netlink(format!("add route to {to}")))
}

/// Removes a route of ours; none is fine.
pub(crate) async fn remove_route(handle: &Handle, to: Ipv4Net) -> Result<(), NetError> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(to.network(), to.prefix_len())
        .protocol(ROUTE_PROTOCOL)
        .build();
    let del = handle.route().del(route).execute().await;
    del.or_else(ignore(ESRCH)).map_err(NetError::netlink(format!("remove route to {to}")))
}

fn ignore(code: i32) -> impl FnOnce(rtnetlink::Error) -> Result<(), rtnetlink::Error> {
    move |error| if errno(&error) == code { Ok(()) } else { Err(error) }
}
