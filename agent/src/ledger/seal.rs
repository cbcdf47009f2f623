//! Small files that change: their content is followed by its digest, so that one which the flash spoilt is found, set
//! aside, and counts as missing.

use std::fs;
use std::path::Path;

use gannet_protocols_model::Digest;
use tracing::warn;

use super::files::{Files, LedgerError, read};

/// The bytes with their digest behind them, in a line of its own.
pub(super) fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    sealed.extend_from_slice(format!("\n{}\n", Digest::of(bytes)).as_bytes());
    sealed
}

/// What was sealed; `None` where it is not what it was.
pub(crate) fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let rest = sealed.strip_suffix(b"\n")?;
    let at = rest.iter().rposition(|b| *b == b'\n')?;
    let digest: Digest = std::str::from_utf8(&rest[at + 1..]).ok()?.parse().ok()?;
    Some(&rest[..at]).filter(|bytes| digest.matches(bytes))
}

/// What a sealed file holds; `None` where there is none, or none that can be believed.
pub(super) fn read_sealed(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let sealed = match read(path, limit) {
        Ok(sealed) => sealed?,
        Err(error) => {
            warn!(path = %path.display(), ?error, "file of the ledger cannot be read");
            return None;
        }
    };
    let found = unseal(&sealed).map(<[u8]>::to_vec);
    if found.is_none() {
        warn!(path = %path.display(), "file of the ledger is damaged and set aside");
        let mut aside = path.as_os_str().to_owned();
        aside.push(".bad");
        let _ = fs::rename(path, aside);
    }
    found
}

/// Replaces a sealed file; after a power cut it is the old or the new one.
pub(super) fn write_sealed(files: &Files, path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    files.replace(path, &seal(bytes))
}
