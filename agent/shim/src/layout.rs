//! Where a pod's files lie, below `RUN/pods/UID/`.

use std::path::{Path, PathBuf};

/// The paths of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLayout {
    dir: PathBuf,
}

/// A container id that cannot be a file name and a cgroup name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "container id {id:?} is not valid: 1 to 128 letters, digits, '-', '_' and '.', starting with a letter or digit"
)]
pub struct NotAnId {
    id: String,
}

/// Says whether a string may be a container's id.
///
/// # Errors
/// It may not.
pub fn check_container_id(id: &str) -> Result<(), NotAnId> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let first = id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if first && id.len() <= 128 && id.bytes().all(plain) {
        return Ok(());
    }
    Err(NotAnId { id: id.chars().take(140).collect() })
}

impl PodLayout {
    /// The pod's directory is the last component: the pod's uid.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The pod's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The pod's uid: the directory's name.
    pub fn uid(&self) -> &str {
        self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The file name of the shim's socket in the directory.
    pub const SOCKET: &'static str = "shim.sock";

    /// The shim's socket. Its path may be longer than a socket address holds: see [`Self::SOCKET`].
    pub fn socket(&self) -> PathBuf {
        self.dir.join(Self::SOCKET)
    }

    /// What the pod's shared namespaces should be.
    pub fn sandbox(&self) -> PathBuf {
        self.dir.join("sandbox.json")
    }

    /// Held by the one shim of this pod.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The last words of a shim that panicked.
    pub fn stderr(&self) -> PathBuf {
        self.dir.join("shim.log")
    }

    /// The bind mount of a shared namespace: `ipc`, `uts`, `net`, `pid` or `user`.
    pub fn namespace(&self, name: &str) -> PathBuf {
        self.dir.join("ns").join(name)
    }

    /// The process that holds a shared process namespace.
    pub fn pause(&self) -> PathBuf {
        self.dir.join("ns").join("pause.json")
    }

    /// libcontainer's state directories.
    pub fn runc(&self) -> PathBuf {
        self.dir.join("runc")
    }

    /// The records of the containers.
    pub fn containers(&self) -> PathBuf {
        self.dir.join("containers")
    }

    /// The record of a container.
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(format!("{id}.json"))
    }

    /// The record of a container's end.
    pub fn exit(&self, id: &str) -> PathBuf {
        self.dir.join("exits").join(format!("{id}.json"))
    }

    /// A container's standard output or error: a FIFO.
    pub fn stdio(&self, id: &str, stream: &str) -> PathBuf {
        self.dir.join("io").join(format!("{id}.{stream}"))
    }

    /// The pod's cgroup, below each hierarchy: the parent of its containers' ones.
    pub fn cgroup(&self) -> String {
        format!("/gannet/{}", self.uid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["web-0", "a", "A_b.c-12", &"x".repeat(128)] {
            assert!(check_container_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "-a", "a b", "a\n", &"x".repeat(129)] {
            assert!(check_container_id(bad).is_err(), "{bad}");
        }
    }
}
