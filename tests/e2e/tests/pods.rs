//! Pods with all that they may have, on a real node: what kubectl shows of them, what they use, and a rollout that the
//! device takes back.

use anyhow::{Context as _, ensure};
use gannet_tests_e2e::{Fleet, PATIENCE};
use gannet_tests_support::{Kubectl, contains, squeezed, wait_until};

/// Fails once, with a last word; then runs beside a sidecar.
const STORY: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: story}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: data, emptyDir: {}}]
  initContainers:
  - name: beside
    image: busybox:1
    restartPolicy: Always
    command: [sh, -c, "echo beside > /data/beside; exec sleep 1000"]
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: app
    image: busybox:1
    command:
    - sh
    - -c
    - |
      until test -f /data/hook; do sleep 0.1; done
      if test -f /data/once; then cat /data/beside /data/hook; exec sleep 1000; fi
      touch /data/once
      echo "the first try" > /dev/termination-log
      exit 3
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo hooked > /data/hook"]}}
      preStop: {exec: {command: [sh, -c, "echo stopped > /data/hook"]}}
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}
    volumeMounts: [{name: data, mountPath: /data}]
"#;

/// Runs with busybox:1, and ends at once with busybox:2. It is available only when the device has seen enough of it, too.
const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  minReadySeconds: 6
  progressDeadlineSeconds: 8
  strategy: {type: Recreate}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: busybox:1
        command: [sh, -c, "echo it runs; exec sleep 1000"]
"#;

const BAD: &str = r#"{"spec":{"template":{"spec":{"containers":[
    {"name":"app","image":"busybox:2","command":["sh","-c","echo the wheel came off; exit 7"]}]}}}}"#;

/// Writes more than its volume may hold, once it has been there for a while.
const GREEDY: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: greedy}
spec:
  replicas: 1
  selector: {matchLabels: {app: greedy}}
  template:
    metadata: {labels: {app: greedy}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes: [{name: data, emptyDir: {sizeLimit: 1Mi}}]
      containers:
      - name: app
        image: busybox:1
        command: [sh, -c, "/bin/busybox dd if=/dev/zero of=/data/big bs=1M count=4; exec sleep 1000"]
        volumeMounts: [{name: data, mountPath: /data}]
"#;

fn file(fleet: &Fleet, name: &str, text: &str) -> anyhow::Result<String> {
    let path = fleet.data().join(name);
    std::fs::write(&path, text)?;
    path.into_os_string().into_string().ok().context("the path is not UTF-8")
}

/// Asks until the answer holds this.
fn until(fleet: &Fleet, kubectl: &Kubectl, args: &[&str], part: &str) -> anyhow::Result<String> {
    let found = wait_until(&format!("{part:?} of {args:?}"), PATIENCE, || match kubectl.ok(args) {
        Ok(text) if text.contains(part) => Ok(text),
        Ok(text) => Err(text),
        Err(error) => Err(format!("{error:#}")),
    });
    found.map_err(|e| anyhow::anyhow!("{e:#}\n{}", fleet.logs()))
}

#[test]
fn pods_and_what_is_said_of_them() -> anyhow::Result<()> {
    let mut fleet = Fleet::new("gannet-pods")?;
    fleet.up(&[])?;
    fleet.push_busybox(&["busybox:1", "busybox:2"])?;
    let [old, new] = <[Kubectl; 2]>::try_from(fleet.kubectls()?).ok().context("two kubectls")?;
    story(&fleet, &old, &new)?;
    usage(&fleet, &[&old, &new])?;
    taken_back(&fleet, &new)?;
    evicted(&fleet, &new)?;
    new.ok(&["delete", "deployment,pod", "--all"])?;
    until(&fleet, &new, &["get", "pods"], "No resources found")?;
    fleet.interrupt()?;
    ensure!(fleet.leftovers()? == Vec::<String>::new(), "left: {:#?}", fleet.leftovers()?);
    Ok(())
}

/// A sidecar, hooks, and a termination message.
fn story(fleet: &Fleet, old: &Kubectl, new: &Kubectl) -> anyhow::Result<()> {
    new.ok(&["apply", "-f", &file(fleet, "story.yaml", STORY)?])?;
    new.ok(&["wait", "--for=condition=Ready", "pod/story", "--timeout=5s"]).ok();
    let restarts =
        "jsonpath={.status.containerStatuses[0].restartCount}/{.status.containerStatuses[0].ready}";
    until(fleet, new, &["get", "pod", "story", "-o", restarts], "1/true")?;
    for kubectl in [old, new] {
        let get = |path: &str| kubectl.ok(&["get", "pod", "story", "-o", &format!("jsonpath={path}")]);
        let last = "{.status.containerStatuses[0].lastState.terminated";
        ensure!(get(&format!("{last}.exitCode}}"))? == "3");
        ensure!(get(&format!("{last}.reason}}"))? == "Error");
        ensure!(get(&format!("{last}.message}}"))? == "the first try\n");
        let sidecar = "{.status.initContainerStatuses[0]['name','ready','started','restartCount']}";
        ensure!(get(sidecar)? == "beside true true 0", "{}", get(sidecar)?);
        ensure!(get("{.status.qosClass}")? == "Burstable");
        let text = squeezed(&kubectl.ok(&["describe", "pod", "story"])?);
        contains(
            &text,
            &["Last State: Terminated\nReason: Error\nMessage: the first try\n", "Exit Code: 3\n"],
        )?;
        contains(&kubectl.ok(&["logs", "story", "-c", "app"])?, &["beside\nhooked\n"])?;
        contains(&squeezed(&kubectl.ok(&["get", "pod", "story"])?), &["story 2/2 Running 1"])?;
    }
    let patch = r#"{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"96Mi"}}}]}}"#;
    new.ok(&["patch", "pod", "story", "--subresource", "resize", "-p", patch])?;
    let limit = "jsonpath={.status.containerStatuses[0].resources.limits.memory}";
    until(fleet, new, &["get", "pod", "story", "-o", limit], "96Mi")?;
    let text = squeezed(&new.ok(&["get", "pod", "story"])?);
    contains(&text, &["story 2/2 Running 1"])
}

/// `kubectl top`, with figures of the node itself.
fn usage(fleet: &Fleet, kubectls: &[&Kubectl]) -> anyhow::Result<()> {
    for kubectl in kubectls {
        let text = squeezed(&until(fleet, kubectl, &["top", "pod", "--containers"], "beside")?);
        contains(&text, &["story app ", "story beside "])?;
        let pod = squeezed(&until(fleet, kubectl, &["top", "pod", "story"], "story")?);
        let line = pod.lines().last().unwrap_or_default().to_owned();
        ensure!(line.starts_with("story ") && line.ends_with("Mi") && line.contains("m "), "{pod}");
        let node = squeezed(&until(fleet, kubectl, &["top", "node"], "%")?);
        let memory =
            node.lines().last().and_then(|line| line.split(' ').nth(3)).unwrap_or_default().to_owned();
        let mebibytes: u64 = memory.trim_end_matches("Mi").parse().with_context(|| node.clone())?;
        ensure!(mebibytes > 0, "{node}");
    }
    contains(&fleet.gannet(&["top", "pods", "-A"])?, &["NAMESPACE", "story"])?;
    contains(&fleet.gannet(&["top", "nodes"])?, &["CPU%", "Mi"])
}

/// A bad version: the device goes back to the good one, the rollout fails and says so, and can be undone.
fn taken_back(fleet: &Fleet, kubectl: &Kubectl) -> anyhow::Result<()> {
    kubectl.ok(&["apply", "-f", &file(fleet, "web.yaml", DEPLOYMENT)?])?;
    kubectl.ok(&["rollout", "status", "deployment", "web", "--timeout=90s"])?;
    kubectl.ok(&["patch", "deployment", "web", "-p", BAD])?;
    let pods = ["get", "pods", "-l", "app=web"];
    until(fleet, kubectl, &pods, "RolledBack")?;
    let failed = kubectl.fails(&["rollout", "status", "deployment", "web", "--timeout=90s"])?;
    contains(&failed, &["exceeded its progress deadline"])?;
    let why = "jsonpath={.status.conditions[?(@.type==\"Progressing\")].message}";
    let why = kubectl.ok(&["get", "deployment", "web", "-o", why])?;
    contains(&why, &["was rolled back: pod \"web-", "on node \"", "the wheel came off"])?;
    // What runs is the good version, and it is ready; but it does not count.
    let found = until(fleet, kubectl, &pods, "1/1")?;
    contains(&squeezed(&found), &["1/1 RolledBack"])?;
    contains(&kubectl.ok(&["logs", "-l", "app=web"])?, &["it runs"])?;
    contains(&squeezed(&kubectl.ok(&["get", "deployment", "web"])?), &["web 0/1 0 0"])?;
    contains(
        &kubectl.ok(&["describe", "pod", "-l", "app=web"])?,
        &["gannet.dev/RolledBack", "the device gave up"],
    )?;
    contains(&kubectl.ok(&["get", "events"])?, &["RolledBack"])?;
    kubectl.ok(&["rollout", "undo", "deployment", "web"])?;
    kubectl.ok(&["rollout", "status", "deployment", "web", "--timeout=90s"])?;
    contains(&squeezed(&until(fleet, kubectl, &pods, "Running")?), &["1/1 Running 0"])
}

/// A pod that the node ends is shown as it ended, and another one takes its place.
fn evicted(fleet: &Fleet, kubectl: &Kubectl) -> anyhow::Result<()> {
    kubectl.ok(&["apply", "-f", &file(fleet, "greedy.yaml", GREEDY)?])?;
    let pods = ["get", "pods", "-l", "app=greedy"];
    let list = until(fleet, kubectl, &pods, "Evicted")?;
    let line = list.lines().find(|line| line.contains("Evicted")).unwrap_or_default();
    let pod = line.split_whitespace().next().context("a name")?;
    contains(
        &squeezed(&kubectl.ok(&["describe", "pod", pod])?),
        &[
            "Status: Failed\nReason: Evicted\n",
            "Message: Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\"",
            "DisruptionTarget True",
        ],
    )?;
    until(fleet, kubectl, &["get", "events"], "Evicted")?;
    wait_until("another pod", PATIENCE, || match kubectl.ok(&[&pods[..], &["-o", "name"]].concat()) {
        Ok(text) if text.lines().count() > 1 => Ok(()),
        other => Err(format!("{other:?}")),
    })
}
