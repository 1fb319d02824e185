//! Frames to bytes and back, without I/O.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{CHUNK, Frame, Kind, MAX_FRAME};

/// Bytes of request id and kind.
const HEAD: usize = 5;

/// Why bytes are not frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length field above [`MAX_FRAME`] or below the head's size.
    #[error("frame of {length} bytes; allowed are {HEAD} to {MAX_FRAME}")]
    BadLength {
        /// What the length field said.
        length: usize,
    },
    /// A kind that does not exist.
    #[error("unknown frame kind {kind}")]
    UnknownKind {
        /// The byte found.
        kind: u8,
    },
    /// A message that does not decode, or with bytes left over.
    #[error("malformed message")]
    BadMessage,
    /// A message that is longer than a frame.
    #[error("message of {length} bytes does not fit a frame")]
    TooLong {
        /// Encoded length.
        length: usize,
    },
}

/// Cuts a byte stream into frames. Holds at most one frame's bytes beyond what was pushed in one go.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the unread part of `buffer` starts.
    start: usize,
    failed: Option<FrameError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        // Move the rest to the front only when that is cheap or needed, so that a chunk of many small frames
        // costs one move.
        if self.start > 0 && (self.start == self.buffer.len() || self.start > MAX_FRAME) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` where more bytes are needed.
    ///
    /// # Errors
    /// A broken frame. The stream cannot be resumed after it: every later call returns the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.cut() {
            Ok(frame) => Ok(frame),
            Err(error) => {
                self.buffer = Vec::new();
                self.start = 0;
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    fn cut(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some(head) = FrameHead::peek(rest)? else { return Ok(None) };
        let Some(payload) = rest.get(FrameHead::BYTES..FrameHead::BYTES + head.payload) else {
            return Ok(None);
        };
        let frame = Frame { request: head.request, kind: head.kind, payload: payload.to_vec() };
        self.start += FrameHead::BYTES + head.payload;
        Ok(Some(frame))
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Which request the frame belongs to.
    pub request: u32,
    /// What the payload is.
    pub kind: Kind,
    /// Bytes of the payload.
    pub payload: usize,
}

impl FrameHead {
    /// Bytes of the head itself.
    pub const BYTES: usize = 4 + HEAD;

    /// Reads the head of the frame at the beginning of `bytes`, for whoever wants to take the payload without a copy;
    /// `None` where more bytes are needed.
    ///
    /// # Errors
    /// A broken frame: nothing on the stream can be believed from here on.
    pub fn peek(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if !(HEAD..=MAX_FRAME).contains(&length) {
            return Err(FrameError::BadLength { length });
        }
        let Some((request, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let kind = match rest.first() {
            None => return Ok(None),
            Some(0) => Kind::Message,
            Some(1) => Kind::Data,
            Some(2) => Kind::Stdout,
            Some(3) => Kind::Stderr,
            Some(kind) => return Err(FrameError::UnknownKind { kind: *kind }),
        };
        Ok(Some(Self { request: u32::from_le_bytes(*request), kind, payload: length - HEAD }))
    }
}

/// Appends a frame of raw bytes to `out`, cut into as many frames as needed. Nothing for no bytes.
pub fn encode_raw(out: &mut Vec<u8>, request: u32, kind: Kind, bytes: &[u8]) {
    for chunk in bytes.chunks(CHUNK) {
        head(out, request, kind, chunk.len());
        out.extend_from_slice(chunk);
    }
}

/// Appends only the head of a frame, for whoever writes the payload from where it is. The payload has at most
/// [`CHUNK`] bytes.
pub fn encode_head(out: &mut Vec<u8>, request: u32, kind: Kind, payload: usize) {
    head(out, request, kind, payload);
}

/// Appends a frame with one message to `out`.
///
/// # Errors
/// [`FrameError::TooLong`] where the message does not fit a frame; `out` is then unchanged.
pub fn encode_message<M: Serialize>(out: &mut Vec<u8>, request: u32, message: &M) -> Result<(), FrameError> {
    let payload = postcard::to_stdvec(message).map_err(|_| FrameError::BadMessage)?;
    if payload.len() + HEAD > MAX_FRAME {
        return Err(FrameError::TooLong { length: payload.len() });
    }
    head(out, request, Kind::Message, payload.len());
    out.extend_from_slice(&payload);
    Ok(())
}

/// Decodes the payload of a [`Kind::Message`] frame.
///
/// # Errors
/// [`FrameError::BadMessage`] where it is not one, or has bytes left over.
pub fn parse_message<M: DeserializeOwned>(payload: &[u8]) -> Result<M, FrameError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(FrameError::BadMessage),
    }
}

fn head(out: &mut Vec<u8>, request: u32, kind: Kind, payload: usize) {
    // Fits: every caller bounds the payload by MAX_FRAME.
    let length = u32::try_from(HEAD + payload).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&request.to_le_bytes());
    out.push(kind as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{FromInit, ToInit};

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        proptest!(|(payloads in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 1..2000)), 1..20), cut in 1_usize..700)| {
            let mut bytes = Vec::new();
            for (request, payload) in &payloads {
                encode_raw(&mut bytes, *request, Kind::Data, payload);
            }
            let mut decoder = Decoder::new();
            let mut got = Vec::new();
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push((frame.request, frame.payload));
                }
            }
            prop_assert_eq!(got, payloads);
        });
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_buffer_without_bound() {
        proptest!(|(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40))| {
            let mut decoder = Decoder::new();
            for piece in &pieces {
                decoder.push(piece);
                while let Ok(Some(frame)) = decoder.next_frame() {
                    prop_assert!(frame.payload.len() <= MAX_FRAME);
                    let _ = parse_message::<ToInit>(&frame.payload).is_ok();
                    let _ = parse_message::<FromInit>(&frame.payload).is_ok();
                }
            }
        });
    }

    #[test]
    fn arbitrary_payloads_never_panic_as_messages() {
        proptest!(|(payload in prop::collection::vec(any::<u8>(), 0..600))| {
            let _ = parse_message::<ToInit>(&payload).is_ok();
            let _ = parse_message::<FromInit>(&payload).is_ok();
        });
    }

    #[test]
    fn a_broken_frame_fails_for_good() {
        let mut decoder = Decoder::new();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next_frame(), Err(FrameError::BadLength { .. })));
        let mut good = Vec::new();
        encode_raw(&mut good, 1, Kind::Data, b"x");
        decoder.push(&good);
        assert!(decoder.next_frame().is_err());
    }

    #[test]
    fn a_message_with_bytes_left_over_is_refused() {
        let mut out = Vec::new();
        encode_message(&mut out, 7, &ToInit::End).unwrap();
        out.push(0);
        assert_eq!(parse_message::<ToInit>(&out[4 + HEAD..]), Err(FrameError::BadMessage));
    }

    #[test]
    fn a_message_too_long_for_a_frame_is_refused_and_writes_nothing() {
        let mut out = Vec::new();
        let long = ToInit::Write { path: "x".repeat(MAX_FRAME) };
        assert!(matches!(encode_message(&mut out, 1, &long), Err(FrameError::TooLong { .. })));
        assert!(out.is_empty());
    }
}
