//! Why the runtime did not do something.

use std::io;

use gannet_agent_shim::{ErrorKind, Failure, PrepareError, Reply, SeccompError};
use gannet_protocols_model::PodUid;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such pod here.
    #[error("pod {pod} is not known to the runtime")]
    NoPod {
        /// Which.
        pod: PodUid,
    },
    /// The shim refused or failed; the message is for the user.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// The pod's shim died before it answered, or could not be started. Ask again: it is being replaced.
    #[error("the shim of pod {pod} is gone")]
    ShimLost {
        /// Which.
        pod: PodUid,
    },
    /// No answer in time.
    #[error("the shim of pod {pod} does not answer")]
    NoAnswer {
        /// Which.
        pod: PodUid,
    },
    /// The runtime spec cannot be run.
    #[error("container {container} cannot be prepared")]
    Prepare {
        /// Which.
        container: String,
        /// Why.
        #[source]
        source: PrepareError,
    },
    /// The seccomp profile cannot be honoured.
    #[error("the seccomp profile of container {container} cannot be used")]
    Seccomp {
        /// Which.
        container: String,
        /// Why.
        #[source]
        source: SeccompError,
    },
    /// A file or directory.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The zygote cannot be started, or cannot fork a shim.
    #[error("cannot start a shim: {what}")]
    Zygote {
        /// What it said.
        what: String,
    },
}

impl RuntimeError {
    /// The kind of refusal, where the shim refused.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Refused(failure) => Some(failure.kind),
            _ => None,
        }
    }

    pub(crate) fn unexpected(reply: &Reply) -> Self {
        Self::Io { what: "understand the shim".to_owned(), source: io::Error::other(format!("{reply:?}")) }
    }

    pub(crate) fn later_words() -> Self {
        let message = "the shim answered in words of a later release".to_owned();
        Self::Refused(Failure { kind: ErrorKind::UnknownRequest, message })
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}
