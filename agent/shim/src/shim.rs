//! The loop of a shim: one thread, one poll, everything else is an answer to what that says.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::command::exec::Exec;
use crate::connection::Connection;
use crate::container::{Container, ReplyTo};
use crate::creator;
use crate::fault;
use crate::fork;
use crate::layout::{PodLayout, check_container_id};
use crate::log::now;
use crate::process::ProcessId;
use crate::protocol::Failure;
use crate::record::{ContainerRecord, Sandbox, boot_id, read_json, remove_file, write_json};
use crate::sandbox;

/// The agent, an operator's tool, and a few to spare.
const MAX_CLIENTS: usize = 16;

/// A child that calls libcontainer and takes longer hangs, and is killed.
pub(crate) const JOB_TIME: Duration = Duration::from_secs(60);

/// A child that calls libcontainer.
pub(crate) enum Job {
    Create { container: String, reply: ReplyTo },
    Start { container: String },
    Remove { container: String, instead: Option<(ReplyTo, Failure)> },
    Exec { number: u64 },
    Device { reply: ReplyTo },
}

pub(crate) struct RunningJob {
    pub(crate) job: Job,
    pub(crate) report: File,
    pub(crate) diagnostics: Option<File>,
    pub(crate) deadline: Instant,
}

pub(crate) struct Shim {
    pub(crate) layout: PodLayout,
    pub(crate) sandbox: Sandbox,
    pub(crate) clients: BTreeMap<u64, Connection>,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) jobs: BTreeMap<i32, RunningJob>,
    pub(crate) execs: BTreeMap<u64, Exec>,
    /// Ended before the child that made them had reported their pids: exit code and signal.
    pub(crate) unclaimed: BTreeMap<i32, (i32, Option<i32>)>,
    pub(crate) next: u64,
    pub(crate) finished: bool,
    listener: UnixListener,
    signals: SignalFd,
    /// Locked as long as this shim lives.
    _lock: File,
}

#[derive(Clone)]
enum Token {
    Listener,
    Signals,
    Client(u64),
    Output(String),
    Diagnostics(String),
    Gone(String),
    Exec(u64),
}

/// Opens a pod's directory as its only shim: namespaces, the containers of an earlier shim, the socket.
///
/// # Errors
/// Another shim has it, or the system refuses what is needed.
pub(crate) fn open(layout: PodLayout) -> io::Result<Shim> {
    let lock = File::create(layout.lock())?;
    lock.try_lock().map_err(|err| match err {
        TryLockError::WouldBlock => io::Error::other("the pod has a shim already"),
        TryLockError::Error(err) => err,
    })?;
    let path = layout.sandbox();
    let missing = || io::Error::other(format!("{} is missing", path.display()));
    let mut sandbox: Sandbox = read_json(&path)?.ok_or_else(missing)?;
    fault::point("shim.open.locked");
    sandbox::ensure(&layout, &sandbox)?;
    fault::point("shim.open.sandbox");
    let boot = boot_id();
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    // The directory's path may be longer than a socket's address: bind by a relative name.
    std::env::set_current_dir(layout.dir())?;
    remove_file(&layout.socket())?;
    let listener = UnixListener::bind(PodLayout::SOCKET)?;
    std::env::set_current_dir("/")?;
    listener.set_nonblocking(true)?;
    fault::point("shim.open.listening");
    let same_boot = sandbox.boot_id == boot;
    if !same_boot {
        sandbox.boot_id = boot;
    }
    let mut shim = Shim {
        layout,
        sandbox,
        clients: BTreeMap::new(),
        containers: BTreeMap::new(),
        jobs: BTreeMap::new(),
        execs: BTreeMap::new(),
        unclaimed: BTreeMap::new(),
        next: 0,
        finished: false,
        listener,
        signals,
        _lock: lock,
    };
    shim.adopt(same_boot)?;
    if !same_boot {
        write_json(&path, &shim.sandbox)?;
    }
    Ok(shim)
}

impl Shim {
    /// Takes over what an earlier shim of this pod left. After a reboot its processes are gone, whatever has their pids.
    fn adopt(&mut self, same_boot: bool) -> io::Result<()> {
        for entry in fs::read_dir(self.layout.containers())?.flatten() {
            let path = entry.path();
            let Some(id) =
                path.file_name().and_then(|n| n.to_str()?.strip_suffix(".json")).map(str::to_owned)
            else {
                remove_file(&path)?;
                continue;
            };
            let record: Option<ContainerRecord> = read_json(&path).unwrap_or_default();
            let record = record.filter(|_| check_container_id(&id).is_ok());
            match record.as_ref().and_then(|record| record.process).zip(record) {
                Some((process, record)) => self.adopt_container(&id, record, process, same_boot)?,
                None => self.remove_unfinished(&id)?,
            }
        }
        Ok(())
    }

    fn adopt_container(
        &mut self,
        id: &str,
        record: ContainerRecord,
        process: ProcessId,
        same_boot: bool,
    ) -> io::Result<()> {
        let mut container = Container::new(record);
        container.exit = read_json(&self.layout.exit(id)).unwrap_or_default();
        // Whoever subscribes is told; the shim before this one may have had no time for it.
        container.announced = container.exit.is_some();
        container.orphaned = container.exit.is_none();
        let mut gone = false;
        if container.orphaned && container.record.started && same_boot && process.runs_our_program() {
            // The shim died between the note and the deed.
            container.record.started = false;
            write_json(&self.layout.container(id), &container.record)?;
        }
        if container.orphaned {
            container.open_output(&self.layout, id)?;
            container.pidfd = if same_boot { process.open().ok() } else { None };
            gone = container.pidfd.is_none();
        }
        self.containers.insert(id.to_owned(), container);
        if gone {
            self.container_gone(id);
        }
        Ok(())
    }

    /// A shim died while it made this container: it was never reported as made, so it is unmade.
    fn remove_unfinished(&mut self, id: &str) -> io::Result<()> {
        let cgroup = format!("{}/{id}", self.layout.cgroup());
        creator::remove(&self.layout, id, &cgroup).map_err(io::Error::other)?;
        self.remove_files(id)
    }

    pub(crate) fn remove_files(&self, id: &str) -> io::Result<()> {
        for path in [self.layout.stdio(id, "stdout"), self.layout.stdio(id, "stderr"), self.layout.exit(id)] {
            remove_file(&path)?;
        }
        // Last: without its record a container's traces would be forgotten.
        remove_file(&self.layout.container(id))
    }

    pub(crate) fn save(&self, id: &str) -> io::Result<()> {
        match self.containers.get(id) {
            Some(container) => write_json(&self.layout.container(id), &container.record),
            None => Ok(()),
        }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Serves until the pod is shut down.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        while !self.finished {
            for (token, events) in self.wait()? {
                self.on_event(&token, events);
            }
            self.on_time(Instant::now());
            if self.clients.values().any(|client| client.broken) {
                self.clients.retain(|_, client| !client.broken);
                self.drop_abandoned();
            }
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<Vec<(Token, PollFlags)>> {
        let read = PollFlags::POLLIN;
        let mut tokens = vec![Token::Listener, Token::Signals];
        let mut fds = vec![PollFd::new(self.listener.as_fd(), read), PollFd::new(self.signals.as_fd(), read)];
        for (id, client) in &self.clients {
            let write = if client.wants_to_write() { PollFlags::POLLOUT } else { PollFlags::empty() };
            tokens.push(Token::Client(*id));
            fds.push(PollFd::new(client.stream.as_fd(), read | write));
        }
        for (id, container) in &self.containers {
            if let Some(output) = &container.output {
                tokens.extend([Token::Output(id.clone()), Token::Output(id.clone())]);
                fds.extend(
                    [&output.stdout, &output.stderr].map(|source| PollFd::new(source.file.as_fd(), read)),
                );
            }
            if let Some(pipe) = &container.diagnostics {
                tokens.push(Token::Diagnostics(id.clone()));
                fds.push(PollFd::new(pipe.as_fd(), read));
            }
            if let Some(pidfd) = &container.pidfd {
                tokens.push(Token::Gone(id.clone()));
                fds.push(PollFd::new(pidfd.as_fd(), read));
            }
        }
        for (number, exec) in self.execs.iter().filter(|(_, exec)| exec.process.is_some()) {
            if let Some(output) = &exec.output {
                tokens.push(Token::Exec(*number));
                fds.push(PollFd::new(output.as_fd(), read));
            }
        }
        match poll(&mut fds, self.timeout(Instant::now())) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let happened =
            tokens.into_iter().zip(fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())));
        Ok(happened.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn timeout(&self, now: Instant) -> PollTimeout {
        let jobs = self.jobs.values().map(|job| job.deadline);
        let execs = self.execs.values().filter(|exec| !exec.timed_out).map(|exec| exec.deadline);
        let Some(next) = jobs.chain(execs).min() else { return PollTimeout::NONE };
        // Rounded up, else the last millisecond would be spent polling.
        let millis = next.saturating_duration_since(now).as_millis().saturating_add(1);
        PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
    }

    fn on_event(&mut self, token: &Token, events: PollFlags) {
        match token {
            Token::Listener => self.accept(),
            Token::Signals => {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap();
            }
            Token::Client(id) => self.on_client(*id),
            Token::Output(id) => self.pump(id),
            Token::Diagnostics(id) => self.on_diagnostics(id, events),
            Token::Gone(id) => self.container_gone(id),
            Token::Exec(number) => {
                if !self.collect(*number) && events.contains(PollFlags::POLLHUP) {
                    // Closed, but still running: nothing more comes from here until it ends.
                    self.silence(*number);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let id = self.number();
            if self.clients.len() < MAX_CLIENTS
                && let Ok(client) = Connection::new(stream)
            {
                self.clients.insert(id, client);
            }
        }
    }

    fn on_client(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.flush();
        for frame in client.receive() {
            self.on_frame(id, &frame);
        }
    }

    fn pump(&mut self, id: &str) {
        if let Some(output) = self.containers.get_mut(id).and_then(|container| container.output.as_mut()) {
            let time = now();
            output.stdout.pump(&mut output.log, &time);
            output.stderr.pump(&mut output.log, &time);
        }
    }

    fn on_diagnostics(&mut self, id: &str, events: PollFlags) {
        if let Some(container) = self.containers.get_mut(id) {
            container.read_diagnostics();
            if events.contains(PollFlags::POLLHUP) {
                container.diagnostics = None;
            }
        }
        self.settle(id);
    }

    /// Forks a child for a call into libcontainer.
    pub(crate) fn spawn<T: serde::Serialize>(
        &mut self,
        job: Job,
        diagnostics: Option<(File, File)>,
        mut keep: Vec<RawFd>,
        call: impl FnOnce(&PodLayout) -> Result<T, String>,
    ) -> io::Result<()> {
        let (report, to) = fork::pipe()?;
        let (read, write) = diagnostics.unzip();
        keep.extend([&to].into_iter().chain(&write).map(AsRawFd::as_raw_fd));
        let layout = &self.layout;
        let pid = fork::child(keep, || fork::report(&to, &call(layout)))?;
        let deadline = Instant::now() + JOB_TIME;
        self.jobs.insert(pid, RunningJob { job, report, diagnostics: read, deadline });
        Ok(())
    }
}
