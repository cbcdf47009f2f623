//! One container of a pod.

use gannet_protocols_model as model;
use k8s_openapi::api::core::v1 as core;

use super::manifest::Scope;
use super::misfit::Misfit;
use super::{env, probe, resources, security, volume};

/// Where a container leaves its last words unless it says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// A container, or why it is none.
pub(super) fn container(
    scope: &mut Scope<'_>,
    c: &core::Container,
    pod: &core::PodSecurityContext,
    is_init: bool,
) -> Result<model::Container, Misfit> {
    let misfit = |reason, message| Misfit { container: Some(c.name.clone()), reason, message };
    let config = |message| misfit("CreateContainerConfigError", message);
    let image_text = c.image.clone().unwrap_or_default();
    let image: model::ImageReference = image_text.parse().map_err(|_| {
        misfit(
            "InvalidImageName",
            format!("Failed to apply default image tag {image_text:?}: couldn't parse image name"),
        )
    })?;
    let pull_policy = match (c.image_pull_policy.as_deref(), image.tag()) {
        (Some("Always"), _) | (None, Some("latest")) => model::PullPolicy::Always,
        (Some("Never"), _) => model::PullPolicy::Never,
        _ => model::PullPolicy::IfNotPresent,
    };
    let lifecycle = c.lifecycle.clone().unwrap_or_default();
    let message_path = c.termination_message_path.clone();
    Ok(model::Container {
        name: c.name.clone(),
        image,
        pull_policy,
        command: c.command.clone().unwrap_or_default(),
        args: c.args.clone().unwrap_or_default(),
        working_dir: c.working_dir.clone().filter(|d| !d.is_empty()),
        env: env::environment(scope, c),
        ports: c.ports.iter().flatten().filter_map(port).collect(),
        resources: resources::resources(c).map_err(config)?,
        mounts: c.volume_mounts.iter().flatten().map(volume::mount).collect(),
        devices: resources::devices(c).map_err(config)?,
        resize_restarts: resources::resize_restarts(c),
        sidecar: is_init && c.restart_policy.as_deref() == Some("Always"),
        post_start: probe::hook(lifecycle.post_start.as_ref(), c),
        pre_stop: probe::hook(lifecycle.pre_stop.as_ref(), c),
        stop_signal: lifecycle.stop_signal,
        termination_message_path: message_path.filter(|p| !p.is_empty() && p != TERMINATION_LOG),
        termination_message_from_log: c.termination_message_policy.as_deref()
            == Some("FallbackToLogsOnError"),
        security: security::security(c, pod, scope.annotations),
        liveness: probe::liveness(c),
        readiness: probe::readiness(c),
        startup: probe::startup(c),
    })
}

fn port(port: &core::ContainerPort) -> Option<model::ContainerPort> {
    Some(model::ContainerPort {
        name: port.name.clone(),
        port: u16::try_from(port.container_port).ok()?,
        protocol: protocol(port.protocol.as_deref()),
        host_port: port.host_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0),
    })
}

/// A protocol by its name.
pub(super) fn protocol(text: Option<&str>) -> model::Protocol {
    if text == Some("UDP") { model::Protocol::Udp } else { model::Protocol::Tcp }
}
