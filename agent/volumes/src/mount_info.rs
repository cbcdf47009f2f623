//! What is mounted where: `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountPoint {
    pub(crate) path: PathBuf,
    /// Mounts made below it show elsewhere.
    pub(crate) shared: bool,
    /// Mounts made elsewhere show below it.
    pub(crate) slave: bool,
}

/// All mounts of the agent, later ones behind earlier ones.
pub(crate) fn read() -> io::Result<Vec<MountPoint>> {
    fs::read_to_string("/proc/thread-self/mountinfo").map(|text| parse(&text))
}

fn parse(text: &str) -> Vec<MountPoint> {
    let point = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let optional = fields.get(6..)?.iter().take_while(|field| **field != "-");
        let has = |kind: &str| optional.clone().any(|field| field.starts_with(kind));
        let (shared, slave) = (has("shared:"), has("master:"));
        Some(MountPoint { path: unescaped(fields.get(4)?).into(), shared, slave })
    };
    text.lines().filter_map(point).collect()
}

/// The mount in which a path lies that has no link in it.
pub(crate) fn mount_of<'a>(mounts: &'a [MountPoint], path: &Path) -> Option<&'a MountPoint> {
    // Of mounts at the same place the last one is seen.
    mounts.iter().filter(|m| path.starts_with(&m.path)).max_by_key(|m| m.path.components().count())
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mounts = parse(
            "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
             30 27 0:25 / /a\\040b ro,nosuid - tmpfs t ro\n\
             31 27 0:26 / /a\\040b/c rw master:1 propagate_from:2 - tmpfs t rw\n\
             32 27 0:27 / /a\\040b/c rw - tmpfs t rw\n\
             broken line\n",
        );
        let check = |path: &str, expect: &str| {
            let got = mount_of(&mounts, Path::new(path)).unwrap();
            assert_eq!(format!("{} {} {}", got.path.display(), got.shared, got.slave), expect);
        };
        assert_eq!(mounts.len(), 4);
        assert!(mounts[2].slave);
        check("/x/y", "/ true false");
        check("/a b/x", "/a b false false");
        check("/a bc", "/ true false");
        check("/a b/c/d", "/a b/c false false");
    }
}
