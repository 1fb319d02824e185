//! Where the bytes of a skill are: in memory, as a tar or as files, or in a folder that may be ours to remove.
//!
//! Skills are shared (`Arc`) and may be replaced while someone still reads the old version. So a folder of ours is not
//! removed when it is replaced, but marked, and goes when the last skill that reads from it goes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Why a file of a skill cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The skill has no such file.
    #[error("no such file in the skill: `{path}`")]
    NotFound {
        /// The path that was asked for.
        path: String,
    },
    /// The file is not UTF-8.
    #[error("`{path}` is not a text file")]
    NotText {
        /// Path relative to the skill's root.
        path: String,
    },
    /// The file was changed since the skill was loaded, into something that is not read.
    #[error("`{path}` was changed since the skill was loaded")]
    Changed {
        /// Path relative to the skill's root.
        path: String,
    },
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Io {
        /// Path relative to the skill's root.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The bytes of a skill.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Memory(Arc<BTreeMap<String, Vec<u8>>>),
    /// As a sandbox gets them; where each file is in it.
    Tar {
        bytes: Arc<Vec<u8>>,
        files: Arc<BTreeMap<String, Range<usize>>>,
    },
    Folder {
        folder: Arc<Folder>,
        max_file_bytes: u64,
    },
}

impl Content {
    /// Opens a file whose path is in the list of the skill's files.
    pub(crate) fn open(&self, path: &str) -> Result<Box<dyn Read + '_>, ReadError> {
        match self {
            Self::Memory(files) => match files.get(path) {
                Some(bytes) => Ok(Box::new(bytes.as_slice())),
                None => Err(ReadError::NotFound { path: path.to_owned() }),
            },
            Self::Tar { bytes, files } => match files.get(path).and_then(|range| bytes.get(range.clone())) {
                Some(bytes) => Ok(Box::new(bytes)),
                None => Err(ReadError::NotFound { path: path.to_owned() }),
            },
            Self::Folder { folder, max_file_bytes } => {
                let error = |source| ReadError::Io { path: path.to_owned(), source };
                // The list was made at load; a link or a FIFO put there since must not lead out or block.
                let real = fs::canonicalize(folder.path.join(path)).map_err(error)?;
                if !real.starts_with(&folder.path) || !fs::metadata(&real).map_err(error)?.is_file() {
                    return Err(ReadError::Changed { path: path.to_owned() });
                }
                // The limit holds even for a file that grows while it is read.
                Ok(Box::new(File::open(real).map_err(error)?.take(*max_file_bytes)))
            }
        }
    }

    /// Reads at most `limit` bytes of a file.
    pub(crate) fn head(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        self.open(path)?
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Ok(bytes)
    }

    /// The folder on disk.
    pub(crate) fn root(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) | Self::Tar { .. } => None,
            Self::Folder { folder, .. } => Some(&folder.path),
        }
    }
}

/// A folder with a skill, by its canonical path.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// What to remove when nobody reads any more; may be above `path`.
    owned: Option<PathBuf>,
    doomed: AtomicBool,
}

impl Folder {
    /// A folder that somebody else owns.
    pub(crate) fn borrowed(path: PathBuf) -> Self {
        Self { path, owned: None, doomed: AtomicBool::new(false) }
    }

    /// A folder in `owned` that is removed with it after [`Folder::doom`].
    pub(crate) fn owned(path: PathBuf, owned: PathBuf) -> Self {
        Self { path, owned: Some(owned), doomed: AtomicBool::new(false) }
    }

    /// Lets the folder go when the last reader goes.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let (Some(owned), true) = (&self.owned, self.doomed.load(Ordering::Relaxed)) {
            // Nobody is left to tell; what stays is removed when the directory is opened again.
            let _removed = fs::remove_dir_all(owned);
        }
    }
}
