//! Whatever JSON is sent gets an answer.

use proptest::prelude::*;
use serde_json::Value;

use super::{create, errors_of, pod_resize, right, update};

/// Words that lead into the checks, and some that do not.
const WORDS: &[&str] = &[
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "spec",
    "status",
    "template",
    "selector",
    "matchLabels",
    "matchExpressions",
    "strategy",
    "rollingUpdate",
    "maxSurge",
    "type",
    "containers",
    "initContainers",
    "image",
    "ports",
    "containerPort",
    "nodePort",
    "env",
    "valueFrom",
    "fieldRef",
    "volumes",
    "emptyDir",
    "sizeLimit",
    "secret",
    "resources",
    "limits",
    "requests",
    "cpu",
    "memory",
    "livenessProbe",
    "httpGet",
    "port",
    "tolerations",
    "affinity",
    "clusterIP",
    "clusterIPs",
    "NodePort",
    "RollingUpdate",
    "lifecycle",
    "preStop",
    "sleep",
    "seconds",
    "grpc",
    "projected",
    "downwardAPI",
    "sources",
    "items",
    "resourceFieldRef",
    "divisor",
    "sysctls",
    "securityContext",
    "seccompProfile",
    "appArmorProfile",
    "localhostProfile",
    "dnsConfig",
    "nameservers",
    "searches",
    "hostAliases",
    "hostnames",
    "priorityClassName",
    "resizePolicy",
    "resourceName",
    "ephemeral-storage",
    "devices.gannet.dev/modbus",
    "gannet.dev/progress-deadline",
    "container.apparmor.security.beta.kubernetes.io/a",
    "restartPolicy",
    "Always",
    "data",
    "stringData",
    "subsets",
    "endpoints",
    "default",
    "x",
    "",
    "é",
    "../..",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![proptest::sample::select(WORDS).prop_map(ToOwned::to_owned), ".{0,12}"]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..6).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

/// All places in a value.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(k, v)| places(v, &format!("{at}/{}", k.replace('/', "~1")), all))
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), all)),
        _ => {}
    }
}

proptest! {
    /// Any JSON at any place of any kind's object gets an answer, and what is admitted is admitted again unchanged.
    #[test]
    fn never_panics(kind in 0..crate::KINDS.len(), place in any::<proptest::sample::Index>(), value in any_json()) {
        let kind = crate::KINDS[kind];
        let mut object = right(kind);
        let mut all: Vec<String> = Vec::new();
        places(&object, "", &mut all);
        *object.pointer_mut(place.get::<String>(&all)).unwrap() = value.clone();
        let _ = update(kind, &right(kind), object.clone());
        let _ = update(kind, &object, right(kind));
        let _ = update(kind, &value, object.clone());
        let _ = pod_resize::resized(&object, &right(kind));
        let _ = pod_resize::resized(&right(kind), &object);
        let _ = create(kind, value);
        if let Ok(admitted) = create(kind, object) {
            let again = update(kind, &admitted.object, admitted.object.clone());
            prop_assert_eq!(errors_of(&again), Vec::<String>::new());
            prop_assert_eq!(again.unwrap().object, admitted.object);
        }
    }
}
