//! A store that keeps everything in memory, for tests of what stands above the stores.
//!
//! A real store in every respect but lasting: the conformance suite runs on it. It can be told to fail, as real ones do.

use std::{
    collections::HashMap,
    io::Cursor,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::{
    id::ArtifactId,
    store::{
        ArtifactMetadata, ArtifactStore, Content, Expected, NewArtifact, Sha256Digest, SignedUrl, StoreError,
        StoreErrorKind, StoredArtifact, Swept, Upload, compare,
    },
};

/// A store in memory. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    artifacts: HashMap<ArtifactId, (ArtifactMetadata, Bytes)>,
    failing: Option<StoreErrorKind>,
}

#[derive(Debug)]
struct MemoryUpload {
    store: MemoryStore,
    new: NewArtifact,
    bytes: BytesMut,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on all writing fails in this way; `None` ends it.
    pub fn fail_with(&self, kind: Option<StoreErrorKind>) {
        self.state().failing = kind;
    }

    /// How many artifacts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state().artifacts.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; and a map is whole between two operations.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failing(&self) -> Result<(), StoreError> {
        match self.state().failing {
            Some(kind) => Err(StoreError::new(kind, "write to memory")),
            None => Ok(()),
        }
    }

    fn find(&self, id: &ArtifactId) -> Result<(ArtifactMetadata, Bytes), StoreError> {
        self.state().artifacts.get(id).cloned().ok_or_else(|| StoreError::not_found(id))
    }
}

#[async_trait]
impl ArtifactStore for MemoryStore {
    async fn begin(&self, new: NewArtifact) -> Result<Box<dyn Upload>, StoreError> {
        self.failing()?;
        Ok(Box::new(MemoryUpload { store: self.clone(), new, bytes: BytesMut::new() }))
    }

    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError> {
        Ok(SignedUrl { url: format!("https://memory.invalid/{id}"), expires: None })
    }

    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError> {
        Ok(self.find(id)?.0)
    }

    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError> {
        let (metadata, bytes) = self.find(id)?;
        Ok(Some(Content { metadata, body: Box::pin(Cursor::new(bytes)) }))
    }

    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError> {
        self.state().artifacts.remove(id);
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.failing()
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }
}

#[async_trait]
impl Upload for MemoryUpload {
    fn id(&self) -> &ArtifactId {
        &self.new.id
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.store.failing()?;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>, expected: Expected) -> Result<StoredArtifact, StoreError> {
        self.store.failing()?;
        let Self { store, new, bytes } = *self;
        let (size, sha256) = (bytes.len() as u64, Sha256Digest::of(&bytes));
        compare(&new.id, size, sha256, expected)?;
        let metadata = new.metadata(size, sha256);
        store.state().artifacts.insert(new.id.clone(), (metadata, bytes.freeze()));
        Ok(StoredArtifact { id: new.id, size, sha256, media_type: new.media_type })
    }

    async fn abort(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn it_conforms() {
        conformance::all(&MemoryStore::new()).await;
    }

    #[tokio::test]
    async fn it_fails_when_told_to() {
        let store = MemoryStore::new();
        store.fail_with(Some(StoreErrorKind::Unavailable));
        assert_eq!(store.check().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        store.fail_with(None);
        store.check().await.unwrap();
    }
}
