//! Commands in containers: probes and hooks, whose output is kept, and those that somebody talks to.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::join::Stdio;
use crate::command::terminal::Size;
use crate::container::ReplyTo;
use crate::creator::{self, Wanted};
use crate::diagnostics::explain;
use crate::fork::{self, read_available, read_report};
use crate::process::ProcessId;
use crate::protocol::{ErrorKind, ExecOutcome, Failure, Reply, Status};
use crate::shim::{Job, RunningJob, Shim};

/// Output of a command that is kept at most, whatever the client asks for: it must fit a frame, escaped.
const MAX_EXEC_OUTPUT: usize = 128 * 1024;

/// Commands at once in a pod; a probe that hangs must not pile up.
const MAX_EXECS: usize = 32;

/// "No deadline": longer than any machine runs.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// A command in a container.
pub(crate) struct Exec {
    reply: ReplyTo,
    /// Somebody talks to it, and it ends when he goes.
    attached: bool,
    /// Gone once nobody writes to it any more; absent where the output is not this shim's matter.
    pub(crate) output: Option<File>,
    collected: Vec<u8>,
    limit: usize,
    pub(crate) deadline: Instant,
    pub(crate) process: Option<ProcessId>,
    pub(crate) timed_out: bool,
}

/// What to run, and where.
pub(crate) struct Request<'a> {
    pub(crate) container: &'a str,
    pub(crate) argv: &'a [String],
    pub(crate) env: &'a [String],
}

impl Exec {
    fn kill(&self) {
        let Some(process) = self.process else { return };
        // Not reaped yet, so both numbers are still its own; it is the leader of a session.
        let _ = kill(Pid::from_raw(-process.pid), Signal::SIGKILL);
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
}

impl Shim {
    /// Runs a command and keeps its output.
    pub(crate) fn exec(
        &mut self,
        reply: ReplyTo,
        request: &Request<'_>,
        timeout: Duration,
        limit: usize,
    ) -> Result<(), Failure> {
        let pipes = || -> io::Result<(File, Stdio)> {
            let (output, to) = fork::pipe()?;
            let stderr = to.try_clone()?;
            Ok((output, Stdio::Files { stdin: File::open("/dev/null")?, stdout: to, stderr }))
        };
        let (output, stdio) = pipes().map_err(|err| Failure::new(ErrorKind::Internal, err.to_string()))?;
        let deadline = Instant::now().checked_add(timeout).unwrap_or_else(|| Instant::now() + FOR_EVER);
        let exec = Exec {
            reply,
            attached: false,
            output: Some(output),
            collected: Vec::new(),
            limit: limit.min(MAX_EXEC_OUTPUT),
            deadline,
            process: None,
            timed_out: false,
        };
        self.begin_exec(request, stdio, exec)
    }

    /// Runs a command whose ends are the client's.
    pub(crate) fn attach(
        &mut self,
        reply: ReplyTo,
        request: &Request<'_>,
        terminal: Option<Size>,
        stdin: bool,
    ) -> Result<(), Failure> {
        let client = self.clients.get_mut(&reply.client);
        let ends = client.map(|client| std::mem::take(&mut client.descriptors)).unwrap_or_default();
        let stdio = stdio_of(ends, terminal, stdin)?;
        let exec = Exec {
            reply,
            attached: true,
            output: None,
            collected: Vec::new(),
            limit: 0,
            deadline: Instant::now() + FOR_EVER,
            process: None,
            timed_out: false,
        };
        self.begin_exec(request, stdio, exec)
    }

    fn begin_exec(&mut self, request: &Request<'_>, stdio: Stdio, exec: Exec) -> Result<(), Failure> {
        let id = request.container;
        let busy = self.execs.len() >= MAX_EXECS;
        let container = self.find(id)?;
        let runs = container.status() == Status::Running && container.starting.is_none();
        let init = container.record.process.filter(|_| runs && !busy && !request.argv.is_empty());
        let Some(init) = init else {
            let why = match () {
                () if request.argv.is_empty() => "a command needs a program".to_owned(),
                () if busy => format!("{MAX_EXECS} commands run in this pod already"),
                () => format!("container {id} is not running"),
            };
            return Err(Failure::new(ErrorKind::BadState, why));
        };
        let bundle = container.record.bundle.clone();
        let number = self.number();
        let begin = |shim: &mut Self| {
            let (read, write) = fork::pipe()?;
            let diagnostics = write.try_clone()?;
            // Numbers only: the closure that runs in the child takes the ends themselves.
            let kept = stdio.numbers().into_iter().chain([diagnostics.as_raw_fd()]).collect();
            shim.spawn(Job::Exec { number }, Some((read, write)), kept, |_| {
                let wanted = Wanted { init, bundle: &bundle, argv: request.argv, env: request.env };
                creator::exec(&wanted, stdio, &diagnostics)
            })
        };
        begin(self).map_err(|err: io::Error| Failure::new(ErrorKind::Internal, err.to_string()))?;
        self.execs.insert(number, exec);
        Ok(())
    }

    pub(crate) fn on_exec_begun(&mut self, number: u64, mut job: RunningJob) {
        let outcome = read_report::<ProcessId>(&mut job.report);
        let Some(exec) = self.execs.get_mut(&number) else { return };
        match outcome {
            Ok(process) => {
                exec.process = Some(process);
                let (reply, attached) = (exec.reply, exec.attached);
                if attached {
                    self.reply(reply, Ok(Reply::Started { pid: process.pid }));
                    self.drop_abandoned();
                }
                if let Some((code, _)) = self.unclaimed.remove(&process.pid) {
                    self.exec_ended(number, code);
                }
            }
            Err(error) => {
                let text =
                    job.diagnostics.as_mut().map(|pipe| read_available(pipe, 4096)).unwrap_or_default();
                let failure = Failure::new(ErrorKind::Start, explain(&error, &text));
                if let Some(exec) = self.execs.remove(&number) {
                    self.reply(exec.reply, Err(failure));
                }
            }
        }
    }

    /// Takes what a command wrote; false when there was nothing.
    pub(crate) fn collect(&mut self, number: u64) -> bool {
        let Some(exec) = self.execs.get_mut(&number) else { return false };
        let Some(output) = &mut exec.output else { return false };
        let mut part = [0; 4096];
        match output.read(&mut part) {
            Ok(count) if count > 0 => {
                let room = exec.limit.saturating_sub(exec.collected.len());
                exec.collected.extend_from_slice(&part[..count.min(room)]);
                true
            }
            _ => false,
        }
    }

    /// A command closed its output and runs on.
    pub(crate) fn silence(&mut self, number: u64) {
        if let Some(exec) = self.execs.get_mut(&number) {
            exec.output = None;
        }
    }

    pub(crate) fn exec_ended(&mut self, number: u64, code: i32) {
        // No more than a pipe holds: what it left running may write for ever.
        for _ in 0..256 {
            if !self.collect(number) {
                break;
            }
        }
        if let Some(exec) = self.execs.remove(&number) {
            let output = String::from_utf8_lossy(&exec.collected).into_owned();
            let outcome = ExecOutcome { exit_code: code, output, timed_out: exec.timed_out };
            self.reply(exec.reply, Ok(Reply::Executed(outcome)));
        }
    }

    /// Kills what took too long.
    pub(crate) fn end_late_execs(&mut self, now: Instant) {
        for exec in self.execs.values_mut().filter(|exec| exec.deadline <= now && !exec.timed_out) {
            // One that is still being made is killed as soon as it is.
            if exec.process.is_some() {
                exec.timed_out = true;
                exec.kill();
            }
        }
    }

    /// Kills what somebody talked to who has gone.
    pub(crate) fn drop_abandoned(&mut self) {
        let gone = |exec: &&Exec| {
            exec.attached && self.clients.get(&exec.reply.client).is_none_or(|client| client.broken)
        };
        self.execs.values().filter(gone).for_each(Exec::kill);
    }
}

/// The ends of a command, as they came with the request.
fn stdio_of(ends: Vec<OwnedFd>, terminal: Option<Size>, stdin: bool) -> Result<Stdio, Failure> {
    let wanted = match terminal {
        Some(_) => 1,
        None => 2 + usize::from(stdin),
    };
    if ends.len() != wanted {
        let why = format!("{} descriptors came with the request, not {wanted}", ends.len());
        return Err(Failure::new(ErrorKind::Invalid, why));
    }
    let mut ends = ends.into_iter().map(File::from);
    let missing = || Failure::new(ErrorKind::Invalid, "a descriptor is missing");
    if let Some(size) = terminal {
        return Ok(Stdio::Terminal { console: ends.next().ok_or_else(missing)?, size });
    }
    let null = || File::open("/dev/null").map_err(|err| Failure::new(ErrorKind::Internal, err.to_string()));
    let stdin = if stdin { ends.next().ok_or_else(missing)? } else { null()? };
    let (stdout, stderr) = ends.next().zip(ends.next()).ok_or_else(missing)?;
    Ok(Stdio::Files { stdin, stdout, stderr })
}
