//! Which kinds there are and what can be done with them, generated from the table of kinds.

use gannet_hub_core::{Kind, MADE_KINDS};
use serde_json::{Value, json};

use crate::route::{ALIASES, group_version, groups, kinds};

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Without `list`, so that tools which go over all resources do not meet the same objects twice.
const ALIAS_VERBS: &[&str] = &["create", "delete", "get", "patch", "update"];
/// Of what is made when somebody asks.
const MADE_VERBS: &[&str] = &["get", "list"];
const SUB_VERBS: &[&str] = &["get", "patch", "update"];

/// One resource as discovery lists it.
struct Resource {
    plural: &'static str,
    singular: &'static str,
    kind: &'static Kind,
    verbs: &'static [&'static str],
    alias: bool,
}

fn resources(group: &str) -> Vec<Resource> {
    let own = kinds().filter(|k| k.group == group).map(|kind| Resource {
        plural: kind.plural,
        singular: kind.singular,
        kind,
        verbs: if MADE_KINDS.contains(&kind) { MADE_VERBS } else { VERBS },
        alias: false,
    });
    let aliases = ALIASES.iter().filter(|_| group.is_empty()).map(|&(plural, kind)| Resource {
        plural,
        singular: plural.strip_suffix("es").unwrap_or(plural),
        kind,
        verbs: ALIAS_VERBS,
        alias: true,
    });
    own.chain(aliases).collect()
}

/// A subresource: its name, what it answers with and its verbs.
type Subresource = (&'static str, (&'static str, &'static str, &'static str), &'static [&'static str]);

impl Resource {
    fn subresources(&self) -> Vec<Subresource> {
        if self.alias {
            return Vec::new();
        }
        let own = (self.kind.group, self.kind.version, self.kind.kind);
        let mut subs: Vec<Subresource> = self
            .kind
            .subresources
            .iter()
            .map(|&name| {
                (name, if name == "scale" { ("autoscaling", "v1", "Scale") } else { own }, SUB_VERBS)
            })
            .collect();
        if self.kind == Kind::POD {
            subs.push(("log", own, &["get"]));
        }
        if self.kind == Kind::NAMESPACE {
            subs.push(("finalize", own, &["update"]));
        }
        subs
    }
}

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis/apps`.
pub(crate) fn group(name: &str) -> Value {
    let mut group = group_entry(name);
    group["kind"] = Value::from("APIGroup");
    group["apiVersion"] = Value::from("v1");
    group
}

fn group_entry(name: &str) -> Value {
    let version = group_version(name);
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// `/apis`.
pub(crate) fn group_list() -> Value {
    let groups: Vec<Value> = groups().into_iter().map(group_entry).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/api/v1`, `/apis/apps/v1`.
pub(crate) fn resource_list(group: &str) -> Value {
    let mut list = Vec::new();
    for resource in resources(group) {
        let kind = resource.kind;
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": kind.is_namespaced(),
            "kind": kind.kind, "verbs": resource.verbs,
        });
        if !resource.alias {
            for (field, words) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
                if !words.is_empty() {
                    entry[field] = json!(words);
                }
            }
        }
        list.push(entry);
        for (sub, (sub_group, version, sub_kind), verbs) in resource.subresources() {
            let mut entry = json!({
                "name": format!("{}/{sub}", resource.plural), "singularName": "",
                "namespaced": kind.is_namespaced(), "kind": sub_kind, "verbs": verbs,
            });
            if sub_group != group {
                entry["group"] = Value::from(sub_group);
                entry["version"] = Value::from(version);
            }
            list.push(entry);
        }
    }
    let version =
        if group.is_empty() { "v1".to_owned() } else { format!("{group}/{}", group_version(group)) };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list})
}

/// Everything under `/api` or `/apis` in one document.
pub(crate) fn aggregated(version: &str, core: bool) -> Value {
    let names = if core { vec![""] } else { groups() };
    let items: Vec<Value> = names.into_iter().map(aggregated_group).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {},
        "items": items,
    })
}

fn aggregated_group(group: &str) -> Value {
    let resources: Vec<Value> =
        resources(group).iter().map(|resource| aggregated_resource(group, resource)).collect();
    let metadata = if group.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": group, "creationTimestamp": null})
    };
    json!({
        "metadata": metadata,
        "versions": [{"version": group_version(group), "resources": resources, "freshness": "Current"}],
    })
}

fn aggregated_resource(group: &str, resource: &Resource) -> Value {
    let kind = resource.kind;
    let subresources: Vec<Value> = resource
        .subresources()
        .into_iter()
        .map(|(sub, (group, version, kind), verbs)| {
            json!({"subresource": sub, "responseKind": {"group": group, "version": version, "kind": kind}, "verbs": verbs})
        })
        .collect();
    let mut entry = json!({
        "resource": resource.plural, "responseKind": {"group": group, "version": group_version(group), "kind": kind.kind},
        "scope": if kind.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs,
    });
    if !resource.alias {
        for (field, words) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
            if !words.is_empty() {
                entry[field] = json!(words);
            }
        }
    }
    if !subresources.is_empty() {
        entry["subresources"] = Value::from(subresources);
    }
    entry
}

/// `/version`: the Kubernetes version whose types these are (`k8s-openapi`), and ours.
pub(crate) fn version(ours: &str) -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": format!("v1.37.0+gannet.{ours}"), "gitCommit": "", "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none (Rust)", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}
