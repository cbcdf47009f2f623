//! What is allowed and certainly not meant.

use crate::admit::at::At;
use crate::admit::quantity;

/// Looks at each container of a pod's spec.
pub(in crate::admit) fn find(spec: &At<'_>, warnings: &mut Vec<String>) {
    for container in spec.field("initContainers").items().iter().chain(&spec.field("containers").items()) {
        fractions(&container.field("resources"), warnings);
        ports(container, warnings);
    }
}

fn fractions(resources: &At<'_>, warnings: &mut Vec<String>) {
    for list in [resources.field("requests"), resources.field("limits")] {
        for name in ["memory", "ephemeral-storage"] {
            let amount = list.key(name);
            if quantity::nanos(amount.value).is_some_and(|n| n % 1_000_000_000 != 0) {
                warnings.push(format!(
                    "{}: fractional byte value {} is invalid, must be an integer",
                    amount.path, amount.value
                ));
            }
        }
    }
}

/// Probes and hooks name ports of their own container.
fn ports(container: &At<'_>, warnings: &mut Vec<String>) {
    let known = container.field("ports").items();
    let asking = [
        ["livenessProbe", "httpGet"],
        ["livenessProbe", "tcpSocket"],
        ["readinessProbe", "httpGet"],
        ["readinessProbe", "tcpSocket"],
        ["startupProbe", "httpGet"],
        ["startupProbe", "tcpSocket"],
    ];
    let hooks = ["postStart", "preStop"].map(|hook| container.fields(&["lifecycle", hook, "httpGet"]));
    for handler in asking.iter().map(|path| container.fields(path)).chain(hooks) {
        let port = handler.field("port");
        let name = port.text();
        if !name.is_empty() && !known.iter().any(|p| p.field("name").text() == name) {
            warnings.push(format!("{}: the container has no port of the name {name:?}", port.path));
        }
    }
}
