//! The arithmetic of a rollout: how large the ReplicaSets may and must be at each step.
//!
//! Invariants, whatever the nodes do: all sizes together never exceed the Deployment's and `maxSurge`; what is taken
//! from old sets never brings the available pods below the Deployment's size less `maxUnavailable`.

use gannet_protocols_model::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How a Deployment wants to be rolled out, in pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strategy {
    pub(super) replicas: i32,
    pub(super) rolling: bool,
    pub(super) max_surge: i32,
    pub(super) max_unavailable: i32,
}

/// What the arithmetic needs to know of one ReplicaSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetSize {
    pub(super) name: String,
    pub(super) created: Timestamp,
    /// `spec.replicas`.
    pub(super) replicas: i32,
    /// `status.availableReplicas`.
    pub(super) available: i32,
    /// The Deployment's size and `maxSurge` when the set was last resized.
    pub(super) max_before: Option<i32>,
}

/// The set at this place of the list gets this size.
pub(super) type Resize = (usize, i32);

impl Strategy {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let replicas = deployment.spec.replicas.unwrap_or(1);
        let strategy = deployment.spec.strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate") {
            return Self { replicas, rolling: false, max_surge: 0, max_unavailable: 0 };
        }
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let quarter = IntOrString::String("25%".to_owned());
        let surge = rolling.and_then(|r| r.max_surge.as_ref()).unwrap_or(&quarter);
        let unavailable = rolling.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&quarter);
        let max_surge = scaled(surge, replicas, true);
        let mut max_unavailable = scaled(unavailable, replicas, false);
        if max_surge == 0 && max_unavailable == 0 {
            // Percentages of few pods may both come to nothing; the rollout would then never begin.
            max_unavailable = 1;
        }
        Self { replicas, rolling: true, max_surge, max_unavailable: max_unavailable.min(replicas) }
    }

    /// The most pods at any time.
    pub(super) fn max_replicas(&self) -> i32 {
        self.replicas.saturating_add(self.max_surge)
    }

    /// The fewest available pods that a rollout leaves.
    pub(super) fn min_available(&self) -> i32 {
        self.replicas - self.max_unavailable
    }

    /// The size that the new set may have, where all sets together have `total`.
    pub(super) fn new_size(&self, new: i32, total: i32) -> i32 {
        if !self.rolling {
            return self.replicas;
        }
        if new >= self.replicas {
            return self.replicas;
        }
        let room = self.max_replicas() - total;
        if room <= 0 { new } else { new + room.min(self.replicas - new) }
    }

    /// What old sets give up now: first their pods that do not work, then as many of the others as can be missed,
    /// oldest set first.
    pub(super) fn shrink_old(&self, old: &[SetSize], new: &SetSize) -> Vec<Resize> {
        let mut order: Vec<usize> = (0..old.len()).filter(|&i| old[i].replicas > 0).collect();
        order.sort_by(|&a, &b| (old[a].created, &old[a].name).cmp(&(old[b].created, &old[b].name)));
        let total = order.iter().map(|&i| old[i].replicas).sum::<i32>() + new.replicas;
        let new_unavailable = (new.replicas - new.available).max(0);
        let mut may_go = total - self.min_available() - new_unavailable;
        let mut sizes: Vec<i32> = old.iter().map(|set| set.replicas).collect();
        if may_go <= 0 {
            return Vec::new();
        }
        for &i in &order {
            let broken = (sizes[i] - old[i].available).max(0).min(may_go);
            sizes[i] -= broken;
            may_go -= broken;
        }
        let available = order.iter().map(|&i| old[i].available).sum::<i32>() + new.available;
        let mut spare = available - self.min_available();
        for &i in &order {
            let gone = sizes[i].min(spare).max(0);
            sizes[i] -= gone;
            spare -= gone;
        }
        order.sort_unstable();
        order.into_iter().filter(|&i| sizes[i] != old[i].replicas).map(|i| (i, sizes[i])).collect()
    }
}

/// A number of pods, or a percentage of `total`.
fn scaled(value: &IntOrString, total: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(n) => (*n).max(0),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|n| n.parse().ok()).unwrap_or(0).max(0);
            let hundredfold = percent.saturating_mul(i64::from(total));
            let whole = hundredfold / 100 + i64::from(up && hundredfold % 100 != 0);
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
#[path = "rollout_test.rs"]
mod tests;
