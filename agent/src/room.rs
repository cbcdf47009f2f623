//! Makes room on the disk, out of what no pod needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gannet_agent_core::Fact;
use gannet_images::ImageStore;
use gannet_protocols_model::Digest;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::executor::chain;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::logs::Statuses;

/// Works with. Clones do the same.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) layout: Layout,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) images: ImageStore,
    pub(crate) statuses: watch::Receiver<Statuses>,
    pub(crate) facts: mpsc::Sender<Fact>,
}

impl Room {
    /// Removes images that nobody uses: neither pods that run or should, nor a manifest that may be gone back to.
    pub(crate) async fn remove_images(&self) {
        let own = self.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let removed = own.images.remove_unused(&own.used_images())?;
            let names = own.images.list().into_iter();
            let names = names.filter_map(|(name, image)| Some((name.parse().ok()?, image.digest)));
            Ok::<_, gannet_images::StoreError>((removed, names.collect()))
        })
        .await;
        match removed {
            Ok(Ok((removed, local))) if removed.images > 0 => {
                info!(images = removed.images, layers = removed.layers, "unused images removed");
                let _ = self.facts.send(Fact::ImagesHere { local }).await;
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(error = chain(&error), "unused images are not removed"),
            Err(error) => warn!(%error, "unused images are not removed"),
        }
    }

    /// Removes what containers wrote in runs before the last one.
    pub(crate) async fn remove_old_logs(&self) {
        let pods = self.layout.pods();
        let removed = tokio::task::spawn_blocking(move || remove_old_logs(&pods)).await.unwrap_or(0);
        if removed > 0 {
            info!(files = removed, "logs of former runs removed");
        }
    }

    fn used_images(&self) -> BTreeSet<Digest> {
        let statuses = self.statuses.borrow().clone();
        let running = statuses
            .values()
            .flat_map(|p| p.init_containers.iter().chain(&p.containers))
            .filter_map(|c| c.image_id);
        let mut used: BTreeSet<Digest> = running.collect();
        used.extend(self.ledger.kept().images);
        if let Some((desired, _)) = self.ledger.desired() {
            let manifests = desired.pods.iter().filter_map(|pod| self.ledger.manifest(&pod.manifest));
            for manifest in manifests {
                let found =
                    manifest.all_containers().filter_map(|c| self.images.get(&c.image).map(|i| i.digest));
                used.extend(found);
            }
        }
        used
    }
}

/// Of each container the files of all runs but the last, `pods/UID/logs/CONTAINER/RUN.log[.N]`; how many went.
fn remove_old_logs(pods: &Path) -> usize {
    let list = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut removed = 0;
    for container in list(pods.to_owned()).flat_map(|pod| list(pod.join("logs"))) {
        let mut runs: BTreeMap<u32, Vec<PathBuf>> = BTreeMap::new();
        for path in list(container) {
            let name =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once(".log"));
            if let Some(run) = name.and_then(|(run, _)| run.parse().ok()) {
                runs.entry(run).or_default().push(path);
            }
        }
        runs.pop_last();
        removed += runs.into_values().flatten().filter(|path| fs::remove_file(path).is_ok()).count();
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_keeps_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("uid/logs/main");
        fs::create_dir_all(&logs).unwrap();
        for name in ["8.log", "9.log", "9.log.1", "10.log", "10.log.1", "other"] {
            fs::write(logs.join(name), "x").unwrap();
        }
        assert_eq!(remove_old_logs(dir.path()), 3);
        let mut left: Vec<_> = fs::read_dir(&logs).unwrap().flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["10.log", "10.log.1", "other"]);
        assert_eq!(remove_old_logs(Path::new("/no/such/path")), 0);
    }
}
