//! A pod's entry in the desired document of its node.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model as model;
use gannet_protocols_model::{Digest, PodEntry};
use k8s_openapi::api::core::v1::Pod;

use super::manifest::{Scope, manifest};
use super::misfit::Misfit;
use super::{fields, keep, owner};
use crate::World;

/// The pod's entry; its manifest and config blobs go to `blobs`.
pub(super) fn entry(
    world: &World,
    pod: &Pod,
    blobs: &mut BTreeMap<Digest, Arc<[u8]>>,
) -> Result<PodEntry, Misfit> {
    let meta = &pod.metadata;
    let namespace = meta.namespace.clone().unwrap_or_default();
    let uid = meta.uid.clone().unwrap_or_default();
    let uid = uid.parse().map_err(|e: model::IdError| Misfit::of_pod("InvalidPod", e.to_string()))?;
    let spec = pod.spec.as_ref().ok_or_else(|| Misfit::of_pod("InvalidPod", "pod has no spec".into()))?;
    let mut scope =
        Scope { world, namespace: &namespace, annotations: meta.annotations.as_ref(), spec, blobs };
    let manifest = manifest(&mut scope)?;
    let fields = fields::of_pod(pod, &manifest);
    let stop_within_seconds = meta.deletion_timestamp.as_ref().map(|_| {
        let grace =
            meta.deletion_grace_period_seconds.or(spec.termination_grace_period_seconds).unwrap_or(30);
        u32::try_from(grace).unwrap_or(0)
    });
    let bytes = manifest.to_bytes();
    if bytes.len() > model::MAX_MANIFEST_BYTES {
        let message = format!("manifest has {} bytes, more than {}", bytes.len(), model::MAX_MANIFEST_BYTES);
        return Err(Misfit::of_pod("InvalidPod", message));
    }
    let manifest = keep(scope.blobs, bytes);
    Ok(PodEntry {
        uid,
        namespace,
        name: meta.name.clone().unwrap_or_default(),
        manifest,
        owner: owner::name(world, pod),
        progress_deadline_seconds: owner::progress_deadline(world, pod),
        fields,
        stop_within_seconds,
    })
}
