//! `gannet-agent exec`: a command in a container, on this terminal.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::client;
use crate::cli::ExecArgs;
use crate::control::{ExecOf, Frame, Request, container_named, pod_named, read_frame, to_line, write_frame};

/// Read from the terminal at once.
const BLOCK: usize = 16 << 10;
/// What was typed and not sent yet.
const TYPED: usize = 4;
/// Exit codes are a byte; what does not fit is a failure all the same.
const STRANGE: u8 = 255;

/// Runs a command, and ends as it does.
pub(crate) fn exec(args: &ExecArgs) -> anyhow::Result<ExitCode> {
    let (pods, agent) = client::pods(&args.data.data_dir)?;
    if !agent {
        return Err(anyhow!(client::no_agent(&args.data.data_dir)));
    }
    let pod = pod_named(&pods, &args.pod).map_err(|e| anyhow!(e))?;
    let (container, note) = container_named(pod, args.container.as_deref()).map_err(|e| anyhow!(e))?;
    if let Some(note) = note {
        eprintln!("{note}");
    }
    let tty = args.tty && std::io::stdin().is_terminal();
    if args.tty && !tty {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    let of = ExecOf {
        pod: pod.uid.to_string(),
        container: Some(container),
        argv: args.command.clone(),
        stdin: args.stdin,
        tty: tty.then(window),
        term: std::env::var("TERM").ok().filter(|_| tty),
    };
    let stream = client::connect(&args.data.data_dir)?.context("the agent ended")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    // Restored when dropped, whatever happens.
    let raw = if tty { Some(Raw::enter()?) } else { None };
    let last = runtime.block_on(talk(stream, of));
    drop(raw);
    match last? {
        Frame::Exit(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(STRANGE))),
        Frame::Failed(code, why) => {
            eprintln!("error: {why}");
            Ok(ExitCode::from(code))
        }
        _ => Err(anyhow!("the agent ended, and the command with it")),
    }
}

/// Rows and columns of this terminal.
fn window() -> (u16, u16) {
    tcgetwinsize(std::io::stdin().as_fd()).map_or((24, 80), |size| (size.ws_row, size.ws_col))
}

/// The terminal hands on every key, also Ctrl-C: it is for the command.
struct Raw(Termios);

impl Raw {
    fn enter() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd()).context("the terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Drain, &raw).context("the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Drain, &self.0);
    }
}

/// Carries bytes until the last frame.
async fn talk(stream: StdStream, of: ExecOf) -> anyhow::Result<Frame> {
    stream.set_nonblocking(true).context("the control socket")?;
    let (read, mut write) = UnixStream::from_std(stream).context("the control socket")?.into_split();
    let (stdin, tty) = (of.stdin, of.tty.is_some());
    write.write_all(&to_line(&Request::Exec(of))).await.context("ask the agent")?;
    let (to, mut typed) = mpsc::channel(TYPED);
    let mut sizes = signal(SignalKind::window_change()).context("signals")?;
    if stdin {
        std::thread::spawn(move || read_input(&to));
    }
    let sending = async {
        let mut open = stdin;
        loop {
            let frame = tokio::select! {
                frame = typed.recv(), if open => match frame {
                    Some(frame) => frame,
                    None => {
                        open = false;
                        continue;
                    }
                },
                _ = sizes.recv(), if tty => {
                    let (rows, columns) = window();
                    Frame::Resize(rows, columns)
                }
                else => std::future::pending().await,
            };
            if write_frame(&mut write, &frame).await.is_err() {
                // The end of the answers tells more.
                std::future::pending::<()>().await;
            }
        }
    };
    let receiving = async {
        let mut read = BufReader::new(read);
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        loop {
            match read_frame(&mut read).await.context("read from the agent")? {
                Some(Frame::Stdout(bytes)) => {
                    out.write_all(&bytes).and_then(|()| out.flush()).context("write")?
                }
                Some(Frame::Stderr(bytes)) => err.write_all(&bytes).context("write")?,
                Some(last @ (Frame::Exit(_) | Frame::Failed(..))) => return Ok(last),
                Some(_) => anyhow::bail!("the agent's answer does not parse; is it of another release?"),
                None => anyhow::bail!("the agent ended, and the command with it"),
            }
        }
    };
    tokio::select! {
        last = receiving => last,
        last = sending => last,
    }
}

/// On a thread, since a read of the terminal cannot be broken off; it ends with the process.
fn read_input(to: &mpsc::Sender<Frame>) {
    let mut input = std::io::stdin().lock();
    let mut block = vec![0; BLOCK];
    loop {
        let count = match input.read(&mut block) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
            Ok(count) => count,
        };
        // An empty frame is the end.
        if to.blocking_send(Frame::Stdin(block[..count].to_vec())).is_err() || count == 0 {
            return;
        }
    }
}
