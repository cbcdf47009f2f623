use std::collections::BTreeMap;

use gannet_protocols_model::Network;
use hickory_proto::op::{MessageType, Query};
use hickory_proto::rr::Name;
use serde_json::json;

use super::*;

fn names() -> Names {
    let network: Network = serde_json::from_value(json!({"pod_cidr": "", "service_cidr": "", "domain": "cluster.local", "services": [
        {"namespace": "default", "name": "web", "kind": "ClusterIP", "cluster_ip": "10.43.0.10", "ports": [{"name": "http", "protocol": "TCP", "port": 80}], "backends": []}]}))
    .unwrap();
    Names::new(&network, &BTreeMap::new())
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

async fn check(name: &str, kind: RecordType, tcp: bool, expect: &str) {
    let folder = tempfile::tempdir().unwrap();
    let resolv = folder.path().join("resolv.conf");
    std::fs::write(&resolv, "").unwrap();
    let (dns, address) = Dns::start("127.0.0.1:0".parse().unwrap(), resolv).await.unwrap();
    dns.set(names());
    let question = question(name, kind);
    let reply = if tcp { ask_tcp(address, &question).await } else { ask_udp(address, &question).await };
    let reply = Message::from_vec(&reply.unwrap()).unwrap();
    let answers: Vec<String> = reply.answers.iter().map(|r| r.data.to_string()).collect();
    assert_eq!(format!("{} {}", reply.metadata.response_code, answers.join(",")), expect, "{name}");
    assert_eq!(reply.metadata.id, 7);
}

#[tokio::test]
async fn answers() {
    check("web.default.svc.cluster.local.", RecordType::A, false, "No Error 10.43.0.10").await;
    check("web.default.svc.cluster.local.", RecordType::A, true, "No Error 10.43.0.10").await;
    check("web.default.svc.cluster.local.", RecordType::AAAA, false, "No Error ").await;
    check(
        "_http._tcp.web.default.svc.cluster.local.",
        RecordType::SRV,
        false,
        "No Error 0 100 80 web.default.svc.cluster.local.",
    )
    .await;
    check("10.0.43.10.in-addr.arpa.", RecordType::PTR, false, "No Error web.default.svc.cluster.local.")
        .await;
    check("web.default.svc.cluster.local.", RecordType::SRV, false, "No Error ").await;
    check("nobody.default.svc.cluster.local.", RecordType::A, false, "Non-Existent Domain ").await;
    check("example.org.", RecordType::A, false, "Server Failure ").await;
}

#[test]
fn garbage_has_no_answer() {
    for bytes in [&b""[..], b"\0", b"\0\x07\x01\0\0\x01\0\0\0\0\0\0", &[0xff; 600]] {
        assert!(local(bytes, &names()).is_none(), "{bytes:?}");
    }
}
