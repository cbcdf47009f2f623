//! The operator's command line against a real API.

use anyhow::{Context as _, ensure};
use clap::Parser;
use gannet_hub_ctl::{Command, Connection, Session};
use gannet_tests_api::Bench;
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

fn contains(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    Ok(())
}

/// Columns without the blanks between them.
fn squeezed(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
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
    contains(&ok(&bench, &["logs", "p", "--tail", "3"])?, &["p/a tail=Some(3) previous=false"])?;
    prints(&bench, &["delete", "pod", "p", "--force"], "pod \"p\" force deleted\n")?;
    fails(&bench, &["get", "pods", "p"], "not found")
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
