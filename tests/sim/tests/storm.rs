//! Operators change things while everything breaks; then it heals, and all must agree.

use std::time::Duration;

use gannet_tests_sim::{Plan, Scenario};

#[test]
fn all_agree_once_nothing_breaks() {
    Plan::from_env(60, Duration::from_secs(16)).check(Scenario::Storm);
}
