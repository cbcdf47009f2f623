//! Security contexts: users, seccomp, AppArmor, /proc, kernel parameters.

use super::*;

#[test]
fn profiles() {
    for (place, at) in [
        ("/securityContext", "securityContext"),
        ("/containers/0/securityContext", "containers[0].securityContext"),
    ] {
        let seccomp = |more: Value| json!({"seccompProfile": more});
        let apparmor = |more: Value| json!({"appArmorProfile": more});
        let path = format!("{at}.seccompProfile.localhostProfile");
        let profile = format!("{at}.appArmorProfile.localhostProfile");
        let kinds = "supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"";
        let errors = [
            format!("{path}: Required value: must be set when seccomp type is Localhost"),
            format!("{path}: Invalid value: \"/a.json\": must be a relative path"),
            format!("{path}: Invalid value: \"../a.json\": must not contain '..'"),
            format!("{path}: Invalid value: \"a.json\": can only be set when seccomp type is Localhost"),
            format!("{at}.seccompProfile.type: Required value: type is required when seccompProfile is set"),
            format!("{at}.seccompProfile.type: Unsupported value: \"None\": {kinds}"),
            format!("{profile}: Required value: must be set when AppArmor type is Localhost"),
            format!("{profile}: Invalid value: \" a\": must not be padded with whitespace"),
            format!("{profile}: Too long: may not be more than 4095 bytes"),
            format!("{profile}: Invalid value: \"a\": can only be set when AppArmor type is Localhost"),
            format!(
                "{at}.appArmorProfile.type: Required value: type is required when appArmorProfile is set"
            ),
            format!("{at}.appArmorProfile.type: Unsupported value: \"None\": {kinds}"),
        ];
        check_pod(&[
            (place, seccomp(json!({"type": "Localhost", "localhostProfile": "a/b.json"})), &[]),
            (place, seccomp(json!({"type": "Unconfined"})), &[]),
            (place, seccomp(json!({"type": "Localhost"})), &[&errors[0]]),
            (place, seccomp(json!({"type": "Localhost", "localhostProfile": ""})), &[&errors[0]]),
            (place, seccomp(json!({"type": "Localhost", "localhostProfile": "/a.json"})), &[&errors[1]]),
            (place, seccomp(json!({"type": "Localhost", "localhostProfile": "../a.json"})), &[&errors[2]]),
            (place, seccomp(json!({"type": "RuntimeDefault", "localhostProfile": "a.json"})), &[&errors[3]]),
            (place, seccomp(json!({})), &[&errors[4]]),
            (place, seccomp(json!({"type": "None"})), &[&errors[5]]),
            (place, apparmor(json!({"type": "Localhost", "localhostProfile": "web"})), &[]),
            (place, apparmor(json!({"type": "RuntimeDefault"})), &[]),
            (place, apparmor(json!({"type": "Localhost"})), &[&errors[6]]),
            (place, apparmor(json!({"type": "Localhost", "localhostProfile": " a"})), &[&errors[7]]),
            (
                place,
                apparmor(json!({"type": "Localhost", "localhostProfile": "a".repeat(4096)})),
                &[&errors[8]],
            ),
            (place, apparmor(json!({"type": "Unconfined", "localhostProfile": "a"})), &[&errors[9]]),
            (place, apparmor(json!({})), &[&errors[10]]),
            (place, apparmor(json!({"type": "None"})), &[&errors[11]]),
        ]);
    }
}

#[test]
fn groups_and_privileges() {
    check_pod(&[
        ("/securityContext/fsGroup", json!(2000), &[]),
        (
            "/securityContext/fsGroup",
            json!(-1),
            &["securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
        ),
        (
            "/securityContext/supplementalGroups",
            json!([1, -2]),
            &[
                "securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and 2147483647, inclusive",
            ],
        ),
        ("/securityContext/fsGroupChangePolicy", json!("OnRootMismatch"), &[]),
        (
            "/securityContext/fsGroupChangePolicy",
            json!("Never"),
            &[
                "securityContext.fsGroupChangePolicy: Unsupported value: \"Never\": supported values: \"Always\", \"OnRootMismatch\"",
            ],
        ),
        ("/securityContext/supplementalGroupsPolicy", json!("Strict"), &[]),
        (
            "/securityContext/supplementalGroupsPolicy",
            json!("Loose"),
            &[
                "securityContext.supplementalGroupsPolicy: Unsupported value: \"Loose\": supported values: \"Merge\", \"Strict\"",
            ],
        ),
        (
            "/containers/0/securityContext",
            json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["SYS_ADMIN"]}}),
            &[
                "containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"capabilities\":{\"add\":[\"SYS_ADMIN\"]}}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ],
        ),
    ]);
}

#[test]
fn proc_is_unmasked_for_users_of_their_own() {
    check_pod(&[
        ("/containers/0/securityContext/procMount", json!("Default"), &[]),
        (
            "/containers/0/securityContext/procMount",
            json!("Unmasked"),
            &[
                "containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
            ],
        ),
        (
            "/containers/0/securityContext/procMount",
            json!("Half"),
            &[
                "containers[0].securityContext.procMount: Unsupported value: \"Half\": supported values: \"Default\", \"Unmasked\"",
            ],
        ),
    ]);
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/hostUsers", json!(false));
    put(&mut pod, "/spec/containers/0/securityContext/procMount", json!("Unmasked"));
    assert_eq!(errors_of(&create(Kind::POD, pod)), Vec::<String>::new());
}

#[test]
fn kernel_parameters() {
    let at = "securityContext.sysctls[0].name";
    let one = |name: &str| json!([{"name": name, "value": "1"}]);
    let unsafe_one = format!("{at}: Forbidden: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
    let grammar = format!(
        "{at}: Invalid value: \"net..x\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
    );
    let required = format!("{at}: Required value");
    let twice = "securityContext.sysctls[1].name: Duplicate value: \"net/ipv4/tcp_syncookies\"";
    check_pod(&[
        ("/securityContext/sysctls", one("net.ipv4.ip_unprivileged_port_start"), &[]),
        ("/securityContext/sysctls", one("kernel/shm_rmid_forced"), &[]),
        ("/securityContext/sysctls", one("kernel.msgmax"), &[&unsafe_one]),
        ("/securityContext/sysctls", one("net..x"), &[&grammar]),
        ("/securityContext/sysctls", one(""), &[&required]),
        (
            "/securityContext/sysctls",
            json!([{"name": "net.ipv4.tcp_syncookies", "value": "1"}, {"name": "net/ipv4/tcp_syncookies", "value": "0"}]),
            &[twice],
        ),
    ]);
    for (field, name) in [("hostNetwork", "net.ipv4.tcp_syncookies"), ("hostIPC", "kernel.shm_rmid_forced")] {
        let mut pod = right(Kind::POD);
        put(&mut pod, &format!("/spec/{field}"), json!(true));
        put(&mut pod, "/spec/securityContext/sysctls", one(name));
        let expected =
            [format!("spec.{at}: Invalid value: {name:?}: may not be specified when '{field}' is true")];
        assert_eq!(errors_of(&create(Kind::POD, pod)), expected);
    }
}
