//! Whether the node runs short, and of what.

use std::collections::BTreeMap;
use std::time::Duration;

use gannet_protocols_model::{ByteSize, NodeCondition, Timestamp};

/// A condition holds on for so long after the last time that it was met, so that the scheduler does not send pods back and
/// forth. Kubelet's number.
const TRANSITION: Duration = Duration::from_secs(300);

/// What a node may run short of, in the order in which it is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// `memory.available`
    Memory,
    /// `nodefs.available`; images lie on the same file system.
    Disk,
    /// `nodefs.inodesFree`
    Inodes,
    /// `pid.available`
    Pids,
}

/// How much there is of something, and how much there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Free.
    pub available: u64,
    /// Less than this is pressure.
    pub least: u64,
}

/// What the node ran short of, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pressure {
    last: BTreeMap<Signal, Timestamp>,
}

impl Signal {
    /// The resource, as messages name it.
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "ephemeral-storage",
            Self::Inodes => "inodes",
            Self::Pids => "pids",
        }
    }

    /// An amount of it.
    pub(super) fn amount(self, of: u64) -> String {
        match self {
            Self::Memory | Self::Disk => ByteSize(of).to_quantity(),
            Self::Inodes | Self::Pids => of.to_string(),
        }
    }
}

impl Level {
    /// Whether it is too little.
    pub fn is_short(self) -> bool {
        self.available < self.least
    }
}

impl Pressure {
    /// Takes a look. What cannot be measured is taken to be there.
    pub fn look(&mut self, levels: &BTreeMap<Signal, Level>, now: Timestamp) {
        for (signal, _) in levels.iter().filter(|(_, level)| level.is_short()) {
            self.last.insert(*signal, now);
        }
    }

    fn holds(&self, signals: &[Signal], now: Timestamp) -> bool {
        signals.iter().any(|s| self.last.get(s).is_some_and(|last| now.since(*last) < TRANSITION))
    }

    /// The node's conditions: always all three, with the reasons that tools compare.
    pub fn conditions(&self, now: Timestamp) -> Vec<NodeCondition> {
        let condition = |kind: &str, signals: &[Signal], bad: [&str; 2], good: [&str; 2]| {
            let holds = self.holds(signals, now);
            let [reason, message] = if holds { bad } else { good }.map(str::to_owned);
            NodeCondition { kind: kind.to_owned(), holds, reason, message }
        };
        vec![
            condition(
                "MemoryPressure",
                &[Signal::Memory],
                ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
                ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
            ),
            condition(
                "DiskPressure",
                &[Signal::Disk, Signal::Inodes],
                ["KubeletHasDiskPressure", "kubelet has disk pressure"],
                ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
            ),
            condition(
                "PIDPressure",
                &[Signal::Pids],
                ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
                ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_on_for_five_minutes() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        let mut pressure = Pressure::default();
        let mut look = |second: u64, disk: u64, inodes: u64| {
            let levels = BTreeMap::from([
                (Signal::Disk, Level { available: disk, least: 10 }),
                (Signal::Inodes, Level { available: inodes, least: 10 }),
            ]);
            pressure.look(&levels, at(second));
            let conditions = pressure.conditions(at(second));
            assert_eq!(conditions.len(), 3);
            conditions.into_iter().filter(|c| c.holds).map(|c| c.reason).collect::<Vec<_>>()
        };
        assert_eq!(look(0, 10, 10), Vec::<String>::new());
        assert_eq!(look(100, 9, 10), ["KubeletHasDiskPressure"]);
        assert_eq!(look(200, 10, 9), ["KubeletHasDiskPressure"]);
        assert_eq!(look(499, 10, 10), ["KubeletHasDiskPressure"]);
        assert_eq!(look(500, 10, 10), Vec::<String>::new());
    }
}
