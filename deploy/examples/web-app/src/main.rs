//! The example of the first steps: a web server that answers with its pod's name. As PID 1 of an empty image it has to do
//! what an init would: nobody else handles SIGTERM.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a container's log is its standard output")]

mod answer;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use answer::{Page, answer};

/// Connections at a time; further ones wait in the kernel's queue.
const THREADS: usize = 8;
/// How long a client may take to ask, and to take the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request that is read.
const MAX_REQUEST_BYTES: u64 = 16 << 10;

fn main() -> ExitCode {
    match run() {
        Ok(signal) => {
            println!("stopping on {signal}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("web-app: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal says to stop.
fn run() -> Result<Signal, Box<dyn std::error::Error>> {
    // Blocked before the threads start, so that they inherit it and the signal waits for `wait` below. PID 1 has no
    // default action for it.
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTERM);
    stop.add(Signal::SIGINT);
    stop.thread_block()?;
    let port: u16 = match std::env::var("PORT") {
        Ok(text) => text.parse().map_err(|_| format!("PORT is {text:?}, not a port number"))?,
        Err(_) => 8080,
    };
    let listener = listen(port)?;
    println!("listening on {}", listener.local_addr()?);
    let listener = Arc::new(listener);
    let page = Arc::new(page());
    for number in 0..THREADS {
        let (listener, page) = (Arc::clone(&listener), Arc::clone(&page));
        // They end with the process: an answer takes less than a millisecond.
        thread::Builder::new()
            .name(format!("http-{number}"))
            .stack_size(128 << 10)
            .spawn(move || accept(&listener, &page))?;
    }
    Ok(stop.wait()?)
}

/// IPv6 with IPv4, where the kernel has both; else IPv4 alone.
fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))
}

fn page() -> Page {
    let name = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let name = name.or_else(|| nix::unistd::gethostname().ok()?.into_string().ok());
    Page {
        pod: name.unwrap_or_else(|| "unknown".into()),
        version: std::env::var("VERSION").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").into()),
    }
}

fn accept(listener: &TcpListener, page: &Page) {
    loop {
        match listener.accept() {
            // A client that goes away early is none of our business.
            Ok((stream, peer)) => drop(serve(&stream, peer, page)),
            // Out of descriptors or memory: give others time to end.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// One request, one answer, and the connection is closed.
fn serve(stream: &TcpStream, peer: SocketAddr, page: &Page) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.take(MAX_REQUEST_BYTES));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let answer = answer(&request, page);
    let request: String = request.trim_end().chars().filter(|c| !c.is_control()).collect();
    println!("{} {request:?} {}", peer.ip(), answer.status);
    let mut stream = stream;
    stream.write_all(&answer.to_bytes())
}
