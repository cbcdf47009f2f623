//! All of it at one moment, with what the processors did since the moment before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gannet_protocols_model::{ByteSize, ContainerUsage, NodeUsage, PodUid, PodUsage, Timestamp, Usage};

use crate::folder::{FOLDER_ENTRIES, folder_usage};
use crate::hierarchies::Hierarchies;
use crate::machine::{busy_ticks, disk_space, memory, pids};
use crate::process::{nanos, process_usage, shims};

/// A pod to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The pod.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its containers that run.
    pub containers: Vec<ContainerTarget>,
    /// The folders of its volumes on the disk.
    pub volumes: Vec<PathBuf>,
}

/// A container to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerTarget {
    /// Its name in the pod.
    pub name: String,
    /// Its cgroup, below the root of each hierarchy.
    pub cgroup: String,
    /// Its folders on the disk: the writable layer and the logs.
    pub folders: Vec<PathBuf>,
}

/// Processor time so far of each that has some, at one moment.
#[derive(Debug, Clone, Default)]
struct Cpu {
    node: u64,
    processes: BTreeMap<u32, u64>,
    /// By cgroup: the name of a run, so that a restarted container begins anew.
    cgroups: BTreeMap<String, u64>,
}

/// Takes samples, and keeps the last one: rates need two.
#[derive(Debug)]
pub struct Sampler {
    hierarchies: Hierarchies,
    data: PathBuf,
    last: Option<(Duration, Cpu)>,
}

impl Sampler {
    /// A sampler; `data` is the folder whose file system is the node's disk.
    pub fn new(hierarchies: Hierarchies, data: PathBuf) -> Self {
        Self { hierarchies, data, last: None }
    }

    /// The moment of the last sample, on the clock that the caller reads.
    pub fn last(&self) -> Option<Duration> {
        self.last.as_ref().map(|(at, _)| *at)
    }

    /// Notes the processor times, for a later [`Self::sample`]. `now` is on a clock that never runs backwards.
    pub fn note(&mut self, targets: &[Target], now: Duration) {
        self.last = Some((now, self.cpu(targets)));
    }

    /// What all use, the processors since the last sample or note; without one, nothing is said of processors.
    pub fn sample(&mut self, targets: &[Target], now: Duration, at: Timestamp) -> NodeUsage {
        let cpu = self.cpu(targets);
        let before = self.last.take();
        let window = before.as_ref().map_or(Duration::ZERO, |(then, _)| now.saturating_sub(*then));
        let before = before.map(|(_, cpu)| cpu);
        let rate = |now: Option<u64>, then: Option<u64>| match (now, then) {
            (Some(now), Some(then)) => a_second(now.saturating_sub(then), window),
            _ => 0,
        };
        let pod = |target: &Target| {
            let container = |of: &ContainerTarget| {
                let then = before.as_ref().and_then(|c| c.cgroups.get(&of.cgroup).copied());
                // A container that is younger than the window used all that it did within it.
                let then = then.or(before.as_ref().map(|_| 0));
                let usage = self.hierarchies.usage(&of.cgroup)?;
                Some(ContainerUsage {
                    name: of.name.clone(),
                    usage: Usage {
                        cpu_nanos: rate(Some(usage.cpu_nanos), then),
                        memory: usage.memory,
                        disk: folders(&of.folders),
                        pids: usage.pids,
                    },
                })
            };
            PodUsage {
                uid: target.uid.clone(),
                namespace: target.namespace.clone(),
                name: target.name.clone(),
                containers: target.containers.iter().filter_map(container).collect(),
                volumes: folders(&target.volumes),
            }
        };
        let pods: Vec<PodUsage> = targets.iter().map(pod).collect();
        let node = Usage {
            cpu_nanos: rate(Some(cpu.node), before.as_ref().map(|c| c.node)),
            memory: memory().map(|m| m.used()).unwrap_or_default(),
            disk: disk_space(&self.data).map(|d| d.used()).unwrap_or_default(),
            pids: pids().map(|p| p.used).unwrap_or(0),
        };
        let agent = self.agent(&cpu, before.as_ref(), window);
        self.last = Some((now, cpu));
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        NodeUsage { at, window_ms, node, agent, pods }
    }

    fn cpu(&self, targets: &[Target]) -> Cpu {
        let own = std::process::id();
        let is_pod = |uid: &str| targets.iter().any(|t| t.uid.as_str() == uid);
        let processes = shims(own, is_pod).into_iter().chain([own]);
        let cgroups = targets.iter().flat_map(|t| &t.containers).map(|c| &c.cgroup);
        Cpu {
            node: busy_ticks().map(nanos).unwrap_or(0),
            processes: processes.filter_map(|pid| Some((pid, process_usage(pid)?.cpu_nanos))).collect(),
            cgroups: cgroups
                .filter_map(|cgroup| Some((cgroup.clone(), self.hierarchies.usage(cgroup)?.cpu_nanos)))
                .collect(),
        }
    }

    fn agent(&self, cpu: &Cpu, before: Option<&Cpu>, window: Duration) -> Usage {
        let mut usage = Usage::default();
        for (pid, nanos) in &cpu.processes {
            let Some(process) = process_usage(*pid) else { continue };
            let then = before.map_or(*nanos, |c| c.processes.get(pid).copied().unwrap_or(0));
            usage.cpu_nanos += a_second(nanos.saturating_sub(then), window);
            usage.memory.0 += process.memory.0;
            usage.pids += process.threads;
        }
        usage
    }
}

/// Nanoseconds of processor a second of the window: thousand-millionths of a core.
fn a_second(nanos: u64, window: Duration) -> u64 {
    let window = window.as_nanos();
    if window == 0 {
        return 0;
    }
    u64::try_from(u128::from(nanos) * 1_000_000_000 / window).unwrap_or(u64::MAX)
}

fn folders(paths: &[PathBuf]) -> ByteSize {
    let bytes = paths.iter().filter_map(|path| folder_usage(path, FOLDER_ENTRIES).ok()).map(|u| u.bytes.0);
    ByteSize(bytes.sum())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rates() {
        assert_eq!(a_second(500_000_000, Duration::from_secs(1)), 500_000_000);
        assert_eq!(a_second(500_000_000, Duration::from_millis(500)), 1_000_000_000);
        assert_eq!(a_second(1, Duration::ZERO), 0);
    }

    #[test]
    fn two_samples() {
        let dir = tempfile::tempdir().unwrap();
        let (cpu, folder) = (dir.path().join("cpuacct/g/u/c"), dir.path().join("logs"));
        fs::create_dir_all(&cpu).unwrap();
        fs::create_dir_all(&folder).unwrap();
        let used = |nanos: u64| fs::write(cpu.join("cpuacct.usage"), nanos.to_string()).unwrap();
        fs::write(folder.join("0.log"), vec![b'x'; 50_000]).unwrap();
        let mountinfo = format!("1 2 0:1 / {}/cpuacct rw - cgroup cgroup rw,cpuacct\n", dir.path().display());
        let mut sampler = Sampler::new(Hierarchies::parse(&mountinfo), dir.path().to_owned());
        let container = |name: &str| ContainerTarget {
            name: name.into(),
            cgroup: format!("/g/u/{name}"),
            folders: vec![folder.clone()],
        };
        let targets = [Target {
            uid: "u".parse().unwrap(),
            namespace: "default".into(),
            name: "web".into(),
            containers: vec![container("c"), container("gone")],
            volumes: vec![folder.clone(), dir.path().join("nothing")],
        }];
        let at = Timestamp::from_millis(7);
        used(1_000);
        assert_eq!(sampler.last(), None);
        let first = sampler.sample(&targets, Duration::from_secs(10), at);
        assert_eq!((first.window_ms, first.pods[0].containers[0].usage.cpu_nanos), (0, 0));
        used(1_000 + 500_000_000);
        let second = sampler.sample(&targets, Duration::from_secs(12), at);
        assert_eq!((second.at, second.window_ms), (at, 2000));
        let pod = &second.pods[0];
        assert_eq!(pod.containers.len(), 1, "one that is gone is left out");
        assert_eq!(pod.containers[0].usage.cpu_nanos, 250_000_000);
        assert!(pod.containers[0].usage.disk.0 >= 50_000 && pod.volumes == pod.containers[0].usage.disk);
        assert!(second.node.memory.0 > 0 && second.node.disk.0 > 0 && second.node.pids > 0);
        assert!(second.agent.memory.0 > 0 && second.agent.pids >= 1);
        // A run that began within the window has used all of it there.
        sampler.note(&[], Duration::from_secs(13));
        let third = sampler.sample(&targets, Duration::from_secs(14), at);
        assert_eq!(third.pods[0].containers[0].usage.cpu_nanos, 500_001_000);
    }
}
