//! The cache directory: finished layers by key, builds in progress, and the locks that order them.
//!
//! ```text
//!   layers/
//!     CACHEDIR.TAG           backup programs leave the cache out
//!     <key>/manifest.json    written last: with it, the layer is whole
//!     <key>/content/         what goes on the Python path; read-only
//!     .locks/<key>           flock, held while a layer of that key is built; never removed
//!     .building/<key>.…/     one build; without a holder of its lock it is the leftover of a dead one
//! ```
//!
//! Invariants: a layer appears under its key by one rename, after its bytes are on disk; nothing under a key is
//! ever changed; of all tasks and processes only the holder of a key's lock builds it or removes its leftovers.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::time;

use crate::{content, error::LayerError, lock::LockedPackage, prune::IN_USE};

/// Version of everything that a key stands for: layout, manifest, and how content is made. Part of every key.
pub(crate) const FORMAT: u32 = 1;

const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # Dependencies of skills, made by skillbox. All of it can be removed and will be made again.\n";

/// What a layer is, beside its content.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) key: String,
    /// sha256 of the content.
    pub(crate) digest: String,
    /// Bytes of the content, without byte code.
    pub(crate) bytes: u64,
    pub(crate) python: String,
    pub(crate) platform: String,
    /// Name and version of what installed it.
    pub(crate) tool: String,
    pub(crate) requirements: Vec<String>,
    /// The lock.
    pub(crate) packages: Vec<LockedPackage>,
}

/// The directory that holds all layers of a user.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The finished layer of a key: one small file read. A damaged one counts as missing, and is built again.
    pub(crate) fn read(&self, key: &str) -> Result<Option<(Manifest, PathBuf)>, LayerError> {
        let Ok(bytes) = fs::read(self.root.join(key).join("manifest.json")) else { return Ok(None) };
        self.check_owner()?;
        self.touch(key);
        let directory = self.root.join(key).join("content");
        let manifest = serde_json::from_slice::<Manifest>(&bytes).ok();
        Ok(manifest
            .filter(|manifest| manifest.format == FORMAT && manifest.key == key && directory.is_dir())
            .map(|manifest| (manifest, directory)))
    }

    /// Says that a layer is used. As far as it goes: it may be another user's.
    fn touch(&self, key: &str) {
        let Ok(manifest) = File::open(self.root.join(key).join("manifest.json")) else { return };
        let recent = manifest.metadata().and_then(|found| found.modified()).ok();
        let recent = recent.and_then(|used| used.elapsed().ok()).is_some_and(|unused| unused < IN_USE / 8);
        if !recent {
            drop(manifest.set_modified(SystemTime::now()));
        }
    }

    /// Makes the directories that a build needs.
    pub(crate) fn prepare(&self) -> Result<(), LayerError> {
        for directory in [self.root.clone(), self.root.join(".locks"), self.root.join(".building")] {
            // Readable by all: sandboxes run as other users, and released packages are no secret.
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&directory)
                .map_err(io_error("create", &directory))?;
        }
        self.check_owner()?;
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(&tag, TAG).map_err(io_error("write", &tag))?;
        }
        Ok(())
    }

    /// Attack: another user of the machine puts a layer, which is code, where this user will look for it.
    fn check_owner(&self) -> Result<(), LayerError> {
        let metadata = fs::metadata(&self.root).map_err(io_error("read", &self.root))?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0;
        match own && metadata.mode() & 0o002 == 0 {
            true => Ok(()),
            false => Err(LayerError::UnsafeCache { path: self.root.clone() }),
        }
    }

    /// Waits until no one else builds this key. Asks again and again instead of blocking in the kernel, because a
    /// blocked thread could not be cancelled and would hold up the end of the program.
    pub(crate) async fn lock(&self, key: &str, waiting: impl FnOnce()) -> Result<KeyLock, LayerError> {
        let path = self.root.join(".locks").join(key);
        let file = open_lock(&path)?;
        let mut waiting = Some(waiting);
        let mut pause = Duration::from_millis(5);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(KeyLock { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(200));
                }
                Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
            }
        }
    }

    /// A place to build in, on the same file system. The caller holds the lock of the key.
    pub(crate) fn start(&self, key: &str, _lock: &KeyLock) -> Result<Build, LayerError> {
        let building = self.root.join(".building");
        // Not by the key alone: a child of a dead build could still be writing there.
        let directory = tempfile::Builder::new()
            .prefix(&format!("{key}."))
            .tempdir_in(&building)
            .map_err(io_error("create a directory in", &building))?
            .keep();
        let build = Build { directory };
        for directory in [build.content(), build.empty(), build.temporary()] {
            fs::create_dir_all(&directory).map_err(io_error("create", &directory))?;
        }
        // `tempfile` makes a private directory; the layer in it becomes readable with the rename, not before.
        Ok(build)
    }

    /// Writes the manifest and moves the layer to its key. From then on it is there for all.
    pub(crate) fn publish(&self, build: &Build, manifest: &Manifest) -> Result<(), LayerError> {
        let layer = build.layer();
        let path = layer.join("manifest.json");
        let text =
            serde_json::to_vec_pretty(manifest).map_err(|error| io_error("write", &path)(error.into()))?;
        fs::write(&path, text).map_err(io_error("write", &path))?;
        // Whatever the umask: sandboxes run as other users.
        for (path, mode) in [(&path, 0o444), (&layer, 0o755)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(io_error("change the mode of", path))?;
        }
        // A rename that survives a power cut must not be of files that did not.
        let folder = File::open(&layer).map_err(io_error("read", &layer))?;
        rustix::fs::syncfs(&folder).map_err(|error| io_error("write", &layer)(error.into()))?;
        let destination = self.root.join(&manifest.key);
        if destination.exists() {
            // Only a damaged one can be there. It goes with the build directory.
            let damaged = build.directory.join("damaged");
            fs::rename(&destination, &damaged).map_err(io_error("move", &destination))?;
        }
        fs::rename(&layer, &destination).map_err(io_error("move", &layer))
    }

    /// Removes what builds left that died with their process. As far as it goes: the next start tries again.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join(".building")) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some((key, _)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let Ok(file) = open_lock(&self.root.join(".locks").join(key)) else { continue };
            if file.try_lock().is_ok() {
                let _left_for_the_next_start = content::remove(&entry.path()).is_err();
            }
        }
    }
}

/// The lock of a key; `None` while somebody builds it.
pub(crate) fn try_lock(root: &Path, key: &std::ffi::OsStr) -> io::Result<Option<KeyLock>> {
    let file =
        File::options().write(true).create(true).truncate(false).open(root.join(".locks").join(key))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(KeyLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Held while a key is built. Ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct KeyLock {
    _file: File,
}

/// The directory of one build, removed on drop with all that is still in it.
#[derive(Debug)]
pub(crate) struct Build {
    directory: PathBuf,
}

impl Build {
    /// What becomes the layer.
    fn layer(&self) -> PathBuf {
        self.directory.join("layer")
    }

    pub(crate) fn content(&self) -> PathBuf {
        self.directory.join("layer").join("content")
    }

    /// An empty directory to run programs in.
    pub(crate) fn empty(&self) -> PathBuf {
        self.directory.join("empty")
    }

    /// `TMPDIR` of the tools: on the same disk, watched, and removed.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.directory.join("tmp")
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // A program that has just been killed may still create a file between listing and removing.
        for _ in 0..20 {
            if content::remove(&self.directory).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn open_lock(path: &Path) -> Result<File, LayerError> {
    File::options().create(true).truncate(false).write(true).open(path).map_err(io_error("open", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = path.to_owned();
    move |source| LayerError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
