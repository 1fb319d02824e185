//! The spool's directory.
//!
//! ```text
//! <directory>/lock                  held while processes come, and while one looks for what the dead have left
//! <directory>/<letters>/lock        held by a process as long as it lives
//! <directory>/<letters>/<id>        content
//! <directory>/<letters>/<id>.json   manifest; comes by a rename, after the content, and goes before it
//! ```
//!
//! A directory of a dead process is taken over as it is: the new process holds its lock, and nothing in it moves.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    disk::{
        blocking, create_directory, create_file, ignore_missing, io_error, lock_directory, sync_directory,
    },
    id::{ArtifactId, random_letters},
    media_type::MediaType,
    store::{Expected, NewArtifact, Sha256Digest, StoreError, StoreErrorKind},
};

/// Bytes read at a time.
const CHUNK: usize = 1024 * 1024;

/// The directory, and this process's place in it.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    own: Arc<Place>,
}

/// A directory whose lock we hold. The last one out removes it.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    _lock: File,
}

/// How many bytes are kept.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicU64,
    most: u64,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    budget: Arc<Budget>,
    bytes: u64,
}

/// Content that has no manifest yet. Removed when dropped.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    file: File,
    place: Arc<Place>,
    reserved: Reserved,
    kept: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    No,
    Yes,
}

/// An artifact in the spool. Dropped, it stays there.
#[derive(Debug)]
pub(super) struct Entry {
    id: ArtifactId,
    manifest: Manifest,
    place: Arc<Place>,
    _reserved: Reserved,
}

/// What is known of an artifact, but for its id, which is its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    trigger: String,
    file_name: String,
    media_type: MediaType,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Digest>,
}

impl Budget {
    pub(super) fn new(most: u64) -> Self {
        Self { used: AtomicU64::new(0), most }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Reserved {
    pub(super) fn none(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// What is there already counts, also beyond the bound.
    fn forced(budget: &Arc<Budget>, bytes: u64) -> Self {
        budget.used.fetch_add(bytes, Ordering::Relaxed);
        Self { budget: Arc::clone(budget), bytes }
    }

    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), StoreError> {
        let most = self.budget.most;
        let fits = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        match self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(used) => {
                let doing = format!("keep {bytes} bytes: {used} of at most {most} wait already");
                Err(StoreError::new(StoreErrorKind::Full, doing))
            }
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Spool {
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |error| {
            io_error(format!("open the spool at `{}`", directory.display()), error)
                .with_hint("name a directory that can be written with `--spool`")
        };
        create_directory(directory).map_err(failed)?;
        let directory = directory.canonicalize().map_err(failed)?;
        let failed = |error| io_error(format!("open the spool at `{}`", directory.display()), error);
        // Held until the place has its own lock, so that nobody takes it for a dead one's.
        let _guard = lock_directory(&directory).map_err(failed)?;
        let place = directory.join(random_letters()?);
        create_directory(&place).map_err(failed)?;
        let lock = create_file(&place.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { directory, own: Arc::new(Place { directory: place, _lock: lock }) })
    }

    /// A file for content that is coming.
    pub(super) fn draft(&self, id: &ArtifactId, reserved: Reserved) -> Result<Draft, StoreError> {
        let path = self.own.directory.join(id.as_str());
        let file = create_file(&path).map_err(|error| io_error(format!("keep artifact `{id}`"), error))?;
        Ok(Draft { path, file, place: Arc::clone(&self.own), reserved, kept: Kept::No })
    }

    /// Takes over what dead processes have left: the artifacts, and how many torn ones were removed.
    pub(super) async fn adopt(&self, budget: &Arc<Budget>) -> Result<(Vec<Entry>, u64), StoreError> {
        let (directory, own, budget) =
            (self.directory.clone(), self.own.directory.clone(), Arc::clone(budget));
        blocking(move || {
            adopt(&directory, &own, &budget).map_err(|error| {
                io_error(format!("look through the spool at `{}`", directory.display()), error)
            })
        })
        .await
    }
}

impl Draft {
    pub(super) fn write(&mut self, pieces: &[Bytes]) -> Result<(), StoreError> {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        self.reserved.grow(bytes as u64)?;
        let written = pieces.iter().try_for_each(|piece| self.file.write_all(piece));
        written.map_err(|error| io_error(format!("write `{}`", self.path.display()), error))
    }

    /// The content so far, to be sent another way.
    pub(super) fn reader(&self) -> Result<File, StoreError> {
        open(&self.path)
    }

    /// From here on it is in the spool, also if the process is killed.
    pub(super) fn keep(&mut self, new: &NewArtifact, expected: Expected) -> Result<Entry, StoreError> {
        let manifest = Manifest {
            trigger: new.trigger.clone(),
            file_name: new.file_name.clone(),
            media_type: new.media_type.clone(),
            size: expected.size,
            sha256: expected.sha256,
        };
        let path = self.path.with_extension("json");
        let temporary = self.path.with_extension("new");
        let written = serde_json::to_vec(&manifest)
            .map_err(io::Error::from)
            .and_then(|json| create_file(&temporary)?.write_all(&json))
            .and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            drop(fs::remove_file(&temporary));
            return Err(io_error(format!("write `{}`", path.display()), error));
        }
        self.kept = Kept::Yes;
        let nothing = Reserved::none(&self.reserved.budget);
        let reserved = std::mem::replace(&mut self.reserved, nothing);
        let place = Arc::clone(&self.place);
        Ok(Entry { id: new.id.clone(), manifest, place, _reserved: reserved })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.kept == Kept::No {
            // Best effort: what stays has no manifest, and goes with the next look.
            drop(fs::remove_file(&self.path));
        }
    }
}

impl Entry {
    pub(super) fn id(&self) -> &ArtifactId {
        &self.id
    }

    pub(super) fn expected(&self) -> Expected {
        Expected { size: self.manifest.size, sha256: self.manifest.sha256 }
    }

    /// What the store is told when it is tried again.
    pub(super) fn as_new(&self, deadline: Instant) -> NewArtifact {
        let Manifest { trigger, file_name, media_type, .. } = self.manifest.clone();
        NewArtifact { id: self.id.clone(), trigger, file_name, media_type, deadline }
    }

    pub(super) fn reader(&self) -> Result<File, StoreError> {
        open(&self.content())
    }

    fn content(&self) -> PathBuf {
        self.place.directory.join(self.id.as_str())
    }

    /// Makes it survive a power failure.
    pub(super) async fn sync(&self) -> Result<(), StoreError> {
        let (content, directory) = (self.content(), self.place.directory.clone());
        blocking(move || {
            let synced = File::open(&content)
                .and_then(|file| file.sync_all())
                .and_then(|()| File::open(content.with_extension("json"))?.sync_all())
                .and_then(|()| sync_directory(&directory));
            synced.map_err(|error| io_error(format!("sync `{}`", content.display()), error))
        })
        .await
    }

    /// Takes it out of the spool. The manifest goes first: without it the content is nothing.
    pub(super) async fn remove(self) {
        let removed = blocking(move || {
            let content = self.content();
            ignore_missing(fs::remove_file(content.with_extension("json")))
                .and_then(|()| ignore_missing(fs::remove_file(&content)))
                .map_err(|error| io_error(format!("remove `{}`", content.display()), error))
        });
        if let Err(error) = removed.await {
            // It is in the store: sent a second time, it will be found there.
            tracing::warn!(error = %error, "a stored file stays in the spool");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only where nothing waits in it: an entry would be found by the next process.
        let is_content =
            |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() != "lock");
        if fs::read_dir(&self.directory).is_ok_and(|mut entries| !entries.any(is_content)) {
            drop(fs::remove_dir_all(&self.directory));
        }
    }
}

/// Bytes of a file, in chunks; none at its end.
pub(super) async fn next_chunk(mut file: File) -> Result<(File, Bytes), StoreError> {
    blocking(move || {
        let mut chunk = Vec::new();
        let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk);
        read.map_err(|error| io_error("read from the spool".to_owned(), error))?;
        Ok((file, Bytes::from(chunk)))
    })
    .await
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::open(path).map_err(|error| io_error(format!("open `{}`", path.display()), error))
}

fn adopt(directory: &Path, own: &Path, budget: &Arc<Budget>) -> io::Result<(Vec<Entry>, u64)> {
    let _guard = lock_directory(directory)?;
    let (mut adopted, mut torn) = (Vec::new(), 0);
    for place in fs::read_dir(directory)? {
        let place = place?.path();
        if place == own || !place.is_dir() {
            continue;
        }
        // No lock file: it was killed before it could make one, as those who come wait for our guard.
        let Ok(lock) =
            File::options().read(true).write(true).create(true).truncate(false).open(place.join("lock"))
        else {
            continue;
        };
        if lock.try_lock().is_err() {
            continue;
        }
        let place = Arc::new(Place { directory: place, _lock: lock });
        let mut files: Vec<_> = fs::read_dir(&place.directory)?.collect::<Result<_, _>>()?;
        files.sort_by_key(|file| file.metadata().and_then(|metadata| metadata.modified()).ok());
        for path in files.iter().map(fs::DirEntry::path).filter(|path| !path.ends_with("lock")) {
            let id = path.file_stem().and_then(|stem| stem.to_str()?.parse::<ArtifactId>().ok());
            let content = path.with_extension("");
            let kept = id.zip(read_manifest(&content));
            match (path.extension().and_then(|extension| extension.to_str()), kept) {
                (None, Some((id, manifest))) => {
                    let _reserved = Reserved::forced(budget, manifest.size);
                    adopted.push(Entry { id, manifest, place: Arc::clone(&place), _reserved });
                }
                (Some("json"), Some(_)) => {}
                (extension, _) => {
                    ignore_missing(fs::remove_file(&path))?;
                    torn += u64::from(extension.is_none());
                }
            }
        }
    }
    Ok((adopted, torn))
}

/// Of content that is whole; `None` for what was torn.
fn read_manifest(content: &Path) -> Option<Manifest> {
    let json = fs::read(content.with_extension("json")).ok()?;
    let manifest: Manifest = serde_json::from_slice(&json).ok()?;
    let size = fs::metadata(content).ok()?.len();
    (size == manifest.size).then_some(manifest)
}
