//! What is tried again at once: the pod's shim died in the middle of it, or could not be forked. That is nobody's fault
//! but the node's, so neither the pod nor its back-off is told, unless it goes on.

use std::time::Duration;

use gannet_agent_runtime::RuntimeError;
use tracing::warn;

/// A container that makes its shim die each time is a failure like others.
const MOST: u32 = 5;
/// The runtime puts another shim in its place meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// Counts how often one action was tried.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether to try once more after this error; waits a little before.
    pub(super) async fn again(&mut self, error: &anyhow::Error) -> bool {
        self.0 += 1;
        if !is_lost(error) || self.0 >= MOST {
            return false;
        }
        warn!(error = format!("{error:#}"), "tried again");
        tokio::time::sleep(PAUSE).await;
        true
    }
}

/// Whether there was no shim that could do it.
fn is_lost(error: &anyhow::Error) -> bool {
    let lost =
        |error: &RuntimeError| matches!(error, RuntimeError::ShimLost { .. } | RuntimeError::Zygote { .. });
    error.chain().any(|error| error.downcast_ref().is_some_and(lost))
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    fn lost() -> RuntimeError {
        RuntimeError::ShimLost { pod: "u-1".parse().unwrap() }
    }

    #[tokio::test]
    async fn what_the_node_did_is_tried_again_and_what_the_user_did_is_not() {
        let check = async |error: anyhow::Error, expect: u32| {
            let (mut tries, mut again) = (Tries::default(), 0);
            while tries.again(&error).await {
                again += 1;
            }
            assert_eq!(again, expect, "{error:#}");
        };
        check(lost().into(), MOST - 1).await;
        check(Err::<(), _>(lost()).context("start the pod's shim").unwrap_err(), MOST - 1).await;
        check(RuntimeError::Zygote { what: "no memory".into() }.into(), MOST - 1).await;
        check(RuntimeError::NoPod { pod: "u-1".parse().unwrap() }.into(), 0).await;
        check(io::Error::other("no such program").into(), 0).await;
    }
}
