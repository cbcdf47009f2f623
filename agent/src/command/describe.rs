//! `gannet-agent describe`: all about a pod, as `kubectl describe pod` puts it.

use std::io::Write as _;

use gannet_protocols_model::{
    ContainerState, ContainerStatus, Manifest, PodStatus, Resize, Terminated, Timestamp, Volume, VolumeSource,
};

use super::client;
use super::describe_container::container;
use super::table::{ago, columns, quantity};
use crate::cli::{Output, PodArgs};
use crate::clock::wall;
use crate::control::{Described, KeptEvent, PodOf, Request};

/// Prints all about a pod.
pub(crate) fn describe(args: &PodArgs) -> anyhow::Result<()> {
    let request = Request::Describe(PodOf { pod: args.pod.clone() });
    let described: Described = client::ask_running(&args.data.data_dir, &request)?;
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&described)? + "\n",
        Output::Table | Output::Wide => text(&described, wall()),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// Names and values, the values under each other.
#[derive(Debug, Default)]
pub(super) struct Page(pub(super) String);

/// Where values begin; kubectl's is about as wide.
const VALUE_AT: usize = 18;

impl Page {
    /// A name and its value, so deep; without a value it heads what follows.
    pub(super) fn line(&mut self, depth: usize, name: &str, value: impl AsRef<str>) {
        let name = format!("{:depth$}{name}:", "");
        let width = VALUE_AT + depth;
        self.0.push_str(format!("{name:width$}{}", value.as_ref()).trim_end());
        self.0.push('\n');
    }

    /// A list below a name; `<none>` where it is empty.
    pub(super) fn list(&mut self, depth: usize, name: &str, values: &[String]) {
        if values.is_empty() {
            return self.line(depth, name, "<none>");
        }
        self.line(depth, name, "");
        for value in values {
            self.0.push_str(&format!("{:1$}{value}\n", "", depth + 2));
        }
    }
}

fn text(described: &Described, now: Timestamp) -> String {
    let Described { status, manifest, entry, .. } = described;
    let mut page = Page::default();
    page.line(0, "Name", &status.name);
    page.line(0, "Namespace", &status.namespace);
    page.line(0, "UID", status.uid.as_str());
    page.line(0, "Node", format!("{}/{}", described.node, described.node_address));
    page.line(0, "Priority", manifest.as_ref().map_or_else(String::new, |m| m.priority.to_string()));
    page.line(0, "Start Time", status.started_at.map_or_else(|| "<unknown>".to_owned(), |at| at.to_string()));
    if let Some(entry) = entry {
        page.list(0, "Labels", &fields(entry, "metadata.labels['"));
        page.list(0, "Annotations", &fields(entry, "metadata.annotations['"));
        page.line(0, "Controlled By", entry.owner.as_deref().unwrap_or("<none>"));
    }
    page.line(0, "Manifest", status.manifest.to_string());
    state(&mut page, status);
    page.line(0, "IP", status.ip.map_or_else(|| "<none>".to_owned(), |ip| ip.to_string()));
    if let Some(manifest) = manifest {
        page.line(0, "Restart Policy", format!("{:?}", manifest.restart_policy));
        page.line(0, "Grace Period", format!("{}s", manifest.termination_grace_seconds));
        let shared = shared(manifest);
        if !shared.is_empty() {
            page.line(0, "Shared With Node", shared.join(", "));
        }
    }
    for (title, list) in [("Init Containers", &status.init_containers), ("Containers", &status.containers)] {
        if list.is_empty() {
            continue;
        }
        page.line(0, title, "");
        for one in list {
            let wanted = manifest.as_ref().and_then(|m| m.all_containers().find(|c| c.name == one.name));
            let devices = described.devices.get(&one.name).map_or(&[][..], Vec::as_slice);
            container(&mut page, one, wanted, devices);
        }
    }
    conditions(&mut page, status);
    if let Some(manifest) = manifest {
        volumes(&mut page, &manifest.volumes);
    }
    page.0.push_str(&events(&described.events, now));
    page.0
}

fn fields(entry: &gannet_protocols_model::PodEntry, prefix: &str) -> Vec<String> {
    let inner = entry.fields.iter().filter_map(|(name, value)| {
        Some(format!("{}={value}", name.strip_prefix(prefix)?.strip_suffix("']")?))
    });
    inner.collect()
}

fn state(page: &mut Page, status: &PodStatus) {
    page.line(0, "Status", format!("{:?}", status.phase));
    for (name, value) in [("Reason", &status.reason), ("Message", &status.message)] {
        if let Some(value) = value {
            page.line(0, name, value);
        }
    }
    if let Some(back) = &status.rolled_back {
        page.line(0, "Rolled Back", back.at.to_string());
        page.line(2, "From", back.failed.to_string());
        page.line(2, "Reason", &back.reason);
        page.line(2, "Message", back.message.replace('\n', "\n                    "));
    }
    match &status.resize {
        Some(Resize::InProgress) => page.line(0, "Resize", "InProgress"),
        Some(Resize::Deferred(why)) => page.line(0, "Resize", format!("Deferred: {why}")),
        Some(Resize::Infeasible(why)) => page.line(0, "Resize", format!("Infeasible: {why}")),
        None => {}
    }
}

fn shared(manifest: &Manifest) -> Vec<&'static str> {
    [(manifest.host_network, "network"), (manifest.host_pid, "processes"), (manifest.host_ipc, "ipc")]
        .into_iter()
        .filter_map(|(shared, what)| shared.then_some(what))
        .collect()
}

/// The conditions that follow from the states, as the hub tells them.
fn conditions(page: &mut Page, status: &PodStatus) {
    let done = |c: &ContainerStatus| match &c.state {
        ContainerState::Terminated(Terminated { exit_code: 0, .. }) => true,
        _ => c.started,
    };
    let ready = status.is_ready();
    let containers = status.containers.iter().all(|c| c.ready);
    let rows = [
        ("Type".to_owned(), "Status".to_owned()),
        ("Initialized".to_owned(), word(status.init_containers.iter().all(done))),
        ("ContainersReady".to_owned(), word(containers && !status.containers.is_empty())),
        ("Ready".to_owned(), word(ready)),
    ];
    page.line(0, "Conditions", "");
    for (kind, holds) in rows {
        page.0.push_str(&format!("  {kind:17} {holds}\n"));
    }
}

fn word(holds: bool) -> String {
    if holds { "True" } else { "False" }.to_owned()
}

fn volumes(page: &mut Page, volumes: &[Volume]) {
    if volumes.is_empty() {
        return page.line(0, "Volumes", "<none>");
    }
    page.line(0, "Volumes", "");
    for volume in volumes {
        let what = match &volume.source {
            VolumeSource::EmptyDir { memory, size_limit } => format!(
                "EmptyDir, {}, limit {}",
                if *memory { "in memory" } else { "on the disk" },
                size_limit.map_or_else(|| "<none>".to_owned(), |l| quantity(l.0))
            ),
            VolumeSource::ConfigMap(config) => format!("ConfigMap {}", of_blob(config)),
            VolumeSource::Secret(config) => format!("Secret {}", of_blob(config)),
            VolumeSource::HostPath { path, kind } => format!("HostPath {path} ({kind:?})"),
            VolumeSource::Projected(projected) => {
                format!("Projected from {} sources", projected.sources.len())
            }
            VolumeSource::DownwardApi(downward) => format!("DownwardAPI of {} files", downward.items.len()),
        };
        page.line(2, &volume.name, what);
    }
}

fn of_blob(config: &gannet_protocols_model::ConfigVolume) -> String {
    match (&config.blob, &config.missing) {
        (Some(blob), _) => blob.to_string(),
        (None, Some(name)) => format!("{name} (missing)"),
        (None, None) => "<none>".to_owned(),
    }
}

fn events(events: &[KeptEvent], now: Timestamp) -> String {
    if events.is_empty() {
        return "Events:             <none>\n".to_owned();
    }
    let mut rows = vec![["Type", "Reason", "Age", "Container", "Message"].map(str::to_owned)];
    for KeptEvent { event, first, count } in events {
        let mut age = ago(event.at, now);
        if *count > 1 {
            age.push_str(&format!(" (x{count} over {})", ago(*first, now)));
        }
        let container = event.container.clone().unwrap_or_else(|| "-".to_owned());
        rows.push([
            format!("{:?}", event.kind),
            event.reason.clone(),
            age,
            container,
            event.message.replace('\n', " "),
        ]);
    }
    let table = columns(&rows);
    let lines: Vec<String> = table.lines().map(|line| format!("  {line}\n")).collect();
    format!("Events:\n{}", lines.concat())
}

#[cfg(test)]
#[path = "describe_test.rs"]
mod tests;
