//! Bounds of the agent's own memory: an agent that leaks ends and is started again, instead of pods being killed for it.
//!
//! The limit is on what the process itself may allocate (`RLIMIT_DATA`), not on a cgroup: the shims, which must outlive
//! the agent, may lie in the same cgroup.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Many times what an agent with a hundred pods allocates, its threads' stacks included.
const MOST: u64 = 512 << 20;
/// Threads that wait for disks: each costs memory, and a gateway's flash gains nothing by more.
const BLOCKING_THREADS: usize = 24;
/// More threads that plan would find nothing to do.
const MOST_WORKERS: usize = 4;

/// Limits this process, once.
pub(crate) fn limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Data);
    let current = Some(maximum.map_or(MOST, |hard| hard.min(MOST)));
    if let Err(error) = setrlimit(Resource::Data, Rlimit { current, maximum }) {
        tracing::warn!(%error, "the agent's memory is not bounded");
    }
}

/// Takes the limit away again, for a process that makes containers.
pub(crate) fn unlimit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Data);
    // Never raised beyond what was given to the agent, so it cannot fail.
    let _ = setrlimit(Resource::Data, Rlimit { current: maximum, maximum });
}

/// A runtime of few threads.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MOST_WORKERS))
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
}
