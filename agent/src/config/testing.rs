//! What the tests of the configuration share.

use clap::Parser;
use gannet_protocols_model::SigningKey;

use super::Settings;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// As given on a command line.
pub(super) fn flags(args: &[&str]) -> Settings {
    Flags::try_parse_from([&["test"], args].concat()).unwrap().settings
}

/// A hub's key.
pub(super) fn key() -> String {
    SigningKey::from_seed(&[1; 32]).verifying_key().to_base64()
}
