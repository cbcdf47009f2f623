//! What an earlier agent left, and what was lost without an agent.

use super::Change;
use crate::fact::AdoptedContainer;
use crate::observed::{Exit, Hook, Live, LiveState, ObservedContainer, ObservedPod};
use crate::probes::Probes;

/// The exit code of a container whose end nobody saw, as kubelet has it.
const UNKNOWN_CODE: i32 = 137;

impl Change<'_> {
    /// What the records say ran, and what nobody found, has ended in some way that nobody saw.
    pub(crate) fn lost_where_not_here(&self, pod: &mut ObservedPod) {
        let here = |name: &String| pod.containers.get(name).is_some_and(|c| c.live.is_some());
        let lost: Vec<String> = pod
            .record
            .containers
            .iter()
            .filter(|(n, r)| r.running && !here(n))
            .map(|(n, _)| n.clone())
            .collect();
        for name in lost {
            let exit = Exit {
                code: UNKNOWN_CODE,
                signal: None,
                oom_killed: false,
                at: self.now,
                known: false,
                message: String::new(),
            };
            let over = self.is_over(pod, &name, exit.code);
            let record = pod.record.containers.entry(name).or_default();
            record.running = false;
            record.ready = false;
            record.started = false;
            // Lost with the machine's power, not by its own fault: it starts again at once.
            record.backoff = None;
            record.over = over;
            record.last = Some(exit.to_terminated(None));
        }
    }

    /// What ended while nobody wanted the pod ended by the rules of the manifest all the same.
    pub(crate) fn over_where_ended(&self, pod: &mut ObservedPod) {
        let ended: Vec<_> = pod
            .containers
            .iter()
            .filter_map(|(name, container)| match &container.live {
                Some(Live { state: LiveState::Exited { started_at, exit }, .. }) => {
                    Some((name.clone(), exit.code, exit.to_terminated(*started_at)))
                }
                _ => None,
            })
            .collect();
        for (name, code, terminated) in ended {
            let over = self.is_over(pod, &name, code);
            let record = pod.record.containers.entry(name).or_default();
            if !record.over && over {
                record.over = true;
                record.last = Some(terminated);
            }
        }
    }

    /// Takes up a run that an earlier agent had begun.
    pub(super) fn adopt(&self, pod: &mut ObservedPod, mut found: AdoptedContainer) {
        let name = found.id.name.clone();
        // Of two runs of one container the later one is the present one.
        if pod.live(&name).is_some_and(|l| l.attempt > found.id.attempt) {
            return;
        }
        let exited = match &found.state {
            LiveState::Exited { exit, .. } => Some(self.is_over(pod, &name, exit.code)),
            LiveState::Created | LiveState::Running { .. } => None,
        };
        let record = pod.record.containers.entry(name.clone()).or_default();
        // The runtime knows the start only roughly; what was told once stays true.
        let told = record.started_at.filter(|_| record.attempts == found.id.attempt.saturating_add(1));
        match &mut found.state {
            LiveState::Running { started_at } => *started_at = told.unwrap_or(*started_at),
            LiveState::Exited { started_at, .. } => *started_at = told.or(*started_at),
            LiveState::Created => {}
        }
        // What is remembered is of this run, or the agent died before it could note that the run began.
        let of_this_run = told.is_some();
        record.attempts = record.attempts.max(found.id.attempt.saturating_add(1));
        record.running = matches!(found.state, LiveState::Running { .. });
        if let (Some(over), LiveState::Exited { started_at, exit }) = (exited, &found.state) {
            record.over = over;
            if over {
                record.last = Some(exit.to_terminated(*started_at));
            }
        }
        let probes = Probes::adopted(record.ready && of_this_run, record.started && of_this_run);
        let post_start = if record.hooked && of_this_run { Hook::Done } else { Hook::Waiting };
        let (attempt, definition) = (found.id.attempt, found.id.definition);
        let live = Live { attempt, definition, state: found.state, post_start, stopping: None };
        let container = ObservedContainer { live: Some(live), probes, ..ObservedContainer::default() };
        pod.containers.insert(name, container);
    }
}
