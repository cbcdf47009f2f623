//! A Deployment's former templates: its ReplicaSets, by the revision that the hub wrote on them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::resource::text;

const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";
const HASH: &str = "pod-template-hash";

/// Annotations that belong to the Deployment or to the ReplicaSet, and do not come back with a template.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// ReplicaSets by revision.
#[derive(Debug)]
pub(super) struct Revisions(BTreeMap<u64, Value>);

impl Revisions {
    /// Those of the sets that the Deployment owns.
    pub(super) fn of(deployment: &Value, sets: &[Value]) -> Self {
        let uid = &deployment["metadata"]["uid"];
        let owned = |set: &&Value| {
            let mut owners = set["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            owners.any(|o| o["controller"] == true && o["uid"] == *uid)
        };
        let entry = |set: &Value| Some((annotation(set, REVISION).parse().ok()?, set.clone()));
        Self(sets.iter().filter(owned).filter_map(entry).collect())
    }

    /// The set of a revision.
    pub(super) fn get(&self, revision: u64) -> Option<&Value> {
        self.0.get(&revision)
    }

    /// What to go back to: this revision, or for 0 the last but one.
    pub(super) fn target(&self, revision: u64) -> Option<(u64, &Value)> {
        match revision {
            0 => self.0.iter().nth_back(1).map(|(revision, set)| (*revision, set)),
            _ => self.get(revision).map(|set| (revision, set)),
        }
    }

    /// Lines of a table: the revision, the cause of the change.
    pub(super) fn causes(&self) -> impl Iterator<Item = Vec<String>> {
        self.0.iter().map(|(revision, set)| {
            let cause = annotation(set, CAUSE);
            let cause = if cause.is_empty() { "<none>" } else { cause };
            vec![revision.to_string(), crate::status::printable(cause)]
        })
    }
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["annotations"][name].as_str().unwrap_or_default()
}

/// The Deployment's selector as a query.
pub(crate) fn selector(deployment: &Value) -> String {
    let selector = &deployment["spec"]["selector"];
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut all: Vec<String> =
        labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let key = text(expression, "/key");
        match text(expression, "/operator") {
            "In" => all.push(format!("{key} in ({})", values.join(","))),
            "NotIn" => all.push(format!("{key} notin ({})", values.join(","))),
            "Exists" => all.push(key.to_owned()),
            _ => all.push(format!("!{key}")),
        }
    }
    all.join(",")
}

/// The template of a ReplicaSet as it was in the Deployment.
pub(super) fn template(set: &Value) -> Value {
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    template
}

/// The annotations of the Deployment once it is back at that set: its own ones, and of the set what came with the
/// template, as the cause of the change.
pub(super) fn annotations(deployment: &Value, set: &Value) -> Value {
    let of = |object: &Value, own: bool| -> Map<String, Value> {
        let all = object["metadata"]["annotations"].as_object().into_iter().flatten();
        all.filter(|(k, _)| OWN.contains(&k.as_str()) == own).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let mut annotations = of(deployment, true);
    annotations.extend(of(set, false));
    Value::Object(annotations)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(owner: &str, revision: &str, cause: Option<&str>) -> Value {
        json!({
            "metadata": {
                "annotations": {(REVISION): revision, (CAUSE): cause, "deployment.kubernetes.io/max-replicas": "4"},
                "ownerReferences": [{"controller": true, "uid": owner}],
            },
            "spec": {"template": {"metadata": {"labels": {"app": "web", (HASH): "abc"}}, "spec": {"n": revision}}},
        })
    }

    fn deployment() -> Value {
        json!({"metadata": {"uid": "d", "annotations": {
            (REVISION): "10", (CAUSE): "now", "kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "x"}}})
    }

    #[test]
    fn which_revision() {
        let sets =
            [set("d", "10", None), set("d", "9", Some("why")), set("other", "11", None), set("d", "x", None)];
        let revisions = Revisions::of(&deployment(), &sets);
        let check = |to: u64, expect: Option<u64>| {
            let found = revisions.target(to);
            assert_eq!(found.map(|(revision, _)| revision), expect, "{to}");
            if let Some((revision, set)) = found {
                assert_eq!(template(set)["spec"]["n"], revision.to_string());
                assert_eq!(template(set)["metadata"]["labels"], json!({"app": "web"}));
            }
        };
        check(0, Some(9));
        check(10, Some(10));
        check(11, None);
        assert_eq!(revisions.causes().collect::<Vec<_>>(), [["9", "why"], ["10", "<none>"]]);
        assert!(Revisions::of(&deployment(), &sets[..1]).target(0).is_none());
    }

    #[test]
    fn what_comes_back() {
        assert_eq!(
            annotations(&deployment(), &set("d", "9", Some("why"))),
            json!({(REVISION): "10", (CAUSE): "why", "kubectl.kubernetes.io/last-applied-configuration": "{}"})
        );
    }

    #[test]
    fn selectors() {
        let check = |selector_of: Value, expect: &str| {
            assert_eq!(selector(&json!({"spec": {"selector": selector_of}})), expect);
        };
        check(json!({"matchLabels": {"a": "1", "b": "2"}}), "a=1,b=2");
        check(
            json!({"matchExpressions": [
                {"key": "a", "operator": "In", "values": ["1", "2"]}, {"key": "b", "operator": "Exists"},
                {"key": "c", "operator": "NotIn", "values": ["3"]}, {"key": "d", "operator": "DoesNotExist"}]}),
            "a in (1,2),b,c notin (3),!d",
        );
    }
}
