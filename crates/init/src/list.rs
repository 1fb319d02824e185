//! Listing of a directory that programs write to.

use std::io;
use std::os::fd::OwnedFd;

use init_protocol::{Entry, EntryKind, FailKind, FromInit, Setup};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use crate::files::{Failure, NO_LINKS, open_directory};
use crate::stream::Stream;

/// Directories nested deeper than this are listed as unreadable.
const MAX_DEPTH: usize = 32;

/// Bytes of paths that go into one message, well below a frame.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Estimate of what an entry takes beside its path.
const ENTRY_BYTES: usize = 64;

/// Answers a `List`.
pub(crate) fn list(
    stream: &mut Stream,
    setup: &Setup,
    request: u32,
    directory: &str,
    max_entries: u32,
) -> io::Result<()> {
    let allowed = setup.writable.iter().any(|writable| writable == directory);
    let outside = || Failure::new(FailKind::OutsideAllowed, "this directory is not listed");
    let root = match allowed.then(|| open_directory(directory)).unwrap_or_else(|| Err(outside())) {
        Ok(root) => root,
        Err(failure) => return stream.answer(request, &failure.into_message()),
    };
    let mut listing = Listing { stream, request, batch: Vec::new(), batch_bytes: 0, left: max_entries };
    let truncated = match walk(&root, &mut listing) {
        Ok(()) => false,
        Err(Stop::Full) => true,
        Err(Stop::Stream(error)) => return Err(error),
        Err(Stop::Root(failure)) => return listing.stream.answer(request, &failure.into_message()),
    };
    listing.send()?;
    stream.answer(request, &FromInit::Listed { truncated })
}

enum Stop {
    Full,
    Stream(io::Error),
    Root(Failure),
}

struct Listing<'a> {
    stream: &'a mut Stream,
    request: u32,
    batch: Vec<Entry>,
    batch_bytes: usize,
    left: u32,
}

impl Listing<'_> {
    fn add(&mut self, entry: Entry) -> Result<(), Stop> {
        let Some(left) = self.left.checked_sub(1) else { return Err(Stop::Full) };
        self.left = left;
        self.batch_bytes += entry.path.len() + ENTRY_BYTES;
        self.batch.push(entry);
        if self.batch_bytes > MESSAGE_BYTES { self.send().map_err(Stop::Stream) } else { Ok(()) }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        self.stream.send(self.request, &FromInit::Entries(std::mem::take(&mut self.batch)))
    }
}

/// Depth first, with the directories still to visit on a list of our own: paths, not descriptors, so that a deep tree
/// cannot use those up.
fn walk(root: &OwnedFd, listing: &mut Listing<'_>) -> Result<(), Stop> {
    let mut pending: Vec<(Vec<u8>, usize)> = vec![(Vec::new(), 0)];
    while let Some((prefix, depth)) = pending.pop() {
        let opened = if depth > MAX_DEPTH { None } else { open(root, &prefix) };
        let Some((fd, dir)) = opened else {
            if prefix.is_empty() {
                return Err(Stop::Root(Failure::new(FailKind::Other, "the directory cannot be read")));
            }
            listing.add(unreadable(prefix))?;
            continue;
        };
        for item in dir {
            // An error in the middle of a directory ends that directory; what was seen is listed.
            let Ok(item) = item else { break };
            let name = item.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let mut path = prefix.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let Ok(stat) = rustix::fs::statat(&fd, item.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    pending.push((path, depth + 1));
                    continue;
                }
                FileType::RegularFile => EntryKind::File,
                FileType::Symlink => EntryKind::Symlink,
                _ => EntryKind::Special,
            };
            listing.add(Entry {
                path,
                kind,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                allocated: u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
                inode: stat.st_ino,
                #[expect(clippy::cast_possible_wrap, reason = "nanoseconds are below a billion")]
                changed_ns: stat.st_ctime.wrapping_mul(1_000_000_000).wrapping_add(stat.st_ctime_nsec as i64),
                links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            })?;
        }
    }
    Ok(())
}

fn open(root: &OwnedFd, path: &[u8]) -> Option<(OwnedFd, Dir)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let fd = rustix::fs::openat2(root, path, flags, Mode::empty(), NO_LINKS).ok()?;
    let dir = Dir::read_from(&fd).ok()?;
    Some((fd, dir))
}

fn unreadable(path: Vec<u8>) -> Entry {
    Entry {
        path,
        kind: EntryKind::UnreadableDirectory,
        size: 0,
        allocated: 0,
        inode: 0,
        changed_ns: 0,
        links: 1,
    }
}
