//! An upload through the spool.
//!
//! The sender never waits for the store while it sends, only at the end, and there no longer than the spool's patience.
//! Its first attempt is a task of its own: a sender that goes away does not end it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    SMALL, Shared, count,
    disk::{Draft, Entry, Reserved, next_chunk},
};
use crate::{
    disk::blocking,
    id::ArtifactId,
    store::{Expected, NewArtifact, StoreError, StoreErrorKind, StoredArtifact, Upload},
};

/// What a sender waits at most while the store is known to be away.
pub(super) const AWAY: Duration = Duration::from_secs(2);
/// What a file that goes past the spool may take longer than the patience.
const DIRECT: Duration = Duration::from_secs(5);
/// Added to the patience for each of these many bytes: large files take longer.
const BYTES_A_SECOND: u64 = 2 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct SpooledUpload {
    shared: Arc<Shared>,
    new: NewArtifact,
    size: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Small so far.
    Memory { pieces: Vec<Bytes>, bytes: usize },
    /// On the disk, and a little that is gathered.
    Disk { draft: Draft, pieces: Vec<Bytes>, bytes: usize },
    /// The spool could not keep it.
    Direct(Direct),
    /// An error ended it.
    Failed,
}

/// An upload past the spool, with its turn.
#[derive(Debug)]
struct Direct {
    upload: Box<dyn Upload>,
    /// The sender does not wait for the store beyond this.
    until: Instant,
    _turn: Option<OwnedSemaphorePermit>,
}

impl SpooledUpload {
    pub(super) fn new(shared: Arc<Shared>, new: NewArtifact) -> Self {
        Self { shared, new, size: 0, body: Body::Memory { pieces: Vec::new(), bytes: 0 } }
    }

    /// Writes what is gathered to the disk. What cannot be kept goes on without the spool.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let (draft, pieces) = match std::mem::replace(&mut self.body, Body::Failed) {
            Body::Memory { pieces, .. } => {
                let shared = Arc::clone(&self.shared);
                let id = self.new.id.clone();
                let draft = blocking(move || shared.spool.draft(&id, Reserved::none(&shared.budget))).await;
                match draft {
                    Ok(draft) => (draft, pieces),
                    Err(error) => return self.go_direct(&error, None, pieces).await,
                }
            }
            Body::Disk { draft, pieces, .. } => (draft, pieces),
            other @ (Body::Direct(_) | Body::Failed) => {
                self.body = other;
                return Ok(());
            }
        };
        let (draft, pieces, written) = blocking(move || {
            let mut draft = draft;
            let written = draft.write(&pieces);
            Ok((draft, pieces, written))
        })
        .await?;
        match written {
            Ok(()) => {
                self.body = Body::Disk { draft, pieces: Vec::new(), bytes: 0 };
                Ok(())
            }
            Err(error) => self.go_direct(&error, Some(draft), pieces).await,
        }
    }

    async fn go_direct(
        &mut self,
        error: &StoreError,
        draft: Option<Draft>,
        pieces: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        self.shared.not_kept(error);
        let until = self.new.deadline.min(Instant::now() + self.shared.patience() + DIRECT);
        let (shared, id) = (Arc::clone(&self.shared), self.new.id.clone());
        let late = || shared.late(&id);
        let direct = Arc::clone(&self.shared.direct);
        let _turn = match Arc::clone(&direct).try_acquire_owned() {
            Ok(turn) => Some(turn),
            // Those that have their turn wait for nothing, too.
            Err(_) if self.shared.away.load(Ordering::Relaxed) => return Err(late()),
            Err(_) => timeout_at(until, direct.acquire_owned()).await.map_err(|_| late())?.ok(),
        };
        let new = NewArtifact { deadline: until, ..self.new.clone() };
        let upload = timeout_at(until, self.shared.inner.begin(new)).await.map_err(|_| late())??;
        let mut direct = Direct { upload, until, _turn };
        if let Some(draft) = &draft {
            // A failed write may have left a part of itself; only what came before is read.
            let before = self.size - pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
            let mut left = before;
            let mut file = draft.reader()?;
            while left > 0 {
                let (back, mut chunk) = next_chunk(file).await?;
                file = back;
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                if chunk.is_empty() {
                    let doing = format!("read back {left} bytes of artifact `{}`", self.new.id);
                    return Err(StoreError::new(StoreErrorKind::Unavailable, doing));
                }
                left -= chunk.len() as u64;
                self.shared.write(&mut direct, chunk).await?;
            }
        }
        for piece in pieces {
            self.shared.write(&mut direct, piece).await?;
        }
        self.body = Body::Direct(direct);
        Ok(())
    }

    /// Puts everything into the spool, and lets go of it in memory. `None` where that cannot keep it.
    async fn keep(&mut self, expected: Expected) -> Result<Option<Entry>, StoreError> {
        let (draft, pieces) = match std::mem::replace(&mut self.body, Body::Failed) {
            Body::Memory { pieces, .. } => (None, pieces),
            Body::Disk { draft, pieces, .. } => (Some(draft), pieces),
            other @ (Body::Direct(_) | Body::Failed) => {
                self.body = other;
                return Ok(None);
            }
        };
        let (shared, new) = (Arc::clone(&self.shared), self.new.clone());
        let (kept, draft, pieces) = blocking(move || {
            let (kept, draft) = match draft {
                Some(draft) => keep_large(draft, &new, expected),
                None => (keep_small(&shared, &new, &pieces, expected), None),
            };
            Ok((kept, draft, pieces))
        })
        .await?;
        match kept {
            Ok(entry) => Ok(Some(entry)),
            Err(error) => {
                self.go_direct(&error, draft, pieces).await?;
                Ok(None)
            }
        }
    }

    /// Until when the sender is kept waiting.
    fn until(&self) -> Instant {
        let carrying = Duration::from_secs(self.size / BYTES_A_SECOND);
        self.new.deadline.min(Instant::now() + self.shared.patience() + carrying)
    }
}

#[async_trait]
impl Upload for SpooledUpload {
    fn id(&self) -> &ArtifactId {
        &self.new.id
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.size += piece.len() as u64;
        match &mut self.body {
            Body::Memory { pieces, bytes } | Body::Disk { pieces, bytes, .. } => {
                *bytes += piece.len();
                pieces.push(piece);
                if *bytes > SMALL { self.flush().await } else { Ok(()) }
            }
            Body::Direct(direct) => self.shared.write(direct, piece).await,
            Body::Failed => {
                let doing = format!("store artifact `{}`: it has failed before", self.new.id);
                Err(StoreError::new(StoreErrorKind::Unavailable, doing))
            }
        }
    }

    async fn finish(mut self: Box<Self>, expected: Expected) -> Result<StoredArtifact, StoreError> {
        if expected.size != self.size {
            let doing = format!(
                "store artifact `{}`: {} bytes came instead of {}",
                self.new.id, self.size, expected.size
            );
            return Err(StoreError::new(StoreErrorKind::Mismatch, doing));
        }
        // Large content is on the disk before its manifest is: with no room for its end, it goes the other way.
        if matches!(self.body, Body::Disk { .. }) {
            self.flush().await?;
        }
        let Some(entry) = self.keep(expected).await? else {
            let Body::Direct(direct) = std::mem::replace(&mut self.body, Body::Failed) else {
                let doing = format!("store artifact `{}`: it has failed before", self.new.id);
                return Err(StoreError::new(StoreErrorKind::Unavailable, doing));
            };
            let finished = timeout_at(direct.until, direct.upload.finish(expected)).await;
            let finished = finished.unwrap_or_else(|_| Err(self.shared.late(&self.new.id)));
            match &finished {
                Ok(_) => self.shared.is_back(),
                Err(_) => count(&self.shared.counts.failed),
            }
            return finished;
        };
        let (reply, answer) = oneshot::channel();
        let attempt = first_attempt(Arc::clone(&self.shared), entry, self.until(), reply);
        self.shared.tasks.spawn(attempt);
        answer.await.unwrap_or_else(|_| {
            let doing = format!("store artifact `{}`: the attempt broke off", self.new.id);
            Err(StoreError::new(StoreErrorKind::Unavailable, doing))
        })
    }

    async fn abort(mut self: Box<Self>) {
        if let Body::Direct(direct) = std::mem::replace(&mut self.body, Body::Failed) {
            direct.upload.abort().await;
        }
    }
}

impl Shared {
    /// Sends on past the spool, no longer than the sender waits.
    async fn write(&self, direct: &mut Direct, bytes: Bytes) -> Result<(), StoreError> {
        match timeout_at(direct.until, direct.upload.write(bytes)).await {
            Ok(written) => written,
            Err(_) => Err(self.late(direct.upload.id())),
        }
    }

    fn late(&self, id: &ArtifactId) -> StoreError {
        self.away.store(true, Ordering::Relaxed);
        StoreError::new(StoreErrorKind::Unavailable, format!("store artifact `{id}` in time"))
    }
}

/// All of it is on the disk. Gives the draft back where it could not be kept.
fn keep_large(
    mut draft: Draft,
    new: &NewArtifact,
    expected: Expected,
) -> (Result<Entry, StoreError>, Option<Draft>) {
    let kept = draft.keep(new, expected);
    let draft = kept.is_err().then_some(draft);
    (kept, draft)
}

/// All of it is in memory.
fn keep_small(
    shared: &Shared,
    new: &NewArtifact,
    pieces: &[Bytes],
    expected: Expected,
) -> Result<Entry, StoreError> {
    let mut draft = shared.spool.draft(&new.id, Reserved::none(&shared.budget))?;
    draft.write(pieces)?;
    draft.keep(new, expected)
}

async fn first_attempt(
    shared: Arc<Shared>,
    entry: Entry,
    until: Instant,
    reply: oneshot::Sender<Result<StoredArtifact, StoreError>>,
) {
    let sent = tokio::select! {
        sent = timeout_at(until, send(&shared, &entry, until)) => sent,
        // The next process goes on.
        () = shared.stop.cancelled() => return,
    };
    let error = match sent {
        Ok(Ok(stored)) => {
            shared.is_back();
            entry.remove().await;
            // A sender that went away does not need to know.
            let _ = reply.send(Ok(stored));
            return;
        }
        // The sender's fault: the same bytes would fail again.
        Ok(Err(error)) if error.kind() == StoreErrorKind::Mismatch => {
            entry.remove().await;
            let _ = reply.send(Err(error));
            return;
        }
        Ok(Err(error)) => error,
        Err(_) => StoreError::new(StoreErrorKind::Unavailable, "store the file in time"),
    };
    count(&shared.counts.failed);
    shared.away.store(true, Ordering::Relaxed);
    if let Err(error) = entry.sync().await {
        tracing::warn!(error = %error, "a file that waits would not survive a power failure");
    }
    let doing = format!("store artifact `{}` now; it is kept and will be tried again", entry.id());
    {
        let mut state = shared.state();
        state.waiting.entry(entry.id().clone()).or_default();
        state.queue.push_back(entry);
    }
    // Before the queue is looked at, so that the sender can ask for the arrival.
    let _ = reply.send(Err(StoreError::new(StoreErrorKind::Deferred, doing).with_source(error)));
    shared.work.notify_one();
}

/// Sends an artifact to the store.
pub(super) async fn send(
    shared: &Shared,
    entry: &Entry,
    deadline: Instant,
) -> Result<StoredArtifact, StoreError> {
    let expected = entry.expected();
    let turns = if expected.size > SMALL as u64 { &shared.large } else { &shared.small };
    let _turn = turns.acquire().await.ok();
    let mut upload = shared.inner.begin(entry.as_new(deadline)).await?;
    match send_file(&mut *upload, entry).await {
        Ok(()) => upload.finish(expected).await,
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn send_file(upload: &mut dyn Upload, entry: &Entry) -> Result<(), StoreError> {
    let mut file = entry.reader()?;
    loop {
        let (back, chunk) = next_chunk(file).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        file = back;
        upload.write(chunk).await?;
    }
}
