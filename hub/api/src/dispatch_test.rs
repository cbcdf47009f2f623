use std::sync::atomic::{AtomicU8, Ordering};

use futures::future::BoxFuture;
use gannet_hub_core::{Kind, ObjectKey};
use gannet_hub_objects::{MemoryStorage, Ports};
use gannet_protocols_model::Timestamp;
use http_body_util::Full;
use serde_json::json;

use super::*;
use crate::figures::made_up::Made;
use crate::logs::LogStream;

struct NoLogs;

impl PodLogs for NoLogs {
    fn logs<'a>(&'a self, _: &'a Pod, _: &'a str, _: LogOptions) -> BoxFuture<'a, Result<LogStream, Status>> {
        Box::pin(async { Err(Status::internal("no nodes here")) })
    }
}

struct Bench {
    context: Context,
    storage: Arc<MemoryStorage>,
}

struct Reply {
    code: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `type`, name and revision of each event of a watch.
    fn events(&self) -> Vec<String> {
        let event = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let (kind, object) = (event["type"].as_str().unwrap(), &event["object"]);
            let name = [&object["metadata"]["name"], &object["reason"]].into_iter().find_map(Value::as_str);
            format!("{kind} {}", name.unwrap_or_default())
        };
        String::from_utf8(self.body.clone()).unwrap().lines().map(event).collect()
    }
}

impl Bench {
    async fn new() -> Self {
        let storage = Arc::new(MemoryStorage::default());
        let clock = Arc::new(|| Timestamp::from_millis(1_769_860_800_000));
        let counter = AtomicU8::new(0);
        let random = Arc::new(move |bytes: &mut [u8]| bytes.fill(counter.fetch_add(1, Ordering::Relaxed)));
        let objects = Arc::new(Objects::new(storage.clone(), Ports { clock, random }));
        objects.ensure_first_objects().await.unwrap();
        let stop = CancellationToken::new();
        let ready: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(|| true);
        Self {
            context: Context {
                objects,
                logs: Arc::new(NoLogs),
                figures: Arc::new(Made),
                ready,
                version: "0".into(),
                stop,
            },
            storage,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let user = User { name: "admin".into(), groups: vec!["system:masters".into()] };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let (parts, body) = answer(&self.context, Some(&user), request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    async fn create(&self, name: &str, labels: Value) {
        let object = json!({"metadata": {"name": name, "labels": labels}}).to_string();
        assert_eq!(self.send("POST", MAPS, &[], &object).await.code, 201);
    }

    /// Fails with this code and message.
    async fn refused(&self, method: &str, path: &str, kind: &str, body: &str, expected: (u16, &str)) {
        let reply = self.send(method, path, &[("content-type", kind)], body).await;
        let status = reply.json();
        assert_eq!((reply.code, status["message"].as_str().unwrap()), expected, "{method} {path} {body}");
        assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(expected.0)));
    }

    async fn watch(&self, query: &str) -> Reply {
        self.get(&format!("{MAPS}?watch=true&timeoutSeconds=1&{query}")).await
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const JSON: &str = "application/json";

fn deployment() -> String {
    json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}}})
    .to_string()
}

#[tokio::test]
async fn refusals() {
    let bench = Bench::new().await;
    for (method, path, kind, body, expected) in [
        ("GET", "/api/v2", JSON, "", (404, "the server could not find the requested resource")),
        ("GET", &*format!("{MAPS}/x"), JSON, "", (404, "configmaps \"x\" not found")),
        (
            "POST",
            "/version",
            JSON,
            "{}",
            (405, "the server does not allow this method on the requested resource"),
        ),
        ("PUT", MAPS, JSON, "{}", (405, "the server does not allow this method on the requested resource")),
        (
            "POST",
            MAPS,
            "application/vnd.kubernetes.protobuf",
            "k8s",
            (
                415,
                "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
            ),
        ),
        ("POST", MAPS, JSON, "[]", (400, "the object provided is unrecognized (must be of type ConfigMap)")),
        (
            "POST",
            MAPS,
            JSON,
            r#"{"apiVersion":"v2","kind":"ConfigMap"}"#,
            (400, "the API version in the data (v2) does not match the expected API version (v1)"),
        ),
        (
            "POST",
            MAPS,
            JSON,
            r#"{"apiVersion":"v1","kind":"Secret"}"#,
            (400, "Secret in version \"v1\" cannot be handled as a ConfigMap"),
        ),
        (
            "POST",
            &format!("{DEPLOYMENTS}?fieldValidation=Strict"),
            JSON,
            r#"{"metadata":{"name":"d"},"spec":{"foo":1}}"#,
            (
                400,
                "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.foo\"",
            ),
        ),
        (
            "PATCH",
            &format!("{MAPS}/x"),
            "application/apply-patch+yaml",
            "{}",
            (
                415,
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json",
            ),
        ),
        (
            "GET",
            &format!("{MAPS}?continue=x"),
            JSON,
            "",
            (400, "continue key is not valid: the token was not made by this server"),
        ),
        (
            "GET",
            &format!("{MAPS}?resourceVersion=999"),
            JSON,
            "",
            (504, "Timeout: Too large resource version: 999, current: 8"),
        ),
        (
            "DELETE",
            &format!("{MAPS}/x?propagationPolicy=No"),
            JSON,
            "",
            (
                400,
                "propagationPolicy: Unsupported value: \"No\": supported values: \"Background\", \"Foreground\", \"Orphan\"",
            ),
        ),
    ] {
        bench.refused(method, path, kind, body, expected).await;
    }
    let huge = "x".repeat(MAX_BODY + 1);
    bench.refused("POST", MAPS, JSON, &huge, (413, "Request entity too large: limit is 3145728")).await;
    let accept = bench.send("GET", MAPS, &[("accept", "text/html")], "").await;
    assert_eq!(accept.code, 406);
}

#[tokio::test]
async fn yaml_and_warnings() {
    let bench = Bench::new().await;
    let yaml = "metadata: {name: c}\ndata: {a: 'b'}\nfoo: 1\n";
    let reply = bench.send("POST", MAPS, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!((reply.code, reply.json()["data"]["a"].as_str()), (201, Some("b")));
    assert_eq!(reply.headers["warning"], "299 - \"unknown field \\\"foo\\\"\"");
    assert!(reply.json().get("foo").is_none(), "an unknown field is not stored");
    let path = format!("{MAPS}/c?fieldValidation=Strict");
    let patch =
        bench.send("PATCH", &path, &[("content-type", "application/merge-patch+json")], r#"{"foo":1}"#);
    assert_eq!(patch.await.code, 400);
}

#[tokio::test]
async fn the_alias_and_the_scale() {
    let bench = Bench::new().await;
    let alias = "/api/v1/namespaces/default/deployments";
    let created = bench
        .send(
            "POST",
            alias,
            &[],
            &deployment()
                .replace("{\"metadata\"", "{\"apiVersion\":\"v1\",\"kind\":\"Deployment\",\"metadata\""),
        )
        .await;
    assert_eq!((created.code, created.json()["apiVersion"].as_str()), (201, Some("v1")));
    assert!(created.headers["warning"].to_str().unwrap().contains("use apiVersion: apps/v1"));
    assert_eq!(bench.get(&format!("{DEPLOYMENTS}/d")).await.json()["apiVersion"], "apps/v1");
    let scale = bench.get(&format!("{DEPLOYMENTS}/d/scale")).await.json();
    assert_eq!((&scale["kind"], &scale["status"]["selector"]), (&json!("Scale"), &json!("app=d")));
    let path = format!("{DEPLOYMENTS}/d/scale");
    let patched = bench
        .send(
            "PATCH",
            &path,
            &[("content-type", "application/merge-patch+json")],
            r#"{"spec":{"replicas":4}}"#,
        )
        .await;
    assert_eq!(patched.json()["spec"]["replicas"], 4);
    bench.refused("PUT", &path, JSON, r#"{"spec":{"replicas":-1}}"#, (422, "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0")).await;
    bench.refused("PUT", &path, JSON, r#"{"metadata":{"resourceVersion":"1"},"spec":{"replicas":1}}"#, (409, "Operation cannot be fulfilled on deployments.apps \"d\": the object has been modified; please apply your changes to the latest version and try again")).await;
    let replaced = bench.send("PUT", &path, &[], r#"{"spec":{"replicas":2}}"#).await;
    assert_eq!(replaced.json()["spec"]["replicas"], 2);
    let deleted = bench.send("DELETE", &format!("{DEPLOYMENTS}/d"), &[], "").await.json();
    assert_eq!((&deleted["status"], &deleted["details"]["group"]), (&json!("Success"), &json!("apps")));
}

#[tokio::test]
async fn pages_and_tables() {
    let bench = Bench::new().await;
    for n in 0..5 {
        bench.create(&format!("c{n}"), json!({"even": if n % 2 == 0 { "yes" } else { "no" }})).await;
    }
    let names = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let first = bench.get(&format!("{MAPS}?limit=2")).await.json();
    assert_eq!((names(&first).as_str(), &first["metadata"]["remainingItemCount"]), ("c0 c1", &json!(3)));
    let old = first["metadata"]["continue"].as_str().unwrap();
    bench.create("c5", json!({})).await;
    let second = bench.get(&format!("{MAPS}?limit=10&continue={old}")).await.json();
    assert_eq!(names(&second), "c2 c3 c4 c5");
    assert!(second["metadata"].get("continue").is_none());
    let chosen = bench.get(&format!("{MAPS}?limit=2&labelSelector=even%3Dyes")).await.json();
    assert_eq!(names(&chosen), "c0 c2");
    let token = chosen["metadata"]["continue"].as_str().unwrap();
    assert_eq!(
        names(&bench.get(&format!("{MAPS}?limit=2&labelSelector=even%3Dyes&continue={token}")).await.json()),
        "c4"
    );
    bench.storage.compact();
    let expired = bench.get(&format!("{MAPS}?limit=2&continue={old}")).await;
    assert_eq!((expired.code, expired.json()["reason"].as_str()), (410, Some("Expired")));
    let again = expired.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(names(&bench.get(&format!("{MAPS}?limit=2&continue={again}")).await.json()), "c2 c3");

    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let table =
        bench.send("GET", &format!("{MAPS}?limit=1&includeObject=Metadata"), &accept, "").await.json();
    assert_eq!((&table["kind"], &table["columnDefinitions"][1]["name"]), (&json!("Table"), &json!("Data")));
    assert_eq!(table["rows"][0]["cells"], json!(["c0", 0, "0s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let accept = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let list = bench.send("GET", MAPS, &accept, "").await.json();
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&json!("PartialObjectMetadataList"), &json!("PartialObjectMetadata"))
    );
}

#[tokio::test]
async fn watches() {
    let bench = Bench::new().await;
    bench.create("a", json!({"x": "1"})).await;
    bench.create("b", json!({})).await;
    assert_eq!(bench.watch("").await.events(), ["ADDED a", "ADDED b"]);
    assert_eq!(bench.watch("labelSelector=x%3D1").await.events(), ["ADDED a"]);
    let from = bench.storage_revision();
    let label = |value: &'static str| {
        let patch = json!({"metadata": {"labels": {"x": value}}}).to_string();
        let bench = &bench;
        async move {
            bench
                .send(
                    "PATCH",
                    &format!("{MAPS}/b"),
                    &[("content-type", "application/merge-patch+json")],
                    &patch,
                )
                .await
        }
    };
    for value in ["1", "2", "3"] {
        assert_eq!(label(value).await.code, 200);
    }
    bench.send("DELETE", &format!("{MAPS}/a"), &[], "").await;
    let from_then = |selector: &str| format!("resourceVersion={from}&{selector}");
    assert_eq!(
        bench.watch(&from_then("")).await.events(),
        ["MODIFIED b", "MODIFIED b", "MODIFIED b", "DELETED a"]
    );
    assert_eq!(
        bench.watch(&from_then("labelSelector=x%3D1")).await.events(),
        ["ADDED b", "DELETED b", "DELETED a"],
        "what leaves the selection is deleted for the client"
    );
    assert_eq!(bench.watch(&from_then("fieldSelector=metadata.name%3Da")).await.events(), ["DELETED a"]);
    let streamed = bench
        .watch("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
        .await;
    assert_eq!(streamed.events()[..2], ["ADDED b", "BOOKMARK "]);
    let text = String::from_utf8(streamed.body).unwrap();
    assert!(text.lines().nth(1).unwrap().contains(r#""k8s.io/initial-events-end":"true""#), "{text}");
    assert_eq!(bench.watch("sendInitialEvents=true").await.code, 400);
    assert_eq!(bench.watch("resourceVersion=999").await.events(), ["ERROR Expired"]);
    bench.storage.compact();
    let old = bench.watch(&from_then("")).await;
    assert_eq!(old.events(), ["ERROR Expired"]);
    assert!(String::from_utf8(old.body).unwrap().contains("\"code\":410"));
    let path = format!("{MAPS}?watch=1&timeoutSeconds=1");
    let table = bench.send("GET", &path, &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")], "");
    let event: Value = serde_json::from_slice(&table.await.body).unwrap();
    assert_eq!((&event["type"], &event["object"]["rows"][0]["cells"][0]), (&json!("ADDED"), &json!("b")));
}

#[tokio::test]
async fn bookmarks_come_regularly_and_stop_ends_a_watch() {
    let bench = Bench::new().await;
    let reply = bench.get(&format!("{MAPS}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true")).await;
    assert!(reply.events().len() >= 2 && reply.events().iter().all(|e| e == "BOOKMARK "));
    let event: Value =
        serde_json::from_str(String::from_utf8(reply.body).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(event["object"]["metadata"]["resourceVersion"], bench.storage_revision().to_string());
    bench.context.stop.cancel();
    assert!(bench.get(&format!("{MAPS}?watch=true")).await.events().is_empty());
}

impl Bench {
    fn storage_revision(&self) -> u64 {
        self.context.objects.storage().revision()
    }
}

#[tokio::test]
async fn discovery_documents() {
    let bench = Bench::new().await;
    let accept =
        [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let aggregated = bench.send("GET", "/apis", &accept, "").await;
    assert_eq!(
        aggregated.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let apps = &aggregated.json()["items"][0];
    assert_eq!(apps["metadata"]["name"], "apps");
    let deployments = &apps["versions"][0]["resources"][0];
    assert_eq!(
        deployments["subresources"][1]["responseKind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    let core = bench.get("/api/v1").await.json();
    let listed =
        |name: &str| core["resources"].as_array().unwrap().iter().filter(|r| r["name"] == name).count();
    assert_eq!(
        (listed("pods"), listed("pods/log"), listed("deploymentaliases"), listed("deployments")),
        (1, 1, 1, 0)
    );
    let groups = bench.get("/apis").await.json();
    assert_eq!(groups["groups"].as_array().unwrap().len(), 4);
    let metrics = aggregated.json()["items"][3].clone();
    let version = &metrics["versions"][0];
    assert_eq!(
        (&metrics["metadata"]["name"], &version["version"]),
        (&json!("metrics.k8s.io"), &json!("v1beta1"))
    );
    assert_eq!(
        version["resources"][1],
        json!({"resource": "pods", "responseKind": {"group": "metrics.k8s.io", "version": "v1beta1", "kind": "PodMetrics"},
               "scope": "Namespaced", "singularResource": "", "verbs": ["get", "list"]})
    );
    let metrics = bench.get("/apis/metrics.k8s.io/v1beta1").await.json();
    assert_eq!(metrics["groupVersion"], "metrics.k8s.io/v1beta1");
    assert_eq!((listed("pods/resize"), listed("pods/status")), (1, 1));
    for (method, path) in [("POST", "nodes"), ("GET", "nodes?watch=true"), ("DELETE", "nodes/g1")] {
        let path = format!("/apis/metrics.k8s.io/v1beta1/{path}");
        assert_eq!(bench.send(method, &path, &[], "{}").await.code, 405, "{method} {path}");
    }
    let openapi = bench
        .send(
            "GET",
            "/openapi/v2",
            &[("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")],
            "",
        )
        .await;
    assert_eq!(openapi.headers["content-type"], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    let packed = bench.send("GET", "/openapi/v2", &[("accept-encoding", "gzip")], "").await;
    assert_eq!(
        (packed.code, packed.headers["content-encoding"].to_str().unwrap(), &packed.body[..2]),
        (200, "gzip", &[0x1f, 0x8b][..])
    );
}

#[tokio::test]
async fn collections_can_be_deleted() {
    let bench = Bench::new().await;
    bench.create("a", json!({"x": "1"})).await;
    bench.create("b", json!({})).await;
    let deleted = bench.send("DELETE", &format!("{MAPS}?labelSelector=x"), &[], "").await.json();
    assert_eq!((&deleted["kind"], deleted["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 1));
    let key = ObjectKey::new("default", "b");
    assert!(bench.context.objects.get(Kind::CONFIG_MAP, &key).is_ok());
    let options = json!({"preconditions": {"uid": "other"}}).to_string();
    assert_eq!(bench.send("DELETE", &format!("{MAPS}/b"), &[], &options).await.code, 409);
}
