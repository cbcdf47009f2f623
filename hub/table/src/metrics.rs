//! NodeMetrics and PodMetrics, as metrics-server prints them.

use gannet_protocols_model::parse_quantity_nanos;
use serde_json::Value;

use crate::column::Column;
use crate::field::{list, name, text};

pub(crate) const METRICS: &[Column] = &[
    Column::NAME,
    quantity("cpu", "CPU that is used."),
    quantity("memory", "Memory that is used and cannot be given back at once."),
    quantity("ephemeral-storage", "Disk that is used."),
    Column { format: "duration", ..Column::text("Window", "The time over which the CPU was measured.") },
];

const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

const fn quantity(name: &'static str, description: &'static str) -> Column {
    Column { format: "quantity", ..Column::text(name, description) }
}

pub(crate) fn node(object: &Value) -> Vec<Value> {
    row(object, RESOURCES.map(|resource| text(object, &["usage", resource]).to_owned()))
}

/// A pod uses what its containers use.
pub(crate) fn pod(object: &Value) -> Vec<Value> {
    let sum = |resource: &str| {
        let containers = list(object, &["containers"]).iter();
        let amounts = containers.filter_map(|c| parse_quantity_nanos(text(c, &["usage", resource])).ok());
        let nanos: i128 = amounts.sum();
        match resource {
            "cpu" => format!("{nanos}n"),
            _ => format!("{}Ki", nanos / 1_000_000_000 / 1024),
        }
    };
    row(object, RESOURCES.map(sum))
}

fn row(object: &Value, amounts: [String; 3]) -> Vec<Value> {
    let [cpu, memory, disk] = amounts.map(Value::from);
    vec![name(object), cpu, memory, disk, Value::from(text(object, &["window"]))]
}
