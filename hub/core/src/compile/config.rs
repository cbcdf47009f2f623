//! ConfigMaps and Secrets that a pod names.

use gannet_protocols_model as model;
use gannet_protocols_model::ConfigBlob;
use k8s_openapi::api::core::v1 as core;

use super::keep;
use super::manifest::Scope;
use crate::ObjectKey;

/// A ConfigMap or Secret of the pod's namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference<'a> {
    pub(super) secret: bool,
    pub(super) name: &'a str,
    pub(super) optional: bool,
}

impl Reference<'_> {
    /// Kubelet's words where the object does not exist.
    pub(super) fn not_found(&self) -> String {
        format!("{} \"{}\" not found", if self.secret { "secret" } else { "configmap" }, self.name)
    }

    /// The kind, as kubelet names it.
    pub(super) fn kind(&self) -> &'static str {
        if self.secret { "Secret" } else { "ConfigMap" }
    }

    /// The object's keys and their contents; nothing where there is no such object.
    pub(super) fn find(&self, scope: &Scope<'_>) -> Option<ConfigBlob> {
        let key = ObjectKey::new(scope.namespace, self.name);
        if self.secret {
            let secret = scope.world.secrets.get(&key)?;
            Some(ConfigBlob::new(secret.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()))))
        } else {
            let map = scope.world.config_maps.get(&key)?;
            let text = map.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
            let binary = map.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()));
            Some(ConfigBlob::new(text.chain(binary)))
        }
    }

    /// The object's keys that may become variables: those of `binaryData` are for files alone.
    pub(super) fn variables(&self, scope: &Scope<'_>) -> Option<ConfigBlob> {
        if self.secret {
            return self.find(scope);
        }
        let map = scope.world.config_maps.get(&ObjectKey::new(scope.namespace, self.name))?;
        let text = map.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
        Some(ConfigBlob::new(text))
    }

    /// The object's keys as files.
    pub(super) fn files(
        &self,
        scope: &mut Scope<'_>,
        items: Option<&Vec<core::KeyToPath>>,
        default_mode: u32,
    ) -> model::ConfigVolume {
        let blob = self.find(scope);
        let lacks = |key: &str| blob.as_ref().is_some_and(|b| b.get(key).is_none());
        let mut missing = (blob.is_none() && !self.optional).then(|| self.not_found());
        let items = items.map(Vec::as_slice).unwrap_or_default();
        if let Some(item) = items.iter().find(|i| lacks(&i.key)).filter(|_| !self.optional) {
            let kind = self.kind().to_lowercase();
            missing = Some(format!("references non-existent {kind} key: {}", item.key));
        }
        let items = items.iter().filter(|i| !lacks(&i.key)).map(|i| model::KeyToPath {
            key: i.key.clone(),
            path: i.path.clone(),
            mode: i.mode.map(mode),
        });
        model::ConfigVolume {
            missing,
            default_mode,
            items: items.collect(),
            blob: blob.map(|b| keep(scope.blobs, b.to_bytes())),
        }
    }
}

/// Mode bits.
pub(super) fn mode(bits: i32) -> u32 {
    u32::try_from(bits).unwrap_or(DEFAULT_MODE)
}

/// Mode bits of files for which none are given.
pub(super) const DEFAULT_MODE: u32 = 0o644;
