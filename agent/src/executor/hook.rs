//! Runs the hooks of containers: a command in the container, a GET, or a wait.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gannet_agent_core::{ContainerId, HookKind};
use gannet_agent_runtime::RuntimeError;
use gannet_protocols_model::{HookAction, PodUid};
use tokio::time::{Instant, sleep, timeout};

use super::{Tools, chain, http};

/// Output of a command that is told with its failure.
const MAX_OUTPUT: usize = 1024;
/// A `postStart` hook has no limit of its own; this only keeps numbers in bounds.
const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Between two tries where the shim is gone.
const AGAIN: Duration = Duration::from_secs(1);

/// One hook of one run.
#[derive(Debug, Clone)]
pub(crate) struct HookRun {
    pub(crate) pod: PodUid,
    pub(crate) id: ContainerId,
    pub(crate) kind: HookKind,
    pub(crate) action: HookAction,
    /// How long it may take; as long as it likes where there is none.
    pub(crate) time: Option<Duration>,
    /// The pod's address; `None` on the node's network.
    pub(crate) ip: Option<Ipv4Addr>,
}

pub(super) async fn run(tools: &Tools, hook: &HookRun) -> Result<(), String> {
    let time = hook.time.unwrap_or(NO_LIMIT);
    match &hook.action {
        HookAction::Exec(argv) => exec(tools, hook, argv, time).await,
        HookAction::Http(get) => {
            let pod = IpAddr::from(hook.ip.unwrap_or(tools.node_ip));
            let request = http::Get::of(get, pod, http::LIFECYCLE_AGENT);
            let result = timeout(time, http::get(&request)).await;
            let failed = |why: String| {
                format!("HTTP lifecycle hook ({}) - error: {}", get.path, request.failure(&why))
            };
            match result {
                Ok(Ok(..400)) => Ok(()),
                Ok(Ok(status)) => Err(failed(format!("status {status}"))),
                Ok(Err(why)) => Err(failed(why)),
                Err(_) => Err(failed("context deadline exceeded".to_owned())),
            }
        }
        HookAction::Sleep(seconds) => {
            let wanted = Duration::from_secs(u64::from(*seconds));
            sleep(wanted.min(time)).await;
            Ok(())
        }
    }
}

async fn exec(tools: &Tools, hook: &HookRun, argv: &[String], time: Duration) -> Result<(), String> {
    let failed = |why: String| format!("Exec lifecycle hook ([{}]) - error: {why}", argv.join(" "));
    let id = hook.id.to_string();
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        return match tools.runtime.exec(&hook.pod, &id, argv.to_vec(), left, MAX_OUTPUT).await {
            Ok(outcome) if outcome.timed_out => Err(failed("command timed out".to_owned())),
            Ok(outcome) if outcome.exit_code == 0 => Ok(()),
            Ok(outcome) => Err(failed(format!(
                "command exited with {}, message: {:?}",
                outcome.exit_code,
                outcome.output.trim_end()
            ))),
            // A container must not end because its shim did: another one takes it over soon.
            Err(RuntimeError::ShimLost { .. } | RuntimeError::NoAnswer { .. }) if !left.is_zero() => {
                sleep(AGAIN.min(left)).await;
                continue;
            }
            Err(error) => Err(failed(chain(&error))),
        };
    }
}
