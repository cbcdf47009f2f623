//! The subresource `resize`.

use super::*;

pub(super) fn resized(old: &Value, new: &Value) -> Result<Admitted, Rejected> {
    let world = world();
    admit_resize(AdmitContext { world: &world, now: NOW }, old, new)
}

/// A pod with a sidecar, an init container, and a container with these resources.
fn pod(resources: Value) -> Value {
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/containers/0/resources", resources);
    let init = |name: &str, more: Value| json!({"name": name, "image": "i", "restartPolicy": more, "resources": {"requests": {"cpu": "10m"}}});
    put(&mut pod, "/spec/initContainers", json!([init("s", json!("Always")), init("i", json!(null))]));
    create(Kind::POD, pod).unwrap().object
}

fn amounts(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": "1Gi"}})
}

fn check_resize(place: &str, value: Value, expected: &[&str]) {
    let old = pod(amounts("100m", "64Mi"));
    let mut new = old.clone();
    put(&mut new, &format!("/spec{place}"), value.clone());
    assert_eq!(errors_of(&resized(&old, &new)), expected, "{place} = {value}");
}

#[test]
fn cpu_and_memory_alone() {
    let only = "spec: Forbidden: only cpu and memory resources are mutable";
    let main = "/containers/0/resources";
    check_resize(main, amounts("200m", "128Mi"), &[]);
    check_resize(main, amounts("50m", "32Mi"), &[]);
    check_resize(&format!("{main}/limits/memory"), json!("512Mi"), &[]);
    check_resize(&format!("{main}/limits/cpu"), json!("1"), &[]);
    check_resize(&format!("{main}/limits/ephemeral-storage"), json!("1Gi"), &[only]);
    check_resize(
        &format!("{main}/limits/memory"),
        json!("32Mi"),
        &[
            "spec.containers[0].resources.requests: Invalid value: \"64Mi\": must be less than or equal to memory limit of 32Mi",
        ],
    );
    check_resize(
        &format!("{main}/requests/cpu"),
        json!("much"),
        &[
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"much\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ],
    );
    check_resize(
        main,
        json!({"requests": {"memory": "64Mi"}, "limits": {"memory": "1Gi"}}),
        &["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
    );
    check_resize(
        main,
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}}),
        &["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"],
    );
    check_resize(
        main,
        json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
        &[],
    );
    check_resize(
        "/containers/0/resizePolicy",
        json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
        &[only],
    );
    check_resize("/containers/1", json!({"name": "b", "image": "b"}), &[only]);
    check_resize("/initContainers/0/resources/requests/cpu", json!("20m"), &[]);
    check_resize(
        "/initContainers/0/resources/requests/ephemeral-storage",
        json!("1Gi"),
        &["spec: Forbidden: only cpu and memory resources for sidecar containers are mutable"],
    );
    check_resize(
        "/initContainers/1/resources/requests/cpu",
        json!("20m"),
        &["spec: Forbidden: resources for non-sidecar init containers are immutable"],
    );
}

#[test]
fn the_class_stays() {
    let mut guaranteed = right(Kind::POD);
    put(&mut guaranteed, "/spec/containers/0/resources", json!({"limits": {"cpu": "1", "memory": "1Gi"}}));
    let guaranteed = create(Kind::POD, guaranteed).unwrap().object;
    let mut more = guaranteed.clone();
    put(&mut more, "/spec/containers/0/resources/limits/cpu", json!("2"));
    assert_eq!(
        errors_of(&resized(&guaranteed, &more)),
        ["spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a result of resizing"]
    );
    put(&mut more, "/spec/containers/0/resources/requests/cpu", json!("2"));
    assert_eq!(errors_of(&resized(&guaranteed, &more)), Vec::<String>::new());
    let best_effort = create(Kind::POD, right(Kind::POD)).unwrap().object;
    let mut more = best_effort.clone();
    put(&mut more, "/spec/containers/0/resources/requests/cpu", json!("2"));
    assert_eq!(
        errors_of(&resized(&best_effort, &more)),
        ["spec: Invalid value: \"BestEffort\": Pod QOS Class may not change as a result of resizing"]
    );
}

/// Whatever else a client sends with a resize stays as it was, and the new spec is a new generation.
#[test]
fn nothing_else_is_taken() {
    let old = pod(amounts("100m", "64Mi"));
    let mut new = old.clone();
    put(&mut new, "/metadata/labels", json!({"a": "b"}));
    put(&mut new, "/spec/hostname", json!("other"));
    put(&mut new, "/status", json!({"phase": "Failed"}));
    assert_eq!(resized(&old, &new).unwrap().object, old);
    put(&mut new, "/spec/containers/0/image", json!("other:2"));
    put(&mut new, "/spec/containers/0/resources/requests/cpu", json!("0.2"));
    let mut expected = old.clone();
    put(&mut expected, "/spec/containers/0/resources/requests/cpu", json!("200m"));
    put(&mut expected, "/metadata/generation", json!(2));
    assert_eq!(resized(&old, &new).unwrap().object, expected);
    for wrong in [json!(null), json!([]), json!({"spec": 5}), json!({"spec": {"containers": {}}})] {
        assert_eq!(
            errors_of(&resized(&old, &wrong)).first().unwrap(),
            "spec.containers: Required value",
            "{wrong}"
        );
        let _ = resized(&wrong, &old);
    }
}
