//! How an artifact comes into the directory, and out of it: by one rename each way. Blocking code.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use bytes::Bytes;

use crate::{
    disk::{create_directory, create_file, ignore_missing, io_error, sync_directory},
    id::ArtifactId,
    local::{Durability, Inner},
    store::{ArtifactMetadata, StoreError, StoreErrorKind},
};

/// A file in `incoming`, removed again unless it is committed. It travels with the work on it, so that an upload that is
/// dropped while a thread still writes is cleaned up when that thread is done.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    committed: Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Committed {
    No,
    Yes,
}

impl Temporary {
    pub(super) fn create(inner: &Inner, id: &ArtifactId) -> io::Result<Self> {
        let path = inner.temporary(id);
        Ok(Self { file: create_file(&path)?, path, committed: Committed::No })
    }

    pub(super) fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        pieces.iter().try_for_each(|piece| self.file.write_all(piece))
    }

    /// Makes the artifact visible.
    pub(super) fn commit(
        mut self,
        inner: &Inner,
        id: &ArtifactId,
        metadata: &ArtifactMetadata,
    ) -> Result<(), StoreError> {
        let sidecar = inner.sidecar(id);
        let done = self.try_commit(inner, id, metadata);
        if done.is_err() {
            // Best effort: the error that counts is the one above, and metadata without content is not visible.
            drop(std::fs::remove_file(&sidecar));
        }
        done.map_err(|error| io_error(format!("store artifact `{id}`"), error))
    }

    fn try_commit(&mut self, inner: &Inner, id: &ArtifactId, metadata: &ArtifactMetadata) -> io::Result<()> {
        let json = serde_json::to_vec(metadata)?;
        let shard = inner.shard(id);
        let mut sidecar = match create_file(&inner.sidecar(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_directory(&shard)?;
                create_file(&inner.sidecar(id))?
            }
            other => other?,
        };
        sidecar.write_all(&json)?;
        if inner.durability == Durability::Fsync {
            sidecar.sync_all()?;
            self.file.sync_all()?;
        }
        std::fs::rename(&self.path, inner.content(id))?;
        self.committed = Committed::Yes;
        if inner.durability == Durability::Fsync {
            sync_directory(&shard)?;
            sync_directory(&inner.artifacts)?;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.committed == Committed::No {
            // Best effort: what stays is found by the next sweep.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Metadata of an artifact whose content is there.
pub(super) fn read_metadata(inner: &Inner, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError> {
    let json = match std::fs::read(inner.sidecar(id)) {
        Ok(json) => json,
        // Removed between our look at the content and this one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::not_found(id)),
        Err(error) => return Err(io_error(format!("read the metadata of artifact `{id}`"), error)),
    };
    serde_json::from_slice(&json).map_err(|error| {
        StoreError::new(StoreErrorKind::Mismatch, format!("read the metadata of artifact `{id}`"))
            .with_source(error)
    })
}

/// Content first goes back to `incoming`: from there a sweep finishes what a kill interrupts.
pub(super) fn remove_artifact(inner: &Inner, id: &ArtifactId) -> io::Result<()> {
    let temporary = inner.temporary(id);
    match std::fs::rename(inner.content(id), &temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    ignore_missing(std::fs::remove_file(inner.sidecar(id)))?;
    ignore_missing(std::fs::remove_file(&temporary))
}
