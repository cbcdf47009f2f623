//! `gannet-agent stats`: what the node, its pods and their containers use now.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use gannet_protocols_model::{NodeUsage, PodUsage, Usage};

use super::client;
use super::table::{columns, mebibytes};
use crate::cli::{Output, StatsArgs};
use crate::control::Request;

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);
/// Clears the terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints the figures, once or until it is interrupted.
pub(crate) fn stats(args: &StatsArgs) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    loop {
        let mut usage: NodeUsage = client::ask_running(&args.data.data_dir, &Request::Stats)?;
        if let Some(asked) = &args.pod {
            usage.pods.retain(|pod| is(pod, asked));
            if usage.pods.is_empty() && !args.watch {
                bail!(
                    "pod {asked:?} is not on this node, or none of it runs: `gannet-agent ps` lists the pods"
                );
            }
        }
        let text = match args.output {
            Output::Json => serde_json::to_string(&usage)? + "\n",
            Output::Table | Output::Wide => table(&usage, args.pod.is_none()),
        };
        if args.watch && out.is_terminal() && args.output != Output::Json {
            out.write_all(CLEAR.as_bytes())?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(EVERY);
    }
}

fn is(pod: &PodUsage, asked: &str) -> bool {
    match asked.split_once('/') {
        Some((namespace, name)) => pod.namespace == namespace && pod.name == name,
        None => pod.name == asked || (asked.len() >= 4 && pod.uid.as_str().starts_with(asked)),
    }
}

/// A row for the node, for the agent, for each pod, and for each container of a pod that has several.
fn table(usage: &NodeUsage, whole: bool) -> String {
    let mut rows =
        vec![["NAMESPACE", "POD", "CONTAINER", "CPU(m)", "MEMORY", "DISK", "PIDS"].map(str::to_owned)];
    if whole {
        rows.push(row("-", "(node)", "", &usage.node));
        rows.push(row("-", "(agent)", "", &usage.agent));
    }
    let mut pods: Vec<&PodUsage> = usage.pods.iter().collect();
    pods.sort_by_key(|pod| (&pod.namespace, &pod.name));
    for pod in pods {
        let mut sum = Usage { disk: pod.volumes, ..Usage::default() };
        for container in &pod.containers {
            sum.cpu_nanos = sum.cpu_nanos.saturating_add(container.usage.cpu_nanos);
            sum.memory.0 = sum.memory.0.saturating_add(container.usage.memory.0);
            sum.disk.0 = sum.disk.0.saturating_add(container.usage.disk.0);
            sum.pids = sum.pids.saturating_add(container.usage.pids);
        }
        rows.push(row(&pod.namespace, &pod.name, "", &sum));
        for container in &pod.containers {
            rows.push(row(&pod.namespace, &pod.name, &container.name, &container.usage));
        }
    }
    columns(&rows)
}

fn row(namespace: &str, pod: &str, container: &str, usage: &Usage) -> [String; 7] {
    [
        namespace.to_owned(),
        pod.to_owned(),
        container.to_owned(),
        format!("{}m", usage.cpu_nanos.div_ceil(1_000_000)),
        mebibytes(usage.memory.0),
        mebibytes(usage.disk.0),
        usage.pids.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use gannet_protocols_model::{ByteSize, ContainerUsage, Timestamp};

    use super::*;

    #[test]
    fn sums_and_rows() {
        let usage = |cpu: u64, memory: u64| Usage {
            cpu_nanos: cpu * 1_000_000,
            memory: ByteSize(memory << 20),
            disk: ByteSize(1 << 20),
            pids: 2,
        };
        let container = |name: &str| ContainerUsage { name: name.into(), usage: usage(3, 5) };
        let pod = PodUsage {
            uid: "aaaa-bbbb".parse().unwrap(),
            namespace: "default".into(),
            name: "web".into(),
            containers: vec![container("a"), container("b")],
            volumes: ByteSize(8 << 20),
        };
        assert!(
            is(&pod, "web")
                && is(&pod, "default/web")
                && is(&pod, "aaaa")
                && !is(&pod, "aa")
                && !is(&pod, "x/web")
        );
        let all = NodeUsage {
            at: Timestamp::default(),
            window_ms: 1000,
            node: usage(100, 900),
            agent: usage(1, 6),
            pods: vec![pod],
        };
        let expect = "\
NAMESPACE   POD       CONTAINER   CPU(m)   MEMORY   DISK   PIDS
-           (node)                100m     900Mi    1Mi    2
-           (agent)               1m       6Mi      1Mi    2
default     web                   6m       10Mi     10Mi   4
default     web       a           3m       5Mi      1Mi    2
default     web       b           3m       5Mi      1Mi    2
";
        assert_eq!(table(&all, true), expect);
        assert_eq!(table(&all, false).lines().count(), 4);
    }
}
