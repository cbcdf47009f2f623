//! Where cgroups lie on this machine: v1, hybrid or v2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Which files a cgroup has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller.
    V1,
    /// One for all of them.
    V2,
}

/// The cgroup file systems that are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    found: Vec<Hierarchy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    version: Version,
    /// Of v1: its controllers. Of v2: those that are listed in its root, not known until it is read.
    controllers: Vec<String>,
}

impl Hierarchies {
    /// Those of this machine, as this process sees them.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn find() -> io::Result<Self> {
        let mut found = Self::parse(&fs::read_to_string("/proc/self/mountinfo")?);
        for hierarchy in found.found.iter_mut().filter(|h| h.version == Version::V2) {
            let listed = fs::read_to_string(hierarchy.mount.join("cgroup.controllers")).unwrap_or_default();
            hierarchy.controllers = listed.split_whitespace().map(str::to_owned).collect();
        }
        Ok(found)
    }

    /// From the text of a `mountinfo`. Of a hierarchy that is mounted twice the first counts.
    pub fn parse(mountinfo: &str) -> Self {
        let mut found: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount) = left.split(' ').nth(4) else { continue };
            let mut right = right.split(' ');
            let version = match right.next() {
                Some("cgroup") => Version::V1,
                Some("cgroup2") => Version::V2,
                _ => continue,
            };
            let options = right.nth(1).unwrap_or_default();
            let controllers = match version {
                Version::V1 => options.split(',').map(str::to_owned).collect(),
                Version::V2 => Vec::new(),
            };
            if !found.iter().any(|h| h.mount == Path::new(mount)) {
                found.push(Hierarchy { mount: mount.into(), version, controllers });
            }
        }
        Self { found }
    }

    /// The folder of a cgroup that has this controller's files. `cgroup` is relative to the root of each hierarchy, such as
    /// `/gannet/POD-UID/CONTAINER`.
    pub fn folder(&self, controller: &str, cgroup: &str) -> Option<(PathBuf, Version)> {
        let of_v1 =
            |h: &&Hierarchy| h.version == Version::V1 && h.controllers.iter().any(|c| c == controller);
        // What every cgroup of v2 has, such as the processor's time, no controller stands for.
        let hierarchy =
            self.found.iter().find(of_v1).or_else(|| self.found.iter().find(|h| h.version == Version::V2))?;
        Some((hierarchy.mount.join(cgroup.trim_start_matches('/')), hierarchy.version))
    }

    /// Whether each controller lies in v2.
    pub fn is_unified(&self) -> bool {
        self.found.iter().all(|h| h.version == Version::V2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
25 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
33 25 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
36 33 0:31 / /sys/fs/cgroup/systemd rw,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
38 33 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
39 33 0:34 / /sys/fs/cgroup/memory rw,relatime shared:16 - cgroup cgroup rw,memory
40 33 0:35 / /sys/fs/cgroup/pids rw,relatime shared:17 - cgroup cgroup rw,pids
";
    const UNIFIED: &str =
        "34 33 0:29 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V2: &str = "\
25 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
30 25 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";

    fn check(mountinfo: &str, controller: &str, expect: Option<(&str, Version)>) {
        let found = Hierarchies::parse(mountinfo).folder(controller, "/gannet/u/main-0");
        assert_eq!(
            found,
            expect.map(|(path, version)| (path.into(), version)),
            "{controller} in {mountinfo}"
        );
    }

    #[test]
    fn each_layout() {
        let memory = Some(("/sys/fs/cgroup/memory/gannet/u/main-0", Version::V1));
        let cpu = Some(("/sys/fs/cgroup/cpu,cpuacct/gannet/u/main-0", Version::V1));
        for layout in [V1.to_owned(), format!("{UNIFIED}{V1}"), format!("{V1}{UNIFIED}")] {
            check(&layout, "memory", memory);
            check(&layout, "cpuacct", cpu);
            assert!(!Hierarchies::parse(&layout).is_unified());
        }
        check(V1, "hugetlb", None);
        check(V2, "memory", Some(("/sys/fs/cgroup/gannet/u/main-0", Version::V2)));
        check(V2, "cpuacct", Some(("/sys/fs/cgroup/gannet/u/main-0", Version::V2)));
        assert!(Hierarchies::parse(V2).is_unified());
        check("", "memory", None);
    }
}
