//! One node as the hub's sessions know it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_model::{Generation, PodStatus, PodUid, Report, Session, Timestamp, state_hash};
use gannet_protocols_wire::Beat;

/// The longest time between two sendings of the same desired document.
const RESEND_MAX: Duration = Duration::from_secs(3600);

/// Whether the node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nothing but a message that proves nothing was heard yet.
    Unknown,
    Up,
    /// Ended by its will: only a birth brings it back, since older messages may still be under way.
    Dead,
    /// Fell silent: any word brings it back.
    Silent,
}

/// The document that the node should work towards.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) generation: Generation,
    pub(super) envelope: Arc<[u8]>,
    /// When it is sent (again) at the earliest; `None` while it was not sent at all.
    pub(super) again_at: Option<Timestamp>,
    pub(super) pause: Duration,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) presence: Presence,
    pub(super) session: Session,
    sequence: u64,
    /// Whether a whole report of this session came, and every one since.
    whole: bool,
    /// The last inventory that was told.
    told: Option<(Generation, BTreeSet<PodUid>)>,
    pub(super) heard: Timestamp,
    /// Whether the sessions hold an entry that looks after its silence.
    pub(super) watched: bool,
    pub(super) generation: Option<Generation>,
    pods: BTreeMap<PodUid, PodStatus>,
    hash: Option<String>,
    pub(super) sync_at: Timestamp,
    pub(super) wanted: Option<Wanted>,
}

/// What a birth, a death or a report was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Older than what is known.
    Outdated,
    /// Fits, and the node was up already.
    Known,
    /// The node is up from now on.
    Rose,
}

impl Node {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            presence: Presence::Unknown,
            session: Session(0),
            sequence: 0,
            whole: false,
            told: None,
            heard: now,
            watched: false,
            generation: None,
            pods: BTreeMap::new(),
            hash: None,
            sync_at: Timestamp::default(),
            wanted: None,
        }
    }

    pub(super) fn born(&mut self, session: Session) -> Heard {
        if session < self.session {
            return Heard::Outdated;
        }
        let anew = session > self.session;
        self.enter(session);
        if self.presence == Presence::Up && !anew {
            return Heard::Known;
        }
        self.presence = Presence::Up;
        Heard::Rose
    }

    /// True where the node was up, or nothing was known of it. A late death of an older session changes nothing.
    pub(super) fn died(&mut self, session: Session) -> Option<bool> {
        if session < self.session {
            return None;
        }
        self.enter(session);
        let news = !matches!(self.presence, Presence::Dead);
        self.presence = Presence::Dead;
        Some(news)
    }

    /// A word that tells of life but of no session. True where the node rises by it.
    pub(super) fn alive(&mut self) -> bool {
        if self.presence == Presence::Silent {
            self.presence = Presence::Up;
            return true;
        }
        false
    }

    /// Takes in a report; the pods of a whole one replace all.
    pub(super) fn report(&mut self, report: &Report) -> Heard {
        let same = report.session == self.session;
        if report.session < self.session || (same && report.sequence <= self.sequence) {
            return Heard::Outdated;
        }
        let rises = !same || matches!(self.presence, Presence::Unknown | Presence::Silent);
        self.enter(report.session);
        self.whole = report.whole || (self.whole && report.sequence == self.sequence + 1);
        self.sequence = report.sequence;
        self.hash = None;
        if report.whole {
            self.pods.clear();
        }
        for uid in &report.removed {
            self.pods.remove(uid);
        }
        for pod in &report.pods {
            self.pods.insert(pod.uid.clone(), pod.clone());
        }
        if rises {
            self.presence = Presence::Up;
            return Heard::Rose;
        }
        Heard::Known
    }

    /// Whether no report is missing, and the beat's hash is that of the pods that the hub knows. Reports tell of more than
    /// pods, so a missing one matters even if the hash fits.
    pub(super) fn agrees(&mut self, beat: &Beat) -> bool {
        let pods = &self.pods;
        self.whole && *self.hash.get_or_insert_with(|| state_hash(pods)) == beat.2
    }

    /// The node's pods and generation, where all of them are known and that was not told before.
    pub(super) fn take_inventory(&mut self) -> Option<(Generation, BTreeSet<PodUid>)> {
        let generation = self.generation.filter(|_| self.whole)?;
        let same = |(told, pods): &(Generation, BTreeSet<PodUid>)| {
            *told == generation && pods.iter().eq(self.pods.keys())
        };
        if self.told.as_ref().is_some_and(same) {
            return None;
        }
        let inventory = (generation, self.pods.keys().cloned().collect());
        self.told = Some(inventory.clone());
        Some(inventory)
    }

    pub(super) fn pods(&self) -> &BTreeMap<PodUid, PodStatus> {
        &self.pods
    }

    fn enter(&mut self, session: Session) {
        if session > self.session {
            self.session = session;
            self.sequence = 0;
            self.whole = false;
        }
    }

    /// The document to send, where the node lags behind it and the pause is over.
    pub(super) fn take_resend(&mut self, now: Timestamp) -> Option<Arc<[u8]>> {
        let generation = self.generation?;
        let wanted = self.wanted.as_mut()?;
        if generation >= wanted.generation || wanted.again_at.is_none_or(|at| at > now) {
            return None;
        }
        wanted.again_at = Some(now.plus(wanted.pause));
        wanted.pause = (wanted.pause * 2).min(RESEND_MAX);
        Some(Arc::clone(&wanted.envelope))
    }
}
