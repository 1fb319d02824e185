//! Packing: a skill's folder made into a bundle, the same bytes wherever and whenever that is done.
//!
//! Only paths, contents and executable bits reach the bundle: `SKILL.md` first, then the paths sorted by their bytes, one
//! time for all, modes 0644 and 0755, one level of compression, no extra fields. [`rules`] says what does not ship,
//! [`walk`] finds what does, [`write`] makes the ZIP. What is made is then judged by the reader of bundles, the same one
//! that reads those of strangers, so nothing is handed out that it would refuse.
//!
//! A packer's own dangers are files that the author never meant to give away. A link is one whose content comes from
//! elsewhere, so it is refused unless asked for, and then it must lead to a file that ships anyway.

mod error;
mod rules;
mod walk;
mod write;

use std::{fmt, fs, io::Cursor, path::Path, path::PathBuf, sync::Arc};

pub use self::{
    error::{PackError, Unpackable, UnpackableEntry},
    rules::Reason,
};
use crate::{
    bundle::{BundleLimits, check_bundle},
    content::{Content, Folder},
    name::SkillName,
    skill::{Digest, Manifest},
};

/// Choices about a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Where `SKILL.md` is in the bundle.
    pub layout: Layout,
    /// What becomes of the skill's tests.
    pub tests: TestFiles,
    /// What becomes of symbolic links.
    pub links: Links,
    /// Whether `.gitignore` says what does not ship.
    pub gitignore: GitIgnore,
    /// The time of all entries, in seconds since 1970; what a ZIP cannot say becomes the nearest that it can.
    pub time: u64,
    /// Where the bundle will be written; what is there does not ship.
    pub output: Option<PathBuf>,
}

/// Where `SKILL.md` is in a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// In one folder that has the skill's name.
    #[default]
    Wrapped,
    /// At the root.
    Flat,
}

/// What becomes of `tests/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestFiles {
    /// They are for the author, and stay there.
    #[default]
    LeaveOut,
    /// They ship.
    Include,
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// A skill with links is not packed.
    #[default]
    Refuse,
    /// A link to a file of the same skill becomes a copy of it; any other is refused.
    CopyInside,
}

/// Whether `.gitignore` says what does not ship.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GitIgnore {
    /// It is of no meaning.
    #[default]
    Disregard,
    /// It is obeyed: those of the folder, and those above it up to the top of the repository.
    Obey,
}

/// A bundle in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Packed {
    /// The bundle.
    pub bytes: Vec<u8>,
    /// The SHA-256 of the bundle.
    pub sha256: Digest,
    /// The digest of its paths and contents, as [`crate::Skill::digest`] has it.
    pub digest: Digest,
    /// What is in it, in the bundle's order; paths are relative to the skill's root.
    pub files: Vec<PackedFile>,
    /// What is not, sorted by path.
    pub left_out: Vec<LeftOut>,
}

/// A file in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackedFile {
    /// Path relative to the skill's root, in the normal form NFC.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Whether it may be executed: its mode says so, or it starts with `#!`.
    pub executable: bool,
}

/// Something that did not ship.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct LeftOut {
    /// Path relative to the folder; that of a directory ends with `/` and stands for all below it.
    pub path: String,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: {}", self.path.escape_debug(), self.reason)
    }
}

/// Packs the skill `name` in `folder`; the bundle is one that `limits` let pass.
pub fn pack(
    folder: &Path,
    name: &SkillName,
    options: &PackOptions,
    limits: &BundleLimits,
) -> Result<Packed, PackError> {
    let unreadable = |source| PackError::Io { path: folder.to_path_buf(), source };
    let root = fs::canonicalize(folder).map_err(unreadable)?;
    let found = walk::files(&root, options, limits)?;
    let content = Content::Folder {
        folder: Arc::new(Folder::borrowed(root)),
        // One more than allowed, so that a file that grows is noticed.
        max_file_bytes: limits.max_file_bytes.saturating_add(1),
    };
    let mut zip = write::Bundle::new(name, options, limits);
    let mut digests = Vec::with_capacity(found.files.len());
    for file in &found.files {
        let bytes = content.head(&file.source, u64::MAX)?;
        if u64::try_from(bytes.len()) != Ok(file.size) {
            return Err(PackError::Changed { path: file.source.clone() });
        }
        let executable = file.executable || bytes.starts_with(b"#!");
        zip.add(&file.path, executable, &bytes)?;
        digests
            .push((PackedFile { path: file.path.clone(), size: file.size, executable }, Digest::of(&bytes)));
    }
    let bytes = zip.finish()?;
    check_bundle(Cursor::new(&bytes), limits)?;
    let sha256 = Digest::of(&bytes);
    let files = digests.iter().map(|(file, _)| file.clone()).collect();
    digests.sort_by(|(left, _), (right, _)| left.path.cmp(&right.path));
    let mut manifest = Manifest::default();
    for (file, digest) in digests {
        manifest.add(&file.path, digest);
    }
    Ok(Packed { bytes, sha256, digest: manifest.digest(), files, left_out: found.left_out })
}

#[cfg(test)]
mod tests;
