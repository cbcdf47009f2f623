//! `gannet-agent ps`.

use std::io::Write as _;

use anyhow::Context as _;
use gannet_protocols_model::{ContainerState, PodPhase, PodStatus, Timestamp};

use super::client;
use crate::cli::{Output, PsArgs};
use crate::clock::wall;
use crate::control::{Answer, Request};

/// Prints the pods of this node.
pub(crate) fn ps(args: &PsArgs) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let Some(mut lines) = client::ask(&args.data.data_dir, &Request::Ps)? else {
        eprintln!("no agent runs with {}: this is what its ledger remembers", args.data.data_dir.display());
        let pods: Vec<PodStatus> = client::remembered(&args.data.data_dir).into_values().collect();
        return match args.output {
            Output::Json => Ok(writeln!(out, "{}", serde_json::json!({ "pods": pods }))?),
            Output::Table => Ok(out.write_all(table(&pods, wall()).as_bytes())?),
        };
    };
    let line = lines.next().context("the agent did not answer")?.context("read the agent's answer")?;
    let answer: Answer = serde_json::from_str(&line).context("the agent's answer")?;
    match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?,
        Output::Table => out.write_all(table(&answer.pods, wall()).as_bytes())?,
    }
    Ok(())
}

/// The columns of `kubectl get pods -A -o wide`.
fn table(pods: &[PodStatus], now: Timestamp) -> String {
    if pods.is_empty() {
        return "No pods on this node.\n".to_owned();
    }
    let head = ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"].map(str::to_owned);
    let mut rows = vec![head];
    let mut sorted: Vec<&PodStatus> = pods.iter().collect();
    sorted.sort_by_key(|pod| (&pod.namespace, &pod.name));
    rows.extend(sorted.into_iter().map(|pod| row(pod, now)));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

fn row(pod: &PodStatus, now: Timestamp) -> [String; 7] {
    let ready = pod.containers.iter().filter(|c| c.ready).count();
    let restarts: u32 = pod.containers.iter().map(|c| c.restart_count).sum();
    [
        pod.namespace.clone(),
        pod.name.clone(),
        format!("{ready}/{}", pod.containers.len()),
        status(pod),
        restarts.to_string(),
        pod.started_at.map_or_else(|| "<unknown>".to_owned(), |at| age(now.since(at).as_secs())),
        pod.ip.map_or_else(|| "<none>".to_owned(), |ip| ip.to_string()),
    ]
}

/// One word, chosen as kubectl does: what holds an init container, then what holds a container, then the phase.
fn status(pod: &PodStatus) -> String {
    let all = pod.init_containers.len();
    for (done, init) in pod.init_containers.iter().enumerate() {
        match &init.state {
            ContainerState::Terminated(t) if t.exit_code == 0 => continue,
            ContainerState::Terminated(t) => return format!("Init:{}", t.reason),
            ContainerState::Waiting { reason, .. }
                if reason != "PodInitializing" && reason != "ContainerCreating" =>
            {
                return format!("Init:{reason}");
            }
            _ => return format!("Init:{done}/{all}"),
        }
    }
    let mut word = pod.reason.clone();
    for container in pod.containers.iter().rev() {
        match &container.state {
            ContainerState::Waiting { reason, .. } => word = Some(reason.clone()),
            ContainerState::Terminated(t) => word = Some(t.reason.clone()),
            ContainerState::Running { .. } => {}
        }
    }
    let running = pod.containers.iter().any(|c| c.ready && matches!(c.state, ContainerState::Running { .. }));
    match word {
        Some(word) if word == "Completed" && running => "Running".to_owned(),
        Some(word) => word,
        None => match pod.phase {
            PodPhase::Pending => "Pending",
            PodPhase::Running => "Running",
            PodPhase::Succeeded => "Completed",
            PodPhase::Failed => "Error",
        }
        .to_owned(),
    }
}

/// As kubectl shortens it.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if !seconds.is_multiple_of(60) => format!("{}m{}s", seconds / 60, seconds % 60),
        120..10_800 => format!("{}m", seconds / 60),
        10_800..28_800 if seconds % 3600 >= 60 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use gannet_protocols_model::{ContainerStatus, Digest};

    use super::*;

    fn container(name: &str, state: ContainerState) -> ContainerStatus {
        let ready = matches!(state, ContainerState::Running { .. });
        ContainerStatus {
            name: name.into(),
            state,
            last: None,
            restart_count: 2,
            ready,
            started: ready,
            resources: None,
            image_id: None,
            container_id: None,
        }
    }

    fn pod(name: &str, init: Vec<ContainerState>, main: Vec<ContainerState>) -> PodStatus {
        PodStatus {
            uid: "u".parse().unwrap(),
            namespace: "default".into(),
            name: name.into(),
            manifest: Digest::of(b""),
            phase: PodPhase::Running,
            reason: None,
            message: None,
            ip: Some([10, 42, 0, 2].into()),
            started_at: Some(Timestamp::from_millis(0)),
            rolled_back: None,
            resize: None,
            init_containers: init.into_iter().map(|s| container("i", s)).collect(),
            containers: main.into_iter().map(|s| container("c", s)).collect(),
        }
    }

    #[test]
    fn tables() {
        let run = || ContainerState::Running { started_at: Timestamp::default() };
        let wait = |reason: &str| ContainerState::Waiting { reason: reason.into(), message: String::new() };
        let pods = [
            pod("web", vec![], vec![run(), run()]),
            pod("crash", vec![], vec![run(), wait("CrashLoopBackOff")]),
            pod("init", vec![wait("PodInitializing")], vec![wait("PodInitializing")]),
        ];
        let expect = "\
NAMESPACE   NAME    READY   STATUS             RESTARTS   AGE     IP
default     crash   1/2     CrashLoopBackOff   4          3m20s   10.42.0.2
default     init    0/1     Init:0/1           2          3m20s   10.42.0.2
default     web     2/2     Running            4          3m20s   10.42.0.2
";
        assert_eq!(table(&pods, Timestamp::from_millis(200_000)), expect);
        assert_eq!(table(&[], Timestamp::default()), "No pods on this node.\n");
    }

    #[test]
    fn ages() {
        for (seconds, text) in [
            (5, "5s"),
            (119, "119s"),
            (125, "2m5s"),
            (3600, "60m"),
            (11_000, "3h3m"),
            (86_400, "24h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(seconds), text, "{seconds}");
        }
    }
}
