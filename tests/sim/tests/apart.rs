//! Hours without hub and network stop nothing, and start nothing anew.

use std::time::Duration;

use gannet_tests_sim::{Plan, Scenario};

#[test]
fn what_runs_keeps_running() {
    Plan::from_env(12, Duration::from_secs(6)).check(Scenario::Apart);
}
