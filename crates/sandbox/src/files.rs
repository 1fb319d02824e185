//! Files of a sandbox, read and written through init.

use bytes::Bytes;
use init_protocol::{Entry, FailKind, FromInit, Kind};

use crate::SandboxError;
use crate::connection::{Answer, Connection};

/// A file operation that could not be done: the caller's fault, or the fault of what is in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FileError {
    /// What a caller may branch on.
    pub kind: FileErrorKind,
    /// What init said of it.
    pub message: String,
}

/// Kinds of [`FileError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileErrorKind {
    /// No such file or directory.
    NotFound,
    /// A directory, or something else that is not a regular file.
    NotAFile,
    /// A link leads out of the allowed directories.
    Outside,
    /// Permission denied.
    Permission,
    /// The disk of the sandbox is full, or the file is over its size limit.
    NoSpace,
    /// It changed while it was read.
    Changed,
    /// Anything else.
    Other,
}

impl FileError {
    pub(crate) fn new(kind: FailKind, message: String) -> Self {
        let kind = match kind {
            FailKind::NotFound => FileErrorKind::NotFound,
            FailKind::NotAFile => FileErrorKind::NotAFile,
            FailKind::OutsideAllowed => FileErrorKind::Outside,
            FailKind::Permission => FileErrorKind::Permission,
            FailKind::NoSpace => FileErrorKind::NoSpace,
            FailKind::Changed => FileErrorKind::Changed,
            FailKind::CannotExecute | FailKind::BadRequest | FailKind::Wall | FailKind::Other => {
                FileErrorKind::Other
            }
        };
        Self { kind, message }
    }
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// Size of the whole file in bytes.
    pub size: u64,
    /// The bytes from the asked offset, at most as many as asked for.
    pub bytes: Vec<u8>,
}

/// What is below `/output`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The entries, in no order. Paths are relative to `/output`, and data: never trust them.
    pub entries: Vec<Entry>,
    /// Whether there were more entries than asked for.
    pub truncated: bool,
}

/// Files on their way out, in the order in which they were asked for. Each arrives as [`FetchItem::File`], its
/// bytes, and then the next one's `File` or [`FetchItem::Failed`]. One that is dropped before its end leaves the
/// sandbox unusable.
#[derive(Debug)]
pub struct Fetch<'a> {
    connection: &'a mut Connection,
    request: u32,
    /// Bytes of the current file that are still to come.
    expected: u64,
    /// Files that have not been begun.
    files_left: usize,
    /// Most bytes that each file may have, in order.
    limits: std::vec::IntoIter<u64>,
    done: bool,
}

/// A step of a [`Fetch`].
#[derive(Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// The next file begins.
    File {
        /// Its whole size in bytes.
        size: u64,
    },
    /// Bytes of the current file.
    Data(Bytes),
    /// The current or next file could not be read (further).
    Failed(FileError),
}

impl<'a> Fetch<'a> {
    pub(crate) fn new(connection: &'a mut Connection, request: u32, limits: Vec<u64>) -> Self {
        let files_left = limits.len();
        connection.begin_answer();
        Self { connection, request, expected: 0, files_left, limits: limits.into_iter(), done: false }
    }

    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// The sandbox broke down or broke the protocol.
    pub async fn next(&mut self) -> Result<Option<FetchItem>, SandboxError> {
        if self.done {
            return Ok(None);
        }
        let item = match self.connection.answer(self.request).await? {
            Answer::Raw(Kind::Data, bytes) => {
                let length = bytes.len() as u64;
                if length > self.expected {
                    return Err(self.connection.broken("more bytes of a file than announced"));
                }
                self.expected -= length;
                FetchItem::Data(bytes)
            }
            Answer::Message(FromInit::File { size, sending }) => {
                self.begin_file()?;
                let limit = self.limits.next().unwrap_or(0);
                if sending > limit || sending > size {
                    return Err(self.connection.broken("a file larger than asked for"));
                }
                self.expected = sending;
                FetchItem::File { size }
            }
            Answer::Message(FromInit::Failed { kind, message }) => {
                if self.expected == 0 {
                    // It fails before it began.
                    self.begin_file()?;
                    let _ = self.limits.next();
                }
                self.expected = 0;
                FetchItem::Failed(FileError::new(kind, message))
            }
            Answer::Message(FromInit::Done) if self.expected == 0 && self.files_left == 0 => {
                self.done = true;
                self.connection.end_answer();
                return Ok(None);
            }
            _ => return Err(self.connection.broken("unexpected answer to a fetch")),
        };
        Ok(Some(item))
    }

    fn begin_file(&mut self) -> Result<(), SandboxError> {
        if self.expected != 0 || self.files_left == 0 {
            return Err(self.connection.broken("a file that was not asked for"));
        }
        self.files_left -= 1;
        Ok(())
    }
}
