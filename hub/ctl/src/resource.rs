//! Which kinds the hub serves, and the paths of their objects.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::Client;
use serde_json::Value;

use crate::status::failure;

/// One kind of object, from discovery.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) group_version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    singular: String,
    short: Vec<String>,
    categories: Vec<String>,
    /// Another name of a kind, which cannot be listed: `v1` Deployment for `apps/v1`.
    alias: bool,
}

/// All kinds that the hub serves.
#[derive(Debug, Clone)]
pub(crate) struct Kinds(Vec<Resource>);

impl Kinds {
    /// Asks the hub.
    pub(crate) async fn discover(client: &Client) -> anyhow::Result<Self> {
        let core = client.list_core_api_resources("v1").await.map_err(failure)?;
        let mut all: Vec<Resource> = core.resources.iter().filter_map(|r| resource("v1", r)).collect();
        for group in client.list_api_groups().await.map_err(failure)?.groups {
            let version = group.preferred_version.or_else(|| group.versions.first().cloned());
            let Some(version) = version else { continue };
            let list = client.list_api_group_resources(&version.group_version).await.map_err(failure)?;
            all.extend(list.resources.iter().filter_map(|r| resource(&version.group_version, r)));
        }
        Ok(Self(all))
    }

    /// The resource that a word names.
    pub(crate) fn find(&self, word: &str) -> Option<&Resource> {
        let word = word.to_ascii_lowercase();
        self.0.iter().filter(|r| !r.alias).find(|r| {
            let full = r.group().map(|g| format!("{}.{g}", r.plural));
            r.plural == word
                || r.singular == word
                || full.as_deref() == Some(&word)
                || r.kind.to_ascii_lowercase() == word
                || r.short.contains(&word)
        })
    }

    /// The resource of an object; behind an alias, the resource that it stands for.
    pub(crate) fn of(&self, api_version: &str, kind: &str) -> anyhow::Result<&Resource> {
        let found = self.0.iter().find(|r| r.group_version == api_version && r.kind == kind);
        let meant = |alias: &Resource| self.0.iter().find(|r| !r.alias && r.kind == alias.kind);
        found.and_then(|r| if r.alias { meant(r) } else { Some(r) }).with_context(|| {
            format!(
                "no matches for kind \"{kind}\" in version \"{api_version}\"; ensure the API version is right"
            )
        })
    }

    /// The resources of a category, as `all`.
    pub(crate) fn category(&self, category: &str) -> Vec<&Resource> {
        let mut found: Vec<&Resource> = Vec::new();
        for resource in self.0.iter().filter(|r| !r.alias && r.categories.iter().any(|c| c == category)) {
            if !found.iter().any(|f| f.kind == resource.kind) {
                found.push(resource);
            }
        }
        found.sort_by_key(|r| r.group_version.len());
        found
    }
}

fn resource(group_version: &str, r: &APIResource) -> Option<Resource> {
    (!r.name.contains('/')).then(|| Resource {
        group_version: group_version.to_owned(),
        plural: r.name.clone(),
        kind: r.kind.clone(),
        namespaced: r.namespaced,
        // Kubernetes leaves it empty for what is made when somebody asks.
        singular: Some(r.singular_name.clone())
            .filter(|s| !s.is_empty())
            .unwrap_or_else(|| r.kind.to_ascii_lowercase()),
        short: r.short_names.clone().unwrap_or_default(),
        categories: r.categories.clone().unwrap_or_default(),
        alias: !r.verbs.iter().any(|v| v == "list") && r.verbs.iter().any(|v| v == "update"),
    })
}

impl Resource {
    /// The API group; none for the core group.
    pub(crate) fn group(&self) -> Option<&str> {
        self.group_version.split_once('/').map(|(group, _)| group)
    }

    /// `deployment.apps/web`, `pod/web`: how kubectl names an object.
    pub(crate) fn shown(&self, name: &str) -> String {
        match self.group() {
            Some(group) => format!("{}.{group}/{name}", self.singular),
            None => format!("{}/{name}", self.singular),
        }
    }

    /// The path of all objects in a namespace, or in every one.
    pub(crate) fn list(&self, namespace: Option<&str>) -> String {
        let root = if self.group().is_some() { "apis" } else { "api" };
        let mut path = format!("/{root}/{}", self.group_version);
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            let _ = write!(path, "/namespaces/{namespace}");
        }
        let _ = write!(path, "/{}", self.plural);
        path
    }

    /// The path of one object.
    pub(crate) fn one(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.list(Some(namespace)))
    }
}

/// `TYPE NAME…`, `TYPE/NAME…` or `TYPE[,TYPE]`: what commands act on. Names are empty where all are meant.
pub(crate) fn targets(words: &[String]) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let Some(first) = words.first() else {
        bail!("you must specify the type of resource, as in: gannet get pods");
    };
    if words.iter().any(|w| w.contains('/')) {
        let pair = |word: &String| match word.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => {
                Ok((kind.to_owned(), vec![name.to_owned()]))
            }
            _ => bail!("there is no need to mix TYPE/NAME with other words: {word:?}"),
        };
        return words.iter().map(pair).collect();
    }
    let names = words[1..].to_vec();
    Ok(first.split(',').map(|kind| (kind.to_owned(), names.clone())).collect())
}

/// A character that a query may hold as it is (RFC 3986, unreserved).
pub(crate) fn query_escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().fold(String::new(), |mut out, b| {
        if plain(b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

/// A text field of an object, by path.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant() {
        let check = |words: &[&str], expect: &str| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            let got = targets(&words).map_or_else(|e| e.to_string(), |t| format!("{t:?}"));
            assert!(got.contains(expect), "{got}");
        };
        check(&["pods"], r#"[("pods", [])]"#);
        check(&["pods", "a", "b"], r#"[("pods", ["a", "b"])]"#);
        check(&["po,svc"], r#"[("po", []), ("svc", [])]"#);
        check(&["deploy/web", "svc/web"], r#"[("deploy", ["web"]), ("svc", ["web"])]"#);
        check(&["deploy/web", "x"], "no need to mix");
        check(&[], "must specify the type");
    }
}
