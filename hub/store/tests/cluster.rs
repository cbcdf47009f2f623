//! Three hubs over loopback with mutual TLS: commits, a leader that goes, a follower that comes back, a hub that lost its
//! database, and a stranger at the door.

#![allow(clippy::unwrap_used, reason = "a test: failing is its job")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gannet_hub_pki::{Authority, ClientAuth, Identity, client_config, peer_identity, server_config};
use gannet_hub_store::{
    CommitError, Config, Expect, Key, Network, Op, Outcome, PeerTls, Range, Revision, Start, Store, Timing,
    Transaction,
};
use gannet_protocols_model::Timestamp;
use tempfile::TempDir;

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap())
}

fn tls(authority: &Authority, identity: &Identity) -> PeerTls {
    PeerTls {
        server: server_config(identity, authority.ca_pem(), ClientAuth::Required).unwrap(),
        client: client_config(authority.ca_pem(), Some(identity)).unwrap(),
        admit: Arc::new(|certificate| peer_identity(certificate).is_ok_and(|peer| peer.is_hub())),
    }
}

struct Fleet {
    dir: TempDir,
    authority: Authority,
}

impl Fleet {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(dir.path(), now()).unwrap();
        Self { dir, authority }
    }

    fn folder(&self, id: u64) -> std::path::PathBuf {
        self.dir.path().join(id.to_string())
    }

    async fn open(&self, id: u64, listen: SocketAddr) -> Store {
        let identity = self.authority.issue_server(&["127.0.0.1".into()], now()).unwrap();
        let config = Config {
            node_id: id,
            start: if id == 1 { Start::Bootstrap } else { Start::Join },
            network: Some(Network {
                listen,
                advertise: format!("127.0.0.1:{}", listen.port()),
                tls: tls(&self.authority, &identity),
            }),
            snapshot_every: 50,
            timing: Timing {
                heartbeat: Duration::from_millis(100),
                election_min: Duration::from_millis(500),
                election_max: Duration::from_millis(1000),
            },
            ..Config::single(self.folder(id))
        };
        Store::open(config).await.unwrap()
    }

    /// Three voters; the first leads.
    async fn three(&self) -> Vec<Store> {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut hubs = vec![self.open(1, any).await];
        // So much that a new hub gets a snapshot first.
        for n in 0..120 {
            put(&hubs[0], &format!("before-{n}")).await;
        }
        for id in [2, 3] {
            let hub = self.open(id, any).await;
            hubs[0].add_learner(id, hub.raft_address().unwrap().to_string()).await.unwrap();
            hubs.push(hub);
        }
        hubs[0].change_membership(BTreeSet::from([1, 2, 3])).await.unwrap();
        hubs
    }
}

fn transaction(name: &str) -> Transaction {
    Op::Put { key: Key::new("pods", "a", name), value: name.into(), expect: Expect::Any }.into()
}

async fn put(hub: &Store, name: &str) -> Revision {
    let outcome = tokio::time::timeout(Duration::from_secs(20), hub.commit(transaction(name))).await;
    match outcome.expect("no majority").unwrap() {
        Outcome::Committed { revision, .. } => revision,
        conflict => panic!("{conflict:?}"),
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn leader<'a>(hubs: &[&'a Store]) -> &'a Store {
    until("a leader", || hubs.iter().any(|hub| hub.is_leader())).await;
    hubs.iter().find(|hub| hub.is_leader()).unwrap()
}

async fn same(hubs: &[&Store], revision: Revision) {
    until("the same revision", || hubs.iter().all(|hub| hub.revision() == revision)).await;
    let expected = hubs[0].list(&Range::of("pods"));
    for hub in hubs {
        assert_eq!(hub.list(&Range::of("pods")), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_goes_and_comes_back() {
    let fleet = Fleet::new();
    let hubs = fleet.three().await;
    let revision = put(&hubs[0], "with three").await;
    same(&[&hubs[0], &hubs[1], &hubs[2]], revision).await;

    // A follower does not commit, and says who does.
    match hubs[1].commit(transaction("nowhere")).await {
        Err(CommitError::NotLeader { leader, address }) => {
            assert_eq!(leader, Some(1));
            assert_eq!(address, Some(hubs[0].raft_address().unwrap().to_string()));
        }
        other => panic!("{other:?}"),
    }
    // A watch on a follower sees what the leader commits.
    let mut watch = hubs[2].watch(Some("pods"), None, revision).unwrap();
    let revision = put(&hubs[0], "seen afar").await;
    assert_eq!(watch.next().await.unwrap().revision, revision);

    let [first, second, third] = <[Store; 3]>::try_from(hubs).unwrap();
    let address = first.raft_address().unwrap();
    first.shutdown().await;
    let next = leader(&[&second, &third]).await;
    let mut revision = revision;
    for n in 0..100 {
        revision = put(next, &format!("with two {n}")).await;
    }
    same(&[&second, &third], revision).await;

    let first = fleet.open(1, address).await;
    same(&[&first, &second, &third], revision).await;
    assert!(!first.is_leader());
    for hub in [first, second, third] {
        hub.shutdown().await;
    }
}

fn break_database(folder: &Path) {
    let db = folder.join("sled/db");
    let len = usize::try_from(std::fs::metadata(&db).unwrap().len()).unwrap();
    std::fs::write(db, vec![0x5a; len]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_lost_its_database_catches_up() {
    let fleet = Fleet::new();
    let hubs = fleet.three().await;
    let applied = |hub: &Store| hub.status().applied;
    let third = &hubs[2];
    until("a snapshot of the third", || third.status().snapshot.is_some()).await;
    let mut revision = put(&hubs[0], "after the snapshot").await;
    until("the third", || applied(third) == applied(&hubs[0])).await;
    let address = third.raft_address().unwrap();
    third.shutdown().await;
    break_database(&fleet.folder(3));

    // Without the leader's word it neither stands nor votes: with one of two others gone there is no majority.
    let second_address = hubs[1].raft_address().unwrap();
    hubs[0].shutdown().await;
    hubs[1].shutdown().await;
    let third = fleet.open(3, address).await;
    let recovery = third.recovery().expect("nothing noticed");
    assert!(recovery.restored.is_some() && recovery.moved_to.is_some(), "{recovery:?}");
    assert!(third.status().catching_up);
    let second = fleet.open(2, second_address).await;
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(3) {
        assert!(
            !second.is_leader() && !third.is_leader(),
            "a leader by the vote of a hub that has lost entries"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(third.status().catching_up);

    // With the first there is a majority of those who remember.
    let first = fleet.open(1, hubs[0].raft_address().unwrap()).await;
    let leading = leader(&[&first, &second]).await;
    revision = revision.max(put(leading, "together again").await);
    same(&[&first, &second, &third], revision).await;
    until("the third's vote", || !third.status().catching_up).await;
    for hub in [first, second, third] {
        hub.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_hubs_get_in() {
    let fleet = Fleet::new();
    let hub = fleet.open(1, "127.0.0.1:0".parse().unwrap()).await;
    let address = hub.raft_address().unwrap();
    let abroad = tempfile::tempdir().unwrap();
    let foreign = Authority::open_or_create(abroad.path(), now()).unwrap();
    let check = async |identity: Option<Identity>, expected: bool| {
        let client = client_config(fleet.authority.ca_pem(), identity.as_ref()).unwrap();
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(client);
        let exchange = async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), socket).await?;
            // A vote for a term that is long over: answered, and without effect.
            let head =
                br#"{"vote":{"leader_id":{"term":0,"node_id":9},"committed":false},"last_log_id":null}"#;
            let head_len = u32::try_from(head.len()).unwrap();
            let mut frame = Vec::from((head_len + 5).to_be_bytes());
            frame.push(2);
            frame.extend(head_len.to_be_bytes());
            frame.extend(head);
            stream.write_all(&frame).await?;
            stream.read_u32().await
        };
        let answered = tokio::time::timeout(Duration::from_secs(10), exchange).await.unwrap();
        assert_eq!(answered.is_ok(), expected, "{answered:?}");
    };
    let names = ["127.0.0.1".into()];
    check(Some(fleet.authority.issue_server(&names, now()).unwrap()), true).await;
    check(Some(fleet.authority.issue_client("system:node:edge-1", &["system:nodes"], now()).unwrap()), false)
        .await;
    check(Some(fleet.authority.issue_client("admin", &["system:masters"], now()).unwrap()), false).await;
    check(Some(foreign.issue_server(&names, now()).unwrap()), false).await;
    check(None, false).await;
    assert!(hub.is_leader());
    hub.shutdown().await;
}
