//! The whole network of a node, in a network namespace of the test's own. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gannet_agent_net::{Attachment, LocalPod, NetConfig, PodNetwork};
use gannet_protocols_model::{Network, PodUid, Protocol};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::json;

const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 43, 0, 10), 80);
const NODE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 42, 7, 1), 80);

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs this in the pod's network namespace.
fn inside<T: Send>(pod: &Attachment, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(std::fs::File::open(&pod.netns).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// A server in the pod that answers with a name, for as long as the test runs.
fn serve(pod: &Attachment, name: &'static str) {
    let listener = inside(pod, || TcpListener::bind("0.0.0.0:8080").unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(name.as_bytes());
        }
    });
}

fn ask(address: (Ipv4Addr, u16)) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(address), Duration::from_secs(3))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn document(pods: &[&PodUid]) -> Network {
    let backends: Vec<_> = pods.iter().map(|uid| json!({"pod": uid, "ports": [8080]})).collect();
    serde_json::from_value(json!({
        "pod_cidr": "10.42.7.0/24", "service_cidr": "10.43.0.0/16", "domain": "cluster.local",
        "services": [{"namespace": "default", "name": "web", "kind": "LoadBalancer", "cluster_ip": SERVICE.0,
            "ports": [{"protocol": "TCP", "port": 80, "node_port": 30080}], "backends": backends}],
    }))
    .unwrap()
}

fn local(pods: &[(&PodUid, &Attachment, bool)]) -> BTreeMap<PodUid, LocalPod> {
    let pod = |(uid, at, ready): &(&PodUid, &Attachment, bool)| {
        ((*uid).clone(), LocalPod { ip: at.ip, ready: *ready, host_ports: Vec::new() })
    };
    pods.iter().map(pod).collect()
}

fn config(run_dir: &Path) -> NetConfig {
    let resolv_conf = run_dir.join("resolv.conf");
    NetConfig { run_dir: run_dir.to_owned(), bridge: "gannet0".into(), resolv_conf }
}

/// Asks the node's DNS server for an address, from inside a pod, with a message made by hand (RFC 1035, 4.1).
fn resolve(pod: &Attachment, server: Ipv4Addr, name: &str) -> Vec<u8> {
    let mut question = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    inside(pod, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.send_to(&question, (server, 53)).unwrap();
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).unwrap();
        reply[length - 4..length].to_vec()
    })
}

#[test]
fn pods_services_names_and_nothing_left() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        output("ip", &["link", "set", "lo", "up"]);
        let (a, b): (PodUid, PodUid) = ("pod-a".parse().unwrap(), "pod-b".parse().unwrap());
        let network = PodNetwork::open(config(folder.path())).await.unwrap();
        assert!(network.attach(&a, &BTreeSet::new(), None).await.is_err(), "no range is known yet");
        network.configure("10.42.7.0/24").await.unwrap();
        let pod_a = network.attach(&a, &BTreeSet::new(), None).await.unwrap();
        let pod_b = network.attach(&b, &BTreeSet::new(), None).await.unwrap();
        assert_eq!(
            network.attach(&a, &BTreeSet::new(), None).await.unwrap(),
            pod_a,
            "attaching again changes nothing"
        );
        // Pods know their gateway by its hardware address; it must not change as pods come and go.
        assert!(output("ip", &["-o", "link", "show", "gannet0"]).contains("0a:58:0a:2a:07:01"));
        serve(&pod_a, "a");
        serve(&pod_b, "b");

        // Both ready: the service answers from each in turn, at its own address and at the node's.
        let document = document(&[&a, &b]);
        network.apply(&document, &local(&[(&a, &pod_a, true), (&b, &pod_b, true)])).await.unwrap();
        for address in [SERVICE, NODE, (NODE.0, 30080)] {
            let answers: BTreeSet<String> = (0..2).map(|_| ask(address).unwrap()).collect();
            assert_eq!(answers, BTreeSet::from(["a".to_owned(), "b".to_owned()]), "{address:?}");
        }
        // From a pod too, where one of the answers is its own (hairpin).
        let answers: BTreeSet<String> = (0..2).map(|_| inside(&pod_a, || ask(SERVICE).unwrap())).collect();
        assert_eq!(answers.len(), 2);

        // One not ready: only the other answers. None ready: a refusal at once.
        network.apply(&document, &local(&[(&a, &pod_a, false), (&b, &pod_b, true)])).await.unwrap();
        assert!((0..4).all(|_| ask(SERVICE).unwrap() == "b"));
        network.apply(&document, &local(&[])).await.unwrap();
        assert_eq!(ask(SERVICE).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);

        // The DNS server serves on this runtime's thread, so a pod asks from another one.
        let server = network.dns_address().await.unwrap();
        let at = pod_a.clone();
        let ask_dns =
            tokio::task::spawn_blocking(move || resolve(&at, server, "web.default.svc.cluster.local"));
        assert_eq!(ask_dns.await.unwrap(), SERVICE.0.octets());

        // An agent that starts anew finds the pods where they were, and their traffic was never cut.
        drop(network);
        let network = PodNetwork::open(config(folder.path())).await.unwrap();
        assert_eq!(
            network.attached().await,
            BTreeMap::from([(a.clone(), pod_a.clone()), (b.clone(), pod_b.clone())])
        );
        network.apply(&document, &local(&[(&a, &pod_a, true)])).await.unwrap();
        assert_eq!(ask(SERVICE).unwrap(), "a");
        network.detach(&b).await.unwrap();
        network.detach(&b).await.unwrap();
        assert!(!pod_b.netns.exists());

        // A pod that gets the address of one that has just gone is reached at once, whatever ARP caches say.
        let c: PodUid = "pod-c".parse().unwrap();
        let pod_c = network.attach(&c, &BTreeSet::new(), None).await.unwrap();
        assert_eq!(pod_c.ip, pod_b.ip);
        serve(&pod_c, "c");
        assert_eq!(ask((pod_c.ip, 8080)).unwrap(), "c");

        network.shutdown().await.unwrap();
        assert_eq!(output("nft", &["list", "tables"]), "");
        let links = output("ip", &["-o", "link"]);
        for ours in ["gannet0", "veth", "gn"] {
            assert!(
                !links.lines().any(|l| l.split(": ").nth(1).is_some_and(|n| n.starts_with(ours))),
                "{links}"
            );
        }
        assert_eq!(output("ip", &["route"]), "");
        assert!(
            !std::fs::read_to_string("/proc/self/mounts").unwrap().contains(folder.path().to_str().unwrap())
        );
    });
}

/// A runtime in a network of its own, on this thread.
fn in_own_network(work: impl AsyncFnOnce(&Path)) {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        output("ip", &["link", "set", "lo", "up"]);
        work(folder.path()).await;
    });
}

fn ports(ports: &[(Protocol, u16)]) -> BTreeSet<(Protocol, u16)> {
    ports.iter().copied().collect()
}

#[test]
fn ports_of_the_node_have_one_owner() {
    in_own_network(async |folder| {
        let network = PodNetwork::open(config(folder)).await.unwrap();
        network.configure("10.42.7.0/24").await.unwrap();
        let (a, b): (PodUid, PodUid) = ("pod-a".parse().unwrap(), "pod-b".parse().unwrap());
        let pod_a = network.attach(&a, &ports(&[(Protocol::Tcp, 8080)]), None).await.unwrap();
        let refused = async |network: &PodNetwork, wanted, expect: &str| {
            let error = network.attach(&b, &ports(&[wanted]), None).await.unwrap_err().to_string();
            assert_eq!(error, expect);
        };
        refused(&network, (Protocol::Tcp, 8080), "cannot open hostport 8080/tcp: it leads to pod pod-a")
            .await;
        let program = TcpListener::bind("0.0.0.0:9090").unwrap();
        let taken = "cannot open hostport 9090/tcp: listen tcp :9090: bind: address already in use";
        refused(&network, (Protocol::Tcp, 9090), taken).await;
        // Also by an agent that starts anew.
        drop(network);
        let network = PodNetwork::open(config(folder)).await.unwrap();
        network.configure("10.42.7.0/24").await.unwrap();
        refused(&network, (Protocol::Tcp, 8080), "cannot open hostport 8080/tcp: it leads to pod pod-a")
            .await;

        // A service does not take a port from a program either, and gets it once that is gone.
        serve(&pod_a, "a");
        let mut document = document(&[&a]);
        document.services[0].ports[0].node_port = Some(9090);
        let local = local(&[(&a, &pod_a, true)]);
        assert!(!network.apply(&document, &local).await.unwrap());
        assert_eq!(ask(NODE).unwrap(), "a");
        assert!(!output("nft", &["list", "table", "ip", "gannet"]).contains("9090"));
        drop(program);
        assert!(network.apply(&document, &local).await.unwrap());
        assert_eq!(ask((NODE.0, 9090)).unwrap(), "a");

        network.detach(&a).await.unwrap();
        network.attach(&b, &ports(&[(Protocol::Tcp, 8080), (Protocol::Udp, 9090)]), None).await.unwrap();
        network.shutdown().await.unwrap();
    });
}

#[test]
fn addresses_and_the_name_servers_port_may_be_taken() {
    in_own_network(async |folder| {
        output("ip", &["link", "add", "other0", "type", "bridge"]);
        output("ip", &["addr", "add", "10.42.7.77/16", "dev", "other0"]);
        let network = PodNetwork::open(config(folder)).await.unwrap();
        let error = network.configure("10.42.7.0/24").await.unwrap_err().to_string();
        assert_eq!(error, "pod range 10.42.7.0/24 is in use: interface other0 has address 10.42.7.77");
        output("ip", &["link", "del", "other0"]);

        // A name server of the node that listens everywhere: pods ask ours all the same.
        let udp = UdpSocket::bind("0.0.0.0:53").unwrap();
        let tcp = TcpListener::bind("0.0.0.0:53").unwrap();
        network.configure("10.42.7.0/24").await.unwrap();
        let a: PodUid = "pod-a".parse().unwrap();
        let pod_a = network.attach(&a, &BTreeSet::new(), None).await.unwrap();
        network.apply(&document(&[&a]), &local(&[(&a, &pod_a, true)])).await.unwrap();
        let server = network.dns_address().await.unwrap();
        let ask_dns =
            tokio::task::spawn_blocking(move || resolve(&pod_a, server, "web.default.svc.cluster.local"));
        assert_eq!(ask_dns.await.unwrap(), SERVICE.0.octets());
        drop((udp, tcp));
        network.shutdown().await.unwrap();
    });
}
