use std::time::Duration;

use gannet_agent_runtime::{AttachSpec, ErrorKind, ExecSession, Size, Stream};
use tokio::time::timeout;

use crate::fixture::Fixture;

const TIME: Duration = Duration::from_secs(20);

fn spec(argv: &[&str]) -> AttachSpec {
    AttachSpec { argv: argv.iter().map(ToString::to_string).collect(), ..AttachSpec::default() }
}

/// All that comes until the end.
async fn drain(stream: &Stream) -> String {
    let mut all = Vec::new();
    let mut part = [0; 1024];
    while let Ok(count) = timeout(TIME, stream.read(&mut part)).await.expect("output ends") {
        if count == 0 {
            break;
        }
        all.extend_from_slice(&part[..count]);
    }
    String::from_utf8(all).unwrap()
}

/// What comes until these words are there.
pub(crate) async fn until(stream: &Stream, words: &str) -> String {
    let mut all = String::new();
    let mut part = [0; 1024];
    while !all.contains(words) {
        let count =
            timeout(TIME, stream.read(&mut part)).await.unwrap_or_else(|_| panic!("no {words:?} in {all:?}"));
        let count = count.unwrap();
        assert!(count > 0, "it ended before {words:?}: {all:?}");
        all.push_str(std::str::from_utf8(&part[..count]).unwrap());
    }
    all
}

async fn wait(session: &mut ExecSession) -> i32 {
    timeout(TIME, session.wait()).await.expect("the command ends").unwrap()
}

pub(crate) async fn pipes() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    fixture.run(&pod, fixture.container("a-0", "sleep 1000")).await;
    let script = "cat; echo err >&2; echo $EXTRA; exit 3";
    let wanted =
        AttachSpec { stdin: true, env: vec!["EXTRA=more".to_owned()], ..spec(&["sh", "-c", script]) };
    let mut session = fixture.runtime().attach_exec(&pod, "a-0", wanted).await.unwrap();
    let stdin = session.stdin.take().unwrap();
    // More than a pipe holds.
    let text = "0123456789abcdef".repeat(20_000);
    let (stdout, stderr) = (session.stdout.take().unwrap(), session.stderr.take().unwrap());
    let write = async {
        stdin.write_all(text.as_bytes()).await.unwrap();
        drop(stdin);
    };
    let ((), out, err) = tokio::join!(write, drain(&stdout), drain(&stderr));
    assert!(out == format!("{text}more\n"), "{} bytes came back", out.len());
    assert_eq!(err, "err\n");
    assert_eq!(wait(&mut session).await, 3);
    // Without an input it reads nothing.
    let mut session = fixture.runtime().attach_exec(&pod, "a-0", spec(&["cat"])).await.unwrap();
    assert!(session.stdin.is_none());
    assert_eq!(wait(&mut session).await, 0);
    // As any other command.
    let argv = ["sh", "-c", "grep -E 'Seccomp:|NoNewPrivs|CapBnd' /proc/self/status"];
    let session = fixture.runtime().attach_exec(&pod, "a-0", spec(&argv)).await.unwrap();
    let out = drain(session.stdout.as_ref().unwrap()).await;
    for words in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t00000000a00425fb"] {
        assert!(out.contains(words), "{out}");
    }
    for (container, argv, kind, words) in [
        ("a-0", "nosuch", ErrorKind::Start, "exec: \"nosuch\": executable file not found in $PATH"),
        ("b-0", "true", ErrorKind::NotFound, "no container b-0"),
    ] {
        let err = fixture.runtime().attach_exec(&pod, container, spec(&[argv])).await.unwrap_err();
        assert_eq!((err.kind(), err.to_string().as_str()), (Some(kind), words));
    }
    fixture.finish().await;
}

pub(crate) async fn a_terminal() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let user = serde_json::json!({"uid": 1000, "gid": 1000});
    let container = fixture.container_with("a-0", &["sleep", "1000"], |spec| spec["process"]["user"] = user);
    fixture.run(&pod, container).await;
    let wanted = AttachSpec { terminal: Some(Size { rows: 33, cols: 99 }), ..spec(&["sh"]) };
    let mut session = fixture.runtime().attach_exec(&pod, "a-0", wanted).await.unwrap();
    let terminal = session.terminal.take().unwrap();
    terminal.write_all(b"stty size; tty; id -u\n").await.unwrap();
    let seen = until(&terminal, "1000\r\n").await;
    assert!(seen.contains("33 99") && seen.contains("/dev/pts/"), "{seen}");
    session.terminal = Some(terminal);
    session.resize(Size { rows: 20, cols: 40 }).unwrap();
    let terminal = session.terminal.as_ref().unwrap();
    terminal.write_all(b"stty size\n").await.unwrap();
    until(terminal, "20 40").await;
    // It is the terminal of a session: the interrupt key reaches what runs in front.
    terminal.write_all(b"echo go; sleep 1000\n").await.unwrap();
    until(terminal, "go\r\n").await;
    // A shell that is about to start something takes the first one for itself.
    let mut part = [0; 1024];
    for _ in 0..100 {
        terminal.write_all(b"\x03").await.unwrap();
        let read = timeout(Duration::from_millis(200), terminal.read(&mut part)).await;
        if read.is_ok_and(|count| part[..count.unwrap()].windows(2).any(|two| two == b"$ ")) {
            break;
        }
    }
    // An interrupt that comes late takes the line with it that was being read: the line is said again.
    let mut back = false;
    for _ in 0..10 {
        terminal.write_all(b"echo back $((40+2))\n").await.unwrap();
        back = timeout(Duration::from_secs(2), until(terminal, "back 42")).await.is_ok();
        if back {
            break;
        }
    }
    assert!(back, "the shell answers no more");
    terminal.write_all(b"exit 7\n").await.unwrap();
    drain(terminal).await;
    assert_eq!(wait(&mut session).await, 7);
    fixture.finish().await;
}

pub(crate) async fn a_command_ends_with_who_talks_to_it() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    fixture.run(&pod, fixture.container("a-0", "sleep 1000")).await;
    for terminal in [None, Some(Size { rows: 24, cols: 80 })] {
        let argv = ["sh", "-c", "trap '' HUP TERM; echo begun; sleep 8765 & sleep 8765"];
        let wanted = AttachSpec { terminal, ..spec(&argv) };
        let session = fixture.runtime().attach_exec(&pod, "a-0", wanted).await.unwrap();
        until(session.stdout.as_ref().or(session.terminal.as_ref()).unwrap(), "begun").await;
        drop(session);
        // Those that ended have no command line, though the container's first process never asks how.
        let count = ["sh", "-c", "cat /proc/[0-9]*/cmdline | grep -c '876[5]'"];
        let deadline = std::time::Instant::now() + TIME;
        loop {
            let left = fixture.exec(&pod, "a-0", &count).await;
            if left == "0\n" {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "the command runs on: {left}");
        }
    }
    fixture.finish().await;
}
