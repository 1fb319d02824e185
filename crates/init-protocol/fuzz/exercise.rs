//! What the fuzz target does with its input, and an ordinary test with the corpus.

use init_protocol::{
    CHUNK, Decoder, Frame, FrameError, FrameHead, FromInit, Kind, MAX_FRAME, ToInit, encode_message,
    encode_raw, parse_message,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads `bytes` as init does, in pieces of a size that their first byte says, and as the runner does, in place. Both have to
/// come to the same, and what was understood has to survive being written again.
pub(crate) fn exercise(bytes: &[u8]) {
    let piece = 1 + usize::from(bytes.first().copied().unwrap_or(0));
    let mut decoder = Decoder::new();
    let mut by_init = Vec::new();
    let mut end_of_init = Ok(());
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => by_init.push(frame),
                Ok(None) => break,
                Err(error) => {
                    end_of_init = Err(error);
                    break;
                }
            }
        }
    }
    let (by_runner, end_of_runner) = in_place(bytes);
    assert_eq!(by_init, by_runner);
    assert_eq!(end_of_init, end_of_runner);
    for frame in &by_init {
        assert!(frame.payload.len() <= MAX_FRAME);
        match frame.kind {
            Kind::Message => {
                survives::<ToInit>(frame);
                survives::<FromInit>(frame);
            }
            Kind::Data | Kind::Stdout | Kind::Stderr => {
                let mut out = Vec::new();
                encode_raw(&mut out, frame.request, frame.kind, &frame.payload);
                let joined: Vec<u8> = in_place(&out).0.into_iter().flat_map(|frame| frame.payload).collect();
                assert_eq!(joined, frame.payload);
                assert!(in_place(&out).0.iter().all(|frame| frame.payload.len() <= CHUNK));
            }
        }
    }
}

/// The frames at the beginning of `bytes`, as the runner's end takes them.
fn in_place(mut bytes: &[u8]) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut frames = Vec::new();
    loop {
        let head = match FrameHead::peek(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return (frames, Ok(())),
            Err(error) => return (frames, Err(error)),
        };
        let Some(payload) = bytes.get(FrameHead::BYTES..FrameHead::BYTES + head.payload) else {
            return (frames, Ok(()));
        };
        frames.push(Frame { request: head.request, kind: head.kind, payload: payload.to_vec() });
        bytes = &bytes[FrameHead::BYTES + head.payload..];
    }
}

fn survives<M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(frame: &Frame) {
    let Ok(message) = parse_message::<M>(&frame.payload) else { return };
    let mut out = Vec::new();
    if encode_message(&mut out, frame.request, &message).is_ok() {
        let again = in_place(&out).0;
        assert_eq!(parse_message::<M>(&again[0].payload), Ok(message));
    }
}
