//! Gathers what changed into reports: by pod, after a short while, everything where everything is asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gannet_protocols_model::{
    Generation, NodeCondition, NodeEvent, NodeInfo, PodStatus, PodUid, Report, Session, Timestamp, state_hash,
};
use gannet_protocols_wire::encode;

/// Events kept while the link is down; the oldest go first.
const MAX_EVENTS: usize = 256;
/// The most pods' bytes in one report: well within a message. Even 1024 pods with long messages need one report alone.
const MAX_PODS_BYTES: usize = 3 << 19;

/// What was observed, and what of it the hub was not yet told.
#[derive(Debug)]
pub(crate) struct Reports {
    session: Session,
    sequence: u64,
    node: Option<NodeInfo>,
    node_changed: bool,
    pods: BTreeMap<PodUid, PodStatus>,
    changed: BTreeSet<PodUid>,
    removed: BTreeSet<PodUid>,
    /// Pods that the hub waits to see gone, and of which nothing is here.
    absent: BTreeSet<PodUid>,
    events: VecDeque<NodeEvent>,
    whole: bool,
    due: Option<Timestamp>,
    hash: Option<String>,
    refusal: Option<NodeCondition>,
}

impl Reports {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            sequence: 0,
            node: None,
            node_changed: false,
            pods: BTreeMap::new(),
            changed: BTreeSet::new(),
            removed: BTreeSet::new(),
            absent: BTreeSet::new(),
            events: VecDeque::new(),
            whole: true,
            due: None,
            hash: None,
            refusal: None,
        }
    }

    /// Compares with what was seen before; true where there is something to tell.
    pub(crate) fn observe(&mut self, pods: &BTreeMap<PodUid, PodStatus>, node: &NodeInfo) -> bool {
        let node_changed = self.node.as_ref() != Some(node);
        if node_changed {
            self.node = Some(node.clone());
            self.node_changed = true;
        }
        let gone: Vec<PodUid> = self.pods.keys().filter(|uid| !pods.contains_key(*uid)).cloned().collect();
        let mut pods_changed = !gone.is_empty();
        for uid in gone {
            self.pods.remove(&uid);
            self.changed.remove(&uid);
            self.removed.insert(uid);
        }
        for (uid, status) in pods {
            if self.pods.get(uid) != Some(status) {
                self.pods.insert(uid.clone(), status.clone());
                self.removed.remove(uid);
                self.changed.insert(uid.clone());
                pods_changed = true;
            }
        }
        if pods_changed {
            self.hash = None;
        }
        node_changed || pods_changed
    }

    /// Pods that are to be stopped and of which nothing is here; true where there is something to tell.
    pub(crate) fn set_absent(&mut self, absent: BTreeSet<PodUid>) -> bool {
        let news: Vec<PodUid> = absent.difference(&self.absent).cloned().collect();
        self.absent = absent;
        let told = !news.is_empty();
        self.removed.extend(news);
        told
    }

    pub(crate) fn event(&mut self, event: NodeEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Says or takes back that the last desired document was refused; true where that is news.
    pub(crate) fn set_refusal(&mut self, reason: Option<&str>) -> bool {
        let condition = |holds, word: &str, message: &str| {
            Some(NodeCondition {
                kind: "DesiredRefused".into(),
                holds,
                reason: word.into(),
                message: message.into(),
            })
        };
        let next = match (reason, &self.refusal) {
            (Some(reason), _) => condition(true, "Refused", reason),
            (None, Some(_)) => condition(false, "Accepted", "the last desired document was accepted"),
            (None, None) => None,
        };
        let news = next != self.refusal;
        self.refusal = next;
        self.node_changed |= news;
        news
    }

    /// Everything is to be told, at this time or before.
    pub(crate) fn want_whole(&mut self, at: Timestamp) {
        self.whole = true;
        self.want(at);
    }

    /// Something is to be told, at this time or before.
    pub(crate) fn want(&mut self, at: Timestamp) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When reports are due. Nothing is said before the first look: an empty report would mean "no pods here".
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.node.as_ref().and(self.due)
    }

    /// Takes all that is to be told: mostly one report, more where one message cannot hold it.
    pub(crate) fn take(&mut self, generation: Generation) -> Vec<Report> {
        if self.due().is_none() {
            return Vec::new();
        }
        self.due = None;
        let whole = std::mem::take(&mut self.whole);
        let changed = std::mem::take(&mut self.changed);
        let removed = std::mem::take(&mut self.removed);
        let pods: Vec<PodStatus> = match whole {
            true => self.pods.values().cloned().collect(),
            false => changed.iter().filter_map(|uid| self.pods.get(uid)).cloned().collect(),
        };
        let node = (std::mem::take(&mut self.node_changed) || whole).then(|| self.described()).flatten();
        let mut reports: Vec<Report> =
            split(pods).into_iter().map(|pods| self.report(generation, pods)).collect();
        if let Some(first) = reports.first_mut() {
            first.whole = whole;
            first.node = node;
            first.removed =
                if whole { self.absent.iter().cloned().collect() } else { removed.into_iter().collect() };
        }
        if let Some(last) = reports.last_mut() {
            last.events = self.events.drain(..).collect();
        }
        reports
    }

    fn report(&mut self, generation: Generation, pods: Vec<PodStatus>) -> Report {
        self.sequence += 1;
        Report {
            session: self.session,
            sequence: self.sequence,
            generation,
            whole: false,
            node: None,
            pods,
            removed: Vec::new(),
            events: Vec::new(),
        }
    }

    fn described(&self) -> Option<NodeInfo> {
        let mut node = self.node.clone()?;
        node.conditions.extend(self.refusal.clone());
        Some(node)
    }

    pub(crate) fn hash(&mut self) -> String {
        let pods = &self.pods;
        self.hash.get_or_insert_with(|| state_hash(pods)).clone()
    }
}

/// Pods in lists that each fit in a message; one empty list where there are none.
fn split(pods: Vec<PodStatus>) -> Vec<Vec<PodStatus>> {
    let mut lists = vec![Vec::new()];
    let mut size = 0;
    for pod in pods {
        let bytes = encode(&pod).len();
        if size + bytes > MAX_PODS_BYTES && size > 0 {
            lists.push(Vec::new());
            size = 0;
        }
        size += bytes;
        if let Some(list) = lists.last_mut() {
            list.push(pod);
        }
    }
    lists
}
