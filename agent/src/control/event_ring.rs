//! The latest events, kept in memory for `describe`: the hub may be away, and then nobody else has them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gannet_protocols_model::{NodeEvent, PodUid, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Events of all pods and the node: some hundred kilobytes at most.
const MAX_EVENTS: usize = 512;
/// Events of one pod: one that crashes for ever must not push out the others'.
const MAX_OF_ONE: usize = 32;

/// An event, and how often it came again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptEvent {
    /// As it came last.
    #[serde(flatten)]
    pub(crate) event: NodeEvent,
    /// When it came first.
    pub(crate) first: Timestamp,
    pub(crate) count: u32,
}

/// The latest events. Clones are the same ring.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventRing(Arc<Mutex<VecDeque<KeptEvent>>>);

impl EventRing {
    pub(crate) fn push(&self, event: NodeEvent) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut first, mut count) = (event.at, 1_u32);
        let same = |kept: &KeptEvent| NodeEvent { at: event.at, ..kept.event.clone() } == event;
        if let Some(again) = ring.iter().position(same).and_then(|index| ring.remove(index)) {
            first = again.first;
            count = again.count.saturating_add(1);
        }
        let of_one = ring.iter().filter(|kept| kept.event.pod == event.pod).count();
        let oldest = ring.iter().position(|kept| kept.event.pod == event.pod);
        match oldest {
            Some(index) if of_one >= MAX_OF_ONE => drop(ring.remove(index)),
            _ if ring.len() >= MAX_EVENTS => drop(ring.pop_front()),
            _ => {}
        }
        ring.push_back(KeptEvent { event, first, count });
    }

    /// Those of a pod, oldest first.
    pub(crate) fn of(&self, pod: &PodUid) -> Vec<KeptEvent> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().filter(|kept| kept.event.pod.as_ref() == Some(pod)).cloned().collect()
    }
}

/// Keeps each event, then hands it on to the link. Where the link does not take them (no hub for long), the newest are
/// left out there: statuses tell what matters.
pub(crate) async fn tee(
    ring: EventRing,
    mut from: mpsc::Receiver<NodeEvent>,
    to: mpsc::Sender<NodeEvent>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            event = from.recv() => match event {
                Some(event) => {
                    ring.push(event.clone());
                    let _ = to.try_send(event);
                }
                None => return stop.cancelled().await,
            },
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use gannet_protocols_model::EventKind;

    use super::*;

    fn event(at: u64, pod: &str, message: &str) -> NodeEvent {
        NodeEvent {
            at: Timestamp::from_millis(at),
            pod: Some(pod.parse().unwrap()),
            container: None,
            kind: EventKind::Normal,
            reason: "R".into(),
            message: message.into(),
        }
    }

    #[test]
    fn repeated_events_are_counted_and_one_pod_cannot_push_out_the_others() {
        let ring = EventRing::default();
        let of = |pod: &str| ring.of(&pod.parse().unwrap());
        ring.push(event(1, "quiet", "once"));
        for at in 0..2000 {
            ring.push(event(at, "noisy", &format!("{}", at % 1000)));
        }
        ring.push(event(5000, "noisy", "999"));
        assert_eq!(of("quiet").len(), 1);
        let noisy = of("noisy");
        assert_eq!(noisy.len(), MAX_OF_ONE);
        let last = noisy.last().unwrap();
        assert_eq!(
            (last.count, last.event.at.millis(), last.first.millis()),
            (2, 5000, 1999),
            "forgotten between"
        );
        for pod in 0..MAX_EVENTS {
            ring.push(event(6000, &format!("p{pod}"), "x"));
        }
        assert_eq!(of("quiet").len(), 0, "bounded as a whole");
    }
}
