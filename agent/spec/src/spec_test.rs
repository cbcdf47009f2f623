use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use gannet_protocols_model::{ByteSize, ConfigBlob};
use serde_json::{Value, json};

use super::env::expand;
use super::testing::{entry, manifest};
use super::*;

/// The spec of a container as JSON, or why there is none.
fn spec_of(container: &str, image: &ImageConfig, mounts: &[VolumeMount]) -> Result<Value, String> {
    let blob =
        ConfigBlob::new([("KEY".to_owned(), b"secret".to_vec()), ("bad=name".to_owned(), b"x".to_vec())]);
    let container = container.replace("BLOB", &blob.digest().to_string());
    let (entry, manifest) = (entry(), manifest(&container));
    let pod = PodContext {
        entry: &entry,
        manifest: &manifest,
        node_name: "gw-1",
        node_ip: Ipv4Addr::new(192, 168, 1, 2),
        pod_ip: Some(Ipv4Addr::new(10, 42, 0, 5)),
        node_memory: ByteSize(1 << 30),
        allocatable: Allocatable::default(),
    };
    let services = [("SVC_PORT".to_owned(), "1".to_owned()), ("OVER".to_owned(), "service".to_owned())];
    let services = if container.contains("SERVICES") { &services[..] } else { &[] };
    let blobs = BTreeMap::from([(blob.digest(), blob)]);
    let variables = variables(&pod, &manifest.containers[0], &blobs, services).map_err(|e| e.to_string())?;
    let etc = EtcFiles {
        hosts: "/p/hosts".into(),
        hostname: "/p/hostname".into(),
        resolv_conf: "/p/resolv".into(),
    };
    let context = ContainerContext {
        pod: &pod,
        container: &manifest.containers[0],
        image,
        rootfs: Path::new("/p/rootfs"),
        passwd: "root:x:0:0::/root:/bin/sh\n",
        group: "",
        hostname: "web-1",
        variables: &variables,
        mounts,
        etc: &etc,
        termination_log: Some(Path::new("/p/termination")),
        devices: &[],
        node: &NodeFacts::default(),
        seccomp: None,
    };
    build(&context).map(|spec| serde_json::to_value(spec).unwrap()).map_err(|e| e.to_string())
}

fn image() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/entry".into()],
        cmd: vec!["default".into()],
        env: vec!["FROM_IMAGE=1".into(), "OVER=image".into()],
        ..ImageConfig::default()
    }
}

/// One container and one place in its spec.
fn check(container: &str, pointer: &str, expect: Value) {
    let text = format!(r#"{{"name":"c","image":"i",{container}}}"#);
    let text = if container.is_empty() { r#"{"name":"c","image":"i"}"#.to_owned() } else { text };
    match spec_of(&text, &image(), &[]) {
        Ok(spec) => {
            assert_eq!(spec.pointer(pointer).unwrap_or(&Value::Null), &expect, "{pointer} of {container}")
        }
        Err(error) => assert_eq!(json!(error), expect, "{container}"),
    }
}

#[test]
fn command_lines() {
    let args = "/process/args";
    check("", args, json!(["/entry", "default"]));
    check(r#""args":["a"]"#, args, json!(["/entry", "a"]));
    check(r#""command":["/c"]"#, args, json!(["/c"]));
    check(
        r#""command":["/c"],"args":["$(A)","$$(A)","$(NO)"],"env":[{"name":"A","value":{"text":"1"}}]"#,
        args,
        json!(["/c", "1", "$(A)", "$(NO)"]),
    );
    assert_eq!(
        spec_of(r#"{"name":"c","image":"i"}"#, &ImageConfig::default(), &[]),
        Err("no command specified".into())
    );
}

#[test]
fn expansion() {
    let known = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
    for (text, expect) in [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y$(A)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(C)", "$(C)"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$$", "$"),
        ("a$b", "a$b"),
        ("$()", "$()"),
        ("é$(A)é", "é1é"),
    ] {
        assert_eq!(expand(text, &known), expect, "{text}");
    }
}

#[test]
fn environments() {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let base = ["HOSTNAME=web-1", path, "HOME=/root", "FROM_IMAGE=1"];
    let check_env = |env: &str, expect: &[&str]| {
        check(&format!(r#""env":{env}"#), "/process/env", json!([&base[..], expect].concat()));
    };
    check_env("[]", &["OVER=image"]);
    check_env(r#"[{"name":"OVER","value":{"text":"own"}}]"#, &["OVER=own"]);
    check_env(
        r#"[{"name":"A","value":{"text":"1"}},{"name":"B","value":{"text":"$(A)2"}},{"name":"A","value":{"text":"3"}}]"#,
        &["OVER=image", "A=3", "B=12"],
    );
    check_env(r#"[{"name":"S","value":{"key":{"blob":"BLOB","key":"KEY"}}}]"#, &["OVER=image", "S=secret"]);
    check_env(
        r#"[{"name":"","value":{"all":{"blob":"BLOB","prefix":"P_"}}}]"#,
        &["OVER=image", "P_KEY=secret"],
    );
    let fields = [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "prod"),
        ("metadata.uid", "u-1"),
        ("spec.nodeName", "gw-1"),
        ("status.podIP", "10.42.0.5"),
        ("status.hostIP", "192.168.1.2"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
    ];
    for (field, value) in fields {
        check_env(
            &format!(r#"[{{"name":"F","value":{{"field":"{field}"}}}}]"#),
            &["OVER=image", &format!("F={value}")],
        );
    }
    // Variables of services stand below the container's own, above the image's, and may be named.
    check_env(
        r#"[{"name":"SERVICES","value":{"text":"$(SVC_PORT)$(OVER)$(NO)"}},{"name":"OVER","value":{"text":"own"}}]"#,
        &["OVER=own", "SERVICES=1service$(NO)", "SVC_PORT=1"],
    );
    check_env(r#"[{"name":"SERVICES","value":{"text":""}}]"#, &["OVER=service", "SERVICES=", "SVC_PORT=1"]);
    check_env(
        r#"[{"name":"CPU","value":{"resource":{"resource":"requests.cpu","divisor_millis":0}}}]"#,
        &["OVER=image", "CPU=0"],
    );
    check(
        r#""env":[{"name":"N","value":{"text":"a\u0000b"}}]"#,
        "",
        json!("value of variable \"N\" contains a NUL"),
    );
    let missing = r#""env":[{"name":"S","value":{"key":{"blob":"BLOB","key":"NO"}}}]"#;
    let text = format!(r#"{{"name":"c","image":"i",{missing}}}"#);
    assert!(spec_of(&text, &image(), &[]).unwrap_err().starts_with("couldn't find key NO in configuration"));
    check(
        r#""env":[{"name":"F","value":{"field":"spec.bogus"}}]"#,
        "",
        json!("unsupported fieldPath: spec.bogus"),
    );
}

#[test]
fn sub_path_expressions() {
    let known = [("A".to_owned(), "1".to_owned())];
    for (text, expect) in
        [("x/$(A)", "x/1"), ("$$(A)", "$(A)"), ("$(A)/$(B)", "missing value for \"B\""), ("", "")]
    {
        let got = expand_sub_path(text, &known).unwrap_or_else(|e| e.to_string());
        assert_eq!(got, expect, "{text}");
    }
}

#[test]
fn resources() {
    check("", "/linux/resources/cpu", json!({"shares": 2}));
    check(r#""resources":{"cpu_request":250}"#, "/linux/resources/cpu", json!({"shares": 256}));
    check(
        r#""resources":{"cpu_limit":500}"#,
        "/linux/resources/cpu",
        json!({"shares": 512, "quota": 50_000, "period": 100_000}),
    );
    check(r#""resources":{"cpu_limit":1}"#, "/linux/resources/cpu/quota", json!(1000));
    check(
        r#""resources":{"memory_limit":67108864}"#,
        "/linux/resources/memory",
        json!({"limit": 67_108_864, "swap": 67_108_864}),
    );
    check("", "/linux/resources/pids/limit", json!(4096));
    check("", "/linux/resources/devices", json!([{"allow": false, "type": "a", "access": "rwm"}]));
}

#[test]
fn out_of_memory_scores() {
    let score = "/process/oomScoreAdj";
    check("", score, json!(1000));
    check(r#""resources":{"cpu_limit":1,"memory_limit":1024}"#, score, json!(-997));
    check(r#""resources":{"memory_request":536870912}"#, score, json!(500));
    check(r#""resources":{"memory_request":99999999999}"#, score, json!(3));
    check(r#""resources":{"cpu_request":1}"#, score, json!(999));
}

#[test]
fn privileges() {
    let bounding = |security: &str| {
        let text = format!(r#"{{"name":"c","image":"i","security":{security}}}"#);
        let spec = spec_of(&text, &image(), &[])?;
        let set = spec.pointer("/process/capabilities/bounding").and_then(Value::as_array).cloned().unwrap();
        Ok::<_, String>(set.iter().map(|c| c.as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(bounding("{}").unwrap().len(), 13);
    assert_eq!(bounding(r#"{"capabilities_drop":["ALL"]}"#).unwrap(), Vec::<String>::new());
    assert_eq!(
        bounding(r#"{"capabilities_drop":["ALL"],"capabilities_add":["net_admin"]}"#).unwrap(),
        ["CAP_NET_ADMIN"]
    );
    assert!(
        !bounding(r#"{"capabilities_drop":["CAP_NET_RAW"]}"#).unwrap().contains(&"CAP_NET_RAW".to_owned())
    );
    assert_eq!(bounding(r#"{"privileged":true}"#).unwrap().len(), 41);
    assert_eq!(
        bounding(r#"{"capabilities_add":["FLY"]}"#),
        Err("unknown capability \"FLY\" to add or drop".into())
    );

    check("", "/process/noNewPrivileges", json!(false));
    check(r#""security":{"allow_privilege_escalation":false}"#, "/process/noNewPrivileges", json!(true));
    check("", "/linux/seccomp/defaultAction", json!("SCMP_ACT_ERRNO"));
    check(r#""security":{"seccomp":"Unconfined"}"#, "/linux/seccomp", Value::Null);
    check(r#""security":{"privileged":true}"#, "/linux/seccomp", Value::Null);
    check(r#""security":{"privileged":true}"#, "/linux/maskedPaths", Value::Null);
    check("", "/linux/maskedPaths/0", json!("/proc/acpi"));
    check(r#""security":{"read_only_root":true}"#, "/root/readonly", json!(true));
    check(r#""security":{"run_as_non_root":true,"run_as_user":5}"#, "/process/user/uid", json!(5));
    check(
        r#""security":{"run_as_non_root":true}"#,
        "",
        json!(
            "container has runAsNonRoot and image will run as root (pod: \"web-1_prod(u-1)\", container: c)"
        ),
    );
}

#[test]
fn mounts_inside_others_come_later() {
    let volume = |source: &str, destination: &str, read_only| VolumeMount {
        source: PathBuf::from(source),
        destination: PathBuf::from(destination),
        read_only,
        propagation: Default::default(),
    };
    let volumes = [
        volume("/v/inner", "/data/a/b", true),
        volume("/v/outer", "/data", false),
        volume("/v/hosts", "/etc/hosts", true),
        volume("/v/shm", "/dev/shm", false),
    ];
    let spec = spec_of(r#"{"name":"c","image":"i"}"#, &image(), &volumes).unwrap();
    let mounts = spec["mounts"].as_array().unwrap();
    let at = |destination: &str| -> Vec<usize> {
        (0..mounts.len()).filter(|i| mounts[*i]["destination"] == destination).collect()
    };
    assert!(at("/data")[0] < at("/data/a/b")[0]);
    assert_eq!(mounts[at("/data/a/b")[0]]["options"], json!(["rbind", "rprivate", "ro"]));
    assert_eq!(at("/etc/hosts").len(), 1, "the manifest's own mount wins");
    assert_eq!(mounts[at("/etc/hosts")[0]]["source"], "/v/hosts");
    assert_eq!(at("/dev/shm").len(), 1);
    assert_eq!(mounts[at("/etc/resolv.conf")[0]]["source"], "/p/resolv");
}

#[test]
fn stop_signals() {
    for (text, number) in [
        ("SIGTERM", 15),
        ("TERM", 15),
        ("SIGQUIT", 3),
        ("9", 9),
        ("SIGRTMIN+3", 37),
        ("0", 15),
        ("SIGNONSENSE", 15),
        ("SIGURG", 23),
        ("SIGRTMIN", 34),
        ("SIGRTMAX", 64),
        ("SIGRTMAX-14", 50),
    ] {
        let image = ImageConfig { stop_signal: Some(text.into()), ..ImageConfig::default() };
        assert_eq!(stop_signal(&image), number, "{text}");
    }
    assert_eq!(stop_signal(&ImageConfig::default()), 15);
}
