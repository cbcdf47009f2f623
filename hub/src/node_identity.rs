//! What a gateway needs to join: one folder with its certificate, the fleet's CA, the hub's signing key, and where to go.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use gannet_hub_pki::Authority;
use gannet_protocols_model::NodeName;
use serde_json::{Value, json};

use crate::hub::now;
use crate::private_file::write;

/// The organization of node certificates, as in Kubernetes.
const NODES: &str = "system:nodes";

/// Writes a node's identity. A certificate that is still good is kept.
pub(crate) fn write_identity(
    authority: &Authority,
    node: &NodeName,
    mqtt_url: &str,
    registries: &[SocketAddr],
    folder: &Path,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let identity =
        authority.ensure_client(&format!("node-{node}"), &format!("system:node:{node}"), &[NODES], now())?;
    let document = json!({"name": node, "mqtt_url": mqtt_url, "registries": search_list(registries)});
    let key = authority.signing_key().verifying_key().to_base64() + "\n";
    let files: [(&str, &str); 5] = [
        ("ca.crt", authority.ca_pem()),
        ("node.crt", &identity.cert_pem),
        ("node.key", &identity.key_pem),
        ("hub.pub", &key),
        ("node.json", &format!("{document:#}\n")),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            continue;
        }
        write(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Where image names without a host are looked up: the fleet's own registry first, then docker.io.
fn search_list(registries: &[SocketAddr]) -> Vec<Value> {
    let own = registries.iter().map(|address| {
        if address.ip().is_loopback() {
            json!({"host": address.to_string(), "scheme": "http"})
        } else {
            json!({"host": address.to_string(), "scheme": "https", "ca": "ca.crt", "client_certificate": true})
        }
    });
    own.chain([json!({"host": "docker.io", "scheme": "https"})]).collect()
}
