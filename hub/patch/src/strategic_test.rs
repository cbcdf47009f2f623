use serde_json::json;

use super::*;

fn check(kind: (&str, &str, &str), object: Value, patch: Value, expected: Result<Value, &str>) {
    let shape = Shape::of(kind.0, kind.1, kind.2);
    assert!(shape.is_some(), "{kind:?} has no shape");
    let mut patched = object.clone();
    let result =
        strategic_merge_patch(&mut patched, &patch, shape).map(|()| patched).map_err(|e| e.to_string());
    assert_eq!(result, expected.map_err(str::to_owned), "{object} patched with {patch}");
}

const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");

fn containers(list: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": list}}}})
}

#[test]
fn containers_merge_by_name() {
    check(
        DEPLOYMENT,
        containers(json!([{"name": "a", "image": "a:1", "tty": true}, {"name": "b", "image": "b:1"}])),
        containers(json!([{"name": "a", "image": "a:2"}])),
        Ok(containers(json!([{"name": "a", "image": "a:2", "tty": true}, {"name": "b", "image": "b:1"}]))),
    );
    check(
        DEPLOYMENT,
        containers(json!([{"name": "a", "image": "a:1"}])),
        containers(json!([{"name": "b", "image": "b:1"}])),
        Ok(containers(json!([{"name": "b", "image": "b:1"}, {"name": "a", "image": "a:1"}]))),
    );
    check(
        DEPLOYMENT,
        containers(json!([{"name": "a"}])),
        containers(json!([{"image": "a:1"}])),
        Err("spec.template.spec.containers: does not contain declared merge key: name"),
    );
}

#[test]
fn directives_of_lists() {
    let two = || containers(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]));
    check(
        DEPLOYMENT,
        two(),
        containers(json!([{"name": "a", "$patch": "delete"}])),
        Ok(containers(json!([{"name": "b", "image": "b:1"}]))),
    );
    check(
        DEPLOYMENT,
        two(),
        containers(json!([{"name": "c", "image": "c:1"}, {"$patch": "replace"}])),
        Ok(containers(json!([{"name": "c", "image": "c:1"}]))),
    );
    check(
        DEPLOYMENT,
        two(),
        json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "a:2"}]}}}}),
        Ok(containers(json!([{"name": "b", "image": "b:1"}, {"name": "a", "image": "a:2"}]))),
    );
    check(
        DEPLOYMENT,
        two(),
        json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}}}),
        Ok(containers(json!([{"name": "b", "image": "b:1"}, {"name": "a", "image": "a:1"}]))),
    );
}

#[test]
fn environment_and_ports() {
    check(
        DEPLOYMENT,
        containers(json!([{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
            "ports": [{"containerPort": 80, "name": "http"}]}])),
        containers(
            json!([{"name": "a", "env": [{"name": "Y", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "ports": [{"containerPort": 80, "protocol": "UDP"}]}]),
        ),
        Ok(containers(json!([{"name": "a",
            "env": [{"name": "X", "value": "1"}, {"name": "Y", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "ports": [{"containerPort": 80, "name": "http", "protocol": "UDP"}]}]))),
    );
}

#[test]
fn retain_keys() {
    let before =
        || json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    check(
        DEPLOYMENT,
        before(),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        Ok(json!({"spec": {"strategy": {"type": "Recreate"}}})),
    );
    check(
        DEPLOYMENT,
        before(),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}),
        Err("$retainKeys directive doesn't contain the field rollingUpdate that is set"),
    );
}

#[test]
fn maps_and_plain_lists() {
    let pod = ("", "v1", "Pod");
    check(
        pod,
        json!({"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]}}),
        json!({"metadata": {"labels": {"a": null, "c": "3"}, "finalizers": ["z"],
            "$deleteFromPrimitiveList/finalizers": ["x"]}}),
        Ok(json!({"metadata": {"labels": {"b": "2", "c": "3"}, "finalizers": ["z", "y"]}})),
    );
    check(
        pod,
        json!({"metadata": {"labels": {"a": "1"}}}),
        json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}}),
        Ok(json!({"metadata": {"labels": {"b": "2"}}})),
    );
    check(
        pod,
        json!({"spec": {"tolerations": [{"key": "a"}]}}),
        json!({"spec": {"tolerations": [{"key": "b"}]}}),
        Ok(json!({"spec": {"tolerations": [{"key": "b"}]}})),
    );
    check(pod, json!({}), json!({"spec": {"$patch": "melt"}}), Err("unknown patch type \"melt\" in map"));
    check(pod, json!({}), json!([]), Err("the patch is not an object"));
}

#[test]
fn services_and_conditions() {
    let service = ("", "v1", "Service");
    check(
        service,
        json!({"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]}}),
        json!({"spec": {"ports": [{"port": 443, "targetPort": 8443}]}}),
        Ok(
            json!({"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https", "targetPort": 8443}]}}),
        ),
    );
    check(
        ("", "v1", "Node"),
        json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk", "status": "False"}]}}),
        json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
        Ok(
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "Disk", "status": "False"}]}}),
        ),
    );
}
