//! A container's environment and command line, with `$(VAR)` expanded as Kubernetes does.

use std::collections::BTreeMap;

use gannet_protocols_model::{ConfigBlob, Container, Digest, EnvValue};

use crate::build::{ContainerContext, PodContext};
use crate::defaults;
use crate::fields::{field, resource};
use crate::refusal::Refusal;

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
    #[error("unsupported fieldPath: {path}")]
    Field {
        /// Which.
        path: String,
    },
    /// No container has such a resource.
    #[error("unsupported container resource : {resource}")]
    Resource {
        /// Which.
        resource: String,
    },
    /// A resource of a container that the pod does not have.
    #[error("container {name} not found")]
    Container {
        /// Its name.
        name: String,
    },
    /// A `subPathExpr` that cannot be expanded.
    #[error("missing value for {name:?}")]
    Variable {
        /// The variable that is not there.
        name: String,
    },
    /// The kernel's environment is text that a NUL ends.
    #[error("value of variable {name:?} contains a NUL")]
    Nul {
        /// The variable.
        name: String,
    },
    /// A whole name (`setHostnameAsFQDN`) that the kernel does not take.
    #[error(
        "Failed to construct FQDN from Pod hostname and cluster domain, FQDN {name} is too long (64 characters is the max, {} characters requested)",
        name.len()
    )]
    Fqdn {
        /// The name.
        name: String,
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
    /// The node does not give what the pod asks for.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such capability.
    #[error("unknown capability {name:?} to add or drop")]
    Capability {
        /// It.
        name: String,
    },
}

/// The variables of a container, each once: those of its manifest in their order, then those of services that the
/// manifest does not name itself. All of them may stand in `$(VAR)` of a command line or a `subPathExpr`.
///
/// # Errors
/// The manifest names something that is not there.
pub fn variables(
    pod: &PodContext<'_>,
    container: &Container,
    blobs: &BTreeMap<Digest, ConfigBlob>,
    services: &[(String, String)],
) -> Result<Vec<(String, String)>, SpecError> {
    let blob = |digest: &Digest| blobs.get(digest).ok_or(SpecError::Blob { blob: *digest });
    let service: BTreeMap<&str, &str> = services.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut own = Variables::default();
    for variable in &container.env {
        let name = &variable.name;
        match &variable.value {
            EnvValue::Text(text) => {
                let value = expand_with(text, |n| own.get(n).or_else(|| service.get(n).copied()));
                own.set(name.clone(), value)?;
            }
            EnvValue::Missing(message) => return Err(SpecError::Missing { message: message.clone() }),
            EnvValue::Field(path) => own.set(name.clone(), field(pod, path)?)?,
            EnvValue::Resource(wanted) => own.set(name.clone(), resource(pod, Some(container), wanted)?)?,
            EnvValue::Key { blob: digest, key } => {
                let missing = || SpecError::Key { key: key.clone(), blob: *digest };
                let bytes = blob(digest)?.get(key).ok_or_else(missing)?;
                own.set(name.clone(), String::from_utf8_lossy(&bytes).into_owned())?;
            }
            EnvValue::All { blob: digest, prefix } => {
                let blob = blob(digest)?;
                // Keys that are no names of variables are left out, as under kubelet.
                for key in blob.keys().filter(|key| is_variable_name(key)) {
                    let value = blob.get(key).unwrap_or_default();
                    own.set(format!("{prefix}{key}"), String::from_utf8_lossy(&value).into_owned())?;
                }
            }
        }
    }
    for (name, value) in services {
        if own.get(name).is_none() {
            own.set(name.clone(), value.clone())?;
        }
    }
    Ok(own.list)
}

/// The whole environment as `NAME=value`: what every container has, under the image's, under its own.
pub(crate) fn environment(
    at: &ContainerContext<'_>,
    variables: &[(String, String)],
    home: &str,
) -> Result<Vec<String>, SpecError> {
    let (path, path_value) = defaults::PATH.split_once('=').unwrap_or(("PATH", ""));
    let mut all = Variables::default();
    for (name, value) in [("HOSTNAME", at.hostname), (path, path_value), ("HOME", home)] {
        all.set(name.to_owned(), value.to_owned())?;
    }
    for (name, value) in at.image.env.iter().filter_map(|pair| pair.split_once('=')) {
        all.set(name.to_owned(), value.to_owned())?;
    }
    for (name, value) in variables {
        all.set(name.clone(), value.clone())?;
    }
    Ok(all.list.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

/// Variables in the order in which they were first set; a later value replaces an earlier one.
#[derive(Debug, Default)]
struct Variables {
    list: Vec<(String, String)>,
    places: BTreeMap<String, usize>,
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).and_then(|place| self.list.get(*place)).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: String, value: String) -> Result<(), SpecError> {
        if value.contains('\0') {
            return Err(SpecError::Nul { name });
        }
        match self.places.get(&name).and_then(|place| self.list.get_mut(*place)) {
            Some(existing) => existing.1 = value,
            None => {
                self.places.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
        Ok(())
    }
}

fn is_variable_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
}

/// Expands `$(NAME)`; `$$` is a `$`; what is not known stays as it stands.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    expand_with(text, |name| known.get(name).map(String::as_str))
}

/// A `subPathExpr`: here a variable that is not known is a mistake.
///
/// # Errors
/// It names a variable that is not there.
pub fn expand_sub_path(expression: &str, variables: &[(String, String)]) -> Result<String, SpecError> {
    let mut missing = None;
    let expanded = expand_with(expression, |wanted| {
        let found = variables.iter().find(|(name, _)| name == wanted);
        if found.is_none() {
            missing.get_or_insert_with(|| wanted.to_owned());
        }
        found.map(|(_, value)| value.as_str())
    });
    match missing {
        Some(name) => Err(SpecError::Variable { name }),
        None => Ok(expanded),
    }
}

fn expand_with<'a>(text: &str, mut known: impl FnMut(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known(name) {
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
