//! What systemd is told: that the agent is ready, how it is, and that its loop still moves. The protocol is a datagram of
//! `KEY=VALUE` lines to the socket that `NOTIFY_SOCKET` names; without it nobody is told anything.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::logs::Statuses;

/// How often the state is told where no watchdog asks for more.
const PERIOD: Duration = Duration::from_secs(30);
/// A watchdog that wants more than this of a small machine would only do harm.
const SHORTEST: Duration = Duration::from_millis(100);

/// Touched by the loop at each turn, so that a loop that hangs is noticed.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    start: Instant,
    last_ms: Arc<AtomicU64>,
    longest_sleep: Option<Duration>,
}

impl Heartbeat {
    pub(crate) fn new(watchdog: Option<Duration>) -> Self {
        let longest_sleep = watchdog.map(|w| (w / 4).max(SHORTEST));
        Self { start: Instant::now(), last_ms: Arc::default(), longest_sleep }
    }

    /// The loop moves. Gives how long it may sleep now.
    pub(crate) fn beat(&self) -> Duration {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
        self.longest_sleep.unwrap_or(Duration::MAX)
    }

    /// How long ago the loop last moved.
    fn age(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// The way to the service manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notify {
    socket: Option<Arc<UnixDatagram>>,
    /// It wants to hear from us at least this often.
    pub(crate) watchdog: Option<Duration>,
}

impl Notify {
    /// From the environment that systemd gives.
    pub(crate) fn from_environment() -> Self {
        let var = |name: &str| std::env::var(name).ok();
        let Some(path) = var("NOTIFY_SOCKET") else { return Self::default() };
        let socket = match connect(&path) {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                warn!(%error, path, "the service manager is told nothing");
                return Self::default();
            }
        };
        let ours = var("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let micros = var("WATCHDOG_USEC").filter(|_| ours).and_then(|text| text.parse().ok());
        let watchdog = micros.filter(|micros| *micros > 0).map(Duration::from_micros);
        Self { socket: Some(socket), watchdog }
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            // A full queue: the next ping comes soon.
            warn!(%error, "the service manager does not listen");
        }
    }

    /// The pods of the ledger had their chance.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// Tells how the agent is, and that its loop moves, until it is told to stop.
    pub(crate) async fn keep(
        self,
        heartbeat: Heartbeat,
        statuses: watch::Receiver<Statuses>,
        stop: CancellationToken,
    ) {
        if self.socket.is_none() {
            return stop.cancelled().await;
        }
        if let Some(watchdog) = self.watchdog {
            info!(?watchdog, "watchdog");
        }
        let every = self.watchdog.map_or(PERIOD, |w| (w / 4).max(SHORTEST).min(PERIOD));
        let mut told = String::new();
        loop {
            let now = describe(&statuses.borrow());
            let mut lines = Vec::new();
            if let Some(watchdog) = self.watchdog {
                let age = heartbeat.age();
                // It may sleep for a quarter; the rest is for a busy machine.
                if age < watchdog * 3 / 4 {
                    lines.push("WATCHDOG=1".to_owned());
                } else {
                    warn!(?age, "the agent's loop does not move: the watchdog will end the agent");
                }
            }
            if now != told {
                lines.push(format!("STATUS={now}"));
                told = now;
            }
            if !lines.is_empty() {
                self.send(&lines.join("\n"));
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// A line for `systemctl status`.
pub(crate) fn describe(statuses: &Statuses) -> String {
    let ready = statuses.values().filter(|pod| pod.is_ready()).count();
    format!("{} pods, {ready} ready", statuses.len())
}

fn connect(path: &str) -> io::Result<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(dir: &tempfile::TempDir) -> (UnixDatagram, Notify) {
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let socket = connect(path.to_str().unwrap()).unwrap();
        (listener, Notify { socket: Some(Arc::new(socket)), watchdog: Some(Duration::from_millis(800)) })
    }

    fn next(listener: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 256];
        let count = listener.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pings_follow_the_loop() {
        let dir = tempfile::tempdir().unwrap();
        let (listener, notify) = listen(&dir);
        notify.ready("well");
        assert_eq!(next(&listener).as_deref(), Some("READY=1\nSTATUS=well"));
        let heartbeat = Heartbeat::new(notify.watchdog);
        assert_eq!(heartbeat.beat(), Duration::from_millis(200));
        let (_statuses, receiver) = watch::channel(Statuses::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(notify.clone().keep(heartbeat.clone(), receiver, stop.clone()));
        assert_eq!(next(&listener).as_deref(), Some("WATCHDOG=1\nSTATUS=0 pods, 0 ready"));
        for _ in 0..5 {
            heartbeat.beat();
            assert_eq!(next(&listener).as_deref(), Some("WATCHDOG=1"));
        }
        // The loop hangs: what was on its way comes, then nothing more.
        let mut more = 0;
        while next(&listener).is_some() {
            more += 1;
            assert!(more < 6, "pings go on without the loop");
        }
        heartbeat.beat();
        assert_eq!(next(&listener).as_deref(), Some("WATCHDOG=1"), "it moves again");
        stop.cancel();
        task.await.unwrap();
        notify.stopping();
        let last = std::iter::from_fn(|| next(&listener)).last();
        assert_eq!(last.as_deref(), Some("STOPPING=1\nSTATUS=stopping"));
    }

    #[test]
    fn nobody_listens() {
        assert!(connect("@gannet-test-nobody").is_err() && connect("/no/such").is_err());
        Notify::default().ready("x");
        assert_eq!(Heartbeat::new(None).beat(), Duration::MAX);
    }
}
