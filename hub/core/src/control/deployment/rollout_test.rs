use serde_json::json;

use super::*;

fn strategy(spec: serde_json::Value) -> Strategy {
    let mut spec = spec;
    spec["selector"] = json!({});
    spec["template"] = json!({});
    Strategy::of(&serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap())
}

#[test]
fn percentages() {
    for (replicas, surge, unavailable, expected) in [
        (3, json!("25%"), json!("25%"), (1, 0)),
        (4, json!("25%"), json!("25%"), (1, 1)),
        (10, json!("25%"), json!("25%"), (3, 2)),
        (1, json!("25%"), json!("25%"), (1, 0)),
        (1, json!(0), json!("25%"), (0, 1)),
        (0, json!("25%"), json!("25%"), (0, 0)),
        (2, json!(5), json!(5), (5, 2)),
        (3, json!("100%"), json!("0%"), (3, 0)),
        (2_000_000_000, json!("100%"), json!("100%"), (2_000_000_000, 2_000_000_000)),
        (3, json!("-10%"), json!(1), (0, 1)),
    ] {
        let found = strategy(json!({"replicas": replicas, "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}));
        assert_eq!((found.max_surge, found.max_unavailable), expected, "{replicas} {surge} {unavailable}");
    }
    assert_eq!(strategy(json!({"replicas": 8})).max_replicas(), 10);
    let recreate = strategy(json!({"replicas": 8, "strategy": {"type": "Recreate"}}));
    assert_eq!((recreate.rolling, recreate.min_available()), (false, 8));
}

#[test]
fn growth() {
    let rolling = Strategy { replicas: 10, rolling: true, max_surge: 3, max_unavailable: 2 };
    for (new, total, expected) in [(0, 10, 3), (0, 0, 10), (3, 13, 3), (5, 11, 7), (8, 8, 10), (12, 12, 10)] {
        assert_eq!(rolling.new_size(new, total), expected, "{new} of {total}");
    }
    assert_eq!(Strategy { rolling: false, ..rolling }.new_size(0, 10), 10);
}

fn check(strategy: Strategy, old: &[(i32, i32)], new: (i32, i32), expected: &[Resize]) {
    let set = |(age, &(replicas, available)): (u64, &(i32, i32))| SetSize {
        name: format!("s{age}"),
        created: Timestamp::from_millis(age),
        replicas,
        available,
        max_before: None,
    };
    let sets: Vec<_> = (0_u64..).zip(old).map(set).collect();
    assert_eq!(strategy.shrink_old(&sets, &set((99, &new))), expected, "old {old:?}, new {new:?}");
}

#[test]
fn shrinking() {
    let rolling = Strategy { replicas: 10, rolling: true, max_surge: 3, max_unavailable: 2 };
    check(rolling, &[(10, 10)], (3, 0), &[(0, 8)]);
    check(rolling, &[(8, 8)], (5, 0), &[]);
    check(rolling, &[(8, 8)], (5, 2), &[(0, 6)]);
    // What does not work goes first, whichever set is older.
    check(rolling, &[(5, 5), (5, 2)], (3, 0), &[(1, 3)]);
    check(rolling, &[(5, 0), (5, 5)], (3, 3), &[(0, 0)]);
    // The oldest set goes first.
    check(rolling, &[(4, 4), (4, 4)], (5, 5), &[(0, 0), (1, 3)]);
    check(rolling, &[(0, 0)], (10, 10), &[]);
    let careful = Strategy { replicas: 3, rolling: true, max_surge: 1, max_unavailable: 0 };
    check(careful, &[(3, 3)], (1, 0), &[]);
    check(careful, &[(3, 3)], (1, 1), &[(0, 2)]);
    // An old pod that does not work is of no use, but makes no room either while the new one does not work.
    check(careful, &[(3, 2)], (1, 0), &[]);
    check(careful, &[(3, 2)], (1, 1), &[(0, 2)]);
}
