//! What the memory learns from what it sees: which manifests are healthy, and whose time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gannet_protocols_model::{Digest, NodeEvent, PodStatus, PodUid, RolledBack, Timestamp};

use super::effective::{are_here, pulls};
use super::memory::{OwnerMemory, RollbackMemory, Trial, millis, owner_of};
use super::tried::{Stands, Tried};
use crate::action::Action;
use crate::desired::DesiredWorld;
use crate::event::Teller;
use crate::observed::Observed;

/// A container that crashes at once is ready for a moment, too: only one that stays so shows that its manifest is good.
/// At most half the deadline.
const STAYS_READY: Duration = Duration::from_secs(10);
/// More than this between two looks is no time that the node had: it slept, or its clock was set.
const LONGEST_LOOK: Duration = Duration::from_secs(65);
/// The most bytes of a container's log in a message.
const MAX_LOG: usize = 1024;
/// And lines.
const MAX_LOG_LINES: usize = 10;

/// What the memory looks at.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The world that the document names.
    pub named: &'a DesiredWorld,
    /// The one that the node works towards.
    pub effective: &'a DesiredWorld,
    /// What is.
    pub observed: &'a Observed,
    /// What is told of the pods of the effective world.
    pub statuses: &'a BTreeMap<PodUid, PodStatus>,
    /// The time.
    pub now: Timestamp,
}

/// A manifest whose time is over. It is given up by [`RollbackMemory::give_up`], with the last lines of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    pub(super) owner: String,
    /// The manifest.
    pub manifest: Digest,
    /// The pods that run it.
    pub pods: Vec<PodUid>,
    /// The container that is not as it should be, if one stands out: of the first of the pods.
    pub container: Option<String>,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Sight<'_> {
    /// The pulls for manifests that wait for their images while others run in their place, and when to look again.
    pub fn pulls(&self) -> (Vec<Action>, Option<Timestamp>) {
        pulls(self.effective, &self.observed.images, self.now)
    }
}

impl RollbackMemory {
    /// Learns from what is. Gives the manifests that have to be given up, and when to look again.
    pub fn observe(&mut self, sight: Sight<'_>) -> (Vec<Exhausted>, Option<Timestamp>) {
        // Before the first document there is nothing to learn, and nobody to forget.
        if sight.named.generation.0 == 0 {
            return (Vec::new(), None);
        }
        let mut owners: BTreeMap<String, BTreeMap<Digest, Tried<'_>>> = BTreeMap::new();
        for (uid, pod) in &sight.named.pods {
            if pod.entry.stop_within_seconds.is_none() {
                let tried = owners.entry(owner_of(&pod.entry)).or_default().entry(pod.entry.manifest);
                let digest = pod.entry.manifest;
                tried.or_insert_with(|| Tried { sight, digest, pods: Vec::new() }).pods.push((uid, pod));
            }
        }
        let present: BTreeSet<String> = owners.keys().cloned().collect();
        self.forget_absent(&present, sight.now);
        let (mut exhausted, mut wake) = (Vec::new(), None::<Timestamp>);
        for (name, manifests) in owners {
            let owner = self.owners.entry(name.clone()).or_default();
            owner.tidy(&manifests);
            for tried in manifests.values() {
                if owner.is_healthy(&tried.digest) || owner.failed.contains_key(&tried.digest) {
                    continue;
                }
                match owner.look(tried) {
                    Look::Exhausted => exhausted.push(tried.exhausted(name.clone())),
                    Look::Again(at) => wake = Some(wake.map_or(at, |w| w.min(at))),
                    Look::Nothing => {}
                }
            }
        }
        (exhausted, wake)
    }

    /// Gives a manifest up, with the end of its log, and tells of it. Not where there is none to go back to any more.
    pub fn give_up(&mut self, exhausted: &Exhausted, log: &str, now: Timestamp) -> Vec<NodeEvent> {
        let Some(owner) = self.owners.get_mut(&exhausted.owner) else { return Vec::new() };
        let Some(target) = owner.target(&exhausted.manifest).map(|h| h.manifest) else { return Vec::new() };
        if owner.trials.remove(&exhausted.manifest).is_none() {
            return Vec::new();
        }
        let log = last_lines(log);
        let mut message = exhausted.message.clone();
        if !log.is_empty() {
            message.push_str("; last lines of its log:\n");
            message.push_str(&log);
        }
        let Exhausted { manifest: failed, reason, .. } = exhausted.clone();
        let text = format!("Rolled back from manifest {failed} to {target}: {reason}: {message}");
        owner.failed.insert(failed, RolledBack { failed, at: now, reason, message });
        let tell =
            |pod| Teller { pod, at: now }.warning(exhausted.container.as_deref(), "RolledBack", &*text);
        exhausted.pods.iter().map(tell).collect()
    }
}

enum Look {
    Nothing,
    Again(Timestamp),
    Exhausted,
}

impl OwnerMemory {
    /// Forgets what the document does not name any more. What it names after that is new, and is tried (again).
    fn tidy(&mut self, named: &BTreeMap<Digest, Tried<'_>>) {
        self.failed.retain(|digest, _| named.contains_key(digest));
        // Where the document goes back by itself while both are there, the one it names is the one to go back to.
        let last_is_named = self.healthy.last().is_none_or(|last| named.contains_key(&last.manifest));
        let ready = self
            .healthy
            .iter()
            .rposition(|h| named.get(&h.manifest).is_some_and(|tried| tried.stands() == Stands::Ready));
        if let Some(at) = ready.filter(|_| !last_is_named) {
            let healthy = self.healthy.remove(at);
            self.healthy.push(healthy);
        }
        let last = self.healthy.last().map(|h| h.manifest);
        self.healthy.retain(|h| Some(h.manifest) == last || named.contains_key(&h.manifest));
        let healthy: BTreeSet<Digest> = self.healthy.iter().map(|h| h.manifest).collect();
        self.trials.retain(|digest, _| named.contains_key(digest) && !healthy.contains(digest));
    }

    fn look(&mut self, tried: &Tried<'_>) -> Look {
        let Some(manifest) = tried.manifest() else { return Look::Nothing };
        let (now, deadline) = (tried.sight.now, tried.deadline());
        // Where there is no way back, or no deadline, no time has to be counted.
        let bounded = deadline.filter(|_| self.target(&tried.digest).is_some());
        let trial = self.trials.entry(tried.digest).or_default();
        let passed =
            trial.counted.replace(now).map_or(Duration::ZERO, |last| now.since(last).min(LONGEST_LOOK));
        trial.deadline_ms = bounded.map_or(0, millis);
        match tried.stands() {
            Stands::Done => {
                self.prove(tried.healthy());
                return Look::Nothing;
            }
            Stands::Over => return Look::Nothing,
            Stands::Ready => {
                let since = *trial.ready_since.get_or_insert(now);
                let stays = deadline.map_or(STAYS_READY, |deadline| STAYS_READY.min(deadline / 2));
                if now.since(since) >= stays {
                    self.prove(tried.healthy());
                    return Look::Nothing;
                }
                trial.used_ms = trial.used_ms.saturating_add(millis(passed)).min(trial.deadline_ms);
                return Look::Again(since.plus(stays));
            }
            Stands::NotReady => trial.ready_since = None,
        }
        let Some(deadline) = bounded else { return Look::Nothing };
        let here = are_here(manifest, &tried.sight.observed.images);
        match if here { trial.uses(passed) } else { trial.waits(passed) } {
            Some(left) => Look::Again(now.plus(left)),
            None if here => Look::Exhausted,
            None => {
                trial.meanwhile.get_or_insert_with(|| tried.meanwhile(deadline));
                Look::Nothing
            }
        }
    }
}

impl Trial {
    /// Some of the deadline went by with the images here. `None` where nothing of it is left.
    fn uses(&mut self, passed: Duration) -> Option<Duration> {
        if self.meanwhile.take().is_some() || !self.begun {
            self.begun = true;
            self.used_ms = 0;
        } else {
            self.used_ms = self.used_ms.saturating_add(millis(passed)).min(self.deadline_ms);
        }
        self.waited_ms = 0;
        self.left(self.used_ms)
    }

    /// As [`Trial::uses`], for the time in which the images may come.
    fn waits(&mut self, passed: Duration) -> Option<Duration> {
        self.waited_ms = self.waited_ms.saturating_add(millis(passed)).min(self.deadline_ms);
        self.left(self.waited_ms)
    }

    fn left(&self, used_ms: u64) -> Option<Duration> {
        self.deadline_ms.checked_sub(used_ms).filter(|ms| *ms > 0).map(Duration::from_millis)
    }
}

/// The end of a log, bounded.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let text = lines[lines.len().saturating_sub(MAX_LOG_LINES)..].join("\n");
    let from = (text.len().saturating_sub(MAX_LOG)..text.len()).find(|at| text.is_char_boundary(*at));
    from.map_or(String::new(), |at| text[at..].to_owned())
}
