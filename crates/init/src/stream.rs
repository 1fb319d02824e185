//! Init's end of the byte stream: blocking frames in and out.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use init_protocol::{
    CHUNK, Decoder, Frame, FromInit, Kind, ToInit, encode_head, encode_message, encode_raw, parse_message,
};

use crate::sys::StreamFiles;

/// Bytes that are collected before they are written, so that many small answers cost one write.
const FLUSH_AT: usize = 256 * 1024;

/// Bytes from which on a payload is written from where it is.
const DIRECT_FROM: usize = 64 * 1024;

/// The stream to the runner.
pub(crate) struct Stream {
    files: StreamFiles,
    decoder: Decoder,
    buffer: Box<[u8]>,
    out: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(files: StreamFiles) -> Self {
        Self {
            files,
            decoder: Decoder::new(),
            buffer: vec![0; 64 * 1024].into_boxed_slice(),
            out: Vec::new(),
        }
    }

    /// What to poll for more frames.
    pub(crate) fn readable(&self) -> BorrowedFd<'_> {
        self.files.input.as_fd()
    }

    /// The next frame; waits for it. `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// A frame that has already arrived.
    pub(crate) fn buffered(&mut self) -> io::Result<Option<Frame>> {
        self.decoder.next_frame().map_err(io::Error::other)
    }

    /// Reads once; `false` at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        loop {
            match self.files.input.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    self.decoder.push(&self.buffer[..length]);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next piece of the bytes that belong to a request; `None` at their end.
    pub(crate) fn next_data(&mut self, request: u32) -> io::Result<Option<Vec<u8>>> {
        let Some(frame) = self.next()? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        if frame.request != request {
            return Err(io::Error::other("data of another request"));
        }
        match frame.kind {
            Kind::Data => Ok(Some(frame.payload)),
            Kind::Message => match parse_message(&frame.payload).map_err(io::Error::other)? {
                ToInit::End => Ok(None),
                _ => Err(io::Error::other("a request within another's data")),
            },
            Kind::Stdout | Kind::Stderr => Err(io::Error::other("a frame that only init sends")),
        }
    }

    /// Adds a message; it goes out with the next [`Stream::flush`] or when enough has come together.
    pub(crate) fn send(&mut self, request: u32, message: &FromInit) -> io::Result<()> {
        encode_message(&mut self.out, request, message).map_err(io::Error::other)?;
        self.flush_if_full()
    }

    /// Adds raw bytes.
    pub(crate) fn send_raw(&mut self, request: u32, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() < DIRECT_FROM {
            encode_raw(&mut self.out, request, kind, bytes);
            return self.flush_if_full();
        }
        for chunk in bytes.chunks(CHUNK) {
            // Of a large file, a copy less.
            encode_head(&mut self.out, request, kind, chunk.len());
            self.files.output.write_all(&self.out)?;
            self.out.clear();
            self.files.output.write_all(chunk)?;
        }
        Ok(())
    }

    /// Adds a final message and writes everything.
    pub(crate) fn answer(&mut self, request: u32, message: &FromInit) -> io::Result<()> {
        self.send(request, message)?;
        self.flush()
    }

    /// Writes everything that was added.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.files.output.write_all(&self.out)?;
        self.out.clear();
        // An idle init keeps no large buffer.
        self.out.shrink_to(4096);
        Ok(())
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.out.len() < FLUSH_AT {
            return Ok(());
        }
        self.files.output.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}
