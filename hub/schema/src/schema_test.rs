//! Small parts of the documents are pinned, and their sizes; the checks are data.

use gannet_hub_core::KINDS;
use serde_json::{Value, json};

use crate::{Shape, catalog, check_fields, duplicate_fields, prune};

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn every_kind_has_a_definition() {
    for kind in KINDS {
        assert!(catalog::definition_name(kind).is_some(), "{} lacks its line in catalog.rs", kind.kind);
        assert!(Shape::of(kind.group, kind.version, kind.kind).is_some(), "{}", kind.kind);
    }
    assert!(Shape::of("", "v1", "Deployment").is_some());
    assert!(Shape::of("autoscaling", "v1", "Scale").is_some());
    assert!(Shape::of("apps", "v1", "Nonsense").is_none());
}

#[test]
fn v2() {
    let document = parsed(crate::openapi_v2_json());
    let deployment = &document["definitions"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}, {"group": "", "version": "v1", "kind": "Deployment"}])
    );
    assert_eq!(deployment["required"], Value::Null);
    assert_eq!(deployment["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentSpec");
    let containers = &document["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(document["definitions"][catalog::INT_OR_STRING]["format"], "int-or-string");
    assert_eq!(document["definitions"][catalog::QUANTITY]["type"], "string");
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["patch"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
    // What a hub pays in memory once a client has asked.
    for (size, bytes) in
        [("v2", crate::openapi_v2_json().len()), ("protobuf", crate::openapi_v2_protobuf().len())]
    {
        assert!((100_000..800_000).contains(&bytes), "{size}: {bytes}");
    }
}

#[test]
fn references_lead_somewhere() {
    fn walk(value: &Value, prefix: &str, known: &serde_json::Map<String, Value>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let name = reference.strip_prefix(prefix).unwrap_or_else(|| panic!("{reference}"));
                    assert!(known.contains_key(name), "{reference}");
                }
                fields.values().for_each(|v| walk(v, prefix, known));
            }
            Value::Array(values) => values.iter().for_each(|v| walk(v, prefix, known)),
            _ => {}
        }
    }
    let document = parsed(crate::openapi_v2_json());
    walk(&document, "#/definitions/", document["definitions"].as_object().unwrap());
    for path in [
        "api/v1",
        "apis/apps/v1",
        "apis/coordination.k8s.io/v1",
        "apis/discovery.k8s.io/v1",
        "apis/metrics.k8s.io/v1beta1",
    ] {
        let document = parsed(crate::openapi_v3(path).unwrap());
        walk(&document, "#/components/schemas/", document["components"]["schemas"].as_object().unwrap());
    }
}

#[test]
fn v3() {
    let index = parsed(crate::openapi_v3_index());
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="), "{url}");
    assert_eq!(index["paths"].as_object().unwrap().len(), 5);
    assert!(crate::openapi_v3("apis/batch/v1").is_none());
    for (path, group) in [("apis/apps/v1", "apps"), ("api/v1", "")] {
        let document = parsed(crate::openapi_v3(path).unwrap());
        let item = format!("/{path}/namespaces/{{namespace}}/deployments/{{name}}");
        let patch = &document["paths"][item]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group": group, "version": "v1", "kind": "Deployment"})
        );
        assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
        let spec = &document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"];
        assert_eq!(spec["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec");
    }
    let metrics = parsed(crate::openapi_v3("apis/metrics.k8s.io/v1beta1").unwrap());
    let list = &metrics["paths"]["/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"]["get"];
    assert_eq!(list["x-kubernetes-group-version-kind"]["kind"], "PodMetrics");
    assert!(
        metrics["components"]["schemas"]
            .get("io.k8s.metrics.pkg.apis.metrics.v1beta1.ContainerMetrics")
            .is_some()
    );
    let apps = parsed(crate::openapi_v3("apis/apps/v1").unwrap());
    assert!(apps["components"]["schemas"].get("io.k8s.api.core.v1.Node").is_none());
}

fn check(kind: (&str, &str), object: Value, unknown: &[&str], mistyped: Option<&str>) {
    let report = check_fields(kind.0, "v1", kind.1, &object).unwrap();
    assert_eq!(
        (report.unknown.iter().map(String::as_str).collect::<Vec<_>>(), report.mistyped.as_deref()),
        (unknown.to_vec(), mistyped),
        "{object}"
    );
}

#[test]
fn fields() {
    const DEPLOYMENT: (&str, &str) = ("apps", "Deployment");
    const POD: (&str, &str) = ("", "Pod");
    let pod = |container: Value| json!({"spec": {"containers": [{"name": "a"}, container]}});
    check(
        DEPLOYMENT,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}),
        &[],
        None,
    );
    check(("", "Deployment"), json!({"spec": {"replica": 1}}), &["spec.replica"], None);
    check(DEPLOYMENT, json!({"spec": {"replica": 1}, "sepc": {}}), &["sepc", "spec.replica"], None);
    check(
        DEPLOYMENT,
        json!({"spec": {"template": {"spec": {"containers": [{"imagee": "x"}]}}}}),
        &["spec.template.spec.containers[0].imagee"],
        None,
    );
    check(
        DEPLOYMENT,
        json!({"spec": {"replicas": "3"}}),
        &[],
        Some("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    );
    check(
        DEPLOYMENT,
        json!({"spec": {"replicas": 1.5}}),
        &[],
        Some(
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
    );
    check(
        DEPLOYMENT,
        json!({"spec": {"replicas": 99_999_999_999_i64}}),
        &[],
        Some(
            "json: cannot unmarshal number 99999999999 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
    );
    check(
        POD,
        pod(json!({"env": [{"name": "A", "value": 1}]})),
        &[],
        Some(
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
    );
    check(
        POD,
        pod(json!({"ports": {}})),
        &[],
        Some(
            "json: cannot unmarshal object into Go struct field Container.spec.containers.ports of type []v1.ContainerPort",
        ),
    );
    check(
        POD,
        json!({"spec": "x"}),
        &[],
        Some("json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
    );
    check(POD, json!([]), &[], Some("json: cannot unmarshal array into Go value of type v1.Pod"));
    check(
        POD,
        json!({"metadata": {"labels": {"a": true}}}),
        &[],
        Some("json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string"),
    );
    check(
        POD,
        pod(json!({"resources": {"limits": {"cpu": "lots"}}})),
        &[],
        Some("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    );
    check(POD, pod(json!({"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}})), &[], None);
    check(
        POD,
        pod(
            json!({"livenessProbe": {"tcpSocket": {"port": "web"}}, "readinessProbe": {"tcpSocket": {"port": 80}}}),
        ),
        &[],
        None,
    );
    check(
        POD,
        pod(json!({"livenessProbe": {"tcpSocket": {"port": true}}})),
        &[],
        Some("json: cannot unmarshal bool into Go value of type int32"),
    );
    check(
        POD,
        json!({"metadata": {"creationTimestamp": null, "managedFields": [{"fieldsV1": {"f:x": {}}}]}}),
        &[],
        None,
    );
    check(
        POD,
        json!({"metadata": {"creationTimestamp": "now"}}),
        &[],
        Some("parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\" as \"2006\""),
    );
    check(("", "Secret"), json!({"data": {"a": "aGk="}, "stringData": {"b": "x"}}), &[], None);
    check(("", "Secret"), json!({"data": {"a": "a!k="}}), &[], Some("illegal base64 data at input byte 1"));
    check(("", "Secret"), json!({"data": {"a": "aGk"}}), &[], Some("illegal base64 data at input byte 3"));
    check(("", "DeleteOptions"), json!({"propagationPolicy": "Foreground"}), &[], None);
}

#[test]
fn pruned() {
    let mut pod = json!({"spec": {"x": 1, "nodeName": null, "containers": [{"name": "a", "y": 2, "args": [null]}]}, "metadata": {"labels": {"a": null}}});
    prune("", "v1", "Pod", &mut pod);
    assert_eq!(
        pod,
        json!({"spec": {"containers": [{"name": "a", "args": [""]}]}, "metadata": {"labels": {"a": ""}}})
    );
}

#[test]
fn duplicates() {
    for (text, expected) in [
        (r#"{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}"#, vec!["b.c", "a"]),
        (r#"{"l": [{"a": 1}, {"a": 1, "a": 1, "a": 1}]}"#, vec!["l[1].a"]),
        (r#"{"a": {"b": 1.5}, "c": [true, null, "x", -1]}"#, vec![]),
        ("{", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(duplicate_fields(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(duplicate_fields("[".repeat(100_000).as_bytes()), Vec::<String>::new());
}

#[test]
fn shapes() {
    let spec = Shape::of("apps", "v1", "Deployment").and_then(|s| s.field("spec")).unwrap();
    assert!(spec.field("strategy").unwrap().retains_keys());
    assert!(spec.field("selector").unwrap().is_atomic());
    let pod = spec.field("template").and_then(|t| t.field("spec")).unwrap();
    let containers = pod.field("containers").unwrap();
    assert!(containers.merges() && containers.merge_key() == Some("name") && !containers.is_atomic());
    let ports = containers.items().and_then(|c| c.field("ports")).unwrap();
    assert_eq!(
        (ports.merge_key(), ports.list_map_keys()),
        (Some("containerPort"), ["containerPort", "protocol"].as_slice())
    );
    assert!(pod.field("volumes").unwrap().merges() && pod.field("volumes").unwrap().retains_keys());
    assert!(pod.field("tolerations").unwrap().is_atomic() && !pod.field("tolerations").unwrap().merges());
    let labels = Shape::of("", "v1", "Pod").and_then(|p| p.field("metadata")?.field("labels")).unwrap();
    assert!(labels.field("anything").is_some() && !labels.is_atomic());
    let finalizers =
        Shape::of("", "v1", "Pod").and_then(|p| p.field("metadata")?.field("finalizers")).unwrap();
    assert!(finalizers.merges() && finalizers.merge_key().is_none() && finalizers.is_set());
}
