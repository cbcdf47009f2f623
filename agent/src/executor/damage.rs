//! Looks for damage in images from which containers cannot be started: then the image is fetched again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gannet_agent_core::{Fact, PodFact, StartStep};
use gannet_protocols_model::Digest;
use tokio::sync::mpsc;
use tracing::warn;

use super::{PodWork, Tools, chain};

/// An image is read whole for it; one that was found whole is not looked at again for so long.
const AGAIN: Duration = Duration::from_secs(3600);

/// Which images were looked at, and when. As many as there are on the node.
#[derive(Debug, Default)]
pub(crate) struct Looked(Mutex<BTreeMap<Digest, Instant>>);

impl Looked {
    fn is_due(&self, image: Digest) -> bool {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looked.retain(|_, at| at.elapsed() < AGAIN);
        looked.insert(image, Instant::now()).is_none()
    }
}

/// After a container was not started from an image.
pub(super) async fn look(
    tools: &Tools,
    work: &PodWork,
    image: Digest,
    fact: &PodFact,
    facts: &mpsc::Sender<Fact>,
) {
    let PodFact::NotStarted { id, failure } = fact else { return };
    let container = work.wanted.as_ref().and_then(|w| w.container(&id.name));
    let Some(name) = container.map(|c| c.image.pinned(image)) else { return };
    if failure.step == StartStep::Config || !tools.looked.is_due(image) {
        return;
    }
    let images = tools.images.clone();
    let look = move || {
        let damaged = images.get(&name).map_or(Ok(Vec::new()), |found| images.verify(&found))?;
        let names = images.list().into_iter();
        let here = names.filter_map(|(name, image)| Some((name.parse().ok()?, image.digest))).collect();
        Ok::<_, gannet_images::StoreError>((!damaged.is_empty()).then_some(here))
    };
    match tokio::task::spawn_blocking(look).await {
        Ok(Ok(Some(local))) => {
            warn!(%image, "image is damaged and fetched again");
            let _ = facts.send(Fact::ImagesHere { local }).await;
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => warn!(%image, error = chain(&error), "damaged image stays"),
        Err(error) => warn!(%image, %error, "image is not looked at"),
    }
}
