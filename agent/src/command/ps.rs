//! `gannet-agent ps`.

use std::io::Write as _;

use gannet_protocols_model::{ContainerState, PodPhase, PodStatus, Timestamp};

use super::client;
use super::table::{ago, columns, sorted};
use crate::cli::{Output, PsArgs};
use crate::clock::wall;
use crate::control::{Answer, Request};

/// Prints the pods of this node.
pub(crate) fn ps(args: &PsArgs) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let answer: Option<Answer> = client::ask(&args.data.data_dir, &Request::Ps)?;
    let json = match &answer {
        Some(answer) => serde_json::to_value(answer)?,
        None => {
            let from = args.data.data_dir.display();
            eprintln!("no agent runs with {from}: this is what its ledger remembers");
            let pods: Vec<PodStatus> = client::remembered(&args.data.data_dir).into_values().collect();
            serde_json::json!({ "pods": pods })
        }
    };
    let pods = answer.map(|a| a.pods).map_or_else(|| serde_json::from_value(json["pods"].clone()), Ok)?;
    match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?,
        Output::Table => out.write_all(table(&pods, wall(), false).as_bytes())?,
        Output::Wide => out.write_all(table(&pods, wall(), true).as_bytes())?,
    }
    Ok(())
}

/// The columns of `kubectl get pods -A -o wide`, and in the wide form what a person at the device may ask.
fn table(pods: &[PodStatus], now: Timestamp, wide: bool) -> String {
    if pods.is_empty() {
        return "No pods on this node.\n".to_owned();
    }
    let mut head: Vec<String> =
        ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"].map(str::to_owned).into();
    if wide {
        head.extend(["UID", "CONTAINERS", "MANIFEST", "NOTE"].map(str::to_owned));
    }
    let mut rows = vec![head];
    rows.extend(sorted(pods).into_iter().map(|pod| {
        let mut cells = row(pod, now);
        if wide {
            cells.extend(more(pod));
        }
        cells
    }));
    columns(&rows)
}

fn row(pod: &PodStatus, now: Timestamp) -> Vec<String> {
    let ready = pod.containers.iter().filter(|c| c.ready).count();
    vec![
        pod.namespace.clone(),
        pod.name.clone(),
        format!("{ready}/{}", pod.containers.len()),
        status(pod),
        restarts(pod, now),
        pod.started_at.map_or_else(|| "<unknown>".to_owned(), |at| ago(at, now)),
        pod.ip.map_or_else(|| "<none>".to_owned(), |ip| ip.to_string()),
    ]
}

fn more(pod: &PodStatus) -> [String; 4] {
    let names: Vec<&str> =
        pod.init_containers.iter().chain(&pod.containers).map(|c| c.name.as_str()).collect();
    let note = match (&pod.rolled_back, &pod.message) {
        (Some(back), _) => format!("rolled back from {}: {}", &back.failed.hex()[..12], back.reason),
        (None, Some(message)) => message.lines().next().unwrap_or_default().to_owned(),
        (None, None) => "<none>".to_owned(),
    };
    [pod.uid.to_string(), names.join(","), pod.manifest.hex()[..12].to_owned(), note]
}

/// As kubectl counts, with how long ago the last was.
fn restarts(pod: &PodStatus, now: Timestamp) -> String {
    let all = || pod.init_containers.iter().chain(&pod.containers);
    let count: u32 = all().map(|c| c.restart_count).sum();
    let last = all().filter(|c| c.restart_count > 0).filter_map(|c| Some(c.last.as_ref()?.finished_at)).max();
    match last.filter(|_| count > 0) {
        Some(at) => format!("{count} ({} ago)", ago(at, now)),
        None => count.to_string(),
    }
}

/// One word, chosen as kubectl does: what holds an init container, then what holds a container, then the phase.
pub(super) fn status(pod: &PodStatus) -> String {
    let all = pod.init_containers.len();
    for (done, init) in pod.init_containers.iter().enumerate() {
        match &init.state {
            ContainerState::Terminated(t) if t.exit_code == 0 => continue,
            ContainerState::Terminated(t) => return format!("Init:{}", t.reason),
            // A sidecar: it goes on beside the containers.
            ContainerState::Running { .. } if init.started => continue,
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

#[cfg(test)]
mod tests {
    use gannet_protocols_model::{ContainerStatus, Digest, RolledBack, Terminated};

    use super::*;
    use crate::sample;

    fn container(name: &str, state: ContainerState) -> ContainerStatus {
        let ready = matches!(state, ContainerState::Running { .. });
        ContainerStatus { restart_count: 2, ready, started: ready, ..sample::container(name, state) }
    }

    fn pod(name: &str, init: Vec<ContainerState>, main: Vec<ContainerState>) -> PodStatus {
        PodStatus {
            name: name.into(),
            ip: Some([10, 42, 0, 2].into()),
            started_at: Some(Timestamp::from_millis(0)),
            init_containers: init.into_iter().map(|s| container("i", s)).collect(),
            ..sample::pod("u", main.into_iter().map(|s| container("c", s)).collect())
        }
    }

    #[test]
    fn tables() {
        let run = || ContainerState::Running { started_at: Timestamp::default() };
        let wait = |reason: &str| ContainerState::Waiting { reason: reason.into(), message: String::new() };
        let mut crash = pod("crash", vec![], vec![run(), wait("CrashLoopBackOff")]);
        crash.containers[1].last = Some(Terminated {
            exit_code: 1,
            signal: None,
            reason: "Error".into(),
            message: String::new(),
            started_at: None,
            finished_at: Timestamp::from_millis(190_000),
        });
        crash.rolled_back = Some(RolledBack {
            failed: Digest::of(b""),
            at: Timestamp::default(),
            reason: "NotReady".into(),
            message: String::new(),
        });
        let pods = [
            pod("web", vec![run()], vec![run(), run()]),
            crash,
            pod("init", vec![wait("PodInitializing")], vec![wait("PodInitializing")]),
        ];
        let expect = "\
NAMESPACE   NAME    READY   STATUS             RESTARTS      AGE     IP
default     crash   1/2     CrashLoopBackOff   4 (10s ago)   3m20s   10.42.0.2
default     init    0/1     Init:0/1           4             3m20s   10.42.0.2
default     web     2/2     Running            6             3m20s   10.42.0.2
";
        assert_eq!(table(&pods, Timestamp::from_millis(200_000), false), expect);
        let wide = table(&pods, Timestamp::from_millis(200_000), true);
        assert!(
            wide.contains("c,c          e3b0c44298fc   rolled back from e3b0c44298fc: NotReady"),
            "{wide}"
        );
        assert_eq!(table(&[], Timestamp::default(), true), "No pods on this node.\n");
    }
}
