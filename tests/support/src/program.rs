//! Programs: where they are, running them, and ending them.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// A program of this workspace, as built beside the running test.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: cargo build --workspace --bins"))
}

/// Runs a program to its end; returns whether it succeeded, and what it printed on both outputs.
pub fn run(command: &mut Command) -> anyhow::Result<(ExitStatus, String)> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status, String::from_utf8_lossy(&text).into_owned()))
}

/// A program in the background. It is told to end when this value goes away, and killed where it does not.
#[derive(Debug)]
pub struct Running {
    child: Child,
    text: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a program and collects what it prints.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let text = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().map(|o| collect(o, text.clone()));
        let err = child.stderr.take().map(|e| collect(e, text.clone()));
        Ok(Self { child, text, readers: out.into_iter().chain(err).collect() })
    }

    /// What the program printed so far, both outputs mixed.
    pub fn text(&self) -> String {
        self.text.lock().map(|t| t.clone()).unwrap_or_default()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails where the program has ended already.
    pub fn still_runs(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            other => Err(format!("ended: {other:?}\n{}", self.text())),
        }
    }

    /// Sends a signal by name, as `kill -NAME PID`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid().to_string();
        let (status, text) = run(Command::new("kill").args([&format!("-{name}"), &pid]))?;
        anyhow::ensure!(status.success(), "kill -{name} {pid}: {text}");
        Ok(())
    }

    /// Waits for the end.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.readers.drain(..).for_each(|r| drop(r.join()));
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("still runs after {limit:?}:\n{}", self.text());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // First in order, so that a test that failed leaves no pods behind either.
        if matches!(self.child.try_wait(), Ok(None)) && self.signal("TERM").is_ok() {
            let _ = self.wait(Duration::from_secs(60));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn collect(mut from: impl std::io::Read + Send + 'static, text: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.by_ref().read(&mut buffer) {
            if let Ok(mut text) = text.lock() {
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    })
}
