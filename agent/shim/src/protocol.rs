//! What the agent and a shim say to each other.
//!
//! Every message carries the version of who sent it. A field or request that the other side does not know yet is ignored
//! or answered with [`ErrorKind::UnknownRequest`], so an agent and a shim that are one release apart understand each other.

use std::path::PathBuf;

use gannet_protocols_model::Timestamp;
use oci_spec::runtime::{LinuxDevice, LinuxResources};
use serde::{Deserialize, Serialize};

use crate::command::terminal::Size;
use crate::log::LogLimits;

/// The version of this protocol. Raised when an old field changes its meaning; new fields and requests do not raise it.
pub const VERSION: u32 = 1;

/// A request, and the number that its answer will bear.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the sender.
    pub v: u32,
    /// Chosen by the client; answers may come in another order.
    pub seq: u64,
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
}

/// What a client asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Action {
    /// Who is there. Answer: [`Reply::Hello`].
    Hello,
    /// Creates a container from a bundle that [`crate::prepare`] made. Answer: [`Reply::Created`].
    Create {
        /// Unique in the pod: name and attempt.
        container: String,
        /// The directory with `config.json`, `launch.json` and, where there is a filter, `seccomp.bpf`.
        bundle: PathBuf,
        /// The container's cgroup, below each hierarchy; this container's alone.
        cgroup: String,
        /// Where the log is appended to.
        log_path: PathBuf,
        /// Caps of the log.
        #[serde(default)]
        log_limits: LogLimits,
    },
    /// Runs the process of a created container. Answer: [`Reply::Started`] once it was executed.
    Start {
        /// Which.
        container: String,
    },
    /// Sends a signal to the container's first process. Answer: [`Reply::Done`], also when it has exited already.
    Signal {
        /// Which.
        container: String,
        /// The signal's number.
        signal: i32,
    },
    /// Kills what still runs and removes every trace but the log and the bundle. Answer: [`Reply::Done`], also when it
    /// never was.
    Delete {
        /// Which.
        container: String,
    },
    /// Runs a command in a running container, confined as the container is. Answer: [`Reply::Executed`].
    Exec {
        /// Which.
        container: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// Killed after so long.
        timeout_ms: u64,
        /// Bytes of output kept; more is read and dropped.
        limit: usize,
    },
    /// Runs a command in a running container for somebody who talks to it. Its standard input (if any), output and error,
    /// or a socket that gets the other end of its terminal, come as descriptors with this request. Answers:
    /// [`Reply::Started`], and [`Reply::Executed`] once it ended; it is killed when the connection closes before.
    Attach {
        /// Which.
        container: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// `NAME=value`, beside what the container has.
        #[serde(default)]
        env: Vec<String>,
        /// The size of its terminal; without a terminal where there is none.
        #[serde(default)]
        terminal: Option<Size>,
        /// Without a terminal: the first descriptor is its standard input.
        #[serde(default)]
        stdin: bool,
    },
    /// Gives a device to a running container, or takes it away: its node, and the right to use it. Answer: [`Reply::Done`],
    /// also where it is so already.
    Device {
        /// Which.
        container: String,
        /// The node as it appears in the container, with owner and permission bits.
        node: Box<LinuxDevice>,
        /// Letters of `rwm`.
        access: String,
        /// It goes.
        #[serde(default)]
        remove: bool,
    },
    /// Gives a running container, and its pod, other limits. Answer: [`Reply::Done`].
    Update {
        /// Which.
        container: String,
        /// Its processor and memory limits; what is not there stays as it is.
        resources: Box<LinuxResources>,
        /// Those of the pod's own cgroup.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pod: Option<Box<LinuxResources>>,
    },
    /// All containers. Answer: [`Reply::State`].
    State,
    /// From now on this connection gets [`Event`]s, first one for each container that exited before. Answer: [`Reply::Done`].
    Subscribe,
    /// Removes the pod's namespaces, cgroup and directory, then ends the shim. Refused while there are containers.
    Shutdown,
    /// A request of a later release.
    #[serde(other)]
    Unknown,
}

/// What a shim sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerFrame {
    /// [`VERSION`] of the sender.
    pub v: u32,
    /// The request that this answers; absent for an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Exactly one of the three is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Nothing to say but yes.
    Done,
    /// The shim.
    Hello {
        /// Its process.
        pid: i32,
    },
    /// The container waits for its start.
    Created {
        /// Its first process, as the host sees it.
        pid: i32,
    },
    /// The container's program was executed.
    Started {
        /// Its first process, as the host sees it.
        pid: i32,
    },
    /// The command ended.
    Executed(ExecOutcome),
    /// Every container.
    State {
        /// In the order of their ids.
        containers: Vec<ContainerStatus>,
    },
}

/// How a command in a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutcome {
    /// Its exit code; 128 and the signal's number when it was killed.
    pub exit_code: i32,
    /// Standard output and error as they came, up to the limit.
    pub output: String,
    /// It was killed because its time was up.
    pub timed_out: bool,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of reason.
    pub kind: ErrorKind,
    /// In words, as an operator should read them.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No such container.
    NotFound,
    /// There is one with this id.
    Exists,
    /// Not now: the container is not created, not running, or still there.
    BadState,
    /// The request itself is wrong.
    Invalid,
    /// The container or command could not be made: namespaces, mounts, cgroups, user, executable.
    Create,
    /// The program could not be executed.
    Start,
    /// The kernel or this shim does not do that: limits below what is used, a device that cannot be made.
    Refused,
    /// The shim does not know this request, or it comes from a release too new.
    UnknownRequest,
    /// Something else; the message says what.
    #[serde(other)]
    Internal,
}

/// What a shim tells by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A container ended.
    Exited {
        /// Which.
        container: String,
        /// How.
        exit: Exit,
    },
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code as Kubernetes counts: 128 and the signal's number when killed; 128 when the program could not be
    /// executed; 137 when unknown.
    pub code: i32,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The kernel killed a process of its cgroup because memory was used up.
    pub oom_killed: bool,
    /// When, by the device's clock.
    pub at: Timestamp,
    /// False when nobody was there to see the exit code.
    pub known: bool,
    /// Why the program could not be executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A container as the shim sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its id.
    pub id: String,
    /// How far it came.
    pub status: Status,
    /// Its first process, once created.
    pub pid: Option<i32>,
    /// When that process started, in ticks since boot: with the pid, a name that is never used again until the next boot.
    pub start_ticks: Option<u64>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Its first shim died: the exit code will be unknown.
    #[serde(default)]
    pub orphaned: bool,
    /// Its cgroup, below each hierarchy.
    #[serde(default)]
    pub cgroup: String,
    /// Bytes of log that could not be written.
    #[serde(default)]
    pub log_dropped: u64,
}

/// How far a container came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made, not started.
    Created,
    /// Started.
    Running,
    /// Ended.
    Exited,
}

/// What the agent asks of the zygote: fork a shim for this pod directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ZygoteRequest {
    /// [`VERSION`] of the sender.
    pub v: u32,
    /// The pod's directory, with `sandbox.json` in it.
    pub pod_dir: PathBuf,
}

/// The zygote's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ZygoteReply {
    /// [`VERSION`] of the sender.
    pub v: u32,
    /// Why there is no shim. Without it, one listens on `shim.sock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_release_may_send() {
        let parse = |text: &str| serde_json::from_str::<Request>(text);
        let new = parse(r#"{"v":2,"seq":3,"op":"checkpoint","container":"a"}"#).unwrap();
        assert!(matches!(new.action, Action::Unknown) && new.seq == 3);
        let more = parse(r#"{"v":1,"seq":4,"op":"start","container":"a","priority":7}"#).unwrap();
        assert!(matches!(more.action, Action::Start { container } if container == "a"));
        assert!(parse(r#"{"v":1,"seq":4,"op":"start"}"#).is_err(), "a known request without its field");
        let failure: Failure = serde_json::from_str(r#"{"kind":"quota","message":"m"}"#).unwrap();
        assert_eq!(failure.kind, ErrorKind::Internal);
    }

    #[test]
    fn replies_survive_the_wire() {
        let exit = Exit {
            code: 137,
            signal: Some(9),
            oom_killed: true,
            at: Timestamp::from_millis(5),
            known: true,
            message: None,
        };
        let frame = ServerFrame {
            v: VERSION,
            seq: None,
            reply: None,
            error: None,
            event: Some(Event::Exited { container: "a-0".to_owned(), exit }),
        };
        let text = serde_json::to_string(&frame).unwrap();
        let back: ServerFrame = serde_json::from_str(&text).unwrap();
        assert_eq!(back.event, frame.event, "{text}");
    }
}
