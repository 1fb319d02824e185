//! The runner's end of the byte stream: frames out, checked answers in.
//!
//! A connection works or is broken for good. It breaks when the stream ends, when a frame is malformed or not
//! what was asked for, when init does not answer in time, or when a fetch was left in the middle.

use std::fmt;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use init_protocol::{FailKind, FrameHead, FromInit, Kind, ToInit, encode_message, encode_raw, parse_message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::driver::Stream;
use crate::{FileError, SandboxError};

/// Longest wait for the next answer of a request that runs no program. Such work takes milliseconds; a sandbox
/// that is stopped or starved for longer than this is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Room for the next frame before its length is known.
const READ_SIZE: usize = 16 * 1024;

/// One checked answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Raw bytes: of a file or of a stream.
    Raw(Kind, Bytes),
    /// A message.
    Message(FromInit),
}

/// See the module.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes that have arrived and were not taken yet: less than one frame and one read.
    buffer: BytesMut,
    out: Vec<u8>,
    last_request: u32,
    broken: Option<String>,
    in_the_middle: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("last_request", &self.last_request)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            out: Vec::new(),
            last_request: 0,
            broken: None,
            in_the_middle: false,
        }
    }

    /// Whether nothing can be asked any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some() || self.in_the_middle
    }

    /// Marks the connection as broken and says so.
    pub(crate) fn broken(&mut self, reason: impl Into<String>) -> SandboxError {
        let reason = reason.into();
        self.broken.get_or_insert_with(|| reason.clone());
        SandboxError::Broken { reason }
    }

    pub(crate) fn begin_answer(&mut self) {
        self.in_the_middle = true;
    }

    pub(crate) fn end_answer(&mut self) {
        self.in_the_middle = false;
    }

    /// Sends a request, with the bytes that belong to it where there are some.
    pub(crate) async fn request(
        &mut self,
        message: &ToInit,
        data: Option<&[u8]>,
    ) -> Result<u32, SandboxError> {
        if self.in_the_middle {
            return Err(self.broken("an earlier request was left in the middle"));
        }
        if let Some(reason) = &self.broken {
            return Err(SandboxError::Broken { reason: reason.clone() });
        }
        self.last_request = self.last_request.wrapping_add(1);
        let request = self.last_request;
        self.out.clear();
        encode_message(&mut self.out, request, message)
            .map_err(|error| SandboxError::TooLarge { reason: error.to_string() })?;
        // Whoever drops this future from here on leaves half a frame behind.
        self.in_the_middle = true;
        if let Some(data) = data {
            // A frame at a time, so that a large input is not held twice.
            for chunk in data.chunks(init_protocol::CHUNK) {
                encode_raw(&mut self.out, request, Kind::Data, chunk);
                self.flush().await?;
            }
            encode_message(&mut self.out, request, &ToInit::End)
                .map_err(|error| SandboxError::TooLarge { reason: error.to_string() })?;
        }
        self.flush().await?;
        self.in_the_middle = false;
        Ok(request)
    }

    /// Asks for the end of a running exec. Its answer still comes.
    pub(crate) async fn kill(&mut self, request: u32) -> Result<(), SandboxError> {
        self.out.clear();
        encode_message(&mut self.out, request, &ToInit::Kill { request })
            .map_err(|error| SandboxError::TooLarge { reason: error.to_string() })?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), SandboxError> {
        let written = timeout_at(Instant::now() + ANSWER_TIMEOUT, self.stream.write_all(&self.out)).await;
        self.out.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(format!("the stream to init failed: {error}"))),
            Err(_) => Err(self.broken("init takes no input")),
        }
    }

    /// The next answer to a request, within [`ANSWER_TIMEOUT`].
    pub(crate) async fn answer(&mut self, request: u32) -> Result<Answer, SandboxError> {
        self.answer_until(request, Instant::now() + ANSWER_TIMEOUT).await
    }

    /// The next answer to a request, until an instant. Dropping the future loses nothing.
    pub(crate) async fn answer_until(
        &mut self,
        request: u32,
        deadline: Instant,
    ) -> Result<Answer, SandboxError> {
        loop {
            if let Some(reason) = &self.broken {
                return Err(SandboxError::Broken { reason: reason.clone() });
            }
            match FrameHead::peek(&self.buffer) {
                Ok(Some(head)) if self.buffer.len() >= FrameHead::BYTES + head.payload => {
                    if head.request != request {
                        return Err(self.broken("an answer to something that was not asked"));
                    }
                    if head.payload == 0 {
                        // No sound init sends nothing; a stream of it would be an answer that never ends.
                        return Err(self.broken("an empty frame"));
                    }
                    // The payload stays where it was read to.
                    self.buffer.advance(FrameHead::BYTES);
                    let payload = self.buffer.split_to(head.payload).freeze();
                    return match head.kind {
                        Kind::Message => match parse_message(&payload) {
                            Ok(message) => Ok(Answer::Message(message)),
                            Err(error) => Err(self.broken(error.to_string())),
                        },
                        kind => Ok(Answer::Raw(kind, payload)),
                    };
                }
                Ok(Some(head)) => self.buffer.reserve(FrameHead::BYTES + head.payload - self.buffer.len()),
                Ok(None) => self.buffer.reserve(READ_SIZE),
                Err(error) => return Err(self.broken(error.to_string())),
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => return Err(self.broken("the sandbox ended")),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.broken(format!("the stream from init failed: {error}"))),
                Err(_) => return Err(self.broken("init does not answer")),
            }
        }
    }

    /// The final answer of a request that has no other: done, or why not.
    pub(crate) async fn done(&mut self, request: u32) -> Result<Result<(), FileError>, SandboxError> {
        match self.answer(request).await? {
            Answer::Message(FromInit::Done) => Ok(Ok(())),
            Answer::Message(FromInit::Failed { kind: FailKind::BadRequest, message }) => {
                Err(self.broken(message))
            }
            Answer::Message(FromInit::Failed { kind, message }) => Ok(Err(FileError::new(kind, message))),
            _ => Err(self.broken("unexpected answer")),
        }
    }
}
