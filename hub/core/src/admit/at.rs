//! A place in an object: its path, as Kubernetes prints it, and the value there. Missing fields are nulls.

use serde_json::{Value, json};

use super::error::{FieldError, FieldErrorKind};

/// A value and where it is.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
}

impl<'a> At<'a> {
    /// The whole object.
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// A struct's field.
    pub(super) fn field(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { path, value: self.value.get(name).unwrap_or(&Value::Null) }
    }

    /// Several fields deep.
    pub(super) fn fields(&self, names: &[&str]) -> Self {
        names.iter().fold(self.clone(), |at, name| at.field(name))
    }

    /// A map's entry.
    pub(super) fn key(&self, name: &str) -> Self {
        Self { path: format!("{}[{name}]", self.path), value: self.value.get(name).unwrap_or(&Value::Null) }
    }

    /// A list's items; none where this is no list.
    pub(super) fn items(&self) -> Vec<Self> {
        let list = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().enumerate().map(|(i, value)| At { path: format!("{}[{i}]", self.path), value }).collect()
    }

    /// A map's entries; none where this is no map.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let map = self.value.as_object().into_iter().flatten();
        map.map(|(key, value)| (key.as_str(), At { path: format!("{}[{key}]", self.path), value })).collect()
    }

    /// Whether there is a value.
    pub(super) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The text, empty where there is none.
    pub(super) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// The number, where it is one.
    pub(super) fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether this is `true`.
    pub(super) fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }
}

/// Beyond this many, further errors are not listed: nobody reads them, and a hostile object may have millions.
const MAX_ERRORS: usize = 100;

/// What is wrong with an object so far.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    /// All of them.
    pub(super) fn into_vec(self) -> Vec<FieldError> {
        self.0
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things are wrong so far.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn push(&mut self, at: &At<'_>, kind: FieldErrorKind, detail: &str) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(FieldError { path: at.path.clone(), kind, detail: detail.to_owned() });
        }
    }

    pub(super) fn required(&mut self, at: &At<'_>, detail: &str) {
        self.push(at, FieldErrorKind::Required, detail);
    }

    pub(super) fn invalid(&mut self, at: &At<'_>, detail: &str) {
        self.push(at, FieldErrorKind::Invalid { value: at.value.clone() }, detail);
    }

    /// A value that is not simply what stands there.
    pub(super) fn invalid_value(&mut self, at: &At<'_>, value: impl Into<Value>, detail: &str) {
        self.push(at, FieldErrorKind::Invalid { value: value.into() }, detail);
    }

    pub(super) fn forbidden(&mut self, at: &At<'_>, detail: &str) {
        self.push(at, FieldErrorKind::Forbidden, detail);
    }

    pub(super) fn duplicate(&mut self, at: &At<'_>) {
        self.duplicate_value(at, at.value.clone());
    }

    pub(super) fn duplicate_value(&mut self, at: &At<'_>, value: Value) {
        self.push(at, FieldErrorKind::Duplicate { value }, "");
    }

    pub(super) fn not_found(&mut self, at: &At<'_>) {
        self.push(at, FieldErrorKind::NotFound { value: at.value.clone() }, "");
    }

    pub(super) fn too_long(&mut self, at: &At<'_>, max: usize) {
        self.push(at, FieldErrorKind::TooLong, &format!("may not be more than {max} bytes"));
    }

    pub(super) fn too_many(&mut self, at: &At<'_>, count: usize, max: usize) {
        self.push(at, FieldErrorKind::TooMany { count }, &format!("must have at most {max} items"));
    }

    /// The value must be one of these, where there is one.
    pub(super) fn one_of(&mut self, at: &At<'_>, supported: &[&str]) {
        if at.is_set() && !supported.contains(&at.text()) {
            let supported = supported.iter().map(|&s| s.to_owned()).collect();
            self.push(at, FieldErrorKind::NotSupported { value: at.value.clone(), supported }, "");
        }
    }

    /// The value must be there and one of these.
    pub(super) fn required_one_of(&mut self, at: &At<'_>, supported: &[&str]) {
        if at.text().is_empty() {
            self.required(at, "");
        } else {
            self.one_of(at, supported);
        }
    }

    /// The number must not be below zero, where there is one.
    pub(super) fn not_negative(&mut self, at: &At<'_>) {
        if at.int().is_some_and(|n| n < 0) {
            self.invalid(at, "must be greater than or equal to 0");
        }
    }

    /// The number must be in this range, where there is one.
    pub(super) fn in_range(&mut self, at: &At<'_>, min: i64, max: i64) {
        if at.int().is_some_and(|n| !(min..=max).contains(&n)) {
            self.invalid(at, &format!("must be between {min} and {max}, inclusive"));
        }
    }

    /// A field that must not change.
    pub(super) fn immutable(&mut self, old: &At<'_>, new: &At<'_>) {
        if old.value != new.value {
            self.invalid(new, "field is immutable");
        }
    }

    /// Each problem that `check` found, for the text at this place.
    pub(super) fn texts(&mut self, at: &At<'_>, problems: Vec<String>) {
        for problem in problems {
            self.push(at, FieldErrorKind::Invalid { value: json!(at.text()) }, &problem);
        }
    }

    /// Each problem that `check` found, for a text that stands elsewhere (a map's key).
    pub(super) fn key_texts(&mut self, at: &At<'_>, key: &str, problems: Vec<String>) {
        for problem in problems {
            self.push(at, FieldErrorKind::Invalid { value: json!(key) }, &problem);
        }
    }
}
