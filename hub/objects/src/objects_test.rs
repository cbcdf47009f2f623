use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use gannet_hub_core::{Change, Kind, ObjectKey, Precondition};
use gannet_protocols_model::Timestamp;
use serde_json::{Value, json};

use super::*;

struct Bench {
    objects: Objects,
    clock: Arc<AtomicU64>,
}

impl Bench {
    async fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(1_769_860_800_000));
        let (time, counter) = (clock.clone(), AtomicU8::new(0));
        let ports = Ports {
            clock: Arc::new(move || Timestamp::from_millis(time.load(Ordering::Relaxed))),
            random: Arc::new(move |bytes| bytes.fill(counter.fetch_add(1, Ordering::Relaxed))),
        };
        let bench = Self { objects: Objects::new(Arc::new(MemoryStorage::default()), ports), clock };
        bench.objects.ensure_first_objects().await.unwrap();
        bench
    }

    fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    async fn create(&self, kind: &'static Kind, object: Value) -> Result<Value, Status> {
        let namespace = if kind.is_namespaced() { "default" } else { "" };
        self.objects.create(kind, namespace, object, WriteMode::Commit).await.map(|w| w.object)
    }

    async fn edit(&self, kind: &'static Kind, name: &str, edit: fn(&mut Value)) -> Result<Value, Status> {
        let change = move |old: &Value| {
            let mut new = old.clone();
            edit(&mut new);
            Ok(new)
        };
        let key = key(kind, name);
        self.objects.modify(kind, &key, Part::Main, WriteMode::Commit, &change).await.map(|w| w.object)
    }

    fn get(&self, kind: &'static Kind, name: &str) -> Option<Value> {
        self.objects.get(kind, &key(kind, name)).ok()
    }

    async fn delete(
        &self,
        kind: &'static Kind,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        self.objects.delete(kind, &key(kind, name), options).await
    }
}

fn key(kind: &'static Kind, name: &str) -> ObjectKey {
    ObjectKey::new(if kind.is_namespaced() { "default" } else { "" }, name)
}

fn config(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}})
}

fn deployment(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}}})
}

async fn bind(bench: &Bench, name: &str) {
    let mut pod = bench.get(Kind::POD, name).unwrap();
    pod["spec"]["nodeName"] = json!("gateway-1");
    let applied = bench.objects.apply(Change::Update { kind: Kind::POD, object: pod }).await;
    assert_eq!(applied, Ok(Applied::Done));
}

#[tokio::test]
async fn creation_stamps_what_the_hub_owns() {
    let bench = Bench::new().await;
    let mut object = config("c");
    object["metadata"]["uid"] = json!("mine");
    object["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    let stored = bench.create(Kind::CONFIG_MAP, object).await.unwrap();
    assert_eq!(stored["apiVersion"], "v1");
    assert_eq!(stored["metadata"]["namespace"], "default");
    assert_eq!(stored["metadata"]["creationTimestamp"], "2026-01-31T12:00:00Z");
    assert_eq!(stored["metadata"]["uid"].as_str().unwrap().len(), 36);
    assert!(stored["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(bench.get(Kind::CONFIG_MAP, "c"), Some(stored));
    let again = bench.create(Kind::CONFIG_MAP, config("c")).await.unwrap_err();
    assert_eq!((again.code, again.message.as_str()), (409, "configmaps \"c\" already exists"));
    assert_eq!(again.to_json()["details"], json!({"name": "c", "kind": "configmaps"}));
}

#[tokio::test]
async fn refused_creations() {
    let bench = Bench::new().await;
    let create = |namespace: &'static str, object: Value| {
        bench.objects.create(Kind::CONFIG_MAP, namespace, object, WriteMode::Commit)
    };
    let nowhere = create("nowhere", config("c")).await.unwrap_err();
    assert_eq!((nowhere.code, nowhere.message.as_str()), (404, "namespaces \"nowhere\" not found"));
    let elsewhere =
        create("default", json!({"metadata": {"name": "c", "namespace": "other"}})).await.unwrap_err();
    assert_eq!(
        elsewhere.message,
        "the namespace of the provided object does not match the namespace sent on the request"
    );
    let nameless = create("default", json!({})).await.unwrap_err();
    assert_eq!(
        nameless.message,
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"
    );
    assert_eq!(nameless.details.causes[0].field, "metadata.name");
    let versioned =
        create("default", json!({"metadata": {"name": "c", "resourceVersion": "1"}})).await.unwrap_err();
    assert_eq!(versioned.message, "resourceVersion should not be set on objects to be created");
}

#[tokio::test]
async fn generated_names_and_dry_run() {
    let bench = Bench::new().await;
    let object = json!({"metadata": {"generateName": "c-"}});
    let first = bench.create(Kind::CONFIG_MAP, object.clone()).await.unwrap();
    let second = bench.create(Kind::CONFIG_MAP, object).await.unwrap();
    let name = meta::field(&first, "name");
    assert!(name.starts_with("c-") && name.len() == 7, "{name}");
    assert_ne!(name, meta::field(&second, "name"));
    let tried =
        bench.objects.create(Kind::CONFIG_MAP, "default", config("d"), WriteMode::DryRun).await.unwrap();
    assert_eq!(meta::field(&tried.object, "resourceVersion"), "");
    assert_eq!(bench.get(Kind::CONFIG_MAP, "d"), None);
}

#[tokio::test]
async fn updates_are_compare_and_set() {
    let bench = Bench::new().await;
    let first = bench.create(Kind::CONFIG_MAP, config("c")).await.unwrap();
    let second = bench.edit(Kind::CONFIG_MAP, "c", |c| c["data"]["a"] = json!("2")).await.unwrap();
    assert_ne!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    let stale = |_: &Value| Ok(first.clone());
    let key = key(Kind::CONFIG_MAP, "c");
    let refused = bench.objects.modify(Kind::CONFIG_MAP, &key, Part::Main, WriteMode::Commit, &stale).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, 409);
    assert_eq!(
        refused.message,
        "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    let same = bench.edit(Kind::CONFIG_MAP, "c", |_| {}).await.unwrap();
    assert_eq!(same, second, "a write that changes nothing is no write");
    let missing = bench.edit(Kind::CONFIG_MAP, "x", |_| {}).await.unwrap_err();
    assert_eq!((missing.code, missing.message.as_str()), (404, "configmaps \"x\" not found"));
    let renamed =
        bench.edit(Kind::CONFIG_MAP, "c", |c| c["metadata"]["name"] = json!("d")).await.unwrap_err();
    assert_eq!(renamed.code, 400);
}

#[tokio::test]
async fn generation_counts_what_is_wanted() {
    let bench = Bench::new().await;
    let generation = |object: Value| object["metadata"]["generation"].as_i64();
    let created = bench.create(Kind::DEPLOYMENT, deployment("d")).await.unwrap();
    assert_eq!(generation(created), Some(1));
    let scaled = bench.edit(Kind::DEPLOYMENT, "d", |d| d["spec"]["replicas"] = json!(4)).await.unwrap();
    assert_eq!(generation(scaled), Some(2));
    let labelled =
        bench.edit(Kind::DEPLOYMENT, "d", |d| d["metadata"]["labels"] = json!({"x": "y"})).await.unwrap();
    assert_eq!(generation(labelled), Some(2));
    let status = |old: &Value| {
        let mut new = old.clone();
        new["status"] = json!({"replicas": 4});
        new["spec"]["replicas"] = json!(9);
        Ok(new)
    };
    let at = key(Kind::DEPLOYMENT, "d");
    let written =
        bench.objects.modify(Kind::DEPLOYMENT, &at, Part::Status, WriteMode::Commit, &status).await.unwrap();
    assert_eq!(written.object["spec"]["replicas"], 4, "the status subresource writes the status alone");
    assert_eq!(written.object["status"]["replicas"], 4);
    assert_eq!(generation(written.object), Some(2));
    let kept = bench.edit(Kind::DEPLOYMENT, "d", |d| d["status"] = json!({})).await.unwrap();
    assert_eq!(kept["status"]["replicas"], 4, "the main resource leaves the status alone");
    let negative =
        bench.edit(Kind::DEPLOYMENT, "d", |d| d["spec"]["replicas"] = json!(-1)).await.unwrap_err();
    assert_eq!(
        negative.message,
        "Deployment.apps \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    assert_eq!((negative.code, negative.details.kind.as_str()), (422, "Deployment"));
    let mut whole = bench.get(Kind::DEPLOYMENT, "d").unwrap();
    whole["spec"]["replicas"] = json!(7);
    assert_eq!(
        bench.objects.apply(Change::Update { kind: Kind::DEPLOYMENT, object: whole }).await,
        Ok(Applied::Done)
    );
    assert_eq!(generation(bench.get(Kind::DEPLOYMENT, "d").unwrap()), Some(3));
}

#[tokio::test]
async fn pods_on_a_node_are_stopped_first() {
    let bench = Bench::new().await;
    for name in ["free", "bound", "forced"] {
        bench.create(Kind::POD, pod(name)).await.unwrap();
    }
    let gone = bench.delete(Kind::POD, "free", &DeleteOptions::default()).await.unwrap();
    assert!(matches!(gone, Deleted::Gone(_)), "an unbound pod goes at once");

    bind(&bench, "bound").await;
    let begun = bench.delete(Kind::POD, "bound", &DeleteOptions::default()).await.unwrap();
    let Deleted::Begun(begun) = begun else { panic!("a bound pod needs time") };
    assert_eq!(begun["metadata"]["deletionTimestamp"], "2026-01-31T12:00:30Z");
    assert_eq!(begun["metadata"]["deletionGracePeriodSeconds"], 30);
    let again = bench.delete(Kind::POD, "bound", &DeleteOptions::default()).await.unwrap();
    assert_eq!(again, Deleted::Begun(begun), "a second wish changes nothing");
    let sooner = DeleteOptions { grace_period_seconds: Some(5), ..DeleteOptions::default() };
    let Deleted::Begun(sooner) = bench.delete(Kind::POD, "bound", &sooner).await.unwrap() else { panic!() };
    assert_eq!(sooner["metadata"]["deletionTimestamp"], "2026-01-31T12:00:05Z");
    let written =
        bench.edit(Kind::POD, "bound", |p| p["metadata"]["labels"] = json!({"a": "b"})).await.unwrap();
    assert_eq!(written["metadata"]["deletionGracePeriodSeconds"], 5, "a write does not end the deletion");
    let remove = Change::Remove {
        kind: Kind::POD,
        key: key(Kind::POD, "bound"),
        precondition: Precondition::default(),
    };
    assert_eq!(bench.objects.apply(remove.clone()).await, Ok(Applied::Done));
    assert_eq!(bench.get(Kind::POD, "bound"), None);
    assert_eq!(bench.objects.apply(remove).await, Ok(Applied::Stale));

    bind(&bench, "forced").await;
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    assert!(matches!(bench.delete(Kind::POD, "forced", &now).await.unwrap(), Deleted::Gone(_)));
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let bench = Bench::new().await;
    let mut object = config("c");
    object["metadata"]["finalizers"] = json!(["example.org/wait"]);
    bench.create(Kind::CONFIG_MAP, object).await.unwrap();
    let begun = bench.delete(Kind::CONFIG_MAP, "c", &DeleteOptions::default()).await.unwrap();
    assert!(matches!(begun, Deleted::Begun(_)));
    let remove = Change::Remove {
        kind: Kind::CONFIG_MAP,
        key: key(Kind::CONFIG_MAP, "c"),
        precondition: Precondition::default(),
    };
    bench.objects.apply(remove).await.unwrap();
    assert!(bench.get(Kind::CONFIG_MAP, "c").is_some(), "an object with finalizers is never removed");
    let added = bench.edit(Kind::CONFIG_MAP, "c", |c| {
        c["metadata"]["finalizers"] = json!(["example.org/wait", "example.org/more"])
    });
    assert_eq!(added.await.unwrap_err().code, 422);
    bench.edit(Kind::CONFIG_MAP, "c", |c| c["metadata"]["finalizers"] = json!([])).await.unwrap();
    assert_eq!(bench.get(Kind::CONFIG_MAP, "c"), None);
}

#[tokio::test]
async fn a_pod_that_left_its_node_goes_with_its_last_finalizer() {
    let bench = Bench::new().await;
    let mut object = pod("p");
    object["metadata"]["finalizers"] = json!(["example.org/wait"]);
    bench.create(Kind::POD, object).await.unwrap();
    bind(&bench, "p").await;
    assert!(matches!(bench.delete(Kind::POD, "p", &DeleteOptions::default()).await, Ok(Deleted::Begun(_))));
    let mut left = bench.get(Kind::POD, "p").unwrap();
    assert_eq!(left["metadata"]["deletionGracePeriodSeconds"], 30);
    left["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    bench.objects.apply(Change::Update { kind: Kind::POD, object: left }).await.unwrap();
    assert_eq!(bench.get(Kind::POD, "p").unwrap()["metadata"]["deletionGracePeriodSeconds"], 0);
    let longer = bench.edit(Kind::POD, "p", |p| p["metadata"]["deletionGracePeriodSeconds"] = json!(9)).await;
    assert_eq!(longer.unwrap()["metadata"]["deletionGracePeriodSeconds"], 0, "a client cannot");
    bench.edit(Kind::POD, "p", |p| p["metadata"]["finalizers"] = json!([])).await.unwrap();
    assert!(bench.get(Kind::POD, "p").is_none());
}

#[tokio::test]
async fn propagation_and_preconditions() {
    let bench = Bench::new().await;
    let created = bench.create(Kind::DEPLOYMENT, deployment("d")).await.unwrap();
    let wrong = DeleteOptions {
        precondition: Precondition { uid: Some("other".to_owned()), resource_version: None },
        ..DeleteOptions::default()
    };
    let refused = bench.delete(Kind::DEPLOYMENT, "d", &wrong).await.unwrap_err();
    let uid = meta::field(&created, "uid");
    assert_eq!(
        refused.message,
        format!(
            "Operation cannot be fulfilled on deployments.apps \"d\": Precondition failed: UID in precondition: other, UID in object meta: {uid}"
        )
    );
    for (propagation, finalizer) in
        [(Propagation::Foreground, "foregroundDeletion"), (Propagation::Orphan, "orphan")]
    {
        let name = finalizer.to_lowercase();
        bench.create(Kind::DEPLOYMENT, deployment(&name)).await.unwrap();
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        let Deleted::Begun(begun) = bench.delete(Kind::DEPLOYMENT, &name, &options).await.unwrap() else {
            panic!()
        };
        assert_eq!(begun["metadata"]["finalizers"], json!([finalizer]));
    }
    assert!(matches!(
        bench.delete(Kind::DEPLOYMENT, "d", &DeleteOptions::default()).await,
        Ok(Deleted::Gone(_))
    ));
}

#[tokio::test]
async fn namespaces_end_when_they_are_empty() {
    let bench = Bench::new().await;
    bench.create(Kind::NAMESPACE, json!({"metadata": {"name": "n"}})).await.unwrap();
    let begun = bench.delete(Kind::NAMESPACE, "n", &DeleteOptions::default()).await.unwrap();
    let Deleted::Begun(mut namespace) = begun else { panic!("a namespace waits for its content") };
    assert_eq!(namespace["status"]["phase"], "Terminating");
    let late = bench.objects.create(Kind::CONFIG_MAP, "n", config("c"), WriteMode::Commit).await.unwrap_err();
    assert_eq!(late.code, 403);
    assert_eq!(late.details.causes[0].reason, "NamespaceTerminating");
    assert_eq!(
        late.message,
        "configmaps \"c\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    namespace["spec"]["finalizers"] = json!([]);
    bench.objects.apply(Change::Update { kind: Kind::NAMESPACE, object: namespace }).await.unwrap();
    assert_eq!(bench.get(Kind::NAMESPACE, "n"), None);
    let immortal = bench.delete(Kind::NAMESPACE, "default", &DeleteOptions::default()).await.unwrap_err();
    assert_eq!(immortal.message, "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

#[tokio::test]
async fn controllers_keep_their_uids_and_lose_races_quietly() {
    let bench = Bench::new().await;
    let mut object = deployment("d");
    object["metadata"]["namespace"] = json!("default");
    object["metadata"]["uid"] = json!("11111111-2222-4333-8444-555555555555");
    let create = Change::Create { kind: Kind::DEPLOYMENT, object };
    assert_eq!(bench.objects.apply(create.clone()).await, Ok(Applied::Done));
    let stored = bench.get(Kind::DEPLOYMENT, "d").unwrap();
    assert_eq!(meta::field(&stored, "uid"), "11111111-2222-4333-8444-555555555555");
    assert_eq!(bench.objects.apply(create).await, Ok(Applied::Stale));
    bench.edit(Kind::DEPLOYMENT, "d", |d| d["spec"]["replicas"] = json!(2)).await.unwrap();
    let update = Change::Update { kind: Kind::DEPLOYMENT, object: stored };
    assert_eq!(bench.objects.apply(update).await, Ok(Applied::Stale));
}

#[tokio::test]
async fn services_get_addresses_of_their_own() {
    let bench = Bench::new().await;
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    let (first, second) =
        futures::join!(bench.create(Kind::SERVICE, service("a")), bench.create(Kind::SERVICE, service("b")));
    let (first, second) = (first.unwrap(), second.unwrap());
    for path in [&["spec", "clusterIP"][..], &["spec", "ports"]] {
        assert!(!meta::at(&first, path).is_null());
        assert_ne!(meta::at(&first, path), meta::at(&second, path));
    }
}

#[tokio::test]
async fn events_are_counted_and_pruned() {
    let bench = Bench::new().await;
    let event = || Change::Event {
        kind: Kind::POD,
        key: key(Kind::POD, "p"),
        uid: "u".to_owned(),
        warning: true,
        reason: "FailedScheduling".to_owned(),
        message: "0/1 nodes are available: 1 Insufficient cpu.".to_owned(),
        component: "scheduler",
        at: None,
    };
    let events = |bench: &Bench| {
        let stored = bench.objects.storage().list(Kind::EVENT, None, None, usize::MAX).unwrap().items;
        stored.iter().map(|s| meta::decode(&s.value, s.revision).unwrap()).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(bench.objects.apply(event()).await, Ok(Applied::Done));
    }
    bench.pass(60);
    bench.objects.apply(event()).await.unwrap();
    let found = events(&bench);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["count"], 2, "what is said again at once is the same event");
    assert_eq!(found[0]["firstTimestamp"], "2026-01-31T12:00:00Z");
    assert_eq!(found[0]["lastTimestamp"], "2026-01-31T12:01:00Z");
    assert_eq!(found[0]["involvedObject"]["kind"], "Pod");
    bench.pass(3600);
    assert_eq!(bench.objects.prune_events().await, Ok(0));
    bench.pass(1);
    assert_eq!(bench.objects.prune_events().await, Ok(1));
    assert!(events(&bench).is_empty());
}

#[tokio::test]
async fn events_of_nodes_have_the_time_of_the_node() {
    let bench = Bench::new().await;
    let told = |at: &str| Change::Event {
        kind: Kind::POD,
        key: key(Kind::POD, "p"),
        uid: "u".to_owned(),
        warning: true,
        reason: "Evicted".to_owned(),
        message: format!("at {at}"),
        component: "gannet-agent",
        at: Some(at.parse().unwrap()),
    };
    // Two days offline; a clock that was never set; a clock that is ahead.
    for (at, expected) in [
        ("2026-01-29T12:00:00Z", "2026-01-29T12:00:00Z"),
        ("1970-01-01T00:00:07Z", "1970-01-01T00:00:07Z"),
        ("2030-01-01T00:00:00Z", "2026-01-31T12:00:00Z"),
    ] {
        bench.objects.apply(told(at)).await.unwrap();
        let stored = bench.objects.storage().list(Kind::EVENT, None, None, usize::MAX).unwrap().items;
        let events = stored.iter().map(|s| meta::decode(&s.value, s.revision).unwrap());
        let event = events.into_iter().find(|e| e["message"] == format!("at {at}")).unwrap();
        assert_eq!(
            (event["firstTimestamp"].as_str(), event["lastTimestamp"].as_str()),
            (Some(expected), Some(expected))
        );
    }
    // They are kept as long as those that are told at once.
    bench.pass(3600);
    assert_eq!(bench.objects.prune_events().await, Ok(0));
    bench.pass(1);
    assert_eq!(bench.objects.prune_events().await, Ok(3));
}
