//! A Deployment's status: counts, availability, progress.

use std::time::Duration;

use gannet_protocols_model::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};

use super::conditions::{self, AVAILABLE, COMPLETE, PROGRESSING, REPLICA_FAILURE, TIMED_OUT};
use super::rollout::Strategy;
use crate::control::meta;
use crate::control::replica_set::replicas;

/// The seconds in which a rollout must make progress, where there is such a deadline.
pub(super) fn progress_deadline(deployment: &Deployment) -> Option<Duration> {
    let seconds = deployment.spec.progress_deadline_seconds.filter(|&s| s != i32::MAX)?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// The counts, and the condition `Available`. Other conditions are kept. Of the new set, so many pods were `rolled_back`:
/// they are no updated ones.
pub(super) fn count(
    deployment: &Deployment,
    before: &DeploymentStatus,
    sets: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
    rolled_back: i32,
    now: Timestamp,
) -> DeploymentStatus {
    let strategy = Strategy::of(deployment);
    let sum = |of: fn(&ReplicaSet) -> i32| sets.iter().map(|&set| of(set)).sum::<i32>();
    let available = sum(|s| s.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0));
    let ready = sum(|s| s.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0));
    let some = |n: i32| (n != 0).then_some(n);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(actual)),
        updated_replicas: some((new.map_or(0, actual) - rolled_back).max(0)),
        ready_replicas: some(ready),
        available_replicas: some(available),
        unavailable_replicas: some((sum(replicas) - available).max(0)),
        ..before.clone()
    };
    let (value, reason, message) = if available >= strategy.min_available() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    conditions::set(&mut status, conditions::new(AVAILABLE, value, reason, message.to_owned(), now));
    status
}

/// `status.replicas` of a ReplicaSet.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |s| s.replicas)
}

/// Whether every pod is a new one and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Strategy::of(deployment).replicas;
    let is = |n: Option<i32>| n.unwrap_or(0) == wanted;
    is(status.updated_replicas)
        && is(status.replicas)
        && is(status.available_replicas)
        && status.observed_generation >= deployment.metadata.generation
}

/// Says of a rollout that a device gave it up. `kubectl rollout status` ends with an error for this reason alone.
pub(super) fn give_up(status: &mut DeploymentStatus, message: &str, now: Timestamp) {
    let mut condition = conditions::new(PROGRESSING, "False", TIMED_OUT, message.to_owned(), now);
    if let Some(current) = conditions::get(status, PROGRESSING) {
        if current.reason == condition.reason && current.message == condition.message {
            return;
        }
        if current.status == condition.status {
            condition.last_transition_time = current.last_transition_time.clone();
        }
    }
    conditions::remove(status, PROGRESSING);
    conditions::set(status, condition);
}

/// Sets the condition `Progressing` of a rollout, from the status before and the counts now. Returns when the deadline
/// will be over, if it is running.
pub(super) fn progress(
    deployment: &Deployment,
    before: &DeploymentStatus,
    status: &mut DeploymentStatus,
    new: Option<&ReplicaSet>,
    now: Timestamp,
) -> Option<Timestamp> {
    let Some(deadline) = progress_deadline(deployment) else {
        conditions::remove(status, PROGRESSING);
        return None;
    };
    let current = conditions::get(before, PROGRESSING).cloned();
    let reason = current.as_ref().and_then(|c| c.reason.as_deref());
    if status.replicas == status.updated_replicas && reason == Some(COMPLETE) {
        return None;
    }
    let who = match new {
        Some(set) => format!("ReplicaSet {:?}", meta::name(&set.metadata)),
        None => format!("Deployment {:?}", meta::name(&deployment.metadata)),
    };
    let updated_at = |c: &k8s_openapi::api::apps::v1::DeploymentCondition| {
        c.last_update_time.as_ref().map_or(Timestamp::default(), meta::timestamp)
    };
    // Stored times are whole seconds, so the deadline is over in the second after.
    let over_at = current.as_ref().map(|c| updated_at(c).plus(deadline).plus(Duration::from_secs(1)));
    if is_complete(deployment, status) {
        let message = format!("{who} has successfully progressed.");
        conditions::set(status, conditions::new(PROGRESSING, "True", COMPLETE, message, now));
        return None;
    }
    if has_progressed(before, status) {
        let message = format!("{who} is progressing.");
        let mut condition = conditions::new(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        if let Some(current) = current.filter(|c| c.status.as_deref() == Some("True")) {
            condition.last_transition_time = current.last_transition_time;
        }
        conditions::remove(status, PROGRESSING);
        conditions::set(status, condition);
        return Some(now.plus(deadline).plus(Duration::from_secs(1)));
    }
    let over_at = over_at?;
    if reason == Some(COMPLETE) {
        return None;
    }
    if reason == Some(TIMED_OUT) || over_at <= now {
        let message = format!("{who} has timed out progressing.");
        conditions::set(status, conditions::new(PROGRESSING, "False", TIMED_OUT, message, now));
        return None;
    }
    Some(over_at)
}

fn has_progressed(before: &DeploymentStatus, status: &DeploymentStatus) -> bool {
    let n = |n: Option<i32>| n.unwrap_or(0);
    let old = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(status.updated_replicas) > n(before.updated_replicas)
        || old(status) < old(before)
        || n(status.ready_replicas) > n(before.ready_replicas)
        || n(status.available_replicas) > n(before.available_replicas)
}

/// Takes over why ReplicaSets fail to make pods: the new set's reason first.
pub(super) fn take_failures(status: &mut DeploymentStatus, sets: &[&ReplicaSet], new: Option<&ReplicaSet>) {
    let failure = new.into_iter().chain(sets.iter().copied()).find_map(|set| {
        set.status
            .as_ref()?
            .conditions
            .as_ref()?
            .iter()
            .find(|c| c.type_.as_deref() == Some(REPLICA_FAILURE) && c.status.as_deref() == Some("True"))
    });
    match failure {
        None => conditions::remove(status, REPLICA_FAILURE),
        Some(c) => {
            let condition = k8s_openapi::api::apps::v1::DeploymentCondition {
                type_: c.type_.clone(),
                status: c.status.clone(),
                reason: c.reason.clone(),
                message: c.message.clone(),
                last_transition_time: c.last_transition_time.clone(),
                last_update_time: c.last_transition_time.clone(),
            };
            conditions::set(status, condition);
        }
    }
}
