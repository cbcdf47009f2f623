//! A command in a running container, confined as its first process is: same namespaces, cgroup, user, capabilities, system
//! call filter and AppArmor profile.
//!
//! libcontainer's own way leaves the filter and the user namespace out, and costs twice as many processes. Here a child of
//! the shim opens the namespaces, forks inside the process namespace, moves the new process into the cgroup, and tells it to
//! go on; that one enters the rest, gives up what it must not have, and executes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, fchown};

use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::Executor;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::waitpid;
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, fork, setgroups, setresgid, setresuid,
    setsid,
};
use oci_spec::runtime::{Process, Spec};

use crate::command::terminal::{self, Size};
use crate::executor::Confined;
use crate::fork::exit;
use crate::kernel::cgroup;
use crate::kernel::namespaces::{enter_users, waiting_pipe};
use crate::process::ProcessId;

/// What a command reads and writes.
pub(crate) enum Stdio {
    Files {
        stdin: File,
        stdout: File,
        stderr: File,
    },
    /// One of the container's terminals, whose other end goes out through this socket.
    Terminal {
        console: File,
        size: Size,
    },
}

impl Stdio {
    /// The numbers of its descriptors.
    pub(crate) fn numbers(&self) -> Vec<RawFd> {
        match self {
            Self::Files { stdin, stdout, stderr } => [stdin, stdout, stderr].map(AsRawFd::as_raw_fd).to_vec(),
            Self::Terminal { console, .. } => vec![console.as_raw_fd()],
        }
    }

    /// Gives a user of the node the pipes, so that `/dev/stdout` can be opened anew.
    pub(crate) fn give(&self, uid: u32) -> io::Result<()> {
        let Self::Files { stdin, stdout, stderr } = self else { return Ok(()) };
        for file in [stdin, stdout, stderr] {
            if file.metadata()?.file_type().is_fifo() {
                fchown(file, Some(uid), None)?;
            }
        }
        Ok(())
    }
}

/// A command, and the container that it belongs into.
pub(crate) struct Command<'a> {
    pub(crate) init: ProcessId,
    pub(crate) cgroup: &'a str,
    pub(crate) process: Process,
    pub(crate) confined: Confined,
}

/// In the order in which they are entered. The last one takes the rights away that the others need.
const NAMESPACES: [(&str, CloneFlags); 6] = [
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("user", CloneFlags::CLONE_NEWUSER),
];

/// A namespace that is not this process's own.
fn foreign(pid: i32, name: &str) -> io::Result<Option<File>> {
    let theirs = File::open(format!("/proc/{pid}/ns/{name}"))?;
    let ours = fs::metadata(format!("/proc/self/ns/{name}"))?;
    let data = theirs.metadata()?;
    Ok(Some(theirs).filter(|_| (data.dev(), data.ino()) != (ours.dev(), ours.ino())))
}

/// The namespaces of a process that lives: those to enter, and the one for processes.
pub(crate) struct Namespaces {
    entered: Vec<(File, CloneFlags, &'static str)>,
    processes: Option<File>,
}

impl Namespaces {
    pub(crate) fn of(init: ProcessId) -> io::Result<Self> {
        let mut entered = Vec::new();
        for (name, flag) in NAMESPACES {
            entered.extend(foreign(init.pid, name)?.map(|file| (file, flag, name)));
        }
        let processes = foreign(init.pid, "pid")?;
        // Another process may have got the pid while these were opened.
        match init.is_alive() {
            true => Ok(Self { entered, processes }),
            false => Err(io::Error::other("the container's first process is gone")),
        }
    }

    /// Enters all but that of processes, which holds for children only.
    fn enter(&self) -> Result<(), String> {
        for (file, flag, name) in &self.entered {
            let entered = match *flag {
                CloneFlags::CLONE_NEWUSER => enter_users(file),
                flag => setns(file, flag),
            };
            entered.map_err(|errno| format!("cannot enter the {name} namespace: {}", errno.desc()))?;
        }
        Ok(())
    }

    /// Enters the mounts alone.
    pub(crate) fn enter_mounts(&self) -> Result<(), String> {
        let mounts = self.entered.iter().filter(|(_, flag, _)| *flag == CloneFlags::CLONE_NEWNS);
        for (file, flag, _) in mounts {
            setns(file, *flag).map_err(|errno| format!("cannot enter the container: {}", errno.desc()))?;
        }
        Ok(())
    }
}

/// Runs a command; returns once its program was executed. To be called in a child of the shim.
pub(crate) fn run(command: Command<'_>, stdio: Stdio) -> Result<ProcessId, String> {
    let said = |what: &'static str| move |err: io::Error| format!("{what}: {err}");
    let namespaces = Namespaces::of(command.init).map_err(said("cannot enter the container"))?;
    // What is about to be seen by the container still runs the agent's program: nobody in there may look into it.
    nix::sys::prctl::set_dumpable(false).map_err(|errno| errno.desc().to_owned())?;
    if let Some(processes) = &namespaces.processes {
        setns(processes, CloneFlags::CLONE_NEWPID)
            .map_err(|errno| format!("pid namespace: {}", errno.desc()))?;
    }
    let (mut from_parent, mut go) = waiting_pipe().map_err(said("pipe"))?;
    let (mut said_by_child, to_parent) = waiting_pipe().map_err(said("pipe"))?;
    // SAFETY: this child has one thread.
    let child = match unsafe { fork() }.map_err(|errno| format!("fork: {}", errno.desc()))? {
        ForkResult::Parent { child } => child.as_raw(),
        ForkResult::Child => {
            drop((go, said_by_child));
            if from_parent.read(&mut [0]).ok() != Some(1) {
                // The parent died before this process was in its cgroup.
                exit(Vec::new(), || 1);
            }
            let words = become_it(&command, &namespaces, stdio);
            let mut to_parent = &to_parent;
            let _ = to_parent.write_all(words.as_bytes());
            exit(Vec::new(), || 1);
        }
    };
    drop((from_parent, to_parent, stdio));
    let score = command.process.oom_score_adj().unwrap_or(0).to_string();
    let placed = cgroup::join(command.cgroup, child)
        .and_then(|()| fs::write(format!("/proc/{child}/oom_score_adj"), score))
        .and_then(|()| ProcessId::of(child))
        .and_then(|process| go.write_all(b"1").map(|()| process));
    drop(go);
    let mut words = String::new();
    let heard = said_by_child.read_to_string(&mut words);
    match (placed, heard, words.is_empty()) {
        (Ok(process), Ok(_), true) => Ok(process),
        (placed, ..) => {
            let _ = waitpid(Pid::from_raw(child), None);
            Err(placed.err().map_or(words, |err| format!("cannot place the command: {err}")))
        }
    }
}

/// Never comes back where all goes well; else says why not.
fn become_it(command: &Command<'_>, namespaces: &Namespaces, stdio: Stdio) -> String {
    match try_become(command, namespaces, stdio) {
        Ok(never) => match never {},
        Err(words) => words,
    }
}

fn try_become(
    command: &Command<'_>,
    namespaces: &Namespaces,
    stdio: Stdio,
) -> Result<std::convert::Infallible, String> {
    let errno = |what: &'static str| move |errno: nix::errno::Errno| format!("{what}: {}", errno.desc());
    let process = &command.process;
    setsid().map_err(errno("setsid"))?;
    let apparmor = process.apparmor_profile().as_ref().map(|name| apparmor_file(name)).transpose()?;
    namespaces.enter()?;
    match stdio {
        Stdio::Files { stdin, stdout, stderr } => attach(&stdin, &stdout, &stderr),
        Stdio::Terminal { console, size } => {
            let terminal = terminal::open(&console, size, process.user().uid())?;
            attach(&terminal, &terminal, &terminal)
        }
    }
    .map_err(errno("standard input and output"))?;
    let (uid, gid) = (process.user().uid(), process.user().gid());
    // As the first process did: a folder that only root may enter is entered before root is given up.
    let entered = nix::unistd::chdir(process.cwd());
    let groups = process.user().additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid));
    setgroups(&groups.collect::<Vec<_>>()).map_err(errno("setgroups"))?;
    let syscall = create_syscall();
    let told = |what: &'static str| move |err: libcontainer::syscall::SyscallError| format!("{what}: {err}");
    become_user(uid, gid).map_err(errno("user and group"))?;
    if entered.is_err() {
        nix::unistd::chdir(process.cwd()).map_err(errno("working directory"))?;
    }
    let inside = nix::unistd::getcwd().map_err(errno("working directory"))?;
    if !inside.is_absolute() {
        return Err("the working directory is not inside the container".to_owned());
    }
    syscall.close_range(0).map_err(told("close_range"))?;
    if let Some((file, text)) = apparmor {
        nix::unistd::write(file.as_fd(), text.as_bytes()).map_err(errno("AppArmor profile"))?;
    }
    if process.no_new_privileges() == Some(true) {
        nix::sys::prctl::set_no_new_privs().map_err(errno("no_new_privs"))?;
    }
    libcontainer::capabilities::reset_effective(syscall.as_ref()).map_err(told("capabilities"))?;
    if let Some(capabilities) = process.capabilities() {
        libcontainer::capabilities::drop_privileges(capabilities, syscall.as_ref())
            .map_err(told("capabilities"))?;
    }
    let env = process.env().iter().flatten().filter_map(|entry| entry.split_once('='));
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    command.confined.setup_envs(env).map_err(|err| err.to_string())?;
    let mut spec = Spec::default();
    spec.set_process(Some(process.clone()));
    let failed = command.confined.exec(&spec);
    Err(failed.err().map_or_else(|| "exec came back".to_owned(), |err| err.to_string()))
}

/// Keeps the capabilities that a change of the user would take: what may stay is decided next.
fn become_user(uid: u32, gid: u32) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    nix::sys::prctl::set_keepcaps(true)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    nix::sys::prctl::set_keepcaps(false)
}

fn attach(stdin: &File, stdout: &File, stderr: &File) -> nix::Result<()> {
    dup2_stdin(stdin)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)
}

/// The file that takes the profile, opened while the node's `/proc` is still there, and what to write.
fn apparmor_file(profile: &str) -> Result<(File, String), String> {
    let open = |path: &str| File::options().write(true).open(path);
    let file = open("/proc/self/attr/apparmor/exec").or_else(|_| open("/proc/self/attr/exec"));
    let file = file.map_err(|err| format!("AppArmor profile {profile}: {err}"))?;
    Ok((file, format!("exec {profile}")))
}
