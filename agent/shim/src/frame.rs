//! Frames: four bytes of length, most significant first, then that many bytes of JSON. Pure; both ends use it.

use serde::Serialize;

/// The largest frame. A request carries paths and arguments, never a runtime spec: that lies in the bundle.
pub const MAX_FRAME: usize = 1 << 20;

/// The other end sent a frame beyond [`MAX_FRAME`]: it is out of step, and the connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes is larger than {MAX_FRAME}")]
pub struct FrameTooLong {
    length: usize,
}

/// Takes bytes as they come, gives frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length.
    ///
    /// # Errors
    /// The frame is too long; the connection is of no more use.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameTooLong> {
        let Some((head, _)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameTooLong { length });
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        let frame = self.buffer[4..4 + length].to_vec();
        self.buffer.drain(..4 + length);
        if self.buffer.is_empty() {
            // A shim waits for weeks between two requests: give the memory back.
            self.buffer = Vec::new();
        }
        Ok(Some(frame))
    }
}

/// A message as a frame.
///
/// # Errors
/// The message is no JSON, or too long.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    let head = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    let Some(head) = head else { return Err(serde::ser::Error::custom(FrameTooLong { length })) };
    frame[..4].copy_from_slice(&head.to_be_bytes());
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_gives_the_same_frames() {
        let mut bytes = encode(&"one").unwrap();
        bytes.extend(encode(&"").unwrap());
        bytes.extend(encode(&["two", "three"]).unwrap());
        for cut in 0..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(String::from_utf8(frame).unwrap());
                }
            }
            assert_eq!(frames, ["\"one\"", "\"\"", "[\"two\",\"three\"]"], "cut at {cut}");
        }
    }

    #[test]
    fn too_long() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff; 8]);
        assert!(decoder.next_frame().is_err());
        assert!(encode(&"x".repeat(MAX_FRAME)).is_err());
    }
}
