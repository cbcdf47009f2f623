//! Probes of every kind against real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};

use crate::fixture::{Node, can_run};

fn probe(action: Value) -> Value {
    json!({"action": action, "initial_delay_seconds": 0, "period_seconds": 1, "timeout_seconds": 5,
           "success_threshold": 1, "failure_threshold": 1})
}

/// A health service of gRPC on the host's network that answers with this status.
fn grpc_server(status: Arc<AtomicU8>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut connection) = h2::server::handshake(stream).await else { continue };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let head = http::Response::builder().header("content-type", "application/grpc");
                    let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
                    let body = vec![0, 0, 0, 0, 2, 8, status.load(Ordering::Relaxed)];
                    send.send_data(body.into(), false).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                    send.send_trailers(trailers).unwrap();
                }
            }
        });
    });
    port
}

/// A port that nobody has just now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn probes_of_every_kind() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let health = Arc::new(AtomicU8::new(1));
    let grpc = grpc_server(Arc::clone(&health));
    let port = free_port();
    let httpd = format!(
        "mkdir -p /www; echo hi > /www/index.html; exec busybox httpd -f -p 127.0.0.1:{port} -h /www"
    );
    let http =
        |path: &str| json!({"http": {"port": port, "path": path, "tls": false, "host": null, "headers": []}});
    let sleeper = "exec sleep 1000";
    let pods = vec![
        node.pod("http", &httpd, |m| m["containers"][0]["readiness"] = probe(http("/index.html"))),
        node.pod("nofile", sleeper, |m| m["containers"][0]["readiness"] = probe(http("/none"))),
        node.pod("tcp", sleeper, |m| {
            m["containers"][0]["readiness"] = probe(json!({"tcp": {"port": port, "host": "127.0.0.1"}}));
        }),
        node.pod("grpc", sleeper, |m| {
            m["containers"][0]["readiness"] = probe(json!({"grpc": {"port": grpc, "service": "my.service"}}));
        }),
        node.pod("exec", sleeper, |m| {
            m["containers"][0]["readiness"] = probe(json!({"exec": ["/bin/busybox", "true"]}));
            m["containers"][0]["startup"] = probe(json!({"exec": ["/bin/busybox", "true"]}));
        }),
    ];
    node.want(pods);
    node.start(&[]);
    for pod in ["http", "tcp", "grpc", "exec"] {
        node.wait(pod, "ready", |c| c["ready"] == true);
    }
    let nofile = node.wait_running("nofile");
    assert_eq!(nofile["ready"], false, "{nofile}");
    health.store(2, Ordering::Relaxed);
    node.wait("grpc", "unwell", |c| c["ready"] == false);
    health.store(1, Ordering::Relaxed);
    node.wait("grpc", "well again", |c| c["ready"] == true);
}
