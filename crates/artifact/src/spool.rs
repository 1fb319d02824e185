//! A store behind a disk, so that nothing is lost while the store fails.
//!
//! ```text
//!   bytes ─▶ file in the spool ─finish─▶ manifest ─▶ first attempt ──acknowledged──▶ both files removed
//!              │ no room, or the disk fails              │ failed, or not in time
//!              └▶ straight to the store, few at once     └▶ synced, `Deferred` ─▶ again, with growing pauses
//! ```
//!
//! What always holds: from its manifest on, an artifact is in the spool until the store has acknowledged it. Whoever is
//! killed in between leaves it there; the next process that opens the directory finds it by the lock that nobody holds,
//! and goes on. The id is fixed before, so an artifact that was already stored when its process died is found in the
//! store and not stored twice. What has no manifest was never promised, and is removed.
//!
//! Memory is bounded whatever the store does: content is on the disk before its first attempt, every attempt reads it from
//! there, and only so many go on at a time. Those that wait for their turn are as late as those that fail.
//!
//! The spool can fail without anything else failing: with no room, or no disk, uploads go straight to the store, and then
//! wait no longer for it than others. It is for stores that can be away. One that is a directory of this machine gains nothing by it.

mod delivery;
mod disk;
mod upload;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    disk::{Budget, Entry, Spool},
    upload::AWAY,
    upload::SpooledUpload,
};
use crate::{
    id::ArtifactId,
    store::{
        Arrival, ArtifactMetadata, ArtifactStore, Backlog, Content, NewArtifact, Retention, SignedUrl,
        StoreError, StoreErrorKind, StoredArtifact, Swept, Upload, Usage,
    },
};

/// Content up to this size is in memory until it is written at once; larger content goes to the disk as it comes.
const SMALL: usize = 1024 * 1024;
/// Small ones on their way to the store at the same time.
const SMALL_AT_ONCE: usize = 16;
/// Larger ones on their way to the store at the same time: each may take memory of its own there.
const LARGE_AT_ONCE: usize = 3;
/// Those on their way past the spool at the same time, large or not: their content is nowhere but in memory.
const DIRECT_AT_ONCE: usize = 3;

/// A store behind a spool. Clones are the same store.
#[derive(Clone, Debug)]
pub struct SpooledStore {
    shared: Arc<Shared>,
}

/// How to open a [`SpooledStore`].
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Where files wait; created where it is missing. Several processes may use one directory.
    pub directory: PathBuf,
    /// The most bytes that this process keeps there. What an earlier process has left is taken over beyond that.
    pub most_bytes: u64,
    /// How long a sender waits for the store, before the artifact is kept for later.
    pub patience: Duration,
}

#[derive(Debug)]
struct Shared {
    inner: Arc<dyn ArtifactStore>,
    spool: Spool,
    budget: Arc<Budget>,
    patience: Duration,
    state: Mutex<State>,
    /// Something waits.
    work: Notify,
    small: Semaphore,
    large: Semaphore,
    direct: Arc<Semaphore>,
    /// The store has just taken something, or said that it would: what waits need not wait longer.
    back: Notify,
    counts: Counts,
    /// The last attempt failed: senders are not kept waiting for long.
    away: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they are tried. One that is being tried is not in it.
    queue: VecDeque<Entry>,
    /// All that wait or are being tried again, with who wants to hear of it.
    waiting: HashMap<ArtifactId, Vec<oneshot::Sender<StoredArtifact>>>,
}

#[derive(Debug, Default)]
struct Counts {
    failed: AtomicU64,
    delivered: AtomicU64,
    not_kept: AtomicU64,
    lost: AtomicU64,
}

impl SpooledStore {
    /// Opens a spool in front of a store, and takes up nothing yet: [`ArtifactStore::sweep`] does. Blocks on files, and
    /// must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be used.
    pub fn open(options: SpoolOptions, inner: Arc<dyn ArtifactStore>) -> Result<Self, StoreError> {
        let SpoolOptions { directory, most_bytes, patience } = options;
        let shared = Arc::new(Shared {
            inner,
            spool: Spool::open(&directory)?,
            budget: Arc::new(Budget::new(most_bytes)),
            patience,
            state: Mutex::default(),
            work: Notify::new(),
            small: Semaphore::new(SMALL_AT_ONCE),
            large: Semaphore::new(LARGE_AT_ONCE),
            direct: Arc::new(Semaphore::new(DIRECT_AT_ONCE)),
            back: Notify::new(),
            counts: Counts::default(),
            away: AtomicBool::new(false),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(delivery::run(Arc::clone(&shared)));
        Ok(Self { shared })
    }
}

#[async_trait]
impl ArtifactStore for SpooledStore {
    async fn begin(&self, new: NewArtifact) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(SpooledUpload::new(Arc::clone(&self.shared), new)))
    }

    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError> {
        self.shared.inner.url(id).await
    }

    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError> {
        self.shared.refuse_waiting(id)?;
        self.shared.inner.metadata(id).await
    }

    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError> {
        self.shared.refuse_waiting(id)?;
        self.shared.inner.open(id).await
    }

    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError> {
        let entry = {
            let mut state = self.shared.state();
            state.waiting.remove(id);
            let at = state.queue.iter().position(|entry| entry.id() == id);
            at.and_then(|at| state.queue.remove(at))
        };
        if let Some(entry) = entry {
            entry.remove().await;
        }
        // One that is being tried just now is removed by whoever tries it, since nobody waits for it any more.
        self.shared.inner.remove(id).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let checked = self.shared.inner.check().await;
        match &checked {
            Ok(()) => self.shared.is_back(),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                self.shared.away.store(true, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        checked
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        let (adopted, torn) = self.shared.spool.adopt(&self.shared.budget).await?;
        if !adopted.is_empty() {
            tracing::info!(files = adopted.len(), "files of an earlier process wait for the artifact store");
        }
        {
            let mut state = self.shared.state();
            for entry in adopted {
                state.waiting.entry(entry.id().clone()).or_default();
                state.queue.push_back(entry);
            }
        }
        self.shared.work.notify_one();
        let swept = self.shared.inner.sweep().await?;
        Ok(Swept { uploads: swept.uploads + torn })
    }

    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        self.shared.inner.usage().await
    }

    async fn prune(&self, retention: Retention) -> Result<Usage, StoreError> {
        self.shared.inner.prune(retention).await
    }

    async fn discard(&self, id: &ArtifactId) -> Result<(), StoreError> {
        self.shared.inner.discard(id).await
    }

    fn arrival(&self, id: &ArtifactId) -> Option<Arrival> {
        let (sender, receiver) = oneshot::channel();
        self.shared.state().waiting.get_mut(id)?.push(sender);
        Some(Arrival::new(receiver))
    }

    fn backlog(&self) -> Option<Backlog> {
        let counts = &self.shared.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some(Backlog {
            waiting_files: self.shared.state().waiting.len() as u64,
            bytes: self.shared.budget.used(),
            failed_uploads: of(&counts.failed),
            delivered_later: of(&counts.delivered),
            not_kept: of(&counts.not_kept),
            lost: of(&counts.lost),
        })
    }

    async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.inner.close().await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_waiting(&self, id: &ArtifactId) -> Result<(), StoreError> {
        if self.state().waiting.contains_key(id) {
            let doing = format!("find artifact `{id}`: it waits to be stored");
            return Err(StoreError::new(StoreErrorKind::Deferred, doing));
        }
        Ok(())
    }

    /// Puts an artifact back into the queue; gives it back where it was removed meanwhile.
    fn wait_again(&self, entry: Entry) -> Option<Entry> {
        let mut state = self.state();
        if !state.waiting.contains_key(entry.id()) {
            return Some(entry);
        }
        state.queue.push_back(entry);
        None
    }

    /// The store works.
    fn is_back(&self) {
        self.away.store(false, Ordering::Relaxed);
        self.back.notify_waiters();
    }

    /// How long a sender waits for the store.
    fn patience(&self) -> Duration {
        if self.away.load(Ordering::Relaxed) { AWAY.min(self.patience) } else { self.patience }
    }

    /// Something could not be kept, and goes on without the spool.
    fn not_kept(&self, error: &StoreError) {
        self.counts.not_kept.fetch_add(1, Ordering::Relaxed);
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(error = %error, cause, "a file goes straight to the store, and not through the spool");
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
