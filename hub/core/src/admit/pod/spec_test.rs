//! The pod as a whole: names, host namespaces, deadlines, priority.

use super::*;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

#[test]
fn names_and_flags() {
    let subdomain = format!("subdomain: Invalid value: \"a.b\": {LABEL}");
    check_pod(&[
        ("/subdomain", json!("web"), &[]),
        ("/subdomain", json!("a.b"), &[&subdomain]),
        ("/setHostnameAsFQDN", json!(true), &[]),
        ("/enableServiceLinks", json!(false), &[]),
        ("/hostPID", json!(true), &[]),
        ("/hostIPC", json!(true), &[]),
        ("/shareProcessNamespace", json!(true), &[]),
        ("/hostUsers", json!(false), &[]),
        ("/os", json!({"name": "linux"}), &[]),
        ("/os", json!({}), &["os.name: Required value"]),
        ("/preemptionPolicy", json!("Never"), &[]),
        (
            "/preemptionPolicy",
            json!("Sometimes"),
            &[
                "preemptionPolicy: Unsupported value: \"Sometimes\": supported values: \"PreemptLowerPriority\", \"Never\"",
            ],
        ),
        ("/readinessGates", json!([{"conditionType": "example.com/ready"}]), &[]),
        (
            "/readinessGates",
            json!([{"conditionType": "/ready"}]),
            &["readinessGates[0].conditionType: Invalid value: \"/ready\": prefix part must be non-empty"],
        ),
    ]);
}

#[test]
fn namespaces_of_the_host() {
    for (field, extra) in [("hostNetwork", json!(true)), ("hostPID", json!(true)), ("hostIPC", json!(true))] {
        let mut pod = right(Kind::POD);
        put(&mut pod, "/spec/hostUsers", json!(false));
        put(&mut pod, &format!("/spec/{field}"), extra);
        let expected = [format!("spec.{field}: Forbidden: when `pod.Spec.HostUsers` is false")];
        assert_eq!(errors_of(&create(Kind::POD, pod)), expected);
    }
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/hostPID", json!(true));
    put(&mut pod, "/spec/shareProcessNamespace", json!(true));
    assert_eq!(
        errors_of(&create(Kind::POD, pod)),
        [
            "spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"
        ]
    );
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/hostNetwork", json!(true));
    put(&mut pod, "/spec/containers/0/ports/0/hostPort", json!(81));
    assert_eq!(
        errors_of(&create(Kind::POD, pod)),
        [
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
        ]
    );
}

#[test]
fn deadlines() {
    let range = |n: i64| {
        format!("activeDeadlineSeconds: Invalid value: {n}: must be between 1 and 2147483647, inclusive")
    };
    let (none, below, above) = (range(0), range(-1), range(1 << 31));
    check_pod(&[
        ("/activeDeadlineSeconds", json!(1), &[]),
        ("/activeDeadlineSeconds", json!(0), &[&none]),
        ("/activeDeadlineSeconds", json!(-1), &[&below]),
        ("/activeDeadlineSeconds", json!(1_i64 << 31), &[&above]),
    ]);
    check(
        Kind::DEPLOYMENT,
        "/spec/template/spec/activeDeadlineSeconds",
        json!(5),
        &[
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
        ],
    );
}

#[test]
fn name_servers() {
    let policy = "dnsPolicy: Unsupported value: \"Mine\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"";
    let wrong_ip = format!("dnsConfig.nameservers[0]: Invalid value: \"dns\": {IP}");
    let four = json!(["1.1.1.1", "1.1.1.2", "1.1.1.3", "::1"]);
    let searches: Vec<String> = (0..33).map(|n| format!("d{n}.local")).collect();
    let long =
        vec!["a".repeat(62); 31].iter().enumerate().map(|(n, d)| format!("{d}.x{n:03}")).collect::<Vec<_>>();
    let with_spaces = long.iter().map(|d| d.len() + 1).sum::<usize>() - 1;
    assert!(with_spaces > 2048);
    let four_wrong =
        format!("dnsConfig.nameservers: Invalid value: {four}: must not have more than 3 nameservers");
    let many_wrong = format!(
        "dnsConfig.searches: Invalid value: {}: must not have more than 32 search paths",
        json!(searches)
    );
    let quoted: String = json!(long).to_string().chars().take(512).collect();
    let long_wrong = format!(
        "dnsConfig.searches: Invalid value: {quoted}…: must not have more than 2048 characters (including spaces) in the search list"
    );
    check_pod(&[
        ("/dnsPolicy", json!("Mine"), &[policy]),
        (
            "/dnsPolicy",
            json!("None"),
            &["dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        ("/dnsConfig", json!({"nameservers": ["dns"]}), &[&wrong_ip]),
        ("/dnsConfig", json!({"nameservers": four}), &[&four_wrong]),
        ("/dnsConfig", json!({"searches": searches}), &[&many_wrong]),
        ("/dnsConfig", json!({"searches": long}), &[&long_wrong]),
        ("/dnsConfig", json!({"searches": ["_tcp.example.com.", ".", "a"]}), &[]),
        ("/dnsConfig", json!({"options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}), &[]),
        (
            "/dnsConfig",
            json!({"options": [{"value": "2"}]}),
            &["dnsConfig.options[0]: Required value: must not be empty"],
        ),
    ]);
    let wrong = errors_of(&create(Kind::POD, {
        let mut pod = right(Kind::POD);
        put(&mut pod, "/spec/dnsConfig", json!({"searches": ["a..b"]}));
        pod
    }));
    assert!(
        wrong.len() == 1
            && wrong[0].starts_with("spec.dnsConfig.searches[0]: Invalid value: \"a..b\": a lowercase"),
        "{wrong:?}"
    );
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/dnsPolicy", json!("None"));
    put(&mut pod, "/spec/dnsConfig", json!({"searches": ["a"]}));
    assert_eq!(
        errors_of(&create(Kind::POD, pod.clone())),
        [
            "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"
        ]
    );
    put(&mut pod, "/spec/dnsConfig/nameservers", json!(["9.9.9.9"]));
    assert_eq!(errors_of(&create(Kind::POD, pod)), Vec::<String>::new());
}

#[test]
fn further_hosts() {
    let wrong_ip = format!("hostAliases[0].ip: Invalid value: \"1.2.3\": {IP}");
    let wrong_name = format!("hostAliases[0].hostnames[1]: Invalid value: \"B\": {DOMAIN}");
    check_pod(&[
        ("/hostAliases", json!([{"ip": "192.0.2.1", "hostnames": ["plc", "plc.local"]}]), &[]),
        ("/hostAliases", json!([{"ip": "fd00::1", "hostnames": ["plc"]}]), &[]),
        ("/hostAliases", json!([{"ip": "1.2.3", "hostnames": ["plc"]}]), &[&wrong_ip]),
        ("/hostAliases", json!([{"ip": "192.0.2.1", "hostnames": ["a", "B"]}]), &[&wrong_name]),
    ]);
}

#[test]
fn classes_of_priority() {
    let admitted = |class: &str, priority: Value| {
        let mut pod = right(Kind::POD);
        put(&mut pod, "/spec/priorityClassName", json!(class));
        put(&mut pod, "/spec/priority", priority);
        create(Kind::POD, pod)
    };
    for (class, priority) in
        [("", 0), ("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)]
    {
        for given in [json!(null), json!(priority)] {
            let pod = admitted(class, given).unwrap().object;
            assert_eq!(pod["spec"]["priority"], priority, "{class}");
            assert_eq!(errors_of(&update(Kind::POD, &pod, pod.clone())), Vec::<String>::new());
        }
    }
    for (class, priority, message) in [
        ("high", json!(null), "pods \"x\" is forbidden: no PriorityClass with name high was found"),
        (
            "",
            json!(5),
            "pods \"x\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name",
        ),
    ] {
        let rejected = admitted(class, priority).unwrap_err();
        assert_eq!((rejected.code(), rejected.message(Kind::POD, "x").as_str()), (403, message));
    }
}
