//! The kubeconfig of a client certificate: one cluster, one user, one context, data embedded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::Identity;

/// The kubeconfig's YAML, with `gannet` as the current context. Holds the private key: write it 0600.
pub fn kubeconfig(api_url: &str, ca_pem: &str, identity: &Identity) -> String {
    // A JSON string is a YAML string, whatever is in it.
    let server = serde_json::Value::from(api_url);
    let (ca, cert, key) =
        (BASE64.encode(ca_pem), BASE64.encode(&identity.cert_pem), BASE64.encode(&identity.key_pem));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: gannet
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: gannet
  user:
    client-certificate-data: {cert}
    client-key-data: {key}
contexts:
- name: gannet
  context:
    cluster: gannet
    user: gannet
current-context: gannet
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        let identity = Identity { cert_pem: "CERT".into(), key_pem: "KEY".into() };
        let text = kubeconfig("https://127.0.0.1:7443", "CA", &identity);
        for line in [
            r#"    server: "https://127.0.0.1:7443""#,
            "    certificate-authority-data: Q0E=",
            "    client-certificate-data: Q0VSVA==",
            "    client-key-data: S0VZ",
            "current-context: gannet",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
