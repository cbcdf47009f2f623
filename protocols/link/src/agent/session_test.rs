use std::collections::BTreeMap;

use gannet_protocols_model::{Desired, Report, Session, SigningKey};
use gannet_protocols_wire::{
    BlobReply, CommandRequest, Down, HubState, LogRequest, MAX_BEAT_BYTES, Open, Up,
};

use super::*;
use crate::sample::{KEY, at, document, info, node, pods};

struct Shell {
    session: AgentSession,
    ledger: BTreeMap<Digest, Vec<u8>>,
    accepted: Vec<u64>,
    refused: Vec<String>,
    sent: Vec<Message>,
    streams: Vec<String>,
}

impl Shell {
    fn new(held: Option<Held>) -> Self {
        let key = SigningKey::from_seed(&KEY).verifying_key();
        let session = AgentSession::new(AgentConfig::new(node(), Session(3), key), held);
        Self {
            session,
            ledger: BTreeMap::new(),
            accepted: vec![],
            refused: vec![],
            sent: vec![],
            streams: vec![],
        }
    }

    fn up() -> Self {
        let mut shell = Self::new(None);
        shell.run(|s| s.observe(&BTreeMap::new(), &info(), vec![], at(0)), 0);
        shell.link(LinkEvent::Up, 0);
        shell.tick(200);
        shell.sent.clear();
        shell
    }

    fn run(&mut self, step: impl FnOnce(&mut AgentSession) -> Outputs, now: u64) {
        let mut todo: std::collections::VecDeque<_> = step(&mut self.session).into();
        while let Some(output) = todo.pop_front() {
            match output {
                AgentOutput::Publish(message) => self.sent.push(message),
                AgentOutput::LookUp { digest } => {
                    let found = self.ledger.get(&digest).map(Vec::as_slice);
                    todo.extend(self.session.on_look_up(&digest, found, at(now)));
                }
                AgentOutput::KeepBlob { digest, bytes } => {
                    self.ledger.insert(digest, bytes);
                }
                AgentOutput::Accept { desired, .. } => {
                    self.accepted.push(desired.generation.0);
                    todo.extend(self.session.on_ledger(desired.generation, at(now)));
                }
                AgentOutput::Refused { reason, .. } => self.refused.push(reason),
                AgentOutput::OpenStream { id, .. } => self.streams.push(format!("open {id}")),
                AgentOutput::StreamCredit { id, bytes } => self.streams.push(format!("credit {id} {bytes}")),
                AgentOutput::CloseStream { id } => self.streams.push(format!("close {id}")),
            }
        }
    }

    fn link(&mut self, event: LinkEvent, now: u64) {
        self.run(|s| s.on_link(event, at(now)), now);
    }

    fn tick(&mut self, now: u64) {
        self.run(|s| s.on_tick(at(now)), now);
    }

    fn message(&mut self, topic: Topic, payload: Vec<u8>, now: u64) {
        self.link(LinkEvent::Message(Message { topic, payload }), now);
    }

    fn desired(&mut self, bytes: &[u8], now: u64) {
        self.message(Topic::Desired(node()), bytes.to_vec(), now);
    }

    /// What was asked for and not yet answered.
    fn asked(&mut self) -> Vec<Digest> {
        let (gets, rest) =
            std::mem::take(&mut self.sent).into_iter().partition(|m| matches!(m.topic, Topic::Get(_)));
        self.sent = rest;
        Vec::into_iter(gets).map(|m: Message| m.body::<Get>().unwrap().digest).collect()
    }

    fn answer(&mut self, blobs: &BTreeMap<Digest, Vec<u8>>, now: u64) {
        loop {
            let asked = self.asked();
            if asked.is_empty() {
                return;
            }
            for digest in asked {
                let reply = BlobReply::data(&blobs[&digest]);
                self.message(Topic::Blob(node(), digest), gannet_protocols_wire::encode(&reply), now);
            }
        }
    }

    fn reports(&mut self) -> Vec<Report> {
        let sent = std::mem::take(&mut self.sent);
        sent.iter().filter(|m| matches!(m.topic, Topic::Report(_))).map(|m| m.body().unwrap()).collect()
    }
}

#[test]
fn a_document_is_accepted_once_all_that_it_closes_over_is_kept() {
    let mut shell = Shell::up();
    let (bytes, blobs) = document(1, 20);
    shell.desired(&bytes, 300);
    let asked = shell.asked();
    assert_eq!(asked.len(), MAX_OUTSTANDING_FOR_TEST);
    for digest in asked {
        shell.message(
            Topic::Blob(node(), digest),
            gannet_protocols_wire::encode(&BlobReply::data(&blobs[&digest])),
            300,
        );
        assert!(shell.accepted.is_empty());
    }
    shell.answer(&blobs, 300);
    assert_eq!((shell.accepted.as_slice(), &shell.ledger), (&[1][..], &blobs));
    shell.desired(&bytes, 400);
    assert_eq!((shell.accepted.len(), shell.refused.len()), (1, 0), "the same again is silently fine");
    shell.tick(600);
    assert_eq!(shell.reports()[0].generation, Generation(1));
}

const MAX_OUTSTANDING_FOR_TEST: usize = crate::MAX_OUTSTANDING;

#[test]
fn blobs_of_the_ledger_are_not_asked_for_and_broken_ones_are() {
    let mut shell = Shell::up();
    let (bytes, blobs) = document(1, 3);
    shell.ledger = blobs.clone();
    let broken = *blobs.keys().next().unwrap();
    shell.ledger.insert(broken, b"broken".to_vec());
    shell.desired(&bytes, 300);
    assert_eq!(shell.sent.len(), 1);
    shell.answer(&blobs, 300);
    assert_eq!((shell.accepted.as_slice(), &shell.ledger), (&[1][..], &blobs));
}

#[test]
fn what_the_ledger_lost_is_fetched_again() {
    let mut shell = Shell::up();
    let (bytes, blobs) = document(1, 3);
    shell.desired(&bytes, 300);
    shell.answer(&blobs, 300);
    let lost = *blobs.keys().next_back().unwrap();
    shell.ledger.remove(&lost);
    let key = SigningKey::from_seed(&KEY).verifying_key();
    let desired = Desired::open_any_generation(&bytes, &key, &node()).unwrap();
    shell.run(|s| s.on_lost(desired.clone(), bytes.clone(), at(400)), 400);
    assert_eq!(shell.asked(), [lost]);
    shell.run(|s| s.on_lost(desired.clone(), bytes.clone(), at(500)), 500);
    assert_eq!(shell.asked(), [], "it is on its way");
    let reply = gannet_protocols_wire::encode(&BlobReply::data(&blobs[&lost]));
    shell.message(Topic::Blob(node(), lost), reply, 600);
    assert_eq!((shell.accepted.as_slice(), &shell.ledger), (&[1, 1][..], &blobs));
    // What is not held any more is no matter.
    let (newer, more) = document(2, 3);
    shell.desired(&newer, 700);
    shell.answer(&more, 700);
    shell.run(|s| s.on_lost(desired, bytes, at(800)), 800);
    assert_eq!((shell.asked(), shell.accepted.len()), (vec![], 3));
}

#[test]
fn documents_that_must_not_be_followed() {
    let check = |bytes: &[u8], expect: &str| {
        let mut shell = Shell::up();
        let held = document(5, 0);
        shell.desired(&held.0, 300);
        shell.answer(&held.1, 300);
        shell.tick(600);
        shell.sent.clear();
        shell.desired(bytes, 700);
        shell.desired(bytes, 800);
        assert_eq!((shell.accepted.as_slice(), shell.refused.len()), (&[5][..], 1), "{expect}");
        assert!(shell.refused[0].contains(expect), "{} does not say {expect}", shell.refused[0]);
        shell.tick(1200);
        let reports = shell.reports();
        let condition = &reports[0].node.as_ref().unwrap().conditions[0];
        assert!(condition.holds && condition.message.contains(expect), "{condition:?}");
        assert_eq!(reports[0].events[0].reason, "DesiredRefused");
        assert_eq!(reports.len(), 1, "said once");
        let next = document(6, 0);
        shell.desired(&next.0, 1300);
        shell.answer(&next.1, 1300);
        shell.tick(1600);
        assert!(!shell.reports()[0].node.as_ref().unwrap().conditions[0].holds);
    };
    check(&document(4, 1).0, "generation 4, the ledger already has 5");
    check(&document(5, 1).0, "generation 5, the ledger already has 5");
    check(b"{", "not authentic: not a signed envelope");
    let stranger = SigningKey::from_seed(&[9; 32]).sign(b"{}").to_bytes();
    check(&stranger, "but the pinned key is");
    check(&vec![b' '; (1 << 20) + 1], "bytes, more than");
}

#[test]
fn a_manifest_that_does_not_parse_refuses_its_document() {
    let mut shell = Shell::up();
    let mut desired: Desired = Desired {
        version: 1,
        node: node(),
        generation: Generation(1),
        pods: vec![],
        network: Some(Digest::of(b"no network")),
    };
    desired.network = Some(Digest::of(b"no network"));
    let bytes = SigningKey::from_seed(&KEY).sign(&desired.to_bytes()).to_bytes();
    shell.desired(&bytes, 300);
    shell.answer(&BTreeMap::from([(Digest::of(b"no network"), b"no network".to_vec())]), 300);
    assert!(shell.accepted.is_empty() && shell.refused[0].contains("does not parse"), "{:?}", shell.refused);
}

#[test]
fn a_wrong_or_refused_blob_is_asked_for_again_and_later() {
    for reply in [
        BlobReply::data(b"something else"),
        BlobReply::Refused("unknown".into()),
        BlobReply::Data("%".into()),
    ] {
        let mut shell = Shell::up();
        let (bytes, blobs) = document(1, 0);
        shell.desired(&bytes, 300);
        let asked = shell.asked();
        shell.message(Topic::Blob(node(), asked[0]), gannet_protocols_wire::encode(&reply), 300);
        assert!(shell.asked().is_empty(), "not at once");
        let wake = shell.session.next_wake().unwrap();
        shell.tick(wake.millis() - at(0).millis());
        shell.tick(5_300);
        assert_eq!(shell.asked(), asked);
        shell.tick(10_000);
        assert!(shell.asked().is_empty());
        shell.tick(20_000);
        assert_eq!(shell.asked(), asked, "an answer that does not come is asked for again");
        shell.sent.push(Message::new(Topic::Get(node()), &Get { digest: asked[0] }));
        shell.answer(&blobs, 20_000);
        assert_eq!(shell.accepted, [1]);
    }
}

#[test]
fn a_newer_document_supersedes_one_under_way() {
    let mut shell = Shell::up();
    let (old, new) = (document(1, 2), document(2, 1));
    shell.desired(&old.0, 300);
    let asked = shell.asked();
    shell.desired(&new.0, 310);
    for digest in asked {
        let reply = gannet_protocols_wire::encode(&BlobReply::data(&old.1[&digest]));
        shell.message(Topic::Blob(node(), digest), reply, 320);
    }
    let all: BTreeMap<_, _> = old.1.into_iter().chain(new.1).collect();
    shell.answer(&all, 330);
    shell.tick(6_000);
    shell.answer(&all, 6_000);
    shell.desired(&old.0, 6_100);
    assert_eq!((shell.accepted.as_slice(), shell.refused.len()), (&[2][..], 1));
}

#[test]
fn a_ledger_that_cannot_write_leaves_the_node_as_it_was() {
    let mut shell = Shell::up();
    let (bytes, blobs) = document(1, 0);
    shell.desired(&bytes, 300);
    let digest = shell.asked()[0];
    let reply = gannet_protocols_wire::encode(&BlobReply::data(&blobs[&digest]));
    let message = Message { topic: Topic::Blob(node(), digest), payload: reply };
    let _accept = shell.session.on_link(LinkEvent::Message(message), at(310));
    shell.run(|s| s.on_ledger_failed("disk full", at(320)), 320);
    shell.tick(600);
    let reports = shell.reports();
    assert_eq!((reports[0].generation, reports[0].events[0].message.as_str()), (Generation(0), "disk full"));
    shell.desired(&bytes, 700);
    shell.answer(&blobs, 700);
    assert_eq!(shell.accepted, [1]);
}

#[test]
fn birth_then_everything_then_changes_then_beats() {
    let mut shell = Shell::new(None);
    shell.link(LinkEvent::Up, 0);
    assert_eq!(
        shell.sent.remove(0).body::<NodeState>().unwrap(),
        NodeState { alive: true, session: Session(3) }
    );
    shell.tick(5_000);
    assert!(shell.sent.is_empty(), "nothing is said of pods before the first look");
    shell.run(|s| s.observe(&pods(&[("a", "1"), ("b", "1")]), &info(), vec![], at(5_000)), 5_000);
    shell.tick(5_200);
    let first = shell.reports();
    assert!(first.len() == 1 && first[0].whole && first[0].pods.len() == 2 && first[0].node.is_some());
    for (now, message) in [(6_000, "2"), (6_050, "3"), (6_100, "4")] {
        shell.run(|s| s.observe(&pods(&[("a", message)]), &info(), vec![], at(now)), now);
    }
    assert!(shell.sent.is_empty(), "changes are gathered");
    shell.tick(6_200);
    let next = shell.reports();
    assert_eq!(next.len(), 1);
    assert!(!next[0].whole && next[0].node.is_none() && next[0].sequence == 2);
    assert_eq!(next[0].pods, [crate::sample::pod("a", "4")]);
    assert_eq!(next[0].removed, ["b".parse().unwrap()]);
    shell.tick(29_999);
    assert!(shell.sent.is_empty());
    shell.tick(30_000);
    let beat = shell.sent.remove(0);
    assert!(beat.payload.len() <= MAX_BEAT_BYTES && !beat.is_at_least_once());
    let hash = gannet_protocols_model::state_hash(&pods(&[("a", "4")]));
    assert_eq!(beat.body::<Beat>().unwrap(), Beat(0, Generation(0), hash));
    assert_eq!(shell.session.next_wake(), Some(at(60_000)));
}

#[test]
fn commands_are_done_once() {
    let command =
        |name: &str, deadline| CommandRequest { name: name.into(), args: BTreeMap::new(), deadline };
    let check = |payload: Vec<u8>, expect: &[&str]| {
        let mut shell = Shell::up();
        for expect in [expect, &expect[expect.len() - 1..]] {
            shell.message(Topic::Command(node(), "c1".parse().unwrap()), payload.clone(), 1_000);
            let said: Vec<String> = std::mem::take(&mut shell.sent)
                .iter()
                .map(|m| match m.topic {
                    Topic::CommandState(..) => String::from_utf8(m.payload.clone()).unwrap(),
                    _ => m.topic.to_string(),
                })
                .collect();
            assert_eq!(said.len(), expect.len(), "{said:?}");
            for (said, expect) in said.iter().zip(expect) {
                assert!(said.contains(expect), "{said} does not say {expect}");
            }
        }
    };
    let sync = gannet_protocols_wire::encode(&command("sync", Some(at(1_000))));
    check(sync, &["accepted", "/state", "/report", "successful"]);
    check(gannet_protocols_wire::encode(&command("reboot", None)), &["failed"]);
    check(gannet_protocols_wire::encode(&command("sync", Some(at(999)))), &["has passed"]);
    check(b"nonsense".to_vec(), &["does not parse"]);
}

#[test]
fn a_new_hub_is_told_everything() {
    let state = |alive, epoch| gannet_protocols_wire::encode(&HubState { alive, epoch });
    let mut shell = Shell::up();
    let mut whole = |payload, now: u64| {
        shell.message(Topic::HubState, payload, now);
        shell.tick(now + 2_200);
        shell.reports().iter().filter(|r| r.whole).count()
    };
    assert_eq!(whole(state(true, 1), 1_000), 1);
    assert_eq!(whole(state(true, 1), 4_000), 0);
    assert_eq!(whole(state(true, 2), 7_000), 1);
    assert_eq!(whole(state(false, 2), 10_000), 0);
    assert_eq!(whole(state(true, 2), 13_000), 1);
    assert_eq!(whole(b"[]".to_vec(), 16_000), 0);
}

#[test]
fn streams() {
    let log = LogRequest {
        pod: "p".parse().unwrap(),
        container: "c".into(),
        follow: true,
        previous: false,
        timestamps: false,
        tail: None,
        since: None,
        limit_bytes: None,
    };
    let mut shell = Shell::up();
    let mut down = |id: &str, down: &Down| {
        shell.message(
            Topic::StreamDown(node(), id.parse().unwrap()),
            gannet_protocols_wire::encode(down),
            300,
        );
        std::mem::take(&mut shell.streams).join(", ")
    };
    let open = Down::Open(Open::Logs(log));
    assert_eq!(down("s1", &open), "open s1");
    assert_eq!(down("s1", &open), "", "a repeated one");
    assert_eq!(down("s1", &Down::Credit(5)), "credit s1 5");
    assert_eq!(down("s2", &Down::Credit(5)), "");
    assert_eq!(down("s1", &Down::Close), "close s1");
    assert_eq!(down("s1", &Down::Close), "");
    for n in 0..MAX_STREAMS {
        down(&format!("t{n}"), &open);
    }
    assert_eq!(down("one-too-many", &open), "");
    let hellos = shell.sent.iter().filter(|m| m.body::<Up>() == Ok(Up::data(0, &[]))).count();
    assert_eq!(hellos, MAX_STREAMS + 1);
    assert!(matches!(shell.sent.last().unwrap().body().unwrap(), Up::Close { error: Some(_) }));
    shell.session.on_stream_ended(&"t0".parse().unwrap());
    shell.link(LinkEvent::Down { reason: "cut".into() }, 400);
    assert_eq!(shell.streams.len(), MAX_STREAMS - 1);
}

#[test]
fn what_is_not_for_this_node_is_dropped() {
    let mut shell = Shell::up();
    let other = "other".parse().unwrap();
    shell.message(Topic::Desired(other), document(1, 0).0, 300);
    shell.message(Topic::Beat(node()), vec![], 300);
    shell.message(Topic::Blob(node(), Digest::of(b"x")), b"x".to_vec(), 300);
    shell.link(LinkEvent::Malformed { topic: "x".into() }, 300);
    assert_eq!((shell.session.malformed(), shell.sent.len()), (4, 0));
}
