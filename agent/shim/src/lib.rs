//! The shim: one small single-threaded process a pod, which drives libcontainer and outlives the agent.
//!
//! libcontainer forks, changes the working directory and joins namespaces: it must never run in a process with more than
//! one thread. So the agent execs one **zygote** ([`zygote_main`]), which forks a **shim** a pod ([`PodLayout`] says where it
//! lives); the shim forks a child for each call into libcontainer and never calls it itself. Forking without exec keeps
//! the pages shared, so a shim costs little memory.
//!
//! - In: requests on `shim.sock` ([`Request`], framed by [`frame`]), `sandbox.json`, and one bundle a container
//!   ([`prepare`]).
//! - Out: [`Reply`], [`Event`], CRI logs, and the records that let an agent or another shim carry on: `containers/*.json`,
//!   `exits/*.json`.
//! - Invariants: a shim has one thread; what it must undo is recorded before it is done; a container ends only because it
//!   ended or was told to, never because agent, zygote or shim died; no message makes a shim die.
//!
//! A shim that died is replaced by another one for the same directory. The containers are not its children then: it watches
//! them by pidfd, and their exit codes stay unknown ([`Exit::known`]).

#![allow(unsafe_code, reason = "fork, pidfd, seccomp and bpf have no safe interface")]

mod command;
mod connection;
mod container;
mod creator;
pub mod descriptors;
mod diagnostics;
mod executor;
mod exits;
pub mod fault;
mod fork;
pub mod frame;
mod handle;
mod kernel;
mod layout;
mod log;
mod prepare;
mod process;
mod protocol;
mod record;
mod sandbox;
mod shim;
mod stage;
mod title;
mod zygote;

pub use command::terminal::Size;
pub use kernel::cgroup::{Usage, usage};
pub use kernel::idmap;
pub use kernel::namespaces::IdRange;
pub use kernel::seccomp::{SeccompError, compile as compile_seccomp};
pub use layout::{NotAnId, PodLayout, check_container_id};
pub use log::LogLimits;
pub use prepare::{Bundle, PrepareError, prepare};
pub use process::ProcessId;
pub use protocol::{
    Action, ContainerStatus, ErrorKind, Event, ExecOutcome, Exit, Failure, Reply, Request, ServerFrame,
    Status, VERSION, ZygoteReply, ZygoteRequest,
};
pub use record::{Sandbox, read_json, write_json};
pub use title::ROOM as TITLE_ROOM;
pub use zygote::{control_from_stdin, zygote_main};
