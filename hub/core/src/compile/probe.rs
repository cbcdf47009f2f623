//! Probes and hooks of a container.

use gannet_protocols_model as model;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A liveness probe of a port that the container does not name is none: it could never fail, as kubelet has it.
pub(super) fn liveness(container: &core::Container) -> Option<model::Probe> {
    probe(container.liveness_probe.as_ref()?, container, None)
}

/// A readiness probe of a port that the container does not name never succeeds.
pub(super) fn readiness(container: &core::Container) -> Option<model::Probe> {
    probe(container.readiness_probe.as_ref()?, container, Some(0))
}

/// As [`readiness`], of a container that starts.
pub(super) fn startup(container: &core::Container) -> Option<model::Probe> {
    probe(container.startup_probe.as_ref()?, container, Some(0))
}

/// `unknown` stands for a port of a name that the container does not have.
fn probe(p: &core::Probe, container: &core::Container, unknown: Option<u16>) -> Option<model::Probe> {
    let number = |port: &IntOrString| port_number(port, std::slice::from_ref(container)).or(unknown);
    let action = if let Some(exec) = &p.exec {
        model::ProbeAction::Exec(exec.command.clone().unwrap_or_default())
    } else if let Some(get) = &p.http_get {
        model::ProbeAction::Http(http_get(get, number(&get.port)?))
    } else if let Some(grpc) = &p.grpc {
        model::ProbeAction::Grpc {
            port: u16::try_from(grpc.port).unwrap_or(0),
            service: grpc.service.clone().unwrap_or_default(),
        }
    } else {
        let tcp = p.tcp_socket.as_ref()?;
        model::ProbeAction::Tcp { port: number(&tcp.port)?, host: tcp.host.clone().filter(|h| !h.is_empty()) }
    };
    let n = |value: Option<i32>, default| value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default);
    Some(model::Probe {
        action,
        initial_delay_seconds: n(p.initial_delay_seconds, 0),
        period_seconds: n(p.period_seconds, 10).max(1),
        timeout_seconds: n(p.timeout_seconds, 1).max(1),
        success_threshold: n(p.success_threshold, 1).max(1),
        failure_threshold: n(p.failure_threshold, 3).max(1),
        grace_seconds: p.termination_grace_period_seconds.and_then(|s| u32::try_from(s).ok()),
    })
}

fn http_get(get: &core::HTTPGetAction, port: u16) -> model::HttpGet {
    model::HttpGet {
        port,
        path: get.path.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into()),
        tls: get.scheme.as_deref() == Some("HTTPS"),
        host: get.host.clone().filter(|h| !h.is_empty()),
        headers: get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
    }
}

/// `postStart` or `preStop`. A GET of a port that the container does not name fails.
pub(super) fn hook(
    handler: Option<&core::LifecycleHandler>,
    container: &core::Container,
) -> Option<model::HookAction> {
    let handler = handler?;
    if let Some(exec) = &handler.exec {
        return Some(model::HookAction::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(get) = &handler.http_get {
        let port = port_number(&get.port, std::slice::from_ref(container)).unwrap_or(0);
        return Some(model::HookAction::Http(http_get(get, port)));
    }
    let sleep = handler.sleep.as_ref()?;
    Some(model::HookAction::Sleep(u32::try_from(sleep.seconds).unwrap_or(0)))
}

/// The number of a port that may be given by name.
pub(super) fn port_number(port: &IntOrString, containers: &[core::Container]) -> Option<u16> {
    match port {
        IntOrString::Int(n) => u16::try_from(*n).ok(),
        IntOrString::String(name) => name.parse().ok().or_else(|| {
            let mut ports = containers.iter().flat_map(|c| c.ports.iter().flatten());
            let found = ports.find(|p| p.name.as_ref() == Some(name))?;
            u16::try_from(found.container_port).ok()
        }),
    }
}
