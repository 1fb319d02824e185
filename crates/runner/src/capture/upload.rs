//! One file on its way from the sandbox into the store.
//!
//! A small file is collected first and stored beside others. A large one goes through as it comes, once its first bytes
//! have told its media type, so that it is never in memory as a whole. Both are hashed on the way, and the store
//! acknowledges exactly that checksum.

use std::time::Duration;

use artifact::{
    Arrival, ArtifactId, Expected, HEAD_BYTES, MediaType, NewArtifact, Sha256Digest, StoreError,
    StoreErrorKind, Upload,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{Destination, Take};
use crate::fault::chain;

/// Up to this size a file is collected in memory.
const SMALL: u64 = 1 << 20;
/// How long before our own deadline the store is told to stop trying, so that it can still say what became of the file.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Room for a file of this size, if it is there. Large ones are not collected, but for their beginning.
pub(super) fn room<'a>(to: &Destination<'a>, size: u64) -> Option<SemaphorePermit<'a>> {
    let bytes = u32::try_from(size.min(SMALL)).unwrap_or(u32::MAX);
    to.collected.try_acquire_many(bytes).ok()
}

/// A file whose bytes are coming.
pub(super) struct Incoming<'a> {
    take: Take,
    to: &'a Destination<'a>,
    /// Bytes that come.
    expected: u64,
    received: u64,
    hash: Sha256,
    head: Vec<u8>,
    body: Body,
    /// Until the file is dealt with.
    room: Option<SemaphorePermit<'a>>,
}

enum Body {
    /// All of a small file, or the beginning of a large one.
    Collected(Vec<Bytes>),
    Streamed {
        upload: Box<dyn Upload>,
        media_type: MediaType,
    },
    /// The store failed; the rest of the bytes is read and dropped, since the sandbox sends it anyway.
    Failed(String),
    /// The size is not what the listing said.
    Changed,
}

/// What became of a file.
#[derive(Debug)]
pub(super) enum Uploaded {
    Stored(Stored),
    /// The same content was stored under this path before.
    Unchanged,
    /// The store failed, but keeps the file and will have it later.
    Deferred(Deferred),
    /// The store failed; the fault is for the log.
    Failed {
        media_type: MediaType,
        fault: String,
    },
    /// The sandbox could not give it; why, for people.
    Unreadable(&'static str),
}

/// An acknowledged file.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) media_type: MediaType,
    pub(super) sha256: Sha256Digest,
}

/// A file that is on its way without us.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) id: ArtifactId,
    pub(super) media_type: MediaType,
    pub(super) sha256: Sha256Digest,
    /// What failed, for the log.
    pub(super) fault: String,
    pub(super) arrival: Option<Arrival>,
}

impl<'a> Incoming<'a> {
    /// A file of this size is about to come.
    pub(super) fn begin(
        take: Take,
        size: u64,
        to: &'a Destination<'a>,
        room: Option<SemaphorePermit<'a>>,
    ) -> Self {
        let body = if size == take.size { Body::Collected(Vec::new()) } else { Body::Changed };
        let expected = size.min(take.size);
        Self { take, to, expected, received: 0, hash: Sha256::new(), head: Vec::new(), body, room }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.received >= self.expected
    }

    /// Takes the next bytes.
    pub(super) async fn write(&mut self, bytes: Bytes) {
        self.received += bytes.len() as u64;
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.hash.update(&bytes);
        match &mut self.body {
            Body::Collected(parts) => {
                parts.push(bytes);
                if self.expected > SMALL && self.head.len() >= HEAD_BYTES {
                    self.start_stream().await;
                }
            }
            Body::Streamed { upload, .. } => {
                if let Err(error) = in_time(self.to.deadline, upload.write(bytes)).await {
                    let failed = std::mem::replace(&mut self.body, Body::Failed(chain(&error)));
                    abort(failed).await;
                }
            }
            Body::Failed(_) | Body::Changed => {}
        }
    }

    /// The type of a large file is known: what is there of it goes on its way.
    async fn start_stream(&mut self) {
        let Body::Collected(parts) = std::mem::replace(&mut self.body, Body::Changed) else { return };
        let media_type = MediaType::detect(&self.head, &self.take.name);
        self.body = match send(&self.take, self.to, parts, media_type.clone()).await {
            Ok(upload) => Body::Streamed { upload, media_type },
            Err(error) => Body::Failed(chain(&error)),
        };
    }

    /// Gives up; the store keeps nothing of it.
    pub(super) async fn abort(self) -> Take {
        abort(self.body).await;
        self.take
    }

    /// All bytes are there: what is left to do, to be done beside other files.
    pub(super) fn finish(self) -> BoxFuture<'a, (Take, Uploaded)> {
        async move {
            let _room = self.room;
            let sha256 = Sha256Digest::from_bytes(self.hash.finalize().into());
            let (to, take) = (self.to, self.take);
            let media_type = MediaType::detect(&self.head, &take.name);
            if take.known == Some(sha256) && !matches!(self.body, Body::Changed) {
                abort(self.body).await;
                return (take, Uploaded::Unchanged);
            }
            let expected = Expected { size: self.received, sha256: Some(sha256) };
            let (upload, media_type) = match self.body {
                Body::Changed => return (take, Uploaded::Unreadable("The file changed while it was read")),
                Body::Failed(fault) => return (take, Uploaded::Failed { media_type, fault }),
                // Decided by the same first bytes as above.
                Body::Streamed { upload, media_type } => (Ok(upload), media_type),
                Body::Collected(parts) => (send(&take, to, parts, media_type.clone()).await, media_type),
            };
            let uploaded = match upload {
                Ok(upload) => settle(upload, to, media_type, expected, sha256).await,
                Err(error) => Uploaded::Failed { media_type, fault: chain(&error) },
            };
            (take, uploaded)
        }
        .boxed()
    }
}

/// Begins an upload with the bytes that are there.
async fn send(
    take: &Take,
    to: &Destination<'_>,
    parts: Vec<Bytes>,
    media_type: MediaType,
) -> Result<Box<dyn Upload>, StoreError> {
    let deadline = to.deadline.checked_sub(LAST_WORD).unwrap_or(to.deadline);
    let new = NewArtifact::new(to.trigger, &take.name, media_type, deadline)?;
    let mut upload = in_time(to.deadline, to.store.begin(new)).await?;
    for part in parts {
        if let Err(error) = in_time(to.deadline, upload.write(part)).await {
            upload.abort().await;
            return Err(error);
        }
    }
    Ok(upload)
}

/// Ends an upload, and says what became of the file.
async fn settle(
    upload: Box<dyn Upload>,
    to: &Destination<'_>,
    media_type: MediaType,
    expected: Expected,
    sha256: Sha256Digest,
) -> Uploaded {
    let id = upload.id().clone();
    let signed = match in_time(to.deadline, upload.finish(expected)).await {
        Ok(artifact) => in_time(to.deadline, to.store.url(&artifact.id)).await,
        Err(error) if error.kind() == StoreErrorKind::Deferred => {
            let arrival = to.store.arrival(&id);
            return Uploaded::Deferred(Deferred { id, media_type, sha256, fault: chain(&error), arrival });
        }
        Err(error) => Err(error),
    };
    match signed {
        Ok(signed) => Uploaded::Stored(Stored { id: id.to_string(), url: signed.url, media_type, sha256 }),
        Err(error) => Uploaded::Failed { media_type, fault: chain(&error) },
    }
}

async fn abort(body: Body) {
    if let Body::Streamed { upload, .. } = body {
        upload.abort().await;
    }
}

/// A store that does not answer in time has failed.
async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout_at(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, "store the file in time")),
    }
}
