//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Polls until `condition` gives a value. After `limit` the error says what the condition last said was missing.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(missing) if Instant::now() > deadline => {
                bail!("waited {limit:?} for {what}, still: {missing}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
