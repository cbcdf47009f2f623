//! What has to exist before anybody can use the hub.

use gannet_hub_core::{Kind, ObjectKey};
use serde_json::json;

use crate::objects::{Objects, WriteMode};
use crate::status::Status;

/// The namespaces of every Kubernetes cluster; tools expect them.
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

impl Objects {
    /// Ensures the first namespaces and their default service accounts. Safe to call at every start.
    pub async fn ensure_first_objects(&self) -> Result<(), Status> {
        for namespace in NAMESPACES {
            let object = json!({"metadata": {"name": namespace}});
            self.ensure(Kind::NAMESPACE, ObjectKey::new("", namespace), object).await?;
            let account = json!({"metadata": {"name": "default"}});
            self.ensure(Kind::SERVICE_ACCOUNT, ObjectKey::new(namespace, "default"), account).await?;
        }
        Ok(())
    }

    async fn ensure(
        &self,
        kind: &'static Kind,
        key: ObjectKey,
        object: serde_json::Value,
    ) -> Result<(), Status> {
        if self.find(kind, &key)?.is_some() {
            return Ok(());
        }
        match self.create(kind, &key.namespace, object, WriteMode::Commit).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }
}
