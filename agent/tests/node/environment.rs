//! What a program finds around it: variables, names, name servers, ports of the node.

use gannet_protocols_model::{ConfigBlob, Network};
use serde_json::{Value, json};

use crate::fixture::{Node, can_run, until};

/// A node in a network of its own with these services.
fn networked(services: Value) -> Node {
    let network: Network = serde_json::from_value(json!({
        "pod_cidr": "10.79.0.0/24", "service_cidr": "10.80.0.0/16", "domain": "cluster.local", "services": services}))
    .unwrap();
    Node::networked(&network)
}

fn log_with(node: &Node, pod: &str, text: &str) -> String {
    node.wait_running(pod);
    until(text, || Some(node.logs(&[pod])).filter(|log| log.contains(text)))
}

/// Lets the pod have an address of its own.
fn own_network(manifest: &mut Value) {
    manifest["host_network"] = json!(false);
}

#[test]
fn variables_of_every_kind() {
    if !can_run() {
        return;
    }
    let port = json!([{"name": "http", "protocol": "TCP", "port": 80}]);
    let mut node = networked(json!([
        {"namespace": "default", "name": "kubernetes", "kind": "ClusterIP", "cluster_ip": "10.80.0.1", "ports": port, "backends": []},
        {"namespace": "default", "name": "my-web", "kind": "ClusterIP", "cluster_ip": "10.80.0.9", "ports": port, "backends": []},
        {"namespace": "other", "name": "far", "kind": "ClusterIP", "cluster_ip": "10.80.0.8", "ports": port, "backends": []},
    ]));
    let blob =
        ConfigBlob::new([("KEY".to_owned(), b"value".to_vec()), ("bad=key".to_owned(), b"x".to_vec())]);
    let blob = node.blob(&blob.to_bytes()).to_string();
    let field = |name: &str, field: &str| json!({"name": name, "value": {"field": field}});
    let resource = |name: &str, resource: &str, divisor: u64| json!({"name": name, "value": {"resource": {"resource": resource, "divisor_millis": divisor}}});
    let env = json!([
        {"name": "", "value": {"all": {"blob": blob, "prefix": "P_"}}},
        {"name": "KEYED", "value": {"key": {"blob": blob, "key": "KEY"}}},
        {"name": "TEXT", "value": {"text": "$(P_KEY) $(MY_WEB_SERVICE_HOST) $$(KEYED) $(NOBODY)"}},
        {"name": "MY_WEB_PORT", "value": {"text": "own"}},
        field("POD_IP", "status.podIP"), field("HOST_IPS", "status.hostIPs"), field("NODE", "spec.nodeName"),
        field("ACCOUNT", "spec.serviceAccountName"), field("LABEL", "metadata.labels['app']"), field("NO_LABEL", "metadata.labels['no']"),
        resource("CPU", "limits.cpu", 1000), resource("CPU_M", "requests.cpu", 1), resource("MEM", "limits.memory", 1_048_576_000),
    ]);
    let mut pod = node.pod("env", "env | sort; echo \"arg $1\"; exec sleep 1000", |m| {
        own_network(m);
        m["service_links"] = json!(true);
        m["containers"][0]["env"] = env.clone();
        m["containers"][0]["resources"] =
            json!({"cpu_limit": 1500, "memory_request": 4_194_304, "memory_limit": 33_554_433});
        let args = m["containers"][0]["args"].as_array_mut().unwrap();
        args.extend([json!("sh"), json!("$(KEYED) $(KUBERNETES_PORT)")]);
    });
    pod.fields.insert("metadata.labels['app']".into(), "web".into());
    pod.fields.insert("spec.serviceAccountName".into(), "robot".into());
    let mut plain = node.pod("plain", "env | sort; echo arg; exec sleep 1000", own_network);
    plain.namespace = "other".into();
    let broken = node.pod("broken", "exec sleep 1000", |m| {
        m["containers"][0]["env"] = json!([{"name": "X", "value": {"missing": "secret \"s\" not found"}}]);
    });
    node.want(vec![pod, plain, broken]);
    node.start(&[]);
    let log = log_with(&node, "env", "arg ");
    let ip = node.status("env").unwrap()["ip"].as_str().unwrap().to_owned();
    for expect in [
        "P_KEY=value",
        "KEYED=value",
        "TEXT=value 10.80.0.9 $(KEYED) $(NOBODY)",
        "MY_WEB_PORT=own",
        "MY_WEB_SERVICE_HOST=10.80.0.9",
        "MY_WEB_SERVICE_PORT_HTTP=80",
        "MY_WEB_PORT_80_TCP=tcp://10.80.0.9:80",
        "KUBERNETES_SERVICE_HOST=10.80.0.1",
        &format!("POD_IP={ip}"),
        "HOST_IPS=127.0.0.1",
        "NODE=gw-1",
        "ACCOUNT=robot",
        "LABEL=web",
        "NO_LABEL=",
        "CPU=2",
        "CPU_M=1500",
        "MEM=33",
        "HOSTNAME=env",
        "arg value tcp://10.80.0.1:80",
    ] {
        assert!(log.lines().any(|line| line == expect), "no {expect} in\n{log}");
    }
    assert!(!log.contains("FAR_") && !log.contains("bad=key"), "{log}");
    let log = log_with(&node, "plain", "arg\n");
    assert!(log.contains("KUBERNETES_PORT=") && !log.contains("FAR_"), "no links were asked for: {log}");
    let waiting =
        node.wait("broken", "refused", |c| c["state"]["waiting"]["reason"] == "CreateContainerConfigError");
    assert_eq!(waiting["state"]["waiting"]["message"], "secret \"s\" not found");
}

#[test]
fn names_and_name_servers() {
    if !can_run() {
        return;
    }
    let mut node = networked(json!([]));
    let uid = node.uid("db-0");
    let network: Network = serde_json::from_value(json!({
        "pod_cidr": "10.79.0.0/24", "service_cidr": "10.80.0.0/16", "domain": "cluster.local", "services": [
            {"namespace": "default", "name": "db", "kind": "ClusterIP", "cluster_ip": null, "ports": [{"name": "pg", "protocol": "TCP", "port": 5432}],
             "backends": [{"pod": uid, "ports": [5432], "hostname": "db-0"}]}]}))
    .unwrap();
    node.network(&network);
    let named = node.pod(
        "db-0",
        "hostname; cat /etc/hostname /etc/hosts; cat /etc/resolv.conf; echo shown
         until nslookup db-0.db.default.svc.cluster.local >/tmp.out 2>&1; do sleep 0.2; done; cat /tmp.out; echo found; exec sleep 1000",
        |m| {
            own_network(m);
            m["hostname"] = json!("db-0");
            m["subdomain"] = json!("db");
            m["hostname_as_fqdn"] = json!(true);
            m["host_aliases"] = json!([{"ip": "10.1.2.3", "hostnames": ["plc", "plc.factory"]}]);
            m["dns_config"] = json!({"searches": ["factory"], "options": [["ndots", "2"]]});
        },
    );
    let own = node.pod("own", "cat /etc/resolv.conf; echo shown; exec sleep 1000", |m| {
        own_network(m);
        m["dns_policy"] = json!("None");
        m["dns_config"] = json!({"nameservers": ["192.0.2.53"], "searches": ["factory"]});
    });
    let host = node.pod("host", "cat /etc/resolv.conf; cat /etc/hosts; echo shown; exec sleep 1000", |m| {
        m["dns_policy"] = json!("ClusterFirstWithHostNet");
        m["host_aliases"] = json!([{"ip": "10.1.2.3", "hostnames": ["plc"]}]);
    });
    let long = node.pod("long", "exec sleep 1000", |m| {
        own_network(m);
        m["hostname"] = json!("h".repeat(60));
        m["subdomain"] = json!("db");
        m["hostname_as_fqdn"] = json!(true);
    });
    node.want(vec![named, own, long]);
    node.start(&[]);
    let log = log_with(&node, "db-0", "shown\n");
    let ip = node.status("db-0").unwrap()["ip"].as_str().unwrap().to_owned();
    let whole = "db-0.db.default.svc.cluster.local";
    assert!(log.starts_with(&format!("{whole}\n{whole}\n# Kubernetes-managed hosts file.\n")), "{log}");
    for expect in [
        format!("{ip}\t{whole}\tdb-0\n\n# Entries added by HostAliases.\n10.1.2.3\tplc\tplc.factory\n"),
        "search default.svc.cluster.local svc.cluster.local cluster.local".to_owned(),
        " factory\nnameserver 10.79.0.1\noptions ndots:2\n".to_owned(),
    ] {
        assert!(log.contains(&expect), "no {expect} in\n{log}");
    }
    let log = log_with(&node, "db-0", "found\n");
    assert!(log.contains(&format!("Address 1: {ip}")) || log.contains(&format!("Address: {ip}")), "{log}");
    assert_eq!(log_with(&node, "own", "shown\n"), "search factory\nnameserver 192.0.2.53\nshown\n");
    until("the reason is told", || {
        node.log().contains("Failed to construct FQDN from Pod hostname").then_some(())
    });
    node.wait("long", "waiting", |c| c["state"]["waiting"]["reason"] == "ContainerCreating");

    // On the node's network, with the names of services, once the pod network is there.
    node.kill();
    node.want(vec![host]);
    node.start(&[]);
    let log = log_with(&node, "host", "shown\n");
    for expect in
        ["nameserver 10.79.0.1\n", "# Kubernetes-managed hosts file (host network).\n", "10.1.2.3\tplc\n"]
    {
        assert!(log.contains(expect), "no {expect} in\n{log}");
    }
}

#[test]
fn a_port_of_the_node_has_one_pod() {
    if !can_run() {
        return;
    }
    let mut node = networked(json!([]));
    let with_port = |node: &mut Node, name: &str| {
        let script = "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www";
        node.pod(name, script, |m| {
            own_network(m);
            m["containers"][0]["ports"] = json!([{"port": 8080, "protocol": "TCP", "host_port": 8181}]);
        })
    };
    let (first, second) = (with_port(&mut node, "first"), with_port(&mut node, "second"));
    let other = node.pod("other", "exec sleep 1000", own_network);
    node.want(vec![first]);
    node.start(&[]);
    node.wait_running("first");
    node.kill();
    let first = with_port(&mut node, "first");
    node.want(vec![first, second.clone(), other]);
    node.start(&[]);
    let told = format!("cannot open hostport 8181/tcp: it leads to pod {}", node.uid("first"));
    until("the reason is told", || node.log().contains(&told).then_some(()));
    node.wait("second", "waiting", |c| c["state"]["waiting"]["reason"] == "ContainerCreating");
    node.wait_running("other");
    let address = "10.79.0.1:8181";
    let page = |expect: &str| {
        until("the port leads to the pod", || {
            let got = node
                .inside("busybox")
                .args(["wget", "-qO-", &format!("http://{address}/")])
                .output()
                .unwrap();
            (String::from_utf8_lossy(&got.stdout).trim() == expect).then_some(())
        });
    };
    page("first");
    // The first one goes: the second gets its turn.
    node.kill();
    node.want(vec![second]);
    node.start(&[]);
    node.wait_running("second");
    until("the port leads to the second", || {
        let got =
            node.inside("busybox").args(["wget", "-qO-", &format!("http://{address}/")]).output().unwrap();
        (String::from_utf8_lossy(&got.stdout).trim() == "second").then_some(())
    });
}

/// A pod in the node's network answers for a service on its own node, at the node's address: for other pods, and for the
/// node itself.
#[test]
fn services_reach_pods_in_the_network_of_their_node() {
    if !can_run() {
        return;
    }
    let mut node = networked(json!([]));
    let web = node.uid("web");
    let network: Network = serde_json::from_value(json!({
        "pod_cidr": "10.79.0.0/24", "service_cidr": "10.80.0.0/16", "domain": "cluster.local", "services": [
            {"namespace": "default", "name": "web", "kind": "ClusterIP", "cluster_ip": "10.80.0.7",
             "ports": [{"name": "", "protocol": "TCP", "port": 80}], "backends": [{"pod": web, "ports": [8282]}]}]}))
    .unwrap();
    node.network(&network);
    let script = "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8282 -h /www";
    let web = node.pod("web", script, |_| ());
    let asks = r"until printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 10.80.0.7 80 | grep hello; do sleep 1; done; exec sleep 1000";
    let client = node.pod("client", asks, own_network);
    node.want(vec![web, client]);
    for args in [
        "link add uplink0 type veth peer name nowhere0",
        "address add 192.0.2.10/24 dev uplink0",
        "link set uplink0 up",
    ] {
        assert!(node.inside("ip").args(args.split(' ')).status().unwrap().success(), "{args}");
    }
    node.address = "192.0.2.10";
    node.start(&[]);
    assert!(log_with(&node, "client", "hello").contains("hello"));
    until("the node itself reaches the service", || {
        let got = node.inside("busybox").args(["wget", "-qO-", "http://10.80.0.7:80/"]).output().unwrap();
        (String::from_utf8_lossy(&got.stdout).trim() == "hello").then_some(())
    });
}
