//! An attached container as a byte stream: what goes in is init's standard input, what comes out its standard output.
//!
//! The daemon sends both outputs through one connection, in frames with a head of eight bytes, which the client library
//! takes apart. Init writes nothing to its standard error; what comes there is a complaint of the runtime or of a broken
//! init, and is logged, up to a bound.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::container::{AttachContainerResults, LogOutput};
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of standard error that are logged of one sandbox.
const COMPLAINTS: usize = 4096;

/// See the module.
pub(crate) struct Attached {
    streams: AttachContainerResults,
    container: String,
    rest: Bytes,
    logged: usize,
}

impl fmt::Debug for Attached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attached").field("container", &self.container).finish_non_exhaustive()
    }
}

impl Attached {
    pub(crate) fn new(streams: AttachContainerResults, container: String) -> Self {
        Self { streams, container, rest: Bytes::new(), logged: 0 }
    }

    fn complain(&mut self, message: &[u8]) {
        let most = message.len().min(COMPLAINTS - self.logged);
        self.logged += most;
        if most > 0 {
            // As a debug string, so that nothing in it can pass for a line of the log.
            let text = String::from_utf8_lossy(&message[..most]);
            tracing::warn!(container = self.container, message = ?text, "a container wrote to its standard error");
        }
    }
}

impl AsyncRead for Attached {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match std::task::ready!(self.streams.output.as_mut().poll_next(context)) {
                Some(Ok(LogOutput::StdOut { message })) => self.rest = message,
                Some(Ok(LogOutput::StdErr { message })) => self.complain(&message),
                Some(Ok(LogOutput::StdIn { .. } | LogOutput::Console { .. })) => {
                    let message = "the daemon's frames are out of step";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, message)));
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Attached {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.streams.input.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.streams.input.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.streams.input.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn attached(frames: Vec<LogOutput>) -> Attached {
        let output = Box::pin(stream::iter(frames.into_iter().map(Ok)));
        let input = Box::pin(tokio::io::sink());
        Attached::new(AttachContainerResults { output, input }, "test".to_owned())
    }

    #[tokio::test]
    async fn only_standard_output_is_the_stream() {
        let out = |text: &'static [u8]| LogOutput::StdOut { message: Bytes::from_static(text) };
        let err = |length| LogOutput::StdErr { message: Bytes::from(vec![b'x'; length]) };
        let mut attached = attached(vec![out(b"one"), err(10), out(b""), err(100_000), out(b" two")]);
        let mut all = Vec::new();
        attached.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"one two");
        assert_eq!(attached.logged, COMPLAINTS);
    }

    #[tokio::test]
    async fn bytes_outside_of_frames_are_an_error_and_no_end() {
        let console = LogOutput::Console { message: Bytes::from_static(b"text") };
        let error = attached(vec![console]).read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
