//! What goes over the control socket while a command runs: a byte for the kind, four for the length, the bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Nobody sends a longer one.
const MAX_FRAME: u32 = 64 << 10;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Bytes for the command; none means the end of them.
    Stdin(Vec<u8>),
    /// The terminal has this many rows and columns now.
    Resize(u16, u16),
    /// What the command wrote.
    Stdout(Vec<u8>),
    /// What it wrote to its second output.
    Stderr(Vec<u8>),
    /// It ended: its exit code. The last frame.
    Exit(i32),
    /// It could not be run: with which exit code to end, and why. The last frame.
    Failed(u8, String),
}

impl Frame {
    fn encode(&self) -> Vec<u8> {
        let sized;
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Stdin(bytes) => (0, bytes),
            Self::Resize(rows, columns) => {
                sized = [rows.to_be_bytes(), columns.to_be_bytes()].concat();
                (1, &sized)
            }
            Self::Stdout(bytes) => (2, bytes),
            Self::Stderr(bytes) => (3, bytes),
            Self::Exit(code) => {
                sized = code.to_be_bytes().to_vec();
                (4, &sized)
            }
            Self::Failed(code, why) => {
                sized = [&[*code], why.as_bytes()].concat();
                (5, &sized)
            }
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).min(MAX_FRAME);
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&payload[..length as usize]);
        bytes
    }

    fn decode(kind: u8, payload: Vec<u8>) -> Option<Self> {
        Some(match (kind, payload.as_slice()) {
            (0, _) => Self::Stdin(payload),
            (1, [a, b, c, d]) => Self::Resize(u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
            (2, _) => Self::Stdout(payload),
            (3, _) => Self::Stderr(payload),
            (4, bytes) => Self::Exit(i32::from_be_bytes(bytes.try_into().ok()?)),
            (5, [code, why @ ..]) => Self::Failed(*code, String::from_utf8_lossy(why).into_owned()),
            _ => return None,
        })
    }
}

/// Sends one; what is longer than a frame may be is cut.
pub(crate) async fn write_frame(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    to.write_all(&frame.encode()).await?;
    to.flush().await
}

/// The next one; `None` at the end.
///
/// # Errors
/// The other side breaks off within one, or sends what is none.
pub(crate) async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut kind = [0; 1];
    if from.read(&mut kind).await? == 0 {
        return Ok(None);
    }
    let length = from.read_u32().await?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a frame");
    if length > MAX_FRAME {
        return Err(wrong());
    }
    let mut payload = vec![0; length as usize];
    from.read_exact(&mut payload).await?;
    Frame::decode(kind[0], payload).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_and_nonsense_does_not() {
        let frames = [
            Frame::Stdin(b"a".to_vec()),
            Frame::Stdin(Vec::new()),
            Frame::Resize(24, 80),
            Frame::Stdout(vec![0, 255, b'\n']),
            Frame::Stderr(vec![b'x'; MAX_FRAME as usize]),
            Frame::Exit(-1),
            Frame::Failed(127, "no such file".into()),
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            write_frame(&mut bytes, frame).await.unwrap();
        }
        let mut from = bytes.as_slice();
        for frame in &frames {
            assert_eq!(read_frame(&mut from).await.unwrap().as_ref(), Some(frame));
        }
        assert_eq!(read_frame(&mut from).await.unwrap(), None);
        for bad in [&[9, 0, 0, 0, 0][..], &[0, 255, 0, 0, 0], &[1, 0, 0, 0, 1, 7], &[0, 0], &[4, 0, 0, 0, 0]]
        {
            let mut from = bad;
            assert!(read_frame(&mut from).await.is_err(), "{bad:?}");
        }
    }
}
