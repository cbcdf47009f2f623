//! A pod's spec, of a pod or of a template: what Kubernetes checks before it stores one.

mod affinity;
mod annotations;
mod container;
mod dns;
mod environment;
mod field;
mod handler;
mod honoured;
mod lifecycle;
mod mount;
mod ports;
mod priority;
mod probe;
mod projected;
mod resize;
mod resources;
mod security;
mod spec;
mod sysctl;
mod toleration;
mod update;
mod volume;
mod warnings;

pub(super) use annotations::{
    validate as validate_annotations, validate_update as validate_annotations_update,
    warnings as find_annotation_warnings,
};
pub(super) use handler::port as validate_port;
pub(super) use honoured::POD_SPEC;
pub(super) use priority::admit as admit_priority;
pub(crate) use priority::of_class as priority_of_class;
pub(super) use resize::{take as take_resize, validate as validate_resize};
pub(super) use spec::{qos_class, validate};
pub(super) use update::validate as validate_update;
pub(super) use warnings::find as find_warnings;

/// Whether a path leads upwards somewhere.
fn has_parent(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}
