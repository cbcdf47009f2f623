//! Probes: when each is due, and what a row of results means. Thresholds are kubelet's.

use std::net::Ipv4Addr;
use std::time::Duration;

use gannet_protocols_model::{Container, PodUid, Probe, ProbeAction, Timestamp};

use crate::desired::DesiredWorld;
use crate::observed::{Hook, Live, LiveState, Observed};

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Holds the others back until it succeeded once; failing restarts.
    Startup,
    /// Failing restarts.
    Liveness,
    /// Failing takes the pod out of services.
    Readiness,
}

impl ProbeKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// As events name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The container's probe of this kind.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup.as_ref(),
            Self::Liveness => container.liveness.as_ref(),
            Self::Readiness => container.readiness.as_ref(),
        }
    }
}

/// One probe's results so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProbeState {
    /// What the results so far mean; `None` before a threshold was reached.
    pub verdict: Option<bool>,
    /// The last result and how often it came in a row.
    row: Option<(bool, u32)>,
    /// When the last try began.
    last: Option<Timestamp>,
    /// Whether a try is under way.
    running: bool,
}

/// All probes of one run of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Probes {
    startup: ProbeState,
    liveness: ProbeState,
    readiness: ProbeState,
}

/// A probe to run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRun {
    /// Of which pod.
    pub pod: PodUid,
    /// Of which container.
    pub container: String,
    /// Of which of its runs.
    pub attempt: u32,
    /// Which probe.
    pub kind: ProbeKind,
    /// What to try.
    pub action: ProbeAction,
    /// How long it may take.
    pub timeout: Duration,
    /// The pod's address; `None` on the node's network.
    pub ip: Option<Ipv4Addr>,
}

impl ProbeState {
    fn begin(&mut self, now: Timestamp) {
        self.running = true;
        self.last = Some(now);
    }

    /// A try without a result.
    fn lose(&mut self) {
        self.running = false;
    }

    /// Takes a result.
    fn end(&mut self, probe: &Probe, success: bool) {
        self.running = false;
        let times = match self.row {
            Some((same, times)) if same == success => times.saturating_add(1),
            _ => 1,
        };
        self.row = Some((success, times));
        let threshold = if success { probe.success_threshold } else { probe.failure_threshold };
        if times >= threshold.max(1) {
            self.verdict = Some(success);
        }
    }

    /// When the next try is due.
    fn due(&self, probe: &Probe, started_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.running {
            return None;
        }
        let seconds = |s: u32| Duration::from_secs(u64::from(s));
        let (from, wait) = match self.last {
            Some(last) => (last, seconds(probe.period_seconds.max(1))),
            None => (started_at, seconds(probe.initial_delay_seconds)),
        };
        let at = from.plus(wait);
        // A clock that moved back must not put a probe off.
        Some(if at.since(now) > wait { now } else { at })
    }
}

impl Probes {
    /// The probes of a run that was found on the node: well until they say otherwise.
    pub(crate) fn adopted(ready: bool, started: bool) -> Self {
        let verdict = |well: bool| ProbeState { verdict: well.then_some(true), ..ProbeState::default() };
        Self { startup: verdict(started), liveness: ProbeState::default(), readiness: verdict(ready) }
    }

    /// One of them.
    pub fn get(&self, kind: ProbeKind) -> &ProbeState {
        match kind {
            ProbeKind::Startup => &self.startup,
            ProbeKind::Liveness => &self.liveness,
            ProbeKind::Readiness => &self.readiness,
        }
    }

    fn get_mut(&mut self, kind: ProbeKind) -> &mut ProbeState {
        match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        }
    }

    pub(crate) fn begin(&mut self, kind: ProbeKind, now: Timestamp) {
        self.get_mut(kind).begin(now);
    }

    pub(crate) fn lose(&mut self, kind: ProbeKind) {
        self.get_mut(kind).lose();
    }

    pub(crate) fn end(&mut self, kind: ProbeKind, probe: &Probe, success: bool) {
        self.get_mut(kind).end(probe, success);
    }

    /// Whether the container has started in the sense of its startup probe.
    pub fn started(&self, container: &Container) -> bool {
        container.startup.is_none() || self.startup.verdict == Some(true)
    }

    /// Whether the (running) container is ready.
    pub fn ready(&self, container: &Container) -> bool {
        self.started(container) && (container.readiness.is_none() || self.readiness.verdict == Some(true))
    }

    /// The probe for whose failure the container must be restarted.
    pub fn fatal(&self, container: &Container) -> Option<ProbeKind> {
        [ProbeKind::Startup, ProbeKind::Liveness]
            .into_iter()
            .find(|kind| kind.of(container).is_some() && self.get(*kind).verdict == Some(false))
    }

    /// Which probes apply now: the startup probe alone, until it succeeded.
    fn active<'a>(&self, container: &'a Container) -> impl Iterator<Item = (ProbeKind, &'a Probe)> {
        let started = self.started(container);
        ProbeKind::ALL
            .into_iter()
            .filter(move |kind| (*kind == ProbeKind::Startup) != started)
            .filter_map(|kind| kind.of(container).map(|probe| (kind, probe)))
    }
}

/// The probes to run now, and when to ask again.
pub fn due_probes(
    desired: &DesiredWorld,
    observed: &Observed,
    now: Timestamp,
) -> (Vec<ProbeRun>, Option<Timestamp>) {
    let mut due = Vec::new();
    let mut next: Option<Timestamp> = None;
    for (uid, pod) in &observed.pods {
        let Some(wanted) = desired.pods.get(uid).filter(|d| d.entry.stop_within_seconds.is_none()) else {
            continue;
        };
        let Some(manifest) = &wanted.manifest else { continue };
        let sidecars = manifest.init_containers.iter().filter(|c| c.sidecar);
        for container in sidecars.chain(&manifest.containers) {
            let Some(state) = pod.containers.get(&container.name) else { continue };
            let Some(live @ Live { attempt, state: LiveState::Running { started_at }, stopping: None, .. }) =
                &state.live
            else {
                continue;
            };
            // As long as the hook goes on the container counts as not yet started.
            if container.post_start.is_some() && live.post_start != Hook::Done {
                continue;
            }
            for (kind, probe) in state.probes.active(container) {
                let Some(at) = state.probes.get(kind).due(probe, *started_at, now) else { continue };
                if at > now {
                    next = Some(next.map_or(at, |n| n.min(at)));
                    continue;
                }
                due.push(ProbeRun {
                    pod: uid.clone(),
                    container: container.name.clone(),
                    attempt: *attempt,
                    kind,
                    action: probe.action.clone(),
                    timeout: Duration::from_secs(u64::from(probe.timeout_seconds.max(1))),
                    ip: pod.sandbox.as_ref().and_then(|s| s.ip),
                });
            }
        }
    }
    (due, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(success: u32, failure: u32) -> Probe {
        Probe {
            action: ProbeAction::Tcp { port: 80, host: None },
            initial_delay_seconds: 5,
            period_seconds: 10,
            timeout_seconds: 1,
            success_threshold: success,
            failure_threshold: failure,
            grace_seconds: None,
        }
    }

    /// `results`: `+` is a success, `-` a failure; `verdicts` the verdict after each, `?` for none.
    fn check(success: u32, failure: u32, results: &str, verdicts: &str) {
        let probe = probe(success, failure);
        let mut state = ProbeState::default();
        let got: String = results
            .chars()
            .map(|result| {
                state.begin(Timestamp::default());
                state.end(&probe, result == '+');
                state.verdict.map_or('?', |v| if v { '+' } else { '-' })
            })
            .collect();
        assert_eq!(got, verdicts, "after {results} with thresholds {success} and {failure}");
    }

    #[test]
    fn thresholds() {
        check(1, 3, "+", "+");
        check(1, 3, "---", "??-");
        check(1, 3, "+--+---+", "++++++-+");
        check(2, 1, "+-++-", "?--+-");
        check(1, 1, "-+-", "-+-");
        check(0, 0, "-", "-");
    }

    #[test]
    fn due_times() {
        let at = |s: u64| Timestamp::from_millis(s * 1000);
        let probe = probe(1, 1);
        let mut state = ProbeState::default();
        assert_eq!(state.due(&probe, at(100), at(101)), Some(at(105)), "the first delay");
        assert_eq!(state.due(&probe, at(100), at(10)), Some(at(10)), "the clock moved back");
        state.begin(at(105));
        assert_eq!(state.due(&probe, at(100), at(106)), None, "one at a time");
        state.end(&probe, true);
        assert_eq!(state.due(&probe, at(100), at(106)), Some(at(115)), "the period");
        state.begin(at(115));
        state.lose();
        assert_eq!(state.due(&probe, at(100), at(116)), Some(at(125)), "a try without a result");
        assert_eq!(state.verdict, Some(true));
    }
}
