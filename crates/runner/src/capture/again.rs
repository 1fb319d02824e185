//! Files that look as they did when they were stored, and may not be the same.
//!
//! A program that writes through a shared mapping leaves size, inode and times as they were: a file system in memory takes
//! no note of such writes. So what was stored before is read again after each program, and its checksum compared. Only what
//! differs goes on from here, as every other changed file.

use std::collections::HashSet;

use artifact::Sha256Digest;
use sandbox::{FetchFile, FetchItem, Sandbox, SandboxError};
use sha2::{Digest as _, Sha256};

/// Most files asked for with one request.
const BATCH: usize = 256;

/// A file that was stored, and has not changed as far as its entry tells.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) path: Vec<u8>,
    pub(super) size: u64,
    pub(super) sha256: Sha256Digest,
}

/// The paths of those whose content is another now, or cannot be read any more. In memory is one piece of one file at a
/// time.
pub(super) async fn differing(
    sandbox: &mut Sandbox,
    files: &[Stored],
) -> Result<HashSet<Vec<u8>>, SandboxError> {
    let mut differing = HashSet::new();
    for batch in files.chunks(BATCH) {
        let ask = |file: &Stored| FetchFile { path: file.path.clone(), offset: 0, limit: file.size };
        let mut fetch = sandbox.fetch(batch.iter().map(ask).collect()).await?;
        let mut waiting = batch.iter();
        let mut current: Option<Reading<'_>> = None;
        while let Some(item) = fetch.next().await? {
            match item {
                FetchItem::File { size } => {
                    current = waiting.next().map(|file| Reading {
                        file,
                        left: size.min(file.size),
                        hash: Sha256::new(),
                    });
                }
                FetchItem::Data(bytes) => {
                    if let Some(reading) = &mut current {
                        reading.left = reading.left.saturating_sub(bytes.len() as u64);
                        reading.hash.update(&bytes);
                    }
                }
                // Of the file that has begun, or else of the next one.
                FetchItem::Failed(_) => {
                    let failed = current.take().map(|reading| reading.file).or_else(|| waiting.next());
                    differing.extend(failed.map(|file| file.path.clone()));
                }
            }
            if let Some(reading) = current.take_if(|reading| reading.left == 0) {
                let path = reading.file.path.clone();
                if !reading.is_the_same() {
                    differing.insert(path);
                }
            }
        }
    }
    Ok(differing)
}

/// A file whose bytes are coming.
struct Reading<'a> {
    file: &'a Stored,
    left: u64,
    hash: Sha256,
}

impl Reading<'_> {
    fn is_the_same(self) -> bool {
        Sha256Digest::from_bytes(self.hash.finalize().into()) == self.file.sha256
    }
}
