//! Label and field selectors: parsed once at the door, then asked of each object.

use gannet_hub_core::Kind;
use gannet_hub_objects::{Status, meta};
use serde_json::Value;

/// Requirements in one selector: enough for any person or tool, and a bound for a hostile one.
const MAX_REQUIREMENTS: usize = 128;

/// Which objects a list, watch or collection deletion means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Label>,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    path: &'static [&'static str],
    value: String,
    equal: bool,
}

impl Selector {
    pub(crate) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Status> {
        let unparsable = |why: String| Status::bad_request(format!("unable to parse requirement: {why}"));
        let labels = parse_labels(labels).map_err(unparsable)?;
        let fields = parse_fields(kind, fields).map_err(Status::bad_request)?;
        if labels.len() + fields.len() > MAX_REQUIREMENTS {
            return Err(Status::bad_request(format!(
                "a selector holds at most {MAX_REQUIREMENTS} requirements"
            )));
        }
        Ok(Self { labels, fields })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = meta::at(object, &["metadata", "labels"]);
        self.labels.iter().all(|label| label.test.holds(labels.get(&label.key).and_then(Value::as_str)))
            && self.fields.iter().all(|field| field.holds(object))
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match self {
            Self::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Greater(bound) => number().is_some_and(|n| n > *bound),
            Self::Less(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

impl Field {
    fn holds(&self, object: &Value) -> bool {
        let found = match meta::at(object, self.path) {
            Value::String(text) => text.clone(),
            Value::Null if self.path == ["spec", "unschedulable"] => "false".to_owned(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        (found == self.value) == self.equal
    }
}

const EVERY_KIND: &[&[&str]] = &[&["metadata", "name"], &["metadata", "namespace"]];
const POD: &[&[&str]] = &[
    &["spec", "nodeName"],
    &["spec", "restartPolicy"],
    &["spec", "schedulerName"],
    &["spec", "serviceAccountName"],
    &["spec", "hostNetwork"],
    &["status", "phase"],
    &["status", "podIP"],
    &["status", "nominatedNodeName"],
];
const EVENT: &[&[&str]] = &[
    &["involvedObject", "kind"],
    &["involvedObject", "namespace"],
    &["involvedObject", "name"],
    &["involvedObject", "uid"],
    &["involvedObject", "apiVersion"],
    &["involvedObject", "resourceVersion"],
    &["involvedObject", "fieldPath"],
    &["reason"],
    &["reportingComponent"],
    &["source"],
    &["type"],
];

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<Field>, String> {
    let special: &[&[&str]] = match kind.kind {
        "Pod" => POD,
        "Event" => EVENT,
        "Node" => &[&["spec", "unschedulable"]],
        "Namespace" => &[&["status", "phase"]],
        "Secret" => &[&["type"]],
        "Service" => &[&["spec", "clusterIP"], &["spec", "type"]],
        "ReplicaSet" => &[&["status", "replicas"]],
        _ => &[],
    };
    let mut fields = Vec::new();
    for term in split_unescaped(text).iter().filter(|term| !term.is_empty()) {
        let Some(at) = term.find(['=', '!']) else {
            return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
        };
        let (name, rest) = term.split_at(at);
        let (equal, value) = if let Some(value) = rest.strip_prefix("!=") {
            (false, value)
        } else if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
            (true, value)
        } else {
            return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
        };
        let known = EVERY_KIND.iter().chain(special).find(|path| path.join(".") == name);
        let path = known.ok_or_else(|| format!("field label not supported: {name}"))?;
        let path: &[&str] = if *path == ["source"] { &["source", "component"] } else { path };
        fields.push(Field { path, value: unescape(value), equal });
    }
    Ok(fields)
}

/// Splits at commas that no backslash stands before.
fn split_unescaped(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            terms.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(term) = terms.last_mut() {
            term.push(c);
        }
    }
    terms
}

fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        result.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    result
}

fn parse_labels(text: &str) -> Result<Vec<Label>, String> {
    split_outside_parentheses(text)?
        .into_iter()
        .filter(|term| !term.trim().is_empty())
        .map(|term| parse_label(term.trim()))
        .collect()
}

fn split_outside_parentheses(text: &str) -> Result<Vec<&str>, String> {
    let (mut terms, mut start, mut depth) = (Vec::new(), 0, 0_u8);
    for (at, c) in text.char_indices() {
        match (c, depth) {
            ('(', 0) => depth = 1,
            (')', 1) => depth = 0,
            ('(' | ')', _) => return Err(format!("found '{c}' in {text:?}, expected: identifier")),
            (',', 0) => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(format!("found the end of {text:?}, expected: ',' or ')'"));
    }
    terms.push(&text[start..]);
    Ok(terms)
}

fn parse_label(term: &str) -> Result<Label, String> {
    if let Some(key) = term.strip_prefix('!') {
        return Ok(Label { key: label_key(key)?, test: Test::Absent });
    }
    let end = term
        .find(|c: char| c.is_whitespace() || matches!(c, '=' | '!' | '<' | '>' | '('))
        .unwrap_or(term.len());
    let (key, rest) = term.split_at(end);
    let (key, rest) = (label_key(key)?, rest.trim());
    let number = |text: &str| {
        let text = text.trim();
        text.parse::<i64>()
            .map_err(|_| format!("for 'Gt', 'Lt' operators, the value must be an integer: {text:?}"))
    };
    let test = if rest.is_empty() {
        Test::Exists
    } else if let Some(value) = rest.strip_prefix("!=") {
        Test::NotIn(vec![label_value(value)?])
    } else if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        Test::In(vec![label_value(value)?])
    } else if let Some(value) = rest.strip_prefix('>') {
        Test::Greater(number(value)?)
    } else if let Some(value) = rest.strip_prefix('<') {
        Test::Less(number(value)?)
    } else if let Some(set) = rest.strip_prefix("notin") {
        Test::NotIn(label_set(set)?)
    } else if let Some(set) = rest.strip_prefix("in") {
        Test::In(label_set(set)?)
    } else {
        return Err(format!("found '{rest}', expected: in, notin, =, ==, !=, gt, lt"));
    };
    Ok(Label { key, test })
}

fn label_set(text: &str) -> Result<Vec<String>, String> {
    let inner = text.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("found '{}', expected: '('", text.trim()))?;
    inner.split(',').map(label_value).collect()
}

fn is_label_word(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && end(text.chars().next())
        && end(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn label_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (prefix, name) = text.split_once('/').unwrap_or(("a", text));
    let good_prefix = (1..=253).contains(&prefix.len())
        && prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    if good_prefix && is_label_word(name) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "key: Invalid value: {text:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must \
         start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc')"
    ))
}

fn label_value(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || is_label_word(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "values[0]: Invalid value: {text:?}: a valid label must be an empty string or consist of alphanumeric \
         characters, '-', '_' or '.', and must start and end with an alphanumeric character, at most 63"
    ))
}

#[cfg(test)]
#[path = "selector_test.rs"]
mod tests;
