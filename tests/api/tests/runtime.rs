//! What kubectl shows and changes of pods that run and of their nodes: figures, resizes, conditions, ends.

use anyhow::{Context as _, ensure};
use gannet_hub_api::objects::meta;
use gannet_hub_core::control::{apply_report, node_registered};
use gannet_hub_core::{Kind, ObjectKey, World};
use gannet_protocols_model::{
    ByteSize, ContainerState, ContainerStatus, ContainerUsage, CpuMillis, Digest, NodeCondition, NodeInfo,
    NodeUsage, PodPhase, PodStatus, PodUsage, Resize, RolledBack, Terminated, Timestamp, Usage,
};
use gannet_tests_api::{Bench, contains, with_each};
use gannet_tests_support::squeezed;
use serde_json::{Value, json};

const NODE: &str = "gateway-1";
/// 2026-01-05T12:00:00Z.
const STARTED: Timestamp = Timestamp::from_millis(1_767_614_400_000);

const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec:
  readinessGates: [{conditionType: example.com/checked}]
  initContainers: [{name: beside, image: \"s:1\", restartPolicy: Always}]
  containers:
  - name: a
    image: \"a:1\"
    resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: q, labels: {app: q}}
spec: {containers: [{name: a, image: \"a:1\"}]}
";

fn node(conditions: Vec<NodeCondition>) -> NodeInfo {
    NodeInfo {
        address: [192, 0, 2, 7].into(),
        hostname: NODE.to_owned(),
        architecture: "arm64".to_owned(),
        kernel: "6.1".to_owned(),
        os_image: "Debian".to_owned(),
        machine_id: "m".to_owned(),
        boot_id: "b".to_owned(),
        agent_version: "v0.1.0".to_owned(),
        cpu: CpuMillis(4000),
        memory: ByteSize(1 << 30),
        disk: ByteSize(8 << 30),
        cpu_reserved: CpuMillis(0),
        memory_reserved: ByteSize(0),
        disk_reserved: ByteSize(0),
        devices: [("devices.gannet.dev/modbus".to_owned(), 2)].into(),
        max_pods: 110,
        labels: Default::default(),
        conditions,
    }
}

/// The world as the hub's loop sees it: what the API has stored.
fn world(bench: &Bench) -> anyhow::Result<World> {
    let mut world = World::default();
    for kind in [Kind::NODE, Kind::POD, Kind::NAMESPACE] {
        for stored in bench.objects.storage().list(kind, None, None, usize::MAX)?.items {
            let value = meta::decode(&stored.value, stored.revision)?.to_string();
            world.apply(kind, &stored.key, Some(value.as_bytes()))?;
        }
    }
    Ok(world)
}

fn register(bench: &Bench, conditions: Vec<NodeCondition>) -> anyhow::Result<()> {
    let changes = node_registered(&world(bench)?, &NODE.parse()?, &node(conditions), bench.objects.now());
    for change in changes {
        bench.block_on(bench.objects.apply(change))?;
    }
    Ok(())
}

/// Binds a pod to the node.
fn bind(bench: &Bench, pod: &str) -> anyhow::Result<()> {
    let mut object = bench.objects.get(Kind::POD, &ObjectKey::new("default", pod))?;
    object["spec"]["nodeName"] = json!(NODE);
    bench.block_on(bench.objects.apply(gannet_hub_core::Change::Update { kind: Kind::POD, object }))?;
    Ok(())
}

fn uid(bench: &Bench, pod: &str) -> anyhow::Result<String> {
    let object = bench.objects.get(Kind::POD, &ObjectKey::new("default", pod))?;
    Ok(meta::field(&object, "uid").to_owned())
}

fn container(name: &str) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        state: ContainerState::Running { started_at: STARTED },
        last: None,
        restart_count: 0,
        ready: true,
        started: true,
        resources: None,
        image_id: Some(Digest::of(b"image")),
        container_id: Some("c0ffee".to_owned()),
    }
}

/// The node says this of a pod that runs.
fn report(bench: &Bench, pod: &str, edit: impl FnOnce(&mut PodStatus)) -> anyhow::Result<()> {
    let mut status = PodStatus {
        uid: uid(bench, pod)?.parse()?,
        namespace: "default".to_owned(),
        name: pod.to_owned(),
        manifest: Digest::of(b"manifest"),
        phase: PodPhase::Running,
        reason: None,
        message: None,
        ip: Some([10, 42, 0, 7].into()),
        started_at: Some(STARTED),
        rolled_back: None,
        resize: None,
        init_containers: if pod == "p" { vec![container("beside")] } else { Vec::new() },
        containers: vec![container("a")],
    };
    edit(&mut status);
    let change = apply_report(&world(bench)?, &NODE.parse()?, &status, bench.objects.now());
    bench.block_on(bench.objects.apply(change.context("the report changes nothing")?))?;
    Ok(())
}

fn bench_with_pods(bench: &Bench, kubectl: &gannet_tests_support::Kubectl) -> anyhow::Result<()> {
    register(bench, Vec::new())?;
    kubectl.ok(&["create", "-f", &bench.file("pods.yaml", PODS)?])?;
    for pod in ["p", "q"] {
        bind(bench, pod)?;
        report(bench, pod, |_| ())?;
    }
    Ok(())
}

#[test]
fn top() -> anyhow::Result<()> {
    with_each(|bench, kubectl| {
        bench_with_pods(bench, kubectl)?;
        let silence = "no figures: none of the nodes asked has answered: node gateway-1 is not connected";
        contains(&kubectl.fails(&["top", "pod"])?, silence)?;
        contains(&kubectl.fails(&["top", "node"])?, silence)?;
        let usage = |cpu_millis: u64, mebibytes: u64| Usage {
            cpu_nanos: cpu_millis * 1_000_000,
            memory: ByteSize(mebibytes << 20),
            disk: ByteSize(1 << 20),
            pids: 3,
        };
        let pod = |name: &str, containers: &[(&str, Usage)]| -> anyhow::Result<PodUsage> {
            let container =
                |(name, usage): &(&str, Usage)| ContainerUsage { name: (*name).to_owned(), usage: *usage };
            Ok(PodUsage {
                uid: uid(bench, name)?.parse()?,
                namespace: "default".to_owned(),
                name: name.to_owned(),
                containers: containers.iter().map(container).collect(),
                volumes: ByteSize(0),
            })
        };
        let pods = vec![
            pod("p", &[("a", usage(25, 40)), ("beside", usage(5, 10))])?,
            pod("q", &[("a", usage(1, 2))])?,
        ];
        let (node, agent) = (usage(1000, 512), usage(1, 1));
        let said = NodeUsage { at: bench.objects.now(), window_ms: 10_000, node, agent, pods };
        bench.figures.put(NODE.parse()?, said);

        contains(&squeezed(&kubectl.ok(&["top", "node"])?), "gateway-1 1000m 25% 512Mi 50%")?;
        contains(&squeezed(&kubectl.ok(&["top", "node", NODE])?), "gateway-1 1000m 25% 512Mi 50%")?;
        let all = squeezed(&kubectl.ok(&["top", "pod"])?);
        contains(&all, "p 30m 50Mi")?;
        contains(&all, "q 1m 2Mi")?;
        contains(&squeezed(&kubectl.ok(&["top", "pod", "-A", "--containers"])?), "default p beside 5m 10Mi")?;
        let some = squeezed(&kubectl.ok(&["top", "pod", "-l", "app=q"])?);
        contains(&some, "q 1m 2Mi")?;
        ensure!(!some.contains("p 30m"), "{some}");
        contains(&squeezed(&kubectl.ok(&["top", "pods", "p"])?), "p 30m 50Mi")?;
        contains(
            &kubectl.fails(&["top", "pod", "nobody"])?,
            "podmetrics.metrics.k8s.io \"default/nobody\" not found",
        )?;
        contains(
            &kubectl.fails(&["top", "node", "nobody"])?,
            "nodemetrics.metrics.k8s.io \"nobody\" not found",
        )?;
        contains(&kubectl.ok(&["top", "pod", "-n", "kube-system"])?, "No resources found")?;

        // The group as any other one.
        let table = squeezed(&kubectl.ok(&["get", "pods.metrics.k8s.io"])?);
        contains(&table, "NAME CPU MEMORY EPHEMERAL-STORAGE WINDOW\np 30000000n 51200Ki 2048Ki 10s")?;
        let metrics = kubectl.json(&["get", "nodes.metrics.k8s.io", NODE])?;
        ensure!(metrics["usage"]["cpu"] == "1000000000n" && metrics["kind"] == "NodeMetrics", "{metrics}");
        ensure!(
            kubectl.json(&["get", "pods"])?["items"][0]["kind"] == "Pod",
            "`pods` are those of the core group"
        );
        contains(&kubectl.ok(&["api-resources", "--api-group=metrics.k8s.io"])?, "PodMetrics")?;
        contains(&kubectl.ok(&["api-versions"])?, "metrics.k8s.io/v1beta1")?;
        contains(
            &kubectl
                .ok(&["explain", "podmetrics.containers", "--api-version=metrics.k8s.io/v1beta1"])
                .or_else(|_| {
                    kubectl.ok(&["explain", "pods.containers", "--api-version=metrics.k8s.io/v1beta1"])
                })?,
            "usage",
        )
    })
}

#[test]
fn resize() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    // Older ones do not know the subresource.
    let kubectl = bench.kubectls()?.swap_remove(1);
    bench_with_pods(&bench, &kubectl)?;
    let patch = |cpu: &str| {
        json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]}}).to_string()
    };
    let generation = |pod: &Value| pod["metadata"]["generation"].as_i64().unwrap_or_default();
    let before = generation(&kubectl.json(&["get", "pod", "p"])?);
    let said = kubectl.ok(&["patch", "pod", "p", "--subresource", "resize", "--patch", &patch("150m")])?;
    contains(&said, "pod/p patched")?;
    let pod = kubectl.json(&["get", "pod", "p", "--subresource", "resize"])?;
    let resources = &pod["spec"]["containers"][0]["resources"];
    ensure!(
        resources
            == &json!({"requests": {"cpu": "150m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}),
        "{resources}"
    );
    ensure!(generation(&pod) == before + 1, "{before}, then {}", pod["metadata"]);
    contains(&kubectl.ok(&["get", "--raw", "/api/v1"])?, "\"pods/resize\"")?;
    // By the editor, as `kubectl edit --subresource resize` does it.
    let mut edit = kubectl.command(&["edit", "pod", "p", "--subresource", "resize"]);
    let (status, text) =
        gannet_tests_support::run(edit.env("KUBE_EDITOR", "sed -i s/cpu:.150m/cpu:\\ 160m/"))?;
    ensure!(status.success(), "{text}");
    let pod = kubectl.json(&["get", "pod", "p"])?;
    ensure!(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "160m", "{}", pod["spec"]);
    // What is no resize, or a pod's class that would change.
    let image = r#"{"spec":{"containers":[{"name":"a","image":"b:1"}]}}"#;
    kubectl.ok(&["patch", "pod", "p", "--subresource", "resize", "-p", image])?;
    ensure!(
        kubectl.json(&["get", "pod", "p"])?["spec"]["containers"][0]["image"] == "a:1",
        "only resources are taken"
    );
    contains(
        &kubectl.fails(&["patch", "pod", "q", "--subresource", "resize", "-p", &patch("1")])?,
        "Pod QOS Class may not change as a result of resizing",
    )?;
    contains(&kubectl.fails(&["patch", "pod", "p", "-p", &patch("170m")])?, "is invalid")?;

    let words = "Node didn't have enough resource: cpu, requested: 160, used: 3900, capacity: 4000";
    report(&bench, "p", |status| {
        status.resize = Some(Resize::Deferred(words.to_owned()));
    })?;
    let pod = kubectl.json(&["get", "pod", "p"])?;
    let conditions = pod["status"]["conditions"].as_array().context("conditions")?;
    let pending = conditions.iter().find(|c| c["type"] == "PodResizePending").context("PodResizePending")?;
    ensure!(pending["reason"] == "Deferred" && pending["message"] == words, "{pending}");
    Ok(())
}

#[test]
fn gates_are_opened_by_clients() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let kubectl = bench.kubectls()?.swap_remove(1);
    bench_with_pods(&bench, &kubectl)?;
    contains(&squeezed(&kubectl.ok(&["get", "pods", "p", "-o", "wide"])?), "p 2/2 Running 0")?;
    let ready = |expected: &str| -> anyhow::Result<()> {
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let found = kubectl.ok(&["get", "pod", "p", "-o", path])?;
        ensure!(found == expected, "{found}");
        Ok(())
    };
    ready("False")?;
    let patch = r#"{"status":{"conditions":[{"type":"example.com/checked","status":"True"}]}}"#;
    kubectl.ok(&["patch", "pod", "p", "--subresource=status", "-p", patch])?;
    // The next report keeps what the client said, and the pod is ready.
    report(&bench, "p", |status| status.containers[0].restart_count = 1)?;
    ready("True")?;
    let wide = squeezed(&kubectl.ok(&["get", "pods", "p", "-o", "wide"])?);
    ensure!(wide.ends_with("1/1"), "{wide}");
    Ok(())
}

#[test]
fn described() -> anyhow::Result<()> {
    with_each(|bench, kubectl| {
        bench_with_pods(bench, kubectl)?;
        report(bench, "p", |status| {
            status.containers[0].restart_count = 3;
            status.containers[0].last = Some(Terminated {
                exit_code: 137,
                signal: Some(9),
                reason: "OOMKilled".to_owned(),
                message: "the last words".to_owned(),
                started_at: Some(STARTED),
                finished_at: STARTED,
            });
            status.rolled_back = Some(RolledBack {
                failed: Digest::of(b"failed"),
                at: STARTED,
                reason: "CrashLoopBackOff".to_owned(),
                message: "it ended with 1".to_owned(),
            });
        })?;
        let text = squeezed(&kubectl.ok(&["describe", "pod", "p"])?);
        contains(&text, "Reason: RolledBack\n")?;
        contains(&text, "and runs the one before: it ended with 1\n")?;
        contains(&text, "Reason: OOMKilled\nMessage: the last words\nExit Code: 137\nSignal: 9\n")
            .or_else(|_| contains(&text, "Reason: OOMKilled\nMessage: the last words\nExit Code: 137\n"))?;
        contains(&text, "gannet.dev/RolledBack True\n")?;
        contains(&squeezed(&kubectl.ok(&["get", "pods"])?), "p 2/2 RolledBack 3")?;
        let last =
            ["get", "pod", "p", "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.message}"];
        ensure!(kubectl.ok(&last)? == "the last words");

        report(bench, "q", |status| {
            status.phase = PodPhase::Failed;
            status.reason = Some("Evicted".to_owned());
            status.message = Some("The node was low on resource: memory.".to_owned());
            status.containers.clear();
        })?;
        contains(&squeezed(&kubectl.ok(&["get", "pods"])?), "q 0/1 Evicted 0")?;
        let text = squeezed(&kubectl.ok(&["describe", "pod", "q"])?);
        contains(&text, "Status: Failed\nReason: Evicted\nMessage: The node was low on resource: memory.\n")?;

        let pressure = NodeCondition {
            kind: "MemoryPressure".to_owned(),
            holds: true,
            reason: "KubeletHasInsufficientMemory".to_owned(),
            message: "kubelet has insufficient memory available".to_owned(),
        };
        register(bench, vec![pressure])?;
        let text = squeezed(&kubectl.ok(&["describe", "node", NODE])?);
        contains(&text, "Taints: node.kubernetes.io/memory-pressure:NoSchedule\n")?;
        contains(&text, "KubeletHasInsufficientMemory kubelet has insufficient memory available\n")?;
        contains(&text, "devices.gannet.dev/modbus: 2\n")?;
        contains(&text, "\ncpu 100m (2%) 200m (5%)\nmemory 64Mi (6%) 128Mi (12%)\n")?;
        contains(&text, "NodeHasInsufficientMemory")
    })
}
