//! A signed document: Ed25519 (RFC 8032) over the exact payload bytes, so nothing needs to be canonical.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// Separates these signatures from any other use of the same key.
const CONTEXT: &[u8] = b"gannet desired v1\0";

/// A payload and its signature. On the wire: `{"key","payload","signature"}`, the latter two in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Which key signed: [`VerifyingKey::id`].
    key: String,
    payload: String,
    signature: String,
}

/// Why an envelope is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope's JSON.
    #[error("not a signed envelope: {reason}")]
    Form {
        /// What the parser said.
        reason: String,
    },
    /// Base64 that does not decode.
    #[error("{field} of the envelope is not base64")]
    Base64 {
        /// Which field.
        field: &'static str,
    },
    /// Signed by a key that is not pinned here.
    #[error("signed by key {found}, but the pinned key is {pinned}")]
    Key {
        /// The id in the envelope.
        found: String,
        /// The id that was expected.
        pinned: String,
    },
    /// The signature does not fit the payload.
    #[error("signature does not match the payload")]
    Signature,
}

/// The hub's secret key.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// The public half, pinned by a node at enrolment.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl SigningKey {
    /// The key made from 32 random bytes that the caller drew and keeps.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// What nodes pin.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Wraps and signs these bytes.
    pub fn sign(&self, payload: &[u8]) -> Envelope {
        let signature = self.0.sign(&in_context(payload));
        Envelope {
            key: self.verifying_key().id(),
            payload: BASE64.encode(payload),
            signature: BASE64.encode(signature.to_bytes()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifying_key().id())
    }
}

impl VerifyingKey {
    /// Parses the base64 of the 32 bytes, as [`VerifyingKey::to_base64`] writes it.
    pub fn from_base64(text: &str) -> Result<Self, EnvelopeError> {
        let wrong = EnvelopeError::Base64 { field: "key" };
        let bytes = BASE64.decode(text.trim()).map_err(|_| wrong.clone())?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong.clone())?;
        ed25519_dalek::VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| wrong)
    }

    /// The key as text.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0.as_bytes())
    }

    /// A short name for the key: the first 12 hex digits of its sha256.
    pub fn id(&self) -> String {
        Digest::of(self.0.as_bytes()).short()
    }

    /// The payload, if this key signed it.
    pub fn open(&self, envelope: &Envelope) -> Result<Vec<u8>, EnvelopeError> {
        if envelope.key != self.id() {
            return Err(EnvelopeError::Key {
                found: envelope.key.chars().take(64).collect(),
                pinned: self.id(),
            });
        }
        let payload =
            BASE64.decode(&envelope.payload).map_err(|_| EnvelopeError::Base64 { field: "payload" })?;
        let signature =
            BASE64.decode(&envelope.signature).map_err(|_| EnvelopeError::Base64 { field: "signature" })?;
        let signature =
            ed25519_dalek::Signature::from_slice(&signature).map_err(|_| EnvelopeError::Signature)?;
        self.0.verify_strict(&in_context(&payload), &signature).map_err(|_| EnvelopeError::Signature)?;
        Ok(payload)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.id())
    }
}

impl Envelope {
    /// Reads an envelope; believes nothing in it yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        serde_json::from_slice(bytes).map_err(|e| EnvelopeError::Form { reason: e.to_string() })
    }

    /// The envelope's JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Three strings always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn in_context(payload: &[u8]) -> Vec<u8> {
    [CONTEXT, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_key_and_the_exact_payload_open() {
        let key = SigningKey::from_seed(&[1; 32]);
        let envelope = Envelope::parse(&key.sign(b"payload").to_bytes()).unwrap();
        assert_eq!(key.verifying_key().open(&envelope).unwrap(), b"payload");

        let other = SigningKey::from_seed(&[2; 32]);
        assert!(matches!(other.verifying_key().open(&envelope), Err(EnvelopeError::Key { .. })));

        let forged = Envelope { payload: BASE64.encode(b"Payload"), ..envelope.clone() };
        assert_eq!(key.verifying_key().open(&forged), Err(EnvelopeError::Signature));
        let claimed = Envelope { key: key.verifying_key().id(), ..other.sign(b"payload") };
        assert_eq!(key.verifying_key().open(&claimed), Err(EnvelopeError::Signature));
    }

    #[test]
    fn keys_survive_their_text() {
        let key = SigningKey::from_seed(&[3; 32]).verifying_key();
        assert_eq!(VerifyingKey::from_base64(&key.to_base64()).unwrap(), key);
        assert!(VerifyingKey::from_base64("AAAA").is_err());
    }
}
