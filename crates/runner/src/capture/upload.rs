//! One file on its way from the sandbox into the store.
//!
//! A small file is collected first and stored beside others. A large one goes through as it comes, so that it is never
//! in memory as a whole. Both are hashed on the way, and the store acknowledges exactly that checksum.

use artifact::{
    Expected, HEAD_BYTES, MediaType, NewArtifact, Sha256Digest, StoreError, StoreErrorKind, StoredArtifact,
    Upload,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use super::{Destination, Take};
use crate::fault::chain;

/// Up to this size a file is collected in memory.
const SMALL: u64 = 1 << 20;

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
}

enum Body {
    Collected(Vec<Bytes>),
    Streamed(Box<dyn Upload>),
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

impl<'a> Incoming<'a> {
    /// A file of this size is about to come.
    pub(super) async fn begin(take: Take, size: u64, to: &'a Destination<'a>) -> Self {
        let body = if size != take.size {
            Body::Changed
        } else if size <= SMALL {
            Body::Collected(Vec::new())
        } else {
            match in_time(to.deadline, to.store.begin(new_artifact(&take, to))).await {
                Ok(upload) => Body::Streamed(upload),
                Err(error) => Body::Failed(chain(&error)),
            }
        };
        let expected = size.min(take.size);
        Self { take, to, expected, received: 0, hash: Sha256::new(), head: Vec::new(), body }
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
            Body::Collected(parts) => parts.push(bytes),
            Body::Streamed(upload) => {
                if let Err(error) = in_time(self.to.deadline, upload.write(bytes)).await {
                    let failed = std::mem::replace(&mut self.body, Body::Failed(chain(&error)));
                    abort(failed).await;
                }
            }
            Body::Failed(_) | Body::Changed => {}
        }
    }

    /// Gives up; the store keeps nothing of it.
    pub(super) async fn abort(self) -> Take {
        abort(self.body).await;
        self.take
    }

    /// All bytes are there: what is left to do, to be done beside other files.
    pub(super) fn finish(self) -> BoxFuture<'a, (Take, Uploaded)> {
        async move {
            let sha256 = Sha256Digest::from_bytes(self.hash.finalize().into());
            let media_type = MediaType::detect(&self.head, &self.take.name);
            if self.take.known == Some(sha256) && !matches!(self.body, Body::Changed) {
                abort(self.body).await;
                return (self.take, Uploaded::Unchanged);
            }
            let expected = Expected { size: self.received, sha256: Some(sha256) };
            let (to, take) = (self.to, self.take);
            let stored = match self.body {
                Body::Changed => return (take, Uploaded::Unreadable("The file changed while it was read")),
                Body::Failed(fault) => return (take, Uploaded::Failed { media_type, fault }),
                Body::Collected(parts) => store(&take, to, parts, media_type.clone(), expected).await,
                Body::Streamed(upload) => {
                    in_time(to.deadline, upload.finish(media_type.clone(), expected)).await
                }
            };
            let uploaded = match stored {
                Ok(artifact) => match in_time(to.deadline, to.store.url(&artifact.id)).await {
                    Ok(signed) => {
                        let id = artifact.id.to_string();
                        Uploaded::Stored(Stored {
                            id,
                            url: signed.url,
                            media_type: artifact.media_type,
                            sha256,
                        })
                    }
                    Err(error) => Uploaded::Failed { media_type, fault: chain(&error) },
                },
                Err(error) => Uploaded::Failed { media_type, fault: chain(&error) },
            };
            (take, uploaded)
        }
        .boxed()
    }
}

async fn store(
    take: &Take,
    to: &Destination<'_>,
    parts: Vec<Bytes>,
    media_type: MediaType,
    expected: Expected,
) -> Result<StoredArtifact, StoreError> {
    let mut upload = in_time(to.deadline, to.store.begin(new_artifact(take, to))).await?;
    for part in parts {
        if let Err(error) = in_time(to.deadline, upload.write(part)).await {
            abort(Body::Streamed(upload)).await;
            return Err(error);
        }
    }
    in_time(to.deadline, upload.finish(media_type, expected)).await
}

async fn abort(body: Body) {
    if let Body::Streamed(upload) = body {
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

fn new_artifact(take: &Take, to: &Destination<'_>) -> NewArtifact {
    NewArtifact { trigger: to.trigger.to_owned(), file_name: take.name.clone() }
}
