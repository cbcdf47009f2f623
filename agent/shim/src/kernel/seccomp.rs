//! A seccomp profile, compiled once to BPF and loaded as the last thing before a program is executed.
//!
//! libcontainer would compile the profile anew for each container, drops it for a command in a running container, cannot
//! load it where privileges may be gained, and swaps mask and value of a masked comparison. So it is never given one: the
//! same filter is loaded for both by [`crate::executor`].

use std::io;

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
};

/// Bytes of a `struct sock_filter`.
const INSTRUCTION: usize = 8;

/// The kernel's `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// Why a profile is no filter.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// A part of the profile that this release cannot honour.
    #[error("seccomp profile asks for {what}, which is not supported")]
    Unsupported {
        /// What it asks for.
        what: String,
    },
    /// libseccomp refused.
    #[error("cannot compile the seccomp profile: {what}")]
    Compile {
        /// Which part.
        what: String,
        /// Why.
        #[source]
        source: libseccomp::error::SeccompError,
    },
}

fn unsupported(what: impl Into<String>) -> SeccompError {
    SeccompError::Unsupported { what: what.into() }
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<ScmpAction, SeccompError> {
    let errno =
        errno.map_or(Ok(libc::EPERM), i32::try_from).map_err(|_| unsupported("an errno beyond the range"))?;
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => ScmpAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActErrno => ScmpAction::Errno(errno),
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        LinuxSeccompAction::ScmpActNotify => return Err(unsupported("SCMP_ACT_NOTIFY")),
        LinuxSeccompAction::ScmpActTrace => return Err(unsupported("SCMP_ACT_TRACE")),
    })
}

fn architecture(arch: Arch) -> Result<ScmpArch, SeccompError> {
    Ok(match arch {
        Arch::ScmpArchNative => ScmpArch::Native,
        Arch::ScmpArchX86 => ScmpArch::X86,
        Arch::ScmpArchX86_64 => ScmpArch::X8664,
        Arch::ScmpArchX32 => ScmpArch::X32,
        Arch::ScmpArchArm => ScmpArch::Arm,
        Arch::ScmpArchAarch64 => ScmpArch::Aarch64,
        Arch::ScmpArchRiscv64 => ScmpArch::Riscv64,
        // Profiles name every architecture that there is; those that this machine cannot run need no rule.
        other => return Err(unsupported(format!("{other:?}"))),
    })
}

fn condition(arg: &LinuxSeccompArg) -> Result<ScmpArgCompare, SeccompError> {
    let index = u32::try_from(arg.index()).map_err(|_| unsupported("an argument's index beyond 5"))?;
    let plain = |op| ScmpArgCompare::new(index, op, arg.value());
    Ok(match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => plain(ScmpCompareOp::NotEqual),
        LinuxSeccompOperator::ScmpCmpLt => plain(ScmpCompareOp::Less),
        LinuxSeccompOperator::ScmpCmpLe => plain(ScmpCompareOp::LessOrEqual),
        LinuxSeccompOperator::ScmpCmpEq => plain(ScmpCompareOp::Equal),
        LinuxSeccompOperator::ScmpCmpGe => plain(ScmpCompareOp::GreaterEqual),
        LinuxSeccompOperator::ScmpCmpGt => plain(ScmpCompareOp::Greater),
        // The spec's first value is the mask, its second what must be left.
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            ScmpArgCompare::new(index, ScmpCompareOp::MaskedEqual(arg.value()), arg.value_two().unwrap_or(0))
        }
    })
}

fn add_flag(filter: &mut ScmpFilterContext, flag: LinuxSeccompFilterFlag) -> Result<(), SeccompError> {
    match flag {
        // The filter is loaded in a process of one thread.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => Ok(()),
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => {
            let set = filter.set_ctl_log(true).map(|_| ());
            set.map_err(|source| SeccompError::Compile { what: "flag".to_owned(), source })
        }
        other => Err(unsupported(format!("{other:?}"))),
    }
}

/// Compiles a profile to the bytes of `struct sock_filter[]`.
///
/// # Errors
/// The profile asks for what cannot be given: it is refused, never weakened.
pub fn compile(profile: &LinuxSeccomp) -> Result<Vec<u8>, SeccompError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        |source| SeccompError::Compile { what, source }
    };
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut filter = ScmpFilterContext::new(default).map_err(failed("default action"))?;
    // A binary tree instead of a list: every system call of the container pays for this. Older libraries have only lists.
    let _ = filter.set_ctl_optimize(2);
    for arch in profile.architectures().iter().flatten() {
        if let Ok(arch) = architecture(*arch) {
            filter.add_arch(arch).map_err(failed("architecture"))?;
        }
    }
    for flag in profile.flags().iter().flatten() {
        add_flag(&mut filter, *flag)?;
    }
    for rule in profile.syscalls().iter().flatten() {
        let then = action(rule.action(), rule.errno_ret())?;
        if then == default {
            continue;
        }
        let conditions = rule.args().iter().flatten().map(condition).collect::<Result<Vec<_>, _>>()?;
        for name in rule.names() {
            // A call that this library does not know cannot be allowed, and is refused by the default action.
            let Ok(call) = ScmpSyscall::from_name(name) else { continue };
            if conditions.is_empty() {
                filter.add_rule(then, call).map_err(failed(name))?;
            } else if repeats_an_argument(rule.args().as_deref().unwrap_or_default()) {
                // The library takes an argument once a rule; as in runc, each condition is then a rule of its own.
                for one in &conditions {
                    filter
                        .add_rule_conditional(then, call, std::slice::from_ref(one))
                        .map_err(failed(name))?;
                }
            } else {
                filter.add_rule_conditional(then, call, &conditions).map_err(failed(name))?;
            }
        }
    }
    export(&filter)
}

fn repeats_an_argument(args: &[LinuxSeccompArg]) -> bool {
    args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|other| other.index() == arg.index()))
}

fn export(filter: &ScmpFilterContext) -> Result<Vec<u8>, SeccompError> {
    let failed = |source: io::Error| unsupported(format!("an export that failed: {source}"));
    // Exporting to memory needs a newer library than to a descriptor.
    let name = c"gannet-seccomp";
    let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)
        .map_err(|e| failed(e.into()))?;
    filter.export_bpf(&fd).map_err(|source| SeccompError::Compile { what: "export".to_owned(), source })?;
    let mut file = std::fs::File::from(fd);
    let mut program = Vec::new();
    io::Seek::rewind(&mut file)
        .and_then(|()| io::Read::read_to_end(&mut file, &mut program))
        .map_err(failed)?;
    check(&program)?;
    Ok(program)
}

fn check(program: &[u8]) -> Result<usize, SeccompError> {
    let count = program.len() / INSTRUCTION;
    if program.is_empty() || !program.len().is_multiple_of(INSTRUCTION) || count > MAX_INSTRUCTIONS {
        return Err(unsupported(format!("a filter of {} bytes", program.len())));
    }
    Ok(count)
}

/// Confines this process, and all that it executes, for ever. Needs no-new-privileges or `CAP_SYS_ADMIN`.
pub(crate) fn load(program: &[u8]) -> io::Result<()> {
    let count = check(program).map_err(io::Error::other)?;
    let mut instructions = Vec::with_capacity(count);
    for bytes in program.chunks_exact(INSTRUCTION) {
        let mut raw = [0; INSTRUCTION];
        raw.copy_from_slice(bytes);
        // SAFETY: sock_filter is eight bytes of plain integers, and any bytes are valid integers.
        instructions.push(unsafe { std::mem::transmute::<[u8; INSTRUCTION], libc::sock_filter>(raw) });
    }
    let len = u16::try_from(count).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    // SAFETY: the program and its instructions live until the call returns; the kernel copies and checks them.
    let loaded =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if loaded == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> LinuxSeccomp {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn refused_not_weakened() {
        let check = |text: &str, ok: bool| assert_eq!(compile(&profile(text)).is_ok(), ok, "{text}");
        check(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#,
            true,
        );
        check(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["no_such_call"],"action":"SCMP_ACT_ERRNO"}]}"#,
            true,
        );
        check(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}"#,
            false,
        );
        check(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],"syscalls":[]}"#,
            false,
        );
    }

    #[test]
    fn only_whole_instructions() {
        for bad in [0, 7, 12, (MAX_INSTRUCTIONS + 1) * INSTRUCTION] {
            assert!(check(&vec![0; bad]).is_err(), "{bad}");
        }
    }
}
