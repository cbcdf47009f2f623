//! Watch: the objects as they are, then every change of them, as a stream of JSON documents.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use gannet_hub_objects::{Clock, Happened, Heard, Listening, Objects, Status, meta};
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::query::Query;
use crate::read::{self, Wanted};
use crate::view::Presenter;

/// A minute, as in Kubernetes; tests have less patience.
const BOOKMARK_PERIOD: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 60_000 });
/// Where the client names no timeout. Clients watch again when it ends.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);
/// A dead connection must not hold a watch for ever.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// A watch in progress.
struct Watching {
    wanted: Wanted,
    presenter: Presenter,
    clock: Clock,
    /// What is to be sent before anything is heard.
    ready: VecDeque<Bytes>,
    /// None when the stream ends after what is ready.
    listening: Option<Box<dyn Listening>>,
    bookmarks: Option<Interval>,
    end: Instant,
    stop: CancellationToken,
    /// Whether the columns of a Table were sent.
    begun: bool,
}

/// Starts a watch. Whatever goes wrong with the revision is told in the stream, as clients expect it.
pub(crate) fn watch(
    objects: &Objects,
    wanted: Wanted,
    query: &Query,
    presenter: Presenter,
    stop: CancellationToken,
) -> Result<BoxStream<'static, io::Result<Bytes>>, Status> {
    let bookmarks = query.flag("allowWatchBookmarks");
    let initial = initial_events(query)?;
    let asked = query.get("resourceVersion").map(read::revision).transpose()?.unwrap_or(0);
    let timeout = match query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()) {
        None | Some(0) => DEFAULT_TIMEOUT,
        Some(seconds) => Duration::from_secs(seconds).min(MAX_TIMEOUT),
    };
    let mut period = tokio::time::interval_at(Instant::now() + BOOKMARK_PERIOD, BOOKMARK_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watching = Watching {
        wanted,
        presenter,
        clock: objects.clock(),
        ready: VecDeque::new(),
        listening: None,
        bookmarks: bookmarks.then_some(period),
        end: Instant::now() + timeout,
        stop,
        begun: false,
    };
    let from = if initial.unwrap_or(asked == 0) {
        watching.send_state(objects, initial == Some(true) && bookmarks)?
    } else if asked == 0 {
        objects.storage().revision()
    } else {
        asked
    };
    let current = objects.storage().revision();
    match objects.storage().watch(watching.wanted.kind, watching.wanted.namespace.as_deref(), from) {
        // A revision that this store has not reached is of another life of it.
        Ok(listening) if from <= current => watching.listening = Some(listening),
        _ => watching.send_error(&too_old(from, current)),
    }
    Ok(futures::stream::unfold(watching, |mut watching| async move {
        let bytes = watching.next().await?;
        Some((Ok(bytes), watching))
    })
    .boxed())
}

/// `sendInitialEvents`, checked as Kubernetes does.
fn initial_events(query: &Query) -> Result<Option<bool>, Status> {
    if query.get("sendInitialEvents").is_none() {
        return match query.get("resourceVersionMatch") {
            Some(_) => Err(Status::bad_request(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            None => Ok(None),
        };
    }
    if query.get("resourceVersionMatch") != Some("NotOlderThan") {
        return Err(Status::bad_request(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ));
    }
    Ok(Some(query.flag("sendInitialEvents")))
}

fn too_old(asked: u64, current: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} ({current})"))
}

impl Watching {
    /// The objects as they are, as `ADDED`. Gives the revision that changes follow.
    fn send_state(&mut self, objects: &Objects, mark_end: bool) -> Result<u64, Status> {
        let listing =
            objects.storage().list(self.wanted.kind, self.wanted.namespace.as_deref(), None, usize::MAX)?;
        for stored in &listing.items {
            let object = read::decoded(self.wanted.kind, stored)?;
            if self.wanted.selector.matches(&object) {
                let shown = self.presenter.watched(object, !std::mem::replace(&mut self.begun, true));
                self.ready.push_back(line("ADDED", &shown));
            }
        }
        if mark_end {
            self.ready.push_back(line("BOOKMARK", &self.presenter.bookmark(listing.revision, true)));
        }
        Ok(listing.revision)
    }

    fn send_error(&mut self, status: &Status) {
        self.listening = None;
        self.ready.push_back(line("ERROR", &status.to_json()));
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            let listening = self.listening.as_mut()?;
            let tick = async {
                match &mut self.bookmarks {
                    Some(period) => period.tick().await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.end) => return None,
                heard = listening.next() => heard,
                _ = tick => {
                    let revision = listening.progress();
                    return Some(line("BOOKMARK", &self.presenter.bookmark(revision, false)));
                }
            };
            match heard {
                Heard::Change(happened) => {
                    self.presenter.now = (self.clock)();
                    self.take(&happened);
                }
                Heard::Gone => {
                    let at = listening.progress();
                    self.send_error(&too_old(at, at));
                }
                Heard::Closed => return None,
            }
        }
    }

    /// A change as this client sees it: an object that leaves the selection is deleted for it.
    fn take(&mut self, happened: &Happened) {
        let decode = |bytes: &Option<std::sync::Arc<[u8]>>| {
            let object = bytes.as_ref().map(|bytes| meta::decode(bytes, happened.revision)).transpose();
            object.unwrap_or_else(|error| {
                tracing::warn!(object = %happened.key, %error, "a stored object does not decode");
                None
            })
        };
        let selector = &self.wanted.selector;
        let everything = selector.is_everything();
        let now = decode(&happened.value).filter(|object| selector.matches(object));
        let before = || decode(&happened.previous).filter(|object| selector.matches(object));
        let (kind, object) = match now {
            Some(object) if everything && happened.previous.is_some() => ("MODIFIED", object),
            Some(object) if everything => ("ADDED", object),
            Some(object) => (if before().is_some() { "MODIFIED" } else { "ADDED" }, object),
            None => match before() {
                Some(object) => ("DELETED", object),
                None => return,
            },
        };
        let shown = self.presenter.watched(object, !std::mem::replace(&mut self.begun, true));
        self.ready.push_back(line(kind, &shown));
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    text.into()
}
