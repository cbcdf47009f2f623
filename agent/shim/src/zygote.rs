//! The zygote: executed anew by the agent, one thread, warm; forks a shim on request and ends with the agent.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

use crate::fault;
use crate::fork as forking;
use crate::frame::{Decoder, encode};
use crate::layout::PodLayout;
use crate::protocol::{VERSION, ZygoteReply, ZygoteRequest};
use crate::shim;
use crate::title;

/// A shim answers in milliseconds; longer means that it hangs.
const READY_TIME: Duration = Duration::from_secs(10);

/// The control socket as the agent's runtime hands it over: standard input, which becomes `/dev/null`.
///
/// # Errors
/// There is no `/dev/null`, or no descriptor left.
pub fn control_from_stdin() -> io::Result<OwnedFd> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(control)
}

/// Serves the agent until it closes its end. To be called first thing in `main`, before anything starts a thread.
pub fn zygote_main(control: OwnedFd) -> ExitCode {
    umask(Mode::from_bits_truncate(0o022));
    let _ = std::env::set_current_dir("/");
    let _ = nix::sys::prctl::set_name(c"gannet-zygote");
    match serve(control.into()) {
        Ok(()) => ExitCode::SUCCESS,
        // The agent is gone or broken; it will make a new zygote when it needs one.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(mut control: UnixStream) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut bytes = [0; 4096];
    loop {
        match control.read(&mut bytes)? {
            0 => return Ok(()),
            count => decoder.push(&bytes[..count]),
        }
        while let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            let request: Result<ZygoteRequest, _> = serde_json::from_slice(&frame);
            let forked = request
                .map_err(io::Error::other)
                .and_then(|request| fork_shim(PodLayout::new(request.pod_dir)));
            let reply = ZygoteReply { v: VERSION, error: forked.err().map(|err| err.to_string()) };
            control.write_all(&encode(&reply)?)?;
        }
    }
}

/// Forks twice, so that the shim is nobody's child and lives on without agent and zygote.
fn fork_shim(layout: PodLayout) -> io::Result<()> {
    fault::point("zygote.fork.asked");
    let (mut read, write) = forking::pipe()?;
    // SAFETY: the zygote has one thread.
    let between = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => forking::exit(vec![write.as_raw_fd()], || {
            let _ = setsid();
            fault::point("zygote.fork.between");
            // SAFETY: as above.
            match unsafe { fork() } {
                Ok(ForkResult::Parent { .. }) => 0,
                Ok(ForkResult::Child) => forking::exit(vec![write.as_raw_fd()], || shim_main(layout, &write)),
                Err(_) => 1,
            }
        }),
    };
    drop(write);
    waitpid(Pid::from_raw(between.as_raw()), None)?;
    wait_readable(&read)?;
    forking::read_report::<()>(&mut read).map_err(io::Error::other)
}

fn wait_readable(file: &File) -> io::Result<()> {
    let millis = u16::try_from(READY_TIME.as_millis()).unwrap_or(u16::MAX);
    match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::from(millis))? {
        0 => Err(io::Error::other("the shim is not ready in time")),
        _ => Ok(()),
    }
}

fn shim_main(layout: PodLayout, ready: &File) -> i32 {
    let _ = setsid();
    let opened = set_up(&layout).and_then(|()| shim::open(layout));
    let (mut shim, outcome) = match opened {
        Ok(shim) => (Some(shim), Ok(())),
        Err(err) => (None, Err(err.to_string())),
    };
    forking::report(ready, &outcome);
    // The zygote waits for no more; a child must not hold this either.
    forking::close(ready);
    match shim.as_mut().map(shim::Shim::run) {
        Some(Ok(())) => 0,
        _ => 1,
    }
}

fn set_up(layout: &PodLayout) -> io::Result<()> {
    // A container's first process is made by a child of the shim that ends: it then becomes the shim's.
    nix::sys::prctl::set_child_subreaper(true)?;
    nix::sys::prctl::set_name(c"gannet-shim")?;
    title::set(&format!("gannet-agent shim {}", layout.uid()));
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(OpenOptions::new().create(true).append(true).open(layout.stderr())?)?;
    // Small, and all that knows how its containers end: among the last to be killed. Not everybody may ask for that.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-998");
    Ok(())
}
