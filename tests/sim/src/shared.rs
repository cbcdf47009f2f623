//! What all parts of a run share: the time, the queue, the network, the trace, and what the invariants know.

use std::fmt;

use gannet_protocols_model::{SigningKey, Timestamp};

use crate::invariant::Authentic;
use crate::network::Network;
use crate::params::Params;
use crate::queue::Queue;
use crate::trace::{Keep, Trace};

/// 2027-01-15T08:00:00Z.
const START: u64 = 1_800_000_000_000;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub how: String,
}

/// What is shared.
#[derive(Debug)]
pub struct Shared {
    /// Milliseconds since the start.
    pub now: u64,
    /// What will happen.
    pub queue: Queue,
    /// The way between hub and nodes.
    pub net: Network,
    /// What happened.
    pub trace: Trace,
    /// The run.
    pub params: Params,
    /// Whether things break now.
    pub faults: bool,
    /// The hub's key.
    pub key: SigningKey,
    /// Knows which documents are true.
    pub authentic: Authentic,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// How often the executor changed a machine.
    pub effects: u64,
}

impl Shared {
    /// At the beginning of a run.
    pub fn new(params: Params, keep: Keep) -> Self {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&params.seed.to_le_bytes());
        let key = SigningKey::from_seed(&seed);
        Self {
            now: 0,
            queue: Queue::default(),
            net: Network::new(&params),
            trace: Trace::new(keep),
            faults: false,
            authentic: Authentic::default(),
            key,
            violation: None,
            effects: 0,
            params,
        }
    }

    /// The time as all clocks show it.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(START + self.now)
    }

    /// From a clock's time to the run's.
    pub fn millis(at: Timestamp) -> u64 {
        at.millis().saturating_sub(START)
    }

    /// Adds to the trace.
    pub fn say(&mut self, what: fmt::Arguments<'_>) {
        self.trace.say(self.now, what);
    }

    /// Notes whether an invariant holds.
    pub fn check(&mut self, invariant: &'static str, result: Result<(), String>) {
        if let Err(how) = result {
            self.trace.say(self.now, format_args!("VIOLATION of {invariant}: {how}"));
            self.violation.get_or_insert(Violation { invariant, how });
        }
    }
}
