//! The control socket: what this node runs, its logs, and commands in its containers, for whoever is root here.
//!
//! A request is one line of JSON. Answers are lines of JSON too, but for commands ([`Request::Exec`]), where both sides
//! go on with frames ([`Frame`]).

mod event_ring;
mod exec;
mod find;
mod frame;
mod protocol;
mod serve;
mod socket;

pub(crate) use event_ring::{EventRing, KeptEvent, tee};
pub(crate) use find::{container_named, pod_named};
pub(crate) use frame::{Frame, read_frame, write_frame};
pub(crate) use protocol::{Answer, Described, ExecOf, Failed, LogsOf, PodOf, Request, to_line};
pub(crate) use serve::Control;
pub(crate) use socket::{addresses, bind};
