//! The devices of a node, and who has which.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gannet_agent_spec::DeviceNode;
use gannet_protocols_model::PodUid;

use crate::allocate::{Grant, Grants, Request, Shortage, allocate, find, nodes};
use crate::class::DeviceClass;
use crate::scan::{Inventory, Roots, scan};
use crate::store::{Store, StoreError};

/// Why a container gets no devices.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// There are too few.
    #[error(transparent)]
    Shortage(#[from] Shortage),
    /// It could not be written down.
    #[error("cannot remember which devices the container has")]
    Store(#[from] StoreError),
}

/// Something about a unit that a container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub pod: PodUid,
    /// Which of its containers.
    pub container: String,
    /// The resource.
    pub resource: String,
    /// The unit.
    pub unit: String,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is gone: these were its nodes.
    Gone(Vec<DeviceNode>),
    /// It is back, or it became another device to the kernel.
    Back {
        /// Its nodes as they were.
        old: Vec<DeviceNode>,
        /// And as they are now.
        new: Vec<DeviceNode>,
    },
}

/// Keeps track. Shared; each call looks or writes at once.
#[derive(Debug)]
pub struct Devices {
    classes: Vec<DeviceClass>,
    roots: Roots,
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    inventory: Inventory,
    grants: Grants,
}

impl Devices {
    /// Looks at what there is, and remembers what was granted: `volatile` is a file for this boot, `durable` one for the
    /// next.
    pub fn open(classes: Vec<DeviceClass>, roots: Roots, volatile: PathBuf, durable: PathBuf) -> Self {
        let store = Store { volatile, durable };
        let state = State { inventory: scan(&classes, &roots), grants: store.load() };
        Self { classes, roots, store, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is anything to look after.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// How many containers could have a unit of each class, by resource; 0 where all of them are gone.
    pub fn counts(&self) -> BTreeMap<String, u32> {
        let state = self.lock();
        let count = |class: &DeviceClass| {
            let units = state.inventory.get(&class.name).map_or(0, Vec::len);
            u32::try_from(units).unwrap_or(u32::MAX).saturating_mul(class.share)
        };
        self.classes.iter().map(|class| (class.resource(), count(class))).collect()
    }

    /// Gives a container what it asks for: what it had before where that is there, else free units.
    ///
    /// # Errors
    /// There are too few, or the grant could not be written down; then nothing is given.
    pub fn allocate(&self, request: &Request<'_>) -> Result<Vec<DeviceNode>, AllocateError> {
        if request.wants.values().all(|n| *n == 0) {
            return Ok(Vec::new());
        }
        let mut state = self.lock();
        state.inventory = scan(&self.classes, &self.roots);
        let given = allocate(&self.classes, &state.inventory, &state.grants, request)?;
        let mut grants = state.grants.clone();
        let pod = grants.entry(request.pod.clone()).or_default();
        for ended in request.ended {
            pod.remove(ended);
        }
        pod.insert(request.container.to_owned(), given.clone());
        self.put(&mut state, grants)?;
        Ok(given.into_iter().flat_map(|grant| grant.nodes).collect())
    }

    /// What a pod has is free again.
    ///
    /// # Errors
    /// It could not be written down, and is not free.
    pub fn free(&self, pod: &PodUid) -> Result<(), StoreError> {
        self.retain(|uid| uid != pod)
    }

    /// Frees what pods have that are not known any more.
    ///
    /// # Errors
    /// It could not be written down, and is not free.
    pub fn retain(&self, is_known: impl Fn(&PodUid) -> bool) -> Result<(), StoreError> {
        let mut state = self.lock();
        let mut grants = state.grants.clone();
        grants.retain(|uid, _| is_known(uid));
        self.put(&mut state, grants)
    }

    fn put(&self, state: &mut State, grants: Grants) -> Result<(), StoreError> {
        if grants != state.grants {
            self.store.save(&grants)?;
            state.grants = grants;
        }
        Ok(())
    }

    /// The pods that have something.
    pub fn holders(&self) -> Vec<PodUid> {
        self.lock().grants.keys().cloned().collect()
    }

    /// What a pod has, by container.
    pub fn grants(&self, pod: &PodUid) -> BTreeMap<String, Vec<Grant>> {
        self.lock().grants.get(pod).cloned().unwrap_or_default()
    }

    /// Looks anew. Gives what changed for containers since it was last told.
    ///
    /// # Errors
    /// It could not be written down; it is told again then.
    pub fn rescan(&self) -> Result<Vec<Change>, StoreError> {
        let mut state = self.lock();
        state.inventory = scan(&self.classes, &self.roots);
        let (mut grants, mut changes) = (state.grants.clone(), Vec::new());
        for (pod, containers) in &mut grants {
            for (container, grants) in containers {
                for grant in grants {
                    let Some(class) = self.classes.iter().find(|c| c.name == grant.class) else { continue };
                    let units = state.inventory.get(&grant.class).map(Vec::as_slice).unwrap_or_default();
                    if let Some(kind) = look(class, grant, units) {
                        let (pod, container) = (pod.clone(), container.clone());
                        let (resource, unit) = (class.resource(), grant.unit.clone());
                        changes.push(Change { pod, container, resource, unit, kind });
                    }
                }
            }
        }
        self.put(&mut state, grants)?;
        Ok(changes)
    }
}

/// Brings a grant up to date.
fn look(class: &DeviceClass, grant: &mut Grant, units: &[crate::scan::Unit]) -> Option<ChangeKind> {
    let Some(unit) = find(units, &grant.unit) else {
        let told = std::mem::replace(&mut grant.gone, true);
        return (!told).then(|| ChangeKind::Gone(grant.nodes.clone()));
    };
    let was_gone = std::mem::replace(&mut grant.gone, false);
    // From now on by the better name.
    grant.unit.clone_from(&unit.id);
    let mut now = nodes(class, unit, &mut 0);
    let keeps_paths = class.usb.is_none() || class.container_path.is_some();
    if keeps_paths && now.len() == grant.nodes.len() {
        // The program in the container knows it by the path that it got first.
        for (new, old) in now.iter_mut().zip(&grant.nodes) {
            new.path_in_container.clone_from(&old.path_in_container);
        }
    }
    let numbers = |nodes: &[DeviceNode]| -> Vec<_> {
        nodes.iter().map(|n| (n.kind, n.major, n.minor, n.path_in_container.clone())).collect()
    };
    let moved = numbers(&now) != numbers(&grant.nodes);
    let old = std::mem::replace(&mut grant.nodes, now.clone());
    (was_gone || moved).then_some(ChangeKind::Back { old, new: now })
}

#[cfg(test)]
#[path = "devices_test.rs"]
mod tests;
