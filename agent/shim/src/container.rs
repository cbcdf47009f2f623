//! One container as its shim keeps it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::creator::open_stdio;
use crate::diagnostics::MAX_TEXT;
use crate::fork::read_available;
use crate::layout::PodLayout;
use crate::log::{Log, Source, now};
use crate::protocol::{ContainerStatus, Exit, Status};
use crate::record::ContainerRecord;

/// Who gets the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo {
    pub(crate) client: u64,
    pub(crate) seq: u64,
}

/// A start under way: done when libcontainer's child has ended and the program was executed.
pub(crate) struct Starting {
    pub(crate) reply: ReplyTo,
    pub(crate) told: bool,
}

/// Deletion, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    None,
    /// As soon as it has ended.
    Wanted,
    /// A child is removing its traces.
    Running,
}

/// What comes out of a container.
pub(crate) struct Output {
    pub(crate) log: Log,
    pub(crate) stdout: Source,
    pub(crate) stderr: Source,
}

pub(crate) struct Container {
    pub(crate) record: ContainerRecord,
    pub(crate) exit: Option<Exit>,
    pub(crate) output: Option<Output>,
    pub(crate) log_dropped: u64,
    /// Where its first process says why it cannot execute the program; closed once it did.
    pub(crate) diagnostics: Option<File>,
    pub(crate) diagnosis: String,
    /// Set for a container of an earlier shim, whose end is seen through this alone.
    pub(crate) pidfd: Option<OwnedFd>,
    pub(crate) orphaned: bool,
    pub(crate) starting: Option<Starting>,
    pub(crate) deletion: Deletion,
    pub(crate) deletion_replies: Vec<ReplyTo>,
    /// Subscribers know of its end.
    pub(crate) announced: bool,
}

impl Container {
    pub(crate) fn new(record: ContainerRecord) -> Self {
        Self {
            record,
            exit: None,
            output: None,
            log_dropped: 0,
            diagnostics: None,
            diagnosis: String::new(),
            pidfd: None,
            orphaned: false,
            starting: None,
            deletion: Deletion::None,
            deletion_replies: Vec::new(),
            announced: false,
        }
    }

    pub(crate) fn status(&self) -> Status {
        match (&self.exit, self.record.process) {
            (Some(_), _) => Status::Exited,
            (None, None) => Status::Creating,
            (None, Some(_)) if self.record.started => Status::Running,
            (None, Some(_)) => Status::Created,
        }
    }

    pub(crate) fn describe(&self, id: &str) -> ContainerStatus {
        ContainerStatus {
            id: id.to_owned(),
            status: self.status(),
            pid: self.record.process.map(|p| p.pid),
            start_ticks: self.record.process.map(|p| p.start_ticks),
            exit: self.exit.clone(),
            orphaned: self.orphaned,
            cgroup: self.record.cgroup.clone(),
            log_dropped: self.output.as_ref().map_or(self.log_dropped, |output| output.log.dropped),
        }
    }

    /// Opens, and where needed makes, the pipes that the container writes to.
    pub(crate) fn open_output(&mut self, layout: &PodLayout, id: &str) -> io::Result<()> {
        let open = |stream: &'static str| {
            let path = layout.stdio(id, stream);
            match mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {
                    open_stdio(&path, false).map(|file| Source::new(file, stream))
                }
                Err(errno) => Err(errno.into()),
            }
        };
        let log = Log::new(self.record.log_path.clone(), self.record.log_limits);
        self.output = Some(Output { log, stdout: open("stdout")?, stderr: open("stderr")? });
        Ok(())
    }

    /// Logs what is left, and closes the pipes.
    pub(crate) fn close_output(&mut self) {
        if let Some(mut output) = self.output.take() {
            let time = now();
            output.stdout.finish(&mut output.log, &time);
            output.stderr.finish(&mut output.log, &time);
            self.log_dropped = output.log.dropped;
        }
    }

    /// Reads why the program could not be executed.
    pub(crate) fn read_diagnostics(&mut self) {
        if let Some(pipe) = &mut self.diagnostics {
            self.diagnosis.push_str(&read_available(pipe, 64 * 1024));
            let end = self.diagnosis.floor_char_boundary(MAX_TEXT);
            self.diagnosis.truncate(end);
        }
    }
}
