//! Compiled seccomp filters: compiling takes longer than all else about a container, and nearly all use the same profile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gannet_agent_shim::{SeccompError, compile_seccomp};
use oci_spec::runtime::LinuxSeccomp;

/// Profiles differ by capabilities and by file; more than this at once is no cache any more.
const MAX_FILTERS: usize = 16;

/// Filters by the text of their profile.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<BTreeMap<String, Arc<[u8]>>>);

impl Filters {
    /// The filter of a profile, compiled now or before. Takes milliseconds when compiled now.
    pub(crate) fn get(&self, profile: &LinuxSeccomp) -> Result<Arc<[u8]>, SeccompError> {
        let key = serde_json::to_string(profile).unwrap_or_default();
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(filter) = found {
            return Ok(filter);
        }
        let filter: Arc<[u8]> = compile_seccomp(profile)?.into();
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if filters.len() >= MAX_FILTERS {
            filters.clear();
        }
        filters.insert(key, Arc::clone(&filter));
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gannet_agent_spec::seccomp::default_seccomp;
    use oci_spec::runtime::Capability;

    #[test]
    fn compiled_once() {
        let filters = Filters::default();
        let profile = default_seccomp(&gannet_agent_spec::defaults::default_capabilities());
        let first = filters.get(&profile).unwrap();
        assert!(Arc::ptr_eq(&first, &filters.get(&profile).unwrap()));
        let more = default_seccomp(&[Capability::SysAdmin].into_iter().collect());
        assert_ne!(first, filters.get(&more).unwrap());
    }
}
