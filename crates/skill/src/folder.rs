//! Listing a skill's folder: which files belong to it, within bounds.
//!
//! The order is that of the paths' bytes, whatever the file system says. What a packer would leave out (version
//! control, caches, virtual environments, `.env`) is left out here too, so that a folder and the bundle made of it are
//! the same skill. Links that lead out of the folder and special files are left out with a diagnostic: a skill
//! must not be a way to show files of the host to a sandbox.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    diagnostic::{Diagnostic, Location},
    ignored::foreign,
    rule::Rule,
    skill::SkillFile,
};

/// Bounds of a skill's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderLimits {
    /// The most files and directories.
    pub max_entries: usize,
    /// The most bytes of one file.
    pub max_file_bytes: u64,
    /// The most bytes of all files.
    pub max_total_bytes: u64,
    /// The most components of a path.
    pub max_depth: usize,
}

impl Default for FolderLimits {
    fn default() -> Self {
        Self {
            max_entries: 2_000,
            max_file_bytes: 32 * 1024 * 1024,
            max_total_bytes: 256 * 1024 * 1024,
            max_depth: 16,
        }
    }
}

/// Why a folder cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file or directory cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There are more files and directories than allowed.
    #[error("there are more than {limit} files and directories")]
    TooManyEntries {
        /// The most allowed.
        limit: usize,
    },
    /// A file is larger than allowed.
    #[error("`{path}` has {size} bytes; at most {limit} are allowed")]
    FileTooLarge {
        /// Path relative to the folder.
        path: String,
        /// Its size.
        size: u64,
        /// The most allowed.
        limit: u64,
    },
    /// All files together are larger than allowed.
    #[error("the files have more than {limit} bytes together")]
    TooLarge {
        /// The most allowed.
        limit: u64,
    },
    /// A path has more components than allowed.
    #[error("`{path}` is deeper than {limit} levels")]
    TooDeep {
        /// Path relative to the folder.
        path: String,
        /// The most allowed.
        limit: usize,
    },
}

/// The most ignored paths that are remembered: enough to say what they are.
const MAX_IGNORED: usize = 200;

/// What is in a folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The skill's files, sorted by path.
    pub(crate) files: Vec<SkillFile>,
    /// What never belongs to a skill, sorted; a directory ends in `/`.
    pub(crate) ignored: Vec<String>,
    /// What was left out although it might have been meant.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The files below `root`, which must be canonical.
pub(crate) fn list(root: &Path, limits: &FolderLimits) -> Result<Listing, FolderError> {
    let mut walk = Walk { root, limits, entries: 0, bytes: 0, listing: Listing::default() };
    let mut open = vec![(root.to_path_buf(), String::new(), 1)];
    while let Some((directory, prefix, depth)) = open.pop() {
        let error = |source| FolderError::Io { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(error)? {
            let entry = entry.map_err(error)?;
            let Some(kept) = walk.entry(&entry, &prefix, depth)? else { continue };
            open.push((entry.path(), kept, depth + 1));
        }
    }
    let Listing { mut files, mut ignored, mut diagnostics } = walk.listing;
    files.sort_by(|left, right| left.path.cmp(&right.path));
    ignored.sort();
    diagnostics.sort_by(|left, right| left.location.file.cmp(&right.location.file));
    Ok(Listing { files, ignored, diagnostics })
}

struct Walk<'root> {
    root: &'root Path,
    limits: &'root FolderLimits,
    entries: usize,
    bytes: u64,
    listing: Listing,
}

impl Walk<'_> {
    /// Takes one entry; a directory to descend into is given back as its prefix.
    fn entry(
        &mut self,
        entry: &fs::DirEntry,
        prefix: &str,
        depth: usize,
    ) -> Result<Option<String>, FolderError> {
        let error = |source| FolderError::Io { path: entry.path(), source };
        let name = entry.file_name();
        let kind = entry.file_type().map_err(error)?;
        if let Some(name) = name.to_str()
            && foreign(name, kind.is_dir(), prefix.is_empty()).is_some()
        {
            if self.listing.ignored.len() < MAX_IGNORED {
                let end = if kind.is_dir() { "/" } else { "" };
                self.listing.ignored.push(format!("{prefix}{name}{end}"));
            }
            return Ok(None);
        }
        // Counted before anything else, so that a folder of a million links ends here too.
        self.entries += 1;
        if self.entries > self.limits.max_entries {
            return Err(FolderError::TooManyEntries { limit: self.limits.max_entries });
        }
        let Some(name) = name.to_str().filter(|name| !name.chars().any(char::is_control)) else {
            let shown = format!("{prefix}{}", name.to_string_lossy().escape_debug());
            self.leave_out(&shown, "its name is not UTF-8 or has control characters");
            return Ok(None);
        };
        let path = format!("{prefix}{name}");
        if depth > self.limits.max_depth {
            return Err(FolderError::TooDeep { path, limit: self.limits.max_depth });
        }
        if kind.is_dir() {
            return Ok(Some(format!("{path}/")));
        }
        let metadata = if kind.is_symlink() {
            match self.link_target(&entry.path()) {
                Ok(metadata) => metadata,
                Err(reason) => {
                    self.leave_out(&path, reason);
                    return Ok(None);
                }
            }
        } else {
            entry.metadata().map_err(error)?
        };
        if !metadata.is_file() {
            self.leave_out(&path, "it is neither a file nor a directory");
            return Ok(None);
        }
        let size = metadata.len();
        if size > self.limits.max_file_bytes {
            return Err(FolderError::FileTooLarge { path, size, limit: self.limits.max_file_bytes });
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.max_total_bytes {
            return Err(FolderError::TooLarge { limit: self.limits.max_total_bytes });
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        self.listing.files.push(SkillFile { path, size, executable });
        Ok(None)
    }

    /// What a link leads to, when that is a file of the same skill. Linked directories are refused, as they could form a cycle.
    fn link_target(&self, path: &Path) -> Result<fs::Metadata, &'static str> {
        let target = fs::canonicalize(path).map_err(|_| "it is a link that leads nowhere")?;
        if !target.starts_with(self.root) {
            return Err("it is a link that leads out of the skill");
        }
        let metadata = fs::metadata(&target).map_err(|_| "it is a link that leads nowhere")?;
        if metadata.is_dir() { Err("it is a link to a directory") } else { Ok(metadata) }
    }

    fn leave_out(&mut self, path: &str, reason: &str) {
        self.listing.diagnostics.push(
            Diagnostic::new(Rule::FILE_LEFT_OUT, Location::file(path), format!("left out: {reason}"))
                .with_help("a skill has regular files only; copy the file into the skill if it is needed"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn files_are_sorted_and_what_no_packer_takes_is_left_out() {
        let (_guard, root) = folder();
        for path in [
            "b.md",
            "a/z.txt",
            "a.md",
            ".git/HEAD",
            "x/__pycache__/a.pyc",
            ".env",
            ".env.local",
            ".envrc",
            "out.skill",
            "._a",
            ".gitignore",
        ] {
            write(&root, path, b"x");
        }
        let Listing { files, ignored, diagnostics } = list(&root, &FolderLimits::default()).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "a.md", "a/z.txt", "b.md"]);
        assert_eq!(ignored, ["._a", ".env", ".env.local", ".envrc", ".git/", "out.skill", "x/__pycache__/"]);
        assert!(diagnostics.is_empty());
    }

    #[test]
    fn links_that_lead_out_and_special_files_are_left_out_and_said() {
        let (_guard, root) = folder();
        write(&root, "a.txt", b"inside");
        symlink("/etc/passwd", root.join("secret")).unwrap();
        symlink("../../../../../../etc", root.join("etc")).unwrap();
        symlink("a.txt", root.join("good")).unwrap();
        symlink(".", root.join("cycle")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let Listing { files, diagnostics, .. } = list(&root, &FolderLimits::default()).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a.txt", "good"]);
        let left: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.location.file.as_str()).collect();
        assert_eq!(left, ["cycle", "dangling", "etc", "secret", "socket"]);
        assert!(diagnostics[3].message.contains("out of the skill"));
    }

    #[test]
    fn every_bound_holds() {
        let (_guard, root) = folder();
        for index in 0..10 {
            write(&root, &format!("d/{index}"), &[0; 100]);
        }
        let limits =
            FolderLimits { max_entries: 11, max_file_bytes: 100, max_total_bytes: 1_000, max_depth: 2 };
        assert_eq!(list(&root, &limits).unwrap().files.len(), 10);
        let fails = |limits: FolderLimits| list(&root, &limits).unwrap_err();
        assert!(matches!(
            fails(FolderLimits { max_entries: 10, ..limits.clone() }),
            FolderError::TooManyEntries { limit: 10 }
        ));
        assert!(matches!(
            fails(FolderLimits { max_file_bytes: 99, ..limits.clone() }),
            FolderError::FileTooLarge { size: 100, .. }
        ));
        assert!(matches!(
            fails(FolderLimits { max_total_bytes: 999, ..limits.clone() }),
            FolderError::TooLarge { .. }
        ));
        assert!(matches!(fails(FolderLimits { max_depth: 1, ..limits }), FolderError::TooDeep { .. }));
    }
}
