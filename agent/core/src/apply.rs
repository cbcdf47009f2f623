//! How facts change what is observed, and the events that they are worth.

use gannet_protocols_model::{Digest, ImageReference, NodeEvent, PodUid, PullPolicy, Timestamp};

use crate::apply_pod::Change;
use crate::desired::DesiredWorld;
use crate::event::Teller;
use crate::fact::{Fact, PodFact};
use crate::observed::{Failure, Observed, ObservedPod};
use crate::record::{PodRecord, ResolvedImage};

/// kubelet's word for a container that asks for devices which are not there.
pub(crate) const NO_DEVICES: &str = "UnexpectedAdmissionError";

impl Observed {
    /// The node as the records tell it, before anything was adopted.
    pub fn from_records(records: impl IntoIterator<Item = (PodUid, PodRecord)>) -> Self {
        let pods = records.into_iter().map(|(uid, record)| (uid, ObservedPod::new(record)));
        Self { pods: pods.collect(), ..Self::default() }
    }

    /// Takes up pods that are desired for the first time.
    pub fn admit(&mut self, desired: &DesiredWorld, now: Timestamp) {
        for (uid, wanted) in &desired.pods {
            let grace = wanted.manifest.as_ref().map(|m| m.termination_grace_seconds);
            if !self.pods.contains_key(uid) && wanted.entry.stop_within_seconds.is_some() {
                continue;
            }
            let entry = self.pods.entry(uid.clone());
            let pod = entry.or_insert_with(|| ObservedPod::new(PodRecord::stranger(uid, now)));
            pod.record.namespace.clone_from(&wanted.entry.namespace);
            pod.record.name.clone_from(&wanted.entry.name);
            pod.record.grace_seconds = grace.unwrap_or(pod.record.grace_seconds);
            if wanted.manifest.is_some() {
                pod.manifest.clone_from(&wanted.manifest);
            }
            Change { uid, wanted: Some(wanted), now }.over_where_ended(pod);
            if pod.wanted.replace(wanted.entry.manifest) != Some(wanted.entry.manifest) {
                pod.try_again();
            }
        }
    }

    /// Takes in one fact. Facts about runs that are not the present one change nothing.
    pub fn apply(&mut self, fact: Fact, desired: &DesiredWorld, now: Timestamp) -> Vec<NodeEvent> {
        match fact {
            Fact::AdoptionEnded => {
                for (uid, pod) in &mut self.pods {
                    Change { uid, wanted: desired.pods.get(uid).map(AsRef::as_ref), now }
                        .lost_where_not_here(pod);
                }
                Vec::new()
            }
            Fact::PullBegan { image } => {
                self.images.pulling.insert(image.clone());
                let text = format!("Pulling image \"{image}\"");
                tell_users(&image, desired, now, |teller, name| {
                    vec![teller.normal(Some(name), "Pulling", &*text)]
                })
            }
            Fact::PullEnded { image, result, note } => self.pull_ended(&image, result, &note, desired, now),
            Fact::ImagesHere { local } => {
                self.images.local = local;
                Vec::new()
            }
            Fact::LinkUp => {
                self.images.failures.values_mut().for_each(|f| f.backoff.seconds = 0);
                Vec::new()
            }
            Fact::DevicesChanged => {
                let containers = self.pods.values_mut().flat_map(|pod| pod.containers.values_mut());
                let failures = containers.filter_map(|c| c.failure.as_mut());
                failures.filter(|f| f.reason == NO_DEVICES).for_each(|f| f.backoff.seconds = 0);
                Vec::new()
            }
            Fact::Pod(uid, PodFact::Removed) => {
                self.pods.remove(&uid);
                Vec::new()
            }
            Fact::Pod(uid, fact) => {
                if matches!(fact, PodFact::Adopted { .. }) && !self.pods.contains_key(&uid) {
                    self.pods.insert(uid.clone(), ObservedPod::new(PodRecord::stranger(&uid, now)));
                }
                let wanted = desired.pods.get(&uid).map(AsRef::as_ref);
                match self.pods.get_mut(&uid) {
                    Some(pod) => Change { uid: &uid, wanted, now }.apply(pod, fact),
                    None => Vec::new(),
                }
            }
        }
    }

    fn pull_ended(
        &mut self,
        image: &ImageReference,
        result: Result<Digest, String>,
        note: &str,
        desired: &DesiredWorld,
        now: Timestamp,
    ) -> Vec<NodeEvent> {
        self.images.pulling.remove(image);
        match result {
            Ok(digest) => {
                self.images.failures.remove(image);
                self.images.local.insert(image.clone(), digest);
                self.resolve(image, digest, desired);
                tell_users(image, desired, now, |teller, name| {
                    vec![teller.normal(
                        Some(name),
                        "Pulled",
                        format!("Successfully pulled image \"{image}\"{note}"),
                    )]
                })
            }
            Err(message) => {
                let failure = Failure::after(self.images.failures.get(image), "ErrImagePull", message, now);
                let first = failure.times == 1;
                let text = format!("Failed to pull image \"{image}\": {}", failure.message);
                self.images.failures.insert(image.clone(), failure);
                tell_users(image, desired, now, |teller, name| {
                    if first {
                        let reason = "Error: ErrImagePull";
                        vec![
                            teller.warning(Some(name), "Failed", &*text),
                            teller.warning(Some(name), "Failed", reason),
                        ]
                    } else {
                        vec![teller.normal(
                            Some(name),
                            "BackOff",
                            format!("Back-off pulling image \"{image}\""),
                        )]
                    }
                })
            }
        }
    }

    /// Notes for every container that waits for the image which one it gets.
    fn resolve(&mut self, image: &ImageReference, digest: Digest, desired: &DesiredWorld) {
        for (uid, wanted) in &desired.pods {
            let (Some(pod), Some(manifest)) = (self.pods.get_mut(uid), &wanted.manifest) else { continue };
            for container in manifest.all_containers().filter(|c| c.image == *image) {
                let record = pod.record.containers.entry(container.name.clone()).or_default();
                if record.image.as_ref().is_none_or(|i| i.name != *image || !record.running) {
                    record.image = Some(ResolvedImage { name: image.clone(), digest });
                }
            }
        }
    }
}

/// Events for each container that waits for an image. One that is never to pull learns nothing of another's pull.
fn tell_users<'a>(
    image: &ImageReference,
    desired: &'a DesiredWorld,
    now: Timestamp,
    tell: impl Fn(&Teller<'_>, &'a str) -> Vec<NodeEvent>,
) -> Vec<NodeEvent> {
    let mut events = Vec::new();
    for (uid, wanted) in desired.pods.iter().filter(|(_, d)| d.entry.stop_within_seconds.is_none()) {
        // Also what runs only once the image is here.
        let manifests =
            wanted.manifest.iter().chain(wanted.instead.iter().filter_map(|i| i.waits_for.as_ref()));
        let mut containers = manifests.flat_map(|m| m.all_containers());
        if let Some(container) = containers.find(|c| c.image == *image && c.pull_policy != PullPolicy::Never)
        {
            events.extend(tell(&Teller { pod: uid, at: now }, &container.name));
        }
    }
    events
}
