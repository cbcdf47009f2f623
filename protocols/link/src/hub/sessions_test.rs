use gannet_protocols_model::state_hash;
use gannet_protocols_wire::encode;

use super::*;
use crate::sample::{at, node, pod, pods};

const SILENCE: u64 = 45_000;

struct Hub {
    sessions: HubSessions,
    now: u64,
}

impl Hub {
    fn new() -> Self {
        let mut sessions = HubSessions::new(HubConfig::new(7));
        assert_eq!(sessions.on_link_up(at(0)).len(), 1);
        Self { sessions, now: 0 }
    }

    fn say(&mut self, outputs: Vec<HubOutput>) -> String {
        let word = |output: HubOutput| match output {
            HubOutput::Publish(message) => match &message.topic {
                Topic::Command(..) => message.body::<CommandRequest>().unwrap().name,
                topic => topic_kind(topic).to_owned(),
            },
            HubOutput::Fact(Fact::NodeUp { session, .. }) => format!("up{session}"),
            HubOutput::Fact(Fact::NodeDown { session, why, .. }) => format!("{why:?}{session}"),
            HubOutput::Fact(Fact::Report { report, .. }) => format!("report{}", report.sequence),
            HubOutput::Fact(Fact::Generation { generation, .. }) => format!("gen{generation}"),
            HubOutput::Fact(Fact::Inventory { pods, .. }) => format!("all{}", pods.len()),
            HubOutput::Fact(Fact::Command { id, state, .. }) => format!("{id} {:?}", state.phase),
        };
        outputs.into_iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn hear(&mut self, topic: Topic, payload: Vec<u8>) -> String {
        let known: Arc<[u8]> = Arc::from(b"blob".as_slice());
        let blob = |_: &NodeName, digest: &Digest| (*digest == Digest::of(b"blob")).then_some(known);
        let outputs = self.sessions.on_message(&Message { topic, payload }, at(self.now), blob);
        self.say(outputs)
    }

    fn state(&mut self, alive: bool, session: u64) -> String {
        self.hear(Topic::State(node()), encode(&NodeState { alive, session: Session(session) }))
    }

    fn report(&mut self, session: u64, sequence: u64, whole: bool, list: &[(&str, &str)]) -> String {
        let report = Report {
            session: Session(session),
            sequence,
            generation: Generation(1),
            whole,
            node: None,
            pods: list.iter().map(|(uid, message)| pod(uid, message)).collect(),
            removed: vec![],
            events: vec![],
        };
        self.hear(Topic::Report(node()), encode(&report))
    }

    fn beat(&mut self, list: &[(&str, &str)]) -> String {
        self.hear(Topic::Beat(node()), encode(&Beat(0, Generation(1), state_hash(&pods(list)))))
    }

    fn tick(&mut self, millis: u64) -> String {
        self.now += millis;
        let outputs = self.sessions.on_tick(at(self.now));
        self.say(outputs)
    }
}

#[test]
fn births_and_deaths() {
    let mut hub = Hub::new();
    assert_eq!(hub.state(true, 3), "up3");
    assert_eq!(hub.state(true, 3), "", "the same birth again");
    assert_eq!(hub.state(false, 2), "", "a late death of an older session");
    assert!(hub.sessions.is_connected(&node()));
    assert_eq!(hub.state(false, 3), "Died3 sync");
    assert_eq!(hub.state(false, 3), "");
    assert_eq!(hub.state(true, 2), "", "a late birth of an older session");
    assert_eq!(
        hub.report(3, 1, true, &[]),
        "report1 gen1 all0",
        "what was under way does not raise the dead"
    );
    assert!(!hub.sessions.is_connected(&node()));
    assert_eq!(hub.state(true, 3), "up3", "a node that took over its own connection answers with its birth");
    assert_eq!(hub.state(true, 4), "up4", "a new start");
    assert_eq!(hub.sessions.counters().outdated, 2);
}

#[test]
fn silence() {
    let mut hub = Hub::new();
    hub.state(true, 1);
    hub.report(1, 1, true, &[]);
    assert_eq!(hub.tick(SILENCE - 1), "");
    hub.beat(&[]);
    assert_eq!(hub.tick(SILENCE - 1), "");
    assert_eq!(hub.tick(1), "Silent1");
    assert_eq!(hub.tick(SILENCE), "");
    assert_eq!(hub.beat(&[]), "up1");
    hub.sessions.on_link_down();
    assert_eq!(hub.tick(10 * SILENCE), "", "a hub without a link judges nobody");
    let _ = hub.sessions.on_link_up(at(hub.now));
    assert_eq!(hub.tick(SILENCE - 1), "");
    assert_eq!(hub.tick(SILENCE), "Silent1");
    assert_eq!(hub.sessions.next_wake(), None);
}

#[test]
fn reports_apply_once_and_in_order() {
    let mut hub = Hub::new();
    hub.state(true, 1);
    assert_eq!(hub.report(1, 1, true, &[("a", "1"), ("b", "1")]), "report1 gen1 all2");
    assert_eq!(hub.report(1, 3, false, &[("a", "3")]), "report3");
    assert_eq!(hub.report(1, 2, false, &[("a", "2")]), "", "older");
    assert_eq!(hub.report(1, 3, false, &[("a", "3")]), "", "again");
    assert_eq!(hub.sessions.pods(&node()), Some(&pods(&[("a", "3"), ("b", "1")])));
    assert_eq!(hub.beat(&[("a", "3"), ("b", "1")]), "sync", "a report is missing");
    assert_eq!(hub.beat(&[("a", "3")]), "", "not at every beat");
    hub.now += 10_000;
    assert_eq!(hub.beat(&[("a", "3")]), "sync");
    assert_eq!(hub.report(1, 4, true, &[("a", "3")]), "report4 all1");
    assert_eq!(hub.beat(&[("a", "3")]), "");
    assert_eq!(hub.report(2, 1, true, &[]), "up2 report1 all0", "a birth that was lost");
    assert_eq!(hub.report(1, 9, true, &[]), "");
}

#[test]
fn all_pods_are_told_where_no_report_is_missing() {
    let mut hub = Hub::new();
    hub.state(true, 1);
    assert_eq!(hub.report(1, 1, false, &[("a", "1")]), "report1 gen1", "no whole report yet");
    assert_eq!(hub.beat(&[("a", "1")]), "sync", "though the hash fits");
    assert_eq!(hub.report(1, 2, true, &[("a", "1")]), "report2 all1");
    assert_eq!(hub.report(1, 3, false, &[("a", "2")]), "report3", "the same pods");
    assert_eq!(hub.report(1, 4, false, &[("b", "1")]), "report4 all2");
    hub.now += 10_000;
    let other = |list| encode(&Beat(0, Generation(2), state_hash(&pods(list))));
    assert_eq!(
        hub.hear(Topic::Beat(node()), other(&[("b", "1")])),
        "sync gen2",
        "unsure while the hash differs"
    );
    assert_eq!(
        hub.hear(Topic::Beat(node()), other(&[("a", "2"), ("b", "1")])),
        "all2",
        "for the new generation"
    );
    assert_eq!(hub.beat(&[("a", "2"), ("b", "1")]), "gen1 all2");
    assert_eq!(hub.report(1, 6, false, &[("c", "1")]), "report6", "the fifth is missing");
    assert_eq!(hub.report(1, 7, true, &[("c", "1")]), "report7 all1");
}

#[test]
fn a_beat_of_a_stranger_asks_who_it_is() {
    let mut hub = Hub::new();
    assert_eq!(hub.beat(&[]), "sync gen1");
    assert!(!hub.sessions.is_connected(&node()));
    assert_eq!(hub.report(5, 1, true, &[]), "up5 report1 all0");
}

#[test]
fn a_document_is_sent_until_the_node_follows_it() {
    let mut hub = Hub::new();
    let doc = |text: &str| -> Arc<[u8]> { text.as_bytes().into() };
    let set = |hub: &mut Hub, generation, text| {
        let outputs = hub.sessions.set_desired(&node(), Generation(generation), doc(text), at(hub.now));
        hub.say(outputs)
    };
    assert_eq!(set(&mut hub, 2, "two"), "desired");
    assert_eq!(set(&mut hub, 2, "two"), "");
    assert_eq!(set(&mut hub, 1, "one"), "", "older");
    hub.state(true, 1);
    assert_eq!(hub.report(1, 1, true, &[]), "report1 gen1 all0");
    hub.now += 60_000;
    assert_eq!(hub.beat(&[]), "desired", "lost, so sent again");
    hub.now += 30_000;
    assert_eq!(hub.beat(&[]), "");
    hub.now += 30_000;
    assert_eq!(hub.beat(&[]), "desired");
    hub.now += 60_000;
    assert_eq!(hub.beat(&[]), "", "ever more rarely");
    hub.sessions.on_link_down();
    assert_eq!(set(&mut hub, 3, "three"), "");
    let outputs = hub.sessions.on_link_up(at(hub.now));
    assert_eq!(hub.say(outputs), "hub-state desired");
}

#[test]
fn blobs_are_given_to_who_needs_them() {
    let mut hub = Hub::new();
    let ask = |bytes: &[u8]| encode(&Get { digest: Digest::of(bytes) });
    assert_eq!(hub.hear(Topic::Get(node()), ask(b"blob")), "blob");
    assert_eq!(hub.hear(Topic::Get(node()), ask(b"secret of another node")), "blob");
    let counters = hub.sessions.counters();
    assert_eq!((counters.blobs_sent, counters.blobs_refused), (1, 1));
}

#[test]
fn malformed_messages_are_counted_and_change_nothing() {
    let mut hub = Hub::new();
    let id = || "c".parse().unwrap();
    let wrong = [
        (Topic::State(node()), "state", b"{}".to_vec()),
        (Topic::Report(node()), "report", b"\xff".to_vec()),
        (Topic::Beat(node()), "beat", vec![b' '; MAX_BEAT_BYTES + 1]),
        (Topic::Get(node()), "get", br#"{"digest":"md5:0"}"#.to_vec()),
        (Topic::CommandState(node(), id()), "cmd-state", br#"{"phase":"lost"}"#.to_vec()),
        (Topic::Desired(node()), "desired", b"{}".to_vec()),
        (Topic::HubState, "hub-state", b"{}".to_vec()),
        (Topic::Report(node()), "report", vec![b' '; gannet_protocols_wire::MAX_MESSAGE_BYTES + 1]),
    ];
    for (topic, kind, payload) in wrong {
        let before = hub.sessions.counters().malformed.get(kind).copied().unwrap_or(0);
        assert_eq!(hub.hear(topic, payload), "");
        assert_eq!(hub.sessions.counters().malformed[kind], before + 1, "{kind}");
    }
    assert_eq!(hub.sessions.connected(), 0);
}
