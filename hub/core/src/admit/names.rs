//! The grammars of names, labels, keys and ports, each with Kubernetes' sentence for what is wrong.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

const SEARCH_DOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// The longest DNS label, label value and name part.
const MAX_LABEL: usize = 63;
/// The longest DNS name.
const MAX_SUBDOMAIN: usize = 253;

/// Problems of a name; none where it is right.
pub(super) type Problems = Vec<String>;

fn problems(text: &str, max: usize, right: bool, sentence: &str) -> Problems {
    let mut found = Vec::new();
    if text.len() > max {
        found.push(format!("must be no more than {max} bytes"));
    }
    if !right {
        found.push(sentence.to_owned());
    }
    found
}

fn is_label(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|b| edge(Some(b)) || *b == b'-')
}

/// Letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn is_name_part(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| edge(Some(b)) || matches!(b, b'-' | b'_' | b'.'))
}

/// RFC 1123 label: namespaces, containers, volumes, ports of services.
pub(super) fn label(text: &str) -> Problems {
    problems(text, MAX_LABEL, is_label(text), LABEL)
}

/// RFC 1123 subdomain: most objects.
pub(super) fn subdomain(text: &str) -> Problems {
    problems(text, MAX_SUBDOMAIN, text.split('.').all(is_label), SUBDOMAIN)
}

/// A domain that resolvers search in: as a subdomain, with underscores, as in `_sip._tcp`.
pub(super) fn search_domain(text: &str) -> Problems {
    let is_part = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        is_label(&part.replace('_', "-")) && !part.starts_with('_') && !part.ends_with('_')
    };
    problems(text, MAX_SUBDOMAIN, text.split('.').all(is_part), SEARCH_DOMAIN)
}

/// RFC 1035 label: services.
pub(super) fn dns_1035(text: &str) -> Problems {
    let right = is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    problems(text, MAX_LABEL, right, DNS_1035)
}

/// `[prefix/]name`: keys of labels and annotations, finalizers.
pub(super) fn qualified(text: &str) -> Problems {
    let mut parts = text.splitn(3, '/');
    let (prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => (None, name),
        (Some(prefix), Some(name), None) => (Some(prefix), name),
        _ => {
            return vec![format!(
                "a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    let mut found = match prefix {
        Some("") => vec!["prefix part must be non-empty".to_owned()],
        Some(prefix) => subdomain(prefix).into_iter().map(|p| format!("prefix part {p}")).collect(),
        None => Vec::new(),
    };
    if name.is_empty() {
        found.push("name part must be non-empty".to_owned());
    }
    if name.len() > MAX_LABEL {
        found.push(format!("name part must be no more than {MAX_LABEL} bytes"));
    }
    if !is_name_part(name) {
        found.push(format!("name part {QUALIFIED}"));
    }
    found
}

/// A label's value.
pub(super) fn label_value(text: &str) -> Problems {
    problems(text, MAX_LABEL, text.is_empty() || is_name_part(text), LABEL_VALUE)
}

/// A key of a ConfigMap or Secret.
pub(super) fn config_key(text: &str) -> Problems {
    let right = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let mut found = problems(text, MAX_SUBDOMAIN, right, CONFIG_KEY);
    match text {
        "." => found.push("must not be '.'".to_owned()),
        ".." => found.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => found.push("must not start with '..'".to_owned()),
        _ => {}
    }
    found
}

/// The name of an environment variable.
pub(super) fn env_name(text: &str) -> Problems {
    let right = !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    if right { Vec::new() } else { vec![ENV_NAME.to_owned()] }
}

/// The name of a container's port.
pub(super) fn port_name(text: &str) -> Problems {
    let mut found = Vec::new();
    if text.len() > 15 {
        found.push("must be no more than 15 bytes".to_owned());
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') || text.is_empty() {
        found.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        found.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        found.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        found.push("must not begin or end with a hyphen".to_owned());
    }
    found
}
