//! Deployment and ReplicaSet.

use gannet_protocols_model::Timestamp;
use serde_json::Value;

use crate::column::Column;
use crate::field::{age, at, int, list, name, selector, text};

const CONTAINERS: Column = Column::text("Containers", "Names of the containers in the template.").wide();
const IMAGES: Column = Column::text("Images", "Images of the containers in the template.").wide();
const SELECTOR: Column = Column::text("Selector", "Label selector for pods.").wide();

pub(crate) const DEPLOYMENT: &[Column] = &[
    Column::NAME,
    Column::text("Ready", "Number of ready pods out of those wanted."),
    Column::count("Up-to-date", "Number of pods that have the template as it is now."),
    Column::count("Available", "Number of pods that have been ready for minReadySeconds."),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(crate) const REPLICA_SET: &[Column] = &[
    Column::NAME,
    Column::count("Desired", "Number of pods wanted."),
    Column::count("Current", "Number of pods that exist."),
    Column::count("Ready", "Number of ready pods."),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn template(object: &Value) -> [Value; 3] {
    let containers = list(object, &["spec", "template", "spec", "containers"]);
    let each = |field: &str| containers.iter().map(|c| text(c, &[field])).collect::<Vec<_>>().join(",");
    [each("name").into(), each("image").into(), selector(at(object, &["spec", "selector"])).into()]
}

pub(crate) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = |field: &str| int(object, &["status", field]);
    let mut cells = vec![
        name(object),
        format!("{}/{}", status("readyReplicas"), int(object, &["spec", "replicas"])).into(),
        status("updatedReplicas").into(),
        status("availableReplicas").into(),
        age(object, now),
    ];
    cells.extend(template(object));
    cells
}

pub(crate) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        name(object),
        int(object, &["spec", "replicas"]).into(),
        int(object, &["status", "replicas"]).into(),
        int(object, &["status", "readyReplicas"]).into(),
        age(object, now),
    ];
    cells.extend(template(object));
    cells
}
