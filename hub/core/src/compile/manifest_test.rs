//! Each row gives a pod one field, and names what its manifest has then beside what the plain pod's has.

use gannet_protocols_model::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::admit::{AdmitContext, admit_create};

fn namespaces() -> World {
    let active = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}});
    world(&[active("default")])
}

/// The pod as it is stored: admitted, with the defaults of today.
fn admitted(patch: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": "a", "namespace": "default", "labels": {"app": "web", "tier": "front"}},
        "spec": {"containers": [{"name": "c", "image": "web:v1", "ports": [{"name": "http", "containerPort": 8080}]}],
            "volumes": [{"name": "v", "emptyDir": {}}]}});
    crate::control::test_world::merge(&mut pod, patch.clone());
    let world = namespaces();
    let cx = AdmitContext { world: &world, now: Timestamp::from_millis(0) };
    let mut pod = admit_create(cx, Kind::POD, pod).unwrap_or_else(|e| panic!("{patch}: {e}")).object;
    pod["metadata"]["uid"] = json!("uid-a");
    pod["spec"]["nodeName"] = json!("n1");
    pod
}

fn compiled(pod: &Value, others: &[Value]) -> (gannet_protocols_model::PodEntry, Value) {
    let mut objects = others.to_vec();
    objects.push(pod.clone());
    let docs = compile(&world(&objects), &ClusterNetwork::default(), &"n1".parse().unwrap());
    assert!(docs.misfits.is_empty(), "{:?}", docs.misfits);
    let bytes = &docs.blobs[&docs.pods[0].manifest];
    let manifest = Manifest::parse(bytes).unwrap();
    assert_eq!(&manifest.to_bytes()[..], &bytes[..], "a manifest that was read is written the same");
    (docs.pods[0].clone(), serde_json::from_slice(bytes).unwrap())
}

/// What is in `after` and not, or otherwise, in `before`; lists of structs item by item.
fn beside(before: &Value, after: &Value) -> Value {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
            let part = |(key, value): (&String, &Value)| {
                (key.clone(), beside(before.get(key).unwrap_or(&Value::Null), value))
            };
            changed.map(part).collect()
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            before.iter().zip(after).map(|(b, a)| beside(b, a)).collect()
        }
        (_, after) => after.clone(),
    }
}

/// `patch` is merged over the plain pod.
#[track_caller]
fn check_pod(patch: Value, expected: Value) {
    let (_, plain) = compiled(&admitted(&json!({})), &[]);
    let (_, manifest) = compiled(&admitted(&patch), &[]);
    assert_eq!(beside(&plain, &manifest), expected, "{patch}");
}

#[track_caller]
fn check_spec(spec: Value, expected: Value) {
    check_pod(json!({"spec": spec}), expected);
}

/// One field more in the plain pod's container.
#[track_caller]
fn check_container(fields: Value, expected: Value) {
    let mut container =
        json!({"name": "c", "image": "web:v1", "ports": [{"name": "http", "containerPort": 8080}]});
    crate::control::test_world::merge(&mut container, fields);
    let changed = if expected == json!({}) { json!({}) } else { json!({"containers": [expected]}) };
    check_spec(json!({"containers": [container]}), changed);
}

#[test]
fn plain() {
    let (entry, manifest) = compiled(&admitted(&json!({})), &[]);
    assert_eq!(
        manifest,
        json!({
            "version": 1, "restart_policy": "Always", "termination_grace_seconds": 30, "service_links": true,
            "containers": [{"name": "c", "image": "web:v1", "pull_policy": "IfNotPresent", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}],
            "volumes": [{"name": "v", "source": {"emptyDir": {"memory": false, "size_limit": null}}}],
        })
    );
    assert_eq!((entry.owner, entry.progress_deadline_seconds, entry.fields.len()), (None, None, 0));
}

#[test]
fn pods() {
    check_spec(json!({"hostPID": true, "hostIPC": true}), json!({"host_pid": true, "host_ipc": true}));
    check_spec(json!({"shareProcessNamespace": true}), json!({"share_process_namespace": true}));
    check_spec(json!({"hostUsers": false}), json!({"user_namespace": true}));
    check_spec(json!({"hostUsers": true}), json!({}));
    check_spec(json!({"activeDeadlineSeconds": 60}), json!({"active_deadline_seconds": 60}));
    check_spec(json!({"priorityClassName": "system-node-critical"}), json!({"priority": 2_000_001_000}));
    check_spec(
        json!({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true}),
        json!({"hostname": "h", "subdomain": "s", "hostname_as_fqdn": true}),
    );
    check_spec(
        json!({"securityContext": {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}, {"name": "kernel.shm_rmid_forced", "value": "0"}]}}),
        json!({"sysctls": {"net.ipv4.tcp_syncookies": "1", "kernel.shm_rmid_forced": "0"}}),
    );
    check_spec(
        json!({"securityContext": {"fsGroup": 7, "fsGroupChangePolicy": "OnRootMismatch"}}),
        json!({"fs_group": 7}),
    );
    check_spec(
        json!({"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["plc"]}, {"ip": "::1"}]}),
        json!({"host_aliases": [{"ip": "192.0.2.1", "hostnames": ["plc"]}]}),
    );
    let links = |on: bool| compiled(&admitted(&json!({"spec": {"enableServiceLinks": on}})), &[]).1;
    assert_eq!((&links(true)["service_links"], &links(false)["service_links"]), (&json!(true), &json!(null)));
}

#[test]
fn name_servers() {
    check_spec(json!({"dnsPolicy": "Default"}), json!({"dns_policy": "Default"}));
    check_spec(json!({"dnsPolicy": "ClusterFirstWithHostNet"}), json!({}));
    check_spec(
        json!({"hostNetwork": true, "containers": [{"name": "c", "image": "web:v1"}]}),
        json!({"host_network": true, "dns_policy": "Default", "containers": [{}]}),
    );
    check_spec(
        json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet", "containers": [{"name": "c", "image": "web:v1"}]}),
        json!({"host_network": true, "dns_policy": "ClusterFirstWithHostNet", "containers": [{}]}),
    );
    check_spec(
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["local"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}}),
        json!({"dns_policy": "None", "dns_config": {"nameservers": ["192.0.2.53"], "searches": ["local"], "options": [["ndots", "2"], ["rotate", null]]}}),
    );
}

#[test]
fn containers() {
    check_container(
        json!({"terminationMessagePath": "/tmp/why"}),
        json!({"termination_message_path": "/tmp/why"}),
    );
    check_container(json!({"terminationMessagePath": "/dev/termination-log"}), json!({}));
    check_container(
        json!({"terminationMessagePolicy": "FallbackToLogsOnError"}),
        json!({"termination_message_from_log": true}),
    );
    check_container(json!({"imagePullPolicy": "Never"}), json!({"pull_policy": "Never"}));
    check_container(
        json!({"resources": {"requests": {"ephemeral-storage": "1Ki"}, "limits": {"ephemeral-storage": "2Ki", "devices.gannet.dev/modbus": "2"}}}),
        json!({"resources": {"disk_request": 1024, "disk_limit": 2048}, "devices": {"devices.gannet.dev/modbus": 2}}),
    );
    check_container(
        json!({"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}, {"resourceName": "cpu", "restartPolicy": "NotRequired"}]}),
        json!({"resize_restarts": {"memory": true}}),
    );
    check_container(
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)", "mountPropagation": "HostToContainer"}]}),
        json!({"mounts": [{"volume": "v", "path": "/v", "sub_path_expr": "$(A)", "propagation": "HostToContainer"}]}),
    );
    check_container(
        json!({"env": [{"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}, {"name": "C", "valueFrom": {"resourceFieldRef": {"containerName": "c", "resource": "requests.cpu", "divisor": "1m"}}}, {"name": "D", "valueFrom": {"resourceFieldRef": {"containerName": "d", "resource": "limits.cpu"}}}]}),
        json!({"env": [
            {"name": "M", "value": {"resource": {"resource": "limits.memory", "divisor_millis": 1_048_576_000_u64}}},
            {"name": "C", "value": {"resource": {"container": "c", "resource": "requests.cpu", "divisor_millis": 1}}},
            {"name": "D", "value": {"missing": "container d not found"}},
        ]}),
    );
}

#[test]
fn sidecars() {
    check_spec(
        json!({"initContainers": [{"name": "s", "image": "s:1", "restartPolicy": "Always"}, {"name": "i", "image": "i:1"}]}),
        json!({"init_containers": [{"name": "s", "image": "s:1", "pull_policy": "IfNotPresent", "sidecar": true}, {"name": "i", "image": "i:1", "pull_policy": "IfNotPresent"}]}),
    );
}

#[test]
fn hooks() {
    let get = |port: Value| json!({"httpGet": {"port": port, "path": "/bye", "scheme": "HTTPS", "httpHeaders": [{"name": "a", "value": "b"}]}});
    let lean = |port: u16| json!({"http": {"port": port, "path": "/bye", "tls": true, "host": null, "headers": [["a", "b"]]}});
    check_container(
        json!({"lifecycle": {"postStart": {"exec": {"command": ["x"]}}, "preStop": get(json!("http"))}}),
        json!({"post_start": {"exec": ["x"]}, "pre_stop": lean(8080)}),
    );
    check_container(json!({"lifecycle": {"preStop": get(json!("nobody"))}}), json!({"pre_stop": lean(0)}));
    check_container(
        json!({"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}),
        json!({"pre_stop": {"sleep": 5}}),
    );
    check_spec(
        json!({"os": {"name": "linux"}, "containers": [{"name": "c", "image": "web:v1", "ports": [{"name": "http", "containerPort": 8080}], "lifecycle": {"stopSignal": "SIGUSR1"}}]}),
        json!({"containers": [{"stop_signal": "SIGUSR1"}]}),
    );
}

#[test]
fn probes() {
    let lean = |action: Value| json!({"action": action, "initial_delay_seconds": 0, "period_seconds": 10, "timeout_seconds": 1, "success_threshold": 1, "failure_threshold": 3});
    let mut graceful = lean(json!({"grpc": {"port": 9000, "service": "s"}}));
    graceful["grace_seconds"] = json!(4);
    check_container(
        json!({"livenessProbe": {"grpc": {"port": 9000, "service": "s"}, "terminationGracePeriodSeconds": 4}}),
        json!({"liveness": graceful}),
    );
    check_container(
        json!({"startupProbe": {"grpc": {"port": 9000}}}),
        json!({"startup": lean(json!({"grpc": {"port": 9000, "service": ""}}))}),
    );
    let tls = json!({"http": {"port": 8080, "path": "/", "tls": true, "host": "h", "headers": []}});
    check_container(
        json!({"readinessProbe": {"httpGet": {"port": "http", "scheme": "HTTPS", "host": "h"}}}),
        json!({"readiness": lean(tls)}),
    );
    // A port that nobody named: never ready, and never killed for it.
    let nobody = json!({"tcpSocket": {"port": "nobody"}});
    check_container(
        json!({"readinessProbe": nobody, "livenessProbe": nobody}),
        json!({"readiness": lean(json!({"tcp": {"port": 0, "host": null}}))}),
    );
}

#[test]
fn security() {
    let own = |security: Value, expected: Value| {
        check_container(json!({"securityContext": security}), json!({"security": expected}));
    };
    own(json!({"privileged": true}), json!({"privileged": true, "seccomp": "Unconfined"}));
    own(
        json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}}),
        json!({"seccomp": {"Localhost": "a/b.json"}}),
    );
    own(json!({"appArmorProfile": {"type": "RuntimeDefault"}}), json!({"apparmor": "RuntimeDefault"}));
    own(
        json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "web"}}),
        json!({"apparmor": {"Localhost": "web"}}),
    );
    check_spec(
        json!({"hostUsers": false, "containers": [{"name": "c", "image": "web:v1", "ports": [{"name": "http", "containerPort": 8080}], "securityContext": {"procMount": "Unmasked"}}]}),
        json!({"user_namespace": true, "containers": [{"security": {"unmasked_proc": true}}]}),
    );
    check_spec(
        json!({"securityContext": {"runAsUser": 5, "supplementalGroups": [7], "supplementalGroupsPolicy": "Strict", "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"}}}),
        json!({"containers": [{"security": {"run_as_user": 5, "supplemental_groups": [7], "strict_groups": true, "seccomp": "Unconfined", "apparmor": "Unconfined"}}]}),
    );
    let noted = |profile: &str, pod: Value, expected: Value| {
        let annotations = json!({"container.apparmor.security.beta.kubernetes.io/c": profile});
        check_pod(
            json!({"metadata": {"annotations": annotations}, "spec": {"securityContext": pod}}),
            json!({"containers": [{"security": {"apparmor": expected}}]}),
        );
    };
    noted("localhost/web", json!({}), json!({"Localhost": "web"}));
    noted("runtime/default", json!({}), json!("RuntimeDefault"));
}

#[test]
fn volumes() {
    let volume = |source: Value, expected: Value| {
        let mut volume = json!({"name": "v"});
        crate::control::test_world::merge(&mut volume, source);
        check_spec(json!({"volumes": [volume]}), json!({"volumes": [{"source": expected}]}));
    };
    volume(
        json!({"hostPath": {"path": "/dev/ttyS0", "type": "CharDevice"}}),
        json!({"hostPath": {"path": "/dev/ttyS0", "kind": "CharDevice"}}),
    );
    volume(
        json!({"downwardAPI": {"defaultMode": 256, "items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "mode": 292, "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}]}}),
        json!({"downwardApi": {"default_mode": 256, "items": [
            {"path": "labels", "value": {"field": "metadata.labels"}},
            {"path": "cpu", "value": {"resource": {"container": "c", "resource": "limits.cpu", "divisor_millis": 1000}}, "mode": 292}]}}),
    );
    volume(
        json!({"projected": {"sources": [
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}},
            {"secret": {"name": "s", "optional": true}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}),
        json!({"projected": {"default_mode": 420, "sources": [
            {"configMap": {"blob": null, "missing": "configmap \"m\" not found", "default_mode": 420, "items": [{"key": "k", "path": "p"}]}},
            {"secret": {"blob": null, "default_mode": 420}},
            {"downwardApi": [{"path": "name", "value": {"field": "metadata.name"}}]}]}}),
    );
}

#[test]
fn objects_of_a_projected_volume_go_along() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, "data": {"k": "dg=="}});
    let source = json!([{"secret": {"name": "s", "items": [{"key": "k", "path": "p"}, {"key": "gone", "path": "q"}]}}]);
    let pod = admitted(&json!({"spec": {"volumes": [{"name": "v", "projected": {"sources": source}}]}}));
    let objects = [secret, pod];
    let docs = compile(&world(&objects), &ClusterNetwork::default(), &"n1".parse().unwrap());
    let manifest = Manifest::parse(&docs.blobs[&docs.pods[0].manifest]).unwrap();
    let blob = ConfigBlob::new([("k".to_owned(), b"v".to_vec())]).digest();
    assert_eq!(manifest.blobs(), [blob]);
    assert!(docs.blobs.contains_key(&blob));
    let text = serde_json::to_string(&manifest.volumes).unwrap();
    assert!(text.contains("references non-existent secret key: gone") && !text.contains("\"q\""), "{text}");
}

#[test]
fn fields_of_files() {
    let item = |path: &str, field: &str| json!({"path": path, "fieldRef": {"fieldPath": field}});
    let volumes = json!([
        {"name": "v", "downwardAPI": {"items": [item("labels", "metadata.labels"), item("name", "metadata.name")]}},
        {"name": "p", "projected": {"sources": [{"downwardAPI": {"items": [item("app", "metadata.labels['app']"), item("notes", "metadata.annotations")]}}]}},
    ]);
    let pod = admitted(
        &json!({"metadata": {"annotations": {"b": "two\nlines", "a": "1"}}, "spec": {"volumes": volumes}}),
    );
    let (entry, _) = compiled(&pod, &[]);
    let fields: Vec<(&str, &str)> = entry.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        fields,
        [
            ("metadata.annotations", "a=\"1\"\nb=\"two\\nlines\""),
            ("metadata.labels", "app=\"web\"\ntier=\"front\""),
            ("metadata.labels['app']", "web"),
        ]
    );
}

#[test]
fn a_file_of_no_container_is_a_misfit() {
    let item = json!({"path": "cpu", "resourceFieldRef": {"containerName": "x", "resource": "limits.cpu"}});
    let pod = admitted(&json!({"spec": {"volumes": [{"name": "v", "downwardAPI": {"items": [item]}}]}}));
    check(&[pod], &["misfit Some(\"a\") FailedMount: volume \"v\": container x not found"], &[]);
}

/// Pieces of specs that are right by themselves; most go together.
fn pieces() -> Vec<Value> {
    vec![
        json!({"hostPID": true}),
        json!({"hostIPC": true}),
        json!({"hostUsers": false}),
        json!({"shareProcessNamespace": true}),
        json!({"hostNetwork": true}),
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["::1"], "searches": ["_tcp.a"]}}),
        json!({"dnsPolicy": "ClusterFirstWithHostNet"}),
        json!({"hostAliases": [{"ip": "::1", "hostnames": ["é"]}]}),
        json!({"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a"]}]}),
        json!({"activeDeadlineSeconds": 2_147_483_647}),
        json!({"terminationGracePeriodSeconds": 4_294_967_295_u64}),
        json!({"priorityClassName": "system-cluster-critical"}),
        json!({"securityContext": {"fsGroup": 2_147_483_647, "sysctls": [{"name": "net/ipv4/tcp_rmem", "value": "1 2 3"}]}}),
        json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always", "livenessProbe": {"grpc": {"port": 1}}}]}),
        json!({"initContainers": [{"name": "i", "image": "not an image"}]}),
        json!({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "m"}}, {}]}}]}),
        json!({"volumes": [{"name": "v", "projected": {"sources": []}}]}),
        json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "16Ei"}}]}),
        json!({"volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Ei"}}]}}]}),
        json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"devices.gannet.dev/a": "4294967295", "cpu": "1e9"}}}]}),
        json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"devices.gannet.dev/a": "4294967296"}}}]}),
        json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": "100E"}}}]}),
        json!({"containers": [{"name": "c", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": 30}}}}]}),
        json!({"containers": [{"name": "c", "image": "i", "livenessProbe": {"exec": {"command": ["é"]}, "periodSeconds": 2_147_483_647}}]}),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever is admitted is compiled to a manifest that reads and writes the same, or to a misfit.
    #[test]
    fn admitted_pods_compile(chosen in proptest::collection::vec(proptest::sample::select(pieces()), 0..6)) {
        let mut pod = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        for piece in chosen {
            crate::control::test_world::merge(&mut pod["spec"], piece);
        }
        let world = namespaces();
        let cx = AdmitContext { world: &world, now: Timestamp::from_millis(0) };
        if let Ok(admitted) = admit_create(cx, Kind::POD, pod) {
            let mut pod = admitted.object;
            pod["metadata"]["uid"] = json!("uid-a");
            pod["spec"]["nodeName"] = json!("n1");
            let docs = compile(&super::world(&[pod]), &ClusterNetwork::default(), &"n1".parse().unwrap());
            prop_assert_eq!(docs.pods.len() + docs.misfits.len(), 1);
            for entry in &docs.pods {
                let bytes = &docs.blobs[&entry.manifest];
                prop_assert_eq!(&Manifest::parse(bytes).unwrap().to_bytes()[..], &bytes[..]);
            }
        }
    }
}
