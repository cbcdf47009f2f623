//! The controllers, wherever they are mounted, and whether groups can be made.

use std::fs;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Findings, good, warning, wrong};

const ROOT: &str = "/sys/fs/cgroup";
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

pub(super) fn check(findings: &mut Findings) {
    let layout = Layout::look(Path::new(ROOT));
    findings.add("cgroups", layout.controllers());
    findings.add("cgroup folders", layout.try_to_make());
    findings.add("devices of containers", layout.devices());
}

/// What is mounted.
#[derive(Debug)]
struct Layout {
    root: PathBuf,
    /// Controllers of the unified hierarchy.
    unified: Option<Vec<String>>,
    hybrid: bool,
}

impl Layout {
    fn look(root: &Path) -> Self {
        let unified = fs::read_to_string(root.join("cgroup.controllers")).ok();
        Self {
            unified: unified.map(|text| text.split_whitespace().map(str::to_owned).collect()),
            hybrid: root.join("unified/cgroup.controllers").exists(),
            root: root.to_owned(),
        }
    }

    fn v1(&self, name: &str) -> bool {
        self.root.join(name).join("cgroup.procs").exists()
    }

    fn has(&self, name: &str) -> bool {
        self.unified.as_ref().is_some_and(|list| list.iter().any(|c| c == name)) || self.v1(name)
    }

    fn kind(&self) -> Option<&'static str> {
        match (self.unified.is_some(), self.v1("memory") || self.v1("cpu"), self.hybrid) {
            (true, ..) => Some("v2"),
            (false, true, true) => Some("v1 with a hybrid v2"),
            (false, true, false) => Some("v1"),
            (false, false, _) => None,
        }
    }

    fn controllers(&self) -> Finding {
        let Some(kind) = self.kind() else {
            return wrong(
                format!("no hierarchy is mounted at {}", self.root.display()),
                "mount one: mount -t cgroup2 none /sys/fs/cgroup",
            );
        };
        let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !self.has(name)).collect();
        match missing.as_slice() {
            [] => good(format!("{kind}: {}", NEEDED.join(", "))),
            ["memory"] => wrong(
                format!("{kind}: the controller memory is off"),
                "add `cgroup_enable=memory` to the kernel's command line (Raspberry Pi: /boot/firmware/cmdline.txt) and restart",
            ),
            _ => wrong(
                format!("{kind}: no controller {}", missing.join(", ")),
                "use a kernel with CONFIG_CGROUPS and its controllers",
            ),
        }
    }

    /// In one hierarchy, which ends with the try.
    fn try_to_make(&self) -> Finding {
        let parent = if self.unified.is_some() { self.root.clone() } else { self.root.join("memory") };
        let own = parent.join(format!("gannet-doctor-{}", std::process::id()));
        match fs::create_dir(&own).and_then(|()| fs::remove_dir(&own)) {
            Ok(()) => good("can be made"),
            Err(error) => wrong(
                format!("cannot be made in {}: {error}", parent.display()),
                "be root; in a container mount the cgroup file system with write access; as a service set Delegate=yes",
            ),
        }
    }

    fn devices(&self) -> Finding {
        if self.v1("devices") {
            return good("the controller devices");
        }
        if self.unified.is_none() {
            return wrong("no controller devices is mounted", "use a kernel with CONFIG_CGROUP_DEVICE");
        }
        match fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled") {
            Ok(_) => good("BPF programs"),
            Err(_) => warning(
                "it is not known whether the kernel takes BPF programs for cgroups",
                "use a kernel with CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let layout = Layout::look(dir.path());
        (dir, layout)
    }

    #[test]
    fn hierarchies() {
        let v1 = |names: &[&'static str]| -> Vec<(String, &'static str)> {
            names.iter().map(|name| (format!("{name}/cgroup.procs"), "")).collect()
        };
        let check = |files: &[(String, &str)], expect: &str| {
            let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), *b)).collect();
            let (_dir, layout) = tree(&files);
            let got = match layout.controllers() {
                Finding::Ok { seen } => seen,
                Finding::Warning { cause, .. } | Finding::Wrong { cause, .. } => format!("! {cause}"),
            };
            assert!(got.starts_with(expect), "{got} is not {expect}");
        };
        check(&[("cgroup.controllers".into(), "cpuset cpu io memory pids")], "v2: cpu, memory, pids");
        check(&[("cgroup.controllers".into(), "cpu pids")], "! v2: the controller memory is off");
        check(&v1(&["cpu", "memory", "pids"]), "v1: cpu");
        let hybrid =
            [v1(&["cpu", "memory", "pids"]), vec![("unified/cgroup.controllers".into(), "")]].concat();
        check(&hybrid, "v1 with a hybrid v2: cpu");
        check(&v1(&["cpu"]), "! v1: no controller memory, pids");
        check(&[], "! no hierarchy is mounted");
    }

    #[test]
    fn folders_are_tried_and_leave_nothing() {
        let (dir, layout) = tree(&[("cgroup.controllers", "cpu")]);
        assert!(matches!(layout.try_to_make(), Finding::Ok { .. }));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_dir_all(dir.path()).unwrap();
        assert!(matches!(layout.try_to_make(), Finding::Wrong { .. }));
    }
}
