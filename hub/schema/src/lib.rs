//! The OpenAPI documents of the hub, and checks of JSON against them, generated from the types of `k8s-openapi`.
//!
//! In: the table of kinds ([`gannet_hub_core::KINDS`]) and the types' JSON schemas. Out: serialized OpenAPI v2 (JSON and
//! protobuf) and v3 documents, each made once, when it is first asked for; [`check_fields`], [`prune`] and
//! [`duplicate_fields`] for decoding; [`Shape`] for patches. A kind that the table gains needs one line in `catalog.rs`.

#![forbid(unsafe_code)]

mod catalog;
mod check;
mod documents;
mod duplicate;
mod gnostic;
mod made;
mod merge;
mod paths;
mod protobuf;
mod shape;
mod v2;
mod v3;

pub use check::{FieldReport, check_fields, prune};
pub use documents::{openapi_v2_json, openapi_v2_protobuf, openapi_v3, openapi_v3_index};
pub use duplicate::duplicate_fields;
pub use shape::Shape;

#[cfg(test)]
#[path = "schema_test.rs"]
mod tests;
