//! Is this JSON an object of that kind: unknown fields and wrong types, in the words of Kubernetes' decoder.

use serde_json::{Map, Number, Value};

use crate::shape::{Graph, Type, graph};

/// What [`check_fields`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldReport {
    /// Paths of fields that the kind does not have: `spec.template.spec.containers[0].imagee`.
    pub unknown: Vec<String>,
    /// The first value of a wrong type, in the decoder's words. Such an object cannot be decoded (400).
    pub mistyped: Option<String>,
}

/// Compares an object with its kind. `None` where the kind is not known.
pub fn check_fields(group: &str, version: &str, kind: &str, object: &Value) -> Option<FieldReport> {
    let graph = graph();
    let ty = graph.kind(group, version, kind)?;
    let mut walk = Walk {
        graph,
        path: String::new(),
        go_path: String::new(),
        owner: "",
        report: FieldReport::default(),
    };
    walk.value(ty, object);
    Some(walk.report)
}

/// Takes out fields that the kind does not have, and nulls, as decoding and encoding in Kubernetes does. Values of wrong
/// types stay: ask [`check_fields`] first.
pub fn prune(group: &str, version: &str, kind: &str, object: &mut Value) {
    if let Some(ty) = graph().kind(group, version, kind) {
        prune_value(graph(), ty, object);
    }
}

/// Beyond this many, further unknown fields are not listed.
const MAX_UNKNOWN: usize = 100;

struct Walk<'a> {
    graph: &'a Graph,
    /// `spec.containers[0].image`.
    path: String,
    /// `spec.containers.image`: Go's decoder leaves indices out.
    go_path: String,
    /// The innermost struct's name.
    owner: &'a str,
    report: FieldReport,
}

impl<'a> Walk<'a> {
    fn value(&mut self, ty: &'a Type, value: &Value) {
        if value.is_null() {
            return;
        }
        match (ty, value) {
            (Type::Any, _)
            | (Type::Text, Value::String(_))
            | (Type::Bool, Value::Bool(_))
            | (Type::Number, Value::Number(_)) => {}
            (Type::Struct(number), Value::Object(fields)) => self.fields(*number, fields),
            (Type::List(item), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.at(&format!("[{index}]"), "", |walk| walk.value(item, value));
                }
            }
            (Type::Map(inner), Value::Object(entries)) => {
                for (key, value) in entries {
                    self.at(&format!(".{key}"), "", |walk| walk.value(inner, value));
                }
            }
            (Type::Int32, Value::Number(n)) => {
                self.integer(ty, n, n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()))
            }
            (Type::Int64, Value::Number(n)) => self.integer(ty, n, n.is_i64()),
            (Type::Time, Value::String(text)) => {
                if text.parse::<jiff::Timestamp>().is_err() {
                    self.mistyped(format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""));
                }
            }
            (Type::Bytes, Value::String(text)) => {
                if let Some(at) = base64_error(text) {
                    self.mistyped(format!("illegal base64 data at input byte {at}"));
                }
            }
            (Type::Quantity, Value::Number(n)) => self.quantity(&n.to_string()),
            (Type::Quantity, Value::String(text)) => self.quantity(text),
            (Type::Quantity, _) => self.quantity(""),
            (Type::IntOrString, Value::String(_)) => {}
            (Type::IntOrString, Value::Number(n)) if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            }
            (Type::IntOrString, other) => {
                let word = if let Value::Number(n) = other {
                    format!("number {n}")
                } else {
                    json_word(other).to_owned()
                };
                self.mistyped(format!("json: cannot unmarshal {word} into Go value of type int32"));
            }
            (ty, value) => self.mismatch(ty, json_word(value)),
        }
    }

    fn fields(&mut self, number: usize, fields: &Map<String, Value>) {
        let graph = self.graph;
        let Some(strukt) = graph.structs.get(number) else { return };
        let outer = std::mem::replace(&mut self.owner, &strukt.name);
        for (name, value) in fields {
            let step = if self.path.is_empty() { name.clone() } else { format!(".{name}") };
            match strukt.fields.get(name.as_str()) {
                Some(field) => self.at(&step, name, |walk| walk.value(&field.ty, value)),
                None if self.report.unknown.len() < MAX_UNKNOWN => {
                    self.report.unknown.push(format!("{}{step}", self.path))
                }
                None => {}
            }
        }
        self.owner = outer;
    }

    fn at(&mut self, step: &str, name: &str, inner: impl FnOnce(&mut Self)) {
        let (path, go_path) = (self.path.len(), self.go_path.len());
        self.path.push_str(step);
        if !name.is_empty() {
            if go_path > 0 {
                self.go_path.push('.');
            }
            self.go_path.push_str(name);
        }
        inner(self);
        self.path.truncate(path);
        self.go_path.truncate(go_path);
    }

    fn integer(&mut self, ty: &Type, number: &Number, fits: bool) {
        if !fits {
            self.mismatch(ty, &format!("number {number}"));
        }
    }

    fn quantity(&mut self, text: &str) {
        if let Err(error) = gannet_protocols_model::parse_quantity_nanos(text) {
            self.mistyped(error.to_string());
        }
    }

    fn mismatch(&mut self, ty: &Type, word: &str) {
        let go = self.graph.go_name(ty);
        let text = if self.owner.is_empty() {
            format!("json: cannot unmarshal {word} into Go value of type {go}")
        } else {
            format!(
                "json: cannot unmarshal {word} into Go struct field {}.{} of type {go}",
                self.owner, self.go_path
            )
        };
        self.mistyped(text);
    }

    fn mistyped(&mut self, text: String) {
        self.report.mistyped.get_or_insert(text);
    }
}

fn json_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Where a text stops being standard, padded base64.
fn base64_error(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    if let Some(at) = bytes[..end].iter().position(|b| !plain(b)) {
        return Some(at);
    }
    let padding = bytes.len() - end;
    (!bytes.len().is_multiple_of(4) || padding > 2).then_some(end)
}

fn prune_value(graph: &Graph, ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Struct(_), Value::Object(fields)) => {
            let Some(strukt) = graph.strukt(ty) else { return };
            fields.retain(|name, value| !value.is_null() && strukt.fields.contains_key(name.as_str()));
            for (name, value) in fields {
                if let Some(field) = strukt.fields.get(name.as_str()) {
                    prune_value(graph, &field.ty, value);
                }
            }
        }
        (Type::List(item), Value::Array(values)) => {
            values.iter_mut().for_each(|v| prune_item(graph, item, v))
        }
        (Type::Map(inner), Value::Object(entries)) => {
            entries.values_mut().for_each(|v| prune_item(graph, inner, v))
        }
        _ => {}
    }
}

/// A null in a list or map is the zero value of Go.
fn prune_item(graph: &Graph, ty: &Type, value: &mut Value) {
    if value.is_null() {
        *value = match ty {
            Type::Text | Type::Bytes => Value::from(""),
            Type::Int32 | Type::Int64 | Type::Number | Type::IntOrString => Value::from(0),
            Type::Quantity => Value::from("0"),
            Type::Bool => Value::from(false),
            Type::Struct(_) | Type::Map(_) => Value::Object(Map::new()),
            Type::List(_) => Value::Array(Vec::new()),
            Type::Time | Type::Any => Value::Null,
        };
    }
    prune_value(graph, ty, value);
}
