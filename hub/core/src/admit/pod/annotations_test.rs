//! Annotations that mean something.

use super::*;

const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

#[test]
fn progress_deadlines() {
    let kinds = [(Kind::POD, "metadata"), (Kind::DEPLOYMENT, "spec.template.metadata")];
    for (kind, at) in kinds {
        let place = format!("/{}/annotations", at.replace('.', "/"));
        for right in ["600", "0", "10m", "1h30m"] {
            check(kind, &place, json!({"gannet.dev/progress-deadline": right}), &[]);
        }
        for wrong in ["", "soon", "-1", "5d"] {
            let expected = format!(
                "{at}.annotations[gannet.dev/progress-deadline]: Invalid value: {wrong:?}: must be a number of seconds, or a duration such as \"10m\""
            );
            check(kind, &place, json!({"gannet.dev/progress-deadline": wrong}), &[&expected]);
        }
    }
    // Also where nothing but the annotation changes.
    check_update(Kind::POD, "/metadata/annotations", json!({"gannet.dev/progress-deadline": "5m"}), &[]);
    check_update(
        Kind::POD,
        "/metadata/annotations",
        json!({"gannet.dev/progress-deadline": "x"}),
        &[
            "metadata.annotations[gannet.dev/progress-deadline]: Invalid value: \"x\": must be a number of seconds, or a duration such as \"10m\"",
        ],
    );
}

#[test]
fn profiles() {
    let check = |container: &str, profile: &str, field: Value, expected: &[&str]| {
        let mut pod = right(Kind::POD);
        put(&mut pod, "/metadata/annotations", json!({format!("{APPARMOR}{container}"): profile}));
        if !field.is_null() {
            put(&mut pod, "/spec/containers/0/securityContext/appArmorProfile", field);
        }
        assert_eq!(errors_of(&create(Kind::POD, pod)), expected, "{container} {profile}");
    };
    let at = "spec.containers[0].securityContext.appArmorProfile";
    let name =
        format!("{at}.localhostProfile: Forbidden: apparmor profile in annotation and field must match");
    let kind = format!("{at}.type: Forbidden: apparmor type in annotation and field must match");
    let nobody = format!("metadata.annotations[{APPARMOR}b]: Invalid value: \"b\": container not found");
    let form = format!(
        "metadata.annotations[{APPARMOR}a]: Invalid value: \"mine\": invalid AppArmor profile name: \"mine\""
    );
    check("a", "runtime/default", json!(null), &[]);
    check("a", "unconfined", json!(null), &[]);
    check("a", "localhost/web", json!(null), &[]);
    check("a", "mine", json!(null), &[&form]);
    check("b", "unconfined", json!(null), &[&nobody]);
    check("a", "localhost/web", json!({"type": "Localhost", "localhostProfile": "web"}), &[]);
    check("a", "localhost/web", json!({"type": "Localhost", "localhostProfile": "other"}), &[&name]);
    check("a", "unconfined", json!({"type": "RuntimeDefault"}), &[&kind]);
    check("a", "runtime/default", json!({"type": "Localhost", "localhostProfile": "web"}), &[&kind]);
}

#[test]
fn profiles_belong_in_fields_now() {
    let key = format!("{APPARMOR}a");
    let warning = |at: &str| {
        format!("{at}.annotations[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead")
    };
    let annotations = json!({key.as_str(): "unconfined"});
    check_warnings(Kind::POD, "/metadata/annotations", annotations.clone(), &[&warning("metadata")]);
    check_warnings(
        Kind::DEPLOYMENT,
        "/spec/template/metadata/annotations",
        annotations,
        &[&warning("spec.template.metadata")],
    );
}

#[test]
fn profiles_stay() {
    let with = |annotations: Value| {
        let mut pod = right(Kind::POD);
        put(&mut pod, "/metadata/annotations", annotations);
        create(Kind::POD, pod).unwrap().object
    };
    let key = format!("{APPARMOR}a");
    let (old, none) = (with(json!({key.as_str(): "unconfined"})), with(json!({"x": "y"})));
    let other = with(json!({key.as_str(): "runtime/default"}));
    let changed =
        format!("metadata.annotations[{key}]: Forbidden: may not remove or update AppArmor annotations");
    let added = format!("metadata.annotations[{key}]: Forbidden: may not add AppArmor annotations");
    assert_eq!(errors_of(&update(Kind::POD, &old, other)), [changed.as_str()]);
    assert_eq!(errors_of(&update(Kind::POD, &old, none.clone())), [changed.as_str()]);
    assert_eq!(errors_of(&update(Kind::POD, &none, old.clone())), [added.as_str()]);
    assert_eq!(errors_of(&update(Kind::POD, &old, old.clone())), Vec::<String>::new());
}
