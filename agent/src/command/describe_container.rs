//! The part of `describe` that tells of one container.

use std::collections::BTreeMap;

use gannet_protocols_model::{
    Container, ContainerState, ContainerStatus, EnvValue, HookAction, HttpGet, Probe, ProbeAction, Resources,
    Terminated,
};

use super::describe::Page;
use super::table::quantity;

pub(super) fn container(
    page: &mut Page,
    status: &ContainerStatus,
    wanted: Option<&Container>,
    devices: &[String],
) {
    page.line(2, &status.name, "");
    page.line(4, "Container ID", status.container_id.as_deref().unwrap_or("<none>"));
    if let Some(wanted) = wanted {
        page.line(4, "Image", wanted.image.to_string());
    }
    page.line(4, "Image ID", status.image_id.map_or_else(|| "<none>".to_owned(), |id| id.to_string()));
    if let Some(wanted) = wanted {
        command(page, wanted);
    }
    match &status.state {
        ContainerState::Waiting { reason, message } => {
            page.line(4, "State", "Waiting");
            page.line(6, "Reason", reason);
            if !message.is_empty() {
                page.line(6, "Message", message);
            }
        }
        ContainerState::Running { started_at } => {
            page.line(4, "State", "Running");
            page.line(6, "Started", started_at.to_string());
        }
        ContainerState::Terminated(ended) => terminated(page, "State", ended),
    }
    if let Some(last) = &status.last {
        terminated(page, "Last State", last);
    }
    page.line(4, "Ready", if status.ready { "True" } else { "False" });
    page.line(4, "Restart Count", status.restart_count.to_string());
    let Some(wanted) = wanted else { return };
    resources(page, &status.resources.unwrap_or(wanted.resources), &wanted.devices);
    for (name, probe) in
        [("Liveness", &wanted.liveness), ("Readiness", &wanted.readiness), ("Startup", &wanted.startup)]
    {
        if let Some(probe) = probe {
            page.line(4, name, probe_text(probe));
        }
    }
    for (name, hook) in [("Post Start", &wanted.post_start), ("Pre Stop", &wanted.pre_stop)] {
        if let Some(hook) = hook {
            page.line(4, name, hook_text(hook));
        }
    }
    let env: Vec<String> =
        wanted.env.iter().map(|v| format!("{}:  {}", v.name, env_text(&v.value))).collect();
    page.list(4, "Environment", &env);
    let mounts: Vec<String> = wanted
        .mounts
        .iter()
        .map(|mount| {
            let mode = if mount.read_only { "ro" } else { "rw" };
            let path = mount.sub_path.as_ref().or(mount.sub_path_expr.as_ref());
            let path = path.map(|path| format!(",path={path:?}")).unwrap_or_default();
            format!("{} from {} ({mode}{path})", mount.path, mount.volume)
        })
        .collect();
    page.list(4, "Mounts", &mounts);
    if !devices.is_empty() {
        page.list(4, "Device Nodes", devices);
    }
}

fn command(page: &mut Page, wanted: &Container) {
    let ports: Vec<String> = wanted
        .ports
        .iter()
        .map(|port| {
            let protocol = format!("{:?}", port.protocol).to_uppercase();
            let host = port.host_port.map(|p| format!(" (host port {p})")).unwrap_or_default();
            format!("{}/{protocol}{host}", port.port)
        })
        .collect();
    page.line(4, "Ports", if ports.is_empty() { "<none>".to_owned() } else { ports.join(", ") });
    for (name, words) in [("Command", &wanted.command), ("Args", &wanted.args)] {
        if !words.is_empty() {
            page.list(4, name, words);
        }
    }
}

fn terminated(page: &mut Page, title: &str, ended: &Terminated) {
    page.line(4, title, "Terminated");
    page.line(6, "Reason", &ended.reason);
    if !ended.message.is_empty() {
        page.line(6, "Message", ended.message.trim_end().replace('\n', "\n                        "));
    }
    page.line(6, "Exit Code", ended.exit_code.to_string());
    if let Some(signal) = ended.signal {
        page.line(6, "Signal", signal.to_string());
    }
    page.line(6, "Started", ended.started_at.map_or_else(|| "<unknown>".to_owned(), |at| at.to_string()));
    page.line(6, "Finished", ended.finished_at.to_string());
}

fn resources(page: &mut Page, resources: &Resources, devices: &BTreeMap<String, u32>) {
    let cpu = |millis: gannet_protocols_model::CpuMillis| match millis.0 % 1000 {
        0 => (millis.0 / 1000).to_string(),
        _ => format!("{}m", millis.0),
    };
    let list = |c: Option<_>,
                memory: Option<gannet_protocols_model::ByteSize>,
                disk: Option<gannet_protocols_model::ByteSize>| {
        let mut values = Vec::new();
        values.extend(c.map(|c| format!("cpu:                {}", cpu(c))));
        values.extend(memory.map(|m| format!("memory:             {}", quantity(m.0))));
        values.extend(disk.map(|d| format!("ephemeral-storage:  {}", quantity(d.0))));
        values.extend(devices.iter().map(|(name, count)| format!("{name}:  {count}")));
        values
    };
    let limits = list(resources.cpu_limit, resources.memory_limit, resources.disk_limit);
    let requests = list(resources.cpu_request, resources.memory_request, resources.disk_request);
    for (name, values) in [("Limits", limits), ("Requests", requests)] {
        if !values.is_empty() {
            page.list(4, name, &values);
        }
    }
}

fn http_text(get: &HttpGet) -> String {
    let scheme = if get.tls { "https" } else { "http" };
    format!("http-get {scheme}://{}:{}{}", get.host.as_deref().unwrap_or_default(), get.port, get.path)
}

/// As kubectl writes probes.
fn probe_text(probe: &Probe) -> String {
    let action = match &probe.action {
        ProbeAction::Exec(argv) => format!("exec [{}]", argv.join(" ")),
        ProbeAction::Http(get) => http_text(get),
        ProbeAction::Tcp { port, host } => {
            format!("tcp-socket {}:{port}", host.as_deref().unwrap_or_default())
        }
        ProbeAction::Grpc { port, service } => format!("grpc <pod>:{port} {service}"),
    };
    format!(
        "{} delay={}s timeout={}s period={}s #success={} #failure={}",
        action.trim_end(),
        probe.initial_delay_seconds,
        probe.timeout_seconds,
        probe.period_seconds,
        probe.success_threshold,
        probe.failure_threshold
    )
}

fn hook_text(hook: &HookAction) -> String {
    match hook {
        HookAction::Exec(argv) => format!("exec [{}]", argv.join(" ")),
        HookAction::Http(get) => http_text(get),
        HookAction::Sleep(seconds) => format!("sleep {seconds}s"),
    }
}

/// Never the content of a Secret: who reads over the shoulder sees where it comes from.
fn env_text(value: &EnvValue) -> String {
    match value {
        EnvValue::Text(text) => text.clone(),
        EnvValue::Field(path) => format!("({path})"),
        EnvValue::Resource(field) => format!("({} of container {})", field.resource, field.container),
        EnvValue::Key { blob, key } => format!("<set to the key '{key}' of {}>", &blob.hex()[..12]),
        EnvValue::All { blob, prefix } => {
            format!("<all keys of {} with prefix '{prefix}'>", &blob.hex()[..12])
        }
        EnvValue::Missing(what) => format!("<missing: {what}>"),
    }
}
