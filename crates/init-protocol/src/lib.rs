//! The frames between the runner and init, the PID 1 of every sandbox.
//!
//! One byte stream joins the two. Everything on it is a [`Frame`]: a request id and a body, preceded by its
//! length. Both ends use this crate, so the wire format stands in one place; it does no I/O and knows no
//! runtime, so that init stays small.
//!
//! ```text
//!   u32 LE length of what follows | u32 LE request id | u8 kind | payload
//! ```
//!
//! A payload is either one message ([`ToInit`] or [`FromInit`], encoded by postcard) or raw bytes of a file or
//! a stream. A frame never exceeds [`MAX_FRAME`]; a decoder that meets a longer one fails and stays failed.
//!
//! Who asks: the runner sends requests, one at a time but for [`ToInit::Kill`], which ends a running exec. Init
//! answers each with exactly one final message (see [`ToInit`]). The runner believes nothing that comes from
//! init: user code could, at worst, have taken it over.

mod decode;
mod message;
mod text;

pub use crate::decode::{
    Decoder, FrameError, FrameHead, encode_head, encode_message, encode_raw, parse_message,
};
pub use crate::message::{
    Entry, EntryKind, Exec, FailKind, FetchFile, FromInit, Owner, Setup, StreamKind, Termination, ToInit,
    Usage,
};
pub use crate::text::{CappedText, CappedTextEnd, LossyText};

/// Version of the protocol, exchanged in [`ToInit::Hello`] and [`FromInit::Ready`]. Both ends come from one
/// executable, so there is no negotiation: unequal versions end the sandbox.
pub const VERSION: u16 = 2;

/// Longest frame in bytes, without its length field: one chunk and its head.
pub const MAX_FRAME: usize = CHUNK + 1024;

/// Most raw bytes that one frame carries.
pub const CHUNK: usize = 256 * 1024;

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One encoded [`ToInit`] or [`FromInit`].
    Message = 0,
    /// A piece of a file, of standard input or of a tar.
    Data = 1,
    /// A piece of standard output: valid UTF-8 where the program has a stream limit, its own bytes where it has none.
    Stdout = 2,
    /// A piece of standard error, likewise.
    Stderr = 3,
}

/// One decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which request it belongs to.
    pub request: u32,
    /// What the payload is.
    pub kind: Kind,
    /// The payload.
    pub payload: Vec<u8>,
}
