//! A node acts only on documents that its hub signed for it, each newer than the one before, with every blob at hand.

use std::collections::BTreeMap;

use gannet_protocols_model::{Desired, Digest, Generation, Manifest, NodeName};

use crate::ledger::{Accepted, Ledger};

/// Knows every document that the hub ever signed.
#[derive(Debug, Default)]
pub struct Authentic {
    /// What each generation says, and the digest of its signed bytes.
    issued: BTreeMap<(NodeName, Generation), (Desired, Digest)>,
    envelopes: Vec<(NodeName, Vec<u8>)>,
}

impl Authentic {
    /// The hub signed this. One generation must never mean two things.
    pub fn issue(&mut self, desired: Desired, envelope: &[u8]) -> Result<(), String> {
        let (node, generation, digest) = (desired.node.clone(), desired.generation, Digest::of(envelope));
        match self.issued.insert((node.clone(), generation), (desired, digest)) {
            Some((_, other)) if other != digest => {
                Err(format!("{node} has two documents of generation {generation}"))
            }
            Some(_) => Ok(()),
            None => {
                self.envelopes.push((node, envelope.to_vec()));
                Ok(())
            }
        }
    }

    /// Everything that was ever signed, oldest first: a forger has seen it all.
    pub fn envelopes(&self) -> &[(NodeName, Vec<u8>)] {
        &self.envelopes
    }

    /// A node is about to accept a document.
    pub fn accepts(&self, node: &NodeName, ledger: &Ledger, accepted: &Accepted) -> Result<(), String> {
        let generation = accepted.desired.generation;
        let before = ledger.current().map(|slot| slot.desired.generation).unwrap_or_default();
        if generation <= before {
            return Err(format!("{node} accepts generation {generation}, and has {before}"));
        }
        let signed = self.issued.get(&(node.clone(), generation));
        if signed.is_none_or(|(_, digest)| !digest.matches(&accepted.envelope)) {
            return Err(format!(
                "{node} accepts a document of generation {generation} that the hub never signed for it"
            ));
        }
        if signed.is_none_or(|(desired, _)| *desired != accepted.desired) {
            return Err(format!(
                "{node} accepts something else than what was signed: {:?}",
                accepted.desired
            ));
        }
        for pod in &accepted.desired.pods {
            let manifest = ledger.blob(&pod.manifest).and_then(|bytes| Manifest::parse(bytes).ok());
            let Some(manifest) = manifest else {
                return Err(format!("{node} lacks the manifest of {}", pod.uid));
            };
            if let Some(missing) = manifest.blobs().iter().find(|blob| ledger.blob(blob).is_none()) {
                return Err(format!("{node} lacks blob {missing} of {}", pod.uid));
            }
        }
        Ok(())
    }
}

/// An agent plans by this document while its ledger holds that one.
pub fn acts_on(acting: Generation, ledger: Generation) -> Result<(), String> {
    if acting == ledger {
        Ok(())
    } else {
        Err(format!("acts on generation {acting}, the ledger has {ledger}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gannet_protocols_model::SigningKey;

    fn document(key: u8, node: &str, generation: u64) -> Accepted {
        let desired = Desired {
            version: 1,
            node: node.parse().unwrap(),
            generation: Generation(generation),
            pods: Vec::new(),
            network: None,
        };
        let envelope = SigningKey::from_seed(&[key; 32]).sign(&desired.to_bytes()).to_bytes();
        Accepted { desired, envelope }
    }

    fn check(accepted: &Accepted, expect: &str) {
        let mut authentic = Authentic::default();
        let node: NodeName = "n1".parse().unwrap();
        for generation in [1, 2, 3] {
            let Accepted { desired, envelope } = document(1, "n1", generation);
            authentic.issue(desired, &envelope).unwrap();
        }
        let mut ledger = Ledger::default();
        ledger.accept(document(1, "n1", 2));
        let got = authentic.accepts(&node, &ledger, accepted).err().unwrap_or_else(|| "ok".to_owned());
        assert!(got.contains(expect), "{got}");
    }

    #[test]
    fn documents() {
        check(&document(1, "n1", 3), "ok");
        check(&document(1, "n1", 2), "and has 2");
        check(&document(1, "n1", 1), "and has 2");
        check(&document(2, "n1", 3), "never signed");
        check(&document(1, "n1", 4), "never signed");
        check(&document(1, "n2", 3), "never signed");
        check(&Accepted { desired: document(1, "n1", 4).desired, ..document(1, "n1", 3) }, "never signed");
        let mut other = document(1, "n1", 3);
        other.desired.network = Some(Digest::of(b"n"));
        check(&other, "something else");
    }

    #[test]
    fn a_generation_means_one_thing() {
        let mut authentic = Authentic::default();
        let Accepted { desired, .. } = document(1, "n1", 1);
        assert_eq!(authentic.issue(desired.clone(), b"a"), Ok(()));
        assert_eq!(authentic.issue(desired.clone(), b"a"), Ok(()));
        assert!(authentic.issue(desired, b"b").is_err());
        assert!(acts_on(Generation(1), Generation(2)).is_err());
    }
}
