//! Objects from files: YAML with several documents, JSON, folders, lists, the standard input.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The largest file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Reads every object in these files, in order. `-` is the standard input; of a folder, its `.yaml`, `.yml` and `.json`.
pub(crate) fn objects(paths: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for path in paths {
        for (name, text) in texts(path)? {
            all.extend(parse(&text).with_context(|| format!("error parsing {name}"))?);
        }
    }
    if all.is_empty() {
        bail!("no objects in the files");
    }
    Ok(all)
}

fn texts(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let name = path.display().to_string();
    if name == "-" {
        let mut text = String::new();
        std::io::stdin().take(MAX_BYTES).read_to_string(&mut text)?;
        return Ok(vec![("STDIN".to_owned(), text)]);
    }
    let metadata = fs::metadata(path).with_context(|| format!("the path \"{name}\" does not exist"))?;
    if metadata.is_dir() {
        let mut files: Vec<PathBuf> = fs::read_dir(path)?.filter_map(|e| Some(e.ok()?.path())).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json"));
        files.sort();
        let texts: anyhow::Result<Vec<_>> = files.iter().map(|f| texts(f)).collect();
        return Ok(texts?.into_iter().flatten().collect());
    }
    if metadata.len() > MAX_BYTES {
        bail!("{name} has {} bytes, more than {MAX_BYTES}", metadata.len());
    }
    Ok(vec![(name.clone(), fs::read_to_string(path).with_context(|| name)?)])
}

/// The objects of a text; the items of a `List` count one by one.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    let mut objects = Vec::new();
    for document in documents.into_iter().filter(|d| !d.is_null()) {
        let kind = document["kind"].as_str().unwrap_or_default();
        if kind.is_empty() {
            bail!("Object 'Kind' is missing in {}", shortened(&document));
        }
        if document["apiVersion"].as_str().unwrap_or_default().is_empty() {
            bail!("Object 'apiVersion' is missing in {}", shortened(&document));
        }
        match document["items"].as_array() {
            Some(items) if kind.ends_with("List") => objects.extend(items.iter().cloned()),
            _ => objects.push(document),
        }
    }
    Ok(objects)
}

fn shortened(document: &Value) -> String {
    let text = document.to_string();
    if text.chars().count() > 200 { text.chars().take(200).chain("…".chars()).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        let check = |text: &str, expect: &str| {
            let got = parse(text)
                .map_or_else(|e| format!("{e:#}"), |o| o.iter().map(|o| o["kind"].to_string()).collect());
            assert!(got.contains(expect), "{got}");
        };
        check("apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n---\n", "\"A\"\"B\"");
        check("{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"kind\": \"C\"}]}", "\"C\"");
        check("kind: A\n", "Object 'apiVersion' is missing in {\"kind\":\"A\"}");
        check("apiVersion: v1\n", "Object 'Kind' is missing");
        check("a: [", "line");
        check("", "");
    }
}
