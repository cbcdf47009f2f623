//! The program in a root folder that holds nothing else, as in its image. As root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_runs_where_nothing_else_is_and_stops_when_told() {
    let root = tempfile::tempdir().unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_gannet-example-web-app"), root.path().join("web-app")).unwrap();
    // A pid namespace of its own: there the default action of SIGTERM does not exist.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc=/proc", "--root"]).arg(root.path());
    command
        .args(["/web-app"])
        .env_clear()
        .env("PATH", "/usr/bin")
        .env("PORT", "0")
        .env("HOSTNAME", "web-1")
        .env("VERSION", "v9");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    std::fs::create_dir(root.path().join("proc")).unwrap();
    let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    let port: u16 = first.trim().rsplit(':').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("Hello from web-1, version v9\n"), "{answer}");
    let mut log = String::new();
    lines.read_line(&mut log).unwrap();
    assert!(log.contains(r#""GET / HTTP/1.1" 200"#), "{log}");

    let pid = Command::new("pgrep").args(["-P", &child.0.id().to_string()]).output().unwrap().stdout;
    let pid: i32 = String::from_utf8(pid).unwrap().trim().parse().unwrap();
    let start = Instant::now();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert!(child.0.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "stopping on SIGTERM\n");
}
