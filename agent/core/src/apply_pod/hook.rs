//! Hooks, and the ways of a stop.

use gannet_protocols_model::{NodeEvent, Timestamp};

use super::{Change, present};
use crate::container_id::ContainerId;
use crate::fact::HookKind;
use crate::observed::{Hook, Live, ObservedPod, Stopping};

impl Change<'_> {
    pub(super) fn hook_ended(
        &self,
        pod: &mut ObservedPod,
        id: &ContainerId,
        kind: HookKind,
        result: Result<(), String>,
    ) -> Vec<NodeEvent> {
        let Some(live) = present(pod, id).filter(|live| live.is_running()) else { return Vec::new() };
        let state = if result.is_ok() { Hook::Done } else { Hook::Failed };
        match (kind, &mut live.stopping) {
            (HookKind::PostStart, _) => live.post_start = state,
            (HookKind::PreStop, Some(stopping)) => stopping.hook = state,
            (HookKind::PreStop, None) => {}
        }
        if kind == HookKind::PostStart && state == Hook::Done {
            pod.record.containers.entry(id.name.clone()).or_default().hooked = true;
            self.note_probes(pod, &id.name);
        }
        let Err(message) = result else { return Vec::new() };
        let (reason, what) = match kind {
            HookKind::PostStart => ("FailedPostStartHook", "PostStartHook"),
            HookKind::PreStop => ("FailedPreStopHook", "PreStopHook"),
        };
        vec![self.teller().warning(Some(&id.name), reason, format!("{what} failed: {message}"))]
    }

    pub(super) fn stop_began(
        &self,
        pod: &mut ObservedPod,
        id: &ContainerId,
        hook: bool,
        deadline: Timestamp,
        why: String,
    ) -> Vec<NodeEvent> {
        let hook = if hook { Hook::Running } else { Hook::Done };
        let since = self.leaving_since(pod, id);
        let began = Stopping { since, deadline, hook, signalled: None, killed: None };
        let Some(live) = present(pod, id).filter(|l| l.is_running() && l.stopping.is_none()) else {
            return Vec::new();
        };
        live.stopping = Some(began);
        self.note_renewal(pod, id);
        vec![self.teller().normal(Some(&id.name), "Killing", why)]
    }

    pub(super) fn stop_sent(
        &self,
        pod: &mut ObservedPod,
        id: &ContainerId,
        deadline: Timestamp,
        why: String,
    ) -> Vec<NodeEvent> {
        let since = self.leaving_since(pod, id);
        let Some(live) = present(pod, id) else { return Vec::new() };
        let first = live.stopping.is_none();
        let before = stop_of(live, since, deadline);
        live.stopping = Some(Stopping { deadline, signalled: Some(self.now), ..before });
        self.note_renewal(pod, id);
        if first { vec![self.teller().normal(Some(&id.name), "Killing", why)] } else { Vec::new() }
    }

    pub(super) fn kill_sent(&self, pod: &mut ObservedPod, id: &ContainerId) -> Vec<NodeEvent> {
        let since = self.leaving_since(pod, id);
        let Some(live) = present(pod, id) else { return Vec::new() };
        let first = live.stopping.is_none();
        let before = stop_of(live, since, self.now);
        live.stopping = Some(Stopping { killed: Some(self.now), ..before });
        let why = format!("Stopping container {}", id.name);
        if first { vec![self.teller().normal(Some(&id.name), "Killing", why)] } else { Vec::new() }
    }

    /// Since when a run is to end: where the pod leaves and an earlier agent had asked it to already, since then.
    fn leaving_since(&self, pod: &mut ObservedPod, id: &ContainerId) -> Timestamp {
        if !self.leaves(pod) || present(pod, id).is_none() {
            return self.now;
        }
        let record = pod.record.containers.entry(id.name.clone()).or_default();
        let since = record.leaving_since.filter(|since| *since <= self.now).unwrap_or(self.now);
        record.leaving_since = Some(since);
        since
    }

    /// Where a container is ended for another definition or for a resize, its end is not the restart policy's matter.
    fn note_renewal(&self, pod: &mut ObservedPod, id: &ContainerId) {
        let Some((wanted, container)) = self.wanted.and_then(|w| Some((w, w.container(&id.name)?))) else {
            return;
        };
        let renew = wanted.definition(container) != id.definition
            || crate::resize::resize(pod, container).is_some_and(|r| r.restarts);
        if renew && !self.leaves(pod) {
            pod.record.containers.entry(id.name.clone()).or_default().renew = true;
        }
    }
}

/// The stop that is under way, or one that began then, without a hook.
fn stop_of(live: &Live, since: Timestamp, deadline: Timestamp) -> Stopping {
    let begun = Stopping { since, deadline, hook: Hook::Done, signalled: None, killed: None };
    live.stopping.unwrap_or(begun)
}
