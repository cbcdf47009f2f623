//! Which devices a container may use, on the unified cgroup hierarchy: a small BPF program on its cgroup.
//!
//! Hierarchies of v1 have files for this, which libcontainer writes. On v2 it would do nothing without a BPF tool chain, so
//! the program is assembled here: rule by rule from the last to the first; the first that matches decides; none is a no.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// `BPF_DEVCG_ACC_*` and `BPF_DEVCG_DEV_*`.
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_PROG_QUERY: i32 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The kernel's own bound of programs on one cgroup.
const MAX_ATTACHED: usize = 64;

/// What every container may use: null, zero, full, random, urandom, tty, console, ptmx, pseudo-terminals.
const USUAL: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

struct Rule {
    allow: bool,
    /// None: any.
    kind: Option<i32>,
    major: Option<i32>,
    minor: Option<i32>,
    access: i32,
}

impl Rule {
    fn of(rule: &LinuxDeviceCgroup) -> Self {
        let kind = match rule.typ() {
            Some(LinuxDeviceType::B) => Some(BLOCK),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHARACTER),
            _ => None,
        };
        // A negative number means any, as no number does.
        let number =
            |n: Option<i64>| n.and_then(|n| i32::try_from(n).ok()).filter(|&n| n >= 0 && kind.is_some());
        let bit = |letter: char, bit: i32| {
            if rule.access().as_deref().unwrap_or("rwm").contains(letter) { bit } else { 0 }
        };
        let access = bit('m', MKNOD) | bit('r', READ) | bit('w', WRITE);
        Self { allow: rule.allow(), kind, major: number(rule.major()), minor: number(rule.minor()), access }
    }

    fn is_total(&self) -> bool {
        self.kind.is_none() && self.access == MKNOD | READ | WRITE
    }
}

fn rules(asked: &[LinuxDeviceCgroup]) -> Vec<Rule> {
    let usual = USUAL.iter().map(|&(major, minor)| {
        let number = |n: i64| i32::try_from(n).ok();
        let access = MKNOD | READ | WRITE;
        Rule {
            allow: true,
            kind: Some(CHARACTER),
            major: number(major),
            minor: minor.and_then(number),
            access,
        }
    });
    asked.iter().map(Rule::of).chain(usual).collect()
}

/// One instruction: operation, destination and source register, jump, constant.
fn instruction(code: u8, to: u8, from: u8, jump: i16, constant: i32) -> [u8; 8] {
    let [j0, j1] = jump.to_ne_bytes();
    let [c0, c1, c2, c3] = constant.to_ne_bytes();
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    [code, registers, j0, j1, c0, c1, c2, c3]
}

/// The program; none where everything is allowed.
fn assemble(asked: &[LinuxDeviceCgroup]) -> Option<Vec<[u8; 8]>> {
    let rules = rules(asked);
    let last_total = rules.iter().rposition(Rule::is_total);
    if last_total.is_some_and(|at| rules[at..].iter().all(|rule| rule.allow)) {
        return None;
    }
    const LOAD: u8 = 0x61;
    const AND: u8 = 0x54;
    const SHIFT: u8 = 0x74;
    const COPY: u8 = 0xbc;
    const SET: u8 = 0xb4;
    const UNLESS_EQUAL: u8 = 0x55;
    const UNLESS_SAME: u8 = 0x5d;
    const IF_EQUAL: u8 = 0x15;
    const EXIT: u8 = 0x95;
    // r2 type, r3 access, r4 major, r5 minor.
    let mut program = vec![
        instruction(LOAD, 2, 1, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(LOAD, 3, 1, 0, 0),
        instruction(SHIFT, 3, 0, 0, 16),
        instruction(LOAD, 4, 1, 4, 0),
        instruction(LOAD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        // Tests that skip to the next rule, with jumps still open.
        let mut tests: Vec<(u8, u8, u8, i32)> = Vec::new();
        let mut steps: Vec<Option<[u8; 8]>> = Vec::new();
        let mut test = |code, to, from, constant| {
            tests.push((code, to, from, constant));
            steps.push(None);
        };
        for (register, wanted) in [(2, rule.kind), (4, rule.major), (5, rule.minor)] {
            if let Some(wanted) = wanted {
                test(UNLESS_EQUAL, register, 0, wanted);
            }
        }
        steps.push(Some(instruction(COPY, 1, 3, 0, 0)));
        steps.push(Some(instruction(AND, 1, 0, 0, rule.access)));
        // A yes must cover all that is asked for; a no any part of it.
        tests.push(if rule.allow { (UNLESS_SAME, 1, 3, 0) } else { (IF_EQUAL, 1, 0, 0) });
        steps.push(None);
        steps.push(Some(instruction(SET, 0, 0, 0, i32::from(rule.allow))));
        steps.push(Some(instruction(EXIT, 0, 0, 0, 0)));
        let count = steps.len();
        let mut tests = tests.into_iter();
        for (at, step) in steps.into_iter().enumerate() {
            let jump = i16::try_from(count - at - 1).unwrap_or(i16::MAX);
            let open =
                || tests.next().map(|(code, to, from, constant)| instruction(code, to, from, jump, constant));
            program.extend(step.or_else(open));
        }
    }
    program.extend([instruction(SET, 0, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    Some(program)
}

/// The head of `union bpf_attr` for loading a program; the rest is zero.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The same for attaching one.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// The same for asking what is attached; the kernel writes the count, and the ids to where they should go.
#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// The same for a descriptor of a program.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

fn bpf<T>(command: i32, attributes: &T) -> io::Result<RawFd> {
    bpf_call(command, std::ptr::from_ref(attributes).cast_mut())
}

fn bpf_mut<T>(command: i32, attributes: &mut T) -> io::Result<RawFd> {
    bpf_call(command, std::ptr::from_mut(attributes))
}

/// Only a query is written to by the kernel, and that one is handed in as mutable.
fn bpf_call<T>(command: i32, attributes: *mut T) -> io::Result<RawFd> {
    // SAFETY: `attributes` is a `repr(C)` prefix of `union bpf_attr` with its own size; what it points to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(result).map_err(io::Error::other)
    }
}

/// Confines the processes of this cgroup to these devices. It stays until the cgroup is removed.
pub(crate) fn confine(cgroup: &Path, asked: &[LinuxDeviceCgroup]) -> io::Result<()> {
    let Some(program) = assemble(asked) else { return Ok(()) };
    attach(&File::open(cgroup)?, &program)
}

/// Lets other rules take the place of those in force. The new program comes first: of several, each must allow, so nothing
/// is open in between that is not in the old rules and in the new ones.
pub(crate) fn replace(cgroup: &Path, asked: &[LinuxDeviceCgroup]) -> io::Result<()> {
    let dir = File::open(cgroup)?;
    let old = attached(&dir)?;
    if let Some(program) = assemble(asked) {
        attach(&dir, &program)?;
    }
    for id in old {
        detach(&dir, id)?;
    }
    Ok(())
}

fn descriptor(fd: RawFd) -> io::Result<u32> {
    u32::try_from(fd).map_err(io::Error::other)
}

fn attach(dir: &File, program: &[[u8; 8]]) -> io::Result<()> {
    let address = |pointer: *const u8| pointer as u64;
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: address(program.as_ptr().cast()),
        license: address(c"Apache-2.0".as_ptr().cast()),
        ..Load::default()
    };
    // SAFETY: the kernel just made this descriptor for us.
    let loaded = unsafe { OwnedFd::from_raw_fd(bpf(BPF_PROG_LOAD, &load)?) };
    let attach = Attach {
        target: descriptor(dir.as_raw_fd())?,
        program: descriptor(loaded.as_raw_fd())?,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &attach).map(drop)
}

/// The ids of the programs that are attached to this cgroup.
fn attached(dir: &File) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MAX_ATTACHED];
    let mut query = Query {
        target: descriptor(dir.as_raw_fd())?,
        kind: BPF_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: u32::try_from(ids.len()).map_err(io::Error::other)?,
        ..Query::default()
    };
    bpf_mut(BPF_PROG_QUERY, &mut query)?;
    Ok(ids.into_iter().take(usize::try_from(query.count).unwrap_or(0)).collect())
}

fn detach(dir: &File, id: u32) -> io::Result<()> {
    let wanted = ById { id, ..ById::default() };
    // SAFETY: the kernel just made this descriptor for us.
    let program = unsafe { OwnedFd::from_raw_fd(bpf(BPF_PROG_GET_FD_BY_ID, &wanted)?) };
    let attach = Attach {
        target: descriptor(dir.as_raw_fd())?,
        program: descriptor(program.as_raw_fd())?,
        kind: BPF_CGROUP_DEVICE,
        flags: 0,
    };
    bpf(BPF_PROG_DETACH, &attach).map(drop)
}

#[cfg(test)]
#[path = "devices_test.rs"]
mod tests;
