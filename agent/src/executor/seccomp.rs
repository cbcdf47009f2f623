//! The profile that `seccompProfile: Localhost` names: a file of the node, in the format of the OCI runtime specification.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use gannet_protocols_model::{Container, SeccompProfile};
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Map, Value};

/// Docker's own has 16 KiB.
const MAX_BYTES: u64 = 1 << 20;
const PROFILE_KEYS: [&str; 8] = [
    "archMap",
    "architectures",
    "defaultAction",
    "defaultErrnoRet",
    "flags",
    "listenerMetadata",
    "listenerPath",
    "syscalls",
];
const RULE_KEYS: [&str; 8] =
    ["action", "args", "comment", "errno", "errnoRet", "excludes", "includes", "names"];

/// Reads it, where the container asks for one. Waits for the disk.
pub(super) fn profile(dir: &Path, container: &Container) -> anyhow::Result<Option<LinuxSeccomp>> {
    let SeccompProfile::Localhost(name) = &container.security.seccomp else { return Ok(None) };
    let path = inside(dir, name)?;
    let read = || -> anyhow::Result<LinuxSeccomp> {
        let mut text = String::new();
        let length = File::open(&path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if u64::try_from(length)? > MAX_BYTES {
            bail!("the file has more than {MAX_BYTES} bytes");
        }
        parse(&text)
    };
    read().map(Some).with_context(|| format!("cannot load seccomp profile {:?}", path.display().to_string()))
}

fn inside(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !plain {
        bail!("seccomp profile {name:?} is not a path below {}", dir.display());
    }
    Ok(dir.join(name))
}

/// What a rule says that is not understood could make it weaker: it is refused.
fn parse(text: &str) -> anyhow::Result<LinuxSeccomp> {
    let mut value: Value = serde_json::from_str(text)?;
    let profile = value.as_object_mut().context("a profile is a JSON object")?;
    known(profile, &PROFILE_KEYS)?;
    // Without it no other architecture's calls are let through, which is stricter.
    profile.remove("archMap");
    let rules = profile.get_mut("syscalls").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let rule = rule.as_object_mut().context("a rule is a JSON object")?;
        known(rule, &RULE_KEYS)?;
        rule.remove("comment");
        for condition in ["includes", "excludes"] {
            let empty = |v: &Value| v.is_null() || v.as_object().is_some_and(Map::is_empty);
            if rule.remove(condition).is_some_and(|v| !empty(&v)) {
                bail!("a rule has {condition:?}, which are Docker's own: write a rule without conditions");
            }
        }
    }
    Ok(serde_json::from_value(value)?)
}

fn known(object: &Map<String, Value>, keys: &[&str]) -> anyhow::Result<()> {
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => bail!("key {key:?} is not known, only {}", keys.join(", ")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles() {
        let good = r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "archMap": [],
            "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "",
                          "includes": {}, "excludes": {}}]}"#;
        let profile = parse(good).unwrap();
        assert_eq!(profile.syscalls().as_ref().unwrap()[0].names(), &["read", "write"]);
        for (text, part) in [
            ("[]", "JSON object"),
            ("{", "EOF"),
            (r#"{"defaultAction": "SCMP_ACT_SING"}"#, "SCMP_ACT_SING"),
            (r#"{"defaultAction": "SCMP_ACT_KILL", "sycalls": []}"#, "sycalls"),
            (
                r#"{"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"names": ["bpf"], "action": "SCMP_ACT_ALLOW",
                "includes": {"caps": ["CAP_BPF"]}}]}"#,
                "includes",
            ),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn paths() {
        for name in ["", "/etc/passwd", "../x", "a/../../x", "./x"] {
            assert!(inside(Path::new("/p"), name).is_err(), "{name}");
        }
        assert_eq!(inside(Path::new("/p"), "a/b.json").unwrap(), Path::new("/p/a/b.json"));
    }
}
