//! Where the control socket lies, and how it is made.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use gannet_protocols_model::Digest;
use tokio::net::UnixListener;

use crate::layout::Layout;

/// Sockets of agents whose data folder takes none.
const BESIDE: &str = "/run/gannet/control";

/// Where the agent of a data folder may be reached: in that folder, or, where that cannot be written, beside it.
pub(crate) fn addresses(data: &Path) -> [PathBuf; 2] {
    let real = fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    let name = &Digest::of(real.as_os_str().as_bytes()).hex()[..16];
    [data.join(Layout::SOCKET), Path::new(BESIDE).join(format!("{name}.sock"))]
}

/// Makes the socket: its owner's alone from the first moment, whatever the length of its path. Gives its place.
pub(crate) fn bind(layout: &Layout) -> io::Result<(UnixListener, PathBuf)> {
    let [inside, beside] = addresses(&layout.data);
    match bind_in(&layout.ledger(), &inside) {
        Ok(listener) => Ok((listener, inside)),
        Err(_) => {
            let folder = Path::new(BESIDE);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            Ok((bind_in(folder, &beside)?, beside))
        }
    }
}

/// In a folder that is the owner's alone, then moved to its place.
fn bind_in(private: &Path, place: &Path) -> io::Result<UnixListener> {
    // A socket's address has 108 bytes at most; a descriptor's path is short.
    let folder = fs::File::open(private)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let name = format!("agent-{}.sock", std::process::id());
    let hidden = private.join(&name);
    match fs::remove_file(&hidden) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(short.join(&name))?;
    let placed = fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&hidden, place));
    if let Err(error) = placed {
        let _ = fs::remove_file(&hidden);
        return Err(error);
    }
    Ok(listener)
}
