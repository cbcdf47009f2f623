//! What a shim does when a process ends: a child that called libcontainer, a container, a command.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use gannet_protocols_model::Timestamp;

use crate::container::ReplyTo;
use crate::diagnostics::explain;
use crate::fault;
use crate::fork::read_report;
use crate::kernel::cgroup;
use crate::process::ProcessId;
use crate::protocol::{ErrorKind, Event, Exit, Failure, Reply};
use crate::record::{remove_file, write_json};
use crate::shim::{Job, RunningJob, Shim};

/// The exit code where the program could not be executed, as container engines report it.
const NOT_EXECUTED: i32 = 128;

/// The exit code that Kubernetes gives to a container of which nobody knows how it ended.
const UNKNOWN: i32 = 137;

/// Processes of nobody that are remembered while something is being made.
const MAX_UNCLAIMED: usize = 64;

fn timestamp() -> Timestamp {
    Timestamp::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default())
}

impl Shim {
    /// Looks at every child that ended. Containers are children of this process as soon as those that made them ended.
    pub(crate) fn reap(&mut self) {
        loop {
            let (pid, code, signal) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code, None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid.as_raw(), 128 + signal as i32, Some(signal as i32))
                }
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let is = |process: Option<ProcessId>| process.is_some_and(|p| p.pid == pid);
            if let Some(job) = self.jobs.remove(&pid) {
                self.on_job(job);
            } else if let Some(id) = self
                .containers
                .iter()
                .find(|(_, c)| c.exit.is_none() && is(c.record.process))
                .map(|(id, _)| id.clone())
            {
                self.container_ended(&id, code, signal, true);
            } else if let Some(number) =
                self.execs.iter().find(|(_, exec)| is(exec.process)).map(|(number, _)| *number)
            {
                self.exec_ended(number, code);
            } else if self.jobs.values().any(|job| matches!(job.job, Job::Create { .. } | Job::Exec { .. })) {
                if self.unclaimed.len() >= MAX_UNCLAIMED {
                    self.unclaimed.pop_first();
                }
                self.unclaimed.insert(pid, (code, signal));
            }
        }
    }

    fn on_job(&mut self, mut job: RunningJob) {
        match job.job {
            Job::Create { ref container, reply } => {
                let id = container.clone();
                self.on_created(&id, reply, job);
            }
            Job::Start { container } => {
                let outcome = read_report::<()>(&mut job.report);
                self.on_start_told(&container, outcome);
            }
            Job::Remove { container, instead } => {
                let outcome = read_report::<()>(&mut job.report);
                self.on_removed(&container, outcome, instead);
            }
            Job::Exec { number } => self.on_exec_begun(number, job),
            Job::Device { reply } => {
                let outcome = read_report::<()>(&mut job.report);
                let failed = |words| Failure::new(ErrorKind::Refused, words);
                self.reply(reply, outcome.map(|()| Reply::Done).map_err(failed));
            }
        }
        if !self.jobs.values().any(|job| matches!(job.job, Job::Create { .. } | Job::Exec { .. })) {
            self.unclaimed.clear();
        }
    }

    fn on_created(&mut self, id: &str, reply: ReplyTo, mut job: RunningJob) {
        let outcome = read_report::<ProcessId>(&mut job.report);
        let Some(container) = self.containers.get_mut(id) else { return };
        container.diagnostics = job.diagnostics;
        let failure = match outcome {
            Ok(process) => {
                container.record.process = Some(process);
                fault::point("shim.create.reported");
                match self.save(id) {
                    Ok(()) => return self.on_made(id, reply, process),
                    Err(err) => {
                        Failure::new(ErrorKind::Internal, format!("cannot record container {id}: {err}"))
                    }
                }
            }
            Err(error) => {
                container.read_diagnostics();
                let words = explain(&error, &container.diagnosis);
                let kind = if words.starts_with(crate::diagnostics::EXEC) {
                    ErrorKind::Start
                } else {
                    ErrorKind::Create
                };
                Failure::new(kind, words)
            }
        };
        if let Some(container) = self.containers.get_mut(id) {
            container.diagnostics = None;
            container.close_output();
        }
        self.begin_removal(id, Some((reply, failure)));
    }

    fn on_made(&mut self, id: &str, reply: ReplyTo, process: ProcessId) {
        fault::point("shim.create.saved");
        if let Some(container) = self.containers.get_mut(id) {
            // What was logged while it was made was no error after all.
            container.read_diagnostics();
            container.diagnosis.clear();
        }
        self.reply(reply, Ok(Reply::Created { pid: process.pid }));
        if let Some((code, signal)) = self.unclaimed.remove(&process.pid) {
            self.container_ended(id, code, signal, true);
        }
        self.continue_deletion(id);
    }

    fn on_start_told(&mut self, id: &str, outcome: Result<(), String>) {
        fault::point("shim.start.told");
        let Some(container) = self.containers.get_mut(id) else { return };
        let waits = || container.record.process.is_some_and(ProcessId::runs_our_program);
        match outcome {
            // It was told before who told it died, or by an earlier shim.
            outcome if outcome.is_ok() || !waits() => {
                if let Some(starting) = &mut container.starting {
                    starting.told = true;
                }
            }
            outcome => {
                container.record.started = false;
                let words = outcome.err().unwrap_or_default();
                if let Some(starting) = container.starting.take() {
                    self.reply(starting.reply, Err(Failure::new(ErrorKind::Start, words)));
                }
                let _ = self.save(id);
            }
        }
        self.settle(id);
    }

    /// Says what can be said now about a container's start and end, and goes on deleting it.
    pub(crate) fn settle(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let told = container.starting.as_ref().is_some_and(|starting| starting.told);
        if told && container.diagnostics.is_none() {
            let pid = container.record.process.map_or(0, |p| p.pid);
            let outcome = match container.diagnosis.as_str() {
                "" => Ok(Reply::Started { pid }),
                text => Err(Failure::new(ErrorKind::Start, explain("", text))),
            };
            if let Some(starting) = container.starting.take() {
                self.reply(starting.reply, outcome);
            }
        }
        let Some(container) = self.containers.get_mut(id) else { return };
        if let Some(exit) = &container.exit
            && container.starting.is_none()
            && !container.announced
        {
            container.announced = true;
            let event = Event::Exited { container: id.to_owned(), exit: exit.clone() };
            self.announce(&event);
        }
        self.continue_deletion(id);
    }

    /// A container of an earlier shim ended, some way or other.
    pub(crate) fn container_gone(&mut self, id: &str) {
        self.container_ended(id, UNKNOWN, None, false);
    }

    fn container_ended(&mut self, id: &str, code: i32, signal: Option<i32>, known: bool) {
        let alone = !self.sandbox.host_pid && !self.sandbox.share_pid;
        let Some(container) = self.containers.get_mut(id) else { return };
        fault::point("shim.exit.seen");
        if !alone {
            // With a process namespace of its own the kernel has ended the rest already.
            cgroup::kill_in(&container.record.cgroup);
        }
        container.pidfd = None;
        container.close_output();
        container.read_diagnostics();
        container.diagnostics = None;
        let not_executed = known && container.record.started && !container.diagnosis.is_empty();
        let message = not_executed.then(|| explain("", &container.diagnosis));
        let code = if not_executed { NOT_EXECUTED } else { code };
        let oom_killed = code != 0 && cgroup::oom_kills(&container.record.cgroup) > 0;
        let exit = Exit { code, signal, oom_killed, at: timestamp(), known, message };
        // The record is for a shim that comes after this one; without it the exit code would be unknown, no more.
        let _ = write_json(&self.layout.exit(id), &exit);
        fault::point("shim.exit.recorded");
        for stream in ["stdout", "stderr"] {
            let _ = remove_file(&self.layout.stdio(id, stream));
        }
        container.exit = Some(exit);
        self.settle(id);
    }

    fn on_removed(&mut self, id: &str, outcome: Result<(), String>, instead: Option<(ReplyTo, Failure)>) {
        fault::point("shim.delete.removed");
        let outcome = outcome
            .and_then(|()| self.remove_files(id).map_err(|err| err.to_string()))
            .map_err(|words| Failure::new(ErrorKind::Internal, words));
        fault::point("shim.delete.files");
        if let Some((to, failure)) = instead {
            self.reply(to, Err(failure));
        }
        self.end_deletion(id, &outcome);
        // What could not be removed stays known, so that it can be tried again.
        if outcome.is_ok() {
            self.containers.remove(id);
        }
    }

    /// Kills what took too long.
    pub(crate) fn on_time(&mut self, now: Instant) {
        for (pid, job) in &mut self.jobs {
            if job.deadline <= now {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                job.deadline = now + crate::shim::JOB_TIME;
            }
        }
        self.end_late_execs(now);
    }
}
