//! Loads a ruleset with `nft -f -`: one transaction in the kernel, all or nothing.
//!
//! nft is the kernel's own front end and speaks every version of its netlink dialect; crates that speak it themselves
//! either bind the same C library or know less.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::NetError;

/// Loads this ruleset in the calling process's network namespace.
pub(crate) async fn load(ruleset: &str) -> Result<(), NetError> {
    let failed = |reason: String| NetError::Nft { reason };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(format!("cannot run nft (Debian package nftables): {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A broken pipe shows in the exit status and in what nft says.
        let _ = stdin.write_all(ruleset.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).lines().take(5).collect::<Vec<_>>().join("; ");
    Err(failed(said))
}
