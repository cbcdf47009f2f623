//! Gets images.

use std::time::Duration;

use gannet_agent_core::Fact;
use gannet_images::Source;
use gannet_protocols_model::{ImageReference, PullPolicy};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Tools, chain};

pub(super) async fn pull(tools: &Tools, image: ImageReference, ask: bool, facts: &mpsc::Sender<Fact>) {
    let policy = if ask { PullPolicy::Always } else { PullPolicy::IfNotPresent };
    let begun = tools.clock.now();
    let pulled = tools.images.pull(&image, policy, &tools.registries, &|_| ()).await;
    let took = tools.clock.now().since(begun);
    let (result, note) = match pulled {
        Ok(pulled) => {
            let note = match &pulled.source {
                Source::Present => " (it was here)".to_owned(),
                Source::PresentUnchecked { reason } => {
                    warn!(reason, "registry does not answer, the image that is here is used");
                    format!(" (it was here; the registry does not answer: {reason})")
                }
                Source::Registry { .. } => format!(" in {}", seconds(took)),
            };
            info!(digest = %pulled.image.digest, size = pulled.image.size, took_ms = took.as_millis(), "image is here");
            (Ok(pulled.image.digest), note)
        }
        Err(error) => {
            let text = chain(&error);
            warn!(error = text, "image pull failed");
            (Err(text), String::new())
        }
    };
    let _ = facts.send(Fact::PullEnded { image, result, note }).await;
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}s", time.as_secs(), time.subsec_millis())
}
