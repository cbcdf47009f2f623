//! Objects and lists in the representation that the client wants.

use gannet_hub_core::Kind;
use gannet_hub_objects::meta;
use gannet_protocols_model::Timestamp;
use serde_json::{Map, Value, json};

use crate::accept::View;
use crate::route::Served;

/// How much of an object a Table's row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

impl Include {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("None") => Self::None,
            Some("Object") => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// How this client sees objects of this kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presenter {
    pub(crate) served: Served,
    pub(crate) view: View,
    pub(crate) include: Include,
    pub(crate) now: Timestamp,
}

/// `metadata` of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ListMeta {
    pub(crate) revision: u64,
    pub(crate) continue_token: String,
    pub(crate) remaining: Option<usize>,
}

impl ListMeta {
    fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("resourceVersion".to_owned(), Value::from(self.revision.to_string()));
        if !self.continue_token.is_empty() {
            fields.insert("continue".to_owned(), Value::from(self.continue_token.as_str()));
        }
        if let Some(remaining) = self.remaining {
            fields.insert("remainingItemCount".to_owned(), Value::from(remaining));
        }
        Value::Object(fields)
    }
}

impl Presenter {
    /// One object.
    pub(crate) fn object(&self, object: Value) -> Value {
        match self.view {
            View::Whole => self.named(object),
            View::Metadata(version) => partial(&object, version),
            View::Table(version) => {
                let metadata = json!({"resourceVersion": meta::field(&object, "resourceVersion")});
                self.table(version, metadata, vec![object], true)
            }
        }
    }

    /// One object of a watch: only the first Table of a stream has columns.
    pub(crate) fn watched(&self, object: Value, first: bool) -> Value {
        match self.view {
            View::Table(version) => {
                let metadata = json!({"resourceVersion": meta::field(&object, "resourceVersion")});
                self.table(version, metadata, vec![object], first)
            }
            _ => self.object(object),
        }
    }

    /// A bookmark: nothing but a revision.
    pub(crate) fn bookmark(&self, revision: u64, initial_events_end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.view {
            View::Whole => {
                json!({"kind": self.served.kind.kind, "apiVersion": self.served.api_version(), "metadata": metadata})
            }
            View::Metadata(version) => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata})
            }
            View::Table(version) => {
                let mut table =
                    self.table(version, json!({"resourceVersion": revision.to_string()}), Vec::new(), false);
                if initial_events_end {
                    // Where clients of Tables look for the annotation: in the object of a row.
                    let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
                    table["rows"] = json!([{"cells": [], "object": object}]);
                }
                table
            }
        }
    }

    /// A list.
    pub(crate) fn list(&self, list: &ListMeta, items: Vec<Value>) -> Value {
        let metadata = list.to_json();
        match self.view {
            View::Whole => json!({
                "kind": format!("{}List", self.served.kind.kind), "apiVersion": self.served.api_version(),
                "metadata": metadata, "items": items.into_iter().map(|o| self.named(o)).collect::<Vec<_>>(),
            }),
            View::Metadata(version) => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": metadata, "items": items.iter().map(|o| partial(o, version)).collect::<Vec<_>>(),
            }),
            View::Table(version) => self.table(version, metadata, items, true),
        }
    }

    /// The object with the `apiVersion` of the path that serves it.
    fn named(&self, mut object: Value) -> Value {
        if self.served.alias {
            object["apiVersion"] = Value::from(self.served.api_version());
        }
        object
    }

    fn table(&self, version: &str, metadata: Value, objects: Vec<Value>, columns: bool) -> Value {
        let kind = self.served.kind;
        let rows: Vec<Value> = objects.into_iter().map(|object| self.row(version, object)).collect();
        let columns = if columns { column_definitions(kind) } else { Value::Null };
        json!({
            "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
            "columnDefinitions": columns, "rows": rows,
        })
    }

    fn row(&self, version: &str, object: Value) -> Value {
        let cells = gannet_hub_table::cells(self.served.kind, &object, self.now);
        match self.include {
            Include::None => json!({"cells": cells}),
            Include::Metadata => json!({"cells": cells, "object": partial(&object, version)}),
            Include::Object => json!({"cells": cells, "object": self.named(object)}),
        }
    }
}

fn partial(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": meta::at(object, &["metadata"]),
    })
}

fn column_definitions(kind: &Kind) -> Value {
    let columns = gannet_hub_table::columns(kind).iter();
    columns
        .map(|c| json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority}))
        .collect()
}
