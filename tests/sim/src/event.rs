//! What can happen in a run.

use gannet_agent_core::{ContainerId, Fact};
use gannet_hub_core::{Kind, ObjectKey};
use gannet_protocols_model::PodUid;

use crate::network::Wire;

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// On the network.
    Wire(Wire),
    /// The hub's process starts.
    HubStarts,
    /// The hub sees what somebody else wrote.
    HubSees(&'static Kind, ObjectKey),
    /// The hub's controllers take a turn.
    HubTurn(u64),
    /// The agent of a node starts.
    AgentStarts(usize),
    /// On a node.
    Node(usize, Happening),
    /// The operator changes something.
    Change,
    /// Something breaks.
    Fault,
    /// A forger sends something.
    Forge,
}

/// One thing that happens on a node.
#[derive(Debug, Clone)]
pub enum Happening {
    /// The executor carries out the next action of a pod, for this agent.
    Step(u64, PodUid),
    /// The agent learns something; `next` where the executor goes on with the pod then.
    Told {
        /// Which agent.
        agent: u64,
        /// What.
        fact: Box<Fact>,
        /// Whether the rest of the pod's actions follow, or are left out.
        next: Option<(PodUid, bool)>,
    },
    /// The process of a container ends, in this boot of the machine.
    Ends {
        /// Which boot.
        boot: u64,
        /// Whose.
        pod: PodUid,
        /// Which run.
        id: ContainerId,
        /// With which code.
        code: i32,
    },
}

impl From<Wire> for Event {
    fn from(wire: Wire) -> Self {
        Self::Wire(wire)
    }
}
