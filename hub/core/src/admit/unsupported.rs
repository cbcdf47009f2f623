//! Fields that gannet cannot honour yet are refused or warned about by name, never ignored.
//!
//! The walk looks at what the client wrote, before defaults are filled in, against the tables in `honoured.rs`. A field
//! that no table names is refused: what Kubernetes adds tomorrow is not ignored either.

use serde_json::Value;

use super::at::{At, Errors};

/// What is done about a field.
#[derive(Debug)]
pub(super) enum Rule {
    /// It does what Kubernetes says it does, or is checked elsewhere.
    Honoured,
    /// A struct, field by field.
    Struct(Rules),
    /// A list of structs.
    List(Rules),
    /// A map, key by key.
    Map(Rules),
    /// It changes what runs, so running without it would be wrong. Why not yet.
    Refuse(&'static str),
    /// As [`Rule::Refuse`], even where it is empty: that it is there is what it says.
    RefusePresence(&'static str),
    /// These values are honoured, others refused.
    RefuseOther(&'static [&'static str], &'static str),
    /// What runs is right without it. What happens instead.
    Warn(&'static str),
    /// These values are honoured, others warned about.
    WarnOther(&'static [&'static str], &'static str),
}

/// A struct's fields, or a map's keys, of which `name*` is every one that begins so.
pub(super) type Rules = &'static [(&'static str, Rule)];

/// Walks a struct by its rules.
pub(super) fn walk(at: &At<'_>, rules: Rules, errors: &mut Errors, warnings: &mut Vec<String>) {
    for (name, value) in at.value.as_object().into_iter().flatten() {
        if !value.is_null() {
            rule_of(rules, name, &at.field(name), errors, warnings);
        }
    }
}

fn rule_of(rules: Rules, name: &str, at: &At<'_>, errors: &mut Errors, warnings: &mut Vec<String>) {
    let is_of =
        |field: &str| field == name || field.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix));
    let rule = rules.iter().find(|(field, _)| is_of(field)).map(|(_, rule)| rule);
    match rule {
        Some(Rule::Honoured) => {}
        Some(Rule::Struct(inner)) => walk(at, inner, errors, warnings),
        Some(Rule::List(inner)) => at.items().iter().for_each(|item| walk(item, inner, errors, warnings)),
        Some(Rule::Map(inner)) => {
            for (key, value) in at.entries() {
                rule_of(inner, key, &value, errors, warnings);
            }
        }
        Some(Rule::Refuse(reason)) if !is_idle(at.value) => refuse(at, reason, errors),
        Some(Rule::RefusePresence(reason)) => refuse(at, reason, errors),
        Some(Rule::RefuseOther(honoured, reason)) if !is_one_of(at.value, honoured) => {
            refuse(at, reason, errors)
        }
        Some(Rule::Warn(reason)) if !is_idle(at.value) => warn(at, reason, warnings),
        Some(Rule::WarnOther(honoured, reason)) if !is_one_of(at.value, honoured) => {
            warn(at, reason, warnings)
        }
        Some(_) => {}
        None => refuse(at, "it is not known", errors),
    }
}

fn refuse(at: &At<'_>, reason: &str, errors: &mut Errors) {
    errors.forbidden(at, &format!("gannet cannot honour this field yet: {reason}"));
}

/// Beyond this many, further warnings are not sent: they travel in headers.
pub(super) const MAX_WARNINGS: usize = 20;

fn warn(at: &At<'_>, reason: &str, warnings: &mut Vec<String>) {
    if warnings.len() < MAX_WARNINGS {
        warnings.push(format!("{}: gannet does not honour this field yet: {reason}", at.path));
    }
}

/// Whether a value asks for nothing.
fn is_idle(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Whether a value, or each of a list's, is one of these. Nothing counts as honoured.
fn is_one_of(value: &Value, honoured: &[&str]) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || honoured.contains(&text.as_str()),
        Value::Array(list) => list.iter().all(|v| is_one_of(v, honoured)),
        other => honoured.contains(&other.to_string().as_str()),
    }
}
