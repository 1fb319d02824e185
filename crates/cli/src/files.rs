//! Output files on their way to the user's disk.
//!
//! Names come from the sandbox and are data. Every component is opened or created by itself below a directory
//! descriptor and no link is followed, so that nothing outside the chosen directory can be reached, whatever stands there
//! already. A file appears by a rename, whole or not at all, and a rename replaces a link instead of following it.
//! Hidden names are special to many programs (`.bashrc`, `.git/hooks`), so they never replace anything.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use artifact::{ArtifactId, ArtifactStore};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, unlinkat},
    io::Errno,
};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tool::{OutputFile, OutputFileState};

use crate::{error::CommandError, escape};

/// Bytes that are copied at a time.
const CHUNK: usize = 256 * 1024;

/// The directory that output files go to. Made with the first file.
#[derive(Debug)]
pub(crate) struct OutputDirectory {
    path: PathBuf,
    open: Option<OwnedFd>,
}

/// What became of an output file of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// As the call listed it.
    pub(crate) file: OutputFile,
    /// Where it is now; or why it is not on the disk, which is not the same as left out by a limit.
    pub(crate) place: Result<PathBuf, NotDelivered>,
}

/// Why an output file is not on the user's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDelivered {
    /// The call left it out, and says why.
    LeftOut(String),
    /// Nobody wanted the files.
    Unwanted,
    /// It could not be written: something is lost.
    Lost(String),
}

impl OutputDirectory {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }

    /// Writes the files of a call.
    pub(crate) async fn deliver(
        &mut self,
        files: &[OutputFile],
        store: &dyn ArtifactStore,
    ) -> Vec<Delivered> {
        let mut delivered = Vec::with_capacity(files.len());
        for file in files {
            let place = match &file.state {
                OutputFileState::Failed { error } | OutputFileState::Deferred { error, .. } => {
                    Err(NotDelivered::LeftOut(error.clone()))
                }
                OutputFileState::Stored { id, .. } => {
                    self.take(&file.name, id, store).await.map_err(NotDelivered::Lost)
                }
            };
            delivered.push(Delivered { file: file.clone(), place });
        }
        delivered
    }

    async fn take(&mut self, name: &str, id: &str, store: &dyn ArtifactStore) -> Result<PathBuf, String> {
        let id: ArtifactId =
            id.parse().map_err(|_| "the store gave an id that it does not know".to_owned())?;
        let content = store.open(&id).await.map_err(|error| CommandError::from(error).message)?;
        let content = content.ok_or("the store does not hand out its files")?;
        self.write(name, content.body).await.map_err(|error| error.to_string())
    }

    /// Writes one file under a name from the sandbox.
    async fn write(&mut self, name: &str, mut body: impl AsyncRead + Unpin) -> io::Result<PathBuf> {
        let parts = components(name).ok_or_else(|| io::Error::other("the name is not valid"))?;
        let Some((file, directories)) = parts.split_last() else {
            return Err(io::Error::other("the name is not valid"));
        };
        let mut directory = self.root()?;
        for part in directories {
            directory = enter(&directory, part)?;
        }
        let temporary = Temporary::create(directory)?;
        let mut out = temporary.file.try_clone()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match body.read(&mut buffer).await? {
                0 => break,
                length => out.write_all(&buffer[..length])?,
            }
        }
        temporary.publish(file)?;
        Ok(parts.iter().fold(self.path.clone(), |path, part| path.join(part)))
    }

    /// The directory that the user chose; links in its own path are the user's.
    fn root(&mut self) -> io::Result<OwnedFd> {
        if self.open.is_none() {
            std::fs::create_dir_all(&self.path)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.open = Some(openat(CWD, &self.path, flags, Mode::empty())?);
        }
        match &self.open {
            Some(open) => open.try_clone(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The components of a name, if each of them is one.
fn components(name: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = name.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && *part != "." && *part != ".." && !part.contains('\0');
    parts.iter().all(plain).then_some(parts)
}

fn is_hidden(part: &str) -> bool {
    part.starts_with('.')
}

/// Opens a directory below another, made where it is missing; a link is none.
fn enter(parent: &OwnedFd, part: &str) -> io::Result<OwnedFd> {
    match mkdirat(parent, part, Mode::from_raw_mode(0o777)) {
        Ok(()) => {}
        Err(Errno::EXIST) if !is_hidden(part) => {}
        Err(Errno::EXIST) => return Err(io::Error::other("a hidden directory of this name exists already")),
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, part, flags, Mode::empty())?)
}

/// A file that has no name of its own yet; removed unless it gets one.
struct Temporary {
    directory: OwnedFd,
    name: String,
    file: File,
    published: bool,
}

impl Temporary {
    fn create(directory: OwnedFd) -> io::Result<Self> {
        let name = format!(".skillbox-{}.part", uuid::Uuid::new_v4().simple());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&directory, name.as_str(), flags, Mode::from_raw_mode(0o666))?;
        Ok(Self { directory, name, file: file.into(), published: false })
    }

    fn publish(mut self, name: &str) -> io::Result<()> {
        let directory = self.directory.as_fd();
        if is_hidden(name) {
            renameat_with(directory, self.name.as_str(), directory, name, RenameFlags::NOREPLACE).map_err(
                |error| match error {
                    Errno::EXIST => io::Error::other("a hidden file of this name exists already"),
                    other => other.into(),
                },
            )?;
        } else {
            renameat(directory, self.name.as_str(), directory, name)?;
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a failure here, and the name says what it is.
            _ = unlinkat(&self.directory, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// A path as it may be shown.
pub(crate) fn shown(path: &Path) -> String {
    escape::line(&path.to_string_lossy())
}

/// The `file://` URL of a path, which is made absolute.
pub(crate) fn url(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut url = "file://".to_owned();
    for byte in absolute.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                url.push(char::from(*byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    async fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
        OutputDirectory::new(directory).write(name, bytes).await.map_err(|error| error.to_string())
    }

    /// Everything below a directory, sorted.
    fn tree(directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                found.extend(tree(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
            } else {
                found.push(name);
            }
        }
        found.sort();
        found
    }

    #[tokio::test]
    async fn files_appear_below_the_directory_and_replace_older_ones() {
        let top = tempfile::tempdir().unwrap();
        let out = top.path().join("new/output");
        assert_eq!(write(&out, "a/b/c.txt", b"one").await, Ok(out.join("a/b/c.txt")));
        assert_eq!(write(&out, "a/b/c.txt", b"two").await, Ok(out.join("a/b/c.txt")));
        assert_eq!(fs::read(out.join("a/b/c.txt")).unwrap(), b"two");
        assert_eq!(tree(&out), ["a/b/c.txt"]);
    }

    #[tokio::test]
    async fn names_that_lead_out_are_refused() {
        let top = tempfile::tempdir().unwrap();
        let out = top.path().join("output");
        for name in ["", ".", "..", "../a", "a/../../b", "/etc/x", "a//b", "a/", "./a", "a\0b"] {
            assert!(write(&out, name, b"x").await.is_err(), "{name:?}");
        }
        assert!(tree(top.path()).is_empty());
    }

    #[tokio::test]
    async fn links_that_stand_there_are_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let (out, outside) = (top.path().join("output"), top.path().join("outside"));
        fs::create_dir(&out).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("victim"), b"safe").unwrap();
        symlink(&outside, out.join("dir")).unwrap();
        symlink(outside.join("victim"), out.join("file")).unwrap();
        assert!(write(&out, "dir/victim", b"x").await.is_err());
        assert!(write(&out, "dir/new", b"x").await.is_err());
        // The link is replaced; what it led to stays.
        write(&out, "file", b"mine").await.unwrap();
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"safe");
        assert!(fs::symlink_metadata(out.join("file")).unwrap().is_file());
        assert_eq!(tree(&outside), ["victim"]);
    }

    #[tokio::test]
    async fn hidden_names_are_written_but_replace_nothing() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join(".git/hooks")).unwrap();
        fs::write(top.path().join(".bashrc"), b"mine").unwrap();
        assert!(write(top.path(), ".bashrc", b"evil").await.unwrap_err().contains("hidden"));
        assert!(write(top.path(), ".git/hooks/pre-commit", b"evil").await.unwrap_err().contains("hidden"));
        write(top.path(), ".new/.file", b"fine").await.unwrap();
        assert_eq!(fs::read(top.path().join(".bashrc")).unwrap(), b"mine");
        assert_eq!(tree(top.path()), [".bashrc", ".new/.file"]);
    }

    #[tokio::test]
    async fn a_directory_in_the_place_of_a_file_is_an_error_that_leaves_nothing() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("a")).unwrap();
        assert!(write(top.path(), "a", b"x").await.is_err());
        assert!(write(top.path(), &"x".repeat(300), b"x").await.is_err());
        assert!(tree(top.path()).is_empty());
    }

    #[test]
    fn urls_and_shown_paths_are_harmless() {
        assert_eq!(url(Path::new("/a b/ü#?.png")), "file:///a%20b/%C3%BC%23%3F.png");
        assert_eq!(shown(Path::new("out/a\x1b[2J\n.png")), "out/a\\e[2J\\n.png");
    }
}
