//! Kinds without words of their own: the metadata, then the fields as a tree.

use serde_json::Value;

use super::page::{Page, shown};
use super::time::time;
use crate::resource::text;

/// Deeper fields are written as JSON.
const MAX_DEPTH: usize = 12;

/// Any object. What is secret in it is told by its size.
pub(super) fn generic(page: &mut Page, object: &Value, api_version: &str, kind: &str) {
    page.field(0, "Name", text(object, "/metadata/name"));
    page.field_if(0, "Namespace", text(object, "/metadata/namespace"));
    page.map(0, "Labels", &object["metadata"]["labels"], "=");
    page.map(0, "Annotations", &object["metadata"]["annotations"], ": ");
    page.field(0, "API Version", api_version);
    page.field(0, "Kind", kind);
    page.field_if(0, "Created", time(text(object, "/metadata/creationTimestamp")));
    for (field, value) in object.as_object().into_iter().flatten() {
        match field.as_str() {
            "metadata" | "apiVersion" | "kind" => (),
            "data" | "stringData" if kind == "Secret" => secret(page, value),
            _ => tree(page, 0, field, value),
        }
    }
}

fn secret(page: &mut Page, data: &Value) {
    page.heading(0, "Data");
    for (key, value) in data.as_object().into_iter().flatten() {
        let encoded = value.as_str().unwrap_or_default().trim_end_matches('=');
        page.field(2, key, format!("{} bytes", encoded.len() * 3 / 4));
    }
}

fn tree(page: &mut Page, indent: usize, name: &str, value: &Value) {
    let name = if indent == 0 { capitalized(name) } else { name.to_owned() };
    match value {
        Value::Object(fields) if !fields.is_empty() && indent < 2 * MAX_DEPTH => {
            page.heading(indent, &name);
            for (field, value) in fields {
                tree(page, indent + 2, field, value);
            }
        }
        Value::Array(items) if !items.is_empty() && indent < 2 * MAX_DEPTH => {
            if items.iter().any(|item| item.is_object() || item.is_array()) {
                page.heading(indent, &name);
                for (at, item) in items.iter().enumerate() {
                    tree(page, indent + 2, &at.to_string(), item);
                }
            } else {
                page.values(indent, &name, items.iter().map(shown));
            }
        }
        Value::Null => (),
        _ => page.field(indent, &name, shown(value)),
    }
}

fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trees_and_secrets() {
        let check = |object: Value, kind: &str, expect: &str| {
            let (mut page, mut out) = (Page::default(), Vec::new());
            generic(&mut page, &object, "v1", kind);
            page.print(&mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert!(out.ends_with(expect), "{out}");
        };
        let object = json!({"metadata": {"name": "x"}, "spec": {"a": [{"b": 1}], "c": ["d", "e"], "f": {}}});
        check(object, "X", "Spec:\n  a:\n    0:\n      b:  1\n  c:      d\n          e\n  f:      {}\n");
        let secret = json!({"metadata": {"name": "x"}, "data": {"password": "aHVudGVyMg=="}});
        check(secret, "Secret", "Data:\n  password:  7 bytes\n");
    }
}
