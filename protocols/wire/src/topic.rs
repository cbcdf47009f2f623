//! MQTT topics under `gannet/v1/`, parsed and printed in one place.

use std::fmt;
use std::str::FromStr;

use gannet_protocols_model::{Digest, NodeName};

const ROOT: &str = "gannet/v1/";

/// A topic of the device plane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// `hub/state`
    HubState,
    /// `node/{node}/state`
    State(NodeName),
    /// `node/{node}/desired`
    Desired(NodeName),
    /// `node/{node}/get`
    Get(NodeName),
    /// `node/{node}/blob/{digest}`
    Blob(NodeName, Digest),
    /// `node/{node}/beat`
    Beat(NodeName),
    /// `node/{node}/report`
    Report(NodeName),
    /// `node/{node}/cmd/{id}`
    Command(NodeName, CommandId),
    /// `node/{node}/cmd/{id}/state`
    CommandState(NodeName, CommandId),
    /// `node/{node}/stream/{id}/up`
    StreamUp(NodeName, StreamId),
    /// `node/{node}/stream/{id}/down`
    StreamDown(NodeName, StreamId),
}

/// Why a string is no topic of the device plane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic {topic:?} is not one of gannet/v1")]
pub struct TopicError {
    topic: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = TopicError;
            fn from_str(s: &str) -> Result<Self, TopicError> {
                if (1..=64).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    return Ok(Self(s.into()));
                }
                Err(TopicError { topic: s.chars().take(100).collect() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A command's id: 1 to 64 letters, digits and '-', chosen by who sends it. The same id is the same command.
    CommandId
);
id!(
    /// A stream's id: 1 to 64 letters, digits and '-', chosen by the hub.
    StreamId
);

impl Topic {
    /// The node that the topic belongs to; none for the hub's own.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::HubState => None,
            Self::State(n)
            | Self::Desired(n)
            | Self::Get(n)
            | Self::Blob(n, _)
            | Self::Beat(n)
            | Self::Report(n) => Some(n),
            Self::Command(n, _)
            | Self::CommandState(n, _)
            | Self::StreamUp(n, _)
            | Self::StreamDown(n, _) => Some(n),
        }
    }

    /// Whether nodes publish here (the hub publishes to the others).
    pub fn is_from_node(&self) -> bool {
        matches!(
            self,
            Self::State(_)
                | Self::Get(_)
                | Self::Beat(_)
                | Self::Report(_)
                | Self::CommandState(..)
                | Self::StreamUp(..)
        )
    }

    /// Whether the broker keeps the last message.
    pub fn is_retained(&self) -> bool {
        matches!(self, Self::HubState | Self::State(_) | Self::Desired(_))
    }

    /// What a node subscribes to.
    pub fn node_subscriptions(node: &NodeName) -> [String; 5] {
        let own = |tail: &str| format!("{ROOT}node/{node}/{tail}");
        [format!("{ROOT}hub/state"), own("desired"), own("blob/+"), own("cmd/+"), own("stream/+/down")]
    }

    /// What the hub subscribes to.
    pub fn hub_subscriptions() -> [String; 6] {
        ["state", "get", "beat", "report", "cmd/+/state", "stream/+/up"]
            .map(|tail| format!("{ROOT}node/+/{tail}"))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROOT)?;
        match self {
            Self::HubState => f.write_str("hub/state"),
            Self::State(n) => write!(f, "node/{n}/state"),
            Self::Desired(n) => write!(f, "node/{n}/desired"),
            Self::Get(n) => write!(f, "node/{n}/get"),
            Self::Blob(n, digest) => write!(f, "node/{n}/blob/{digest}"),
            Self::Beat(n) => write!(f, "node/{n}/beat"),
            Self::Report(n) => write!(f, "node/{n}/report"),
            Self::Command(n, id) => write!(f, "node/{n}/cmd/{id}"),
            Self::CommandState(n, id) => write!(f, "node/{n}/cmd/{id}/state"),
            Self::StreamUp(n, id) => write!(f, "node/{n}/stream/{id}/up"),
            Self::StreamDown(n, id) => write!(f, "node/{n}/stream/{id}/down"),
        }
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(s: &str) -> Result<Self, TopicError> {
        parse(s).ok_or_else(|| TopicError { topic: s.chars().take(200).collect() })
    }
}

fn parse(s: &str) -> Option<Topic> {
    let rest = s.strip_prefix(ROOT)?;
    if rest == "hub/state" {
        return Some(Topic::HubState);
    }
    let (node, tail) = rest.strip_prefix("node/")?.split_once('/')?;
    let node: NodeName = node.parse().ok()?;
    let mut levels = tail.split('/');
    let topic = match (levels.next()?, levels.next(), levels.next()) {
        ("state", None, None) => Topic::State(node),
        ("desired", None, None) => Topic::Desired(node),
        ("get", None, None) => Topic::Get(node),
        ("blob", Some(digest), None) => Topic::Blob(node, digest.parse().ok()?),
        ("beat", None, None) => Topic::Beat(node),
        ("report", None, None) => Topic::Report(node),
        ("cmd", Some(id), None) => Topic::Command(node, id.parse().ok()?),
        ("cmd", Some(id), Some("state")) => Topic::CommandState(node, id.parse().ok()?),
        ("stream", Some(id), Some("up")) => Topic::StreamUp(node, id.parse().ok()?),
        ("stream", Some(id), Some("down")) => Topic::StreamDown(node, id.parse().ok()?),
        _ => return None,
    };
    levels.next().is_none().then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_survive_their_text() {
        let n: NodeName = "gw-1.site".parse().unwrap();
        let topics = [
            Topic::HubState,
            Topic::State(n.clone()),
            Topic::Blob(n.clone(), Digest::of(b"x")),
            Topic::CommandState(n.clone(), "c-1".parse().unwrap()),
            Topic::StreamDown(n, "s1".parse().unwrap()),
        ];
        for topic in topics {
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
    }

    #[test]
    fn wrong_topics_are_refused() {
        for text in [
            "",
            "gannet/v1/",
            "gannet/v1/node//state",
            "gannet/v1/node/a/state/x",
            "gannet/v1/node/+/state",
            "gannet/v2/hub/state",
            "gannet/v1/node/a/blob/x",
            "gannet/v1/node/a/cmd/x/y",
            "gannet/v1/node/a/stream/b/up/c",
        ] {
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }
}
