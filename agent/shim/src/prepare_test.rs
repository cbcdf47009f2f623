use super::*;

fn spec(text: serde_json::Value) -> Spec {
    serde_json::from_value(text).unwrap()
}

fn minimal() -> serde_json::Value {
    serde_json::json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "hostname": "ignored",
        "process": {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 7, "gid": 7}, "noNewPrivileges": true},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]},
    })
}

fn sandbox(netns: Option<&str>) -> Sandbox {
    let netns = netns.map(Into::into);
    Sandbox { hostname: "web".to_owned(), netns, ..Sandbox::default() }
}

fn prepared(text: serde_json::Value) -> Bundle {
    prepare(spec(text), &PodLayout::new("/run/g/pods/u1"), &sandbox(Some("/run/netns/p")), "web-0").unwrap()
}

fn namespaces(bundle: &Bundle) -> Vec<(String, Option<String>)> {
    let all = bundle.config.linux().as_ref().unwrap().namespaces().clone().unwrap();
    all.iter().map(|n| (n.typ().to_string(), n.path().as_ref().map(|p| p.display().to_string()))).collect()
}

#[test]
fn namespaces_of_the_pod() {
    let bundle = prepared(minimal());
    let some = |s: &str| Some(s.to_owned());
    let want = [
        ("mnt", None),
        ("pid", None),
        ("net", some("/run/netns/p")),
        ("ipc", some("/run/g/pods/u1/ns/ipc")),
        ("uts", some("/run/g/pods/u1/ns/uts")),
    ];
    assert_eq!(namespaces(&bundle), want.map(|(n, p)| (n.to_owned(), p)));
    assert_eq!(bundle.config.hostname(), &None);
    assert_eq!(bundle.cgroup(), "/gannet/u1/web-0");
}

#[test]
fn host_namespaces() {
    let host = Sandbox { host_uts: true, host_ipc: true, ..sandbox(None) };
    let bundle = prepare(spec(minimal()), &PodLayout::new("/run/g/pods/u1"), &host, "web-0").unwrap();
    assert_eq!(namespaces(&bundle).iter().map(|n| n.0.as_str()).collect::<Vec<_>>(), ["mnt", "pid"]);
}

#[test]
fn devices_are_denied_first() {
    let check = |devices: serde_json::Value, count: usize, first_allows: bool| {
        let mut text = minimal();
        text["linux"]["resources"] = serde_json::json!({"devices": devices});
        let bundle = prepared(text);
        let resources = bundle.config.linux().as_ref().unwrap().resources().clone().unwrap();
        let devices = resources.devices().clone().unwrap();
        assert_eq!((devices.len(), devices[0].allow()), (count, first_allows), "{devices:?}");
    };
    check(serde_json::json!([]), 1, false);
    check(serde_json::json!([{"allow": true, "type": "c", "major": 188, "access": "rw"}]), 2, false);
    check(serde_json::json!([{"allow": false, "type": "a", "access": "rwm"}]), 1, false);
    // A privileged container says so in words.
    check(serde_json::json!([{"allow": true, "type": "a", "access": "rwm"}]), 1, true);
}

#[test]
fn a_filter_without_no_new_privileges() {
    let mut text = minimal();
    let seccomp = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []});
    text["linux"]["seccomp"] = seccomp;
    let caps = serde_json::json!(["CAP_CHOWN"]);
    text["process"]["capabilities"] =
        serde_json::json!({"bounding": caps, "effective": caps, "permitted": caps});
    let check = |privileges: Option<bool>, extra: bool| {
        let mut text = text.clone();
        match privileges {
            Some(value) => text["process"]["noNewPrivileges"] = value.into(),
            None => drop(text["process"].as_object_mut().unwrap().remove("noNewPrivileges")),
        }
        let bundle = prepared(text);
        assert!(bundle.launch.filtered && bundle.seccomp().is_some());
        assert!(bundle.config.linux().as_ref().unwrap().seccomp().is_none());
        let told = bundle.config.process().as_ref().unwrap().capabilities().clone().unwrap();
        assert_eq!(
            told.bounding().as_ref().unwrap().contains(&Capability::SysAdmin),
            extra,
            "{privileges:?}"
        );
        let asked = bundle.launch.capabilities.as_ref().map(|caps| caps.bounding().as_ref().unwrap().len());
        assert_eq!(asked, extra.then_some(1), "{privileges:?}");
        let dir = tempfile::tempdir().unwrap();
        assert!(bundle.write(dir.path(), None).is_err(), "a profile is never forgotten");
        bundle.write(dir.path(), Some(&[0; 8])).unwrap();
    };
    check(Some(true), false);
    check(Some(false), true);
    check(None, true);
}

#[test]
fn few_processes() {
    let check = |limit: i64, told: i64, later: Option<i64>| {
        let mut text = minimal();
        text["linux"]["resources"] = serde_json::json!({"pids": {"limit": limit}});
        let bundle = prepared(text);
        let resources = bundle.config.linux().as_ref().unwrap().resources().clone().unwrap();
        assert_eq!((resources.pids().unwrap().limit(), bundle.launch.pids_limit), (told, later), "{limit}");
    };
    check(1, PIDS_WHILE_CREATING, Some(1));
    check(100, 100, None);
    check(0, 0, None);
    check(-1, -1, None);
}

#[test]
fn refused() {
    let check = |change: &dyn Fn(&mut serde_json::Value), id: &str, words: &str| {
        let mut text = minimal();
        change(&mut text);
        let err = prepare(spec(text), &PodLayout::new("/run/g/pods/u1"), &sandbox(None), id).unwrap_err();
        assert!(err.to_string().contains(words), "{err} should say {words}");
    };
    check(&|_| {}, "../up", "container id");
    check(&|t| t["process"]["args"] = serde_json::json!([]), "a", "process.args");
    check(&|t| t["process"]["terminal"] = true.into(), "a", "terminal");
    check(&|t| t["linux"]["namespaces"] = serde_json::json!([{"type": "pid"}]), "a", "mount namespace");
    check(&|t| t["hooks"] = serde_json::json!({"prestart": [{"path": "/bin/true"}]}), "a", "hooks");
}

#[test]
fn a_pod_with_users_of_its_own() {
    let range = IdRange { first: 131_072, count: 65_536 };
    let own = Sandbox { users: Some(range), ..sandbox(None) };
    let dir = tempfile::tempdir().unwrap();
    let layout = PodLayout::new("/run/g/pods/u1");
    let mut text = minimal();
    let plain = prepare(spec(text.clone()), &layout, &own, "web-0").unwrap_err();
    assert!(plain.to_string().contains("user namespace"), "{plain}");
    text["linux"]["namespaces"].as_array_mut().unwrap().push(serde_json::json!({"type": "user"}));
    text["linux"]["devices"] = serde_json::json!([
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/ttyS0", "type": "c", "major": 4, "minor": 64}]);
    text["mounts"] = serde_json::json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/v", "type": "bind", "source": "/data/v", "options": ["rbind", "ro"]},
        {"destination": "/sys/fs/cgroup/cpu", "type": "bind", "source": "/sys/fs/cgroup/cpu/x"}]);
    let bundle = prepare(spec(text.clone()), &layout, &own, "web-0").unwrap();
    bundle.write(dir.path(), None).unwrap();
    let written = fs::read_to_string(dir.path().join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&written).unwrap();
    let launch: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join(LAUNCH)).unwrap()).unwrap();
    // The node's number of the user that writes to the output.
    assert_eq!(launch["uid"], 131_079);
    let place = launch["stage"]["place"].as_str().unwrap().to_owned();
    let at = |name: &str| format!("{place}/{name}");
    assert_eq!(config["root"]["path"], at("root"));
    let sources: Vec<&str> =
        config["mounts"].as_array().unwrap().iter().map(|m| m["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["proc", &at("bind-0"), "/sys/fs/cgroup/cpu/x", &at("device-0")]);
    assert_eq!(launch["stage"]["binds"][0]["source"], "/data/v");
    assert!(config["linux"]["devices"].is_null() && !written.contains("/data/v"), "{written}");
    // All but that of users are entered as the pod's root, who sees nothing of the agent's folders.
    let paths: Vec<&str> =
        config["linux"]["namespaces"].as_array().unwrap().iter().filter_map(|n| n["path"].as_str()).collect();
    let own: Vec<String> = (0..3).map(|n| at(&format!("namespace-{n}"))).collect();
    assert_eq!(paths, [own[0].as_str(), &own[1], &own[2], "/run/g/pods/u1/ns/user"]);
    // Never over a folder that creating needs.
    let below = PodLayout::new(format!("{place}/pods/u1"));
    let own = Sandbox { users: Some(range), ..sandbox(None) };
    prepare(spec(text), &below, &own, "web-0").unwrap().write(dir.path(), None).unwrap();
    let other: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join(LAUNCH)).unwrap()).unwrap();
    assert_ne!(other["stage"]["place"], place);
}
