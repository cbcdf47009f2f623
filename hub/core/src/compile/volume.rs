//! The volumes of a pod, and where a container has them.

use gannet_protocols_model as model;
use gannet_protocols_model::{ByteSize, DownwardValue, ProjectedSource, VolumeSource};
use k8s_openapi::api::core::v1 as core;

use super::config::{DEFAULT_MODE, Reference, mode};
use super::manifest::Scope;
use super::misfit::Misfit;
use super::resources;

/// One volume.
pub(super) fn volume(scope: &mut Scope<'_>, volume: &core::Volume) -> Result<model::Volume, Misfit> {
    Ok(model::Volume { name: volume.name.clone(), source: source(scope, volume)? })
}

fn source(scope: &mut Scope<'_>, volume: &core::Volume) -> Result<VolumeSource, Misfit> {
    let file_mode = |bits: Option<i32>| bits.map_or(DEFAULT_MODE, mode);
    if let Some(dir) = &volume.empty_dir {
        let size_limit = dir.size_limit.as_ref().and_then(|q| ByteSize::parse(&q.0).ok());
        return Ok(VolumeSource::EmptyDir { memory: dir.medium.as_deref() == Some("Memory"), size_limit });
    }
    if let Some(map) = &volume.config_map {
        let reference = Reference { secret: false, name: &map.name, optional: map.optional == Some(true) };
        let files = reference.files(scope, map.items.as_ref(), file_mode(map.default_mode));
        return Ok(VolumeSource::ConfigMap(files));
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let reference = Reference { secret: true, name, optional: secret.optional == Some(true) };
        let files = reference.files(scope, secret.items.as_ref(), file_mode(secret.default_mode));
        return Ok(VolumeSource::Secret(files));
    }
    if let Some(path) = &volume.host_path {
        let kind = host_path_kind(path.type_.as_deref());
        return Ok(VolumeSource::HostPath { path: path.path.clone(), kind });
    }
    if let Some(downward) = &volume.downward_api {
        let items = downward_files(scope, volume, downward.items.as_ref())?;
        let default_mode = file_mode(downward.default_mode);
        return Ok(VolumeSource::DownwardApi(model::DownwardVolume { default_mode, items }));
    }
    if let Some(projected) = &volume.projected {
        let default_mode = file_mode(projected.default_mode);
        let all = projected.sources.iter().flatten();
        let sources =
            all.map(|s| projected_source(scope, volume, s, default_mode)).collect::<Result<_, _>>()?;
        return Ok(VolumeSource::Projected(model::ProjectedVolume { default_mode, sources }));
    }
    if *volume == (core::Volume { name: volume.name.clone(), ..core::Volume::default() }) {
        // A volume without a source is an emptyDir, as in Kubernetes.
        return Ok(VolumeSource::EmptyDir { memory: false, size_limit: None });
    }
    Err(unknown(volume))
}

fn unknown(volume: &core::Volume) -> Misfit {
    let message = format!("volume {:?} has a source that this hub cannot compile", volume.name);
    Misfit::of_pod("FailedMount", message)
}

fn projected_source(
    scope: &mut Scope<'_>,
    volume: &core::Volume,
    source: &core::VolumeProjection,
    default_mode: u32,
) -> Result<ProjectedSource, Misfit> {
    if let Some(map) = &source.config_map {
        let reference = Reference { secret: false, name: &map.name, optional: map.optional == Some(true) };
        return Ok(ProjectedSource::ConfigMap(reference.files(scope, map.items.as_ref(), default_mode)));
    }
    if let Some(secret) = &source.secret {
        let reference =
            Reference { secret: true, name: &secret.name, optional: secret.optional == Some(true) };
        return Ok(ProjectedSource::Secret(reference.files(scope, secret.items.as_ref(), default_mode)));
    }
    let Some(downward) = &source.downward_api else { return Err(unknown(volume)) };
    Ok(ProjectedSource::DownwardApi(downward_files(scope, volume, downward.items.as_ref())?))
}

fn downward_files(
    scope: &Scope<'_>,
    volume: &core::Volume,
    items: Option<&Vec<core::DownwardAPIVolumeFile>>,
) -> Result<Vec<model::DownwardFile>, Misfit> {
    let wrong =
        |message: String| Misfit::of_pod("FailedMount", format!("volume {:?}: {message}", volume.name));
    let file = |item: &core::DownwardAPIVolumeFile| {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => DownwardValue::Field(field.field_path.clone()),
            (_, Some(selector)) => {
                DownwardValue::Resource(resources::field(scope.spec, selector).map_err(wrong)?)
            }
            (None, None) => return Err(unknown(volume)),
        };
        Ok(model::DownwardFile { path: item.path.clone(), value, mode: item.mode.map(mode) })
    };
    items.into_iter().flatten().map(file).collect()
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

/// A volume in a container.
pub(super) fn mount(mount: &core::VolumeMount) -> model::Mount {
    model::Mount {
        volume: mount.name.clone(),
        path: mount.mount_path.clone(),
        read_only: mount.read_only.unwrap_or(false),
        sub_path: mount.sub_path.clone().filter(|p| !p.is_empty()),
        sub_path_expr: mount.sub_path_expr.clone().filter(|p| !p.is_empty()),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => model::MountPropagation::HostToContainer,
            Some("Bidirectional") => model::MountPropagation::Bidirectional,
            _ => model::MountPropagation::None,
        },
    }
}
