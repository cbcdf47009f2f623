//! Values of a pod's fields that only the hub knows, for the environment and the files of its containers.

use std::collections::BTreeMap;

use gannet_protocols_model::{
    DownwardFile, DownwardValue, EnvValue, Manifest, ProjectedSource, VolumeSource,
};
use k8s_openapi::api::core::v1::Pod;

type Map = Option<BTreeMap<String, String>>;

/// By path, those that the manifest names.
pub(super) fn of_pod(pod: &Pod, manifest: &Manifest) -> BTreeMap<String, String> {
    let env = manifest.all_containers().flat_map(|c| &c.env).filter_map(|e| match &e.value {
        EnvValue::Field(path) => Some(path),
        _ => None,
    });
    let files = manifest.volumes.iter().flat_map(|v| match &v.source {
        VolumeSource::DownwardApi(volume) => paths(&volume.items),
        VolumeSource::Projected(volume) => volume.sources.iter().flat_map(of_source).collect(),
        _ => Vec::new(),
    });
    env.chain(files).filter_map(|path| Some((path.clone(), value(pod, path)?))).collect()
}

fn of_source(source: &ProjectedSource) -> Vec<&String> {
    match source {
        ProjectedSource::DownwardApi(files) => paths(files),
        ProjectedSource::ConfigMap(_) | ProjectedSource::Secret(_) => Vec::new(),
    }
}

fn paths(files: &[DownwardFile]) -> Vec<&String> {
    let fields = files.iter().filter_map(|file| match &file.value {
        DownwardValue::Field(path) => Some(path),
        DownwardValue::Resource(_) => None,
    });
    fields.collect()
}

/// `None` for what the node knows better.
fn value(pod: &Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    match path {
        "metadata.labels" => Some(lines(&meta.labels)),
        "metadata.annotations" => Some(lines(&meta.annotations)),
        "spec.serviceAccountName" => {
            Some(pod.spec.as_ref().and_then(|s| s.service_account_name.clone()).unwrap_or_default())
        }
        _ => keyed(path, "metadata.labels", &meta.labels)
            .or_else(|| keyed(path, "metadata.annotations", &meta.annotations)),
    }
}

fn keyed(path: &str, of: &str, map: &Map) -> Option<String> {
    let key = path.strip_prefix(of)?.strip_prefix("['")?.strip_suffix("']")?;
    Some(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default())
}

/// A map as kubelet writes it to a file: `key="value"`, sorted, one a line.
fn lines(map: &Map) -> String {
    let lines: Vec<String> =
        map.iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.join("\n")
}

/// A text in double quotes as Go writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c if c < '\u{80}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c < '\u{10000}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Rust escapes the same characters as Go, but for marks at the start of a text.
fn is_printable(c: char) -> bool {
    let behind = ['a', c];
    behind.iter().collect::<String>().escape_debug().eq(behind) || c == '\''
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubelet_writes_maps() {
        let map = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>())
        };
        for (pairs, text) in [
            (map(&[]), ""),
            (None, ""),
            (map(&[("b", "2"), ("a", "1")]), "a=\"1\"\nb=\"2\""),
            (map(&[("a", "say \"hi\"\n\\")]), r#"a="say \"hi\"\n\\""#),
            (map(&[("a", "it's")]), r#"a="it's""#),
            (map(&[("a", "é 日本 e\u{301}")]), "a=\"é 日本 e\u{301}\""),
            (
                map(&[("a", "\u{1}\u{7f}\u{a0}\u{200b}\u{e0001}\t")]),
                r#"a="\x01\x7f\u00a0\u200b\U000e0001\t""#,
            ),
        ] {
            assert_eq!(lines(&pairs), text);
        }
    }
}
