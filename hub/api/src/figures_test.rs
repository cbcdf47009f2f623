use std::sync::atomic::{AtomicU8, Ordering};

use gannet_hub_core::Change;
use gannet_hub_objects::{MemoryStorage, Ports};

use super::made_up::Made;
use super::*;

const NODES: Served = Served { kind: Kind::NODE_METRICS, alias: false };
const PODS: Served = Served { kind: Kind::POD_METRICS, alias: false };

/// Nodes, and pods as (namespace, name, node, phase). A pod's uid is `uid-` and its node's name.
async fn objects(nodes: &[&str], pods: &[(&str, &str, &str, &str)]) -> Objects {
    let clock = Arc::new(|| Timestamp::from_millis(1_769_860_800_000));
    let counter = AtomicU8::new(0);
    let random = Arc::new(move |bytes: &mut [u8]| bytes.fill(counter.fetch_add(1, Ordering::Relaxed)));
    let objects = Objects::new(Arc::new(MemoryStorage::default()), Ports { clock, random });
    objects.ensure_first_objects().await.unwrap();
    for node in nodes {
        let object = json!({"metadata": {"name": node, "labels": {"site": node}}});
        objects.apply(Change::Create { kind: Kind::NODE, object }).await.unwrap();
    }
    for (namespace, name, node, phase) in pods {
        let object = json!({
            "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-{node}"), "labels": {"app": name}},
            "spec": {"containers": [{"name": "a", "image": "a:1"}]},
        });
        objects.apply(Change::Create { kind: Kind::POD, object }).await.unwrap();
        let mut object = objects.get(Kind::POD, &ObjectKey::new(namespace, name)).unwrap();
        object["spec"]["nodeName"] = json!(node);
        object["status"]["phase"] = json!(phase);
        objects.apply(Change::Update { kind: Kind::POD, object }).await.unwrap();
    }
    objects
}

async fn check(
    objects: &Objects,
    served: Served,
    namespace: Option<&str>,
    query: &str,
    expected: Result<&[&str], &str>,
) {
    let listed = list(objects, &Made, served, namespace, &Query::parse(query)).await;
    let names = |items: Vec<Value>| -> Vec<String> {
        items.iter().map(|item| meta::field(item, "name").to_owned()).collect()
    };
    let found = listed.map(|(_, items)| names(items)).map_err(|status| status.message);
    let expected = expected.map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{query}");
}

#[tokio::test]
async fn who_is_listed() {
    let pods = [
        ("default", "p", "g1", "Running"),
        ("default", "ended", "g2", "Succeeded"),
        ("kube-system", "q", "g2", "Running"),
        ("default", "unbound", "", "Pending"),
        ("default", "away", "silent-1", "Running"),
    ];
    let all = objects(&["g1", "g2", "silent-1"], &pods).await;
    check(&all, NODES, None, "", Ok(&["g1", "g2"])).await;
    check(&all, NODES, None, "labelSelector=site%3Dg2", Ok(&["g2"])).await;
    check(&all, PODS, None, "", Ok(&["p", "q"])).await;
    check(&all, PODS, Some("default"), "", Ok(&["p"])).await;
    check(&all, PODS, None, "labelSelector=app%3Dq", Ok(&["q"])).await;
    check(&all, PODS, None, "fieldSelector=spec.nodeName%3Dg2", Ok(&["q"])).await;
    check(&all, PODS, None, "labelSelector=app%3Dnobody", Ok(&[])).await;
    let silence = "no figures: none of the nodes asked has answered: node silent-1 is not connected";
    check(&all, PODS, None, "labelSelector=app%3Daway", Err(silence)).await;
    check(&all, NODES, None, "labelSelector=site%3Dsilent-1", Err(silence)).await;
    let silent = objects(&["silent-1", "silent-2", "silent-3", "silent-4", "silent-5"], &[]).await;
    check(
        &silent,
        NODES,
        None,
        "",
        Err("no figures: none of the nodes asked has answered: node silent-1 is not connected; node silent-2 is not \
             connected; node silent-3 is not connected and 2 more"),
    )
    .await;
    check(&objects(&[], &[]).await, NODES, None, "", Ok(&[])).await;
}

#[tokio::test]
async fn one_object() {
    let all = objects(
        &["g1", "silent-1"],
        &[("default", "p", "g1", "Running"), ("default", "ended", "g1", "Failed")],
    )
    .await;
    let made = get(&all, &Made, PODS, &ObjectKey::new("default", "p")).await.unwrap();
    let usage = json!({"cpu": "1500000n", "memory": "65536Ki", "ephemeral-storage": "4Ki"});
    assert_eq!(
        made,
        json!({
            "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {"name": "p", "namespace": "default", "labels": {"app": "p"}, "creationTimestamp": "2026-01-31T12:00:00Z"},
            "timestamp": "2026-01-31T11:59:59Z", "window": "15.03s",
            "containers": [{"name": "a", "usage": usage}, {"name": "b", "usage": usage}],
        })
    );
    let made = get(&all, &Made, NODES, &ObjectKey::new("", "g1")).await.unwrap();
    assert_eq!(
        (&made["kind"], &made["usage"], &made["metadata"]["labels"]),
        (&json!("NodeMetrics"), &usage, &json!({"site": "g1"}))
    );
    for (served, namespace, name, code, message) in [
        (PODS, "default", "nobody", 404, "podmetrics.metrics.k8s.io \"default/nobody\" not found"),
        (PODS, "default", "ended", 404, "podmetrics.metrics.k8s.io \"default/ended\" not found"),
        (NODES, "", "nobody", 404, "nodemetrics.metrics.k8s.io \"nobody\" not found"),
        (
            NODES,
            "",
            "silent-1",
            503,
            "no figures: none of the nodes asked has answered: node silent-1 is not connected",
        ),
    ] {
        let status = get(&all, &Made, served, &ObjectKey::new(namespace, name)).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
}

#[test]
fn durations_as_go_writes_them() {
    for (ms, expected) in [
        (0, "0s"),
        (7, "7ms"),
        (1000, "1s"),
        (10_050, "10.05s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (3_661_500, "1h1m1.5s"),
    ] {
        assert_eq!(duration(ms), expected, "{ms}");
    }
}
