//! Pods that took more disk than they may: ended whatever the node has left, as kubelet does.

use std::collections::BTreeMap;

use gannet_protocols_model::{ByteSize, Manifest, Timestamp, VolumeSource};

use crate::record::PodEnd;

/// The grace of a pod that has to go at once, as kubelet has it.
pub(super) const GRACE_SECONDS: u32 = 1;

/// Disk that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodDisk {
    /// Of each container: its writable layer and its logs.
    pub containers: BTreeMap<String, ByteSize>,
    /// Of each emptyDir volume on disk.
    pub volumes: BTreeMap<String, ByteSize>,
}

/// Whether anything bounds the disk that a pod takes.
pub fn has_limits(manifest: &Manifest) -> bool {
    manifest.all_containers().any(|c| c.resources.disk_limit.is_some())
        || manifest.volumes.iter().any(|v| limit(&v.source).is_some())
}

/// A limit of zero is none.
fn limit(source: &VolumeSource) -> Option<ByteSize> {
    match source {
        VolumeSource::EmptyDir { memory: false, size_limit } => size_limit.filter(|limit| limit.0 > 0),
        _ => None,
    }
}

/// Why a pod has to go for the disk that it takes.
pub fn over_limit(manifest: &Manifest, disk: &PodDisk, now: Timestamp) -> Option<PodEnd> {
    let message =
        volume(manifest, disk).or_else(|| pod(manifest, disk)).or_else(|| container(manifest, disk))?;
    Some(PodEnd { reason: "Evicted".to_owned(), message, at: now, grace_seconds: Some(GRACE_SECONDS) })
}

fn volume(manifest: &Manifest, disk: &PodDisk) -> Option<String> {
    manifest.volumes.iter().find_map(|volume| {
        let limit = limit(&volume.source)?;
        let over = disk.volumes.get(&volume.name).is_some_and(|used| *used > limit);
        over.then(|| {
            format!(
                "Usage of EmptyDir volume {:?} exceeds the limit {:?}. ",
                volume.name,
                limit.to_quantity()
            )
        })
    })
}

fn pod(manifest: &Manifest, disk: &PodDisk) -> Option<String> {
    let limits = || manifest.all_containers().filter_map(|c| c.resources.disk_limit);
    limits().next()?;
    let limit = limits().map(|limit| limit.0).fold(0, u64::saturating_add);
    let used = disk.containers.values().chain(disk.volumes.values());
    let used = used.map(|used| used.0).fold(0, u64::saturating_add);
    let text = ByteSize(limit).to_quantity();
    (used > limit)
        .then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. "))
}

fn container(manifest: &Manifest, disk: &PodDisk) -> Option<String> {
    manifest.all_containers().find_map(|container| {
        let limit = container.resources.disk_limit?;
        let over = disk.containers.get(&container.name).is_some_and(|used| *used > limit);
        over.then(|| {
            let text = limit.to_quantity();
            format!("Container {} exceeded its local ephemeral storage limit {text:?}. ", container.name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::manifest;

    fn check(main: u64, side: u64, cache: u64, expect: Option<&str>) {
        let mut manifest = manifest("Always", &["main", "side"]);
        manifest.containers[0].resources.disk_limit = Some(ByteSize(10 << 20));
        manifest.containers[1].resources.disk_limit = Some(ByteSize(20 << 20));
        let source = VolumeSource::EmptyDir { memory: false, size_limit: Some(ByteSize(5 << 20)) };
        manifest.volumes.push(gannet_protocols_model::Volume { name: "cache".into(), source });
        assert!(has_limits(&manifest));
        let disk = PodDisk {
            containers: [("main", main), ("side", side)]
                .map(|(n, m)| (n.to_owned(), ByteSize(m << 20)))
                .into(),
            volumes: [("cache".to_owned(), ByteSize(cache << 20))].into(),
        };
        let end = over_limit(&manifest, &disk, Timestamp::default());
        assert_eq!(end.as_ref().map(|e| e.message.as_str()), expect, "{main} {side} {cache}");
        assert!(end.is_none_or(|e| e.reason == "Evicted" && e.grace_seconds == Some(1)));
    }

    #[test]
    fn limits_of_volumes_pods_and_containers() {
        check(10, 15, 5, None);
        check(10, 15, 6, Some("Usage of EmptyDir volume \"cache\" exceeds the limit \"5Mi\". "));
        check(
            11,
            15,
            5,
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 30Mi. "),
        );
        check(11, 10, 0, Some("Container main exceeded its local ephemeral storage limit \"10Mi\". "));
        assert!(!has_limits(&manifest("Always", &["main"])));
        assert_eq!(
            over_limit(&manifest("Always", &["main"]), &PodDisk::default(), Timestamp::default()),
            None
        );
    }
}
