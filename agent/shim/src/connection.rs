//! One client of a shim: bytes in, frames out, never waiting for either.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use serde::Serialize;

use crate::descriptors::receive;
use crate::frame::{Decoder, MAX_FRAME, encode};

/// A client that does not read is dropped before its answers fill the memory.
const MAX_UNSENT: usize = 2 * MAX_FRAME;

pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    decoder: Decoder,
    unsent: Vec<u8>,
    pub(crate) subscribed: bool,
    /// Descriptors that came and that no request has taken yet.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// To be dropped at the end of the turn.
    pub(crate) broken: bool,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            unsent: Vec::new(),
            subscribed: false,
            descriptors: Vec::new(),
            broken: false,
        })
    }

    pub(crate) fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads what came; gives whole frames.
    pub(crate) fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = [0; 4096];
        let mut frames = Vec::new();
        loop {
            match receive(&self.stream, &mut bytes) {
                Ok((0, _)) => self.broken = true,
                Ok((count, descriptors)) => {
                    // A request names all of its own; those of one that was not understood give way.
                    if !descriptors.is_empty() {
                        self.descriptors = descriptors;
                    }
                    self.decoder.push(&bytes[..count]);
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.broken = true,
            }
            loop {
                match self.decoder.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(_) => self.broken = true,
                }
                if self.broken {
                    break;
                }
            }
            if self.broken {
                break;
            }
        }
        frames
    }

    pub(crate) fn send<T: Serialize>(&mut self, message: &T) {
        match encode(message) {
            Ok(frame) if self.unsent.len() + frame.len() <= MAX_UNSENT => self.unsent.extend(frame),
            _ => self.broken = true,
        }
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.broken {
            match self.stream.write(&self.unsent) {
                Ok(count) if count > 0 => drop(self.unsent.drain(..count)),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                _ => self.broken = true,
            }
        }
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_breaks_the_connection_only() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(server).unwrap();
        client.write_all(&encode(&"hello").unwrap()).unwrap();
        assert_eq!(connection.receive(), [b"\"hello\"".to_vec()]);
        assert!(!connection.broken);
        client.write_all(&[0xff; 64]).unwrap();
        assert!(connection.receive().is_empty() && connection.broken);
    }

    #[test]
    fn a_client_that_never_reads_is_dropped() {
        let (_client, server) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(server).unwrap();
        let big = "x".repeat(MAX_FRAME / 2);
        for _ in 0..16 {
            connection.send(&big);
        }
        assert!(connection.broken);
    }
}
