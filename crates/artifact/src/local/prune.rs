//! How much a directory holds, and what goes first when it may not hold so much. Blocking code.
//!
//! The age of an artifact is that of its content file. Its removal is that of [`super::commit::remove_artifact`], so a kill
//! in the middle leaves what a sweep finishes, and a reader that has the file open reads it to its end.

use std::{
    fs, io,
    time::{Duration, SystemTime},
};

use crate::{
    id::ArtifactId,
    local::{Inner, commit::remove_artifact},
    store::{Retention, Usage},
};

struct Stored {
    id: ArtifactId,
    age: Duration,
    bytes: u64,
}

pub(super) fn usage(inner: &Inner) -> io::Result<Usage> {
    Ok(sum(&list(inner)?))
}

/// Removes what is older than it may be, then the oldest until the rest fits. Gives what was removed.
pub(super) fn prune(inner: &Inner, retention: Retention) -> io::Result<Usage> {
    let mut stored = list(inner)?;
    stored.sort_unstable_by_key(|one| std::cmp::Reverse(one.age));
    let mut bytes = sum(&stored).bytes;
    let mut removed = Usage::default();
    for one in stored {
        let is_old = retention.age.is_some_and(|age| one.age > age);
        if !is_old && retention.bytes.is_none_or(|most| bytes <= most) {
            break;
        }
        remove_artifact(inner, &one.id)?;
        bytes -= one.bytes;
        removed.files += 1;
        removed.bytes += one.bytes;
    }
    Ok(removed)
}

fn sum(stored: &[Stored]) -> Usage {
    Usage { files: stored.len() as u64, bytes: stored.iter().map(|one| one.bytes).sum() }
}

fn list(inner: &Inner) -> io::Result<Vec<Stored>> {
    let now = SystemTime::now();
    let mut stored = Vec::new();
    for shard in fs::read_dir(&inner.artifacts)? {
        let shard = shard?.path();
        if !shard.is_dir() {
            continue;
        }
        for file in fs::read_dir(shard)? {
            let file = file?;
            let name = file.file_name();
            // Metadata stands beside its content, and goes with it.
            let Some(id) = name.to_str().and_then(|name| name.parse::<ArtifactId>().ok()) else { continue };
            // Removed since the directory was read.
            let Ok(found) = file.metadata() else { continue };
            let age = found.modified().ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
            stored.push(Stored { id, age, bytes: found.len() });
        }
    }
    Ok(stored)
}
