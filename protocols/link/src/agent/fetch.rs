//! Pulls what a desired document closes over: its manifests and network, and the config blobs that manifests name.

use std::collections::BTreeMap;
use std::time::Duration;

use gannet_protocols_model::{ConfigBlob, Desired, Digest, Manifest, Network, Timestamp};
use gannet_protocols_wire::{BlobReply, MAX_BLOB_BYTES};

/// The most blobs asked for at a time: keeps a poor link's queue short, and the broker's.
pub const MAX_OUTSTANDING: usize = 8;
/// The most blobs of one document: 1024 pods with a manifest and a handful of config blobs each.
const MAX_CLOSURE: usize = 8192;
/// The first time that an answer is waited for; doubles up to [`PATIENCE_MAX`].
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Manifest,
    Network,
    Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The ledger was not asked yet.
    New,
    /// The ledger is being asked.
    LookedUp,
    /// The ledger lacks it; the hub may be asked from this time on.
    Missing { ask_at: Timestamp, attempts: u32 },
    /// The hub was asked, and has until this time.
    Asked { until: Timestamp, attempts: u32 },
    /// The ledger has it.
    Present,
}

/// A document whose blobs are being gathered.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) desired: Desired,
    pub(crate) envelope: Vec<u8>,
    pub(crate) digest: Digest,
    wanted: BTreeMap<Digest, (Role, Stage)>,
}

/// What became of a blob that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Checked: keep it.
    Keep(Vec<u8>),
    /// Nobody waits for it.
    Unwanted,
    /// The hub has none, for now.
    Refused(String),
    /// Not what its digest names; asked for again.
    Wrong,
}

impl Fetch {
    pub(crate) fn new(desired: Desired, envelope: Vec<u8>, digest: Digest) -> Self {
        let mut fetch = Self { desired, envelope, digest, wanted: BTreeMap::new() };
        let manifests: Vec<Digest> = fetch.desired.pods.iter().map(|pod| pod.manifest).collect();
        for manifest in manifests {
            fetch.want(manifest, Role::Manifest);
        }
        if let Some(network) = fetch.desired.network {
            fetch.want(network, Role::Network);
        }
        fetch
    }

    fn want(&mut self, digest: Digest, role: Role) {
        self.wanted.entry(digest).or_insert((role, Stage::New));
    }

    /// The blobs to look up in the ledger now.
    pub(crate) fn take_look_ups(&mut self) -> Vec<Digest> {
        let fresh = self.wanted.iter_mut().filter(|(_, (_, stage))| *stage == Stage::New);
        fresh.map(|(digest, (_, stage))| (*stage = Stage::LookedUp, *digest).1).collect()
    }

    /// The ledger answered. A blob that does not match its name counts as missing.
    pub(crate) fn on_look_up(
        &mut self,
        digest: &Digest,
        bytes: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some((_, stage @ Stage::LookedUp)) = self.wanted.get_mut(digest) else { return Ok(()) };
        match bytes.filter(|b| digest.matches(b)) {
            Some(bytes) => self.present(digest, bytes),
            None => {
                *stage = Stage::Missing { ask_at: now, attempts: 0 };
                Ok(())
            }
        }
    }

    /// The hub answered. An error refuses the whole document.
    pub(crate) fn on_reply(
        &mut self,
        digest: &Digest,
        reply: &BlobReply,
        now: Timestamp,
    ) -> Result<Came, String> {
        let Some((_, stage)) = self.wanted.get_mut(digest) else { return Ok(Came::Unwanted) };
        let attempts = match *stage {
            Stage::Missing { attempts, .. } | Stage::Asked { attempts, .. } => attempts.saturating_sub(1),
            Stage::New | Stage::LookedUp | Stage::Present => return Ok(Came::Unwanted),
        };
        let mut later =
            || *stage = Stage::Missing { ask_at: now.plus(patience(attempts)), attempts: attempts + 1 };
        match reply.bytes() {
            Err(reason) => {
                later();
                Ok(Came::Refused(reason.chars().take(300).collect()))
            }
            Ok(bytes) if bytes.len() > MAX_BLOB_BYTES || !digest.matches(&bytes) => {
                later();
                Ok(Came::Wrong)
            }
            Ok(bytes) => {
                self.present(digest, &bytes)?;
                Ok(Came::Keep(bytes))
            }
        }
    }

    /// A blob is there: what it names is wanted too.
    fn present(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), String> {
        let Some((role, stage)) = self.wanted.get_mut(digest) else { return Ok(()) };
        *stage = Stage::Present;
        match role {
            Role::Manifest => {
                let manifest =
                    Manifest::parse(bytes).map_err(|e| format!("manifest {digest} is refused: {e}"))?;
                for blob in manifest.blobs() {
                    self.want(blob, Role::Config);
                }
            }
            Role::Network => {
                Network::parse(bytes).map_err(|e| format!("network {digest} does not parse: {e}"))?;
            }
            Role::Config => {
                ConfigBlob::parse(bytes).map_err(|e| format!("config {digest} does not parse: {e}"))?;
            }
        }
        if self.wanted.len() > MAX_CLOSURE {
            return Err(format!("desired document names more than {MAX_CLOSURE} blobs"));
        }
        Ok(())
    }

    /// The blobs to ask the hub for now; those that waited longest come first.
    pub(crate) fn take_asks(&mut self, now: Timestamp) -> Vec<Digest> {
        let mut outstanding = 0;
        let mut ready = Vec::new();
        for (digest, (_, stage)) in &mut self.wanted {
            if let Stage::Asked { until, attempts } = *stage {
                if until > now {
                    outstanding += 1;
                    continue;
                }
                *stage = Stage::Missing { ask_at: until, attempts };
            }
            if let Stage::Missing { ask_at, .. } = *stage
                && ask_at <= now
            {
                ready.push((ask_at, *digest));
            }
        }
        ready.sort_unstable();
        ready.truncate(MAX_OUTSTANDING.saturating_sub(outstanding));
        for (_, digest) in &ready {
            if let Some((_, stage @ Stage::Missing { .. })) = self.wanted.get_mut(digest)
                && let Stage::Missing { attempts, .. } = *stage
            {
                *stage = Stage::Asked { until: now.plus(patience(attempts)), attempts: attempts + 1 };
            }
        }
        ready.into_iter().map(|(_, digest)| digest).collect()
    }

    /// The link is gone, and with it all that was asked.
    pub(crate) fn on_link_down(&mut self, now: Timestamp) {
        for (_, stage) in self.wanted.values_mut() {
            if matches!(stage, Stage::Asked { .. } | Stage::Missing { .. }) {
                *stage = Stage::Missing { ask_at: now, attempts: 0 };
            }
        }
    }

    /// Whether the ledger has everything.
    pub(crate) fn is_complete(&self) -> bool {
        self.wanted.values().all(|(_, stage)| *stage == Stage::Present)
    }

    /// When [`Fetch::take_asks`] may have something again.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        let outstanding = self.wanted.values().filter(|(_, s)| matches!(s, Stage::Asked { .. })).count();
        self.wanted
            .values()
            .filter_map(|(_, stage)| match *stage {
                Stage::Asked { until, .. } => Some(until),
                Stage::Missing { ask_at, .. } if outstanding < MAX_OUTSTANDING => Some(ask_at),
                _ => None,
            })
            .min()
    }
}

fn patience(attempts: u32) -> Duration {
    PATIENCE.saturating_mul(1 << attempts.min(6)).min(PATIENCE_MAX)
}
