//! What one node should run: the list of pods, each by its manifest's digest, and the network of services.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Envelope, EnvelopeError, Generation, NodeName, PodUid, VerifyingKey};

/// The largest signed document that a node accepts. 500 pods fit in 200 KB.
pub const MAX_DESIRED_BYTES: usize = 1 << 20;
/// The most pods that a node accepts.
pub const MAX_PODS: usize = 1024;

/// One node's desired document. It is always whole, never a diff, so a lost message cannot leave a node wrong for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// The format: 1.
    pub version: u32,
    /// Whom it is for.
    pub node: NodeName,
    /// Only ever grows; a node refuses what is not newer than what it has.
    pub generation: Generation,
    /// The pods that should run, by uid.
    pub pods: Vec<PodEntry>,
    /// The [`crate::Network`] blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Digest>,
}

/// One pod: who it is, and by digest what it runs. Pods of one Deployment share a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodEntry {
    /// The pod's uid; a pod that is made anew has a new one.
    pub uid: PodUid,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name, also its host name where the manifest gives none.
    pub name: String,
    /// The [`crate::Manifest`] blob.
    pub manifest: Digest,
    /// Who made the pod, as `NAMESPACE/KIND/NAME`, the same for every version of it: `prod/Deployment/web`. With it the
    /// device knows which manifest was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Seconds in which a new manifest has to become ready before the device goes back to the one before; without them it
    /// has as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<u32>,
    /// Values of the fields that the manifest's environment and volumes name and that only the hub knows,
    /// such as `metadata.labels['app']`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Set once the pod is being deleted: the seconds that its containers get to end. The entry stays until the node
    /// has reported the pod gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_within_seconds: Option<u32>,
}

/// Why a desired document is refused. A refused document changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// Larger than [`MAX_DESIRED_BYTES`].
    #[error("desired document has {size} bytes, more than {MAX_DESIRED_BYTES}")]
    Size {
        /// Its size in bytes.
        size: usize,
    },
    /// The envelope is not to be believed.
    #[error("desired document is not authentic")]
    Envelope(#[source] EnvelopeError),
    /// Not the JSON of a desired document.
    #[error("desired document does not parse: {reason}")]
    Form {
        /// What the parser said.
        reason: String,
    },
    /// A format that this program does not know.
    #[error("desired document has version {found}, this program knows 1")]
    Version {
        /// The version found.
        found: u32,
    },
    /// Signed for somebody else.
    #[error("desired document is for node {found}, this is {expected}")]
    Node {
        /// The node in the document.
        found: NodeName,
        /// This node.
        expected: NodeName,
    },
    /// Not newer than what the node has.
    #[error("desired document has generation {found}, the ledger already has {ledger}")]
    Generation {
        /// The generation in the document.
        found: Generation,
        /// The ledger's.
        ledger: Generation,
    },
    /// More than [`MAX_PODS`].
    #[error("desired document has {found} pods, more than {MAX_PODS}")]
    Pods {
        /// How many it has.
        found: usize,
    },
    /// The same pod twice.
    #[error("desired document names pod {uid} twice")]
    Twice {
        /// The uid.
        uid: PodUid,
    },
}

impl Desired {
    /// The payload's bytes, to be signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        // No map with keys other than strings, no fallible value: always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Opens a signed document and checks all that can be checked without the ledger's blobs.
    ///
    /// `ledger` is the generation that the node has; a document of exactly that generation is refused too, so the caller
    /// compares bytes first where the same document may come again.
    pub fn open(
        bytes: &[u8],
        key: &VerifyingKey,
        node: &NodeName,
        ledger: Generation,
    ) -> Result<Self, DesiredError> {
        let desired = Self::open_any_generation(bytes, key, node)?;
        if desired.generation <= ledger {
            return Err(DesiredError::Generation { found: desired.generation, ledger });
        }
        Ok(desired)
    }

    /// As [`Desired::open`], without the rule that generations grow: for reading the ledger itself.
    pub fn open_any_generation(
        bytes: &[u8],
        key: &VerifyingKey,
        node: &NodeName,
    ) -> Result<Self, DesiredError> {
        if bytes.len() > MAX_DESIRED_BYTES {
            return Err(DesiredError::Size { size: bytes.len() });
        }
        let envelope = Envelope::parse(bytes).map_err(DesiredError::Envelope)?;
        let payload = key.open(&envelope).map_err(DesiredError::Envelope)?;
        let desired: Self =
            serde_json::from_slice(&payload).map_err(|e| DesiredError::Form { reason: e.to_string() })?;
        desired.check(node)?;
        Ok(desired)
    }

    fn check(&self, node: &NodeName) -> Result<(), DesiredError> {
        if self.version != 1 {
            return Err(DesiredError::Version { found: self.version });
        }
        if self.node != *node {
            return Err(DesiredError::Node { found: self.node.clone(), expected: node.clone() });
        }
        if self.pods.len() > MAX_PODS {
            return Err(DesiredError::Pods { found: self.pods.len() });
        }
        let mut seen = std::collections::BTreeSet::new();
        for pod in &self.pods {
            if !seen.insert(&pod.uid) {
                return Err(DesiredError::Twice { uid: pod.uid.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    fn signed(edit: impl Fn(&mut Desired)) -> Vec<u8> {
        let pod = |uid: &str| PodEntry {
            uid: uid.parse().unwrap(),
            namespace: "default".into(),
            name: "web".into(),
            manifest: Digest::of(b"m"),
            owner: None,
            progress_deadline_seconds: None,
            fields: BTreeMap::new(),
            stop_within_seconds: None,
        };
        let mut desired = Desired {
            version: 1,
            node: "n1".parse().unwrap(),
            generation: Generation(5),
            pods: vec![pod("a"), pod("b")],
            network: None,
        };
        edit(&mut desired);
        SigningKey::from_seed(&[1; 32]).sign(&desired.to_bytes()).to_bytes()
    }

    fn check(bytes: &[u8], expect: &str) {
        let key = SigningKey::from_seed(&[1; 32]).verifying_key();
        let got = match Desired::open(bytes, &key, &"n1".parse().unwrap(), Generation(4)) {
            Ok(desired) => format!("ok {}", desired.generation),
            Err(e) => e.to_string(),
        };
        assert!(got.contains(expect), "{got} does not say {expect}");
    }

    #[test]
    fn documents() {
        check(&signed(|_| ()), "ok 5");
        check(&signed(|d| d.generation = Generation(4)), "generation 4, the ledger already has 4");
        check(&signed(|d| d.node = "n2".parse().unwrap()), "for node n2");
        check(&signed(|d| d.version = 2), "version 2");
        check(&signed(|d| d.pods[1].uid = d.pods[0].uid.clone()), "pod a twice");
        check(b"{}", "not authentic");
        check(&vec![b' '; MAX_DESIRED_BYTES + 1], "bytes, more than");
        let stranger = SigningKey::from_seed(&[9; 32]).sign(b"{}").to_bytes();
        check(&stranger, "not authentic");
        check(&SigningKey::from_seed(&[1; 32]).sign(b"[]").to_bytes(), "does not parse");
    }
}
