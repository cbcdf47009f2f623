//! Volumes and mounts.

use super::*;

#[test]
fn projected_and_downward() {
    let file = |path: &str, field: &str| json!({"path": path, "fieldRef": {"fieldPath": field}});
    let downward = |items: Value| json!({"name": "w", "downwardAPI": {"items": items}});
    let projected = |sources: Value| json!({"name": "w", "projected": {"sources": sources}});
    let at = "volumes[1].downwardAPI.items[0]";
    let kinds = "\"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"";
    let errors = [
        format!("{at}.path: Required value"),
        format!("{at}.path: Invalid value: \"/a\": must be a relative path"),
        format!("{at}.path: Invalid value: \"..a\": must not start with '..'"),
        format!("{at}.fieldRef.fieldPath: Unsupported value: \"status.podIP\": supported values: {kinds}"),
        format!("{at}: Required value: one of fieldRef and resourceFieldRef is required"),
        format!("{at}.resourceFieldRef.containerName: Required value"),
        format!("{at}.mode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive"),
    ];
    check_pod(&[
        (
            "/volumes/1",
            downward(json!([file("labels", "metadata.labels"), file("a/uid", "metadata.uid")])),
            &[],
        ),
        ("/volumes/1", downward(json!([file("app", "metadata.labels['app']")])), &[]),
        (
            "/volumes/1",
            downward(
                json!([{"path": "cpu", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu"}}]),
            ),
            &[],
        ),
        ("/volumes/1", downward(json!([file("", "metadata.name")])), &[&errors[0]]),
        ("/volumes/1", downward(json!([file("/a", "metadata.name")])), &[&errors[1]]),
        ("/volumes/1", downward(json!([file("..a", "metadata.name")])), &[&errors[2]]),
        ("/volumes/1", downward(json!([file("a", "status.podIP")])), &[&errors[3]]),
        ("/volumes/1", downward(json!([{"path": "a"}])), &[&errors[4]]),
        (
            "/volumes/1",
            downward(json!([{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}])),
            &[&errors[5]],
        ),
        (
            "/volumes/1",
            downward(json!([{"path": "a", "mode": 512, "fieldRef": {"fieldPath": "metadata.name"}}])),
            &[&errors[6]],
        ),
        (
            "/volumes/1",
            projected(json!([
                {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
                {"secret": {"name": "s"}},
                {"downwardAPI": {"items": [file("name", "metadata.name")]}},
            ])),
            &[],
        ),
        (
            "/volumes/1",
            projected(json!([{"configMap": {}}])),
            &["volumes[1].projected.sources[0].configMap.name: Required value"],
        ),
        (
            "/volumes/1",
            projected(json!([{"configMap": {"name": "c"}, "secret": {"name": "s"}}])),
            &[
                "volumes[1].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source",
            ],
        ),
        (
            "/volumes/1",
            projected(json!([
                {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
                {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
            ])),
            &["volumes[1].projected: Invalid value: \"s\": conflicting duplicate paths"],
        ),
        (
            "/volumes/1",
            json!({"name": "w", "projected": {"defaultMode": 512, "sources": []}}),
            &[
                "volumes[1].projected.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            ],
        ),
    ]);
}

#[test]
fn places_and_sizes() {
    check_pod(&[
        ("/volumes/1", json!({"name": "w", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}}), &[]),
        (
            "/volumes/1",
            json!({"name": "w", "emptyDir": {"sizeLimit": "-1"}}),
            &[
                "volumes[1].emptyDir.sizeLimit: Invalid value: \"-1\": SizeLimit field must be a valid resource quantity",
            ],
        ),
        ("/volumes/1", json!({"name": "w", "hostPath": {"path": "/dev/null", "type": "CharDevice"}}), &[]),
        (
            "/volumes/1",
            json!({"name": "w", "hostPath": {"path": "/dev", "type": "Folder"}}),
            &[
                "volumes[1].hostPath.type: Unsupported value: \"Folder\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
            ],
        ),
        (
            "/volumes/1",
            json!({"name": "w", "hostPath": {"path": "dev"}}),
            &["volumes[1].hostPath.path: Invalid value: \"dev\": must be an absolute path"],
        ),
        (
            "/volumes/1",
            json!({"name": "w", "configMap": {"name": "c", "items": [{"key": "k", "path": "a/../b", "mode": -1}]}}),
            &[
                "volumes[1].configMap.items[0].path: Invalid value: \"a/../b\": must not contain '..'",
                "volumes[1].configMap.items[0].mode: Invalid value: -1: must be a number between 0 and 0777 (octal), both inclusive",
            ],
        ),
    ]);
}

#[test]
fn mounts() {
    let mount = |more: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/v"});
        mount.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        json!([mount])
    };
    let place = "/containers/0/volumeMounts";
    let at = "containers[0].volumeMounts[0]";
    let errors = [
        format!("{at}.subPathExpr: Invalid value: \"$(A)\": subPathExpr and subPath are mutually exclusive"),
        format!("{at}.subPathExpr: Invalid value: \"/$(A)\": must be a relative path"),
        format!("{at}.subPathExpr: Invalid value: \"../$(A)\": must not contain '..'"),
        format!(
            "{at}.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers"
        ),
        format!(
            "{at}.mountPropagation: Unsupported value: \"Up\": supported values: \"Bidirectional\", \"HostToContainer\", \"None\""
        ),
        format!("{at}.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"),
        format!(
            "{at}.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified"
        ),
    ];
    check_pod(&[
        (place, mount(json!({"subPathExpr": "$(POD_NAME)/logs"})), &[]),
        (place, mount(json!({"subPathExpr": "$(A)", "subPath": "b"})), &[&errors[0]]),
        (place, mount(json!({"subPathExpr": "/$(A)"})), &[&errors[1]]),
        (place, mount(json!({"subPathExpr": "../$(A)"})), &[&errors[2]]),
        (place, mount(json!({"mountPropagation": "HostToContainer"})), &[]),
        (place, mount(json!({"mountPropagation": "Bidirectional"})), &[&errors[3]]),
        (place, mount(json!({"mountPropagation": "Up"})), &[&errors[4]]),
        (place, mount(json!({"recursiveReadOnly": "IfPossible", "readOnly": true})), &[]),
        (place, mount(json!({"recursiveReadOnly": "IfPossible"})), &[&errors[5]]),
        (
            place,
            mount(
                json!({"recursiveReadOnly": "IfPossible", "readOnly": true, "mountPropagation": "HostToContainer"}),
            ),
            &[&errors[6]],
        ),
    ]);
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/containers/0/volumeMounts", mount(json!({"mountPropagation": "Bidirectional"})));
    put(&mut pod, "/spec/containers/0/securityContext/privileged", json!(true));
    assert_eq!(errors_of(&create(Kind::POD, pod)), Vec::<String>::new());
}
