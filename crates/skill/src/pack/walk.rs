//! Which files of a folder ship, in the order of the bundle.
//!
//! Everything that is not taken is told: left out with a reason, or refused. Nothing is read here but directories, links
//! and lists of patterns.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use unicode_normalization::UnicodeNormalization as _;

use super::{
    LeftOut, Links, PackError, PackOptions,
    error::{Unpackable, UnpackableEntry},
    rules::{Reason, Rules},
};
use crate::{
    bundle::{BundleError, BundleLimits},
    folder::FolderError,
};

/// A file that ships.
#[derive(Debug)]
pub(super) struct Found {
    /// Path in the folder, as the file system spells it.
    pub(super) source: String,
    /// Path in the bundle.
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) executable: bool,
}

#[derive(Debug)]
pub(super) struct Files {
    /// `SKILL.md` first, then sorted by the bytes of the path in the bundle.
    pub(super) files: Vec<Found>,
    /// Sorted by path.
    pub(super) left_out: Vec<LeftOut>,
}

/// Finds the files below the canonical folder `root`.
pub(super) fn files(root: &Path, options: &PackOptions, limits: &BundleLimits) -> Result<Files, PackError> {
    let mut walk = Walk {
        root,
        links: options.links,
        limits,
        rules: Rules::read(root, options)?,
        entries: 0,
        bytes: 0,
        files: Vec::new(),
        left_out: Vec::new(),
        unpackable: Vec::new(),
    };
    let mut open = vec![(root.to_path_buf(), String::new())];
    while let Some((directory, prefix)) = open.pop() {
        let unreadable = |source| PackError::Io { path: directory.clone(), source };
        let mut is_empty = true;
        for entry in fs::read_dir(&directory).map_err(unreadable)? {
            is_empty = false;
            open.extend(walk.entry(&entry.map_err(unreadable)?, &prefix)?);
        }
        if is_empty && !prefix.is_empty() {
            walk.left_out.push(LeftOut { path: prefix, reason: Reason::EmptyDirectory });
        }
    }
    let Walk { mut files, mut left_out, mut unpackable, .. } = walk;
    if !unpackable.is_empty() {
        unpackable.sort();
        return Err(PackError::Entries { entries: unpackable });
    }
    let is_described = |file: &Found| !file.path.eq_ignore_ascii_case("SKILL.md");
    files.sort_by(|left, right| {
        (is_described(left), left.path.as_bytes()).cmp(&(is_described(right), right.path.as_bytes()))
    });
    // Two spellings of one name that this file system keeps apart, and others do not.
    if let Some([first, second]) = files.array_windows().find(|[first, second]| first.path == second.path) {
        let (first, second) = (first.source.as_str().into(), second.source.as_str().into());
        return Err(BundleError::Collision { first, second }.into());
    }
    left_out.sort();
    Ok(Files { files, left_out })
}

struct Walk<'root> {
    root: &'root Path,
    links: Links,
    limits: &'root BundleLimits,
    rules: Rules<'root>,
    entries: usize,
    bytes: u64,
    files: Vec<Found>,
    left_out: Vec<LeftOut>,
    unpackable: Vec<UnpackableEntry>,
}

impl Walk<'_> {
    /// Takes one entry; a directory to descend into is given back with its prefix.
    fn entry(&mut self, entry: &fs::DirEntry, prefix: &str) -> Result<Option<(PathBuf, String)>, PackError> {
        let unreadable = |source| PackError::Io { path: entry.path(), source };
        let kind = entry.file_type().map_err(unreadable)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let path = format!("{prefix}{}", name.to_string_lossy());
            self.unpackable.push(UnpackableEntry { path, problem: Unpackable::Name });
            return Ok(None);
        };
        let path = format!("{prefix}{name}");
        let reason = if kind.is_symlink() {
            self.rules.reason_of_link(&path)?
        } else {
            self.rules.reason(&path, kind.is_dir())?
        };
        if let Some(reason) = reason {
            let path = if kind.is_dir() { path + "/" } else { path };
            self.left_out.push(LeftOut { path, reason });
            return Ok(None);
        }
        // The reader counts files only, but a folder of a million directories must end as well.
        self.entries += 1;
        if self.entries > self.limits.max_entries {
            return Err(PackError::Limits(FolderError::TooManyEntries { limit: self.limits.max_entries }));
        }
        if kind.is_dir() {
            return Ok(Some((entry.path(), path + "/")));
        }
        let metadata = if kind.is_symlink() {
            match self.target(&entry.path())? {
                Ok(metadata) => metadata,
                Err(problem) => {
                    self.unpackable.push(UnpackableEntry { path, problem });
                    return Ok(None);
                }
            }
        } else {
            entry.metadata().map_err(unreadable)?
        };
        if !metadata.is_file() {
            self.unpackable.push(UnpackableEntry { path, problem: Unpackable::Special });
            return Ok(None);
        }
        let size = metadata.len();
        if size > self.limits.max_file_bytes {
            return Err(PackError::Limits(FolderError::FileTooLarge {
                path,
                size,
                limit: self.limits.max_file_bytes,
            }));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.max_total_bytes {
            return Err(PackError::Limits(FolderError::TooLarge { limit: self.limits.max_total_bytes }));
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        // Some systems spell `é` with two characters; a bundle has one spelling.
        let normal = path.nfc().collect();
        self.files.push(Found { path: normal, source: path, size, executable });
        Ok(None)
    }

    /// What a link leads to, where it may be followed.
    fn target(&mut self, link: &Path) -> Result<Result<fs::Metadata, Unpackable>, PackError> {
        let unreadable = |source| PackError::Io { path: link.to_path_buf(), source };
        let target = fs::read_link(link).map_err(unreadable)?.to_string_lossy().into_owned();
        if self.links == Links::Refuse {
            return Ok(Err(Unpackable::Link { target }));
        }
        let Ok(real) = fs::canonicalize(link) else { return Ok(Err(Unpackable::LinkToNothing { target })) };
        let Some(inside) = real.strip_prefix(self.root).ok().and_then(Path::to_str) else {
            return Ok(Err(Unpackable::LinkOutside { target }));
        };
        let metadata = fs::metadata(&real).map_err(unreadable)?;
        if metadata.is_dir() {
            return Ok(Err(Unpackable::LinkToDirectory { target }));
        }
        // A link `notes.txt` to `.env` would give the secrets away under an innocent name.
        if self.rules.reason_of_any_part(inside)?.is_some() {
            return Ok(Err(Unpackable::LinkToLeftOut { target }));
        }
        Ok(Ok(metadata))
    }
}
