//! The person at the terminal has gone: `gannet up` still ends in order. (It once died of its own farewell and left mounts.)

use gannet_tests_e2e::{Fleet, PATIENCE};
use gannet_tests_support::{Running, binary, run, wait_until};

/// Even SIGKILL of `gannet up` leaves no pods: its agents are told by the kernel.
#[test]
fn a_killed_fleet_stops_its_pods() -> anyhow::Result<()> {
    let mut fleet = Fleet::new("gannet-killed")?;
    fleet.up(&["--example", "web-app"])?;
    fleet.kill()?;
    wait_until("nothing to be left", PATIENCE, || match fleet.leftovers().map_err(|e| e.to_string())? {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:#?}")),
    })
}

#[test]
fn a_closed_terminal_leaves_nothing() -> anyhow::Result<()> {
    let fleet = Fleet::new("gannet-terminal")?;
    let data = fleet.data();
    // The reader ends after the first line; whatever is printed after that meets a closed pipe.
    let line = format!(
        "{} up --example web-app --data-dir {} | head -n 1",
        binary("gannet")?.display(),
        data.display()
    );
    let mut shell = fleet.sandbox().command("sh");
    let mut shell = Running::start(shell.args(["-c", &line]))?;
    wait_until("three pods", PATIENCE, || {
        shell.still_runs()?;
        let text = fleet.gannet(&["get", "pods", "--no-headers"]).map_err(|e| format!("{e:#}"))?;
        if text.matches("Running").count() == 3 { Ok(()) } else { Err(text) }
    })?;
    let pattern = format!("gannet up .*{}", data.display());
    let (_, pids) = run(std::process::Command::new("pgrep").args(["-f", "-x", &format!(".*/{pattern}")]))?;
    let pid = pids.lines().next().ok_or_else(|| anyhow::anyhow!("gannet up does not run: {pids}"))?;
    run(std::process::Command::new("kill").args(["-HUP", pid]))?;
    shell.wait(PATIENCE)?;
    anyhow::ensure!(fleet.leftovers()? == Vec::<String>::new(), "left: {:#?}", fleet.leftovers()?);
    Ok(())
}
