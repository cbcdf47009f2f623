//! The agent's side of the container runtime: starts the zygote, talks to one shim a pod, adopts what runs already.
//!
//! - In: a runtime spec a container ([`ContainerSpec`]), whose root file system and volumes are mounted, and what the
//!   pod's containers share ([`PodSandbox`]).
//! - Out: states, and [`RuntimeEvent`]s; each end of a container is told once in the life of a [`Runtime`], also one that
//!   happened while no agent ran.
//! - Invariants: dropping a [`Runtime`], or killing its process, stops no container. A shim that died is replaced, and
//!   its containers are adopted. Every call says yes to what is already so.

#![forbid(unsafe_code)]

mod config;
mod connection;
mod error;
mod filters;
mod host;
mod pod;
mod runtime;
mod session;
mod users;
mod zygote;

pub use config::{Changed, ContainerSpec, DeviceChange, PodSandbox, PodState, RuntimeConfig, RuntimeEvent};
pub use error::RuntimeError;
pub use gannet_agent_shim::{
    ContainerStatus, ErrorKind, ExecOutcome, Exit, Failure, IdRange, LogLimits, Size, Status, Usage, fault,
};
pub use host::apparmor_enabled;
pub use runtime::Runtime;
pub use session::{AttachSpec, ExecSession, Stream};
