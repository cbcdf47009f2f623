//! What a person at the gateway asks, with the hub away.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fixture::{Node, can_run, processes, until};

/// Writes once more when it is told.
const LATE: &str = "while ! test -e /go; do sleep 0.1; done; echo late; exec sleep 1000";

/// A pod of two containers.
fn two(node: &mut Node, name: &str, main: &str, side: &str) -> gannet_protocols_model::PodEntry {
    let side = json!({"name": "side", "image": "busybox:1", "pull_policy": "IfNotPresent", "args": ["sh", "-c", side]});
    node.pod(name, main, |m| m["containers"].as_array_mut().unwrap().push(side.clone()))
}

fn agent(node: &Node, args: &[&str]) -> Command {
    let mut command = node.inside(env!("CARGO_BIN_EXE_gannet-agent"));
    // Options of the agent come before the command of a container.
    let data = node.data().display().to_string();
    command.arg(args[0]).args(["--data-dir", &data]).args(&args[1..]);
    command
}

fn run(node: &Node, args: &[&str]) -> (i32, String, String) {
    let output = agent(node, args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn logs_of_one_and_of_all_containers() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let web =
        two(&mut node, "web", &format!("echo one; echo two >&2; {LATE}"), &format!("echo aside; {LATE}"));
    node.want(vec![web]);
    node.start(&[]);
    node.wait_running("web");
    until("all is written", || {
        run(&node, &["logs", "web", "--all-containers"]).1.contains("aside").then_some(())
    });

    let (code, out, err) = run(&node, &["logs", "web"]);
    assert_eq!((code, out.as_str()), (0, "one\ntwo\n"));
    assert!(err.contains("Defaulted container \"main\" out of: main, side"), "{err}");
    let all = run(&node, &["logs", "default/web", "--all-containers", "--prefix"]).1;
    assert_eq!(all, "[pod/web/main] one\n[pod/web/main] two\n[pod/web/side] aside\n");
    assert_eq!(run(&node, &["logs", "web", "-c", "side", "--tail", "0"]).1, "");
    assert_eq!(run(&node, &["logs", "web", "-c", "main", "--tail", "1"]).1, "two\n");
    assert_eq!(run(&node, &["logs", "web", "-c", "main", "--since", "1h"]).1, "one\ntwo\n");
    let stamped = run(&node, &["logs", "web", "-c", "side", "--timestamps"]).1;
    let (time, text) = stamped.split_once(' ').unwrap();
    assert!(text == "aside\n" && time.len() == 30 && time.ends_with('Z'), "{stamped}");
    // The beginning of a uid is enough.
    assert_eq!(run(&node, &["logs", &node.uid("web"), "-c", "side"]).1, "aside\n");
    for (args, expect) in [
        (&["logs", "nothing"][..], "is not on this node"),
        (&["logs", "web", "-c", "x"], "is not valid: the pod has main, side"),
        (&["logs", "web", "-c", "main", "--previous"], "previous terminated container"),
    ] {
        let (code, _, err) = run(&node, args);
        assert!(code == 1 && err.contains(expect), "{args:?}: {code} {err}");
    }

    // Followed, of both containers, while they write.
    let mut following = agent(&node, &["logs", "web", "-f", "--all-containers", "--prefix", "--tail", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for container in ["main", "side"] {
        assert_eq!(run(&node, &["exec", "web", "-c", container, "--", "/bin/busybox", "touch", "/go"]).0, 0);
    }
    let mut out = following.stdout.take().unwrap();
    let mut seen = String::new();
    let mut bytes = [0; 256];
    while !(seen.contains("[pod/web/main] late\n") && seen.contains("[pod/web/side] late\n")) {
        let count = out.read(&mut bytes).unwrap();
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn what_is_told_of_pods() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let web = node.pod("web", "exec sleep 1000", |m| {
        m["containers"][0]["liveness"] = json!({"action": {"exec": ["/bin/busybox", "true"]}, "initial_delay_seconds": 0,
            "period_seconds": 5, "timeout_seconds": 5, "success_threshold": 1, "failure_threshold": 3});
    });
    let bad = node.pod("bad", "exit 3", |_| ());
    node.want(vec![web, bad]);
    node.start(&[]);
    node.wait_running("web");
    node.wait("bad", "backing off", |c| c["state"]["waiting"]["reason"] == "CrashLoopBackOff");
    let page = run(&node, &["describe", "bad"]).1;
    for part in ["Name:             bad", "CrashLoopBackOff", "Exit Code:", "Events:\n", "BackOff"] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let page = run(&node, &["describe", "web"]).1;
    assert!(page.contains("exec [/bin/busybox true] delay=0s") && page.contains("Started"), "{page}");
    let json: Value = serde_json::from_str(&run(&node, &["describe", "web", "-o", "json"]).1).unwrap();
    assert_eq!((&json["status"]["name"], &json["manifest"]["version"]), (&json!("web"), &json!(1)));
    let wide = run(&node, &["ps", "-o", "wide"]).1;
    assert!(wide.contains("CONTAINERS") && wide.contains(&node.uid("web")), "{wide}");

    let stats = run(&node, &["stats"]).1;
    assert!(
        stats.starts_with("NAMESPACE   POD") && stats.contains("(node)") && stats.contains("web"),
        "{stats}"
    );
    let stats: Value = serde_json::from_str(&run(&node, &["stats", "web", "-o", "json"]).1).unwrap();
    assert_eq!(stats["pods"].as_array().unwrap().len(), 1);
    assert!(stats["pods"][0]["containers"][0]["usage"]["memory"].as_u64() > Some(0), "{stats}");
    let (code, _, err) = run(&node, &["stats", "nothing"]);
    assert!(code == 1 && err.contains("is not on this node"), "{err}");

    node.terminate();
    for args in [&["describe", "web"][..], &["stats"], &["exec", "web", "--", "true"]] {
        let (code, _, err) = run(&node, args);
        assert!(code == 1 && err.contains("no agent runs with"), "{args:?}: {code} {err}");
    }
}

#[test]
fn commands_in_containers() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let web = two(&mut node, "web", "exec sleep 1000", "exec sleep 1001");
    node.want(vec![web]);
    node.start(&[]);
    node.wait_running("web");
    let sh =
        |script: &str| run(&node, &["exec", "web", "-c", "main", "--", "/bin/busybox", "sh", "-c", script]);
    assert_eq!(sh("echo out; echo err >&2; exit 7"), (7, "out\n".into(), "err\n".into()));
    assert_eq!(sh("cat; echo end"), (0, "end\n".into(), String::new()), "without -i there is no input");
    assert_eq!(sh("kill -9 $$").0, 137);
    let (code, out, _) = sh("head -c 300000 /dev/zero | tr '\\0' x");
    assert_eq!((code, out.len()), (0, 300_000), "all of it");
    let (code, _, err) = run(&node, &["exec", "web", "-c", "main", "--", "/no/such/file"]);
    assert!(code == 127 && err.contains("/no/such/file"), "{code} {err}");
    let (code, _, err) = run(&node, &["exec", "nothing", "--", "true"]);
    assert!(code == 1 && err.contains("is not on this node"), "{code} {err}");

    // What is piped in comes out, and its end is an end.
    let mut cat = agent(&node, &["exec", "-i", "web", "-c", "side", "--", "/bin/busybox", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sent: Vec<u8> = (0..500_000_u32).map(|n| (n % 253) as u8).collect();
    let mut stdin = cat.stdin.take().unwrap();
    let bytes = sent.clone();
    let writing = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = cat.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(
        output.status.success() && output.stdout == sent,
        "{} of {} bytes",
        output.stdout.len(),
        sent.len()
    );

    // Whoever asked goes away: the command goes too.
    let marker = format!("sleep 4{}", std::process::id());
    let script = format!("exec {marker}");
    let mut left = agent(&node, &["exec", "web", "-c", "main", "--", "/bin/busybox", "sh", "-c", &script])
        .spawn()
        .unwrap();
    let only_command = || processes(&marker).into_iter().filter(|pid| *pid != left_pid(&marker)).count();
    until("it runs", || (only_command() == 1).then_some(()));
    left.kill().unwrap();
    left.wait().unwrap();
    until("it is gone", || processes(&marker).is_empty().then_some(()));
}

/// The client whose command line has the marker too.
fn left_pid(marker: &str) -> u32 {
    let is_client = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|c| String::from_utf8_lossy(&c).contains("--data-dir"))
    };
    processes(marker).into_iter().find(is_client).unwrap_or(0)
}

/// A terminal of our own, so that the client has a real one.
fn terminal(rows: u16, columns: u16) -> (fs::File, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = rustix::fs::open(
        name.as_c_str(),
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    resize(&master, rows, columns);
    (fs::File::from(master), slave)
}

fn resize(terminal: &impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).unwrap();
}

#[test]
fn a_terminal_in_a_container() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let web = node.pod("web", "exec sleep 1000", |_| ());
    node.want(vec![web]);
    node.start(&[]);
    node.wait_running("web");
    let (mut screen, slave) = terminal(33, 101);
    let end = || Stdio::from(slave.try_clone().unwrap());
    let mut client = agent(&node, &["exec", "-it", "web", "--", "/bin/busybox", "sh"])
        .env("TERM", "vt100")
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    let mut typing = screen.try_clone().unwrap();
    let (seen, screen_text) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count) = screen.read(&mut bytes) {
            if count == 0 || seen.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut text = String::new();
    let mut wait_for = |what: &str| {
        while !text.contains(what) {
            let more = screen_text.recv_timeout(std::time::Duration::from_secs(30));
            text.push_str(&more.unwrap_or_else(|_| panic!("{what:?} does not come: {text:?}")));
        }
        text.clear();
    };
    let mut type_in = |line: &str| typing.write_all(line.as_bytes()).unwrap();
    wait_for("# ");
    type_in("stty size; echo term=$TERM; test -t 0 && echo tty=$?\r");
    wait_for("33 101\r\nterm=vt100\r\ntty=0\r\n");
    resize(&slave, 44, 77);
    crate::fixture::send(client.id(), "WINCH");
    // Not at once: the shell itself asks until the size has come through.
    type_in("while test \"$(stty size)\" != '44 77'; do sleep 0.05; done; stty size\r");
    wait_for("\n44 77\r");
    // Ctrl-C is for the command, and ends neither the shell nor the client.
    let command = format!("sleep 1{}", std::process::id());
    type_in(&format!("{command}\r"));
    until("the command runs", || processes(&command).first().copied());
    type_in("\x03");
    type_in("echo code=$?\r");
    wait_for("code=130");
    type_in("exit 9\r");
    assert_eq!(client.wait().unwrap().code(), Some(9));
    let settings = rustix::termios::tcgetattr(&slave).unwrap();
    assert!(settings.local_modes.contains(rustix::termios::LocalModes::ECHO), "the terminal is as it was");
}
