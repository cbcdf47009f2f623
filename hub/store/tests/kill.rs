//! Kill -9, again and again: no acknowledged transaction is lost, none is half there, and no revision is given twice.
//!
//! The test starts itself as a child that writes transactions of two keys from several tasks and prints each one that was
//! acknowledged; kills it at a random moment; and looks at what the next opening finds. `KILL_SEED` and `KILL_ROUNDS`
//! repeat a run.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gannet_hub_store::{Config, Expect, Key, Op, Outcome, Range, Store, Transaction};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const CHILD: &str = "KILL_CHILD_DIR";
const ROUND: &str = "KILL_CHILD_ROUND";
const WRITERS: u64 = 4;

fn main() -> Result<()> {
    if let Some(dir) = std::env::var_os(CHILD) {
        return runtime()?.block_on(write(Path::new(&dir), std::env::var(ROUND)?.parse()?));
    }
    // Answers what test runners ask for without being a list of tests.
    if std::env::args().any(|a| a == "--list") {
        return Ok(());
    }
    let from_env = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seed = from_env("KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let rounds = from_env("KILL_ROUNDS").unwrap_or(100);
    let start = Instant::now();
    let summary =
        kill(seed, rounds).with_context(|| format!("replay with KILL_SEED={seed} KILL_ROUNDS={rounds}"))?;
    writeln!(std::io::stdout(), "kill: {rounds} rounds, seed {seed}, {summary}, {:?}", start.elapsed())?;
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn config(dir: &Path) -> Config {
    // Snapshots and purges happen within a round.
    Config { snapshot_every: 40, ..Config::single(dir) }
}

fn keys(name: &str) -> [Key; 2] {
    ["left", "right"].map(|namespace| Key::new("pairs", namespace, name))
}

/// The child: writes until it is killed. Prints `ok NAME REVISION` after each acknowledgement.
async fn write(dir: &Path, round: u64) -> Result<()> {
    let store = Store::open(config(dir)).await?;
    let mut out = std::io::stdout();
    writeln!(out, "open {}", store.revision())?;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0_u64.. {
                let name = format!("{round}-{writer}-{n}");
                let value = name.repeat(1 + usize::try_from(n % 7)?);
                let put = |key| Op::Put { key, value: value.clone().into_bytes(), expect: Expect::Absent };
                let outcome = store.commit(Transaction { ops: keys(&name).map(put).into() }).await?;
                let Outcome::Committed { revision, .. } = outcome else { bail!("{name}: {outcome:?}") };
                // One write call a line, so a line is printed or not.
                std::io::stdout().lock().write_all(format!("ok {name} {revision}\n").as_bytes())?;
            }
            Ok(())
        });
    }
    while let Some(result) = writers.join_next().await {
        result??;
    }
    Ok(())
}

/// The parent. Gives what happened, in words.
fn kill(seed: u64, rounds: u64) -> Result<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir()?;
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    let mut unacknowledged = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe()?)
            .env(CHILD, dir.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no pipe")?;
        let reader = std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).collect::<Vec<_>>()
        });
        // From the middle of opening to the middle of writing.
        std::thread::sleep(Duration::from_micros(random.random_range(5_000..250_000)));
        child.kill()?;
        let status = child.wait()?;
        ensure!(status.code().is_none(), "round {round}: the child ended by itself: {status}");
        let lines = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        for line in lines {
            if let Some(("ok", rest)) = line.split_once(' ') {
                let (name, revision) = rest.split_once(' ').context("a torn line")?;
                acknowledged.insert(name.to_owned(), revision.parse()?);
            }
        }
        // Looking every round would take twice the time: the child itself opens what the kill before left.
        if round % 5 == 4 || round + 1 == rounds {
            unacknowledged = runtime()?
                .block_on(verify(dir.path(), &acknowledged))
                .with_context(|| format!("round {round}"))?;
        }
    }
    ensure!(
        acknowledged.len() > usize::try_from(rounds)?,
        "only {} acknowledged: nothing was tested",
        acknowledged.len()
    );
    Ok(format!("{} acknowledged, {unacknowledged} more committed", acknowledged.len()))
}

async fn verify(dir: &Path, acknowledged: &BTreeMap<String, u64>) -> Result<usize> {
    let store = Store::open(config(dir)).await?;
    ensure!(store.recovery().is_none(), "not opened as it was: {:?}", store.recovery());
    let names = |namespace: &str| -> BTreeMap<String, (u64, Vec<u8>)> {
        let items = store.list(&Range::within("pairs", namespace)).items;
        items.into_iter().map(|i| (i.key.name, (i.modified.0, i.value.to_vec()))).collect()
    };
    let (left, right) = (names("left"), names("right"));
    ensure!(left == right, "a transaction is half there");
    let mut revisions: Vec<u64> = left.values().map(|(revision, _)| *revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    ensure!(revisions.len() == left.len(), "two transactions have one revision");
    ensure!(
        revisions.last().copied().unwrap_or(0) == store.revision().0,
        "the store's revision is not its last"
    );
    for (name, revision) in acknowledged {
        let (found, value) =
            left.get(name).with_context(|| format!("{name} was acknowledged and is lost"))?;
        ensure!(found == revision, "{name} was acknowledged at {revision} and is at {found}");
        ensure!(value.starts_with(name.as_bytes()), "{name} has another value");
    }
    store.shutdown().await;
    Ok(left.len() - acknowledged.len())
}
