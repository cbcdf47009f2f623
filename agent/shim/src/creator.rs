//! The calls into libcontainer. Each runs in a child of its own, forked by the shim, which ends right after.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::Path;
use std::rc::Rc;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::{Process, Spec};

use crate::command::join::{self, Command, Stdio};
use crate::diagnostics;
use crate::executor::Confined;
use crate::fault;
use crate::kernel::cgroup;
use crate::kernel::devices;
use crate::layout::PodLayout;
use crate::prepare::{FILTER, LAUNCH, Launch};
use crate::process::ProcessId;
use crate::record::read_json;

/// Every cause, outermost first, each said once.
fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut next = err.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

fn libcontainer(err: LibcontainerError) -> String {
    chain(&err)
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> String + use<'_> {
    move |err| format!("{}: {err}", path.display())
}

/// A FIFO is opened for both directions, so that a container whose shim died neither gets SIGPIPE nor loses a line: what
/// it writes waits for the next shim.
pub(crate) fn open_stdio(path: &Path, blocking: bool) -> io::Result<File> {
    let flags = if blocking { libc::O_CLOEXEC } else { libc::O_CLOEXEC | libc::O_NONBLOCK };
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// A compiled seccomp filter, where there is one.
type Filter = Option<Rc<[u8]>>;

fn launch(bundle: &Path) -> Result<(Launch, Filter), String> {
    let path = bundle.join(LAUNCH);
    let launch: Launch =
        read_json(&path).map_err(io_at(&path))?.ok_or_else(|| format!("{} is missing", path.display()))?;
    let filter = bundle.join(FILTER);
    let filter = if launch.filtered { Some(fs::read(&filter).map_err(io_at(&filter))?.into()) } else { None };
    Ok((launch, filter))
}

fn null() -> Result<OwnedFd, String> {
    File::open("/dev/null").map(Into::into).map_err(|err| format!("/dev/null: {err}"))
}

/// Creates a container: its first process waits for [`start`].
pub(crate) fn create(
    layout: &PodLayout,
    id: &str,
    bundle: &Path,
    diagnostics: &File,
) -> Result<ProcessId, String> {
    fault::point("creator.create.begun");
    diagnostics::install(diagnostics);
    let (launch, filter) = launch(bundle)?;
    let stdio = |stream| {
        let path = layout.stdio(id, stream);
        // The container's user may open /dev/stdout anew.
        chown(&path, Some(launch.uid), None).and_then(|()| open_stdio(&path, true)).map_err(io_at(&path))
    };
    if let Some(stage) = &launch.stage {
        stage.lay(bundle)?;
    }
    let executor =
        Confined { filter, capabilities: launch.capabilities, diagnostics: diagnostics.as_raw_fd() };
    let container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(layout.runc())
        .map_err(libcontainer)?
        .with_executor(executor)
        .with_stdin(null()?)
        .with_stdout(stdio("stdout")?)
        .with_stderr(stdio("stderr")?)
        .validate_id()
        .map_err(libcontainer)?
        .as_init(bundle)
        .with_systemd(false)
        .with_detach(true)
        .build()
        .map_err(libcontainer)?;
    fault::point("creator.create.built");
    // All that ran in the cgroup until now is code of ours. What fails is refused, and the container unmade.
    if let Some(dir) = cgroup::unified_devices(&launch.cgroup) {
        devices::confine(&dir, &launch.devices).map_err(|err| format!("cannot confine devices: {err}"))?;
    }
    if let Some(limit) = launch.pids_limit {
        cgroup::set_pids_max(&launch.cgroup, limit).map_err(|err| format!("pids.max: {err}"))?;
    }
    fault::point("creator.create.confined");
    let pid = container.pid().ok_or("libcontainer gave no pid")?.as_raw();
    ProcessId::of(pid).map_err(|err| format!("the container's first process is gone: {err}"))
}

/// Lets the first process of a created container execute its program.
pub(crate) fn start(layout: &PodLayout, id: &str) -> Result<(), String> {
    fault::point("creator.start.begun");
    let mut container = Container::load(layout.runc().join(id)).map_err(libcontainer)?;
    container.start().map_err(libcontainer)?;
    fault::point("creator.start.told");
    Ok(())
}

/// A command for [`exec`].
pub(crate) struct Wanted<'a> {
    pub(crate) init: ProcessId,
    pub(crate) bundle: &'a Path,
    pub(crate) argv: &'a [String],
    /// `NAME=value`, beside the container's own.
    pub(crate) env: &'a [String],
}

/// Runs a command in a container, as its first process runs: same user, capabilities, environment, limits and filter.
pub(crate) fn exec(wanted: &Wanted<'_>, stdio: Stdio, diagnostics: &File) -> Result<ProcessId, String> {
    diagnostics::install(diagnostics);
    let (launch, filter) = launch(wanted.bundle)?;
    let config = wanted.bundle.join("config.json");
    let spec = Spec::load(&config).map_err(|err| format!("{}: {err}", config.display()))?;
    let mut process: Process = spec.process().clone().ok_or("the bundle has no process")?;
    process.set_args(Some(wanted.argv.to_vec()));
    let env = process.env().iter().flatten().chain(wanted.env).cloned().collect();
    process.set_env(Some(env));
    let confined =
        Confined { filter, capabilities: launch.capabilities, diagnostics: diagnostics.as_raw_fd() };
    stdio.give(launch.uid).map_err(|err| format!("standard output: {err}"))?;
    join::run(Command { init: wanted.init, cgroup: &launch.cgroup, process, confined }, stdio)
}

/// Removes all that libcontainer and the kernel keep of a container, and kills what is left of it.
pub(crate) fn remove(layout: &PodLayout, id: &str, cgroup: &str) -> Result<(), String> {
    fault::point("creator.remove.begun");
    cgroup::remove(cgroup).map_err(|err| err.to_string())?;
    fault::point("creator.remove.cgroup");
    let state = layout.runc().join(id);
    match fs::remove_dir_all(&state) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(io_at(&state)(err)),
        _ => Ok(()),
    }
}
