//! One pod: its manifest, and its entry in the desired document.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model as model;
use gannet_protocols_model::{
    ByteSize, ConfigBlob, CpuMillis, Digest, EnvValue, EnvVar, Manifest, PodEntry, VolumeSource,
};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::keep;
use crate::{ObjectKey, World};

/// Why a pod cannot be compiled, as kubelet would report it. The hub shows it in the pod's status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Misfit {
    /// The container that is wrong; none for the pod as a whole.
    pub container: Option<String>,
    /// `InvalidImageName`, …
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

impl Misfit {
    fn of_pod(reason: &'static str, message: String) -> Self {
        Self { container: None, reason, message }
    }
}

/// Where a pod's objects are looked up, and where its blobs go.
struct Scope<'a> {
    world: &'a World,
    namespace: &'a str,
    blobs: &'a mut BTreeMap<Digest, Arc<[u8]>>,
}

/// The pod's entry; its manifest and config blobs go to `blobs`.
pub(super) fn entry(
    world: &World,
    pod: &core::Pod,
    blobs: &mut BTreeMap<Digest, Arc<[u8]>>,
) -> Result<PodEntry, Misfit> {
    let meta = &pod.metadata;
    let namespace = meta.namespace.clone().unwrap_or_default();
    let uid = meta.uid.clone().unwrap_or_default();
    let uid = uid.parse().map_err(|e: model::IdError| Misfit::of_pod("InvalidPod", e.to_string()))?;
    let spec = pod.spec.as_ref().ok_or_else(|| Misfit::of_pod("InvalidPod", "pod has no spec".into()))?;
    let mut scope = Scope { world, namespace: &namespace, blobs };
    let manifest = manifest(&mut scope, spec)?;
    let fields = hub_fields(pod, &manifest);
    let stop_within_seconds = meta.deletion_timestamp.as_ref().map(|_| {
        let grace =
            meta.deletion_grace_period_seconds.or(spec.termination_grace_period_seconds).unwrap_or(30);
        u32::try_from(grace).unwrap_or(0)
    });
    let bytes = manifest.to_bytes();
    if bytes.len() > model::MAX_MANIFEST_BYTES {
        let message = format!("manifest has {} bytes, more than {}", bytes.len(), model::MAX_MANIFEST_BYTES);
        return Err(Misfit::of_pod("InvalidPod", message));
    }
    let manifest = keep(scope.blobs, bytes);
    let name = meta.name.clone().unwrap_or_default();
    let (owner, progress_deadline_seconds) = (None, None);
    Ok(PodEntry {
        uid,
        namespace,
        name,
        manifest,
        owner,
        progress_deadline_seconds,
        fields,
        stop_within_seconds,
    })
}

/// Values of environment fields that only the hub knows.
fn hub_fields(pod: &core::Pod, manifest: &Manifest) -> BTreeMap<String, String> {
    let keyed = |path: &str, of: &str, map: &Option<BTreeMap<String, String>>| {
        let key = path.strip_prefix(of)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default())
    };
    let account = pod.spec.as_ref().and_then(|s| s.service_account_name.clone()).unwrap_or_default();
    let env = manifest.all_containers().flat_map(|c| &c.env);
    env.filter_map(|e| match &e.value {
        EnvValue::Field(path) => keyed(path, "metadata.labels", &pod.metadata.labels)
            .or_else(|| keyed(path, "metadata.annotations", &pod.metadata.annotations))
            .or_else(|| (path == "spec.serviceAccountName").then(|| account.clone()))
            .map(|value| (path.clone(), value)),
        _ => None,
    })
    .collect()
}

fn manifest(scope: &mut Scope<'_>, spec: &core::PodSpec) -> Result<Manifest, Misfit> {
    let pod_security = spec.security_context.clone().unwrap_or_default();
    let mut containers = |list: &[core::Container]| -> Result<Vec<_>, Misfit> {
        list.iter().map(|c| container(scope, c, &pod_security)).collect()
    };
    let init_containers = containers(spec.init_containers.as_deref().unwrap_or_default())?;
    let main = containers(&spec.containers)?;
    let volumes = spec.volumes.iter().flatten().map(|v| volume(scope, v)).collect::<Result<_, _>>()?;
    Ok(Manifest {
        version: 1,
        hostname: spec.hostname.clone().filter(|h| !h.is_empty()),
        host_network: spec.host_network.unwrap_or(false),
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        share_process_namespace: spec.share_process_namespace.unwrap_or(false),
        user_namespace: spec.host_users == Some(false),
        sysctls: BTreeMap::new(),
        active_deadline_seconds: None,
        priority: spec.priority.unwrap_or(0),
        dns_config: model::DnsConfig::default(),
        subdomain: None,
        hostname_as_fqdn: false,
        host_aliases: Vec::new(),
        service_links: spec.enable_service_links.unwrap_or(true),
        restart_policy: match spec.restart_policy.as_deref() {
            Some("OnFailure") => model::RestartPolicy::OnFailure,
            Some("Never") => model::RestartPolicy::Never,
            _ => model::RestartPolicy::Always,
        },
        termination_grace_seconds: seconds(spec.termination_grace_period_seconds, 30),
        dns_policy: match spec.dns_policy.as_deref() {
            Some("Default") => model::DnsPolicy::Default,
            // As Kubernetes: a pod in the node's network sees the node's name servers unless it asks otherwise.
            Some("ClusterFirst") | None if spec.host_network.unwrap_or(false) => model::DnsPolicy::Default,
            _ => model::DnsPolicy::ClusterFirst,
        },
        init_containers,
        containers: main,
        volumes,
        fs_group: pod_security.fs_group.and_then(|g| u32::try_from(g).ok()),
    })
}

fn container(
    scope: &mut Scope<'_>,
    c: &core::Container,
    pod: &core::PodSecurityContext,
) -> Result<model::Container, Misfit> {
    let misfit = |reason, message| Misfit { container: Some(c.name.clone()), reason, message };
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
    let mut env = Vec::new();
    for source in c.env_from.iter().flatten() {
        env.extend(env_from(scope, source));
    }
    for var in c.env.iter().flatten() {
        env.extend(env_var(scope, var));
    }
    let ports = c.ports.iter().flatten();
    let probe = |p: &Option<core::Probe>| p.as_ref().and_then(|p| probe(p, c));
    Ok(model::Container {
        name: c.name.clone(),
        image,
        pull_policy,
        command: c.command.clone().unwrap_or_default(),
        args: c.args.clone().unwrap_or_default(),
        working_dir: c.working_dir.clone().filter(|d| !d.is_empty()),
        env,
        ports: ports.filter_map(container_port).collect(),
        resources: resources(c).map_err(|message| misfit("CreateContainerConfigError", message))?,
        mounts: c.volume_mounts.iter().flatten().map(mount).collect(),
        security: security(c.security_context.as_ref(), pod),
        devices: BTreeMap::new(),
        resize_restarts: model::ResizeRestarts::default(),
        sidecar: false,
        post_start: None,
        pre_stop: None,
        stop_signal: None,
        termination_message_path: None,
        termination_message_from_log: false,
        liveness: probe(&c.liveness_probe),
        readiness: probe(&c.readiness_probe),
        startup: probe(&c.startup_probe),
    })
}

fn container_port(port: &core::ContainerPort) -> Option<model::ContainerPort> {
    Some(model::ContainerPort {
        name: port.name.clone(),
        port: u16::try_from(port.container_port).ok()?,
        protocol: protocol(port.protocol.as_deref()),
        host_port: port.host_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0),
    })
}

pub(super) fn protocol(text: Option<&str>) -> model::Protocol {
    if text == Some("UDP") { model::Protocol::Udp } else { model::Protocol::Tcp }
}

fn mount(mount: &core::VolumeMount) -> model::Mount {
    model::Mount {
        volume: mount.name.clone(),
        path: mount.mount_path.clone(),
        read_only: mount.read_only.unwrap_or(false),
        sub_path: mount.sub_path.clone().filter(|p| !p.is_empty()),
        sub_path_expr: None,
        propagation: model::MountPropagation::None,
    }
}

/// The blob of a ConfigMap or Secret, and its keys; nothing where there is no such object.
fn config(scope: &mut Scope<'_>, secret: bool, name: &str) -> Option<ConfigBlob> {
    let key = ObjectKey::new(scope.namespace, name);
    if secret {
        let secret = scope.world.secrets.get(&key)?;
        Some(ConfigBlob::new(secret.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()))))
    } else {
        let map = scope.world.config_maps.get(&key)?;
        let text = map.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
        let binary = map.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()));
        Some(ConfigBlob::new(text.chain(binary)))
    }
}

fn kind(secret: bool) -> (&'static str, &'static str) {
    if secret { ("secret", "Secret") } else { ("configmap", "ConfigMap") }
}

fn env_from(scope: &mut Scope<'_>, source: &core::EnvFromSource) -> Option<EnvVar> {
    let (secret, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
        (Some(r), _) => (false, &r.name, r.optional),
        (_, Some(r)) => (true, &r.name, r.optional),
        (None, None) => return None,
    };
    let value = match config(scope, secret, name) {
        Some(blob) => {
            let blob = keep(scope.blobs, blob.to_bytes());
            EnvValue::All { blob, prefix: source.prefix.clone().unwrap_or_default() }
        }
        None if optional == Some(true) => return None,
        None => EnvValue::Missing(format!("{} \"{name}\" not found", kind(secret).0)),
    };
    Some(EnvVar { name: String::new(), value })
}

fn env_var(scope: &mut Scope<'_>, var: &core::EnvVar) -> Option<EnvVar> {
    let named = |value| Some(EnvVar { name: var.name.clone(), value });
    let Some(from) = &var.value_from else {
        return named(EnvValue::Text(var.value.clone().unwrap_or_default()));
    };
    if let Some(field) = &from.field_ref {
        return named(EnvValue::Field(field.field_path.clone()));
    }
    let (secret, name, key, optional) = match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(r), _) => (false, &r.name, &r.key, r.optional),
        (_, Some(r)) => (true, &r.name, &r.key, r.optional),
        (None, None) => return None,
    };
    match config(scope, secret, name) {
        Some(blob) if blob.get(key).is_some() => {
            let blob = keep(scope.blobs, blob.to_bytes());
            named(EnvValue::Key { blob, key: key.clone() })
        }
        _ if optional == Some(true) => None,
        Some(_) => named(EnvValue::Missing(format!(
            "couldn't find key {key} in {} {}/{name}",
            kind(secret).1,
            scope.namespace
        ))),
        None => named(EnvValue::Missing(format!("{} \"{name}\" not found", kind(secret).0))),
    }
}

fn volume(scope: &mut Scope<'_>, volume: &core::Volume) -> Result<model::Volume, Misfit> {
    let source = if let Some(dir) = &volume.empty_dir {
        let size_limit = dir.size_limit.as_ref().and_then(|q| ByteSize::parse(&q.0).ok());
        VolumeSource::EmptyDir { memory: dir.medium.as_deref() == Some("Memory"), size_limit }
    } else if let Some(map) = &volume.config_map {
        VolumeSource::ConfigMap(files(scope, false, &map.name, &map.items, map.default_mode, map.optional))
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.clone().unwrap_or_default();
        VolumeSource::Secret(files(scope, true, &name, &secret.items, secret.default_mode, secret.optional))
    } else if let Some(path) = &volume.host_path {
        VolumeSource::HostPath { path: path.path.clone(), kind: host_path_kind(path.type_.as_deref()) }
    } else if only_named(volume) {
        // A volume without a source is an emptyDir, as in Kubernetes.
        VolumeSource::EmptyDir { memory: false, size_limit: None }
    } else {
        let message = format!("volume {:?} has a source that this hub cannot compile", volume.name);
        return Err(Misfit::of_pod("FailedMount", message));
    };
    Ok(model::Volume { name: volume.name.clone(), source })
}

fn only_named(volume: &core::Volume) -> bool {
    *volume == core::Volume { name: volume.name.clone(), ..core::Volume::default() }
}

fn files(
    scope: &mut Scope<'_>,
    secret: bool,
    name: &str,
    items: &Option<Vec<core::KeyToPath>>,
    mode: Option<i32>,
    optional: Option<bool>,
) -> model::ConfigVolume {
    let optional = optional == Some(true);
    let blob = config(scope, secret, name);
    let mut missing = None;
    if blob.is_none() && !optional {
        missing = Some(format!("{} \"{name}\" not found", kind(secret).0));
    }
    let lacks = |key: &str| blob.as_ref().is_some_and(|b| b.get(key).is_none());
    if let Some(item) = items.iter().flatten().find(|i| lacks(&i.key)).filter(|_| !optional) {
        missing = Some(format!("references non-existent {} key: {}", kind(secret).0, item.key));
    }
    let to_mode = |m: i32| u32::try_from(m).unwrap_or(0o644);
    let items = items.iter().flatten().filter(|i| !lacks(&i.key)).map(|i| model::KeyToPath {
        key: i.key.clone(),
        path: i.path.clone(),
        mode: i.mode.map(to_mode),
    });
    model::ConfigVolume {
        missing,
        default_mode: mode.map_or(0o644, to_mode),
        items: items.collect(),
        blob: blob.map(|b| keep(scope.blobs, b.to_bytes())),
    }
}

fn host_path_kind(kind: Option<&str>) -> model::HostPathKind {
    use model::HostPathKind as K;
    match kind {
        Some("DirectoryOrCreate") => K::DirectoryOrCreate,
        Some("Directory") => K::Directory,
        Some("FileOrCreate") => K::FileOrCreate,
        Some("File") => K::File,
        Some("Socket") => K::Socket,
        Some("CharDevice") => K::CharDevice,
        Some("BlockDevice") => K::BlockDevice,
        _ => K::Any,
    }
}

fn resources(c: &core::Container) -> Result<model::Resources, String> {
    let r = c.resources.clone().unwrap_or_default();
    let get =
        |map: &Option<BTreeMap<String, Quantity>>, key: &str| map.as_ref().and_then(|m| m.get(key)).cloned();
    let wrong = |what: &str, q: &Quantity, e| format!("{what} {:?}: {e}", q.0);
    let cpu =
        |q: Option<Quantity>| q.map(|q| CpuMillis::parse(&q.0).map_err(|e| wrong("cpu", &q, e))).transpose();
    let bytes = |q: Option<Quantity>| {
        q.map(|q| ByteSize::parse(&q.0).map_err(|e| wrong("memory", &q, e))).transpose()
    };
    Ok(model::Resources {
        cpu_request: cpu(get(&r.requests, "cpu"))?,
        cpu_limit: cpu(get(&r.limits, "cpu"))?,
        memory_request: bytes(get(&r.requests, "memory"))?,
        memory_limit: bytes(get(&r.limits, "memory"))?,
        disk_request: None,
        disk_limit: None,
    })
}

/// The container's own settings win over the pod's.
fn security(own: Option<&core::SecurityContext>, pod: &core::PodSecurityContext) -> model::Security {
    let own = own.cloned().unwrap_or_default();
    let id = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
    let profile = own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref());
    let capabilities = own.capabilities.unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    model::Security {
        run_as_user: id(own.run_as_user.or(pod.run_as_user)),
        run_as_group: id(own.run_as_group.or(pod.run_as_group)),
        run_as_non_root: own.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
        supplemental_groups: pod.supplemental_groups.iter().flatten().filter_map(|g| id(Some(*g))).collect(),
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        privileged,
        allow_privilege_escalation: own.allow_privilege_escalation,
        capabilities_add: capabilities.add.unwrap_or_default(),
        capabilities_drop: capabilities.drop.unwrap_or_default(),
        seccomp: match profile.map(|p| p.type_.as_str()) {
            Some("Unconfined") => model::SeccompProfile::Unconfined,
            None if privileged => model::SeccompProfile::Unconfined,
            _ => model::SeccompProfile::RuntimeDefault,
        },
        apparmor: None,
        unmasked_proc: false,
    }
}

fn probe(p: &core::Probe, c: &core::Container) -> Option<model::Probe> {
    let number = |port: &IntOrString| port_number(port, std::slice::from_ref(c));
    let action = if let Some(exec) = &p.exec {
        model::ProbeAction::Exec(exec.command.clone().unwrap_or_default())
    } else if let Some(get) = &p.http_get {
        model::ProbeAction::Http(model::HttpGet {
            port: number(&get.port)?,
            path: get.path.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into()),
            tls: get.scheme.as_deref() == Some("HTTPS"),
            host: get.host.clone().filter(|h| !h.is_empty()),
            headers: get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
        })
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
        grace_seconds: None,
    })
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

fn seconds(value: Option<i64>, default: u32) -> u32 {
    value.map_or(default, |v| u32::try_from(v.max(0)).unwrap_or(u32::MAX))
}
