//! What waits is tried again, until it arrives or the process ends.
//!
//! While the store is away one artifact is tried at a time, the one that waits longest first, with pauses that double up
//! to a minute and differ by chance, so that many runners do not come back at the same moment. As soon as the store takes
//! another file, or is found to work by a check, the pause is over. Once one arrives, several are tried side by side.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{Shared, count, disk::Entry, upload::send};
use crate::store::{StoreError, StoreErrorKind, StoredArtifact};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What one attempt may take, however large the artifact is.
const ATTEMPT: Duration = Duration::from_secs(600);
/// Artifacts that are tried side by side while the store works.
const AT_ONCE: usize = 4;

/// Runs until the store is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut works = false;
    loop {
        let batch = take(&shared, if works { AT_ONCE } else { 1 });
        if batch.is_empty() {
            tokio::select! {
                () = shared.work.notified() => {}
                () = shared.stop.cancelled() => return,
            }
            // What has just failed would fail again; what a dead process left has waited long enough.
            if shared.away.load(Ordering::Relaxed) {
                (works, pause) = (false, FIRST_PAUSE);
                if !rest(&shared, &mut pause).await {
                    return;
                }
            }
            continue;
        }
        let all_arrived = tokio::select! {
            all_arrived = try_again(&shared, batch) => all_arrived,
            () = shared.stop.cancelled() => return,
        };
        works = all_arrived;
        if all_arrived {
            pause = FIRST_PAUSE;
        } else if !rest(&shared, &mut pause).await {
            return;
        }
    }
}

/// Waits for between a half and the whole of the pause, and doubles it. Whether the store goes on.
async fn rest(shared: &Shared, pause: &mut Duration) -> bool {
    let mut byte = [0];
    // Without random numbers all pauses are whole ones.
    let part = getrandom::fill(&mut byte).map_or(255, |()| u32::from(byte[0]));
    let time = *pause / 2 + (*pause / 2) * part / 255;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
    tokio::select! {
        () = sleep(time) => true,
        () = shared.back.notified() => {
            *pause = FIRST_PAUSE;
            true
        }
        () = shared.stop.cancelled() => false,
    }
}

fn take(shared: &Shared, most: usize) -> Vec<Entry> {
    let mut state = shared.state();
    let length = state.queue.len().min(most);
    state.queue.drain(..length).collect()
}

/// Tries these side by side. Whether all of them arrived.
async fn try_again(shared: &Arc<Shared>, batch: Vec<Entry>) -> bool {
    let mut attempts = JoinSet::new();
    for entry in batch {
        let shared = Arc::clone(shared);
        attempts.spawn(async move {
            let sent = send_again(&shared, &entry).await;
            settle(&shared, entry, sent).await
        });
    }
    let mut all = true;
    while let Some(arrived) = attempts.join_next().await {
        all &= arrived.unwrap_or(false);
    }
    all
}

async fn send_again(shared: &Shared, entry: &Entry) -> Result<StoredArtifact, StoreError> {
    let deadline = Instant::now() + ATTEMPT;
    let attempt = async {
        // The answer to an earlier attempt may have been lost, or the process that got it was killed.
        match shared.inner.metadata(entry.id()).await {
            Ok(found) if entry.expected().sha256.is_none_or(|expected| expected == found.sha256) => {
                let (id, media_type) = (entry.id().clone(), found.media_type);
                return Ok(StoredArtifact { id, size: found.size, sha256: found.sha256, media_type });
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), StoreErrorKind::NotFound | StoreErrorKind::Mismatch) => {}
            Err(error) => return Err(error),
        }
        shared.inner.discard(entry.id()).await?;
        send(shared, entry, deadline).await
    };
    match timeout_at(deadline, attempt).await {
        Ok(sent) => sent,
        Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, "store the file in time")),
    }
}

/// Whether it arrived, or is of no more interest.
async fn settle(shared: &Shared, entry: Entry, sent: Result<StoredArtifact, StoreError>) -> bool {
    let id = entry.id().clone();
    match sent {
        Ok(stored) => {
            shared.is_back();
            entry.remove().await;
            let waiting = shared.state().waiting.remove(&id);
            let Some(waiting) = waiting else {
                // It was removed while it was on its way.
                if let Err(error) = shared.inner.remove(&id).await {
                    tracing::warn!(artifact.id = %id, error = %error, "a removed file stays in the store");
                }
                return true;
            };
            count(&shared.counts.delivered);
            tracing::info!(artifact.id = %id, size_bytes = stored.size, "a file that waited is stored");
            for sender in waiting {
                // Whoever does not listen any more needs no answer.
                let _ = sender.send(stored.clone());
            }
            true
        }
        Err(error) if error.kind() == StoreErrorKind::Mismatch => {
            count(&shared.counts.lost);
            tracing::error!(artifact.id = %id, error = %error, "a file was damaged in the spool and is lost");
            entry.remove().await;
            shared.state().waiting.remove(&id);
            true
        }
        Err(error) => {
            shared.away.store(true, Ordering::Relaxed);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(artifact.id = %id, error = %error, cause, "a file still waits for the store");
            if let Some(removed) = shared.wait_again(entry) {
                removed.remove().await;
            }
            false
        }
    }
}
