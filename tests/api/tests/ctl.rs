//! The operator's command line against a real API.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use gannet_hub_api::objects::meta;
use gannet_hub_core::{Change, Kind, ObjectKey};
use gannet_hub_ctl::{Command, Connection, Session, wait_available};
use gannet_tests_api::Bench;
use gannet_tests_support::{contains, squeezed};
use serde_json::{Value, json};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/examples/web-app.yaml");

const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec:
  nodeSelector: {disk: ssd}
  containers:
  - name: a
    image: a:1
    ports: [{containerPort: 80}]
    env: [{name: X, value: '1'}]
    livenessProbe: {httpGet: {path: /up, port: 80}}
";

/// As the hub's program reads its arguments.
#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

/// What a person would see, and the error that the program would end with.
fn ctl(bench: &Bench, words: &[&str]) -> anyhow::Result<(String, String)> {
    let kubeconfig = bench.kubeconfig();
    let kubeconfig = kubeconfig.to_str().context("the path is not UTF-8")?;
    let line = ["gannet", "--kubeconfig", kubeconfig].into_iter().chain(words.iter().copied());
    let program = Program::try_parse_from(line)?;
    let mut out = Vec::new();
    let end = bench.block_on(gannet_hub_ctl::run(&program.command, &program.connection, &mut out));
    Ok((String::from_utf8(out)?, end.err().map(|e| format!("{e:#}")).unwrap_or_default()))
}

/// The output of a command that works.
fn ok(bench: &Bench, words: &[&str]) -> anyhow::Result<String> {
    let (out, error) = ctl(bench, words)?;
    ensure!(error.is_empty(), "{words:?}: {error}\n{out}");
    Ok(out)
}

/// Runs a command and compares what it prints.
fn prints(bench: &Bench, words: &[&str], expect: &str) -> anyhow::Result<()> {
    let out = ok(bench, words)?;
    ensure!(out == expect, "{words:?} printed:\n{out}instead of:\n{expect}");
    Ok(())
}

/// Runs a command that fails so.
fn fails(bench: &Bench, words: &[&str], expect: &str) -> anyhow::Result<()> {
    let (out, error) = ctl(bench, words)?;
    ensure!(error.contains(expect), "{words:?} failed with {error:?} instead of {expect:?}\n{out}");
    Ok(())
}

#[test]
fn the_example_as_it_stands() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let apply = ["apply", "-f", EXAMPLE];
    let all = |deployment: &str, service: &str| {
        format!("deployment.apps/web-app {deployment}\nservice/web-app-service {service}\n")
    };
    prints(&bench, &apply, &all("created", "created"))?;
    let ports = |bench: &Bench| -> anyhow::Result<Value> {
        let service: Value =
            serde_json::from_str(&ok(bench, &["get", "svc", "web-app-service", "-o", "json"])?)?;
        Ok(service["spec"]["ports"].clone())
    };
    let before = ports(&bench)?;
    prints(&bench, &apply, &all("unchanged", "unchanged"))?;
    prints(
        &bench,
        &["scale", "deployment", "web-app", "--replicas", "5"],
        "deployment.apps/web-app scaled\n",
    )?;
    prints(&bench, &apply, &all("configured", "unchanged"))?;
    let text = std::fs::read_to_string(EXAMPLE)?.replace("targetPort: 8080", "targetPort: 8081");
    let changed = bench.file("changed.yaml", &text)?;
    prints(&bench, &["apply", "-f", &changed], &all("unchanged", "configured"))?;
    let after = ports(&bench)?;
    ensure!(after[0]["targetPort"] == 8081, "{after}");
    ensure!(
        after[0]["nodePort"] == before[0]["nodePort"] && before[0]["nodePort"].is_i64(),
        "{before} {after}"
    );
    let deployment: Value = serde_json::from_str(&ok(&bench, &["get", "deploy/web-app", "-o", "json"])?)?;
    ensure!(deployment["spec"]["replicas"] == 3 && deployment["apiVersion"] == "apps/v1", "{deployment}");
    let names = ok(&bench, &["get", "all", "-o", "name"])?;
    ensure!(names.matches("deployment.apps/web-app\n").count() == 1, "{names}");
    let described = squeezed(&ok(&bench, &["describe", "deployment", "web-app"])?);
    contains(
        &described,
        &[
            "Name: web-app\nNamespace: default\n",
            "Selector: app=web-app\nReplicas: 3 desired | 0 updated | 0 total | 0 available | 0 unavailable\n",
            "RollingUpdateStrategy: 25% max unavailable, 25% max surge\nPod Template:\nLabels: app=web-app\n",
            "web-app:\nImage: my-web-app:latest\nPort: 8080/TCP\nHost Port: 0/TCP\nRequests:\ncpu: 500m\n",
            "NewReplicaSet: <none>\nEvents: <none>",
        ],
    )?;
    let described = squeezed(&ok(&bench, &["describe", "svc", "web-app-service"])?);
    contains(
        &described,
        &["Type: LoadBalancer\n", "Port: <unset> 80/TCP\nTargetPort: 8081/TCP\nNodePort: <unset> 3"],
    )?;
    let gone = "deployment.apps \"web-app\" deleted\nservice \"web-app-service\" deleted\n";
    prints(&bench, &["delete", "-f", EXAMPLE], gone)?;
    fails(&bench, &["delete", "-f", EXAMPLE], "deployments.apps \"web-app\" not found")?;
    prints(&bench, &["delete", "-f", EXAMPLE, "--ignore-not-found"], "")
}

#[test]
fn the_hub_is_heard_when_it_warns() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let connection = Connection { kubeconfig: Some(bench.kubeconfig()), namespace: None };
    let command = Command::Apply(gannet_hub_ctl::ApplyArgs::file(EXAMPLE.into()));
    bench.block_on(async {
        let session = Session::open(&connection).await?;
        let mut out = Vec::new();
        gannet_hub_ctl::run_in(&session, &command, &mut out).await?;
        let warnings = session.warnings().join("\n");
        contains(&warnings, &["v1 Deployment is apps/v1 Deployment: use apiVersion: apps/v1"])?;
        let tables = Command::Get(gannet_hub_ctl::GetArgs::table("deployments,pods,services"));
        out.clear();
        gannet_hub_ctl::run_in(&session, &tables, &mut out).await?;
        contains(&String::from_utf8(out)?, &["deployment.apps/web-app", "service/web-app-service"])
    })
}

#[test]
fn what_is_there() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    prints(&bench, &["get", "pods"], "No resources found in default namespace.\n")?;
    let pod = bench.file("pod.yaml", POD)?;
    let quiet = bench.file(
        "q.yaml",
        &POD.replace("name: p,", "name: quiet, namespace: shop,").replace("app: p", "app: q"),
    )?;
    let shop = bench.file(
        "ns.json",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}).to_string(),
    )?;
    prints(
        &bench,
        &["apply", "-f", &pod, "-f", &shop, "-f", &quiet],
        "pod/p created\nnamespace/shop created\npod/quiet created\n",
    )?;
    let rows = |words: &[&str]| anyhow::Ok(squeezed(&ok(&bench, words)?));
    contains(&rows(&["get", "po"])?, &["NAME READY STATUS RESTARTS AGE\np 0/1 Pending 0 "])?;
    contains(
        &rows(&["get", "pods", "p", "-o", "wide"])?,
        &["AGE IP NODE NOMINATED NODE READINESS GATES\np 0/1", " <none> <none> <none> <none>"],
    )?;
    contains(&rows(&["get", "pods", "-A"])?, &["NAMESPACE NAME READY", "default p ", "shop quiet "])?;
    contains(&rows(&["get", "pods", "-n", "shop", "--no-headers"])?, &["quiet 0/1"])?;
    prints(&bench, &["get", "pods", "-A", "-l", "app=q", "-o", "name"], "pod/quiet\n")?;
    prints(&bench, &["get", "pods", "-l", "app=none"], "No resources found in default namespace.\n")?;
    prints(&bench, &["get", "pods", "--field-selector", "metadata.name=p", "-o", "name"], "pod/p\n")?;
    contains(
        &ok(&bench, &["get", "pod", "p", "-o", "yaml"])?,
        &["apiVersion: v1\n", "kind: Pod\n", "\n  name: p\n"],
    )?;
    let list: Value = serde_json::from_str(&ok(&bench, &["get", "pods", "-o", "json"])?)?;
    ensure!(list["kind"] == "List" && list["items"][0]["kind"] == "Pod", "{list}");
    fails(&bench, &["get", "pods", "x"], "Error from server (NotFound): pods \"x\" not found")?;
    fails(&bench, &["get", "pods", "x", "-o", "json"], "Error from server (NotFound): pods \"x\" not found")?;
    fails(&bench, &["get", "unicorns"], "the server doesn't have a resource type \"unicorns\"")?;
    let bad = bench.file("bad.yaml", "apiVersion: v2\nkind: Pod\nmetadata: {name: b}\n")?;
    fails(&bench, &["apply", "-f", &bad], "no matches for kind \"Pod\" in version \"v2\"")?;
    let described = squeezed(&ok(&bench, &["describe", "pod", "p"])?);
    contains(
        &described,
        &[
            "Name: p\nNamespace: default\nPriority: 0\n",
            "Labels: app=p\nAnnotations: <none>\nStatus: Pending\n",
            "Port: 80/TCP\nHost Port: 0/TCP\n",
            "Liveness: http-get http://:80/up delay=0s timeout=1s period=10s #success=1 #failure=3\n",
            "Environment:\nX: 1\nMounts: ",
            "Node-Selectors: disk=ssd\n",
            "\nEvents: <none>",
        ],
    )?;
    contains(
        &squeezed(&ok(&bench, &["describe", "ns/shop"])?),
        &["Name: shop\n", "Kind: Namespace\n", "phase: Active"],
    )?;
    fails(&bench, &["describe", "pod", "x"], "Error from server (NotFound): pods \"x\" not found")?;
    prints(&bench, &["delete", "pod", "p", "--force"], "pod \"p\" force deleted\n")?;
    fails(&bench, &["get", "pods", "p"], "not found")
}

/// Changes an object as a controller would.
async fn change(
    bench: &Bench,
    kind: &'static Kind,
    name: &str,
    edit: impl FnOnce(&mut Value),
) -> anyhow::Result<()> {
    let mut object = bench.objects.get(kind, &ObjectKey::new("default", name))?;
    edit(&mut object);
    bench.objects.apply(Change::Update { kind, object }).await?;
    Ok(())
}

#[test]
fn a_pod_that_runs() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    ok(&bench, &["apply", "-f", &bench.file("pod.yaml", POD)?])?;
    let run = |pod: &mut Value| {
        pod["spec"]["nodeName"] = json!("gateway-1");
        pod["status"] = json!({"phase": "Running", "podIP": "10.42.0.7", "hostIP": "10.0.0.1", "containerStatuses": [{
            "name": "a", "image": "a:1", "imageID": "a@sha256:0", "ready": true, "restartCount": 2,
            "state": {"running": {"startedAt": "2026-01-05T12:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 137, "signal": 9, "reason": "OOMKilled"}},
        }]});
    };
    bench.block_on(change(&bench, Kind::POD, "p", run))?;
    let key = ObjectKey::new("default", "p");
    let event = Change::Event {
        kind: Kind::POD,
        uid: meta::field(&bench.objects.get(Kind::POD, &key)?, "uid").to_owned(),
        key,
        warning: true,
        reason: "BackOff".to_owned(),
        message: "back-off restarting failed container a".to_owned(),
        component: "agent",
        at: None,
    };
    bench.block_on(bench.objects.apply(event))?;
    let described = squeezed(&ok(&bench, &["describe", "pod/p"])?);
    contains(
        &described,
        &[
            "Node: gateway-1/10.0.0.1\n",
            "IP: 10.42.0.7\n",
            "State: Running\nStarted: Mon, 05 Jan 2026 12:00:00 +0000\n\
                Last State: Terminated\nReason: OOMKilled\nExit Code: 137\nSignal: 9\nReady: True\nRestart Count: 2\n",
            "Events:\nType Reason Age From Message\n---- ------ ---- ---- -------\nWarning BackOff ",
            "s agent back-off restarting failed container a",
        ],
    )?;
    prints(&bench, &["logs", "p", "--tail", "3"], "p/a tail=Some(3) previous=false\n")?;
    fails(&bench, &["logs", "p", "-c", "b"], "container b is not valid for pod p")
}

/// A writer that others look into while it is written.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn text(&self) -> String {
        self.0.lock().map(|seen| String::from_utf8_lossy(&seen).into_owned()).unwrap_or_default()
    }

    /// Returns once it holds this.
    async fn until(&self, part: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !squeezed(&self.text()).contains(part) {
            assert!(Instant::now() < deadline, "{part:?} does not come: {}", self.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(|_| std::io::ErrorKind::Other)?.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_rollout_is_waited_for() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    ok(&bench, &["apply", "-f", EXAMPLE])?;
    let seen = Seen::default();
    let connection = Connection { kubeconfig: Some(bench.kubeconfig()), namespace: None };
    let set = |available: u32| {
        move |object: &mut Value| {
            object["status"] = json!({
                "observedGeneration": object["metadata"]["generation"], "replicas": 3, "updatedReplicas": 3,
                "availableReplicas": available,
            });
        }
    };
    let line = |n: u32| {
        format!(
            "Waiting for deployment \"web-app\" rollout to finish: {n} of 3 updated replicas are available..."
        )
    };
    bench.block_on(async {
        let session = Session::open(&connection).await?;
        let mut into = seen.clone();
        let mut say = |line: &str| drop(writeln!(into, "{line}"));
        let story = async {
            seen.until("spec update to be observed...").await;
            change(&bench, Kind::DEPLOYMENT, "web-app", set(1)).await?;
            seen.until(&line(1)).await;
            change(&bench, Kind::DEPLOYMENT, "web-app", set(3)).await
        };
        tokio::try_join!(story, wait_available(&session, "web-app", Duration::from_secs(30), &mut say))?;
        anyhow::Ok(())
    })?;
    contains(&seen.text(), &["available...\ndeployment \"web-app\" successfully rolled out\n"])?;
    prints(
        &bench,
        &["rollout", "status", "deploy/web-app"],
        "deployment \"web-app\" successfully rolled out\n",
    )?;
    let late = |object: &mut Value| {
        object["status"]["conditions"] =
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    };
    bench.block_on(change(&bench, Kind::DEPLOYMENT, "web-app", late))?;
    let late = "deployment \"web-app\" exceeded its progress deadline";
    fails(&bench, &["rollout", "status", "deploy/web-app"], late)
}

#[test]
fn what_changes_is_printed_as_it_does() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    ok(&bench, &["apply", "-f", EXAMPLE])?;
    let seen = Seen::default();
    let connection = Connection { kubeconfig: Some(bench.kubeconfig()), namespace: None };
    let program = Program::try_parse_from(["gannet", "get", "deployments", "--watch"])?;
    bench.block_on(async {
        let mut out = seen.clone();
        let watch = gannet_hub_ctl::run(&program.command, &connection, &mut out);
        let story = async {
            seen.until("NAME READY UP-TO-DATE AVAILABLE AGE\nweb-app 0/3 0 0 ").await;
            change(&bench, Kind::DEPLOYMENT, "web-app", |object| object["spec"]["replicas"] = json!(7))
                .await?;
            seen.until("\nweb-app 0/7 0 0 ").await;
            anyhow::Ok(())
        };
        tokio::select! {
            end = watch => anyhow::bail!("the watch ended: {end:?}"),
            end = tokio::time::timeout(Duration::from_secs(30), story) => end?,
        }
    })
}

#[test]
fn rollouts() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    ok(&bench, &["apply", "-f", EXAMPLE])?;
    let web = "deployment/web-app";
    prints(&bench, &["rollout", "pause", web], "deployment.apps/web-app paused\n")?;
    fails(&bench, &["rollout", "pause", web], "deployments.apps \"web-app\" is already paused")?;
    fails(&bench, &["rollout", "restart", web], "can't restart paused deployment")?;
    prints(&bench, &["rollout", "resume", web], "deployment.apps/web-app resumed\n")?;
    prints(&bench, &["rollout", "restart", web], "deployment.apps/web-app restarted\n")?;
    let stored: Value = serde_json::from_str(&ok(&bench, &["get", web, "-o", "json"])?)?;
    let template = &stored["spec"]["template"];
    ensure!(
        template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string(),
        "{template}"
    );
    let observed = "Waiting for deployment spec update to be observed...\n";
    prints(&bench, &["rollout", "status", web, "--watch=false"], observed)?;
    fails(&bench, &["rollout", "status", web, "--timeout", "1s"], "timed out waiting for the condition")?;
    fails(&bench, &["rollout", "undo", web], "no rollout history found for deployment \"web-app\"")?;
    // What the controller would leave behind.
    let mut former = template.clone();
    former["metadata"]["labels"]["pod-template-hash"] = json!("abc");
    former["spec"]["containers"][0]["image"] = json!("my-web-app:former");
    let set = |revision: u32, template: &Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("web-app-{revision}"), "labels": template["metadata"]["labels"],
                "annotations": {"deployment.kubernetes.io/revision": revision.to_string(), "kubernetes.io/change-cause": format!("cause {revision}")},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": "web-app", "controller": true,
                    "uid": stored["metadata"]["uid"],
                }],
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web-app"}}, "template": template},
        })
    };
    let sets = json!({"apiVersion": "v1", "kind": "List", "items": [set(1, &former), set(2, template)]});
    ok(&bench, &["apply", "-f", &bench.file("sets.json", &sets.to_string())?])?;
    let table = "deployment.apps/web-app\nREVISION   CHANGE-CAUSE\n1          cause 1\n2          cause 2\n";
    prints(&bench, &["rollout", "history", web], table)?;
    let first = squeezed(&ok(&bench, &["rollout", "history", web, "--revision", "1"])?);
    contains(
        &first,
        &["deployment.apps/web-app with revision #1\nPod Template:\n", "Image: my-web-app:former\n"],
    )?;
    fails(
        &bench,
        &["rollout", "undo", web, "--to-revision", "9"],
        "unable to find specified revision 9 in history",
    )?;
    let same = "deployment.apps/web-app skipped rollback (current template already matches revision 2)\n";
    prints(&bench, &["rollout", "undo", web, "--to-revision", "2"], same)?;
    prints(&bench, &["rollout", "undo", web], "deployment.apps/web-app rolled back\n")?;
    let back: Value = serde_json::from_str(&ok(&bench, &["get", web, "-o", "json"])?)?;
    let template = &back["spec"]["template"];
    ensure!(template["spec"]["containers"][0]["image"] == "my-web-app:former", "{template}");
    ensure!(template["metadata"]["labels"] == json!({"app": "web-app"}), "{template}");
    ensure!(back["metadata"]["annotations"]["kubernetes.io/change-cause"] == "cause 1", "{back}");
    let described = squeezed(&ok(&bench, &["describe", "rs", "web-app-1"])?);
    contains(
        &described,
        &[
            "Controlled By: Deployment/web-app\nReplicas: 0 current / 0 desired\nPods Status: 0 Running / 0 Waiting",
        ],
    )
}

#[test]
fn no_hub() -> anyhow::Result<()> {
    let connection = Connection { kubeconfig: Some("/nonexistent/kubeconfig".into()), namespace: None };
    let runtime = tokio::runtime::Runtime::new()?;
    let error = runtime.block_on(gannet_hub_ctl::server_version(&connection));
    let error = error.err().map(|e| format!("{e:#}")).unwrap_or_default();
    contains(&error, &["kubeconfig /nonexistent/kubeconfig"])?;
    let bench = Bench::start()?;
    let connection = Connection { kubeconfig: Some(bench.kubeconfig()), namespace: None };
    let version = bench.block_on(gannet_hub_ctl::server_version(&connection))?;
    contains(&version, &["gannet.0.1.0"])
}
