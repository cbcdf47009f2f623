//! Who gets which unit. Pure: the same devices, grants and request give the same answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gannet_agent_spec::DeviceNode;
use gannet_protocols_model::PodUid;
use serde::{Deserialize, Serialize};

use crate::class::{DeviceClass, PREFIX};
use crate::scan::{Inventory, Node, Number, Unit};

/// A unit that a container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Of which class.
    pub class: String,
    /// Which unit: its lasting name.
    pub unit: String,
    /// Its nodes, as the container has them.
    pub nodes: Vec<DeviceNode>,
    /// It was told that the unit is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// By pod and container.
pub(crate) type Grants = BTreeMap<PodUid, BTreeMap<String, Vec<Grant>>>;

/// What a container asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its pod.
    pub pod: &'a PodUid,
    /// It.
    pub container: &'a str,
    /// Resources and how many of each. Those that are no devices of ours are missing here.
    pub wants: &'a BTreeMap<String, u32>,
    /// Containers of the pod that have ended for good before this one starts: what they have can be had again.
    pub ended: &'a [String],
}

/// There are not as many free units as are asked for. The sentence is kubelet's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Allocate failed due to requested number of devices unavailable for {resource}. Requested: {requested}, Available: {available}, which is unexpected"
)]
pub struct Shortage {
    /// Of which resource.
    pub resource: String,
    /// How many.
    pub requested: u32,
    /// And how many there are.
    pub available: u32,
}

/// The grants of a container that is about to start. What it had before it keeps, where that is still there.
pub(crate) fn allocate(
    classes: &[DeviceClass],
    inventory: &Inventory,
    grants: &Grants,
    request: &Request<'_>,
) -> Result<Vec<Grant>, Shortage> {
    let mut given = Vec::new();
    for (resource, requested) in request.wants.iter().filter(|(_, n)| **n > 0) {
        let class = resource.strip_prefix(PREFIX).and_then(|name| classes.iter().find(|c| c.name == name));
        let units = class.and_then(|c| inventory.get(&c.name)).map(Vec::as_slice).unwrap_or_default();
        let short = |available: usize| Shortage {
            resource: resource.clone(),
            requested: *requested,
            available: u32::try_from(available).unwrap_or(u32::MAX),
        };
        let Some(class) = class else { return Err(short(0)) };
        let chosen = choose(classes, class, units, inventory, grants, request);
        let wanted = usize::try_from(*requested).unwrap_or(usize::MAX);
        if chosen.len() < wanted {
            return Err(short(chosen.len()));
        }
        let mut place = 0;
        for unit in chosen.into_iter().take(wanted) {
            let nodes = nodes(class, unit, &mut place);
            given.push(Grant { class: class.name.clone(), unit: unit.id.clone(), nodes, gone: false });
        }
    }
    Ok(given)
}

/// The units that the container may have, those that it had first.
fn choose<'a>(
    classes: &[DeviceClass],
    class: &DeviceClass,
    units: &'a [Unit],
    inventory: &Inventory,
    grants: &Grants,
    request: &Request<'_>,
) -> Vec<&'a Unit> {
    let own = grants.get(request.pod).and_then(|pod| pod.get(request.container));
    let mine = own.into_iter().flatten().filter(|grant| grant.class == class.name);
    let kept: Vec<&Unit> = mine.filter_map(|grant| find(units, &grant.unit)).collect();
    let others = || {
        let all = grants.iter().flat_map(|(pod, of)| of.iter().map(move |(name, has)| (pod, name, has)));
        let free = |pod: &PodUid, name: &String| {
            pod == request.pod && (name == request.container || request.ended.contains(name))
        };
        all.filter(move |(pod, name, _)| !free(pod, name)).flat_map(|(_, _, has)| has)
    };
    let is_free = |unit: &&Unit| {
        let users = others().filter(|grant| overlaps(inventory, grant, unit));
        let shares = users.map(|grant| classes.iter().find(|c| c.name == grant.class).map_or(1, |c| c.share));
        let shares: Vec<u32> = shares.collect();
        let least = shares.iter().copied().min().unwrap_or(u32::MAX).min(class.share);
        u32::try_from(shares.len()).is_ok_and(|users| users < least)
    };
    // What another one was given meanwhile, by a class that names the same device, is not kept.
    let mut chosen: Vec<&Unit> = kept.into_iter().filter(is_free).collect();
    for unit in units.iter().filter(is_free) {
        if !chosen.iter().any(|c| c.id == unit.id) {
            chosen.push(unit);
        }
    }
    chosen
}

/// The unit that was remembered by this name.
pub(crate) fn find<'a>(units: &'a [Unit], name: &str) -> Option<&'a Unit> {
    units.iter().find(|u| u.id == name).or_else(|| units.iter().find(|u| u.aliases.iter().any(|a| a == name)))
}

/// Whether what was granted is, as things are now, a device of this unit.
fn overlaps(inventory: &Inventory, grant: &Grant, unit: &Unit) -> bool {
    let has = |number: Number| unit.nodes.iter().any(|own| own.number == number);
    let Some(units) = inventory.get(&grant.class) else {
        // Its class left the configuration, but the container still has what it had.
        let number = |node: &DeviceNode| Number { kind: node.kind, major: node.major, minor: node.minor };
        return !grant.gone && grant.nodes.iter().any(|node| has(number(node)));
    };
    let granted = find(units, &grant.unit);
    granted.is_some_and(|granted| granted.nodes.iter().any(|node| has(node.number)))
}

/// The nodes of a unit as a container gets them; `place` counts those of its class.
pub(crate) fn nodes(class: &DeviceClass, unit: &Unit, place: &mut usize) -> Vec<DeviceNode> {
    let node = |node: &Node| {
        let path_in_container = path_in_container(class, &node.path, *place);
        *place += 1;
        DeviceNode {
            path_on_node: node.path.clone(),
            path_in_container,
            major: node.number.major,
            minor: node.number.minor,
            kind: node.number.kind,
            access: class.permissions.clone(),
            // Its container's user may use it, as containerd does with `device_ownership_from_security_context`.
            mode: None,
            owner: None,
        }
    };
    unit.nodes.iter().map(node).collect()
}

fn path_in_container(class: &DeviceClass, found: &Path, place: usize) -> PathBuf {
    match &class.container_path {
        None if found.starts_with("/dev") => found.to_owned(),
        // Containers have devices below /dev alone.
        None => Path::new("/dev").join(found.file_name().unwrap_or_default()),
        Some(folder) if folder.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            folder.join(found.file_name().unwrap_or_default())
        }
        Some(path) if place == 0 => path.clone(),
        Some(path) => {
            let mut numbered = path.clone().into_os_string();
            numbered.push(place.to_string());
            numbered.into()
        }
    }
}

#[cfg(test)]
#[path = "allocate_test.rs"]
mod tests;
