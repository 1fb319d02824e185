//! A program's stream on its way to the runner: forwarded as it comes, cut to a number of characters where that was asked.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use init_protocol::{CHUNK, CappedText, FromInit, Kind, StreamKind};

use crate::stream::Stream;

/// One of the program's streams on its way to the runner.
pub(crate) struct Pipe {
    kind: Kind,
    fd: Option<File>,
    form: Form,
}

/// What becomes of a stream's bytes.
enum Form {
    /// They go out as they are.
    Whole,
    /// They are cut to a number of characters.
    Capped(CappedText),
}

/// Whether a read brought something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Bytes,
    /// Nothing now, or never again.
    Nothing,
}

impl Pipe {
    /// What to poll; `None` when the last writer has gone.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(|fd| fd.as_fd())
    }

    pub(crate) fn new(kind: Kind, fd: OwnedFd, limit: Option<u32>) -> Self {
        let form = limit.map_or(Form::Whole, |limit| Form::Capped(CappedText::new(limit)));
        Self { kind, fd: Some(File::from(fd)), form }
    }

    /// Reads once and forwards what may go out.
    pub(crate) fn forward(&mut self, stream: &mut Stream, request: u32) -> io::Result<Came> {
        let mut buffer = [0; 64 * 1024];
        let Some(fd) = &mut self.fd else { return Ok(Came::Nothing) };
        let length = match fd.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Came::Bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Came::Nothing),
            // A pipe that fails is at its end.
            Err(_) => 0,
        };
        if length == 0 {
            self.fd = None;
            return Ok(Came::Nothing);
        }
        match &mut self.form {
            Form::Whole => stream.send_raw(request, self.kind, &buffer[..length])?,
            Form::Capped(text) => {
                let mut out = Vec::new();
                text.push(&buffer[..length], &mut out);
                stream.send_raw(request, self.kind, &out)?;
            }
        }
        Ok(Came::Bytes)
    }

    /// Forwards what is left: nobody writes any more.
    pub(crate) fn drain(mut self, stream: &mut Stream, request: u32) -> io::Result<()> {
        while self.forward(stream, request)? == Came::Bytes {}
        let Form::Capped(text) = self.form else { return Ok(()) };
        let mut out = Vec::new();
        let end = text.finish(&mut out);
        stream.send_raw(request, self.kind, &out)?;
        if end.omitted > 0 {
            let kind = if self.kind == Kind::Stdout { StreamKind::Stdout } else { StreamKind::Stderr };
            stream.send(request, &FromInit::Omitted { stream: kind, characters: end.omitted })?;
        }
        // A frame must not end within a character.
        let mut rest = end.tail.as_str();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
            stream.send_raw(request, self.kind, piece.as_bytes())?;
            rest = after;
        }
        Ok(())
    }
}
