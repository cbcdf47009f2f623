//! A connection to a shim, or to the zygote: frames over a Unix socket.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use gannet_agent_shim::PodLayout;
use gannet_agent_shim::frame::{Decoder, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The receiving half. [`Self::receive`] may be cancelled at any point without losing a byte.
#[derive(Debug)]
pub(crate) struct Receiver {
    stream: OwnedReadHalf,
    decoder: Decoder,
}

/// The sending half.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: OwnedWriteHalf,
}

pub(crate) fn split(stream: UnixStream) -> (Receiver, Sender) {
    let (read, write) = stream.into_split();
    (Receiver { stream: read, decoder: Decoder::default() }, Sender { stream: write })
}

/// Connects to a pod's shim. The path may be longer than a socket's address, so it goes through the directory.
pub(crate) async fn connect(layout: &PodLayout) -> io::Result<(Receiver, Sender)> {
    let dir = File::open(layout.dir())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(PodLayout::SOCKET);
    Ok(split(UnixStream::connect(path).await?))
}

impl Receiver {
    /// The next message; none when the other end closed.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(io::Error::other)? {
                return Ok(Some(serde_json::from_slice(&frame)?));
            }
            match self.stream.read(&mut bytes).await? {
                0 => return Ok(None),
                count => self.decoder.push(&bytes[..count]),
            }
        }
    }
}

impl Sender {
    pub(crate) async fn send<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        self.stream.write_all(&encode(message)?).await
    }
}
