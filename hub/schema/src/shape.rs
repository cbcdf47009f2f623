//! The definitions as a small graph of types without their prose, for decoding and merging.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::merge::Merge;
use crate::{catalog, merge};

/// A JSON value's type.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    Text,
    Time,
    Bytes,
    Int32,
    Int64,
    Number,
    Bool,
    IntOrString,
    Quantity,
    /// Whatever it is.
    Any,
    /// Index into [`Graph::structs`].
    Struct(usize),
    List(Box<Type>),
    Map(Box<Type>),
}

/// A Go struct.
#[derive(Debug)]
pub(crate) struct Struct {
    /// `Container`.
    pub(crate) name: Box<str>,
    /// `v1`, the last part of its package.
    pub(crate) package: Box<str>,
    pub(crate) atomic: bool,
    pub(crate) fields: BTreeMap<Box<str>, Field>,
}

/// A struct's field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) ty: Type,
    pub(crate) merge: &'static Merge,
}

/// All types.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) structs: Vec<Struct>,
    /// By group, version, kind.
    kinds: BTreeMap<(&'static str, &'static str, &'static str), Type>,
}

static GRAPH: LazyLock<Graph> = LazyLock::new(|| Graph::new(&catalog::definitions()));

/// The graph, made once.
pub(crate) fn graph() -> &'static Graph {
    &GRAPH
}

impl Graph {
    fn new(definitions: &BTreeMap<String, Value>) -> Self {
        // Structs get their numbers before their fields are read: types may refer to each other.
        let is_struct = |d: &Value| d.get("properties").is_some();
        let names: Vec<&String> = definitions.iter().filter(|(_, d)| is_struct(d)).map(|(n, _)| n).collect();
        let numbers: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        let structs =
            names.iter().map(|name| read_struct(name, &definitions[*name], definitions, &numbers)).collect();
        let number = |name: &str| numbers.get(name).map(|n| Type::Struct(*n));
        let mut kinds = BTreeMap::new();
        for served in catalog::served() {
            if let Some(ty) = catalog::definition_name(served.kind).and_then(|name| number(&name)) {
                kinds.insert((served.group, served.version, served.kind.kind), ty);
            }
        }
        for (name, group, version, kind) in catalog::OTHERS {
            if let Some(ty) = number(name) {
                kinds.insert((group, version, kind), ty);
            }
        }
        Self { structs, kinds }
    }

    /// The type of a kind.
    pub(crate) fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Type> {
        self.kinds.iter().find(|((g, v, k), _)| *g == group && *v == version && *k == kind).map(|(_, ty)| ty)
    }

    /// The struct that a type is.
    pub(crate) fn strukt(&self, ty: &Type) -> Option<&Struct> {
        match ty {
            Type::Struct(number) => self.structs.get(*number),
            _ => None,
        }
    }

    /// A type's name in Go, as decoding errors print it.
    pub(crate) fn go_name(&self, ty: &Type) -> String {
        match ty {
            Type::Text | Type::Bytes => "string".to_owned(),
            Type::Time => "v1.Time".to_owned(),
            Type::Int32 => "int32".to_owned(),
            Type::Int64 => "int64".to_owned(),
            Type::Number => "float64".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::IntOrString => "intstr.IntOrString".to_owned(),
            Type::Quantity => "resource.Quantity".to_owned(),
            Type::Any => "interface {}".to_owned(),
            Type::Struct(number) => self
                .structs
                .get(*number)
                .map_or_else(|| "struct".to_owned(), |s| format!("{}.{}", s.package, s.name)),
            Type::List(item) => format!("[]{}", self.go_name(item)),
            Type::Map(value) => format!("map[string]{}", self.go_name(value)),
        }
    }
}

fn read_struct(
    name: &str,
    definition: &Value,
    all: &BTreeMap<String, Value>,
    numbers: &BTreeMap<&str, usize>,
) -> Struct {
    let mut fields = BTreeMap::new();
    if let Some(Value::Object(properties)) = definition.get("properties") {
        for (field, schema) in properties {
            let field_type =
                Field { ty: read_type(schema, all, numbers), merge: merge::of_field(name, field) };
            fields.insert(field.as_str().into(), field_type);
        }
    }
    let package = name.rsplit('.').nth(1).unwrap_or_default();
    Struct {
        name: merge::last(name).into(),
        package: package.into(),
        atomic: merge::is_atomic_struct(name),
        fields,
    }
}

fn read_type(schema: &Value, all: &BTreeMap<String, Value>, numbers: &BTreeMap<&str, usize>) -> Type {
    if let Some(name) = catalog::referred(schema) {
        return match (name, numbers.get(name), all.get(name)) {
            (catalog::QUANTITY, _, _) => Type::Quantity,
            (catalog::INT_OR_STRING, _, _) => Type::IntOrString,
            (_, Some(number), _) => Type::Struct(*number),
            // An alias of a plain type: a time, or free-form JSON.
            (_, None, Some(target)) if catalog::referred(target).is_none() => read_type(target, all, numbers),
            _ => Type::Any,
        };
    }
    let word = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
    match (word("type"), word("format")) {
        ("string", "date-time") => Type::Time,
        ("string", "byte") => Type::Bytes,
        ("string", _) => Type::Text,
        ("integer", "int32") => Type::Int32,
        ("integer", _) => Type::Int64,
        ("number", _) => Type::Number,
        ("boolean", _) => Type::Bool,
        ("array", _) => {
            Type::List(Box::new(schema.get("items").map_or(Type::Any, |s| read_type(s, all, numbers))))
        }
        ("object", _) => match schema.get("additionalProperties") {
            Some(value @ Value::Object(_)) => Type::Map(Box::new(read_type(value, all, numbers))),
            _ => Type::Any,
        },
        _ => Type::Any,
    }
}

/// One type of the API, for patches: which fields it has, and how they are merged.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    ty: &'static Type,
    merge: &'static Merge,
}

impl Shape {
    /// The shape of a kind.
    pub fn of(group: &str, version: &str, kind: &str) -> Option<Self> {
        graph().kind(group, version, kind).map(|ty| Self { ty, merge: merge::PLAIN })
    }

    /// The shape of a struct's field, or of a map's value, whatever its key.
    pub fn field(&self, name: &str) -> Option<Self> {
        match self.ty {
            Type::Struct(number) => {
                let field = graph().structs.get(*number)?.fields.get(name)?;
                Some(Self { ty: &field.ty, merge: field.merge })
            }
            Type::Map(value) => Some(Self { ty: value, merge: merge::PLAIN }),
            _ => None,
        }
    }

    /// The shape of a list's items.
    pub fn items(&self) -> Option<Self> {
        match self.ty {
            Type::List(item) => Some(Self { ty: item, merge: merge::PLAIN }),
            _ => None,
        }
    }

    /// Strategic merge patch: a list whose items are merged, not replaced.
    pub fn merges(&self) -> bool {
        self.merge.strategy.starts_with("merge")
    }

    /// Strategic merge patch: the key that names an item. A list that merges without one is a set of plain values.
    pub fn merge_key(&self) -> Option<&'static str> {
        self.merge.key
    }

    /// Strategic merge patch: `$retainKeys` is understood.
    pub fn retains_keys(&self) -> bool {
        self.merge.strategy.ends_with("retainKeys")
    }

    /// Server-side apply: the keys that name an item of a `map` list; empty for other lists.
    pub fn list_map_keys(&self) -> &'static [&'static str] {
        self.merge.map_keys
    }

    /// Server-side apply: a list of type `set`.
    pub fn is_set(&self) -> bool {
        self.merge.set
    }

    /// Server-side apply: replaced as a whole.
    pub fn is_atomic(&self) -> bool {
        match self.ty {
            Type::List(_) => !self.merge.set && self.merge.map_keys.is_empty(),
            Type::Struct(number) => {
                self.merge.atomic || graph().structs.get(*number).is_some_and(|s| s.atomic)
            }
            _ => self.merge.atomic,
        }
    }
}
