//! The file system of a fake sandbox: names, inodes, links and limits in memory.
//!
//! It knows what the protocol can tell apart: files (also sparse), directories, links, FIFOs, owners, what was
//! changed, where a path really leads, and the limits of each writable directory. Permissions are two owners.

use std::collections::{BTreeMap, HashMap};

use init_protocol::{Entry, EntryKind, FailKind, Owner};

use crate::{Limits, layout};

/// Most links that one path may go through, as in Linux.
const MAX_LINKS: usize = 40;

/// Every directory that exists from the start.
const ROOTS: [&str; 6] =
    [layout::SKILLS, layout::WORKSPACE, layout::OUTPUT, layout::TMP, layout::SHM, layout::LAYERS];

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FsError {
    NotFound,
    NotADirectory,
    IsADirectory,
    NotAFile,
    Exists,
    Outside,
    ReadOnly,
    Permission,
    NoSpace,
    Loop,
}

impl FsError {
    pub(super) fn fail_kind(self) -> FailKind {
        match self {
            Self::NotFound => FailKind::NotFound,
            Self::NotADirectory | Self::IsADirectory | Self::NotAFile => FailKind::NotAFile,
            Self::Outside => FailKind::OutsideAllowed,
            Self::ReadOnly | Self::Permission => FailKind::Permission,
            Self::NoSpace => FailKind::NoSpace,
            Self::Exists | Self::Loop => FailKind::Other,
        }
    }

    /// The words of the C library.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NotFound => "No such file or directory",
            Self::NotADirectory => "Not a directory",
            Self::IsADirectory => "Is a directory",
            Self::NotAFile => "Not a regular file",
            Self::Exists => "File exists",
            Self::Outside => "The path leads outside of the allowed directories",
            Self::ReadOnly => "Read-only file system",
            Self::Permission => "Permission denied",
            Self::NoSpace => "No space left on device",
            Self::Loop => "Too many levels of symbolic links",
        }
    }
}

#[derive(Clone, Debug)]
enum Content {
    Directory,
    /// `size` beyond the bytes is a hole.
    File {
        bytes: Vec<u8>,
        size: u64,
    },
    Symlink(Vec<u8>),
    Fifo,
}

#[derive(Clone, Debug)]
struct Node {
    content: Content,
    owner: Owner,
    executable: bool,
    changed_ns: i64,
}

impl Node {
    fn stored(&self) -> u64 {
        match &self.content {
            Content::File { bytes, .. } => bytes.len() as u64,
            Content::Symlink(target) => target.len() as u64,
            Content::Directory | Content::Fifo => 0,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    bytes: u64,
    inodes: u64,
}

/// See the module. Paths are absolute bytes.
#[derive(Debug)]
pub(super) struct FileSystem {
    names: BTreeMap<Vec<u8>, u64>,
    nodes: HashMap<u64, Node>,
    used: HashMap<&'static str, Used>,
    limits: Limits,
    last_inode: u64,
    clock_ns: i64,
}

impl FileSystem {
    pub(super) fn new(limits: Limits) -> Self {
        let mut files = Self {
            names: BTreeMap::new(),
            nodes: HashMap::new(),
            used: HashMap::new(),
            limits,
            last_inode: 0,
            clock_ns: 0,
        };
        for root in ROOTS {
            let owner = if layout::PROGRAM_WRITABLE.contains(&root) { Owner::User } else { Owner::Init };
            let node = Node { content: Content::Directory, owner, executable: true, changed_ns: 0 };
            files.last_inode += 1;
            files.names.insert(root.as_bytes().to_vec(), files.last_inode);
            files.nodes.insert(files.last_inode, node);
        }
        files
    }

    /// Where a path leads for a program: through every link. The last name need not exist.
    fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        self.walk(path, None, Last::Follow)
    }

    /// Where a path leads for init: links may not leave `root`, and absolute ones are never followed.
    fn resolve_beneath(&self, path: &[u8], root: &str) -> Result<Vec<u8>, FsError> {
        self.walk(path, Some(root.as_bytes()), Last::Follow)
    }

    fn walk(&self, path: &[u8], root: Option<&[u8]>, last: Last) -> Result<Vec<u8>, FsError> {
        let mut left: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut current: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == b".." {
                let end = current.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                current.truncate(end);
                if root.is_some_and(|root| !is_below(&current, root)) {
                    return Err(FsError::Outside);
                }
                continue;
            }
            let mut next = current.clone();
            next.push(b'/');
            next.extend_from_slice(&name);
            match self.node(&next).map(|node| &node.content) {
                Some(Content::Symlink(target)) if !left.is_empty() || last == Last::Follow => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(FsError::Loop);
                    }
                    if target.starts_with(b"/") {
                        if root.is_some() {
                            return Err(FsError::Outside);
                        }
                        current.clear();
                    }
                    left.extend(components(target).rev().map(<[u8]>::to_vec));
                }
                Some(Content::Directory) => current = next,
                Some(_) if left.is_empty() => current = next,
                Some(_) => return Err(FsError::NotADirectory),
                // `/dev` and the like exist only as prefixes of the roots.
                None if left.is_empty() || ROOTS.iter().any(|root| is_below(root.as_bytes(), &next)) => {
                    current = next;
                }
                None => return Err(FsError::NotFound),
            }
        }
        Ok(current)
    }

    fn node(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(self.names.get(path)?)
    }

    fn tick(&mut self) -> i64 {
        self.clock_ns += 1;
        self.clock_ns
    }

    /// Makes sure that so much more fits where a path is.
    fn reserve(&mut self, path: &[u8], bytes: u64, inodes: u64) -> Result<(), FsError> {
        let root = root_of(path).ok_or(FsError::ReadOnly)?;
        let (most_bytes, most_inodes) = match root {
            layout::SHM => (self.limits.shm_bytes, self.limits.disk_inodes),
            layout::SKILLS | layout::LAYERS => (u64::MAX, u64::MAX),
            _ => (self.limits.disk_bytes, self.limits.disk_inodes),
        };
        let used = self.used.entry(root).or_default();
        if used.bytes + bytes > most_bytes || used.inodes + inodes > most_inodes {
            return Err(FsError::NoSpace);
        }
        used.bytes += bytes;
        used.inodes += inodes;
        Ok(())
    }

    fn release(&mut self, path: &[u8], bytes: u64, inodes: u64) {
        if let Some(used) = root_of(path).and_then(|root| self.used.get_mut(root)) {
            used.bytes = used.bytes.saturating_sub(bytes);
            used.inodes = used.inodes.saturating_sub(inodes);
        }
    }

    /// Adds a node at a resolved path that has none.
    fn add(&mut self, path: &[u8], content: Content, owner: Owner) -> Result<(), FsError> {
        if self.names.contains_key(path) {
            return Err(FsError::Exists);
        }
        let changed_ns = self.tick();
        let node = Node { content, owner, executable: false, changed_ns };
        self.reserve(path, node.stored(), 1)?;
        self.last_inode += 1;
        self.names.insert(path.to_vec(), self.last_inode);
        self.nodes.insert(self.last_inode, node);
        Ok(())
    }

    /// Whether a program may change what is at or would be at this resolved path.
    fn writable(&self, path: &[u8]) -> Result<(), FsError> {
        if !layout::PROGRAM_WRITABLE.iter().any(|root| is_below(path, root.as_bytes())) {
            return Err(FsError::ReadOnly);
        }
        match self.node(path) {
            Some(node) if node.owner == Owner::Init => Err(FsError::Permission),
            _ => Ok(()),
        }
    }

    /// Makes a directory and its parents.
    pub(super) fn make_directories(&mut self, path: &[u8], owner: Owner) -> Result<(), FsError> {
        let mut current = Vec::new();
        for name in components(path) {
            current.push(b'/');
            current.extend_from_slice(name);
            if ROOTS.iter().any(|root| is_below(root.as_bytes(), &current)) {
                continue;
            }
            let place = self.resolve(&current)?;
            match self.node(&place).map(|node| &node.content) {
                Some(Content::Directory) => {}
                Some(_) => return Err(FsError::NotADirectory),
                None => {
                    if owner == Owner::User {
                        self.writable(&place)?;
                    }
                    self.add(&place, Content::Directory, owner)?;
                }
            }
        }
        Ok(())
    }

    /// Creates or replaces a file for init or for a program.
    pub(super) fn write(&mut self, path: &[u8], bytes: Vec<u8>, owner: Owner) -> Result<(), FsError> {
        let size = bytes.len() as u64;
        if size > self.limits.file_bytes {
            return Err(FsError::NoSpace);
        }
        if let Some(parent) = parent(path) {
            self.make_directories(parent, owner)?;
        }
        let place = self.resolve(path)?;
        if owner == Owner::User {
            self.writable(&place)?;
        }
        self.set_content(&place, bytes, size, owner)
    }

    fn set_content(&mut self, place: &[u8], bytes: Vec<u8>, size: u64, owner: Owner) -> Result<(), FsError> {
        let Some(&inode) = self.names.get(place) else {
            return self.add(place, Content::File { bytes, size }, owner);
        };
        let before = match self.nodes.get(&inode) {
            Some(node) if matches!(node.content, Content::File { .. }) => node.stored(),
            Some(Node { content: Content::Directory, .. }) => return Err(FsError::IsADirectory),
            _ => return Err(FsError::NotAFile),
        };
        self.release(place, before, 0);
        if let Err(error) = self.reserve(place, bytes.len() as u64, 0) {
            self.reserve(place, before, 0)?;
            return Err(error);
        }
        let changed_ns = self.tick();
        if let Some(node) = self.nodes.get_mut(&inode) {
            node.content = Content::File { bytes, size };
            node.changed_ns = changed_ns;
        }
        Ok(())
    }

    /// What init does for `Write`: below one root, and through no link at all.
    pub(super) fn write_beneath(&mut self, path: &[u8], root: &str, bytes: Vec<u8>) -> Result<(), FsError> {
        if !is_below(path, root.as_bytes()) || self.has_link(path) {
            return Err(FsError::Outside);
        }
        if matches!(self.node(path), Some(Node { content: Content::Fifo, .. })) {
            return Err(FsError::NotAFile);
        }
        self.write(path, bytes, Owner::User)
    }

    /// Marks a file as executable.
    pub(super) fn set_executable(&mut self, path: &[u8]) {
        if let Some(node) = self.names.get(path).and_then(|inode| self.nodes.get_mut(inode)) {
            node.executable = true;
        }
    }

    /// Whether a file may be executed; `None` where there is no file.
    pub(super) fn is_executable(&self, path: &[u8]) -> Option<bool> {
        let place = self.resolve(path).ok()?;
        let node = self.node(&place)?;
        Some(node.executable && matches!(node.content, Content::File { .. }))
    }

    /// A program's view of a file.
    pub(super) fn read(&self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        let place = self.resolve(path)?;
        let (_, size) = self.file(&place)?;
        Ok(self.range(&place, 0, size))
    }

    /// Size of a file, and the resolved path to read it from, for init's `Read`.
    pub(super) fn open_beneath(&self, path: &[u8], root: &str) -> Result<(Vec<u8>, u64), FsError> {
        let place = self.resolve_beneath(path, root)?;
        let (_, size) = self.file(&place)?;
        Ok((place, size))
    }

    /// Size of a file for init's `Fetch`, which follows no link at all.
    pub(super) fn open_output(&self, relative: &[u8]) -> Result<(Vec<u8>, u64), FsError> {
        if relative.starts_with(b"/") || components(relative).any(|name| name == b"..") {
            return Err(FsError::Outside);
        }
        let mut path = layout::OUTPUT.as_bytes().to_vec();
        path.push(b'/');
        path.extend_from_slice(relative);
        if self.has_link(&path) {
            return Err(FsError::Outside);
        }
        let (_, size) = self.file(&path)?;
        let inode = self.names.get(&path);
        if inode.is_some_and(|inode| self.names.values().filter(|other| *other == inode).count() != 1) {
            return Err(FsError::NotAFile);
        }
        Ok((path, size))
    }

    /// Whether a name on this path, the last included, is a link.
    fn has_link(&self, path: &[u8]) -> bool {
        let mut current = Vec::new();
        components(path).any(|name| {
            current.push(b'/');
            current.extend_from_slice(name);
            matches!(self.node(&current), Some(Node { content: Content::Symlink(_), .. }))
        })
    }

    fn file(&self, place: &[u8]) -> Result<(&[u8], u64), FsError> {
        match self.node(place).map(|node| &node.content) {
            Some(Content::File { bytes, size }) => Ok((bytes, *size)),
            Some(Content::Directory) => Err(FsError::IsADirectory),
            Some(Content::Symlink(_) | Content::Fifo) => Err(FsError::NotAFile),
            None => Err(FsError::NotFound),
        }
    }

    /// Bytes of a file at a resolved path; holes read as zeros.
    pub(super) fn range(&self, place: &[u8], offset: u64, limit: u64) -> Vec<u8> {
        let Ok((bytes, size)) = self.file(place) else { return Vec::new() };
        let start = offset.min(size);
        let end = start.saturating_add(limit).min(size);
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let mut range = bytes[index(start)..index(end)].to_vec();
        range.resize(usize::try_from(end - start).unwrap_or(0), 0);
        range
    }

    pub(super) fn set_length(&mut self, path: &[u8], length: u64) -> Result<(), FsError> {
        if length > self.limits.file_bytes {
            return Err(FsError::NoSpace);
        }
        if let Some(parent) = parent(path) {
            self.make_directories(parent, Owner::User)?;
        }
        let place = self.resolve(path)?;
        self.writable(&place)?;
        let mut bytes = match self.file(&place) {
            Ok((bytes, _)) => bytes.to_vec(),
            Err(FsError::NotFound) => Vec::new(),
            Err(error) => return Err(error),
        };
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.set_content(&place, bytes, length, Owner::User)
    }

    pub(super) fn remove(&mut self, path: &[u8]) -> Result<(), FsError> {
        let place = self.walk(path, None, Last::Keep)?;
        self.writable(&place)?;
        let below: Vec<Vec<u8>> = self
            .names
            .range(place.clone()..)
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(&place))
            .filter(|name| is_below(name, &place))
            .cloned()
            .collect();
        let mut links = self.links();
        for name in below {
            let Some(inode) = self.names.remove(&name) else { continue };
            let left = links.entry(inode).or_insert(1);
            *left -= 1;
            if *left == 0
                && let Some(node) = self.nodes.remove(&inode)
            {
                self.release(&name, node.stored(), 1);
            }
        }
        Ok(())
    }

    pub(super) fn symlink(&mut self, target: &[u8], path: &[u8]) -> Result<(), FsError> {
        self.make_special(path, Content::Symlink(target.to_vec()))
    }

    pub(super) fn fifo(&mut self, path: &[u8]) -> Result<(), FsError> {
        self.make_special(path, Content::Fifo)
    }

    fn make_special(&mut self, path: &[u8], content: Content) -> Result<(), FsError> {
        if let Some(parent) = parent(path) {
            self.make_directories(parent, Owner::User)?;
        }
        let place = self.walk(path, None, Last::Keep)?;
        self.writable(&place)?;
        self.add(&place, content, Owner::User)
    }

    pub(super) fn hard_link(&mut self, target: &[u8], path: &[u8]) -> Result<(), FsError> {
        let from = self.walk(target, None, Last::Keep)?;
        let inode = *self.names.get(&from).ok_or(FsError::NotFound)?;
        if let Some(parent) = parent(path) {
            self.make_directories(parent, Owner::User)?;
        }
        let place = self.walk(path, None, Last::Keep)?;
        self.writable(&place)?;
        if self.names.contains_key(&place) {
            return Err(FsError::Exists);
        }
        let changed_ns = self.tick();
        if let Some(node) = self.nodes.get_mut(&inode) {
            node.changed_ns = changed_ns;
        }
        self.names.insert(place, inode);
        Ok(())
    }

    /// How many names each inode has.
    fn links(&self) -> HashMap<u64, u32> {
        let mut links = HashMap::new();
        for inode in self.names.values() {
            *links.entry(*inode).or_default() += 1;
        }
        links
    }

    /// At most so many entries below a directory, and whether there are more.
    pub(super) fn list(&self, directory: &str, most: usize) -> (Vec<Entry>, bool) {
        let prefix = format!("{directory}/").into_bytes();
        let links = self.links();
        let mut entries = Vec::new();
        for (name, inode) in self.names.range(prefix.clone()..) {
            let Some(path) = name.strip_prefix(prefix.as_slice()) else { break };
            let Some(node) = self.nodes.get(inode) else { continue };
            let (kind, size) = match &node.content {
                Content::Directory => continue,
                Content::File { size, .. } => (EntryKind::File, *size),
                Content::Symlink(target) => (EntryKind::Symlink, target.len() as u64),
                Content::Fifo => (EntryKind::Special, 0),
            };
            if entries.len() == most {
                return (entries, true);
            }
            entries.push(Entry {
                path: path.to_vec(),
                kind,
                size,
                allocated: node.stored().next_multiple_of(4096),
                inode: *inode,
                changed_ns: node.changed_ns,
                links: links.get(inode).copied().unwrap_or(1),
            });
        }
        (entries, false)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A link as the last name is followed.
    Follow,
    /// It is meant itself.
    Keep,
}

/// The path that a program means: absolute, or from its working directory.
pub(super) fn absolute(cwd: &str, path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        return path.to_vec();
    }
    let mut whole = cwd.as_bytes().to_vec();
    whole.push(b'/');
    whole.extend_from_slice(path);
    whole
}

/// The one of these directories that a path is in, by its words.
pub(super) fn root_among<'a>(path: &[u8], roots: &'a [String]) -> Option<&'a str> {
    let climbs = components(path).any(|name| name == b"..");
    roots.iter().map(String::as_str).find(|root| !climbs && is_below(path, root.as_bytes()))
}

fn root_of(path: &[u8]) -> Option<&'static str> {
    ROOTS.into_iter().find(|root| is_below(path, root.as_bytes()))
}

fn is_below(path: &[u8], root: &[u8]) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    (slash > 0).then(|| &path[..slash])
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}
