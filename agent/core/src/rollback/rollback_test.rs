use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model::{Digest, Manifest, PodStatus, PodUid};
use proptest::prelude::*;

use super::{RollbackMemory, Sight};
use crate::desired::DesiredWorld;
use crate::fake::{Node, manifest, uid};
use crate::{Action, observed_statuses};

/// A node with a memory, in short words: manifests are versions, `bad` ones crash, `missing` ones have no image.
struct Device {
    node: Node,
    named: DesiredWorld,
    memory: RollbackMemory,
    manifests: BTreeMap<Digest, Arc<Manifest>>,
}

const DEADLINE: u32 = 60;

fn version(image: &str) -> Manifest {
    let mut manifest = manifest("Always", &["main"]);
    manifest.containers[0].image = image.parse().unwrap();
    manifest
}

impl Device {
    fn new() -> Self {
        let (named, memory) = (DesiredWorld::default(), RollbackMemory::default());
        Self { node: Node::new(), named, memory, manifests: BTreeMap::new() }
    }

    /// The next document: pods of one owner, each with its image, and `!` behind those that are to stop.
    fn document(&mut self, pods: &[(&str, &str)]) {
        let mut scratch = Node::new();
        for (pod, image) in pods {
            scratch.want(pod, version(image.trim_end_matches('!')));
            scratch.change(pod, |p| {
                p.entry.owner = Some("default/Deployment/web".into());
                p.entry.progress_deadline_seconds = Some(DEADLINE);
                p.entry.stop_within_seconds = image.ends_with('!').then_some(1);
            });
        }
        self.named = scratch.desired;
        self.named.generation.0 += 1;
        for pod in self.named.pods.values() {
            self.manifests.insert(pod.entry.manifest, pod.manifest.clone().unwrap());
        }
        self.turn();
    }

    fn effective(&self) -> DesiredWorld {
        self.memory.effective(&self.named, &self.node.observed, |d| self.manifests.get(d).cloned())
    }

    fn statuses(&self) -> BTreeMap<PodUid, PodStatus> {
        observed_statuses(&self.node.desired, &self.node.observed, self.node.now)
    }

    /// As the agent's loop: what is to be done, and what is learned from it. Containers of `bad` images crash at once.
    fn turn(&mut self) {
        for _ in 0..3 {
            self.node.desired = self.effective();
            self.node.observed.admit(&self.node.desired, self.node.now);
            self.node.settle();
            self.crash_bad();
            let statuses = self.statuses();
            let (named, effective, observed, now) =
                (&self.named, &self.node.desired, &self.node.observed, self.node.now);
            let sight = Sight { named, effective, observed, statuses: &statuses, now };
            let pulls = sight.pulls().0;
            let (exhausted, _) = self.memory.observe(sight);
            pulls.iter().for_each(|pull| self.node.carry_out(pull));
            for one in exhausted {
                let log: String = (0..20).map(|n| format!("line {n}\n")).collect();
                self.node.events.extend(self.memory.give_up(&one, &log, now));
            }
        }
        let again = self
            .memory
            .effective(&self.node.desired, &self.node.observed, |d| self.manifests.get(d).cloned());
        assert_eq!(again, self.node.desired, "applied again it changes nothing");
    }

    fn crash_bad(&mut self) {
        let pods: Vec<PodUid> = self.node.observed.pods.keys().cloned().collect();
        for pod in pods {
            let image = self.image(pod.as_str());
            let live = self.node.observed.pods[&pod].live("main");
            if image.starts_with("bad") && live.is_some_and(crate::Live::is_running) {
                self.node.crash(pod.as_str(), "main", 1);
            }
        }
    }

    /// What the pod's container was last started from, without its digest.
    fn image(&self, pod: &str) -> String {
        let image = self.node.observed.pods[&uid(pod)].history("main").and_then(|h| h.image.as_ref());
        image.map_or(String::new(), |i| i.name.to_string().split('@').next().unwrap_or_default().to_owned())
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.node.pass(5);
            self.turn();
        }
    }

    fn runs(&self) -> Vec<String> {
        let running = self.node.running();
        running.iter().map(|r| self.image(r.split('/').next().unwrap())).collect()
    }

    fn failed(&self, pod: &str) -> Option<(String, String)> {
        let status = self.statuses().remove(&uid(pod))?;
        status.rolled_back.map(|r| (r.reason, r.message))
    }

    /// What a reboot leaves.
    fn reboot(&mut self) {
        let bytes = serde_json::to_vec(&self.memory.durable()).unwrap();
        self.memory = serde_json::from_slice(&bytes).unwrap();
        self.memory.rebooted();
        self.node.power_cut();
        self.turn();
    }
}

/// A device that has run `web:1` long enough to know that it is healthy.
fn healthy() -> Device {
    let mut device = Device::new();
    device.document(&[("a", "web:1")]);
    device.pass(15);
    device
}

#[test]
fn a_manifest_that_crashes_is_given_up_and_stays_so_across_reboots() {
    for pod in ["a", "b"] {
        // The same pod edited, and a new pod in place of the old one.
        let mut device = healthy();
        device.document(&[(pod, "bad:2")]);
        device.pass(30);
        assert_eq!(device.failed(pod), None, "{pod}: within its deadline");
        device.pass(35);
        assert_eq!(device.runs(), ["web:1"], "{pod}");
        let (reason, message) = device.failed(pod).unwrap();
        assert_eq!(reason, "CrashLoopBackOff");
        assert!(message.contains("within 60s: container main") && message.contains("line 19"), "{message}");
        assert!(!message.contains("line 9\n") && message.contains("line 10\n"), "{message}");
        let told = device.node.events.iter().filter(|e| e.reason == "RolledBack").count();
        assert_eq!(told, 1, "{:?}", device.node.events);
        let status = device.statuses()[&uid(pod)].clone();
        assert_eq!(status.manifest, Digest::of(&version("web:1").to_bytes()));
        device.reboot();
        device.pass(600);
        assert_eq!(device.runs(), ["web:1"], "{pod}: not tried again");
        let starts =
            |d: &Device| d.node.done.iter().filter(|a| matches!(a, Action::StartContainer { .. })).count();
        let before = starts(&device);
        device.pass(100);
        assert_eq!(starts(&device), before, "{pod}: it runs undisturbed");

        device.document(&[(pod, "web:3")]);
        device.pass(15);
        assert_eq!((device.runs(), device.failed(pod)), (vec!["web:3".to_owned()], None));
        // Named again after another one it is tried again, and the way back leads to the newest that was healthy.
        device.document(&[(pod, "bad:2")]);
        device.pass(15);
        assert_eq!(device.failed(pod), None);
        device.pass(60);
        assert_eq!(device.runs(), ["web:3"]);
    }
}

#[test]
fn without_a_healthy_manifest_nothing_is_rolled_back() {
    let mut device = Device::new();
    device.document(&[("a", "bad:1")]);
    device.pass(900);
    assert_eq!(device.failed("a"), None);
    assert_eq!(device.image("a"), "bad:1");
    device.document(&[("a", "web:2")]);
    device.pass(15);
    assert_eq!(device.memory.targets().len(), 1);
}

#[test]
fn old_pods_beside_the_new_one_are_left_alone() {
    let mut device = healthy();
    device.document(&[("a", "web:1"), ("b", "bad:2")]);
    let old = device.node.observed.pods[&uid("a")].clone();
    device.pass(80);
    assert_eq!(device.runs(), ["web:1", "web:1"]);
    assert!(device.failed("b").is_some() && device.failed("a").is_none());
    assert_eq!(device.node.observed.pods[&uid("a")].containers, old.containers);

    // Two that are healthy do not take turns; the newer is the one to go back to once the older is gone.
    let mut device = healthy();
    device.document(&[("a", "web:1"), ("b", "web:2")]);
    device.pass(300);
    device.document(&[("a", "web:1!"), ("b", "web:2")]);
    let targets: Vec<Digest> = device.memory.targets().into_keys().collect();
    assert_eq!(targets, [Digest::of(&version("web:2").to_bytes())]);
}

#[test]
fn an_image_that_does_not_come_is_waited_for_with_the_old_one() {
    let mut device = healthy();
    device.document(&[("a", "missing:2")]);
    assert_eq!(device.runs(), ["web:1"], "the old one runs on");
    let told = device.node.events.iter().any(|e| e.message.starts_with("Failed to pull image \"missing:2\""));
    assert!(told, "{:?}", device.node.events);
    device.reboot();
    assert_eq!(device.runs(), ["web:1"], "also after a reboot");
    device.document(&[("b", "missing:2")]);
    device.pass(30);
    assert_eq!(device.runs(), Vec::<String>::new());
    device.pass(60);
    assert_eq!(device.runs(), ["web:1"]);
    let (reason, message) = device.failed("b").unwrap();
    assert_eq!(
        (reason.as_str(), message.contains("manifest unknown")),
        ("ImagePullBackOff", true),
        "{message}"
    );
    let pulls = device.node.done.len();
    device.pass(600);
    let pulled = device.node.done[pulls..].iter().filter(|a| matches!(a, Action::PullImage { .. })).count();
    assert!((1..10).contains(&pulled), "the pull goes on, with its back-off: {pulled}");

    // Then it comes.
    let image = "missing:2".parse().unwrap();
    device.node.fact(crate::Fact::PullEnded { image, result: Ok(Digest::of(b"2")), note: String::new() });
    device.turn();
    assert_eq!((device.runs(), device.failed("b")), (vec!["missing:2".to_owned()], None));
    device.pass(15);
    assert!(device.memory.targets().contains_key(&Digest::of(&version("missing:2").to_bytes())));
}

#[test]
fn a_tag_that_moved_does_not_come_back_with_the_old_manifest() {
    let mut device = healthy();
    let first = device.node.observed.images.local[&"web:1".parse().unwrap()];
    // The same name, another environment: only the manifest differs. And the name has come to stand for something else.
    device.document(&[("b", "bad:1")]);
    device.node.observed.images.local.insert("web:1".parse().unwrap(), Digest::of(b"moved"));
    device.pass(80);
    let started = device.node.done.iter().rev().find_map(|action| match action {
        Action::PullImage { image, .. } => Some(image.digest()),
        _ => None,
    });
    assert_eq!(started, Some(Some(first)), "it is looked for by its digest");
}

#[test]
fn a_machine_that_goes_down_with_a_manifest_gets_out_of_it() {
    let mut device = healthy();
    device.document(&[("a", "bad:2")]);
    let mut reboots = 0;
    while device.failed("a").is_none() {
        device.reboot();
        reboots += 1;
        assert!(reboots < 20, "{:?}", device.memory);
    }
    device.pass(10);
    assert_eq!(device.runs(), ["web:1"]);
}

#[test]
fn times_that_nobody_had_do_not_count() {
    let mut device = healthy();
    device.document(&[("a", "bad:2")]);
    device.node.pass(48 * 3600);
    device.turn();
    assert!(device.failed("a").is_some(), "a look counts for a minute at the most, which is this deadline");
    let mut device = healthy();
    device.document(&[]);
    device.pass(3600);
    device.document(&[("b", "bad:2")]);
    device.pass(80);
    assert_eq!(device.runs(), ["web:1"], "between the old pods and the new ones there may be none");
    device.document(&[]);
    device.node.pass(25 * 3600);
    device.turn();
    assert!(device.memory.targets().is_empty(), "but not for ever");
}

proptest! {
    /// Whatever the operator does: applied again nothing changes (checked in every turn), nothing that failed runs, and
    /// what is remembered is bounded by what is named.
    #[test]
    fn no_failed_manifest_ever_runs(steps in proptest::collection::vec((0..6_usize, 0..4_usize, 0..20_u64), 1..12)) {
        let images = ["web:1", "web:2", "bad:1", "bad:2", "missing:1", "web:3"];
        let mut device = healthy();
        for (image, shape, wait) in steps {
            let image = images[image];
            match shape {
                0 => device.document(&[("a", image)]),
                1 => device.document(&[("b", image)]),
                2 => device.document(&[("a", "web:1"), ("b", image)]),
                _ => device.reboot(),
            }
            device.pass(wait * 5);
            for pod in device.node.desired.pods.values() {
                prop_assert!(!device.memory.has_failed(&pod.entry), "{:?}", pod.entry);
            }
            let owner = device.memory.owners.values().next().unwrap();
            prop_assert!(owner.healthy.len() <= 3 && owner.failed.len() <= 2 && owner.trials.len() <= 2);
            prop_assert!(owner.healthy.iter().all(|h| !owner.failed.contains_key(&h.manifest)));
        }
    }
}

#[test]
fn flash_is_written_seldom() {
    let check = |device: &mut Device, most: usize| {
        let (mut last, mut writes) = (device.memory.durable(), 0);
        for _ in 0..200 {
            device.pass(5);
            let now = device.memory.durable();
            writes += usize::from(now != last);
            last = now;
        }
        assert!(writes <= most, "{writes} writes: {last:?}");
    };
    // Nothing to go back to, however long it crashes; an image that never comes; one that is given up.
    let mut device = Device::new();
    device.document(&[("a", "bad:1")]);
    check(&mut device, 0);
    for image in ["missing:2", "bad:2"] {
        let mut device = healthy();
        device.document(&[("b", image)]);
        check(&mut device, 14);
        check(&mut device, 0);
    }
}
