//! Fault points: places at which a test may have a process die by SIGKILL, as it may at any instruction.
//!
//! Without `debug_assertions` a point is nothing at all. With them, a process that comes to the point named in the file of
//! [`FILE`] removes that file and kills itself. The file is taken once: of several processes that come by, one dies.

/// The environment variable that names the file.
pub const FILE: &str = "GANNET_FAULT_FILE";

/// Every point, `who.step`: a test goes through all of them. `shim` and `creator` (its child that calls libcontainer) and
/// `zygote` are here, `runtime` is the agent's side of them; the other ones are the agent's own.
pub const POINTS: &[&str] = &[
    "zygote.fork.asked",
    "zygote.fork.between",
    "shim.open.locked",
    "shim.open.sandbox",
    "shim.open.listening",
    "shim.create.recorded",
    "shim.create.piped",
    "creator.create.begun",
    "creator.create.built",
    "creator.create.confined",
    "shim.create.reported",
    "shim.create.saved",
    "shim.start.recorded",
    "creator.start.begun",
    "creator.start.told",
    "shim.start.told",
    "shim.exit.seen",
    "shim.exit.recorded",
    "shim.delete.wanted",
    "creator.remove.begun",
    "creator.remove.cgroup",
    "shim.delete.removed",
    "shim.delete.files",
    "shim.shutdown.begun",
    "shim.shutdown.namespaces",
    "shim.shutdown.cgroup",
    "shim.shutdown.folders",
    "shim.update.begun",
    "runtime.pod.folder",
    "runtime.pod.recorded",
    "runtime.create.prepared",
    "runtime.create.made",
    "runtime.delete.done",
    "ledger.write.flushed",
    "ledger.write.renamed",
    "executor.prepare.volumes",
    "executor.prepare.network",
    "executor.prepare.sandbox",
    "executor.start.mounted",
    "executor.start.created",
    "executor.start.started",
    "executor.stop.begun",
    "executor.resize.begun",
    "executor.remove.deleted",
    "executor.remove.unmounted",
    "executor.pod.removed",
    "executor.pod.detached",
];

/// Dies here if a test wants it so.
pub fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::point(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs::{self, File};
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use nix::sys::signal::{Signal, raise};

    pub(super) fn point(name: &'static str) {
        // Once: a shim's environment gives way to its title.
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let Some(path) = FILE.get_or_init(|| std::env::var_os(super::FILE).map(PathBuf::from)) else {
            return;
        };
        if fs::read_to_string(path).is_ok_and(|wanted| wanted.trim() == name) {
            // Who removes it is who dies.
            if fs::remove_file(path).is_ok() {
                if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
                    let _ = folder.sync_all();
                }
                let _ = raise(Signal::SIGKILL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_who_and_step_and_stand_once() {
        for (at, name) in POINTS.iter().enumerate() {
            assert!(name.split('.').count() >= 2, "{name}");
            assert!(!POINTS[..at].contains(name), "{name} stands twice");
        }
        // Nothing is wanted: nothing happens.
        point(POINTS[0]);
    }
}
