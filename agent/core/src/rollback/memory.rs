//! What is remembered of the manifests of each owner, across restarts and reboots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gannet_protocols_model::{Digest, ImageReference, PodEntry, RolledBack, Timestamp};
use serde::{Deserialize, Serialize};

/// An owner without pods is remembered this long: with `Recreate` the old pods are gone before the new ones come.
const ABSENT: Duration = Duration::from_secs(24 * 3600);
/// Owners without pods that are remembered at the most: their manifests and images take disk.
const MAX_ABSENT: usize = 64;
/// What of a deadline was used is written to flash in so many steps, and no step is shorter than [`SHORTEST_STEP`].
const STEPS: u32 = 8;
const SHORTEST_STEP: Duration = Duration::from_secs(5);

/// What is remembered of all owners, by [`owner_of`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackMemory {
    #[serde(default)]
    pub(super) owners: BTreeMap<String, OwnerMemory>,
}

/// What is remembered of one owner's manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerMemory {
    /// Manifests that became ready. The last is the one to go back to; those before it are there for as long as the
    /// document names them beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) healthy: Vec<Healthy>,
    /// Manifests that have to show themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) trials: BTreeMap<Digest, Trial>,
    /// Manifests that were given up and that the document still names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) failed: BTreeMap<Digest, RolledBack>,
    /// Since when the document names no pod of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) absent_since: Option<Timestamp>,
}

/// A manifest that became ready, and what it needs to do so again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healthy {
    /// The manifest.
    pub manifest: Digest,
    /// What the names of its images stood for: a tag may have moved since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<ImageReference, Digest>,
    /// The values that only the hub knows, as the entry had them: another manifest may name others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// A manifest that has to show itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    /// The deadline, as it was last given; 0 where no time has to be counted.
    pub(super) deadline_ms: u64,
    /// What of it was used while the images were here.
    #[serde(default)]
    pub(super) used_ms: u64,
    /// How long its images were waited for.
    #[serde(default)]
    pub(super) waited_ms: u64,
    /// Whether its images were here when last looked: it may have been started.
    #[serde(default)]
    pub(super) begun: bool,
    /// Set while the healthy manifest runs instead, since the images did not come in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) meanwhile: Option<RolledBack>,
    /// Up to when time was counted. Not kept: while no agent runs none is.
    #[serde(skip)]
    pub(super) counted: Option<Timestamp>,
    /// Since when a pod of it has been ready without a break.
    #[serde(skip)]
    pub(super) ready_since: Option<Timestamp>,
}

/// Whose manifests follow each other: the entry's owner, or a pod of its own by its name.
pub(super) fn owner_of(entry: &PodEntry) -> String {
    entry.owner.clone().unwrap_or_else(|| format!("{}/Pod/{}", entry.namespace, entry.name))
}

pub(super) fn deadline_of(entry: &PodEntry) -> Option<Duration> {
    entry.progress_deadline_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)))
}

impl Trial {
    pub(super) fn step_ms(&self) -> u64 {
        (self.deadline_ms / u64::from(STEPS)).max(millis(SHORTEST_STEP))
    }

    /// With its times rounded down to whole steps, and without what is not kept.
    fn in_steps(&self, step_ms: u64) -> Self {
        Self {
            used_ms: self.used_ms / step_ms * step_ms,
            waited_ms: self.waited_ms / step_ms * step_ms,
            counted: None,
            ready_since: None,
            ..self.clone()
        }
    }
}

impl OwnerMemory {
    /// The manifest to go back to from this one.
    pub(super) fn target(&self, from: &Digest) -> Option<&Healthy> {
        self.healthy.last().filter(|healthy| healthy.manifest != *from)
    }

    pub(super) fn is_healthy(&self, manifest: &Digest) -> bool {
        self.healthy.iter().any(|healthy| healthy.manifest == *manifest)
    }

    /// Makes a manifest the one to go back to.
    pub(super) fn prove(&mut self, proven: Healthy) {
        self.trials.remove(&proven.manifest);
        self.failed.remove(&proven.manifest);
        self.healthy.retain(|healthy| healthy.manifest != proven.manifest);
        self.healthy.push(proven);
    }

    fn in_steps(&self, step_ms: impl Fn(&Trial) -> u64) -> Self {
        let trials = self.trials.iter().map(|(digest, trial)| (*digest, trial.in_steps(step_ms(trial))));
        Self { trials: trials.collect(), ..self.clone() }
    }
}

impl RollbackMemory {
    /// The part that must survive a power cut; it changes seldom.
    #[must_use]
    pub fn durable(&self) -> Self {
        self.in_steps(Trial::step_ms)
    }

    /// The part that an agent which is started again in the same boot needs: to the second.
    #[must_use]
    pub fn coarse(&self) -> Self {
        self.in_steps(|_| 1000)
    }

    fn in_steps(&self, step_ms: impl Fn(&Trial) -> u64) -> Self {
        let owners = self.owners.iter().map(|(name, owner)| (name.clone(), owner.in_steps(&step_ms)));
        Self { owners: owners.collect() }
    }

    /// After a boot: what was used since the last step was written is not known and counts as a whole step, so that a
    /// manifest which takes the machine down with it is given up too.
    pub fn rebooted(&mut self) {
        for trial in self.owners.values_mut().flat_map(|owner| owner.trials.values_mut()) {
            if trial.begun {
                trial.used_ms = trial.used_ms.saturating_add(trial.step_ms());
            }
        }
    }

    /// The manifests that may be gone back to.
    pub fn targets(&self) -> BTreeMap<Digest, &Healthy> {
        let last = self.owners.values().filter_map(|owner| owner.healthy.last());
        last.map(|healthy| (healthy.manifest, healthy)).collect()
    }

    /// The images that they need, by digest.
    pub fn images(&self) -> BTreeSet<Digest> {
        self.targets().values().flat_map(|healthy| healthy.images.values().copied()).collect()
    }

    /// Whether a manifest was given up for this owner.
    pub fn has_failed(&self, entry: &PodEntry) -> bool {
        self.owners.get(&owner_of(entry)).is_some_and(|owner| owner.failed.contains_key(&entry.manifest))
    }

    /// Forgets owners that have had no pods for long.
    pub(super) fn forget_absent(&mut self, present: &BTreeSet<String>, now: Timestamp) {
        for (name, owner) in &mut self.owners {
            if present.contains(name) {
                owner.absent_since = None;
            } else {
                owner.absent_since.get_or_insert(now);
                owner.trials.clear();
            }
        }
        self.owners.retain(|_, owner| {
            let long = owner.absent_since.is_some_and(|since| now.since(since) >= ABSENT);
            let pointless = owner.absent_since.is_some() && owner.healthy.is_empty();
            !(long || pointless)
        });
        let mut absent: Vec<(Timestamp, String)> =
            self.owners.iter().filter_map(|(name, o)| Some((o.absent_since?, name.clone()))).collect();
        absent.sort();
        for (_, name) in absent.iter().take(absent.len().saturating_sub(MAX_ABSENT)) {
            self.owners.remove(name);
        }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
