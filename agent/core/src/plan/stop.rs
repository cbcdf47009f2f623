//! How containers are asked to end: the hook, the turn, the signal, the kill.

use std::time::Duration;

use gannet_protocols_model::{HookAction, Manifest, PodUid, Timestamp};

use super::{Planner, run_of};
use crate::action::Action;
use crate::observed::{Hook, Live, ObservedPod, Stopping};

/// SIGTERM, where neither manifest nor image name another signal.
const SIGTERM: i32 = 15;
/// A process that survives SIGKILL (it hangs in the kernel) is killed again this often.
const KILL_AGAIN: Duration = Duration::from_secs(10);
/// A clock that moved back by less than this did not: what is noted may be a little younger than the plan.
const JITTER: Duration = Duration::from_secs(1);
/// However little of its grace its hook left, a container has so long after its signal. kubelet's number.
const LEAST: Duration = Duration::from_secs(2);

/// One stop.
pub(super) struct Stop<'a> {
    /// Runs before the signal.
    pub(super) hook: Option<&'a HookAction>,
    /// Whether what has to end before it has ended.
    pub(super) turn: bool,
    /// Seconds from the first word of it to the kill.
    pub(super) grace: u32,
    /// Whether `grace` also shortens a stop that goes on already.
    pub(super) shortens: bool,
    /// In a sentence.
    pub(super) why: String,
}

impl<'a> Planner<'a> {
    /// Stops everything that runs in a pod: at first all but the sidecars, then these from the last to the first. False
    /// where nothing runs.
    pub(super) fn stop_all(
        &mut self,
        uid: &PodUid,
        pod: &'a ObservedPod,
        manifest: Option<&'a Manifest>,
        grace: u32,
    ) -> bool {
        let running: Vec<(&String, &Live)> = pod
            .containers
            .iter()
            .filter_map(|(n, c)| c.live.as_ref().filter(|l| l.is_running()).map(|l| (n, l)))
            .collect();
        let place = |name: &str| {
            let inits = manifest.map(|m| m.init_containers.as_slice()).unwrap_or_default();
            inits.iter().position(|c| c.sidecar && c.name == name)
        };
        for (name, live) in &running {
            let turn = match place(name) {
                None => true,
                Some(own) => running
                    .iter()
                    .filter(|(other, _)| other != name)
                    .all(|(other, _)| place(other).is_some_and(|other| other < own)),
            };
            let container = manifest.and_then(|m| m.all_containers().find(|c| c.name == **name));
            let hook = container.and_then(|c| c.pre_stop.as_ref());
            let why = format!("Stopping container {name}");
            self.stop(uid, pod, name, live, Stop { hook, turn, grace, shortens: true, why });
        }
        !running.is_empty()
    }

    /// Asks a running container to end, and after its grace makes it.
    pub(super) fn stop(&mut self, uid: &PodUid, pod: &ObservedPod, name: &str, live: &Live, stop: Stop<'_>) {
        let grace = Duration::from_secs(u64::from(stop.grace));
        let id = run_of(name, live);
        let kill = Action::KillContainer { pod: uid.clone(), id: id.clone() };
        let signal = pod.history(name).and_then(|h| h.stop_signal).unwrap_or(SIGTERM);
        let ask =
            |deadline, why| Action::StopContainer { pod: uid.clone(), id: id.clone(), signal, deadline, why };
        let Some(Stopping { since, deadline, hook, signalled, killed }) = live.stopping else {
            // An earlier agent may have asked it before.
            let began = pod.history(name).and_then(|h| h.leaving_since).filter(|_| stop.shortens);
            let end = began.filter(|began| *began <= self.now).unwrap_or(self.now).plus(grace);
            let action = if grace.is_zero() {
                kill
            } else if (stop.hook.is_some() || !stop.turn) && end > self.now {
                let hook = stop.hook.cloned();
                Action::BeginStop { pod: uid.clone(), id: id.clone(), hook, deadline: end, why: stop.why }
            } else {
                ask(end.max(self.now.plus(LEAST)), stop.why)
            };
            return self.actions.push(action);
        };
        let end = if stop.shortens { deadline.min(since.plus(grace)) } else { deadline };
        let (from, until) = match (killed, signalled) {
            (Some(killed), _) => (killed, killed.plus(KILL_AGAIN)),
            _ if stop.shortens && grace.is_zero() => return self.actions.push(kill),
            (None, Some(signalled)) => (since, end.max(signalled.plus(LEAST).min(deadline))),
            (None, None) => {
                let waits = (hook == Hook::Running || !stop.turn) && !self.is_before(since) && self.now < end;
                if waits {
                    self.wake(end);
                } else {
                    self.actions.push(ask(end.max(self.now.plus(LEAST)), stop.why));
                }
                return;
            }
        };
        // Where the clock moved back, the wait is over rather than longer.
        if self.now >= until || self.is_before(from) {
            self.actions.push(kill);
        } else {
            self.wake(until);
        }
    }

    /// Whether the clock moved back since then.
    fn is_before(&self, then: Timestamp) -> bool {
        self.now.plus(JITTER) < then
    }
}
