//! The agent's side of a command in a container: bytes between the socket and the command's own ends.

use std::io;
use std::time::Duration;

use gannet_agent_runtime::{AttachSpec, ErrorKind, ExecSession, RuntimeError, Size, Stream};
use gannet_protocols_model::{PodStatus, PodUid};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::find::{container_named, pod_named};
use super::frame::{Frame, read_frame, write_frame};
use super::protocol::ExecOf;
use crate::executor::{Tools, chain};

/// Read at once.
const BLOCK: usize = 16 << 10;
/// Output that waits for the socket: who reads slowly makes the command wait.
const FRAMES: usize = 4;
/// How long after its end a command's output is waited for: what it left running may hold it open for ever.
const DRAIN: Duration = Duration::from_millis(500);
/// A longer name of a terminal is none.
const LONGEST_TERM: usize = 64;
/// As shells have it: the program is not there, or cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs a command, and carries bytes until it has ended or whoever asked has gone; then it is killed.
pub(super) async fn exec<'a>(
    tools: &Tools,
    statuses: impl IntoIterator<Item = &'a PodStatus>,
    of: ExecOf,
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let started = match running(statuses, &of) {
        Ok((uid, id)) => {
            let size = of.tty.map(|(rows, cols)| Size { rows, cols });
            let spec = AttachSpec {
                argv: of.argv,
                env: environment(of.term, size),
                terminal: size,
                stdin: of.stdin,
            };
            tools
                .runtime
                .attach_exec(&uid, &id, spec)
                .await
                .map_err(|error| (exit_code(&error), chain(&error)))
        }
        Err(why) => Err((1, why)),
    };
    match started {
        Ok(session) => relay(session, from, to).await,
        Err((code, why)) => write_frame(&mut to, &Frame::Failed(code, why)).await,
    }
}

/// The run that is meant.
fn running<'a>(
    statuses: impl IntoIterator<Item = &'a PodStatus>,
    of: &ExecOf,
) -> Result<(PodUid, String), String> {
    let pod = pod_named(statuses, &of.pod)?;
    let (name, _) = container_named(pod, of.container.as_deref())?;
    let status = pod.init_containers.iter().chain(&pod.containers).find(|c| c.name == name);
    let runs = status.filter(|c| matches!(c.state, gannet_protocols_model::ContainerState::Running { .. }));
    let id = runs.and_then(|c| c.container_id.as_deref()).and_then(|id| id.split_once('/'));
    let (_, id) = id.ok_or_else(|| format!("container {name:?} in pod {:?} does not run", pod.name))?;
    Ok((pod.uid.clone(), id.to_owned()))
}

fn environment(term: Option<String>, size: Option<Size>) -> Vec<String> {
    let sane = |name: &String| {
        name.len() <= LONGEST_TERM && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b))
    };
    size.map(|_| format!("TERM={}", term.filter(sane).unwrap_or_else(|| "xterm".to_owned())))
        .into_iter()
        .collect()
}

fn exit_code(error: &RuntimeError) -> u8 {
    let words = chain(error).to_ascii_lowercase();
    match error.kind() {
        Some(ErrorKind::Start) if words.contains("no such file") || words.contains("not found") => NOT_FOUND,
        Some(ErrorKind::Start) => NOT_EXECUTABLE,
        _ => 1,
    }
}

async fn relay(
    mut session: ExecSession,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (stdin, stdout, stderr) = (session.stdin.take(), session.stdout.take(), session.stderr.take());
    let terminal = session.terminal.take();
    let (frames, mut waiting) = mpsc::channel(FRAMES);
    let output = async {
        let out = pump(terminal.as_ref().or(stdout.as_ref()), frames.clone(), Frame::Stdout);
        let err = pump(stderr.as_ref(), frames.clone(), Frame::Stderr);
        tokio::join!(out, err);
    };
    let last = async {
        tokio::pin!(output);
        let mut drained = false;
        let ended = loop {
            tokio::select! {
                ended = session.wait() => break ended,
                () = &mut output, if !drained => drained = true,
            }
        };
        if !drained {
            let _ = timeout(DRAIN, &mut output).await;
        }
        ended.map_or_else(|error| Frame::Failed(1, chain(&error)), Frame::Exit)
    };
    let sending = async {
        tokio::pin!(last);
        loop {
            tokio::select! {
                biased;
                Some(frame) = waiting.recv() => write_frame(&mut to, &frame).await?,
                frame = &mut last => {
                    while let Ok(frame) = waiting.try_recv() {
                        write_frame(&mut to, &frame).await?;
                    }
                    return write_frame(&mut to, &frame).await;
                }
            }
        }
    };
    tokio::select! {
        sent = sending => sent,
        gone = receive(&mut from, stdin, terminal.as_ref()) => gone,
    }
}

/// Hands on what the client sends, until it goes.
async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    mut stdin: Option<Stream>,
    terminal: Option<&Stream>,
) -> io::Result<()> {
    loop {
        match read_frame(from).await? {
            // A terminal's input has no end of its own.
            Some(Frame::Stdin(bytes)) if bytes.is_empty() => stdin = None,
            Some(Frame::Stdin(bytes)) => {
                let Some(pipe) = terminal.or(stdin.as_ref()) else { continue };
                // A command that reads no more is no error of whoever writes.
                if pipe.write_all(&bytes).await.is_err() {
                    stdin = None;
                }
            }
            Some(Frame::Resize(rows, columns)) => {
                let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                // It may have just ended.
                let _ = terminal.map(|terminal| tcsetwinsize(terminal, size));
            }
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of a client")),
            None => return Ok(()),
        }
    }
}

async fn pump(from: Option<&Stream>, to: mpsc::Sender<Frame>, frame: fn(Vec<u8>) -> Frame) {
    let Some(from) = from else { return };
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block).await {
            // A terminal whose last process ended says EIO.
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if to.send(frame(block[..count].to_vec())).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_terminal_is_handed_on_where_it_is_one() {
        let size = Some(Size { rows: 1, cols: 1 });
        assert_eq!(environment(Some("vt100".into()), size), ["TERM=vt100"]);
        assert_eq!(environment(Some("x; rm".into()), size), ["TERM=xterm"]);
        assert_eq!(environment(None, size), ["TERM=xterm"]);
        assert!(environment(Some("vt100".into()), None).is_empty());
    }
}
