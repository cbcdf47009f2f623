//! Runs seeds, and says of a failure how to see it again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::params::{Params, Scenario};
use crate::sim::{Outcome, run};
use crate::trace::Keep;

/// Replays one seed with its whole trace.
const SEED: &str = "GANNET_SIM_SEED";
/// Runs so many seeds, however long it takes.
const SEEDS: &str = "GANNET_SIM_SEEDS";

/// Which seeds to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    first: u64,
    count: u64,
    keep: Keep,
    /// The time after which no further seed is begun.
    budget: Option<Duration>,
}

impl Plan {
    /// So many seeds within a time; the environment may ask for others.
    pub fn from_env(count: u64, budget: Duration) -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
        match (number(SEED), number(SEEDS)) {
            (Some(seed), _) => Self { first: seed, count: 1, keep: Keep::Print, budget: None },
            (None, Some(count)) => Self { first: 0, count, keep: Keep::Tail, budget: None },
            (None, None) => Self { first: 0, count, keep: Keep::Tail, budget: Some(budget) },
        }
    }

    /// Runs them.
    ///
    /// # Panics
    /// At the first seed in which an invariant does not hold, with the line that replays it.
    pub fn check(self, scenario: Scenario) {
        let start = Instant::now();
        let (mut runs, mut effects, mut millis) = (0, 0, 0);
        for seed in self.first..self.first + self.count {
            if self.budget.is_some_and(|budget| start.elapsed() > budget) {
                break;
            }
            let params = Params::new(seed, scenario);
            // A core that panics is told of with its seed too.
            match catch_unwind(AssertUnwindSafe(|| run(&params, self.keep))) {
                Ok(outcome) => {
                    assert!(outcome.violation.is_none(), "{}", failure(seed, &outcome));
                    (runs, effects, millis) = (runs + 1, effects + outcome.effects, millis + outcome.millis);
                }
                Err(_) => panic!("seed {seed} panicked\n{}", replay_line(seed)),
            }
        }
        assert!(effects > runs, "{runs} runs did nothing");
        eprintln!(
            "{scenario:?}: {runs} seeds, {} virtual hours, {effects} actions, in {:.1} s",
            millis / 3_600_000,
            start.elapsed().as_secs_f32()
        );
    }
}

fn replay_line(seed: u64) -> String {
    format!("replay: {SEED}={seed} cargo test -p gannet-tests-sim -- --nocapture")
}

fn failure(seed: u64, outcome: &Outcome) -> String {
    let (invariant, how) = match &outcome.violation {
        Some(violation) => (violation.invariant, violation.how.as_str()),
        None => ("", ""),
    };
    let tail = outcome.lines.join("\n");
    format!("seed {seed} breaks the invariant {invariant:?}: {how}\n{tail}\n{}", replay_line(seed))
}
