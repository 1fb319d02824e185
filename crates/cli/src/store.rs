//! The store of output files that a server was told to use.

#[cfg(feature = "s3")]
mod bucket;

use std::{sync::Arc, time::Duration};

use artifact::{
    ArtifactStore, Durability, LocalOptions, LocalStore, LocalUrls, SignedUrls, SpooledStore, StoreError,
    StoreErrorKind,
};
use tokio::time::{sleep, timeout};

use crate::{args::Serve, error::CommandError, options::StoreSpec};

/// How long the start waits for the store's word.
const START_WAIT: Duration = Duration::from_secs(10);
/// Between two tries to sweep a store that is away, doubled with each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A store, and what checks its links where we serve them ourselves.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) signed_urls: Option<SignedUrls>,
    /// What keeps files while a bucket is away.
    pub(crate) spool: Option<SpooledStore>,
}

/// Opens the store. `base_url` stands before the links of a store in a directory.
pub(crate) async fn open(command: &Serve, base_url: String) -> Result<Opened, CommandError> {
    match &command.store {
        StoreSpec::File(directory) => {
            let urls = LocalUrls::Signed { base_url, lifetime: command.link_lifetime };
            let options = LocalOptions { directory: directory.clone(), urls, durability: Durability::Fsync };
            let store = LocalStore::open(options)?;
            let signed_urls = store.signed_urls().cloned();
            Ok(Opened { store: Arc::new(store), signed_urls, spool: None })
        }
        #[cfg(feature = "s3")]
        StoreSpec::S3(location) => {
            let store = bucket::open(&command.s3, location, command.link_lifetime).await?;
            Ok(Opened { store: Arc::new(store.clone()), signed_urls: None, spool: Some(store) })
        }
    }
}

/// Whether files can be stored now. A store that keeps files for later may be away at the start, as at any other time:
/// `/readyz` says so until it is back.
///
/// # Errors
///
/// Where trying again would not help, or files would be lost meanwhile.
pub(crate) async fn is_there(store: &Arc<dyn ArtifactStore>) -> Result<bool, CommandError> {
    let overdue =
        || StoreError::new(StoreErrorKind::Unavailable, format!("check the store within {START_WAIT:?}"));
    let checked = timeout(START_WAIT, store.check()).await.unwrap_or_else(|_| Err(overdue()));
    match checked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == StoreErrorKind::Unavailable && store.backlog().is_some() => {
            let error = CommandError::from(error);
            tracing::warn!(
                error = error.line(),
                hint = error.hint.as_deref(),
                "the artifact store is away; output files are kept until the store is back, and /readyz says 503 until then"
            );
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes what killed processes have left half-done in a store, and takes up what waits on the disk.
pub(crate) async fn sweep(store: &Arc<dyn ArtifactStore>) -> Result<(), StoreError> {
    let swept = store.sweep().await?;
    if swept.uploads > 0 {
        tracing::info!(uploads = swept.uploads, "unfinished uploads removed");
    }
    Ok(())
}

/// The same for a store that is away, as soon as it is back.
pub(crate) async fn sweep_later(store: &Arc<dyn ArtifactStore>) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = sweep(store).await {
        tracing::debug!(error = %error, again_in = ?pause, "the store cannot be swept yet");
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
