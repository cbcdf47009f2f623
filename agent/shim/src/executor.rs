//! The last step of a container's first process, and of a command in it: find the program, confine, execute.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, execv, faccessat};
use oci_spec::runtime::{LinuxCapabilities, Spec};

use crate::diagnostics::{EXEC, write_line};
use crate::kernel::seccomp;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How to confine, and where to say what went wrong.
#[derive(Clone)]
pub(crate) struct Confined {
    /// A compiled filter.
    pub(crate) filter: Option<Rc<[u8]>>,
    /// The capabilities to keep, where libcontainer was told to keep more.
    pub(crate) capabilities: Option<LinuxCapabilities>,
    /// A pipe, closed by executing the program.
    pub(crate) diagnostics: RawFd,
}

impl Confined {
    fn confine(&self) -> io::Result<()> {
        if let Some(keep) = &self.capabilities {
            // The bounding, inheritable and ambient sets now; executing the program takes the rest, since what is not in
            // these three cannot come back. Until then CAP_SYS_ADMIN is needed for the filter.
            let mut keep = keep.clone();
            keep.set_effective(None).set_permitted(None);
            libcontainer::capabilities::drop_privileges(&keep, create_syscall().as_ref())
                .map_err(io::Error::other)?;
        }
        self.filter.as_deref().map_or(Ok(()), seccomp::load)
    }
}

fn args(spec: &Spec) -> &[String] {
    spec.process().as_ref().and_then(|p| p.args().as_deref()).unwrap_or_default()
}

fn path_variable(spec: &Spec) -> &str {
    let env = spec.process().as_ref().and_then(|p| p.env().as_deref()).unwrap_or_default();
    env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH)
}

fn executable(path: &Path) -> Result<(), Errno> {
    if path.is_dir() {
        return Err(Errno::EISDIR);
    }
    faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS)
}

fn reason(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "no such file or directory",
        Errno::EACCES | Errno::EPERM => "permission denied",
        Errno::EISDIR => "is a directory",
        Errno::ENOEXEC => "exec format error",
        other => other.desc(),
    }
}

/// The program's path, by the rules of a shell; else the words that container engines use.
fn find(program: &str, path: &str) -> Result<PathBuf, String> {
    if program.contains('/') {
        return match executable(Path::new(program)) {
            Ok(()) => Ok(program.into()),
            Err(Errno::ENOENT) => {
                Err(format!("{EXEC}{program:?}: stat {program}: no such file or directory"))
            }
            Err(errno) => Err(format!("{EXEC}{program:?}: {}", reason(errno))),
        };
    }
    let mut denied = false;
    for dir in path.split(':') {
        let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(program);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => denied = true,
            Err(_) => {}
        }
    }
    let why = if denied { "permission denied" } else { "executable file not found in $PATH" };
    Err(format!("{EXEC}{program:?}: {why}"))
}

fn c_string(text: &OsStr) -> Result<CString, ExecutorError> {
    CString::new(text.as_bytes()).map_err(|_| ExecutorError::InvalidArg)
}

impl Executor for Confined {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let program = args(spec).first().map_or("", String::as_str);
        find(program, path_variable(spec)).map(drop).map_err(|words| {
            write_line(self.diagnostics, &words);
            ExecutorValidationError::ArgValidationError(words)
        })
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        for (name, _) in std::env::vars_os() {
            // SAFETY: this process has one thread.
            unsafe { std::env::remove_var(name) };
        }
        for (name, value) in envs {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(ExecutorSetEnvsError::Other(format!(
                    "environment variable {name:?} is not valid"
                )));
            }
            // SAFETY: this process has one thread.
            unsafe { std::env::set_var(name, value) };
        }
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let args = args(spec);
        let program = args.first().ok_or(ExecutorError::InvalidArg)?;
        let failed = |words: String| {
            write_line(self.diagnostics, &words);
            ExecutorError::Other(words)
        };
        let path = find(program, path_variable(spec)).map_err(failed)?;
        let path = c_string(path.as_os_str())?;
        let argv = args.iter().map(|arg| c_string(OsStr::new(arg))).collect::<Result<Vec<_>, _>>()?;
        self.confine().map_err(|err| failed(format!("{EXEC}{program:?}: cannot confine: {err}")))?;
        let errno = execv(&path, &argv).err().unwrap_or(Errno::UnknownErrno);
        Err(failed(format!("{EXEC}{program:?}: {}", reason(errno))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn found_as_a_shell_does() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let good = make("good", 0o755);
        let owner_only = make("owner", 0o700);
        let plain = make("plain", 0o644);
        let path = format!("/nowhere:{}", dir.path().display());
        let check = |program: &str, want: &str| {
            let found = find(program, &path).map_or_else(|words| words, |p| p.display().to_string());
            assert!(found.ends_with(want), "{program}: {found}");
        };
        check("good", "/good");
        check(&good, "/good");
        check(&owner_only, "/owner");
        check("plain", "exec: \"plain\": permission denied");
        check(&plain, "permission denied");
        check("absent", "exec: \"absent\": executable file not found in $PATH");
        check("/absent", "exec: \"/absent\": stat /absent: no such file or directory");
        check(&dir.path().display().to_string(), "is a directory");
    }
}
