//! What may change in a pod that is there.

use super::*;

fn check_change(before: &[(&str, Value)], after: &[(&str, Value)], expected: &[&str]) {
    let mut old = right(Kind::POD);
    for (place, value) in before {
        put(&mut old, &format!("/spec{place}"), value.clone());
    }
    let old = create(Kind::POD, old).unwrap().object;
    let mut new = old.clone();
    for (place, value) in after {
        put(&mut new, &format!("/spec{place}"), value.clone());
    }
    assert_eq!(errors_of(&update(Kind::POD, &old, new)), expected, "{before:?} {after:?}");
}

#[test]
fn deadlines_come_closer() {
    let five = [("/activeDeadlineSeconds", json!(5))];
    check_change(&[], &five, &[]);
    check_change(&five, &[("/activeDeadlineSeconds", json!(4))], &[]);
    check_change(
        &five,
        &[("/activeDeadlineSeconds", json!(6))],
        &["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
    );
    check_change(
        &five,
        &[("/activeDeadlineSeconds", json!(null))],
        &[
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
        ],
    );
}

#[test]
fn tolerations_are_added() {
    let toleration = |seconds: Value| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let one = [("/tolerations", json!([toleration(json!(5))]))];
    check_change(&one, &[("/tolerations", json!([toleration(json!(9))]))], &[]);
    check_change(&one, &[("/tolerations", json!([toleration(json!(5)), {"operator": "Exists"}]))], &[]);
    check_change(
        &one,
        &[("/tolerations", json!([]))],
        &[
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ],
    );
}

#[test]
fn all_else_stays() {
    for (place, value) in [
        ("/hostname", json!("other")),
        ("/terminationGracePeriodSeconds", json!(1)),
        ("/containers/0/resources", json!({"requests": {"cpu": "1"}})),
        ("/containers/0/env", json!([{"name": "A", "value": "b"}])),
        ("/priorityClassName", json!("system-node-critical")),
        ("/dnsPolicy", json!("Default")),
        ("/volumes/1", json!({"name": "w", "emptyDir": {}})),
    ] {
        let old = create(Kind::POD, right(Kind::POD)).unwrap().object;
        let mut new = old.clone();
        put(&mut new, &format!("/spec{place}"), value);
        let errors = errors_of(&update(Kind::POD, &old, new));
        let expected = "spec: Forbidden: pod updates may not change fields other than ";
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{place}: {errors:?}");
    }
    check_change(&[], &[("/containers/0/image", json!("web:2"))], &[]);
}
