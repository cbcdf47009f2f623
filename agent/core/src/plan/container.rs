//! What one container needs: a start, a restart, a hook, a resize, an end.

use gannet_protocols_model::{Container, RestartPolicy};

use super::{Planner, Stop, Wanted, run_of};
use crate::action::Action;
use crate::container_id::{ContainerId, Definition};
use crate::observed::{Hook, Live, LiveState};
use crate::probes::ProbeKind;
use crate::resize::resize;
use crate::restart::restarts;

impl<'a> Planner<'a> {
    /// `init`: an init container that has to complete.
    pub(super) fn container(&mut self, wanted: &Wanted<'a>, container: &'a Container, init: bool) {
        let (pod, name) = (wanted.pod, &container.name);
        let definition = wanted.desired.definition(container);
        let history = pod.history(name);
        match pod.live(name) {
            None => {
                let over = history.is_some_and(|h| h.over);
                let failure = pod.containers.get(name).and_then(|c| c.failure.as_ref());
                if over && !init {
                    return;
                }
                if let Some(at) = failure.and_then(|f| f.retry_at(self.now)) {
                    return self.wake(at);
                }
                if let Some(at) = wanted.backoff_until(container, self.now).filter(|_| !over) {
                    return self.wake(at);
                }
                self.start(wanted, container, definition, None);
            }
            Some(live @ Live { state: LiveState::Created, .. }) => {
                self.start(wanted, container, definition, Some(live))
            }
            Some(live @ Live { state: LiveState::Running { .. }, .. }) => {
                self.running(wanted, container, live, &definition);
            }
            Some(live @ Live { state: LiveState::Exited { exit, .. }, .. }) => {
                let policy =
                    if container.sidecar { RestartPolicy::Always } else { wanted.manifest.restart_policy };
                // Ended for the sake of its new definition, whatever the policy says.
                let renewed = history.is_some_and(|h| h.renew);
                if !renewed && !restarts(policy, exit.code) {
                    return;
                }
                let changed = renewed || live.definition != definition;
                if let Some(at) = wanted.backoff_until(container, self.now).filter(|_| !changed) {
                    return self.wake(at);
                }
                self.start(wanted, container, definition, Some(live));
            }
        }
    }

    fn start(
        &mut self,
        wanted: &Wanted<'a>,
        container: &'a Container,
        definition: Definition,
        old: Option<&Live>,
    ) {
        let Some(image) = self.image(wanted.pod, container) else { return };
        let (pod, name) = (wanted.uid.clone(), &container.name);
        if let Some(old) = old {
            self.actions.push(Action::RemoveContainer { pod: pod.clone(), id: run_of(name, old) });
        }
        let attempt = wanted.pod.history(name).map_or(0, |h| h.attempts);
        let id = ContainerId { name: name.clone(), attempt, definition };
        self.actions.push(Action::StartContainer { pod, id, image });
    }

    fn running(
        &mut self,
        wanted: &Wanted<'a>,
        container: &'a Container,
        live: &Live,
        definition: &Definition,
    ) {
        let (name, pod) = (&container.name, wanted.pod);
        let mut grace = wanted.manifest.termination_grace_seconds;
        let why = if live.stopping.is_some() {
            String::new()
        } else if live.definition != *definition {
            // The old one runs until the new image is here.
            if self.image(pod, container).is_none() {
                return;
            }
            format!("Container {name} definition changed, will be restarted")
        } else if live.post_start == Hook::Failed {
            "FailedPostStartHook".to_owned()
        } else if let Some(kind) = pod.containers.get(name).and_then(|c| c.probes.fatal(container)) {
            let probe = match kind {
                ProbeKind::Startup => &container.startup,
                ProbeKind::Liveness | ProbeKind::Readiness => &container.liveness,
            };
            grace = probe.as_ref().and_then(|p| p.grace_seconds).unwrap_or(grace);
            format!("Container {name} failed {} probe, will be restarted", kind.as_str().to_lowercase())
        } else if resize(pod, container).is_some_and(|r| r.restarts) {
            format!("Container {name} resize requires restart")
        } else {
            return self.keep(wanted, container, live);
        };
        let hook = container.pre_stop.as_ref();
        let stop = Stop { hook, turn: true, grace, shortens: false, why };
        self.stop(wanted.uid, pod, name, live, stop);
    }

    /// A container that runs as it should.
    fn keep(&mut self, wanted: &Wanted<'a>, container: &'a Container, live: &Live) {
        let (uid, pod, name) = (wanted.uid.clone(), wanted.pod, &container.name);
        if let (Hook::Waiting, Some(hook)) = (live.post_start, &container.post_start) {
            let (id, hook) = (run_of(name, live), hook.clone());
            self.actions.push(Action::RunPostStart { pod: uid.clone(), id, hook });
        }
        if resize(pod, container).is_none() {
            return;
        }
        let failed = pod.containers.get(name).and_then(|c| c.resize.as_ref());
        match failed.and_then(|f| f.retry_at(self.now)) {
            Some(at) => self.wake(at),
            None => {
                let (id, resources) = (run_of(name, live), container.resources);
                self.actions.push(Action::ResizeContainer { pod: uid, id, resources });
            }
        }
    }
}
