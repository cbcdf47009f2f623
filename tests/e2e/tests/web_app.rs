//! The whole road: `gannet up --example web-app`, then everything that the first page promises, with both kubectls.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use gannet_tests_e2e::{Fleet, PATIENCE};
use gannet_tests_support::{Kubectl, Sandbox, contains, run, wait_until};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/examples/web-app.yaml");

fn ready(fleet: &Fleet, kubectl: &Kubectl, count: usize) -> anyhow::Result<BTreeSet<String>> {
    let pods = wait_until("ready pods", PATIENCE, || match fleet.ready_pods(kubectl, "app=web-app")? {
        pods if pods.len() == count => Ok(pods),
        pods => Err(format!("{pods:?}")),
    });
    pods.map_err(|e| anyhow::anyhow!("{e:#}\n{}", fleet.logs()))
}

#[test]
fn the_road() -> anyhow::Result<()> {
    let mut fleet = Fleet::new("gannet-e2e")?;
    let text = fleet.up(&["--example", "web-app"])?;
    contains(
        &text,
        &["deployment.apps/web-app", "3/3", "LoadBalancer", "URL: http://198.51.100.10:80/", "kubeconfig:"],
    )?;
    let [old, new] = <[Kubectl; 2]>::try_from(fleet.kubectls()?).ok().context("two kubectls")?;
    let url = format!("http://{}:80/", Sandbox::ADDRESS);

    for kubectl in [&old, &new] {
        reads(&fleet, kubectl, &url)?;
        changes(&fleet, kubectl, &url)?;
    }
    commands(&fleet)?;
    survives_the_agent(&fleet, &new, &url)?;

    // The end leaves nothing; the next start goes on; --fresh forgets.
    fleet.interrupt()?;
    ensure!(fleet.leftovers()? == Vec::<String>::new(), "left: {:#?}", fleet.leftovers()?);
    fleet.up(&[])?;
    let pods = ready(&fleet, &new, 3)?;
    fleet.answered_by_all(&url, &pods)?;
    new.ok(&["delete", "-f", EXAMPLE])?;
    wait_until("pods to go", PATIENCE, || match new.ok(&["get", "pods"]) {
        Ok(text) if text.contains("No resources found") => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    ensure!(fleet.curl(&url).is_err(), "the service is gone");
    fleet.interrupt()?;
    ensure!(fleet.leftovers()? == Vec::<String>::new(), "left: {:#?}", fleet.leftovers()?);
    fleet.up(&["--fresh"])?;
    contains(&new.ok(&["get", "deployments"])?, &["No resources found"])?;
    fleet.interrupt()?;
    Ok(())
}

/// What people look at.
fn reads(fleet: &Fleet, kubectl: &Kubectl, url: &str) -> anyhow::Result<()> {
    let pods = ready(fleet, kubectl, 3)?;
    contains(&kubectl.ok(&["apply", "-f", EXAMPLE])?, &["web-app"])?;
    ensure!(ready(fleet, kubectl, 3)? == pods, "applying the same again replaces no pod");
    fleet.answered_by_all(url, &pods)?;
    contains(&kubectl.ok(&["get", "pods", "-o", "wide"])?, &["NAME", "NODE", "Running", "10.42."])?;
    contains(
        &kubectl.ok(&["get", "service"])?,
        &["web-app-service", "LoadBalancer", "10.43.", Sandbox::ADDRESS, "80:"],
    )?;
    contains(&kubectl.ok(&["get", "deployments"])?, &["web-app", "3/3"])?;
    contains(&kubectl.ok(&["get", "nodes"])?, &["Ready"])?;
    let pod = pods.first().context("three pods")?;
    contains(
        &kubectl.ok(&["describe", "pod", pod])?,
        &["Image:", "my-web-app:latest", "Events:", "Scheduled", "Pulled", "Started"],
    )?;
    contains(&kubectl.ok(&["get", "events"])?, &["ScalingReplicaSet", "SuccessfulCreate"])?;
    contains(
        &kubectl.ok(&["get", "pod", pod, "-o", "yaml"])?,
        &["phase: Running", "imageID:", "containerID:"],
    )?;
    contains(&kubectl.ok(&["logs", pod])?, &["GET /"])?;
    contains(&kubectl.ok(&["logs", pod, "--tail=1", "--timestamps"])?, &["T", "Z "])?;
    Ok(())
}

/// What people do.
fn changes(fleet: &Fleet, kubectl: &Kubectl, url: &str) -> anyhow::Result<()> {
    kubectl.ok(&["scale", "deployment", "web-app", "--replicas=4"])?;
    kubectl.ok(&["rollout", "status", "deployment", "web-app", "--timeout=90s"])?;
    fleet.answered_by_all(url, &ready(fleet, kubectl, 4)?)?;
    kubectl.ok(&["scale", "deployment", "web-app", "--replicas=3"])?;
    let before = ready(fleet, kubectl, 3)?;

    let registry = "docker://127.0.0.1:5000/my-web-app";
    let mut copy = fleet.sandbox().command("skopeo");
    let plain = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    let (status, text) =
        run(copy.args(plain).args([format!("{registry}:latest"), format!("{registry}:v2")]))?;
    ensure!(status.success(), "skopeo copy: {text}");
    kubectl.ok(&["set", "image", "deployment", "web-app", "web-app=my-web-app:v2"])?;
    kubectl.ok(&["rollout", "status", "deployment", "web-app", "--timeout=90s"])?;
    let after = ready(fleet, kubectl, 3)?;
    ensure!(before.is_disjoint(&after), "{before:?} and {after:?} share pods");
    fleet.answered_by_all(url, &after)?;
    contains(&kubectl.ok(&["rollout", "history", "deployment", "web-app"])?, &["REVISION"])?;
    kubectl.ok(&["rollout", "undo", "deployment", "web-app"])?;
    kubectl.ok(&["rollout", "status", "deployment", "web-app", "--timeout=90s"])?;
    ready(fleet, kubectl, 3)?;
    let image = kubectl.ok(&[
        "get",
        "deployment",
        "web-app",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
    ])?;
    ensure!(image == "my-web-app:latest", "undo goes back to the first image, not {image}");

    // More than the machine has: the words that people know.
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web-app","resources":{"requests":{"cpu":"500"}}}]}}}}"#;
    kubectl.ok(&["patch", "deployment", "web-app", "-p", patch])?;
    wait_until("FailedScheduling", PATIENCE, || {
        // Not the events alone: a pod of an earlier rollout may have waited a moment, too.
        let pods = kubectl.ok(&["get", "pods"]).map_err(|e| e.to_string())?;
        let events = kubectl.ok(&["get", "events"]).map_err(|e| e.to_string())?;
        let said = events.contains("0/1 nodes are available: 1 Insufficient cpu");
        if said && pods.contains("Pending") { Ok(()) } else { Err(format!("{pods}\n{events}")) }
    })?;
    kubectl.ok(&["rollout", "undo", "deployment", "web-app"])?;
    kubectl.ok(&["rollout", "status", "deployment", "web-app", "--timeout=90s"])?;
    ready(fleet, kubectl, 3)?;
    contains(
        &kubectl.fails(&["get", "pod", "nobody"])?,
        &["Error from server (NotFound): pods \"nobody\" not found"],
    )
}

/// The same with `gannet` itself.
fn commands(fleet: &Fleet) -> anyhow::Result<()> {
    contains(&fleet.gannet(&["get", "pods", "-o", "wide"])?, &["NAME", "NODE", "Running"])?;
    contains(
        &fleet.gannet(&["get", "all"])?,
        &["deployment.apps/web-app", "service/web-app-service", "replicaset.apps/"],
    )?;
    contains(&fleet.gannet(&["apply", "-f", EXAMPLE])?, &["web-app"])?;
    contains(
        &fleet.gannet(&["describe", "deployment", "web-app"])?,
        &["Name:", "web-app", "Replicas:", "Events:"],
    )?;
    contains(&fleet.gannet(&["scale", "deployment/web-app", "--replicas=4"])?, &["scaled"])?;
    contains(&fleet.gannet(&["rollout", "status", "deployment/web-app"])?, &["successfully rolled out"])?;
    contains(&fleet.gannet(&["rollout", "history", "deployment/web-app"])?, &["REVISION"])?;
    contains(&fleet.gannet(&["logs", "deployment/web-app", "--tail", "5"])?, &["listening on"])?;
    contains(&fleet.gannet(&["scale", "deployment/web-app", "--replicas=3"])?, &["scaled"])?;
    contains(&fleet.gannet(&["version"])?, &["gannet ", "hub v"])?;
    contains(&fleet.gannet(&["completion", "bash"])?, &["_gannet"])
}

/// An agent that is killed comes back and adopts what runs: no container is started anew.
fn survives_the_agent(fleet: &Fleet, kubectl: &Kubectl, url: &str) -> anyhow::Result<()> {
    let pods = ready(fleet, kubectl, 3)?;
    let before = fleet.web_app_pids()?;
    ensure!(before.len() == 3, "{before:?}\n{}", fleet.logs());
    let agent = fleet.agent_pid().map_err(anyhow::Error::msg)?;
    run(std::process::Command::new("kill").args(["-KILL", &agent.to_string()]))?;
    wait_until("a new agent", PATIENCE, || match fleet.agent_pid()? {
        pid if pid == agent => Err("the old one is still there".to_owned()),
        pid => Ok(pid),
    })?;
    // A pod that comes only now shows that the new agent acts; the old ones must be the same processes.
    kubectl.ok(&["scale", "deployment", "web-app", "--replicas=4"])?;
    fleet.answered_by_all(url, &ready(fleet, kubectl, 4)?)?;
    let after = fleet.web_app_pids()?;
    ensure!(after.is_superset(&before), "{before:?} were replaced by {after:?}");
    kubectl.ok(&["scale", "deployment", "web-app", "--replicas=3"])?;
    let text = kubectl.ok(&["get", "pods"])?;
    for pod in pods {
        let line = text.lines().find(|l| l.starts_with(&pod)).unwrap_or("  0  0 ");
        ensure!(line.split_whitespace().nth(3).is_none_or(|restarts| restarts == "0"), "{text}");
    }
    ready(fleet, kubectl, 3)?;
    Ok(())
}
