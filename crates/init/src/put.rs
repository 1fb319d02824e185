//! Unpacking what the runner sends: skills and inputs.
//!
//! The tar comes from the runner, which is trusted, but parts of its content (names in a bundle) were once not; so
//! only plain files and directories with plain names are taken.

use std::io::{self, Read};

use init_protocol::{FailKind, Owner, Setup};
use tar::EntryType;

use crate::files::{self, Failure, create, make_directories};
use crate::stream::Stream;

/// Takes the bytes of a `Put`. The outer error ends init, the inner one is the answer.
pub(crate) fn put(
    stream: &mut Stream,
    setup: &Setup,
    request: u32,
    directory: &str,
    owner: Owner,
) -> io::Result<Result<(), Failure>> {
    let mut data = Data { stream, request, piece: Vec::new(), at: 0, ended: false };
    let result = unpack(&mut data, setup, directory, owner);
    // Whatever of the tar was not read still has to be taken off the stream.
    data.drain()?;
    Ok(result)
}

fn unpack(data: &mut Data<'_>, setup: &Setup, directory: &str, owner: Owner) -> Result<(), Failure> {
    let (root, rest) = match directory.strip_prefix(files::SKILLS) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (files::open_skills()?, rest),
        _ => files::split(directory, &setup.writable)?,
    };
    let target = make_directories(&root, rest, setup, owner)?;
    let mut archive = tar::Archive::new(data);
    let broken = |error: &io::Error| Failure::of_io(error, "the archive");
    for entry in archive.entries().map_err(|error| broken(&error))? {
        let mut entry = entry.map_err(|error| broken(&error))?;
        let path = entry.path_bytes().into_owned();
        let path = plain(&path)?.to_owned();
        match entry.header().entry_type() {
            EntryType::Directory => drop(make_directories(&target, &path, setup, owner)?),
            EntryType::Regular => {
                let (parent, name) = path.rsplit_once('/').unwrap_or((".", &path));
                let parent = make_directories(&target, parent, setup, owner)?;
                let mode = if entry.header().mode().unwrap_or(0) & 0o100 == 0 { 0o644 } else { 0o755 };
                let mut file = create(&parent, name, mode, setup, owner)?;
                io::copy(&mut entry, &mut file).map_err(|error| Failure::of_io(&error, &path))?;
            }
            _ => {
                let message = format!("{path}: only files and directories are taken");
                return Err(Failure::new(FailKind::BadRequest, message));
            }
        }
    }
    Ok(())
}

/// A relative path of ordinary names.
fn plain(path: &[u8]) -> Result<&str, Failure> {
    let refuse =
        || Failure::new(FailKind::BadRequest, format!("{}: not a plain name", String::from_utf8_lossy(path)));
    let text = std::str::from_utf8(path).map_err(|_| refuse())?;
    let text = text.strip_suffix('/').unwrap_or(text);
    let good =
        !text.is_empty() && text.split('/').all(|part| !part.is_empty() && part != ".." && part != ".");
    if good && !text.contains('\0') { Ok(text) } else { Err(refuse()) }
}

/// The data frames of a request as a reader.
struct Data<'a> {
    stream: &'a mut Stream,
    request: u32,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Data<'_> {
    fn drain(&mut self) -> io::Result<()> {
        while !self.ended {
            self.ended = self.stream.next_data(self.request)?.is_none();
        }
        Ok(())
    }
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            match self.stream.next_data(self.request)? {
                Some(piece) => {
                    self.piece = piece;
                    self.at = 0;
                }
                None => self.ended = true,
            }
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn only_plain_names_are_taken() {
        for (given, expected) in [
            ("a", "a"),
            ("a/b.txt", "a/b.txt"),
            ("dir/", "dir"),
            ("a b/ü", "a b/ü"),
            ("...", "..."),
            (".x", ".x"),
        ] {
            assert_eq!(plain(given.as_bytes()).unwrap(), expected);
        }
        let refused: [&[u8]; 10] =
            [b"", b"/", b"/etc/passwd", b"..", b"a/../b", b"a//b", b"./a", b"a/.", b"a\0b", b"\xff"];
        for given in refused {
            assert!(plain(given).is_err(), "{:?}", String::from_utf8_lossy(given));
        }
    }
}
