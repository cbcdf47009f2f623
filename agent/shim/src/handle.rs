//! What a shim does on request.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use oci_spec::runtime::LinuxResources;

use crate::command::exec::Request;
use crate::container::{Container, Deletion, ReplyTo, Starting};
use crate::creator;
use crate::fault;
use crate::fork;
use crate::kernel::limits::{self, Limits};
use crate::layout::check_container_id;
use crate::protocol;
use crate::protocol::{Action, ErrorKind, Event, Failure, Reply, ServerFrame, Status, VERSION};
use crate::record::{ContainerRecord, write_json};
use crate::sandbox;
use crate::shim::{Job, Shim};

/// What a request gives: an answer now, or later.
type Answer = Result<Option<Reply>, Failure>;

pub(crate) fn internal(err: &io::Error) -> Failure {
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
        let answer = match serde_json::from_value::<protocol::Request>(value) {
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
                let request = Request { container: &container, argv: &argv, env: &[] };
                self.exec(to, &request, Duration::from_millis(timeout_ms), limit).map(|()| None)
            }
            Action::Attach { container, argv, env, terminal, stdin } => {
                let request = Request { container: &container, argv: &argv, env: &env };
                self.attach(to, &request, terminal, stdin).map(|()| None)
            }
            Action::Device { container, node, access, remove } => {
                self.device(to, &container, &node, &access, remove).map(|()| None)
            }
            Action::Update { container, resources, pod } => {
                self.update(&container, &resources, pod.as_deref()).map(|()| Some(Reply::Done))
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
        fault::point("shim.create.recorded");
        sandbox::ensure_alive(&self.layout, &self.sandbox)?;
        if let Some(container) = self.containers.get_mut(id) {
            container.open_output(&self.layout, id)?;
        }
        fault::point("shim.create.piped");
        let (read, write) = fork::pipe()?;
        let diagnostics = write.try_clone()?;
        let job = Job::Create { container: id.to_owned(), reply };
        let keep = vec![diagnostics.as_raw_fd()];
        self.spawn(job, Some((read, write)), keep, |layout| creator::create(layout, id, bundle, &diagnostics))
    }

    pub(crate) fn find(&mut self, id: &str) -> Result<&mut Container, Failure> {
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
        fault::point("shim.start.recorded");
        let job = Job::Start { container: id.to_owned() };
        let begun =
            saved.and_then(|()| self.spawn(job, None, Vec::new(), |layout| creator::start(layout, id)));
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
        fault::point("shim.delete.wanted");
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
        let begun = self.spawn(job, None, Vec::new(), |layout| creator::remove(layout, id, &cgroup));
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

    fn update(
        &mut self,
        id: &str,
        resources: &LinuxResources,
        pod: Option<&LinuxResources>,
    ) -> Result<(), Failure> {
        let container = self.find(id)?;
        if container.exit.is_some() || container.record.process.is_none() {
            return Err(Failure::new(ErrorKind::BadState, format!("container {id} is not running")));
        }
        let (of_container, of_pod) = (container.record.cgroup.clone(), self.layout.cgroup());
        fault::point("shim.update.begun");
        let pod_limits = pod.map(|resources| (of_pod.as_str(), Limits::from(resources)));
        limits::update((&of_container, Limits::from(resources)), pod_limits)
            .map_err(|err| Failure::new(ErrorKind::Refused, err.to_string()))?;
        if let Some(pod) = pod {
            // For a shim that comes after this one; the limits hold all the same.
            self.sandbox.resources = Some(Box::new(pod.clone()));
            write_json(&self.layout.sandbox(), &self.sandbox).map_err(|err| internal(&err))?;
        }
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
