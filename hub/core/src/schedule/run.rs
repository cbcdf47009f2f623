//! All waiting pods of a turn.

use std::collections::{BTreeMap, BTreeSet};

use gannet_protocols_model::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use super::fit::{Needs, NodeFree, misfits, nodes};
use super::score::Score;
use crate::control::{Draft, SeededNames, condition, is_finished, is_terminating, set_condition};
use crate::{Change, Kind, ObjectKey, World};

const COMPONENT: &str = "default-scheduler";

/// Binds the waiting pods of the world, or writes why they wait. The controllers' turn does the same among the rest.
pub fn schedule(world: &World, now: Timestamp) -> Vec<Change> {
    // The scheduler makes no names.
    let mut names = SeededNames::new(0);
    let mut draft = Draft::new(world, now, &mut names);
    run(&mut draft);
    draft.finish().changes
}

/// Pods that ask the same of a node and belong together, and the nodes that fit, best first.
struct Class<'n> {
    owner: Option<String>,
    needs: Needs,
    fitting: BTreeSet<Score<'n>>,
    siblings: BTreeMap<&'n str, usize>,
}

/// Binds the waiting pods of the draft, the most important first, then the oldest.
pub(crate) fn run(draft: &mut Draft<'_>) {
    let mut waiting: Vec<_> = draft.pods.iter().filter(|(_, pod)| is_waiting(pod)).collect();
    if waiting.is_empty() {
        return;
    }
    let order = |pod: &Pod| {
        let priority = pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0);
        (std::cmp::Reverse(priority), pod.metadata.creation_timestamp.clone(), owner(pod).map(str::to_owned))
    };
    waiting.sort_by_cached_key(|(key, pod)| (order(pod), (*key).clone()));

    let mut nodes = nodes(draft);
    let siblings = siblings(draft, &waiting);
    let mut bound: Vec<(ObjectKey, String)> = Vec::new();
    let mut left: Vec<(ObjectKey, Needs)> = Vec::new();
    let mut class: Option<Class<'_>> = None;
    for (key, pod) in waiting {
        let Some(spec) = &pod.spec else { continue };
        let needs = Needs::of(spec);
        let owner = owner(pod).map(str::to_owned);
        if class.as_ref().is_none_or(|c| c.owner.is_none() || c.owner != owner || c.needs != needs) {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            if let Some(of_owner) = owner.as_deref().and_then(|o| siblings.get(o)) {
                counts.extend(of_owner.iter().map(|(&node, &count)| (node, count)));
            }
            class = Some(Class::new(owner, needs, &nodes, counts));
        }
        let Some(class) = &mut class else { continue };
        match class.place(&mut nodes) {
            Some(node) => bound.push((key.clone(), node.to_owned())),
            None => left.push((key.clone(), class.needs.clone())),
        }
    }
    // Only now, with everything bound, is it certain what is missing where.
    let mut last: Option<(Needs, String)> = None;
    let mut why_not = Vec::new();
    for (key, needs) in left {
        let known = last.take().filter(|(of, _)| *of == needs);
        let (needs, why) = known.unwrap_or_else(|| {
            let why = explain(&needs, &nodes);
            (needs, why)
        });
        why_not.push((key, why.clone()));
        last = Some((needs, why));
    }
    for (key, node) in bound {
        bind(draft, &key, &node);
    }
    for (key, why) in why_not {
        let_wait(draft, &key, why);
    }
}

fn is_waiting(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.node_name.as_deref().unwrap_or_default().is_empty()
        && !is_terminating(&pod.metadata)
        && !is_finished(pod)
        && spec.scheduler_name.as_deref().is_none_or(|name| name == "default-scheduler")
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
}

fn owner(pod: &Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.find(|o| o.controller == Some(true)).map(|o| o.uid.as_str())
}

/// How many pods of each waiting pod's owner every node has.
fn siblings<'d>(
    draft: &'d Draft<'_>,
    waiting: &[(&ObjectKey, &Pod)],
) -> BTreeMap<String, BTreeMap<&'d str, usize>> {
    let mut counts: BTreeMap<String, BTreeMap<&str, usize>> =
        waiting.iter().filter_map(|(_, pod)| Some((owner(pod)?.to_owned(), BTreeMap::new()))).collect();
    for (_, pod) in draft.pods.iter().filter(|(_, pod)| !is_finished(pod) && !is_terminating(&pod.metadata)) {
        let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).filter(|n| !n.is_empty());
        if let (Some(node), Some(of_owner)) = (node, owner(pod).and_then(|o| counts.get_mut(o))) {
            *of_owner.entry(node).or_default() += 1;
        }
    }
    counts
}

impl<'n> Class<'n> {
    fn new(
        owner: Option<String>,
        needs: Needs,
        nodes: &BTreeMap<&'n str, NodeFree<'_>>,
        siblings: BTreeMap<&'n str, usize>,
    ) -> Self {
        let mut fitting = BTreeSet::new();
        for (&name, free) in nodes {
            if misfits(&needs, free).is_empty() {
                fitting.insert(Score::of(name, free, siblings.get(name).copied().unwrap_or(0)));
            }
        }
        Self { owner, needs, fitting, siblings }
    }

    /// The best node for the next pod of the class, which then counts as bound.
    fn place(&mut self, nodes: &mut BTreeMap<&'n str, NodeFree<'_>>) -> Option<&'n str> {
        let name = self.fitting.pop_first()?.node;
        let free = nodes.get_mut(name)?;
        free.take(&self.needs.requests, &self.needs.host_ports);
        let siblings = self.siblings.entry(name).or_default();
        *siblings += 1;
        if misfits(&self.needs, free).is_empty() {
            self.fitting.insert(Score::of(name, free, *siblings));
        }
        Some(name)
    }
}

/// Why no node fits: the reasons, counted and sorted.
fn explain(needs: &Needs, nodes: &BTreeMap<&str, NodeFree<'_>>) -> String {
    if nodes.is_empty() {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reason in nodes.values().flat_map(|free| misfits(needs, free)) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut reasons: Vec<String> =
        counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort_unstable();
    format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", "))
}

fn bind(draft: &mut Draft<'_>, key: &ObjectKey, node: &str) {
    let Some(about) = draft.pods.get(key).map(|pod| pod.metadata.clone()) else { return };
    let now = draft.now;
    draft.pods.update(key, |pod| {
        pod.spec.get_or_insert_default().node_name = Some(node.to_owned());
        let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
        set_condition(conditions, "PodScheduled", true, None, now);
    });
    let message = format!("Successfully assigned {key} to {node}");
    draft.event(Kind::POD, &about, false, "Scheduled", message, COMPONENT);
}

fn let_wait(draft: &mut Draft<'_>, key: &ObjectKey, why: String) {
    let Some(pod) = draft.pods.get(key) else { return };
    let said = |c: &PodCondition| c.status == "False" && c.message.as_deref() == Some(why.as_str());
    if condition(pod, "PodScheduled").is_some_and(said) {
        return;
    }
    let (about, now) = (pod.metadata.clone(), draft.now);
    draft.pods.update(key, |pod| {
        let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
        set_condition(conditions, "PodScheduled", false, Some(("Unschedulable", &why)), now);
    });
    draft.event(Kind::POD, &about, true, "FailedScheduling", why, COMPONENT);
}

#[cfg(test)]
#[path = "run_test.rs"]
mod tests;
