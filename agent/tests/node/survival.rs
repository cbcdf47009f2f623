//! The agent dies at every point at which it does something that lasts, and is started again: what should run then runs
//! once, and of what should not nothing is left.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gannet_agent_shim::fault;
use gannet_protocols_model::Network;
use serde_json::json;

use crate::fixture::{Node, can_run, processes, until};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Points that a pod's life does not come by; other tests go there.
fn is_elsewhere(point: &str) -> bool {
    ["resize", "update", "device"].iter().any(|word| point.contains(word))
}

/// A pod's life, with one point at which to die.
struct Life {
    node: Node,
    fault: PathBuf,
}

impl Life {
    /// A node whose image is here, in a network of its own.
    fn new() -> Self {
        let mut node = Node::networked(&Network {
            pod_cidr: "10.79.0.0/24".into(),
            service_cidr: "10.80.0.0/16".into(),
            domain: "cluster.local".into(),
            ..Network::default()
        });
        let fault = node.data().join("fault");
        node.env.push((fault::FILE.to_owned(), fault.display().to_string()));
        Self { node, fault }
    }

    fn taken(&self) -> bool {
        !self.fault.exists()
    }

    /// Works towards the wanted state with the agent dying on the way, where it comes by that point, until `done`.
    fn reach<T>(&mut self, what: &str, done: impl Fn(&Node) -> Option<T>) -> T {
        if self.node.pid().is_none() {
            self.node.start(&[]);
        }
        let begun = Instant::now();
        loop {
            // The fault was taken, or the zygote or a shim died instead.
            if self.node.has_ended() {
                assert!(self.taken(), "{what}: the agent ended by itself\n{}", self.node.log());
                self.node.start(&[]);
            }
            if let Some(found) = done(&self.node) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: not in time\n{}", self.node.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A pod comes, ends once by itself, and goes. True where the point was met.
    fn live(&mut self, number: usize, point: &str) -> bool {
        fs::write(&self.fault, point).unwrap();
        let name = format!("p{number}");
        let marker = format!("sleep 3{number:03}{}", std::process::id());
        let pod = self.node.pod(&name, &format!("exec {marker}"), |m| {
            m["host_network"] = json!(false);
            m["termination_grace_seconds"] = json!(1);
            m["volumes"] =
                json!([{"name": "data", "source": {"emptyDir": {"memory": true, "size_limit": 65_536}}}]);
            m["containers"][0]["mounts"] = json!([{"volume": "data", "path": "/data"}]);
        });
        let uid = self.node.uid(&name);
        self.node.want(vec![pod.clone()]);
        let runs = |node: &Node| {
            let status = node.status(&name)?;
            let container = &status["containers"][0];
            let running = container["state"].get("running").is_some() && processes(&marker).len() == 1;
            running.then(|| container["restart_count"].as_u64()).flatten()
        };
        let restarts = self.reach(&format!("{point}: runs"), runs);
        assert!(restarts <= 1, "{point}: {restarts} restarts");
        let pid = processes(&marker);
        assert_eq!(pid.len(), 1, "{point}: runs once");
        self.end_agent();

        // An agent that starts again finds it as it is.
        let again = self.reach(&format!("{point}: found"), runs);
        assert_eq!((processes(&marker), again), (pid.clone(), restarts), "{point}: the same process");
        // It ends, as all containers may.
        crate::fixture::send(pid[0], "KILL");
        let after = self.reach(&format!("{point}: runs again"), |node| runs(node).filter(|n| *n > restarts));
        assert_eq!(after, restarts + 1, "{point}: one end is one restart");
        self.end_agent();

        self.node.want(vec![]);
        let folder = self.node.data().join("pods").join(&uid);
        // Without an agent nobody knows of the pod either: its folder tells.
        self.reach(&format!("{point}: gone"), |_| (!folder.exists()).then_some(()));
        self.check_nothing_left(point, &uid, &marker);
        self.end_agent();
        let met = self.taken();
        let _ = fs::remove_file(&self.fault);
        met
    }

    fn end_agent(&mut self) {
        if !self.node.has_ended() && self.node.pid().is_some() {
            self.node.kill();
        }
    }

    fn check_nothing_left(&self, point: &str, uid: &str, marker: &str) {
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        until(&format!("{point}: nothing is left"), || {
            let shims = processes(&format!("shim {uid}"));
            let mounted = mounts().lines().any(|line| line.contains(uid));
            (shims.is_empty() && processes(marker).is_empty() && !mounted).then_some(())
        });
        let roots = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|e| e.path());
        let group =
            roots.chain(["/sys/fs/cgroup".into()]).map(|r| r.join("gannet").join(uid)).find(|g| g.exists());
        assert_eq!(group, None, "{point}");
        assert!(!self.node.run_dir().join("pods").join(uid).exists(), "{point}: its state in memory");
        let links = self.node.inside("ip").args(["-o", "link"]).output().unwrap();
        let links = String::from_utf8_lossy(&links.stdout).into_owned();
        assert!(links.lines().count() <= 2, "{point}: the bridge and lo alone are left: {links}");
    }
}

/// A part of the points, so that parts run beside each other.
fn check(part: usize, of: usize) {
    if !can_run() || !cfg!(debug_assertions) {
        return;
    }
    let mut life = Life::new();
    let mut unmet = Vec::new();
    let points = fault::POINTS.iter().filter(|point| !is_elsewhere(point));
    for (number, point) in points.enumerate().filter(|(number, _)| number % of == part) {
        let begun = Instant::now();
        if !life.live(number, point) {
            unmet.push(*point);
        }
        eprintln!("{point}: {:?}", begun.elapsed());
        let log = life.node.log();
        assert!(
            !log.contains("set aside") && !log.contains("do not parse"),
            "{point}: the ledger is whole\n{log}"
        );
    }
    assert!(unmet.is_empty(), "a pod's life does not come by {unmet:?}\n{}", life.node.log());
}

#[test]
fn dies_at_every_point_first_part() {
    check(0, 2);
}

#[test]
fn dies_at_every_point_second_part() {
    check(1, 2);
}
