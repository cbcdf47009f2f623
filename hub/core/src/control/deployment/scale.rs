//! A Deployment that is resized in the middle of a rollout: every ReplicaSet gets its share.

use std::cmp::Reverse;

use super::rollout::{Resize, SetSize, Strategy};

/// The sizes that the active sets get, where the Deployment was resized. `replicas_before` is the Deployment's
/// `status.replicas`, for sets that do not say how large the Deployment was when they got their size.
pub(super) fn share(strategy: &Strategy, sets: &[SetSize], replicas_before: i32) -> Vec<Resize> {
    let mut order: Vec<usize> = (0..sets.len()).filter(|&i| sets[i].replicas > 0).collect();
    let total: i32 = order.iter().map(|&i| sets[i].replicas).sum();
    let allowed = if strategy.replicas > 0 { strategy.max_replicas() } else { 0 };
    let to_add = allowed - total;
    // The largest set first; among equals the newest grows first and the oldest shrinks first.
    order.sort_by_key(|&i| (Reverse(sets[i].replicas), sets[i].created, sets[i].name.clone()));
    if to_add > 0 {
        order.sort_by_key(|&i| (Reverse(sets[i].replicas), Reverse((sets[i].created, sets[i].name.clone()))));
    }
    let mut added = 0;
    let mut sizes: Vec<i32> = sets.iter().map(|set| set.replicas).collect();
    for &i in &order {
        let part = proportion(strategy, &sets[i], replicas_before, to_add, added);
        sizes[i] += part;
        added += part;
    }
    if let Some(&largest) = order.first() {
        sizes[largest] = (sizes[largest] + to_add - added).max(0);
    }
    order.into_iter().map(|i| (i, sizes[i])).collect()
}

fn proportion(strategy: &Strategy, set: &SetSize, replicas_before: i32, to_add: i32, added: i32) -> i32 {
    let left = to_add - added;
    if left == 0 {
        return 0;
    }
    let part = fraction(strategy, set, replicas_before);
    if to_add > 0 { part.min(left) } else { part.max(left) }
}

/// What the set gains or loses when it keeps its share of the Deployment, rounded to the nearest pod.
fn fraction(strategy: &Strategy, set: &SetSize, replicas_before: i32) -> i32 {
    if strategy.replicas == 0 {
        return -set.replicas;
    }
    let before = i64::from(set.max_before.filter(|&m| m != 0).unwrap_or(replicas_before));
    if before <= 0 {
        return 0;
    }
    let product = i64::from(set.replicas) * i64::from(strategy.max_replicas());
    let rounded = (product * 2 + before) / (before * 2);
    i32::try_from(rounded).unwrap_or(i32::MAX) - set.replicas
}

#[cfg(test)]
mod tests {
    use gannet_protocols_model::Timestamp;

    use super::*;

    fn check(replicas: i32, max_surge: i32, before: i32, sizes: &[i32], expected: &[i32]) {
        let strategy = Strategy { replicas, rolling: true, max_surge, max_unavailable: 0 };
        let sets: Vec<_> = (0_u64..)
            .zip(sizes)
            .map(|(age, &replicas)| SetSize {
                name: format!("s{age}"),
                created: Timestamp::from_millis(age),
                replicas,
                available: replicas,
                max_before: Some(before),
            })
            .collect();
        let mut new = sizes.to_vec();
        for (i, size) in share(&strategy, &sets, 0) {
            new[i] = size;
        }
        assert_eq!(new, expected, "{replicas} + {max_surge}, before {before}, sets {sizes:?}");
    }

    #[test]
    fn shares() {
        // Oldest set first.
        check(12, 0, 10, &[5, 5], &[6, 6]);
        check(10, 0, 10, &[5, 5], &[5, 5]);
        check(7, 0, 10, &[5, 5], &[3, 4]);
        check(15, 3, 13, &[8, 5], &[11, 7]);
        check(5, 0, 10, &[8, 2], &[4, 1]);
        check(0, 0, 10, &[5, 5], &[0, 0]);
        check(20, 0, 10, &[4, 3, 3], &[8, 6, 6]);
        // The leftover goes to the largest.
        check(11, 0, 10, &[4, 3, 3], &[5, 3, 3]);
        check(13, 0, 10, &[5, 5], &[6, 7]);
    }
}
