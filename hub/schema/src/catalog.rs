//! The definitions: one for each served kind and everything that it refers to, under Kubernetes' names, as Swagger 2.0.

use std::collections::BTreeMap;

use gannet_hub_core::{KINDS, Kind};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::autoscaling::v1 as autoscaling;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::{made, merge};

pub(crate) const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
pub(crate) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
pub(crate) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(crate) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
pub(crate) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(crate) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(crate) const GVK: &str = "x-kubernetes-group-version-kind";

const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const REFERENCE: &str = "#/definitions/";

/// A kind at one of the places where it is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    pub(crate) kind: &'static Kind,
    /// The group of the path: the kind's own, or the core group for an alias.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
}

/// Kinds that the core group lists too, because tutorials say `apiVersion: v1`.
const CORE_ALIASES: &[&Kind] = &[Kind::DEPLOYMENT];

/// Every kind at every place, aliases last.
pub(crate) fn served() -> impl Iterator<Item = Served> {
    let own = KINDS.iter().map(|k| Served { kind: k, group: k.group, version: k.version });
    own.chain(CORE_ALIASES.iter().map(|k| Served { kind: k, group: "", version: "v1" }))
}

/// Kinds of subresources and options: name of the definition, group, version, kind.
pub(crate) const OTHERS: &[(&str, &str, &str, &str)] = &[
    (SCALE, "autoscaling", "v1", "Scale"),
    (DELETE_OPTIONS, "", "v1", "DeleteOptions"),
    (STATUS, "", "v1", "Status"),
];

macro_rules! types {
    ($($kind:literal: $type:ty,)*) => {
        fn add_kind(kind: &Kind, generator: &mut SchemaGenerator) {
            match kind.kind {
                $($kind => { generator.subschema_for::<$type>(); })*
                _ => {}
            }
        }

        /// The definition's name of a kind; `None` for one that this crate was not told of (a test finds that).
        pub(crate) fn definition_name(kind: &Kind) -> Option<String> {
            match kind.kind {
                $($kind => Some(<$type as JsonSchema>::schema_name().into_owned()),)*
                _ => None,
            }
        }
    };
}

types! {
    "ConfigMap": core::ConfigMap,
    "Endpoints": core::Endpoints,
    "Event": core::Event,
    "Namespace": core::Namespace,
    "Node": core::Node,
    "Pod": core::Pod,
    "Secret": core::Secret,
    "ServiceAccount": core::ServiceAccount,
    "Service": core::Service,
    "Deployment": apps::Deployment,
    "ReplicaSet": apps::ReplicaSet,
    "Lease": coordination::Lease,
    "EndpointSlice": discovery::EndpointSlice,
}

/// Makes all definitions. Costs milliseconds and about two megabytes: callers keep what they derive, not this.
pub(crate) fn definitions() -> BTreeMap<String, Value> {
    // Draft 7 writes references as Swagger 2.0 does.
    let mut generator = SchemaSettings::draft07().into_generator();
    for kind in KINDS {
        add_kind(kind, &mut generator);
    }
    generator.subschema_for::<autoscaling::Scale>();
    generator.subschema_for::<meta::DeleteOptions>();
    generator.subschema_for::<meta::Status>();
    let mut all: BTreeMap<String, Value> = generator.take_definitions(false).into_iter().collect();
    all.insert(
        INT_OR_STRING.to_owned(),
        described(&all, INT_OR_STRING, json!({"type": "string", "format": "int-or-string"})),
    );
    all.insert(QUANTITY.to_owned(), described(&all, QUANTITY, json!({"type": "string"})));
    all.insert(
        PATCH.to_owned(),
        json!({"type": "object", "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body."}),
    );
    for kind in KINDS {
        add_list(kind, &mut all);
    }
    add_group_version_kinds(&mut all);
    merge::annotate(&mut all);
    all.extend(made::definitions());
    all
}

fn described(all: &BTreeMap<String, Value>, name: &str, mut schema: Value) -> Value {
    if let Some(text) = all.get(name).and_then(|s| s.get("description")) {
        schema["description"] = text.clone();
    }
    schema
}

fn add_list(kind: &Kind, all: &mut BTreeMap<String, Value>) {
    let Some(item) = definition_name(kind) else { return };
    let text = |of: &str, property: &str| {
        all.get(of).and_then(|d| d.pointer(&format!("/properties/{property}"))).cloned().unwrap_or_default()
    };
    let list = json!({
        "description": format!("{0}List is a list of {0} objects.", kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": text(&item, "apiVersion"),
            "kind": text(&item, "kind"),
            "metadata": {"$ref": format!("{REFERENCE}{LIST_META}"), "description": "Standard list metadata."},
            "items": {"type": "array", "description": format!("Items is the list of {}.", kind.plural), "items": {"$ref": format!("{REFERENCE}{item}")}},
        },
    });
    all.insert(format!("{item}List"), list);
}

fn add_group_version_kinds(all: &mut BTreeMap<String, Value>) {
    let mut add = |name: &str, group: &str, version: &str, kind: &str| {
        if let Some(Value::Object(definition)) = all.get_mut(name) {
            optional_at_the_top(definition);
            let list = definition.entry(GVK).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(json!({"group": group, "version": version, "kind": kind}));
            }
        }
    };
    for served in served() {
        if let Some(name) = definition_name(served.kind) {
            add(&name, served.group, served.version, served.kind.kind);
            add(&format!("{name}List"), served.group, served.version, &format!("{}List", served.kind.kind));
        }
    }
    for (name, group, version, kind) in OTHERS {
        add(name, group, version, kind);
    }
}

/// The generated types say that whole objects need `metadata` and `spec`; Kubernetes' documents do not.
fn optional_at_the_top(definition: &mut Map<String, Value>) {
    if let Some(Value::Array(required)) = definition.get_mut("required") {
        required.retain(|name| name != "metadata" && name != "spec");
        if required.is_empty() {
            definition.remove("required");
        }
    }
}

/// The name in a reference.
pub(crate) fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(REFERENCE)
}
