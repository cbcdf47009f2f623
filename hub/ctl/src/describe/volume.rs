//! Volumes of pods and of templates.

use serde_json::Value;

use super::page::{Page, shown};
use crate::resource::text;

/// A volume source: its field, what a person calls it, its fields with their names.
type Source = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SOURCES: [Source; 6] = [
    ("hostPath", "HostPath (bare host directory volume)", &[("Path", "/path"), ("HostPathType", "/type")]),
    (
        "emptyDir",
        "EmptyDir (a temporary directory that shares a pod's lifetime)",
        &[("Medium", "/medium"), ("SizeLimit", "/sizeLimit")],
    ),
    (
        "configMap",
        "ConfigMap (a volume populated by a ConfigMap)",
        &[("Name", "/name"), ("Optional", "/optional")],
    ),
    (
        "secret",
        "Secret (a volume populated by a Secret)",
        &[("SecretName", "/secretName"), ("Optional", "/optional")],
    ),
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[("ClaimName", "/claimName"), ("ReadOnly", "/readOnly")],
    ),
    ("projected", "Projected (a volume that contains injected data from multiple sources)", &[]),
];

/// All volumes of a pod's spec.
pub(super) fn volumes(page: &mut Page, indent: usize, spec: &Value) {
    let volumes = spec["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if volumes.is_empty() {
        page.field(indent, "Volumes", "<none>");
        return;
    }
    page.heading(indent, "Volumes");
    for volume in volumes {
        page.heading(indent + 1, text(volume, "/name"));
        let Some((field, kind, fields)) = SOURCES.iter().find(|(field, ..)| volume[*field].is_object())
        else {
            let other = volume.as_object().into_iter().flatten().find(|(field, _)| *field != "name");
            page.field(indent + 3, "Type", other.map_or("<unknown>", |(field, _)| field.as_str()));
            continue;
        };
        page.field(indent + 3, "Type", kind);
        for (name, pointer) in *fields {
            let value = volume[*field].pointer(pointer).map(shown);
            let absent = match *name {
                "SizeLimit" => "<unset>",
                "Optional" | "ReadOnly" => "false",
                _ => "",
            };
            page.field(indent + 3, name, value.as_deref().unwrap_or(absent));
        }
    }
}
