//! An upload into the directory: small content in one step, large content in a stream of bounded memory.
//!
//! Up to [`SMALL`] bytes stay in memory, and `finish` does everything in one visit to a blocking thread. Beyond that the
//! bytes go out in chunks: two threads hash and write one chunk while the next one is still coming in. At most one chunk
//! is gathered and one is on its way, so memory is bounded, and a slow disk makes the sender wait.

use std::{io, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::{
    disk::{blocking, io_error},
    id::ArtifactId,
    local::{Inner, SMALL, commit::Temporary},
    store::{
        Expected, NewArtifact, Sha256Digest, StoreError, StoreErrorKind, StoredArtifact, Upload, compare,
    },
};

/// Bytes that are gathered before a thread is asked to take them.
const CHUNK: u64 = 1024 * 1024;
/// Pieces below this are copied together; larger ones are kept as they are.
const COPIED: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct LocalUpload {
    inner: Arc<Inner>,
    new: NewArtifact,
    gathered: Gathered,
    size: u64,
    /// `None` while everything is still in memory.
    stream: Option<Stream>,
}

/// Bytes that are not yet on their way.
#[derive(Debug, Default)]
struct Gathered {
    pieces: Vec<Bytes>,
    small: BytesMut,
    size: u64,
}

/// The two threads' work on the last chunk; each gives back its state for the next one.
#[derive(Debug)]
struct Stream {
    hash: JoinHandle<Sha256>,
    file: JoinHandle<io::Result<Temporary>>,
}

impl LocalUpload {
    pub(super) fn new(inner: Arc<Inner>, new: NewArtifact) -> Self {
        Self { inner, new, gathered: Gathered::default(), size: 0, stream: None }
    }

    /// Sends the gathered bytes on their way, once the last ones have arrived.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let pieces: Arc<[Bytes]> = self.gathered.take().into();
        let stream = match self.stream.take() {
            None => Stream {
                hash: spawn_blocking({
                    let pieces = Arc::clone(&pieces);
                    move || hash(Sha256::new(), &pieces)
                }),
                file: spawn_blocking({
                    let (inner, id) = (Arc::clone(&self.inner), self.new.id.clone());
                    move || {
                        let mut temporary = Temporary::create(&inner, &id)?;
                        temporary.write(&pieces)?;
                        Ok(temporary)
                    }
                }),
            },
            Some(stream) => {
                let (state, mut temporary) = stream.arrived(&self.new.id).await?;
                Stream {
                    hash: spawn_blocking({
                        let pieces = Arc::clone(&pieces);
                        move || hash(state, &pieces)
                    }),
                    file: spawn_blocking(move || {
                        temporary.write(&pieces)?;
                        Ok(temporary)
                    }),
                }
            }
        };
        self.stream = Some(stream);
        Ok(())
    }
}

#[async_trait]
impl Upload for LocalUpload {
    fn id(&self) -> &ArtifactId {
        &self.new.id
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        let limit = if self.stream.is_some() { CHUNK } else { SMALL };
        self.size += length;
        self.gathered.push(bytes);
        if self.gathered.size > limit { self.flush().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>, expected: Expected) -> Result<StoredArtifact, StoreError> {
        if self.stream.is_some() {
            self.flush().await?;
        }
        let streamed = match self.stream.take() {
            Some(stream) => Some(stream.arrived(&self.new.id).await?),
            None => None,
        };
        blocking(move || {
            let Self { inner, new, mut gathered, size, .. } = *self;
            let id = new.id.clone();
            let pieces = gathered.take();
            let (state, streamed) = match streamed {
                Some((state, temporary)) => (state, Some(temporary)),
                None => (Sha256::new(), None),
            };
            let sha256 = Sha256Digest::from_bytes(hash(state, &pieces).finalize().into());
            compare(&id, size, sha256, expected)?;
            let failed = |error| io_error(format!("store artifact `{id}`"), error);
            let mut temporary = match streamed {
                Some(temporary) => temporary,
                None => Temporary::create(&inner, &id).map_err(failed)?,
            };
            temporary.write(&pieces).map_err(failed)?;
            temporary.commit(&inner, &id, &new.metadata(size, sha256))?;
            Ok(StoredArtifact { id, size, sha256, media_type: new.media_type })
        })
        .await
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(stream) = self.stream.take() {
            // Whatever they did, the temporary file goes with their results.
            drop((stream.hash.await, stream.file.await));
        }
    }
}

impl Stream {
    async fn arrived(self, id: &ArtifactId) -> Result<(Sha256, Temporary), StoreError> {
        let stopped = |error: JoinError| {
            StoreError::new(StoreErrorKind::Unavailable, format!("store artifact `{id}`")).with_source(error)
        };
        let state = self.hash.await.map_err(stopped)?;
        let temporary = self.file.await.map_err(stopped)?;
        Ok((state, temporary.map_err(|error| io_error(format!("store artifact `{id}`"), error))?))
    }
}

impl Gathered {
    fn push(&mut self, bytes: Bytes) {
        self.size += bytes.len() as u64;
        if bytes.len() < COPIED {
            self.small.extend_from_slice(&bytes);
        } else {
            self.close_small();
            self.pieces.push(bytes);
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.close_small();
        self.size = 0;
        std::mem::take(&mut self.pieces)
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
    }
}

fn hash(mut state: Sha256, pieces: &[Bytes]) -> Sha256 {
    for piece in pieces {
        state.update(piece);
    }
    state
}
