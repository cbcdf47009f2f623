//! The environment of a container.

use gannet_protocols_model::{EnvValue, EnvVar};
use k8s_openapi::api::core::v1 as core;

use super::config::Reference;
use super::manifest::Scope;
use super::{keep, resources};

/// All variables of a container, in the order in which later ones win.
pub(super) fn environment(scope: &mut Scope<'_>, container: &core::Container) -> Vec<EnvVar> {
    let mut env = Vec::new();
    for source in container.env_from.iter().flatten() {
        env.extend(env_from(scope, source));
    }
    for var in container.env.iter().flatten() {
        let value = match &var.value_from {
            None => Some(EnvValue::Text(var.value.clone().unwrap_or_default())),
            Some(from) => value_from(scope, from),
        };
        env.extend(value.map(|value| EnvVar { name: var.name.clone(), value }));
    }
    env
}

fn env_from(scope: &mut Scope<'_>, source: &core::EnvFromSource) -> Option<EnvVar> {
    let reference = match (&source.config_map_ref, &source.secret_ref) {
        (Some(r), _) => Reference { secret: false, name: &r.name, optional: r.optional == Some(true) },
        (_, Some(r)) => Reference { secret: true, name: &r.name, optional: r.optional == Some(true) },
        (None, None) => return None,
    };
    let value = match reference.variables(scope) {
        Some(blob) => {
            let blob = keep(scope.blobs, blob.to_bytes());
            EnvValue::All { blob, prefix: source.prefix.clone().unwrap_or_default() }
        }
        None if reference.optional => return None,
        None => EnvValue::Missing(reference.not_found()),
    };
    Some(EnvVar { name: String::new(), value })
}

fn value_from(scope: &mut Scope<'_>, from: &core::EnvVarSource) -> Option<EnvValue> {
    if let Some(field) = &from.field_ref {
        return Some(EnvValue::Field(field.field_path.clone()));
    }
    if let Some(selector) = &from.resource_field_ref {
        return Some(
            resources::field(scope.spec, selector).map_or_else(EnvValue::Missing, EnvValue::Resource),
        );
    }
    let (reference, key) = match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(r), _) => {
            (Reference { secret: false, name: &r.name, optional: r.optional == Some(true) }, &r.key)
        }
        (_, Some(r)) => {
            (Reference { secret: true, name: &r.name, optional: r.optional == Some(true) }, &r.key)
        }
        (None, None) => return None,
    };
    match reference.variables(scope) {
        Some(blob) if blob.get(key).is_some() => {
            let blob = keep(scope.blobs, blob.to_bytes());
            Some(EnvValue::Key { blob, key: key.clone() })
        }
        _ if reference.optional => None,
        Some(_) => Some(EnvValue::Missing(format!(
            "couldn't find key {key} in {} {}/{}",
            reference.kind(),
            scope.namespace,
            reference.name
        ))),
        None => Some(EnvValue::Missing(reference.not_found())),
    }
}
