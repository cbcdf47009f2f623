//! Real containers, through zygote, shim and libcontainer. Needs root; uses busybox where it is installed.
//!
//! This executable is the test, the zygote (`zygote`) and an agent to kill (`agent RUN-DIR`). Run one test by a part of its
//! name; `measure` runs only when named.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test")]

mod faults;
mod fixture;
mod interactive;
mod isolation;
mod lifecycle;
mod measure;
mod namespaces;
mod resources;
mod soak;
mod survival;
mod users;
mod versions;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), || Box::pin($module::$name()))),*]
    };
}

const TESTS: &[(&str, Test)] = tests![
    lifecycle::output_and_exit_code,
    lifecycle::signals,
    lifecycle::programs_that_cannot_be_executed,
    lifecycle::out_of_memory,
    lifecycle::commands_in_a_container,
    lifecycle::a_command_that_takes_too_long,
    lifecycle::logs_are_rotated,
    lifecycle::usage_is_read,
    isolation::a_pod_shares_namespaces,
    isolation::cgroups_cannot_be_written,
    isolation::confined_as_engines_do,
    isolation::privileges_may_be_gained_under_a_filter,
    isolation::devices_are_denied,
    isolation::one_process_is_enough,
    isolation::what_a_shim_does_not_understand,
    survival::an_agent_that_is_killed,
    survival::a_shim_that_is_killed,
    survival::a_shim_that_is_killed_while_it_creates,
    survival::a_container_that_ends_with_nobody_there,
    survival::a_zygote_that_is_killed,
    namespaces::processes_are_shared,
    namespaces::the_hosts_processes,
    namespaces::kernel_parameters,
    namespaces::a_command_is_where_its_container_is,
    interactive::pipes,
    interactive::a_terminal,
    interactive::a_command_ends_with_who_talks_to_it,
    resources::limits_change_in_place,
    resources::a_pod_as_a_whole,
    resources::devices_come_and_go,
    users::root_is_nobody_on_the_node,
    users::no_two_pods_are_alike,
    users::what_cannot_be_mapped_is_refused,
    versions::a_shim_of_an_earlier_release,
    faults::anything_may_die_at_any_point,
    faults::the_agent_may_die_at_any_point,
    soak::nothing_is_left,
];

/// Longer than any test takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("zygote") => {
            return gannet_agent_shim::control_from_stdin()
                .map_or(ExitCode::FAILURE, gannet_agent_shim::zygote_main);
        }
        Some("worker") => return faults::worker(&args[1..]),
        Some("agent") => return survival::agent(args.get(1).map_or("", String::as_str)),
        _ => {}
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("containers: skipped, needs root");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    if wanted.iter().any(|name| *name == "measure") {
        return run("measure", || Box::pin(measure::measure()));
    }
    let all = TESTS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())));
    let failed = all.filter(|(name, test)| run(name, *test) != ExitCode::SUCCESS).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(name: &str, test: Test) -> ExitCode {
    let begun = Instant::now();
    // A thread of its own turns a panic into a failure of this test alone.
    let outcome = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(PATIENCE, test()).await.expect("the test hangs") });
    });
    let passed = outcome.join().is_ok();
    eprintln!(
        "test {name} ... {} ({} ms)",
        if passed { "ok" } else { "FAILED" },
        begun.elapsed().as_millis()
    );
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
