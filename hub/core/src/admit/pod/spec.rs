//! The pod as a whole.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::Value;

use super::container::{Around, Role};
use super::{affinity, container, dns, ports, security, toleration, volume};
use crate::admit::at::{At, Errors};
use crate::admit::{meta, names};
use crate::control::pod_template;

/// Checks a pod's spec.
pub(in crate::admit) fn validate(spec: &At<'_>, errors: &mut Errors) {
    let around = Around {
        volumes: volume::validate(&spec.field("volumes"), errors),
        grace: spec.field("terminationGracePeriodSeconds").int(),
        restart_policy: spec.field("restartPolicy").text(),
        host_users: spec.field("hostUsers").value != false,
        names_os: !spec.fields(&["os", "name"]).text().is_empty(),
    };
    containers(spec, &around, errors);
    errors.required_one_of(&spec.field("restartPolicy"), &["Always", "OnFailure", "Never"]);
    errors.in_range(&spec.field("terminationGracePeriodSeconds"), 0, i64::from(u32::MAX));
    errors.in_range(&spec.field("activeDeadlineSeconds"), 1, i64::from(i32::MAX));
    let system = spec.fields(&["os", "name"]);
    if spec.field("os").is_set() {
        errors.required_one_of(&system, &["linux", "windows"]);
    }
    dns::validate(spec, errors);
    names_of(spec, errors);
    host_namespaces(spec, errors);
    meta::labels(&spec.field("nodeSelector"), errors);
    affinity::node(&spec.fields(&["affinity", "nodeAffinity"]), errors);
    for toleration in spec.field("tolerations").items() {
        toleration::validate(&toleration, errors);
    }
    for gate in spec.field("readinessGates").items() {
        let condition = gate.field("conditionType");
        errors.texts(&condition, names::qualified(condition.text()));
    }
    let preemption = spec.field("preemptionPolicy");
    if preemption.is_set() {
        errors.required_one_of(&preemption, &["PreemptLowerPriority", "Never"]);
    }
    security::pod(spec, errors);
}

fn containers(spec: &At<'_>, around: &Around<'_>, errors: &mut Errors) {
    let main = spec.field("containers");
    if main.items().is_empty() {
        errors.required(&main, "");
    }
    let mut names = BTreeSet::new();
    for (list, is_init) in [("containers", false), ("initContainers", true)] {
        for item in spec.field(list).items() {
            container::validate(&item, Role::of(&item, is_init), around, errors);
            let name = item.field("name");
            if !name.text().is_empty() && !names.insert(name.text()) {
                errors.duplicate(&name);
            }
        }
    }
    ports::of_host(spec, errors);
}

/// A check of a name.
type Check = fn(&str) -> names::Problems;

fn names_of(spec: &At<'_>, errors: &mut Errors) {
    let checks: [(&str, Check); 5] = [
        ("hostname", names::label),
        ("subdomain", names::label),
        ("nodeName", names::subdomain),
        ("serviceAccountName", names::subdomain),
        ("priorityClassName", names::subdomain),
    ];
    for (field, check) in checks {
        let name = spec.field(field);
        if !name.text().is_empty() {
            errors.texts(&name, check(name.text()));
        }
    }
}

fn host_namespaces(spec: &At<'_>, errors: &mut Errors) {
    if spec.field("hostUsers").value == false {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec.field(field).is_true() {
                errors.forbidden(&spec.field(field), "when `pod.Spec.HostUsers` is false");
            }
        }
    }
    let share = spec.field("shareProcessNamespace");
    if share.is_true() && spec.field("hostPID").is_true() {
        errors.invalid(&share, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
}

/// `status.qosClass` of a spec as it was written: requests follow from limits.
pub(in crate::admit) fn qos_class(spec: &Value) -> &'static str {
    // What does not decode is refused soon after.
    PodSpec::deserialize(spec).map_or("BestEffort", |spec| pod_template::qos_class(&spec))
}
