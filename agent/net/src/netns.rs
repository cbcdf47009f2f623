//! Network namespaces with a name: a namespace is kept alive by a bind mount, as `ip netns` does it.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};

use crate::NetError;

/// Ensures that `path` holds a network namespace. Returns whether it had to be made.
pub(crate) fn ensure(path: &Path) -> Result<bool, NetError> {
    if holds(path) {
        return Ok(false);
    }
    fs::File::create(path).map_err(NetError::file("create", path))?;
    let target = path.to_owned();
    // A thread of its own: unshare moves the calling thread alone.
    let made = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount(Some("/proc/thread-self/ns/net"), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    });
    let result = made.join().unwrap_or(Err(nix::Error::ECHILD));
    result.map_err(io::Error::from).map_err(NetError::file("create network namespace", path))?;
    Ok(true)
}

/// Ensures that `path` holds the namespace that is mounted at `other`.
pub(crate) fn adopt(path: &Path, other: &Path) -> Result<(), NetError> {
    if same(path, other) {
        return Ok(());
    }
    if !holds(other) {
        let missing = io::Error::other("no namespace is mounted there");
        return Err(NetError::file("adopt network namespace", other)(missing));
    }
    remove(path)?;
    fs::File::create(path).map_err(NetError::file("create", path))?;
    let bound = mount(Some(other), path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    bound.map_err(io::Error::from).map_err(NetError::file("adopt network namespace", path))
}

/// Whether the same namespace is mounted at both.
pub(crate) fn same(path: &Path, other: &Path) -> bool {
    let number = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    holds(path) && holds(other) && number(path) == number(other)
}

/// Whether a namespace is mounted at `path`.
pub(crate) fn holds(path: &Path) -> bool {
    statfs(path).is_ok_and(|s| s.filesystem_type() == NSFS_MAGIC)
}

/// Removes a namespace's name; the kernel frees it, and every interface in it, with the last process that uses it.
pub(crate) fn remove(path: &Path) -> Result<(), NetError> {
    while holds(path) {
        let unmounted = umount2(path, MntFlags::MNT_DETACH).map_err(io::Error::from);
        unmounted.map_err(NetError::file("unmount network namespace", path))?;
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(NetError::file("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Runs a future with a runtime of its own on a thread inside the namespace at `path`.
pub(crate) fn inside<F, T>(path: &Path, work: impl FnOnce() -> F + Send + 'static) -> Result<T, NetError>
where
    F: Future<Output = Result<T, NetError>>,
    T: Send + 'static,
{
    let file = fs::File::open(path).map_err(NetError::file("open", path))?;
    let at = path.to_owned();
    let joined = std::thread::spawn(move || {
        let enter = || -> io::Result<tokio::runtime::Runtime> {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()
        };
        let runtime = enter().map_err(NetError::file("enter network namespace", at))?;
        runtime.block_on(work())
    });
    joined
        .join()
        .unwrap_or_else(|_| Err(NetError::file("run in network namespace", path)(io::Error::other("panic"))))
}
