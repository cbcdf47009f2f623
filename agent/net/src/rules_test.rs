use serde_json::json;

use super::*;

fn network(kind: &str, backends: serde_json::Value, affinity: Option<u32>) -> Network {
    serde_json::from_value(json!({
        "pod_cidr": "10.42.0.0/24", "service_cidr": "10.43.0.0/16", "domain": "cluster.local",
        "services": [{"namespace": "default", "name": "web", "kind": kind, "cluster_ip": "10.43.0.10", "affinity_seconds": affinity,
            "ports": [{"protocol": "TCP", "port": 80, "node_port": 30080}], "backends": backends}],
        "routes": [{"node": "n2", "address": "192.0.2.2", "pod_cidr": "10.42.1.0/24"}],
    }))
    .unwrap()
}

fn check(network: &Network, ready: &[u8], expect: &[&str], absent: &[&str]) {
    let local = (2..5u8)
        .map(|n| {
            let pod = LocalPod {
                ip: Ipv4Addr::new(10, 42, 0, n),
                ready: ready.contains(&n),
                host_ports: Vec::new(),
            };
            (format!("pod-{n}").parse().unwrap(), pod)
        })
        .collect();
    let place = Place {
        bridge: "gannet0",
        pods: "10.42.0.0/24".parse().unwrap(),
        services: "10.43.0.0/16".parse().unwrap(),
        dns: None,
        taken: BTreeSet::new(),
    };
    let text = ruleset(&place, network, &local);
    for part in expect {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    for part in absent {
        assert!(!text.contains(part), "{part}\nis in\n{text}");
    }
}

#[test]
fn services() {
    let three = json!([{"pod": "pod-2", "ports": [8080]}, {"pod": "pod-3", "ports": [8080]}, {"pod": "far", "remote": "10.42.1.9", "ports": [81]}]);
    let cluster = "ip daddr 10.43.0.10 tcp dport 80 goto svc-0-0";
    let node = "tcp dport 30080 goto svc-0-0";
    let balancer = "fib daddr type local ip daddr != 127.0.0.0/8 tcp dport 80 goto svc-0-0";
    check(
        &network("LoadBalancer", three.clone(), None),
        &[2, 3],
        &[
            cluster,
            node,
            balancer,
            "numgen inc mod 3 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.0.3 . 8080, 2 : 10.42.1.9 . 81 }",
        ],
        &[],
    );
    check(
        &network("NodePort", three.clone(), None),
        &[2],
        &[cluster, node, "mod 2 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.1.9 . 81 }"],
        &[balancer],
    );
    check(
        &network("ClusterIP", three.clone(), Some(60)),
        &[2, 3],
        &[cluster, "jhash ip saddr mod 3"],
        &[node, balancer],
    );
    check(&network("ClusterIP", three, None), &[], &["dnat to 10.42.1.9:81"], &["map"]);
}

#[test]
fn nobody_ready_is_a_refusal_and_not_a_hole() {
    check(
        &network("LoadBalancer", json!([{"pod": "pod-2", "ports": [8080]}]), None),
        &[],
        &["ip daddr 10.43.0.0/16 reject"],
        &["goto"],
    );
    check(&network("LoadBalancer", json!([{"pod": "pod-2", "ports": [0]}]), None), &[2], &[], &["goto"]);
}

#[test]
fn traffic_to_neighbours_keeps_its_address() {
    check(
        &network("ClusterIP", json!([]), None),
        &[],
        &["ip daddr != { 10.42.0.0/24, 10.42.1.0/24 } oifname != \"gannet0\" masquerade"],
        &[],
    );
}

#[test]
fn a_port_of_the_nodes_own_programs_stays_theirs() {
    let network =
        network("LoadBalancer", json!([{"pod": "far", "remote": "10.42.1.9", "ports": [81]}]), None);
    let mut place = Place {
        bridge: "gannet0",
        pods: "10.42.0.0/24".parse().unwrap(),
        services: "10.43.0.0/16".parse().unwrap(),
        dns: Some("10.42.0.1:5353".parse().unwrap()),
        taken: BTreeSet::from([(Protocol::Tcp, 80), (Protocol::Udp, 30080)]),
    };
    let text = ruleset(&place, &network, &BTreeMap::new());
    assert!(text.contains("ip daddr 10.43.0.10 tcp dport 80 goto"), "{text}");
    assert!(
        text.contains("tcp dport 30080 goto") && !text.contains("127.0.0.0/8 tcp dport 80 goto"),
        "{text}"
    );
    assert!(
        text.contains("ip daddr 10.42.0.1 meta l4proto { tcp, udp } th dport 53 dnat to 10.42.0.1:5353"),
        "{text}"
    );
    let refused: Vec<_> = refused(&network, &place.taken).into_iter().collect();
    assert_eq!(refused, [("default/web".to_owned(), (Protocol::Tcp, 80))]);
    place.dns = None;
    assert!(!ruleset(&place, &network, &BTreeMap::new()).contains("dport 53"));
}
