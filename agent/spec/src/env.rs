//! A container's environment and command line, with `$(VAR)` expanded as Kubernetes does.

use std::collections::BTreeMap;

use gannet_protocols_model::{Container, Digest, EnvValue};

use crate::build::{ContainerContext, PodContext};
use crate::defaults;

/// Why no container can be made of a manifest. Every one is `CreateContainerConfigError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The ledger has no such blob.
    #[error("configuration {blob} is not in the ledger")]
    Blob {
        /// Which.
        blob: Digest,
    },
    /// The blob has no such key.
    #[error("couldn't find key {key} in configuration {blob:?}")]
    Key {
        /// Which key.
        key: String,
        /// Of which blob.
        blob: Digest,
    },
    /// The hub says that an object that the environment needs does not exist.
    #[error("{message}")]
    Missing {
        /// In its words.
        message: String,
    },
    /// The pod has no such field.
    #[error("field {path} of the pod is not known")]
    Field {
        /// Which.
        path: String,
    },
    /// Neither manifest nor image say what to run.
    #[error("no command specified")]
    NoCommand,
    /// The working directory is no absolute path.
    #[error("working directory {path:?} is not an absolute path")]
    WorkingDir {
        /// It.
        path: String,
    },
    /// The image names a user that its `/etc/passwd` does not have.
    #[error("unable to find user {user}: no matching entries in passwd file")]
    User {
        /// Which.
        user: String,
    },
    /// The image names a group that its `/etc/group` does not have.
    #[error("unable to find group {group}: no matching entries in group file")]
    Group {
        /// Which.
        group: String,
    },
    /// `runAsNonRoot` and user 0.
    #[error("container has runAsNonRoot and image will run as root (pod: \"{pod}\", container: {container})")]
    Root {
        /// `NAME_NAMESPACE(UID)`.
        pod: String,
        /// The container.
        container: String,
    },
    /// No such capability.
    #[error("unknown capability {name:?} to add or drop")]
    Capability {
        /// It.
        name: String,
    },
}

/// The environment as `NAME=value`, and the variables of the manifest alone (those that `$(VAR)` may name).
pub(crate) fn environment(
    at: &ContainerContext<'_>,
    home: &str,
) -> Result<(Vec<String>, BTreeMap<String, String>), SpecError> {
    let own = own_variables(at)?;
    let mut all: Vec<(String, String)> = vec![("HOSTNAME".to_owned(), at.hostname.to_owned())];
    let (path, path_value) = defaults::PATH.split_once('=').unwrap_or(("PATH", ""));
    all.push((path.to_owned(), path_value.to_owned()));
    all.push(("HOME".to_owned(), home.to_owned()));
    let image = at.image.env.iter().filter_map(|pair| pair.split_once('='));
    let image = image.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in image.chain(own.iter().map(|(n, v)| (n.clone(), v.clone()))) {
        match all.iter_mut().find(|(n, _)| *n == name) {
            Some(existing) => existing.1 = value,
            None => all.push((name, value)),
        }
    }
    let list = all.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok((list, own.into_iter().collect()))
}

/// The manifest's variables in order, each once: a later value replaces an earlier one.
fn own_variables(at: &ContainerContext<'_>) -> Result<Vec<(String, String)>, SpecError> {
    let mut own: Vec<(String, String)> = Vec::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let blob = |digest: &Digest| at.blobs.get(digest).ok_or(SpecError::Blob { blob: *digest });
    for variable in &at.container.env {
        let mut found: Vec<(String, String)> = Vec::new();
        match &variable.value {
            EnvValue::Text(text) => found.push((variable.name.clone(), expand(text, &known))),
            EnvValue::Missing(message) => return Err(SpecError::Missing { message: message.clone() }),
            EnvValue::Field(path) => found.push((variable.name.clone(), field(at.pod, path)?)),
            EnvValue::Resource(field) => {
                return Err(SpecError::Field { path: field.resource.clone() });
            }
            EnvValue::Key { blob: digest, key } => {
                let missing = || SpecError::Key { key: key.clone(), blob: *digest };
                let bytes = blob(digest)?.get(key).ok_or_else(missing)?;
                found.push((variable.name.clone(), String::from_utf8_lossy(&bytes).into_owned()));
            }
            EnvValue::All { blob: digest, prefix } => {
                let blob = blob(digest)?;
                for key in blob.keys().filter(|key| is_variable_name(key)) {
                    let value = blob.get(key).unwrap_or_default();
                    found.push((format!("{prefix}{key}"), String::from_utf8_lossy(&value).into_owned()));
                }
            }
        }
        for (name, value) in found {
            known.insert(name.clone(), value.clone());
            match own.iter_mut().find(|(n, _)| *n == name) {
                Some(existing) => existing.1 = value,
                None => own.push((name, value)),
            }
        }
    }
    Ok(own)
}

fn is_variable_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
}

/// A field of the pod, as the downward API names them.
fn field(pod: &PodContext<'_>, path: &str) -> Result<String, SpecError> {
    let ip = || pod.pod_ip.unwrap_or(pod.node_ip).to_string();
    Ok(match path {
        "metadata.name" => pod.entry.name.clone(),
        "metadata.namespace" => pod.entry.namespace.clone(),
        "metadata.uid" => pod.entry.uid.to_string(),
        "spec.nodeName" => pod.node_name.to_owned(),
        "status.podIP" | "status.podIPs" => ip(),
        "status.hostIP" | "status.hostIPs" => pod.node_ip.to_string(),
        _ => match pod.entry.fields.get(path) {
            Some(value) => value.clone(),
            // A label or annotation that is not there is empty, as in Kubernetes.
            None if path.starts_with("metadata.labels[") || path.starts_with("metadata.annotations[") => {
                String::new()
            }
            None => return Err(SpecError::Field { path: path.to_owned() }),
        },
    })
}

/// Expands `$(NAME)`; `$$` is a `$`; what is not known stays as it stands.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// What is executed. A command of the manifest replaces the image's arguments too.
pub(crate) fn command_line(
    container: &Container,
    entrypoint: &[String],
    cmd: &[String],
    known: &BTreeMap<String, String>,
) -> Result<Vec<String>, SpecError> {
    let expanded = |list: &[String]| list.iter().map(|text| expand(text, known)).collect::<Vec<_>>();
    let (mut program, own_args) = (expanded(&container.command), expanded(&container.args));
    let args = match (program.is_empty(), own_args.is_empty()) {
        (true, true) => {
            program = entrypoint.to_vec();
            cmd.to_vec()
        }
        (true, false) => {
            program = entrypoint.to_vec();
            own_args
        }
        (false, _) => own_args,
    };
    program.extend(args);
    if program.is_empty() { Err(SpecError::NoCommand) } else { Ok(program) }
}
