//! What people type, with every kubectl.

use std::time::Duration;

use anyhow::ensure;
use gannet_hub_api::objects::meta;
use gannet_hub_core::{Change, Kind, ObjectKey};
use gannet_tests_api::{Bench, contains, with_each};
use gannet_tests_support::{Kubectl, run, wait_until};
use serde_json::json;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/examples/web-app.yaml");

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: \"a:1\", ports: [{containerPort: 80}]}]}
";

const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec: {containers: [{name: a, image: \"a:1\"}]}
";

#[test]
fn the_example_as_it_stands() -> anyhow::Result<()> {
    with_each(|_, kubectl| {
        let first = kubectl.ok(&["apply", "-f", EXAMPLE])?;
        contains(&first, "deployment/web-app created")?;
        contains(&first, "service/web-app-service created")?;
        contains(&first, "use apiVersion: apps/v1")?;
        let second = kubectl.ok(&["apply", "-f", EXAMPLE])?;
        contains(&second, "deployment/web-app unchanged")?;
        contains(&second, "service/web-app-service unchanged")?;
        kubectl.ok(&["scale", "deployment", "web-app", "--replicas=5"])?;
        contains(&kubectl.ok(&["apply", "-f", EXAMPLE])?, "deployment/web-app configured")?;
        let names = kubectl.ok(&["get", "all", "-o", "name"])?;
        ensure!(names.matches("web-app\n").count() == 1, "the deployment is shown once:\n{names}");
        contains(&names, "deployment.apps/web-app")?;
        let stored = kubectl.json(&["get", "deployments", "web-app"])?;
        ensure!(stored["apiVersion"] == "apps/v1" && stored["spec"]["replicas"] == 3, "{stored}");
        contains(&kubectl.ok(&["delete", "-f", EXAMPLE])?, "deployment \"web-app\" deleted")?;
        contains(&kubectl.ok(&["get", "all"])?, "No resources found")
    })
}

#[test]
fn a_deployment_through_its_life() -> anyhow::Result<()> {
    with_each(|bench, kubectl| {
        let file = bench.file("d.yaml", DEPLOYMENT)?;
        contains(&kubectl.ok(&["apply", "-f", &file])?, "deployment.apps/web created")?;
        contains(&kubectl.ok(&["apply", "-f", &file])?, "deployment.apps/web unchanged")?;
        kubectl.ok(&["set", "image", "deployment/web", "a=a:2"])?;
        kubectl.ok(&["set", "env", "deployment/web", "X=1"])?;
        kubectl.ok(&["rollout", "pause", "deployment/web"])?;
        kubectl.ok(&["rollout", "resume", "deployment/web"])?;
        kubectl.ok(&["rollout", "restart", "deployment/web"])?;
        kubectl.ok(&["scale", "deployment", "web", "--replicas=3"])?;
        let web = kubectl.json(&["get", "deployment", "web"])?;
        let container = &web["spec"]["template"]["spec"]["containers"][0];
        ensure!(
            container["image"] == "a:2" && container["env"] == json!([{"name": "X", "value": "1"}]),
            "{web}"
        );
        ensure!(container["ports"][0]["containerPort"] == 80, "a strategic merge keeps the port: {web}");
        ensure!(web["spec"]["replicas"] == 3 && web["metadata"]["generation"].as_i64() > Some(5), "{web}");
        contains(&kubectl.ok(&["get", "deploy", "-o", "wide"])?, "CONTAINERS   IMAGES   SELECTOR")?;
        let dry = kubectl.ok(&["scale", "deployment", "web", "--replicas=9", "--dry-run=server"])?;
        contains(&dry, "web scaled")?;
        contains(&kubectl.ok(&["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"])?, "3")?;
        contains(&kubectl.ok(&["expose", "deployment", "web", "--port=80"])?, "service/web exposed")?;
        contains(&kubectl.ok(&["get", "services"])?, "80/TCP")?;
        kubectl.ok(&["delete", "deployment,service", "web"])?;
        Ok(())
    })
}

#[test]
fn refusals_in_kubernetes_words() -> anyhow::Result<()> {
    with_each(|bench, kubectl| {
        let file = bench.file("d.yaml", DEPLOYMENT)?;
        kubectl.ok(&["apply", "-f", &file])?;
        let wrong = |name: &str, from: &str, to: &str| bench.file(name, &DEPLOYMENT.replace(from, to));
        let negative = wrong("negative.yaml", "  selector", "  replicas: -1\n  selector")?;
        contains(
            &kubectl.fails(&["apply", "-f", &negative])?,
            "The Deployment \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        )?;
        let unknown = wrong("unknown.yaml", "  selector", "  foo: bar\n  selector")?;
        contains(&kubectl.fails(&["apply", "-f", &unknown])?, "unknown field")?;
        let mistyped = wrong("mistyped.yaml", "  selector", "  replicas: many\n  selector")?;
        contains(&kubectl.fails(&["apply", "-f", &mistyped])?, "replicas")?;
        contains(&kubectl.fails(&["create", "-f", &file])?, "deployments.apps \"web\" already exists")?;
        contains(&kubectl.fails(&["get", "deployment", "nope"])?, "deployments.apps \"nope\" not found")?;
        contains(&kubectl.fails(&["apply", "-n", "nope", "-f", &file])?, "namespaces \"nope\" not found")?;
        let stale = kubectl.ok(&["get", "deployment", "web", "-o", "yaml"])?;
        let stale = bench.file("stale.yaml", &stale)?;
        kubectl.ok(&["label", "deployment", "web", "a=b"])?;
        contains(
            &kubectl.fails(&["replace", "-f", &stale])?,
            "the object has been modified; please apply your changes",
        )?;
        contains(&kubectl.fails(&["get", "pods", "-l", "a in b"])?, "unable to parse requirement")?;
        contains(&kubectl.fails(&["get", "pods", "--field-selector=a=b"])?, "field label not supported: a")?;
        contains(&kubectl.fails(&["delete", "namespace", "default"])?, "this namespace may not be deleted")?;
        let stranger = Kubectl { kubeconfig: bench.stranger(), ..kubectl.clone() };
        contains(
            &stranger.fails(&["get", "--raw", "/api/v1/namespaces/default/pods"])?,
            "User \"joe\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        )
    })
}

#[test]
fn pods_their_logs_and_their_end() -> anyhow::Result<()> {
    with_each(|bench, kubectl| {
        let file = bench.file("p.yaml", POD)?;
        kubectl.ok(&["create", "-f", &file])?;
        let bind = |status: serde_json::Value| {
            let key = ObjectKey::new("default", "p");
            let mut pod = bench.objects.get(Kind::POD, &key)?;
            pod["spec"]["nodeName"] = json!("gateway-1");
            pod["status"] = status;
            bench.block_on(bench.objects.apply(Change::Update { kind: Kind::POD, object: pod }))
        };
        let status = |state: serde_json::Value| {
            json!({"phase": "Running", "podIP": "10.42.0.7", "containerStatuses": [{"name": "a", "image": "a:1",
                "imageID": "", "ready": true, "restartCount": 0, "state": state}]})
        };
        bind(status(json!({"waiting": {"reason": "ContainerCreating"}})))?;
        contains(&kubectl.ok(&["get", "pod", "p"])?, "ContainerCreating")?;
        contains(
            &kubectl.fails(&["logs", "p"])?,
            "container \"a\" in pod \"p\" is waiting to start: ContainerCreating",
        )?;
        bind(status(json!({"running": {"startedAt": "2026-01-31T12:00:00Z"}})))?;
        let table = kubectl.ok(&[
            "get",
            "pods",
            "-o",
            "wide",
            "-l",
            "app in (p,q),!x",
            "--field-selector=spec.nodeName=gateway-1",
        ])?;
        contains(&table, "1/1     Running   0")?;
        contains(&table, "10.42.0.7   gateway-1")?;
        ensure!(kubectl.ok(&["logs", "p", "--tail=5"])? == "p/a tail=Some(5) previous=false\n");
        contains(&kubectl.fails(&["logs", "p", "-c", "b"])?, "container b is not valid for pod p")?;
        let event = Change::Event {
            kind: Kind::POD,
            key: ObjectKey::new("default", "p"),
            uid: meta::field(&bench.objects.get(Kind::POD, &ObjectKey::new("default", "p"))?, "uid")
                .to_owned(),
            warning: false,
            reason: "Scheduled".to_owned(),
            message: "Successfully assigned default/p to gateway-1".to_owned(),
            component: "scheduler",
            at: None,
        };
        bench.block_on(bench.objects.apply(event))?;
        contains(&kubectl.ok(&["describe", "pod", "p"])?, "Successfully assigned default/p to gateway-1")?;
        contains(&kubectl.ok(&["get", "events"])?, "pod/p")?;
        kubectl.ok(&["delete", "pod", "p", "--wait=false"])?;
        contains(&kubectl.ok(&["get", "pod", "p"])?, "Terminating")?;
        let remove = Change::Remove {
            kind: Kind::POD,
            key: ObjectKey::new("default", "p"),
            precondition: Default::default(),
        };
        bench.block_on(bench.objects.apply(remove))?;
        contains(&kubectl.fails(&["get", "pod", "p"])?, "pods \"p\" not found")
    })
}

#[test]
fn lists_watches_and_discovery() -> anyhow::Result<()> {
    with_each(|bench, kubectl| {
        let many: String = (0..5)
            .map(|n| {
                format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\ndata: {{a: b}}\n")
            })
            .collect();
        kubectl.ok(&["create", "-f", &bench.file("many.yaml", &many)?])?;
        let names = kubectl.ok(&["get", "configmaps", "--chunk-size=2", "-o", "name"])?;
        ensure!(names.lines().count() == 5, "{names}");
        contains(&kubectl.ok(&["get", "cm", "--chunk-size=2", "-A"])?, "default     c4     1")?;
        let log = bench.file("watch.log", "")?;
        let mut watch = kubectl
            .command(&["get", "configmaps", "--watch", "--output-watch-events"])
            .stdout(std::fs::File::create(&log)?)
            .spawn()?;
        let saw = |line: &'static str| {
            wait_until("the watch", Duration::from_secs(20), || {
                let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
                if text.contains(line) { Ok(()) } else { Err(format!("no {line:?} in:\n{text}")) }
            })
        };
        let watched = saw("ADDED      c4").and_then(|()| {
            kubectl.ok(&["label", "configmap", "c4", "a=b"])?;
            saw("MODIFIED   c4")?;
            kubectl.ok(&["delete", "configmap", "c4"])?;
            saw("DELETED    c4")
        });
        watch.kill()?;
        watch.wait()?;
        watched?;
        kubectl.ok(&["delete", "configmaps", "--all"])?;
        contains(&kubectl.ok(&["get", "configmaps"])?, "No resources found")?;
        let resources = kubectl.ok(&["api-resources", "--verbs=list", "-o", "name"])?;
        ensure!(!resources.contains("alias"), "an alias is not listed twice:\n{resources}");
        contains(&kubectl.ok(&["explain", "pod.spec.nodeName"])?, "nodeName")?;
        contains(&kubectl.ok(&["version"])?, "+gannet.0.1.0")?;
        ensure!(kubectl.ok(&["get", "--raw", "/readyz"])? == "ok");
        Ok(())
    })
}

#[test]
fn nobody_without_a_certificate() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let kubectl = bench.kubectls()?.swap_remove(1);
    let config = bench.file("nobody", &{
        let text = std::fs::read_to_string(&kubectl.kubeconfig)?;
        let kept =
            text.lines().filter(|l| !l.contains("client-certificate-data") && !l.contains("client-key-data"));
        kept.map(|line| {
            if line.trim() == "user:" {
                "  user: {token: nonsense}\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect::<String>()
    })?;
    let nobody = Kubectl { kubeconfig: config.into(), ..kubectl };
    ensure!(nobody.ok(&["get", "--raw", "/healthz"])? == "ok");
    contains(&nobody.ok(&["get", "--raw", "/version"])?, "gannet")?;
    let (status, text) = run(&mut nobody.command(&["get", "--raw", "/api/v1/pods"]))?;
    ensure!(!status.success());
    contains(&text, "nauthorized").or_else(|_| contains(&text, "must be logged in"))
}
