//! What the kernel of this node gives to containers.

use std::fs;

/// Whether this kernel enforces AppArmor profiles.
pub fn apparmor_enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}
