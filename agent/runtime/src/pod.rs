//! The task of one pod: owns the connection to its shim, and replaces a shim that died.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use gannet_agent_shim::{Action, Event, Failure, PodLayout, Reply, Request, ServerFrame, VERSION};
use gannet_protocols_model::PodUid;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::config::RuntimeEvent;
use crate::connection::{Receiver, Sender, connect};
use crate::error::RuntimeError;
use crate::zygote::Fork;

/// Between two attempts to start a shim.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// A shim that was stopped accepts connections and says nothing.
const GREETING_TIME: Duration = Duration::from_secs(10);

/// Something to ask the shim.
pub(crate) struct Call {
    pub(crate) action: Action,
    pub(crate) done: oneshot::Sender<Result<Reply, RuntimeError>>,
}

pub(crate) struct PodTask {
    pub(crate) uid: PodUid,
    pub(crate) layout: PodLayout,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) zygote: mpsc::Sender<Fork>,
    pub(crate) events: mpsc::Sender<RuntimeEvent>,
    /// Events that wait for room in the channel: at most one a container, and one for the shim.
    pub(crate) outbox: VecDeque<RuntimeEvent>,
    /// Containers whose end was told.
    pub(crate) told: BTreeSet<String>,
}

struct Pending {
    done: oneshot::Sender<Result<Reply, RuntimeError>>,
    /// Forgotten once it is deleted.
    deletes: Option<String>,
    shutdown: bool,
}

/// How a connection ended.
enum Ended {
    /// The pod was shut down, or nobody can ask any more.
    ForGood,
    /// The shim died.
    Lost,
}

impl PodTask {
    /// Runs until the pod is shut down or the runtime dropped.
    pub(crate) async fn run(mut self) {
        let mut delay = FIRST_DELAY;
        loop {
            match self.open().await {
                Ok((receiver, sender)) => {
                    delay = FIRST_DELAY;
                    match self.serve(receiver, sender).await {
                        Ended::ForGood => return,
                        Ended::Lost => {
                            warn!(pod.uid = %self.uid, "shim lost");
                            self.outbox.push_back(RuntimeEvent::ShimLost { pod: self.uid.clone() });
                        }
                    }
                }
                Err(err) => {
                    warn!(pod.uid = %self.uid, error = %err, "cannot start a shim");
                    if !self.refuse_for(delay, &err).await {
                        return;
                    }
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
            }
        }
    }

    /// Connects to the shim that is there, else to one that the zygote forks.
    async fn open(&mut self) -> Result<(Receiver, Sender), RuntimeError> {
        let (mut receiver, mut sender) = match connect(&self.layout).await {
            Ok(both) => both,
            Err(_) => {
                self.fork().await?;
                connect(&self.layout).await.map_err(RuntimeError::io("connect to the shim"))?
            }
        };
        let hello = Request { v: VERSION, seq: 0, action: Action::Hello };
        let greet = async {
            sender.send(&hello).await?;
            sender.send(&Request { action: Action::Subscribe, ..hello }).await?;
            receiver.receive::<ServerFrame>().await
        };
        let frame = timeout(GREETING_TIME, greet)
            .await
            .map_err(|_| RuntimeError::NoAnswer { pod: self.uid.clone() })?;
        let frame = frame.map_err(RuntimeError::io("talk to the shim"))?;
        let Some(frame) = frame else { return Err(RuntimeError::ShimLost { pod: self.uid.clone() }) };
        if let Some(Reply::Hello { pid }) = frame.reply {
            info!(pod.uid = %self.uid, shim.pid = pid, shim.version = frame.v, "shim connected");
        }
        Ok((receiver, sender))
    }

    async fn fork(&mut self) -> Result<(), RuntimeError> {
        let (done, outcome) = oneshot::channel();
        let gone = || RuntimeError::Zygote { what: "the runtime is shutting down".to_owned() };
        let fork = Fork { pod_dir: self.layout.dir().to_owned(), done };
        self.zygote.send(fork).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    /// Without a shim every question has the same answer; false when nobody can ask any more.
    async fn refuse_for(&mut self, delay: Duration, why: &RuntimeError) -> bool {
        let until = Instant::now() + delay;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                call = self.calls.recv() => match call {
                    Some(call) => {
                        let what = why.to_string();
                        drop(call.done.send(Err(RuntimeError::Zygote { what })));
                    }
                    None => return false,
                },
            }
        }
    }

    async fn serve(&mut self, mut receiver: Receiver, mut sender: Sender) -> Ended {
        let mut pending: BTreeMap<u64, Pending> = BTreeMap::new();
        let mut seq = 0;
        let events = self.events.clone();
        let ended = loop {
            tokio::select! {
                permit = events.reserve(), if !self.outbox.is_empty() => {
                    match (permit, self.outbox.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // Nobody listens; the containers run all the same.
                        _ => self.outbox.clear(),
                    }
                }
                call = self.calls.recv() => {
                    let Some(Call { action, done }) = call else { break Ended::ForGood };
                    seq += 1;
                    let deletes = match &action {
                        Action::Delete { container } => Some(container.clone()),
                        _ => None,
                    };
                    pending.insert(seq, Pending { done, deletes, shutdown: matches!(action, Action::Shutdown) });
                    if sender.send(&Request { v: VERSION, seq, action }).await.is_err() {
                        break Ended::Lost;
                    }
                }
                frame = receiver.receive::<ServerFrame>() => match frame {
                    Ok(Some(frame)) => if self.on_frame(frame, &mut pending) { break Ended::ForGood },
                    Ok(None) => break Ended::Lost,
                    Err(err) if err.kind() == io::ErrorKind::InvalidData => {
                        warn!(pod.uid = %self.uid, error = %err, "shim sent what is not understood");
                    }
                    Err(_) => break Ended::Lost,
                },
            }
        };
        for lost in pending.into_values() {
            drop(lost.done.send(Err(RuntimeError::ShimLost { pod: self.uid.clone() })));
        }
        ended
    }

    /// True when the pod is shut down.
    fn on_frame(&mut self, frame: ServerFrame, pending: &mut BTreeMap<u64, Pending>) -> bool {
        if let Some(Event::Exited { container, exit }) = frame.event
            && self.told.insert(container.clone())
        {
            self.outbox.push_back(RuntimeEvent::Exited { pod: self.uid.clone(), container, exit });
        }
        let Some(waiting) = frame.seq.and_then(|seq| pending.remove(&seq)) else { return false };
        let outcome = match (frame.reply, frame.error) {
            (Some(reply), _) => Ok(reply),
            (None, Some(failure)) => Err(failure),
            (None, None) => {
                let message = "the shim answered in words of a later release".to_owned();
                Err(Failure { kind: gannet_agent_shim::ErrorKind::UnknownRequest, message })
            }
        };
        if let (Ok(_), Some(container)) = (&outcome, &waiting.deletes) {
            self.told.remove(container);
        }
        let shut_down = waiting.shutdown && outcome.is_ok();
        drop(waiting.done.send(outcome.map_err(RuntimeError::Refused)));
        shut_down
    }
}
