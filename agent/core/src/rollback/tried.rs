//! How the pods of one manifest stand, and what is told of it.

use std::time::Duration;

use gannet_protocols_model::{
    ContainerState, ContainerStatus, Digest, Manifest, PodPhase, PodStatus, PodUid, RestartPolicy, RolledBack,
};

use super::memory::{Healthy, deadline_of};
use super::observe::{Exhausted, Sight};
use crate::desired::DesiredPod;
use crate::observed::ObservedPod;

/// The pods of one manifest of an owner.
pub(super) struct Tried<'a> {
    pub(super) sight: Sight<'a>,
    pub(super) digest: Digest,
    pub(super) pods: Vec<(&'a PodUid, &'a DesiredPod)>,
}

/// How the pods of a manifest stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// One of them ran to its good end.
    Done,
    /// One of them is ready.
    Ready,
    /// None of them will do anything any more, or one that failed for good is not started again: not the device's matter.
    Over,
    NotReady,
}

impl<'a> Tried<'a> {
    pub(super) fn manifest(&self) -> Option<&'a Manifest> {
        self.pods.iter().find_map(|(_, pod)| pod.manifest.as_deref())
    }

    /// The longest of the pods' deadlines; `None` where it may take as long as it takes.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.pods.iter().filter_map(|(_, pod)| deadline_of(&pod.entry)).max()
    }

    /// The pods that run this very manifest.
    fn running(&self) -> impl Iterator<Item = (&'a DesiredPod, &'a ObservedPod, &'a PodStatus)> {
        let sight = self.sight;
        self.pods.iter().filter_map(move |(uid, pod)| {
            let runs = sight.effective.pods.get(*uid).is_some_and(|p| p.instead.is_none());
            let (observed, status) = (sight.observed.pods.get(*uid)?, sight.statuses.get(*uid)?);
            runs.then_some((*pod, observed, status))
        })
    }

    pub(super) fn stands(&self) -> Stands {
        let mut stands = Vec::new();
        for (pod, observed, status) in self.running() {
            let Some(manifest) = &pod.manifest else { continue };
            stands.push(match status.phase {
                _ if observed.record.ended.is_some() => Stands::Over,
                PodPhase::Succeeded => Stands::Done,
                PodPhase::Failed => Stands::Over,
                PodPhase::Running if status.is_ready() && runs_from(pod, manifest, observed) => Stands::Ready,
                // It runs once: an older one must not run in its place.
                _ if manifest.restart_policy == RestartPolicy::Never => Stands::Over,
                _ => Stands::NotReady,
            });
        }
        let any = |what| stands.contains(&what);
        match stands.is_empty() {
            false if any(Stands::Done) => Stands::Done,
            false if any(Stands::Ready) => Stands::Ready,
            false if !any(Stands::NotReady) => Stands::Over,
            _ => Stands::NotReady,
        }
    }

    pub(super) fn healthy(&self) -> Healthy {
        let records = self.running().flat_map(|(_, observed, _)| observed.record.containers.values());
        let images = records.filter_map(|r| r.image.as_ref()).map(|i| (i.name.clone(), i.digest)).collect();
        let fields = self.pods.first().map(|(_, pod)| pod.entry.fields.clone()).unwrap_or_default();
        Healthy { manifest: self.digest, images, fields }
    }

    pub(super) fn exhausted(&self, owner: String) -> Exhausted {
        let pods: Vec<PodUid> = self.pods.iter().map(|(uid, _)| (*uid).clone()).collect();
        let seconds = self.deadline().unwrap_or_default().as_secs();
        let status = pods.first().and_then(|uid| self.sight.statuses.get(uid));
        let bad = status.and_then(|s| s.init_containers.iter().chain(&s.containers).find(|c| is_bad(c)));
        let (reason, why) = bad.map_or_else(
            || ("ProgressDeadlineExceeded".to_owned(), String::new()),
            |container| {
                let (reason, why) = trouble(container);
                (reason, format!(": container {} {why}", container.name))
            },
        );
        let message = format!("the pod did not become ready within {seconds}s{why}");
        Exhausted {
            owner,
            manifest: self.digest,
            pods,
            container: bad.map(|c| c.name.clone()),
            reason,
            message,
        }
    }

    /// What is told while the images of the manifest have not come.
    pub(super) fn meanwhile(&self, deadline: Duration) -> RolledBack {
        let failures = &self.sight.observed.images.failures;
        let containers = self.manifest().into_iter().flat_map(Manifest::all_containers);
        let failure = containers.filter_map(|c| failures.get(&c.image)).next();
        let (reason, why) = match failure {
            Some(failure) => (
                if failure.times > 1 { "ImagePullBackOff" } else { failure.reason },
                failure.message.as_str(),
            ),
            None => ("ImagesNotPulled", "the pull goes on"),
        };
        let message = format!(
            "its images have not come within {}s ({why}); until they have, the last healthy manifest runs",
            deadline.as_secs()
        );
        RolledBack { failed: self.digest, at: self.sight.now, reason: reason.to_owned(), message }
    }
}

/// Whether all containers that should run were started from this manifest.
fn runs_from(pod: &DesiredPod, manifest: &Manifest, observed: &ObservedPod) -> bool {
    observed.record.manifest == pod.entry.manifest
        && manifest
            .containers
            .iter()
            .all(|c| observed.live(&c.name).is_some_and(|live| live.definition == pod.definition(c)))
}

fn is_bad(container: &ContainerStatus) -> bool {
    match &container.state {
        ContainerState::Waiting { reason, .. } => reason != "PodInitializing",
        ContainerState::Running { .. } => !container.ready,
        ContainerState::Terminated(t) => t.exit_code != 0,
    }
}

fn trouble(container: &ContainerStatus) -> (String, String) {
    match &container.state {
        // It was never started: the words say what is in the way.
        ContainerState::Waiting { reason, message } if reason != "ContainerCreating" => {
            let ended = container.last.as_ref().map(|t| format!(" (ended with code {})", t.exit_code));
            let colon = if message.is_empty() { "" } else { ": " };
            (reason.clone(), format!("waits{}{colon}{message}", ended.unwrap_or_default()))
        }
        ContainerState::Terminated(t) if container.restart_count > 0 => {
            ("CrashLoopBackOff".to_owned(), format!("ended with code {} ({})", t.exit_code, t.reason))
        }
        ContainerState::Terminated(t) => {
            ("ProgressDeadlineExceeded".to_owned(), format!("ended with code {} ({})", t.exit_code, t.reason))
        }
        _ => ("ProgressDeadlineExceeded".to_owned(), "is not ready".to_owned()),
    }
}
