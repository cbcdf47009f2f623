//! The configuration: flags over the configuration file over the identity's `node.json` over defaults, checked whole
//! before anything is opened. Every problem is told, not the first alone.

mod amount;
mod check;
mod file;
mod identity;
mod node;
mod settings;
#[cfg(test)]
mod testing;
mod toml_file;

#[cfg(test)]
pub(crate) use amount::Amount;
pub(crate) use check::{MqttSettings, RunConfig, TlsFiles};
pub(crate) use node::{Eviction, Logs, NodeSettings, Reserved};
pub(crate) use settings::Settings;

#[cfg(test)]
mod config_test;
#[cfg(test)]
mod file_test;
