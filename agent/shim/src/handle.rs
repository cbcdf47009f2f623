//! What a shim does on request.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::container::{Container, Deletion, ReplyTo, Starting};
use crate::creator;
use crate::fork;
use crate::layout::check_container_id;
use crate::protocol::{Action, ErrorKind, Event, Failure, Reply, Request, ServerFrame, Status, VERSION};
use crate::record::ContainerRecord;
use crate::sandbox;
use crate::shim::{Exec, Job, Shim};

/// Output of a command that is kept at most, whatever the client asks for: it must fit a frame, escaped.
const MAX_EXEC_OUTPUT: usize = 128 * 1024;

/// Commands at once in a pod; a probe that hangs must not pile up.
const MAX_EXECS: usize = 32;

/// What a request gives: an answer now, or later.
type Answer = Result<Option<Reply>, Failure>;

fn internal(err: &io::Error) -> Failure {
    Failure::new(ErrorKind::Internal, err.to_string())
}

impl Shim {
    pub(crate) fn reply(&mut self, to: ReplyTo, outcome: Result<Reply, Failure>) {
        let (reply, error) = match outcome {
            Ok(reply) => (Some(reply), None),
            Err(failure) => (None, Some(failure)),
        };
        if let Some(client) = self.clients.get_mut(&to.client) {
            client.send(&ServerFrame { v: VERSION, seq: Some(to.seq), reply, error, event: None });
        }
    }

    pub(crate) fn announce(&mut self, event: &Event) {
        let frame =
            ServerFrame { v: VERSION, seq: None, reply: None, error: None, event: Some(event.clone()) };
        for client in self.clients.values_mut().filter(|client| client.subscribed) {
            client.send(&frame);
        }
    }

    pub(crate) fn on_frame(&mut self, client: u64, frame: &[u8]) {
        let value: serde_json::Value = match serde_json::from_slice(frame) {
            Ok(value) => value,
            Err(_) => {
                // What is no JSON has no number to answer to.
                if let Some(client) = self.clients.get_mut(&client) {
                    client.broken = true;
                }
                return;
            }
        };
        let seq = value.get("seq").and_then(serde_json::Value::as_u64).unwrap_or_default();
        let to = ReplyTo { client, seq };
        let answer = match serde_json::from_value::<Request>(value) {
            Ok(request) => self.act(to, request.action),
            Err(err) => Err(Failure::new(ErrorKind::Invalid, format!("request is not understood: {err}"))),
        };
        if let Some(outcome) = answer.transpose() {
            self.reply(to, outcome);
        }
    }

    fn act(&mut self, to: ReplyTo, action: Action) -> Answer {
        match action {
            Action::Hello => Ok(Some(Reply::Hello { pid: nix::unistd::getpid().as_raw() })),
            Action::Create { container, bundle, cgroup, log_path, log_limits } => {
                let record =
                    ContainerRecord { bundle, cgroup, log_path, log_limits, process: None, started: false };
                self.create(to, &container, record).map(|()| None)
            }
            Action::Start { container } => self.start(to, &container).map(|()| None),
            Action::Signal { container, signal } => {
                self.signal(&container, signal).map(|()| Some(Reply::Done))
            }
            Action::Delete { container } => Ok(self.delete(to, &container)),
            Action::Exec { container, argv, timeout_ms, limit } => {
                self.exec(to, container, &argv, Duration::from_millis(timeout_ms), limit).map(|()| None)
            }
            Action::State => {
                let containers =
                    self.containers.iter().map(|(id, container)| container.describe(id)).collect();
                Ok(Some(Reply::State { containers }))
            }
            Action::Subscribe => {
                self.subscribe(to.client);
                Ok(Some(Reply::Done))
            }
            Action::Shutdown => self.shutdown().map(|()| Some(Reply::Done)),
            Action::Unknown => {
                Err(Failure::new(ErrorKind::UnknownRequest, format!("unknown to protocol version {VERSION}")))
            }
        }
    }

    fn create(&mut self, to: ReplyTo, id: &str, record: ContainerRecord) -> Result<(), Failure> {
        check_container_id(id).map_err(|err| Failure::new(ErrorKind::Invalid, err.to_string()))?;
        let cgroup = format!("{}/{id}", self.layout.cgroup());
        if record.cgroup != cgroup {
            // Removing a container kills all in its cgroup, so nothing else may be there.
            return Err(Failure::new(
                ErrorKind::Invalid,
                format!("cgroup {:?} must be {cgroup:?}", record.cgroup),
            ));
        }
        if self.containers.contains_key(id) {
            return Err(Failure::new(ErrorKind::Exists, format!("container {id} exists")));
        }
        let bundle = record.bundle.clone();
        self.containers.insert(id.to_owned(), Container::new(record));
        self.begin_create(to, id, &bundle).map_err(|err| {
            self.containers.remove(id);
            let _ = self.remove_files(id);
            internal(&err)
        })
    }

    fn begin_create(&mut self, reply: ReplyTo, id: &str, bundle: &Path) -> io::Result<()> {
        self.save(id)?;
        if let Some(container) = self.containers.get_mut(id) {
            container.open_output(&self.layout, id)?;
        }
        let (read, write) = fork::pipe()?;
        let diagnostics = write.try_clone()?;
        let job = Job::Create { container: id.to_owned(), reply };
        self.spawn(job, Some((read, write)), &[&diagnostics], |layout| {
            creator::create(layout, id, bundle, &diagnostics)
        })
    }

    fn find(&mut self, id: &str) -> Result<&mut Container, Failure> {
        let missing = || Failure::new(ErrorKind::NotFound, format!("no container {id}"));
        self.containers.get_mut(id).ok_or_else(missing)
    }

    fn start(&mut self, reply: ReplyTo, id: &str) -> Result<(), Failure> {
        let container = self.find(id)?;
        if container.status() != Status::Created || container.deletion != Deletion::None {
            return Err(Failure::new(
                ErrorKind::BadState,
                format!("container {id} is not waiting for its start"),
            ));
        }
        container.record.started = true;
        container.starting = Some(Starting { reply, told: false });
        // Recorded first: a container that might run counts as one that runs.
        let saved = self.save(id);
        let job = Job::Start { container: id.to_owned() };
        let begun = saved.and_then(|()| self.spawn(job, None, &[], |layout| creator::start(layout, id)));
        begun.map_err(|err| {
            if let Some(container) = self.containers.get_mut(id) {
                container.starting = None;
                container.record.started = false;
            }
            internal(&err)
        })
    }

    fn signal(&mut self, id: &str, signal: i32) -> Result<(), Failure> {
        let container = self.find(id)?;
        match container.record.process {
            _ if container.exit.is_some() => Ok(()),
            Some(process) => process.signal(signal).map_err(|err| {
                Failure::new(
                    ErrorKind::Invalid,
                    format!("cannot send signal {signal} to container {id}: {err}"),
                )
            }),
            None => Err(Failure::new(ErrorKind::BadState, format!("container {id} is not created yet"))),
        }
    }

    fn delete(&mut self, to: ReplyTo, id: &str) -> Option<Reply> {
        let Some(container) = self.containers.get_mut(id) else { return Some(Reply::Done) };
        container.deletion_replies.push(to);
        if container.deletion == Deletion::None {
            container.deletion = Deletion::Wanted;
        }
        self.continue_deletion(id);
        None
    }

    /// Kills what runs; removes what has ended; waits for what is being made.
    pub(crate) fn continue_deletion(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.deletion != Deletion::Wanted {
            return;
        }
        match container.status() {
            Status::Creating => {}
            Status::Created | Status::Running => {
                let kill = container.record.process.map_or(Ok(()), |p| p.signal(Signal::SIGKILL as i32));
                if let Err(err) = kill {
                    self.end_deletion(id, &Err(internal(&err)));
                }
            }
            Status::Exited => self.begin_removal(id, None),
        }
    }

    pub(crate) fn begin_removal(&mut self, id: &str, instead: Option<(ReplyTo, Failure)>) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.deletion = Deletion::Running;
        let cgroup = container.record.cgroup.clone();
        let job = Job::Remove { container: id.to_owned(), instead };
        let begun = self.spawn(job, None, &[], |layout| creator::remove(layout, id, &cgroup));
        if let Err(err) = begun {
            self.end_deletion(id, &Err(internal(&err)));
        }
    }

    pub(crate) fn end_deletion(&mut self, id: &str, outcome: &Result<(), Failure>) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.deletion = Deletion::None;
        for to in std::mem::take(&mut container.deletion_replies) {
            self.reply(to, outcome.clone().map(|()| Reply::Done));
        }
    }

    fn exec(
        &mut self,
        reply: ReplyTo,
        id: String,
        argv: &[String],
        timeout: Duration,
        limit: usize,
    ) -> Result<(), Failure> {
        let busy = self.execs.len() >= MAX_EXECS;
        let container = self.find(&id)?;
        if container.status() != Status::Running || container.starting.is_some() || busy || argv.is_empty() {
            let why = match () {
                () if argv.is_empty() => "a command needs a program".to_owned(),
                () if busy => format!("{MAX_EXECS} commands run in this pod already"),
                () => format!("container {id} is not running"),
            };
            return Err(Failure::new(ErrorKind::BadState, why));
        }
        let bundle = container.record.bundle.clone();
        let number = self.number();
        let deadline = Instant::now()
            .checked_add(timeout)
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 30));
        let limit = limit.min(MAX_EXEC_OUTPUT);
        let begin = |shim: &mut Self, bundle: PathBuf| {
            let (output, to) = fork::pipe()?;
            let (read, write) = fork::pipe()?;
            let diagnostics = write.try_clone()?;
            shim.spawn(Job::Exec { number }, Some((read, write)), &[&to, &diagnostics], |layout| {
                creator::exec(layout, &id, &bundle, argv, number, &to, &diagnostics)
            })?;
            Ok(output)
        };
        let output = begin(self, bundle).map_err(|err: io::Error| internal(&err))?;
        let exec = Exec {
            container: id,
            reply,
            output: Some(output),
            collected: Vec::new(),
            limit,
            deadline,
            process: None,
            timed_out: false,
        };
        self.execs.insert(number, exec);
        Ok(())
    }

    fn subscribe(&mut self, client: u64) {
        let ended: Vec<Event> = self
            .containers
            .iter()
            .filter(|(_, container)| container.announced)
            .filter_map(|(id, container)| {
                let exit = container.exit.clone()?;
                Some(Event::Exited { container: id.clone(), exit })
            })
            .collect();
        let Some(client) = self.clients.get_mut(&client) else { return };
        client.subscribed = true;
        for event in ended {
            client.send(&ServerFrame { v: VERSION, seq: None, reply: None, error: None, event: Some(event) });
        }
    }

    fn shutdown(&mut self) -> Result<(), Failure> {
        if !self.containers.is_empty() || !self.jobs.is_empty() {
            let ids: Vec<&str> = self.containers.keys().map(String::as_str).collect();
            let why = format!("the pod still has containers: {}", ids.join(", "));
            return Err(Failure::new(ErrorKind::BadState, why));
        }
        sandbox::remove(&self.layout).map_err(|err| internal(&err))?;
        self.finished = true;
        Ok(())
    }
}
