//! `gannet up --nodes 3`: pods spread over nodes, and a service reaches them all through any node.

use gannet_tests_e2e::Fleet;

#[test]
fn three_nodes() -> anyhow::Result<()> {
    let mut fleet = Fleet::new("gannet-nodes")?;
    let text = fleet.up(&["--nodes", "3", "--example", "web-app"])?;
    anyhow::ensure!(text.contains("node node-3 is Ready"), "{text}");
    let kubectl = fleet.kubectls()?.pop().ok_or_else(|| anyhow::anyhow!("no kubectl"))?;
    let pods = fleet.ready_pods(&kubectl, "app=web-app").map_err(anyhow::Error::msg)?;
    anyhow::ensure!(pods.len() == 3, "{pods:?}");
    let wide = fleet.gannet(&["get", "pods", "-o", "wide"])?;
    for node in ["node-1", "node-2", "node-3"] {
        anyhow::ensure!(wide.contains(node), "{node} has no pod:\n{wide}");
    }
    for address in ["203.0.113.11", "203.0.113.13"] {
        fleet.answered_by_all(&format!("http://{address}:80/"), &pods)?;
    }
    // A node that takes no pods: the next one goes elsewhere.
    kubectl.ok(&["cordon", "node-2"])?;
    kubectl.ok(&["scale", "deployment", "web-app", "--replicas=5"])?;
    kubectl.ok(&["rollout", "status", "deployment", "web-app", "--timeout=90s"])?;
    let on_cordoned =
        fleet.gannet(&["get", "pods", "--field-selector", "spec.nodeName=node-2", "--no-headers"])?;
    anyhow::ensure!(on_cordoned.lines().count() == 1, "{on_cordoned}");
    fleet.interrupt()?;
    anyhow::ensure!(fleet.leftovers()? == Vec::<String>::new(), "left: {:#?}", fleet.leftovers()?);
    Ok(())
}
