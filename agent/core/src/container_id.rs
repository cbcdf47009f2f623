//! A container's id says which container of the pod it is, which run, and of which image name: so an agent that finds
//! it after a restart knows all three without remembering anything.

use std::fmt;
use std::str::FromStr;

use gannet_protocols_model::{Container, Digest};

/// What a running container cannot change without a restart: its image's name, hashed. As with kubelet, other changes
/// of a running pod's manifest (volumes, environment from changed ConfigMaps) wait for the next start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Definition(Box<str>);

impl Definition {
    /// The definition of a container.
    pub fn of(container: &Container) -> Self {
        Self::hash(&container.image.to_string())
    }

    /// The definition of a container of a pod that went back from this manifest: whatever ran before is started anew.
    pub fn after(failed: &Digest, container: &Container) -> Self {
        Self::hash(&format!("{} after {failed}", container.image))
    }

    fn hash(text: &str) -> Self {
        Self(Digest::of(text.as_bytes()).hex()[..8].into())
    }
}

/// `NAME.ATTEMPT.DEFINITION`, unique in a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId {
    /// The container's name in the manifest.
    pub name: String,
    /// Counts its runs from 0.
    pub attempt: u32,
    /// What it was started from.
    pub definition: Definition,
}

/// Why a string is no container id of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("container id {value:?} is not NAME.ATTEMPT.DEFINITION")]
pub struct ContainerIdError {
    value: String,
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.name, self.attempt, self.definition.0)
    }
}

impl FromStr for ContainerId {
    type Err = ContainerIdError;

    fn from_str(s: &str) -> Result<Self, ContainerIdError> {
        let parse = || {
            let (rest, definition) = s.rsplit_once('.')?;
            let (name, attempt) = rest.rsplit_once('.')?;
            let hex = definition.len() == 8 && definition.bytes().all(|b| b.is_ascii_hexdigit());
            let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let attempt = attempt.parse().ok()?;
            (hex && named).then(|| Self {
                name: name.to_owned(),
                attempt,
                definition: Definition(definition.into()),
            })
        };
        parse().ok_or_else(|| ContainerIdError { value: s.chars().take(100).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text() {
        let id = ContainerId { name: "web-1".into(), attempt: 12, definition: Definition("0123abcd".into()) };
        assert_eq!(id.to_string(), "web-1.12.0123abcd");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "web",
            "web.1",
            "web.x.0123abcd",
            ".1.0123abcd",
            "web.1.0123",
            "we/b.1.0123abcd",
            "web.-1.0123abcd",
        ] {
            assert!(wrong.parse::<ContainerId>().is_err(), "{wrong}");
        }
    }
}
