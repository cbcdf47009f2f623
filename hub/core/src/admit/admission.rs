//! The steps that every write takes.

use gannet_protocols_model::Timestamp;
use serde_json::{Map, Value, json};

use super::at::{At, Errors};
use super::error::Rejected;
use super::{allocate, cluster, data, defaults, honoured, meta, pod, service, unsupported, workload};
use crate::{Kind, ObjectKey, World};

/// What admission looks at beside the object.
#[derive(Debug, Clone, Copy)]
pub struct AdmitContext<'a> {
    /// Namespaces that exist; cluster addresses and node ports in use.
    pub world: &'a World,
    /// Now.
    pub now: Timestamp,
}

/// An object that may be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// The whole object, defaults filled in.
    pub object: Value,
    /// For `Warning:` headers, in order.
    pub warnings: Vec<String>,
}

/// Defaults and checks a new object.
pub fn admit_create(cx: AdmitContext<'_>, kind: &'static Kind, object: Value) -> Result<Admitted, Rejected> {
    let mut object = fields_of(kind, object)?;
    namespace_takes(cx.world, kind, &object)?;
    let mut errors = Errors::default();
    let mut warnings = Vec::new();
    look_at_spec(kind, &Value::Object(object.clone()), &mut errors, &mut warnings);
    if kind == Kind::POD {
        pod::admit_priority(&object)?;
    }
    meta::prepare_create(cx, kind, &mut object);
    reset_status(kind, &mut object);
    fill(cx, kind, None, &mut object, &mut errors);
    let object = Value::Object(object);
    let at = At::root(&object);
    meta::validate(kind, &at.field("metadata"), &mut errors);
    workload::name_warning(kind, &at.fields(&["metadata", "name"]), &mut warnings);
    validate_spec(kind, &at, &mut errors);
    finish(object, errors, warnings)
}

/// Defaults and checks a new version of an object (PUT, PATCH, `scale`). Its status stays the old one where the kind has
/// a `status` subresource.
pub fn admit_update(
    cx: AdmitContext<'_>,
    kind: &'static Kind,
    old: &Value,
    new: Value,
) -> Result<Admitted, Rejected> {
    let mut object = fields_of(kind, new)?;
    let mut errors = Errors::default();
    let mut warnings = Vec::new();
    let written = Value::Object(object.clone());
    if kind.subresources.contains(&"status") {
        put_status(&mut object, old.get("status"));
    }
    fill(cx, kind, Some(old), &mut object, &mut errors);
    let before_filled = filled(kind, old);
    meta::prepare_update(kind, &before_filled, &mut object);
    let object = Value::Object(object);
    let (before, after) = (At::root(old), At::root(&object));
    meta::validate(kind, &after.field("metadata"), &mut errors);
    meta::validate_update(&before.field("metadata"), &after.field("metadata"), &mut errors);
    if kind == Kind::POD {
        let (old, new) = (before.field("metadata"), after.field("metadata"));
        pod::validate_annotations_update(&old, &new, &mut errors);
    }
    // What was admitted before stays admitted: an object can be labelled or finalized whatever later rules say.
    if contents(&before_filled) != contents(&object) {
        look_at_spec(kind, &written, &mut errors, &mut warnings);
        validate_spec(kind, &after, &mut errors);
        validate_change(kind, &At::root(&before_filled), &after, &mut errors);
    } else if kind == Kind::POD && old.pointer(ANNOTATIONS) != object.pointer(ANNOTATIONS) {
        pod::validate_annotations(&after.field("metadata"), &after.field("spec"), &mut errors);
    }
    finish(object, errors, warnings)
}

/// Checks a write of the `resize` subresource of a pod: only the resources of its containers are taken from `new`, all
/// else stays the old one.
pub fn admit_resize(_cx: AdmitContext<'_>, old: &Value, new: &Value) -> Result<Admitted, Rejected> {
    let kind = Kind::POD;
    let before = filled(kind, old);
    let Value::Object(mut object) = pod::take_resize(&before, new) else {
        return Err(not_an_object(kind));
    };
    defaults::apply(kind, &mut object);
    meta::prepare_update(kind, &before, &mut object);
    let object = Value::Object(object);
    let (mut errors, mut warnings) = (Errors::default(), Vec::new());
    let (was, is) = (At::root(&before).field("spec"), At::root(&object).field("spec"));
    if was.value != is.value {
        pod::validate(&is, &mut errors);
        pod::validate_resize(&was, &is, &mut errors);
        pod::find_warnings(&is, &mut warnings);
    }
    finish(object, errors, warnings)
}

/// Checks a write of the `status` subresource: only the status is taken from `new`, all else stays the old one.
pub fn admit_status(
    _cx: AdmitContext<'_>,
    kind: &'static Kind,
    old: &Value,
    new: Value,
) -> Result<Admitted, Rejected> {
    let Value::Object(mut object) = old.clone() else {
        return Err(not_an_object(kind));
    };
    put_status(&mut object, new.get("status"));
    defaults::apply(kind, &mut object);
    let object = Value::Object(object);
    let mut errors = Errors::default();
    if kind == Kind::DEPLOYMENT || kind == Kind::REPLICA_SET {
        workload::status(&At::root(&object).field("status"), &mut errors);
    }
    finish(object, errors, Vec::new())
}

/// Where annotations are.
const ANNOTATIONS: &str = "/metadata/annotations";

fn finish(object: Value, errors: Errors, mut warnings: Vec<String>) -> Result<Admitted, Rejected> {
    warnings.truncate(unsupported::MAX_WARNINGS);
    if errors.is_empty() {
        Ok(Admitted { object, warnings })
    } else {
        Err(Rejected::Invalid(errors.into_vec()))
    }
}

fn not_an_object(kind: &Kind) -> Rejected {
    Rejected::BadRequest(format!("the object provided is not a {}", kind.kind))
}

/// The object's fields; its kind as it is stored, whatever alias it came by.
fn fields_of(kind: &Kind, object: Value) -> Result<Map<String, Value>, Rejected> {
    let Value::Object(mut fields) = object else {
        return Err(not_an_object(kind));
    };
    fields.insert("apiVersion".to_owned(), json!(kind.api_version()));
    fields.insert("kind".to_owned(), json!(kind.kind));
    Ok(fields)
}

/// New objects need a namespace that exists and stays.
fn namespace_takes(world: &World, kind: &Kind, object: &Map<String, Value>) -> Result<(), Rejected> {
    let name =
        object.get("metadata").and_then(|m| m.get("namespace")).and_then(Value::as_str).unwrap_or_default();
    if !kind.is_namespaced() || name.is_empty() {
        return Ok(());
    }
    let namespace = world.namespaces.get(&ObjectKey::new("", name));
    let Some(namespace) = namespace else {
        return Err(Rejected::NamespaceNotFound { namespace: name.to_owned() });
    };
    let phase = namespace.status.as_ref().and_then(|s| s.phase.as_deref());
    if namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating") {
        return Err(Rejected::NamespaceTerminating { namespace: name.to_owned() });
    }
    Ok(())
}

/// Defaults, and what is given out.
fn fill(
    cx: AdmitContext<'_>,
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Map<String, Value>,
    errors: &mut Errors,
) {
    if kind == Kind::SECRET {
        data::merge_string_data(object);
        // The type that it has is also the one of an update that names none.
        if let Some(ty) = old.and_then(|o| o.get("type")) {
            defaults::set(object, "type", ty.clone());
        }
    }
    defaults::apply(kind, object);
    if kind == Kind::SERVICE {
        let part = |name: &str| {
            object.get("metadata").and_then(|m| m.get(name)).and_then(Value::as_str).unwrap_or_default()
        };
        let key = ObjectKey::new(part("namespace"), part("name"));
        if let Some(spec) = defaults::inner(object, "spec") {
            allocate::service(cx.world, &key, old, spec, errors);
        }
    }
}

/// A stored object with the defaults of today: controllers make objects that were never defaulted here.
fn filled(kind: &Kind, stored: &Value) -> Value {
    let mut fields = stored.as_object().cloned().unwrap_or_default();
    defaults::apply(kind, &mut fields);
    Value::Object(fields)
}

fn put_status(object: &mut Map<String, Value>, status: Option<&Value>) {
    match status {
        Some(status) => object.insert("status".to_owned(), status.clone()),
        None => object.remove("status"),
    };
}

/// A new object has the status of one that nothing was done about yet. A node brings its own.
fn reset_status(kind: &Kind, object: &mut Map<String, Value>) {
    let status = match kind.kind {
        "Pod" => {
            let class = object.get("spec").map_or("BestEffort", pod::qos_class);
            json!({"phase": "Pending", "qosClass": class})
        }
        "Namespace" => json!({"phase": "Active"}),
        "Deployment" => json!({}),
        "ReplicaSet" => json!({"replicas": 0}),
        "Service" => json!({"loadBalancer": {}}),
        _ => return,
    };
    object.insert("status".to_owned(), status);
}

/// All but metadata and status.
fn contents(object: &Value) -> Vec<(&String, &Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !["metadata", "status", "apiVersion", "kind"].contains(&name.as_str()))
        .collect()
}

/// What the client wrote and gannet cannot do, or Kubernetes would advise against.
fn look_at_spec(kind: &Kind, written: &Value, errors: &mut Errors, warnings: &mut Vec<String>) {
    let spec = At::root(written).field("spec");
    let pod = match kind.kind {
        "Pod" => At::root(written),
        "Deployment" | "ReplicaSet" => spec.field("template"),
        "Service" => return unsupported::walk(&spec, honoured::SERVICE_SPEC, errors, warnings),
        "Node" => {
            spec.field("taints")
                .items()
                .iter()
                .for_each(|t| unsupported::walk(t, honoured::TAINT, errors, warnings));
            return;
        }
        _ => return,
    };
    unsupported::walk(&pod.field("spec"), pod::POD_SPEC, errors, warnings);
    pod::find_warnings(&pod.field("spec"), warnings);
    pod::find_annotation_warnings(&pod.field("metadata"), warnings);
}

fn validate_spec(kind: &Kind, object: &At<'_>, errors: &mut Errors) {
    let spec = object.field("spec");
    match kind.kind {
        "Pod" => {
            pod::validate_annotations(&object.field("metadata"), &spec, errors);
            pod::validate(&spec, errors);
        }
        "Deployment" | "ReplicaSet" => workload::spec(kind, &spec, errors),
        "Service" => service::spec(&spec, errors),
        "Secret" => data::secret(object, errors),
        "ConfigMap" => data::config_map(object, errors),
        "Node" => cluster::node(object, errors),
        "Event" => cluster::event(object, errors),
        "Endpoints" => cluster::endpoints(object, errors),
        "EndpointSlice" => cluster::endpoint_slice(object, errors),
        "Lease" => cluster::lease(object, errors),
        _ => {}
    }
}

/// What may not change.
fn validate_change(kind: &Kind, old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    let (before, after) = (old.field("spec"), new.field("spec"));
    match kind.kind {
        "Pod" => pod::validate_update(&before, &after, errors),
        "Deployment" | "ReplicaSet" => workload::validate_update(&before, &after, errors),
        "Service" => service::validate_update(&before, &after, errors),
        "Secret" | "ConfigMap" => data::validate_update(old, new, errors),
        "EndpointSlice" => cluster::endpoint_slice_update(old, new, errors),
        _ => {}
    }
}
