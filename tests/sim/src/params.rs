//! From a seed to what happens in its run.

use crate::random::Random;

/// What goes wrong, beyond the network between hub and nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Operators change things while everything breaks that can.
    Storm,
    /// Once all runs, nobody changes anything: links break, hub and agents die and come back, for hours. Machines and
    /// containers are well.
    Apart,
}

/// One run. Times are virtual milliseconds, chances are out of a thousand.
#[derive(Debug, Clone)]
pub struct Params {
    /// Where all else comes from.
    pub seed: u64,
    /// What kind of run.
    pub scenario: Scenario,
    /// How many nodes.
    pub nodes: usize,
    /// Whether the nodes are of one site, so that each hears of the others' pods.
    pub one_site: bool,
    /// How many Deployments the operator may have.
    pub deployments: usize,
    /// How long faults last.
    pub fault_millis: u64,
    /// Chance that a message is lost.
    pub loss: u32,
    /// Chance that it comes twice.
    pub duplicate: u32,
    /// Chance that others overtake it.
    pub reorder: u32,
    /// The longest delay of a message.
    pub delay_millis: u64,
    /// Mean time between two faults of links and processes.
    pub fault_every_millis: u64,
    /// Mean time between two changes by the operator.
    pub change_every_millis: u64,
    /// Chance that a container's run ends by itself.
    pub crash: u32,
    /// Chance that an action of the executor fails.
    pub failure: u32,
    /// Chance that a container ignores the stop signal.
    pub deaf: u32,
    /// Whether somebody who owns the broker sends false documents.
    pub forger: bool,
}

impl Params {
    /// The run of this seed.
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        let mut random = Random::new(seed, "params");
        let storm = scenario == Scenario::Storm;
        let mut storm_chance = |most: u64| if storm { small(random.between(0, most)) } else { 0 };
        let (crash, failure, deaf) = (storm_chance(300), storm_chance(150), storm_chance(300));
        Self {
            seed,
            scenario,
            nodes: count(random.between(1, 4)),
            one_site: random.chance(500),
            deployments: count(random.between(1, 3)),
            fault_millis: if storm { random.between(120_000, 900_000) } else { 7_200_000 },
            loss: small(random.between(0, 200)),
            duplicate: small(random.between(0, 200)),
            reorder: small(random.between(0, 200)),
            delay_millis: random.between(5, 400),
            fault_every_millis: if storm {
                random.between(5_000, 90_000)
            } else {
                random.between(60_000, 600_000)
            },
            change_every_millis: random.between(5_000, 60_000),
            crash,
            failure,
            deaf,
            forger: storm && random.chance(500),
        }
    }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(1)
}
