//! Listing of the output directory.

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

/// Answers a `ListOutput`.
pub(crate) fn list(stream: &mut Stream, setup: &Setup, request: u32, max_entries: u32) -> io::Result<()> {
    let root = match open_directory(&setup.output) {
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
                return Err(Stop::Root(Failure::new(FailKind::Other, "the output directory cannot be read")));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::{self, File};
    use std::io::{Read as _, Seek as _};
    use std::path::Path;

    use init_protocol::{Decoder, parse_message};

    use super::*;
    use crate::sys::StreamFiles;

    /// What a listing of a directory says: the entries by path, and whether there are more.
    fn listed(directory: &Path, most: u32) -> (BTreeMap<String, Entry>, bool) {
        let mut out = tempfile::tempfile().unwrap();
        let input = File::open("/dev/null").unwrap();
        let mut stream = Stream::new(StreamFiles { input, output: out.try_clone().unwrap() });
        let setup = Setup {
            uid: 1000,
            gid: 1000,
            lifetime_ms: 1000,
            output: directory.to_str().unwrap().to_owned(),
            writable: Vec::new(),
            readable: Vec::new(),
            max_open_files: 10,
            max_file_size: 10,
            max_processes: None,
            allow_missing_landlock: false,
        };
        list(&mut stream, &setup, 7, most).unwrap();
        let mut bytes = Vec::new();
        out.rewind().unwrap();
        out.read_to_end(&mut bytes).unwrap();
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        let mut entries = BTreeMap::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            assert_eq!(frame.request, 7);
            match parse_message::<FromInit>(&frame.payload).unwrap() {
                FromInit::Entries(batch) => {
                    for entry in batch {
                        let path = String::from_utf8_lossy(&entry.path).into_owned();
                        assert!(entries.insert(path.clone(), entry).is_none(), "{path} twice");
                    }
                }
                FromInit::Listed { truncated } => return (entries, truncated),
                other => panic!("{other:?}"),
            }
        }
        panic!("no end of the listing");
    }

    #[test]
    fn everything_is_counted_once_and_as_what_it_is() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("a/b")).unwrap();
        fs::write(place.path().join("a/b/c"), "12345").unwrap();
        fs::write(place.path().join("x"), "").unwrap();
        fs::hard_link(place.path().join("x"), place.path().join("y")).unwrap();
        std::os::unix::fs::symlink("/etc", place.path().join("l")).unwrap();
        let (entries, truncated) = listed(place.path(), 100);
        let seen: Vec<(&str, EntryKind, u64, u32)> = entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry.kind, entry.size, entry.links))
            .collect();
        let expected = [
            ("a/b/c", EntryKind::File, 5, 1),
            ("l", EntryKind::Symlink, 4, 1),
            ("x", EntryKind::File, 0, 2),
            ("y", EntryKind::File, 0, 2),
        ];
        assert_eq!((seen, truncated), (expected.to_vec(), false));
    }

    #[test]
    fn as_many_as_were_asked_for_in_as_many_messages_as_needed() {
        let place = tempfile::tempdir().unwrap();
        let long = "n".repeat(200);
        for number in 0..1000 {
            fs::write(place.path().join(format!("{long}{number}")), "").unwrap();
        }
        for (most, expected, truncated) in
            [(1001, 1000, false), (1000, 1000, false), (999, 999, true), (0, 0, true)]
        {
            let (entries, more) = listed(place.path(), most);
            assert_eq!((entries.len(), more), (expected, truncated), "{most}");
        }
    }

    #[test]
    fn what_is_too_deep_is_said_and_not_walked() {
        let place = tempfile::tempdir().unwrap();
        let deep = vec!["d"; MAX_DEPTH + 2].join("/");
        fs::create_dir_all(place.path().join(&deep)).unwrap();
        fs::write(place.path().join(&deep).join("file"), "").unwrap();
        let (entries, _) = listed(place.path(), 100);
        let kinds: Vec<EntryKind> = entries.values().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [EntryKind::UnreadableDirectory], "{entries:?}");
    }
}
