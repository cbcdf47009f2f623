//! A command in a container that somebody talks to: its ends are descriptors of this process, the shim only starts it and
//! tells how it ended.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;

use gannet_agent_shim::frame::encode;
use gannet_agent_shim::{Action, PodLayout, Reply, Request, ServerFrame, Size, VERSION, descriptors};
use gannet_protocols_model::PodUid;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use crate::connection::{Receiver, Sender, split};
use crate::error::RuntimeError;

/// A command to talk to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttachSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `NAME=value`, beside what the container has.
    pub env: Vec<String>,
    /// Rows and columns of its terminal; without one where there is none.
    pub terminal: Option<Size>,
    /// It reads what is written to [`ExecSession::stdin`]; else nothing. With a terminal it always does.
    pub stdin: bool,
}

/// A running command. Dropping this kills it, and what it started in its session.
#[derive(Debug)]
pub struct ExecSession {
    /// Its standard input; dropping it is the end of the input.
    pub stdin: Option<Stream>,
    /// Its standard output; with a terminal absent.
    pub stdout: Option<Stream>,
    /// Its standard error; with a terminal absent.
    pub stderr: Option<Stream>,
    /// The other end of its terminal, for reading and writing. Reading fails (`EIO`) once nobody has the terminal open.
    pub terminal: Option<Stream>,
    pod: PodUid,
    receiver: Receiver,
    /// The command ends when this is closed.
    _sender: Sender,
}

/// One end of a pipe, or of a terminal.
#[derive(Debug)]
pub struct Stream(AsyncFd<OwnedFd>);

impl Stream {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        #[allow(deprecated, reason = "what is wrong with it cannot happen with a descriptor that is owned")]
        let watched = AsyncFd::new(fd)?;
        Ok(Self(watched))
    }

    /// Reads what is there, waiting for something; 0 at the end.
    ///
    /// # Errors
    /// The other end is gone, as with a terminal that nobody has open.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut *into)?)) {
                Ok(Err(err)) if err.kind() == io::ErrorKind::Interrupted => {}
                Ok(outcome) => return outcome,
                Err(_not_now) => {}
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The other end is gone.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                Ok(Err(err)) if err.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => bytes = &bytes[written?..],
                Err(_not_now) => {}
            }
        }
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl ExecSession {
    /// Tells the command that its terminal has another size; without one there is nothing to tell.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        let size =
            rustix::termios::Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(terminal, size)?)
    }

    /// Waits for its end: the exit code; 128 and the signal's number when it was killed. May be cancelled and asked again.
    ///
    /// # Errors
    /// The shim died: nobody knows how the command ended, or whether it did.
    pub async fn wait(&mut self) -> Result<i32, RuntimeError> {
        match next(&mut self.receiver, &self.pod).await? {
            Reply::Executed(outcome) => Ok(outcome.exit_code),
            other => Err(RuntimeError::unexpected(&other)),
        }
    }
}

async fn next(receiver: &mut Receiver, pod: &PodUid) -> Result<Reply, RuntimeError> {
    let frame = receiver.receive::<ServerFrame>().await.map_err(RuntimeError::io("talk to the shim"))?;
    let frame = frame.ok_or_else(|| RuntimeError::ShimLost { pod: pod.clone() })?;
    match (frame.reply, frame.error) {
        (Some(reply), _) => Ok(reply),
        (None, Some(failure)) => Err(RuntimeError::Refused(failure)),
        (None, None) => Err(RuntimeError::later_words()),
    }
}

/// The ends that stay here, and those that go.
#[derive(Default)]
struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    console: Option<StdStream>,
    theirs: Vec<OwnedFd>,
}

impl Ends {
    fn new(spec: &AttachSpec) -> io::Result<Self> {
        let mut ends = Self::default();
        if spec.terminal.is_some() {
            let (ours, theirs) = StdStream::pair()?;
            ends.console = Some(ours);
            ends.theirs.push(theirs.into());
            return Ok(ends);
        }
        if spec.stdin {
            let (read, write) = io::pipe()?;
            ends.stdin = Some(write.into());
            ends.theirs.push(read.into());
        }
        for ours in [&mut ends.stdout, &mut ends.stderr] {
            let (read, write) = io::pipe()?;
            *ours = Some(read.into());
            ends.theirs.push(write.into());
        }
        Ok(ends)
    }
}

/// Asks the shim, over a connection of its own, to run a command.
pub(crate) async fn attach(
    pod: PodUid,
    layout: PodLayout,
    container: String,
    spec: AttachSpec,
) -> Result<ExecSession, RuntimeError> {
    let ask = move || -> io::Result<(StdStream, Ends)> {
        let mut ends = Ends::new(&spec)?;
        let AttachSpec { argv, env, terminal, stdin } = spec;
        let action = Action::Attach { container, argv, env, terminal, stdin };
        let frame = encode(&Request { v: VERSION, seq: 1, action })?;
        let dir = File::open(layout.dir())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(PodLayout::SOCKET);
        let stream = StdStream::connect(path)?;
        let going: Vec<BorrowedFd<'_>> = ends.theirs.iter().map(AsFd::as_fd).collect();
        let sent = descriptors::send(&stream, &frame, &going)?;
        io::Write::write_all(&mut &stream, &frame[sent..])?;
        ends.theirs.clear();
        stream.set_nonblocking(true)?;
        Ok((stream, ends))
    };
    let asked = tokio::task::spawn_blocking(ask).await.unwrap_or_else(|err| Err(io::Error::other(err)));
    let failed = || RuntimeError::io("talk to the shim");
    let (stream, ends) = asked.map_err(failed())?;
    let (mut receiver, sender) = split(UnixStream::from_std(stream).map_err(failed())?);
    match next(&mut receiver, &pod).await? {
        Reply::Started { .. } => {}
        other => return Err(RuntimeError::unexpected(&other)),
    }
    let terminal = ends.console.as_ref().map(terminal_of).transpose();
    let open = |fd: Option<OwnedFd>| fd.map(Stream::new).transpose().map_err(RuntimeError::io("use a pipe"));
    Ok(ExecSession {
        stdin: open(ends.stdin)?,
        stdout: open(ends.stdout)?,
        stderr: open(ends.stderr)?,
        terminal: open(terminal.map_err(RuntimeError::io("get the terminal"))?)?,
        pod,
        receiver,
        _sender: sender,
    })
}

/// It was sent before the command was started, so it is there.
fn terminal_of(console: &StdStream) -> io::Result<OwnedFd> {
    console.set_nonblocking(true)?;
    let (_, descriptors) = descriptors::receive(console, &mut [0; 8])?;
    descriptors.into_iter().next().ok_or_else(|| io::Error::other("no terminal came"))
}
