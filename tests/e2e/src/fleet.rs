//! `gannet up` in a network namespace of its own, and what people do with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use gannet_tests_support::{Kubectl, Running, Sandbox, binary, kubectl_binaries, run, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A running `gannet up`.
#[derive(Debug)]
pub struct Fleet {
    // Dropped in this order: the processes first.
    running: Option<Running>,
    sandbox: Sandbox,
    dir: TempDir,
}

impl Fleet {
    /// A sandbox in which nothing runs yet.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Ok(Self { running: None, sandbox: Sandbox::new(name)?, dir: tempfile::tempdir()? })
    }

    /// Starts `gannet up` with these arguments and waits until it says how it is stopped.
    pub fn up(&mut self, args: &[&str]) -> anyhow::Result<String> {
        let mut command = self.sandbox.command(binary("gannet")?);
        command.arg("up").arg("--data-dir").arg(self.data()).args(args);
        let mut running = Running::start(&mut command)?;
        let started = wait_until("gannet up", PATIENCE, || {
            running.still_runs()?;
            let text = running.text();
            if text.contains("Ctrl-C stops everything.") { Ok(text) } else { Err(text) }
        });
        self.running = Some(running);
        started.map_err(|e| anyhow::anyhow!("{e:#}\n{}", self.logs()))
    }

    /// Presses Ctrl-C and waits for the end.
    pub fn interrupt(&mut self) -> anyhow::Result<String> {
        let mut running = self.running.take().context("nothing runs")?;
        running.signal("INT")?;
        let status = running.wait(PATIENCE)?;
        ensure!(status.success(), "{status}: {}\n{}", running.text(), self.logs());
        Ok(running.text())
    }

    /// Kills `gannet up` itself, and nothing else.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut running = self.running.take().context("nothing runs")?;
        running.signal("KILL")?;
        running.wait(PATIENCE).map(drop)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Every kubectl, inside the sandbox.
    pub fn kubectls(&self) -> anyhow::Result<Vec<Kubectl>> {
        let kubectl = |(n, program): (usize, PathBuf)| {
            let home = self.dir.path().join(format!("home{n}"));
            std::fs::create_dir_all(&home)?;
            let netns = Some(self.sandbox.netns());
            Ok(Kubectl { program, kubeconfig: self.data().join("kubeconfig"), netns, home })
        };
        kubectl_binaries()?.into_iter().enumerate().map(kubectl).collect()
    }

    /// `gannet` itself as an operator's command line.
    pub fn gannet(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut command = self.sandbox.command(binary("gannet")?);
        let (status, text) = run(command.arg("--kubeconfig").arg(self.data().join("kubeconfig")).args(args))?;
        ensure!(status.success(), "gannet {}: {status}\n{text}", args.join(" "));
        Ok(text)
    }

    /// What a URL answers.
    pub fn curl(&self, url: &str) -> Result<String, String> {
        let mut curl = self.sandbox.command("curl");
        let result = run(curl.args(["--silent", "--show-error", "--fail", "--max-time", "5", url]));
        let (status, text) = result.map_err(|e| e.to_string())?;
        if status.success() { Ok(text) } else { Err(text) }
    }

    /// Asks a URL until every one of these pods has answered.
    pub fn answered_by_all(&self, url: &str, pods: &BTreeSet<String>) -> anyhow::Result<()> {
        let mut seen = BTreeSet::new();
        wait_until("answers of all pods", PATIENCE, || {
            let text = self.curl(url)?;
            seen.extend(pods.iter().filter(|pod| text.contains(pod.as_str())).cloned());
            if seen == *pods { Ok(()) } else { Err(format!("{seen:?} of {pods:?}; last: {text}")) }
        })
    }

    /// The names of pods with this label that are ready and not being deleted.
    pub fn ready_pods(&self, kubectl: &Kubectl, selector: &str) -> Result<BTreeSet<String>, String> {
        let list = kubectl.json(&["get", "pods", "-l", selector]).map_err(|e| e.to_string())?;
        let ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            pod["metadata"]["deletionTimestamp"].is_null()
                && conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(list["items"].as_array().into_iter().flatten().filter(ready).map(name).collect())
    }

    /// The pid of the agent.
    pub fn agent_pid(&self) -> Result<u32, String> {
        let pattern = format!("gannet-agent run.*{}", self.data().display());
        let (_, text) = run(Command::new("pgrep").args(["-f", &pattern])).map_err(|e| e.to_string())?;
        let pid = text.lines().find_map(|line| line.trim().parse().ok());
        pid.ok_or_else(|| format!("no agent runs: {text}"))
    }

    /// The pids of the example's servers that run in this sandbox.
    pub fn web_app_pids(&self) -> anyhow::Result<BTreeSet<u32>> {
        let mut pids = BTreeSet::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            let is_app =
                std::fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == Path::new("/web-app"));
            let cgroup = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            if is_app && self.pod_uids().iter().any(|uid| cgroup.contains(uid.as_str())) {
                pids.insert(pid);
            }
        }
        Ok(pids)
    }

    fn pod_uids(&self) -> Vec<String> {
        let nodes = std::fs::read_dir(self.data().join("nodes")).into_iter().flatten().flatten();
        let pods = nodes.flat_map(|node| {
            std::fs::read_dir(node.path().join("data/pods")).into_iter().flatten().flatten()
        });
        pods.filter_map(|pod| pod.file_name().into_string().ok()).collect()
    }

    /// What is left of the fleet on the machine: processes, mounts, cgroups, interfaces, tables.
    pub fn leftovers(&self) -> anyhow::Result<Vec<String>> {
        let data = self.dir.path().display().to_string();
        let mut left = self.sandbox.leftovers()?;
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        left.extend(mounts.lines().filter(|l| l.contains(&data)).map(|l| format!("mount {l}")));
        let (_, processes) = run(Command::new("pgrep").args(["-a", "-f", &data]))?;
        left.extend(processes.lines().filter(|l| l.contains("gannet")).map(|l| format!("process {l}")));
        for uid in self.pod_uids() {
            let find = ["/sys/fs/cgroup", "-type", "d", "-name", &uid];
            let (_, found) = run(Command::new("find").args(find))?;
            left.extend(found.lines().map(|l| format!("cgroup {l}")));
        }
        Ok(left)
    }

    /// What agents and hub wrote, for a failure's message.
    pub fn logs(&self) -> String {
        let nodes = std::fs::read_dir(self.data().join("nodes")).into_iter().flatten().flatten();
        let logs = nodes.filter_map(|node| std::fs::read_to_string(node.path().join("agent.log")).ok());
        let tail = |log: String| {
            let lines: Vec<&str> = log.lines().rev().take(60).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        logs.map(tail).collect::<Vec<_>>().join("\n--- agent ---\n")
    }
}
