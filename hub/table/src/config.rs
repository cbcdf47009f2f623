//! ConfigMap, Secret, ServiceAccount, and kinds without a printer.

use gannet_protocols_model::Timestamp;
use serde_json::Value;

use crate::column::Column;
use crate::field::{age, list, map, name, text};

pub(crate) const OTHER: &[Column] = &[Column::NAME, Column::AGE];
pub(crate) const CONFIG_MAP: &[Column] =
    &[Column::NAME, Column::count("Data", "Number of keys in data and binaryData."), Column::AGE];
pub(crate) const SECRET: &[Column] = &[
    Column::NAME,
    Column::text("Type", "What the data is for."),
    Column::count("Data", "Number of keys in data."),
    Column::AGE,
];
pub(crate) const SERVICE_ACCOUNT: &[Column] =
    &[Column::NAME, Column::count("Secrets", "Number of secrets that the account may use."), Column::AGE];

fn keys(object: &Value, field: &str) -> usize {
    map(object, &[field]).map_or(0, serde_json::Map::len)
}

pub(crate) fn other(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

pub(crate) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), (keys(object, "data") + keys(object, "binaryData")).into(), age(object, now)]
}

pub(crate) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, &["type"]).into(), keys(object, "data").into(), age(object, now)]
}

pub(crate) fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), list(object, &["secrets"]).len().into(), age(object, now)]
}
