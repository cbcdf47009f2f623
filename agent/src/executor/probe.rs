//! Runs probes: a command in the container, a connection, or a GET.

use std::net::IpAddr;
use std::time::Duration;

use gannet_agent_core::ProbeRun;
use gannet_protocols_model::{HttpGet, ProbeAction};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Tools, chain, http};

/// Output of a command that is told with its failure.
const MAX_OUTPUT: usize = 1024;

/// Runs one probe of a container (`id` is its run's). The sentence of a failure is kubelet's.
pub(super) async fn run(tools: &Tools, run: &ProbeRun, id: &str) -> Result<(), String> {
    let pod = IpAddr::from(run.ip.unwrap_or(tools.node_ip));
    match &run.action {
        ProbeAction::Exec(argv) => exec(tools, run, id, argv.clone()).await,
        ProbeAction::Grpc { .. } => Err("gRPC probes are not known".to_owned()),
        ProbeAction::Tcp { port, host } => {
            let host = host.clone().unwrap_or_else(|| pod.to_string());
            match timeout(run.timeout, TcpStream::connect((host.as_str(), *port))).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("dial tcp {host}:{port}: {error}")),
                Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
            }
        }
        ProbeAction::Http(HttpGet { port, path, tls, host, headers }) => {
            let host = host.clone().unwrap_or_else(|| pod.to_string());
            let request = http::Get { host: &host, port: *port, path, tls: *tls, headers };
            let scheme = if *tls { "https" } else { "http" };
            let failed = |why: String| format!("Get \"{scheme}://{host}:{port}{path}\": {why}");
            match timeout(run.timeout, http::get(&request)).await {
                Ok(Ok(200..400)) => Ok(()),
                Ok(Ok(status)) => Err(format!("HTTP probe failed with statuscode: {status}")),
                Ok(Err(error)) => Err(failed(error)),
                Err(_) => Err(failed("context deadline exceeded".to_owned())),
            }
        }
    }
}

async fn exec(tools: &Tools, run: &ProbeRun, id: &str, argv: Vec<String>) -> Result<(), String> {
    let outcome = tools.runtime.exec(&run.pod, id, argv, run.timeout, MAX_OUTPUT).await;
    match outcome {
        Ok(outcome) if outcome.timed_out => Err(format!("command timed out after {}", seconds(run.timeout))),
        Ok(outcome) if outcome.exit_code == 0 => Ok(()),
        Ok(outcome) if outcome.output.is_empty() => {
            Err(format!("command ended with exit code {}", outcome.exit_code))
        }
        Ok(outcome) => Err(outcome.output.trim_end().to_owned()),
        Err(error) => Err(chain(&error)),
    }
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}
