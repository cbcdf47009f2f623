//! Flush before acknowledge: one thread owns every write to sled and the only fsync on the write path.
//!
//! It takes whatever waits, does it in order, flushes once if anything of it has to be durable, and acknowledges all of
//! it: group commit. After the first failure nothing is written or acknowledged any more, since sled's log may then have
//! a hole at its end.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

/// Writes that may wait. Raft has one append in flight and the state machine follows it, so some dozen would do.
const QUEUE: usize = 1024;
/// How many writes share a flush at most: bounds how long the first of them waits.
const MAX_GROUP: usize = 256;
/// How long a write that nobody waits for may stay unflushed.
const LAZY: Duration = Duration::from_millis(500);

type Job = Box<dyn FnOnce() -> Result<(), sled::Error> + Send>;
type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

struct Write {
    job: Job,
    /// Called after the flush; none means that nobody waits for it.
    done: Option<Done>,
}

/// The way to the committing thread. Clones share it.
#[derive(Clone)]
pub(crate) struct Committer {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Mutex<Option<SyncSender<Write>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    pub(crate) fn start(db: sled::Db) -> io::Result<Self> {
        let (queue, writes) = sync_channel(QUEUE);
        let thread =
            std::thread::Builder::new().name("store-commit".into()).spawn(move || run(&db, &writes))?;
        let inner = Inner { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Does the job after all earlier ones; it becomes durable with the next flush, or soon.
    pub(crate) fn lazy(
        &self,
        job: impl FnOnce() -> Result<(), sled::Error> + Send + 'static,
    ) -> io::Result<()> {
        self.send(Write { job: Box::new(job), done: None }).map_err(|_| stopped())
    }

    /// Does the job after all earlier ones, flushes, and then calls `done`.
    pub(crate) fn durable(
        &self,
        job: impl FnOnce() -> Result<(), sled::Error> + Send + 'static,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        if let Err(write) = self.send(Write { job: Box::new(job), done: Some(Box::new(done)) }) {
            finish(write, Err(stopped()));
        }
    }

    /// As [`Committer::durable`], waiting for it.
    pub(crate) async fn wait(
        &self,
        job: impl FnOnce() -> Result<(), sled::Error> + Send + 'static,
    ) -> io::Result<()> {
        let (done, flushed) = oneshot::channel();
        self.durable(job, move |result| drop(done.send(result)));
        flushed.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Does what waits, flushes, and ends the thread.
    pub(crate) fn close(&self) {
        drop(lock(&self.inner.queue).take());
        let thread = lock(&self.inner.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's committing thread panicked");
        }
    }

    fn send(&self, write: Write) -> Result<(), Write> {
        let queue = lock(&self.inner.queue).clone();
        match queue {
            // Waits only if the queue is full, and then for the disk alone.
            Some(queue) => queue.send(write).map_err(|e| e.0),
            None => Err(write),
        }
    }
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Committer")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the store's committing thread has ended")
}

fn finish(write: Write, result: io::Result<()>) {
    if let Some(done) = write.done {
        done(result);
    }
}

fn run(db: &sled::Db, writes: &Receiver<Write>) {
    let mut failed: Option<String> = None;
    let mut dirty = false;
    loop {
        let received =
            if dirty { writes.recv_timeout(LAZY) } else { writes.recv().map_err(RecvTimeoutError::from) };
        let first = match received {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let waited_for_lazy = first.is_none();
        let mut acknowledge: Vec<Done> = Vec::new();
        for write in first.into_iter().chain(writes.try_iter()).take(MAX_GROUP) {
            if failed.is_none() {
                dirty = true;
                if let Err(e) = (write.job)() {
                    failed = Some(format!("cannot write to sled: {e}"));
                }
            }
            acknowledge.extend(write.done);
        }
        if failed.is_none() && dirty && (waited_for_lazy || !acknowledge.is_empty()) {
            match db.flush() {
                Ok(_) => dirty = false,
                Err(e) => failed = Some(format!("cannot flush sled: {e}")),
            }
        }
        if let Some(reason) = &failed {
            if dirty {
                tracing::error!(reason, "the store can write no more");
                dirty = false;
            }
            acknowledge.drain(..).for_each(|done| done(Err(io::Error::other(reason.clone()))));
        }
        acknowledge.into_iter().for_each(|done| done(Ok(())));
    }
    if failed.is_none()
        && let Err(e) = db.flush()
    {
        tracing::error!(error = %e, "the last flush of the store failed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn in_order_and_acknowledged_after_the_flush() {
        let dir = tempfile::tempdir().unwrap();
        let db = sled::open(dir.path()).unwrap();
        let committer = Committer::start(db.clone()).unwrap();
        let (seen, order) = mpsc::channel();
        for i in 0..100_u32 {
            let (db, seen) = (db.clone(), seen.clone());
            let job = move || db.insert(i.to_be_bytes(), vec![1]).map(drop);
            if i % 3 == 0 {
                committer.lazy(job).unwrap()
            } else {
                committer.durable(job, move |r| seen.send((i, r.is_ok())).unwrap())
            }
        }
        committer.close();
        let acknowledged: Vec<(u32, bool)> = order.try_iter().collect();
        assert_eq!(acknowledged, (0..100).filter(|i| i % 3 != 0).map(|i| (i, true)).collect::<Vec<_>>());
        assert_eq!(db.len(), 100);
        assert!(committer.lazy(|| Ok(())).is_err());
    }

    #[test]
    fn nothing_is_acknowledged_after_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let committer = Committer::start(sled::open(dir.path()).unwrap()).unwrap();
        let (seen, order) = mpsc::channel();
        for i in 0..3 {
            let seen = seen.clone();
            let job = move || if i == 1 { Err(sled::Error::Unsupported("test".into())) } else { Ok(()) };
            committer.durable(job, move |r| seen.send((i, r.is_ok())).unwrap());
            // One group each.
            std::thread::yield_now();
        }
        committer.close();
        let acknowledged: Vec<(i32, bool)> = order.try_iter().collect();
        assert_eq!(acknowledged.len(), 3);
        assert!(acknowledged.iter().all(|(i, ok)| *i == 0 || !ok), "{acknowledged:?}");
    }
}
