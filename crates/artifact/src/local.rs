//! Artifacts in a directory of this machine.
//!
//! ```text
//! <directory>/url-key                          the secret of the signed URLs, so that they survive a restart
//! <directory>/artifacts/<xx>/<id>              content; xx are the first two letters of the id's random part
//! <directory>/artifacts/<xx>/<id>.json         metadata
//! <directory>/incoming/lock                    held while instances come, and while a sweep looks at them
//! <directory>/incoming/<instance>/lock         held by a process as long as it lives
//! <directory>/incoming/<instance>/<id>         an upload, or a removal, under way
//! ```
//!
//! Invariants: an artifact exists if and only if its content stands in `artifacts`, where it comes by one rename, after
//! its metadata. Before the rename, and during a removal, the content stands in `incoming`, so a sweep that finds it there
//! knows everything that is left to clean up. Files are 0600 and directories 0700; names hold no byte of a user.

mod commit;
mod prune;
mod upload;

use std::{
    fs::File,
    io::{self, Cursor, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;

use crate::{
    disk::{blocking, create_directory, create_file, ignore_missing, io_error, lock_directory},
    id::{ArtifactId, random_letters},
    local::{
        commit::{read_metadata, remove_artifact},
        upload::LocalUpload,
    },
    signed_urls::{SignedUrls, UrlKey},
    store::{
        ArtifactMetadata, ArtifactStore, Content, NewArtifact, Retention, SignedUrl, StoreError,
        StoreErrorKind, Swept, Upload, Usage,
    },
};

/// Content up to this size is handled in memory and in one step of a blocking thread.
const SMALL: u64 = 256 * 1024;

/// A store in a directory. Clones are the same store. Several processes may use one directory.
#[derive(Clone, Debug)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

/// How to open a [`LocalStore`].
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Where; created where it is missing.
    pub directory: PathBuf,
    /// What URLs are given out.
    pub urls: LocalUrls,
    /// What an acknowledgement means.
    pub durability: Durability,
}

/// What URLs a local store gives out.
#[derive(Clone, Debug)]
pub enum LocalUrls {
    /// Signed links to a server of ours.
    Signed {
        /// What stands before `/v1/files/…`.
        base_url: String,
        /// How long a link works.
        lifetime: Duration,
    },
    /// `file://` links, for a caller on the same machine.
    File,
}

/// What the store promises for an acknowledged artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives the end of the process, not that of the machine: the kernel writes it out in its own time.
    Rename,
    /// It survives a power failure: content, metadata and directory are synced first, which takes milliseconds.
    Fsync,
}

#[derive(Debug)]
struct Inner {
    artifacts: PathBuf,
    incoming: PathBuf,
    instance: Instance,
    urls: Urls,
    durability: Durability,
}

#[derive(Debug)]
enum Urls {
    Signed(SignedUrls),
    File,
}

/// This process's directory for uploads. Its lock tells other processes that it is alive.
#[derive(Debug)]
struct Instance {
    directory: PathBuf,
    _lock: File,
}

impl LocalStore {
    /// Opens a store, and creates it where there is none. Blocks on files: call it at the start.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be used, or its key file is damaged.
    pub fn open(options: LocalOptions) -> Result<Self, StoreError> {
        let LocalOptions { directory, urls, durability } = options;
        let failed = |error| io_error(format!("open the artifact store at `{}`", directory.display()), error);
        create_directory(&directory).map_err(failed)?;
        let directory = directory.canonicalize().map_err(failed)?;
        let (artifacts, incoming) = (directory.join("artifacts"), directory.join("incoming"));
        create_directory(&artifacts).map_err(failed)?;
        create_directory(&incoming).map_err(failed)?;
        // Held until the instance has its own lock, so that no sweep takes it for dead, and no two keys are made.
        let _guard = lock_directory(&incoming).map_err(failed)?;
        let instance = Instance::create(&incoming)?;
        let urls = match urls {
            LocalUrls::Signed { base_url, lifetime } => {
                Urls::Signed(SignedUrls::new(load_key(&directory)?, &base_url, lifetime))
            }
            LocalUrls::File => Urls::File,
        };
        Ok(Self { inner: Arc::new(Inner { artifacts, incoming, instance, urls, durability }) })
    }

    /// What checks the links that this store gives out; `None` where they are `file://` links.
    #[must_use]
    pub fn signed_urls(&self) -> Option<&SignedUrls> {
        match &self.inner.urls {
            Urls::Signed(urls) => Some(urls),
            Urls::File => None,
        }
    }
}

#[async_trait]
impl ArtifactStore for LocalStore {
    async fn begin(&self, new: NewArtifact) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(LocalUpload::new(Arc::clone(&self.inner), new)))
    }

    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError> {
        Ok(match &self.inner.urls {
            Urls::Signed(urls) => urls.sign(id, SystemTime::now()),
            Urls::File => SignedUrl { url: file_url(&self.inner.content(id)), expires: None },
        })
    }

    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        blocking(move || Ok(open_artifact(&inner, &id)?.0)).await
    }

    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        let (metadata, opened) = blocking(move || {
            let (metadata, mut file) = open_artifact(&inner, &id)?;
            if metadata.size > SMALL {
                return Ok((metadata, Opened::Large(file)));
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|error| io_error(format!("read artifact `{id}`"), error))?;
            Ok((metadata, Opened::Small(bytes)))
        })
        .await?;
        let body: std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>> = match opened {
            Opened::Small(bytes) => Box::pin(Cursor::new(bytes)),
            Opened::Large(file) => Box::pin(tokio::fs::File::from_std(file).take(metadata.size)),
        };
        Ok(Some(Content { metadata, body }))
    }

    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        blocking(move || {
            remove_artifact(&inner, &id).map_err(|error| io_error(format!("remove artifact `{id}`"), error))
        })
        .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let path = inner.instance.directory.join("check");
            let written = create_file(&path).and_then(|mut file| file.write_all(b"check"));
            let removed = std::fs::remove_file(&path);
            written.and(removed).map_err(|error| {
                io_error(format!("write below `{}`", inner.instance.directory.display()), error)
            })
        })
        .await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            sweep(&inner).map_err(|error| io_error(format!("sweep `{}`", inner.incoming.display()), error))
        })
        .await
    }

    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || prune::usage(&inner).map(Some).map_err(|error| inner.unlisted(error))).await
    }

    async fn prune(&self, retention: Retention) -> Result<Usage, StoreError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || prune::prune(&inner, retention).map_err(|error| inner.unlisted(error))).await
    }
}

enum Opened {
    Small(Vec<u8>),
    Large(File),
}

impl Inner {
    fn unlisted(&self, error: io::Error) -> StoreError {
        io_error(format!("look through `{}`", self.artifacts.display()), error)
    }

    fn shard(&self, id: &ArtifactId) -> PathBuf {
        self.artifacts.join(&id.letters()[..2])
    }

    fn content(&self, id: &ArtifactId) -> PathBuf {
        self.shard(id).join(id.as_str())
    }

    fn sidecar(&self, id: &ArtifactId) -> PathBuf {
        self.shard(id).join(format!("{id}.json"))
    }

    fn temporary(&self, id: &ArtifactId) -> PathBuf {
        self.instance.directory.join(id.as_str())
    }
}

impl Instance {
    fn create(incoming: &Path) -> Result<Self, StoreError> {
        let directory = incoming.join(random_letters()?);
        let failed = |error| io_error(format!("create `{}`", directory.display()), error);
        create_directory(&directory).map_err(failed)?;
        let lock = create_file(&directory.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { directory, _lock: lock })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Best effort: what stays is found by the next sweep.
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// Removes what instances that are dead have left.
fn sweep(inner: &Inner) -> io::Result<Swept> {
    let _guard = lock_directory(&inner.incoming)?;
    let mut swept = Swept::default();
    for entry in std::fs::read_dir(&inner.incoming)? {
        let directory = entry?.path();
        if directory == inner.instance.directory || !directory.is_dir() {
            continue;
        }
        // No lock file: it was killed before it could make one, as new instances wait for our guard.
        if let Ok(lock) = File::open(directory.join("lock"))
            && lock.try_lock().is_err()
        {
            continue;
        }
        for file in std::fs::read_dir(&directory)? {
            let name = file?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<ArtifactId>().ok()) else { continue };
            // Its metadata may be there already, or still. An artifact with content would not have it in `incoming`.
            if !inner.content(&id).exists() {
                ignore_missing(std::fs::remove_file(inner.sidecar(&id)))?;
            }
            swept.uploads += 1;
        }
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(swept)
}

fn open_artifact(inner: &Inner, id: &ArtifactId) -> Result<(ArtifactMetadata, File), StoreError> {
    let file = match File::open(inner.content(id)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::not_found(id)),
        Err(error) => return Err(io_error(format!("open artifact `{id}`"), error)),
    };
    let metadata = read_metadata(inner, id)?;
    let size = file.metadata().map_err(|error| io_error(format!("open artifact `{id}`"), error))?.len();
    if size != metadata.size {
        let doing = format!("open artifact `{id}`: it has {size} bytes, but {} were stored", metadata.size);
        return Err(StoreError::new(StoreErrorKind::Mismatch, doing));
    }
    Ok((metadata, file))
}

/// The key of this directory; made at the first time.
fn load_key(directory: &Path) -> Result<UrlKey, StoreError> {
    let path = directory.join("url-key");
    let failed = |error| io_error(format!("read the key file `{}`", path.display()), error);
    match std::fs::read_to_string(&path) {
        Ok(line) => UrlKey::from_line(&line).ok_or_else(|| {
            let doing = format!(
                "read the key file `{}`: it is damaged; remove it, and all links end",
                path.display()
            );
            StoreError::new(StoreErrorKind::Refused, doing)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = UrlKey::random()?;
            // By a rename, so that a kill leaves no half key; a leftover of one is in the way of nothing.
            let temporary = directory.join("url-key.new");
            ignore_missing(std::fs::remove_file(&temporary)).map_err(failed)?;
            let mut file = create_file(&temporary).map_err(failed)?;
            file.write_all(key.to_line().as_bytes())
                .and_then(|()| file.sync_all())
                .and_then(|()| std::fs::rename(&temporary, &path))
                .map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

fn file_url(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                url.push(char::from(*byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests;
