//! Peers: programs that are run once a measurement. crun 1.8 refuses a hybrid hierarchy, so all of them run in a mount
//! namespace in which the v2 part is not there. A server in that namespace runs and times them; a fork from this process
//! would cost its size.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Seek as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A program that runs for each request. It ends with this value.
pub(super) struct Peer {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Nothing where the program is not installed.
    pub(super) fn start(program: &str, fixed: &[String]) -> anyhow::Result<Option<Self>> {
        if !Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success()) {
            return Ok(None);
        }
        let mut command = Command::new("unshare");
        command.arg("-m").arg(std::env::current_exe()?).arg("peer").arg("--").arg(program).args(fixed);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Some(Self { child, answers }))
    }

    /// Runs the program with further words to its end; how long that took.
    pub(super) fn run(&mut self, words: &str) -> anyhow::Result<Duration> {
        let input = self.child.stdin.as_mut().context("no input")?;
        writeln!(input, "{words}")?;
        let answer = self.answers.next().context("the peer's server ended")??;
        let nanos = answer.parse().map_err(|_| anyhow::anyhow!("{words}: {answer}"))?;
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The server: answers each line with nanoseconds, or with what went wrong.
pub(crate) fn serve(command: &[String]) -> anyhow::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let _ = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
    let (program, fixed) = command.split_first().context("no program")?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut run = Command::new(program);
        run.args(fixed).args(line.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null());
        // A file and no pipe: a container that goes on keeps it open.
        let mut errors = tempfile::tempfile()?;
        run.stderr(errors.try_clone()?);
        let begun = Instant::now();
        let status = run.status()?;
        let took = begun.elapsed();
        if status.success() {
            println!("{}", took.as_nanos());
        } else {
            let mut text = String::new();
            errors.rewind()?;
            errors.read_to_string(&mut text)?;
            println!("{status}: {}", text.replace('\n', " "));
        }
    }
    ensure!(std::io::stdout().flush().is_ok(), "nobody listens");
    Ok(())
}
