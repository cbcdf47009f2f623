//! The devices that a container gets.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use gannet_agent_devices::{Request, all_nodes};
use gannet_agent_spec::DeviceNode;
use gannet_protocols_model::{Container, Manifest, PodUid};

use super::Tools;
use super::pod::blocking;

/// Those that it asks for; with all of the machine's where it is privileged, unless its root is nobody on the machine: under
/// kubelet, too, it then sees nodes that it may not use.
pub(super) async fn allocate(
    tools: &Tools,
    pod: &PodUid,
    manifest: &Manifest,
    container: &Container,
) -> anyhow::Result<Vec<DeviceNode>> {
    let privileged = container.security.privileged && !manifest.user_namespace;
    if container.devices.is_empty() && !privileged {
        return Ok(Vec::new());
    }
    let (devices, pod) = (Arc::clone(&tools.devices), pod.clone());
    let (name, wants, ended) =
        (container.name.clone(), container.devices.clone(), ended(manifest, container));
    blocking(move || {
        let request = Request { pod: &pod, container: &name, wants: &wants, ended: &ended };
        let mut nodes = devices.allocate(&request)?;
        if privileged {
            let own: BTreeSet<_> = nodes.iter().map(|n| n.path_in_container.clone()).collect();
            let others = all_nodes(Path::new("/dev")).into_iter();
            nodes.extend(others.filter(|n| !own.contains(&n.path_in_container)));
        }
        Ok(nodes)
    })
    .await
}

/// The init containers that are done when this one starts.
fn ended(manifest: &Manifest, container: &Container) -> Vec<String> {
    let before = manifest.init_containers.iter().take_while(|init| init.name != container.name);
    before.filter(|init| !init.sidecar).map(|init| init.name.clone()).collect()
}

/// What the pod had is free.
pub(super) async fn free(tools: &Tools, pod: &PodUid) -> anyhow::Result<()> {
    let (devices, pod) = (Arc::clone(&tools.devices), pod.clone());
    blocking(move || Ok(devices.free(&pod)?)).await
}
