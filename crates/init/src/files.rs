//! Files for the runner: written, read and fetched below allowed directories, whatever user code put in the way.
//!
//! Every path is opened relative to its directory with `openat2`: the kernel itself refuses to leave it by `..`, by an
//! absolute or a magic link, or through a mount. Looking first and opening then would lose against a program that
//! swaps names in between; here there is nothing in between.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use init_protocol::{CHUNK, FailKind, FetchFile, FromInit, Kind, Owner, Setup};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use crate::stream::Stream;

/// Follow links only inside the directory.
pub(crate) const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// Follow no links and leave no file system.
pub(crate) const NO_LINKS: ResolveFlags =
    INSIDE.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// Where programs find skills; only init may write there.
pub(crate) const SKILLS: &str = "/skills";

/// A request that failed, in the words of the protocol.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailKind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn of(error: Errno, what: &str) -> Self {
        let (kind, text) = match error {
            Errno::NOENT | Errno::NOTDIR => (FailKind::NotFound, "no such file or directory"),
            Errno::ISDIR => (FailKind::NotAFile, "is a directory"),
            // Opening a FIFO without a reader, a socket, or a device.
            Errno::NXIO | Errno::NODEV => (FailKind::NotAFile, "not a regular file"),
            Errno::XDEV | Errno::LOOP => (FailKind::OutsideAllowed, "a link that leads outside"),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => (FailKind::Permission, "permission denied"),
            Errno::NOSPC | Errno::DQUOT => (FailKind::NoSpace, "no space left in the sandbox"),
            Errno::FBIG => (FailKind::NoSpace, "file too large"),
            Errno::NAMETOOLONG => (FailKind::Other, "name too long"),
            _ => return Self::new(FailKind::Other, format!("{what}: {error}")),
        };
        Self::new(kind, format!("{what}: {text}"))
    }

    pub(crate) fn of_io(error: &io::Error, what: &str) -> Self {
        match Errno::from_io_error(error) {
            Some(errno) => Self::of(errno, what),
            None => Self::new(FailKind::Other, format!("{what}: {error}")),
        }
    }

    pub(crate) fn into_message(self) -> FromInit {
        FromInit::Failed { kind: self.kind, message: self.message }
    }
}

/// Splits a path into the allowed directory that it is below, and the rest.
pub(crate) fn split<'a>(path: &'a str, allowed: &[String]) -> Result<(OwnedFd, &'a str), Failure> {
    for directory in allowed {
        if let Some(rest) = path.strip_prefix(directory.as_str())
            && (rest.is_empty() || rest.starts_with('/'))
        {
            let root = open_directory(directory)?;
            let rest = rest.trim_matches('/');
            return Ok((root, if rest.is_empty() { "." } else { rest }));
        }
    }
    Err(Failure::new(FailKind::OutsideAllowed, format!("{path}: outside of the allowed directories")))
}

/// Opens one of the sandbox's own directories. They are mount points: user code cannot replace them.
pub(crate) fn open_directory(path: &str) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| Failure::of(error, path))
}

/// Opens the directory of skills to write into it: through the descriptor that the driver gave, where programs see a
/// read-only mount; else by its name, where only its owner protects it.
pub(crate) fn open_skills() -> Result<OwnedFd, Failure> {
    match crate::sys::given_skills() {
        Some(given) => given.try_clone_to_owned().map_err(|error| Failure::of_io(&error, SKILLS)),
        None => open_directory(SKILLS),
    }
}

/// Makes what is missing of a directory path below `root` and opens it.
pub(crate) fn make_directories(
    root: &OwnedFd,
    path: &str,
    setup: &Setup,
    owner: Owner,
) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |at: &OwnedFd, name: &str| rustix::fs::openat2(at, name, flags, Mode::empty(), NO_LINKS);
    let mut at = open(root, ".").map_err(|error| Failure::of(error, path))?;
    for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
        at = match open(&at, name) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) => give(&at, name, setup, owner).map_err(|error| Failure::of(error, path))?,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(Failure::of(error, path)),
                }
                open(&at, name).map_err(|error| Failure::of(error, path))?
            }
            Err(error) => return Err(Failure::of(error, path)),
        };
    }
    Ok(at)
}

/// Gives a new file to its owner.
fn give(at: &OwnedFd, name: &str, setup: &Setup, owner: Owner) -> Result<(), Errno> {
    match owner {
        Owner::Init => Ok(()),
        Owner::User => rustix::fs::chownat(
            at,
            name,
            Some(Uid::from_raw(setup.uid)),
            Some(Gid::from_raw(setup.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        ),
    }
}

/// Creates or replaces the regular file `name` in a directory.
pub(crate) fn create(
    at: &OwnedFd,
    name: &str,
    mode: u32,
    setup: &Setup,
    owner: Owner,
) -> Result<File, Failure> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::TRUNC
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(at, name, flags, Mode::from_raw_mode(mode), NO_LINKS)
        .map_err(|error| Failure::of(error, name))?;
    regular(&file, name)?;
    // The mode of open is cut by the umask and ignored for a file that existed.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|error| Failure::of(error, name))?;
    if owner == Owner::User {
        rustix::fs::fchown(&file, Some(Uid::from_raw(setup.uid)), Some(Gid::from_raw(setup.gid)))
            .map_err(|error| Failure::of(error, name))?;
    }
    Ok(File::from(file))
}

fn regular(file: &OwnedFd, name: &str) -> Result<Stat, Failure> {
    let stat = rustix::fs::fstat(file).map_err(|error| Failure::of(error, name))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat),
        FileType::Directory => Err(Failure::new(FailKind::NotAFile, format!("{name}: is a directory"))),
        _ => Err(Failure::new(FailKind::NotAFile, format!("{name}: not a regular file"))),
    }
}

/// Takes the bytes of a `Write`. The outer error ends init, the inner one is the answer.
pub(crate) fn write(
    stream: &mut Stream,
    setup: &Setup,
    request: u32,
    path: &str,
) -> io::Result<Result<(), Failure>> {
    let mut target = open_for_write(setup, path);
    while let Some(data) = stream.next_data(request)? {
        if let Ok(file) = &mut target
            && let Err(error) = file.write_all(&data)
        {
            // The rest of the bytes still has to be taken off the stream.
            target = Err(Failure::of_io(&error, path));
        }
    }
    Ok(target.map(drop))
}

fn open_for_write(setup: &Setup, path: &str) -> Result<File, Failure> {
    let (root, rest) = split(path, &setup.writable)?;
    let (directory, name) = match rest.rsplit_once('/') {
        Some((directory, name)) => (make_directories(&root, directory, setup, Owner::User)?, name),
        None => (root, rest),
    };
    if name == "." {
        return Err(Failure::new(FailKind::NotAFile, format!("{path}: is a directory")));
    }
    create(&directory, name, 0o644, setup, Owner::User).map_err(|failure| failure.about(path))
}

impl Failure {
    /// The same failure with the whole path in its message.
    fn about(self, path: &str) -> Self {
        let text = self.message.split_once(": ").map_or(self.message.as_str(), |(_, text)| text);
        Self { kind: self.kind, message: format!("{path}: {text}") }
    }
}

/// Answers a `Read` up to its final message.
pub(crate) fn read(
    stream: &mut Stream,
    setup: &Setup,
    request: u32,
    path: &str,
    offset: u64,
    limit: u64,
) -> io::Result<Result<(), Failure>> {
    let opened = split(path, &setup.readable).and_then(|(root, rest)| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = rustix::fs::openat2(&root, rest, flags, Mode::empty(), INSIDE)
            .map_err(|error| Failure::of(error, path))?;
        let stat = regular(&file, path)?;
        Ok((File::from(file), stat))
    });
    match opened {
        Ok((file, stat)) => send_range(stream, request, &file, size(&stat), offset, limit, path),
        Err(failure) => Ok(Err(failure)),
    }
}

/// Answers a `Fetch` up to its final message.
pub(crate) fn fetch(stream: &mut Stream, setup: &Setup, request: u32, files: &[FetchFile]) -> io::Result<()> {
    let root = match open_directory(&setup.output) {
        Ok(root) => root,
        Err(failure) => return Err(io::Error::other(failure.message)),
    };
    for wanted in files {
        let name = String::from_utf8_lossy(&wanted.path);
        let result = match open_output(&root, wanted, &name) {
            Ok((file, stat)) => {
                send_range(stream, request, &file, size(&stat), wanted.offset, wanted.limit, &name)?
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = result {
            stream.send(request, &failure.into_message())?;
        }
    }
    Ok(())
}

fn open_output(root: &OwnedFd, wanted: &FetchFile, name: &str) -> Result<(File, Stat), Failure> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::openat2(root, wanted.path.as_slice(), flags, Mode::empty(), NO_LINKS)
        .map_err(|error| Failure::of(error, name))?;
    let stat = regular(&file, name)?;
    if stat.st_nlink != 1 {
        return Err(Failure::new(FailKind::NotAFile, format!("{name}: has more than one hard link")));
    }
    Ok((File::from(file), stat))
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn send_range(
    stream: &mut Stream,
    request: u32,
    file: &File,
    size: u64,
    offset: u64,
    limit: u64,
    name: &str,
) -> io::Result<Result<(), Failure>> {
    let sending = size.saturating_sub(offset).min(limit);
    stream.send(request, &FromInit::File { size, sending })?;
    let mut left = sending;
    let mut at = offset;
    let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        match file.read_at(&mut chunk[..most], at) {
            Ok(0) => return Ok(Err(Failure::new(FailKind::Changed, format!("{name}: became shorter")))),
            Ok(length) => {
                stream.send_raw(request, Kind::Data, &chunk[..length])?;
                left -= length as u64;
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(Failure::of_io(&error, name))),
        }
    }
    Ok(Ok(()))
}

/// Opens a path that must not be a link, for the wall's rules.
pub(crate) fn open_path(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_the_directory_that_it_is_below() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().to_str().unwrap().to_owned();
        let allowed = ["/nowhere/else".to_owned(), root.clone()];
        let rest = |path: &str| match split(path, &allowed) {
            Ok((_, rest)) => Ok(rest.to_owned()),
            Err(failure) => Err(failure.kind),
        };
        for (path, expected) in [("", "."), ("/", "."), ("/a", "a"), ("//a/b/", "a/b"), ("/../x", "../x")] {
            assert_eq!(rest(&format!("{root}{path}")), Ok(expected.to_owned()), "{path:?}");
        }
        for path in ["/etc/passwd", "relative", "", &format!("{root}x/a")] {
            assert_eq!(rest(path), Err(FailKind::OutsideAllowed), "{path:?}");
        }
        assert_eq!(rest("/nowhere/else/a"), Err(FailKind::NotFound));
    }

    #[test]
    fn nothing_that_is_opened_leads_out() {
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(place.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("out")).unwrap();
        std::os::unix::fs::symlink("/proc/self/root", inside.join("magic")).unwrap();
        std::fs::write(inside.join("plain"), "x").unwrap();
        std::os::unix::fs::symlink("plain", inside.join("link")).unwrap();
        let root = open_directory(inside.to_str().unwrap()).unwrap();
        let open =
            |name: &str, how| rustix::fs::openat2(&root, name, OFlags::PATH, Mode::empty(), how).is_ok();
        for (name, with_links, without) in [
            ("plain", true, true),
            ("link", true, false),
            ("out", false, false),
            ("../secret", false, false),
            ("/etc", false, false),
            ("magic", false, false),
        ] {
            assert_eq!((open(name, INSIDE), open(name, NO_LINKS)), (with_links, without), "{name}");
        }
    }

    #[test]
    fn failures_are_told_apart() {
        for (errno, kind) in [
            (Errno::NOENT, FailKind::NotFound),
            (Errno::ISDIR, FailKind::NotAFile),
            (Errno::NXIO, FailKind::NotAFile),
            (Errno::XDEV, FailKind::OutsideAllowed),
            (Errno::LOOP, FailKind::OutsideAllowed),
            (Errno::ROFS, FailKind::Permission),
            (Errno::NOSPC, FailKind::NoSpace),
            (Errno::FBIG, FailKind::NoSpace),
            (Errno::IO, FailKind::Other),
        ] {
            let failure = Failure::of(errno, "a/b");
            assert_eq!(failure.kind, kind);
            assert!(failure.message.starts_with("a/b: "), "{}", failure.message);
            assert!(failure.about("/whole/a/b").message.starts_with("/whole/a/b: "));
        }
    }
}
