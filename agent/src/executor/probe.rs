//! Runs probes: a command in the container, a connection, a GET, or a question for the health of a gRPC server.

use std::net::IpAddr;
use std::time::Duration;

use gannet_agent_core::ProbeRun;
use gannet_agent_runtime::RuntimeError;
use gannet_protocols_model::ProbeAction;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Tools, grpc, http};

/// Output of a command that is told with its failure.
const MAX_OUTPUT: usize = 1024;

/// Runs one probe of a container (`id` is its run's). The sentence of a failure is kubelet's. An error is a probe that could
/// not be made: as with kubelet it counts neither way.
pub(super) async fn run(tools: &Tools, run: &ProbeRun, id: &str) -> Result<Result<(), String>, RuntimeError> {
    let pod = IpAddr::from(run.ip.unwrap_or(tools.node_ip));
    Ok(match &run.action {
        ProbeAction::Exec(argv) => exec(tools, run, id, argv.clone()).await?,
        ProbeAction::Grpc { port, service } => {
            let host = pod.to_string();
            match timeout(run.timeout, grpc::check(&host, *port, service)).await {
                Ok(result) => result,
                Err(_) => {
                    Err(format!("timeout: health rpc did not complete within {}", seconds(run.timeout)))
                }
            }
        }
        ProbeAction::Tcp { port, host } => {
            let host = host.clone().unwrap_or_else(|| pod.to_string());
            match timeout(run.timeout, TcpStream::connect((host.as_str(), *port))).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(http::dial_failure(&host, *port, &error)),
                Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
            }
        }
        ProbeAction::Http(get) => {
            let request = http::Get::of(get, pod, http::PROBE_AGENT);
            match timeout(run.timeout, http::get(&request)).await {
                Ok(Ok(200..400)) => Ok(()),
                Ok(Ok(status)) => Err(format!("HTTP probe failed with statuscode: {status}")),
                Ok(Err(why)) => Err(request.failure(&why)),
                Err(_) => Err(request
                    .failure("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")),
            }
        }
    })
}

async fn exec(
    tools: &Tools,
    run: &ProbeRun,
    id: &str,
    argv: Vec<String>,
) -> Result<Result<(), String>, RuntimeError> {
    let outcome = tools.runtime.exec(&run.pod, id, argv, run.timeout, MAX_OUTPUT).await?;
    Ok(if outcome.timed_out {
        Err(format!("command timed out after {}", seconds(run.timeout)))
    } else if outcome.exit_code == 0 {
        Ok(())
    } else if outcome.output.is_empty() {
        Err(format!("command ended with exit code {}", outcome.exit_code))
    } else {
        Err(outcome.output.trim_end().to_owned())
    })
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}
