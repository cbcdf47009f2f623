//! Who may do what at the embedded broker, by the client's certificate.
//!
//! A node touches its own node's topics alone, and reads the hub's state. What it publishes must be a topic that nodes
//! publish to, so a stolen certificate cannot even give orders to its own node.

use gannet_protocols_model::NodeName;
use gannet_protocols_wire::Topic;

/// A certificate with one of these organizations may do everything.
pub const ADMIN_ORGANIZATIONS: [&str; 2] = ["system:masters", "gannet:hubs"];
/// A node's common name is this and its name.
pub const NODE_PREFIX: &str = "system:node:";
/// The hub's own client id. No node can have it: it is no node name.
pub const HUB_CLIENT_ID: &str = "gannet/hub";

const HUB_STATE: &str = "gannet/v1/hub/state";

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A hub or an operator.
    Admin,
    /// One node.
    Node(NodeName),
}

impl Identity {
    /// The identity in a verified certificate's subject; `None` for one that has no business here.
    pub fn of(common_name: Option<&str>, organization: Option<&str>) -> Option<Self> {
        if organization.is_some_and(|o| ADMIN_ORGANIZATIONS.contains(&o)) {
            return Some(Self::Admin);
        }
        Self::node(common_name?)
    }

    pub(crate) fn node(common_name: &str) -> Option<Self> {
        common_name.strip_prefix(NODE_PREFIX)?.parse().ok().map(Self::Node)
    }

    /// Whether this client may have that client id: a node its name alone, or it could throw others out.
    pub fn may_connect_as(&self, client_id: &str) -> bool {
        match self {
            Self::Admin => client_id.parse::<NodeName>().is_err(),
            Self::Node(name) => client_id == name.as_str(),
        }
    }

    /// Whether it may publish there, also as its last will.
    pub fn may_publish(&self, topic: &str) -> bool {
        match self {
            Self::Admin => true,
            Self::Node(name) => {
                topic.parse::<Topic>().is_ok_and(|topic| topic.node() == Some(name) && topic.is_from_node())
            }
        }
    }

    /// Whether it may subscribe to that, wildcards and all.
    pub fn may_subscribe(&self, filter: &str) -> bool {
        match self {
            Self::Admin => true,
            // Behind its own name, wildcards cannot reach another node.
            Self::Node(name) => {
                let own = filter.strip_prefix("gannet/v1/node/").and_then(|f| f.strip_prefix(name.as_str()));
                filter == HUB_STATE || own.is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities() {
        let check = |cn: &str, o: Option<&str>, expect: Option<Identity>| {
            assert_eq!(Identity::of(Some(cn), o), expect, "{cn} {o:?}");
        };
        let node = |name: &str| Some(Identity::Node(name.parse().unwrap()));
        check("system:node:a", Some("system:nodes"), node("a"));
        check("system:node:a", None, node("a"));
        check("admin", Some("system:masters"), Some(Identity::Admin));
        check("localhost", Some("gannet:hubs"), Some(Identity::Admin));
        check("admin", Some("system:master"), None);
        check("system:node:", None, None);
        check("system:node:a/b", None, None);
        check("system:node:+", None, None);
        check("a", None, None);
        assert_eq!(Identity::of(None, Some("system:nodes")), None);
    }

    #[test]
    fn a_node_stays_with_its_own() {
        let a = Identity::Node("a".parse().unwrap());
        for topic in ["state", "get", "beat", "report", "cmd/1/state", "stream/1/up"] {
            assert!(a.may_publish(&format!("gannet/v1/node/a/{topic}")), "{topic}");
            assert!(!a.may_publish(&format!("gannet/v1/node/b/{topic}")), "{topic}");
            assert!(!a.may_publish(&format!("gannet/v1/node/aa/{topic}")), "{topic}");
        }
        for topic in
            ["gannet/v1/hub/state", "gannet/v1/node/a/desired", "gannet/v1/node/a/cmd/1", "x", "$SYS/x"]
        {
            assert!(!a.may_publish(topic), "{topic}");
        }
        for filter in Topic::node_subscriptions(&"a".parse().unwrap()) {
            assert!(a.may_subscribe(&filter), "{filter}");
        }
        let wide = [
            "#",
            "+/#",
            "gannet/v1/#",
            "gannet/v1/node/+/desired",
            "gannet/v1/node/#",
            "gannet/v1/node/a+",
            "$SYS/#",
        ];
        for filter in wide.into_iter().chain([
            "gannet/v1/node/b/desired",
            "gannet/v1/node/aa/desired",
            "gannet/v1/hub/+",
        ]) {
            assert!(!a.may_subscribe(filter), "{filter}");
        }
        assert!(a.may_connect_as("a") && !a.may_connect_as("b") && !a.may_connect_as(HUB_CLIENT_ID));
        assert!(Identity::Admin.may_connect_as(HUB_CLIENT_ID) && !Identity::Admin.may_connect_as("a"));
    }
}
