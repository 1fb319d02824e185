//! The store of output files that a server was told to use.

use std::{path::PathBuf, sync::Arc, time::Duration};

use artifact::{
    ArtifactStore, Durability, LocalOptions, LocalStore, LocalUrls, Retention, SignedUrls, SpoolOptions,
    SpooledStore, StoreError, StoreErrorKind,
};
use artifact_s3::{Addressing, Credentials, Location, S3Options, S3Store};
use tokio::time::{sleep, timeout};

use crate::{
    args::{S3, Serve},
    error::{CommandError, Kind},
    options::{self, StoreSpec},
    output::Output,
};

/// How long a call waits for the bucket before its file is kept for later.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the start waits for the store's word.
const START_WAIT: Duration = Duration::from_secs(10);
/// Between two looks for output files that may be kept no longer.
const BETWEEN_PRUNES: Duration = Duration::from_secs(60);
/// Between two tries to sweep a store that is away, doubled with each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A store, and what checks its links where we serve them ourselves.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) signed_urls: Option<SignedUrls>,
}

/// Opens the store. `base_url` stands before the links of a store in a directory.
pub(crate) async fn open(command: &Serve, base_url: String) -> Result<Opened, CommandError> {
    match &command.store {
        StoreSpec::File(directory) => {
            let urls = LocalUrls::Signed { base_url, lifetime: command.link_lifetime };
            let options = LocalOptions { directory: directory.clone(), urls, durability: Durability::Fsync };
            let store = LocalStore::open(options)?;
            let signed_urls = store.signed_urls().cloned();
            Ok(Opened { store: Arc::new(store), signed_urls })
        }
        StoreSpec::S3(location) => {
            let bucket = S3Store::connect(s3_options(&command.s3, location, command.link_lifetime)).await?;
            let spool = SpoolOptions {
                directory: spool_directory(&command.s3)?,
                most_bytes: command.s3.spool_size,
                patience: PATIENCE,
            };
            let store = SpooledStore::open(spool, Arc::new(bucket))?;
            Ok(Opened { store: Arc::new(store), signed_urls: None })
        }
    }
}

/// Removes what a store may keep no longer, now and from time to time.
pub(crate) async fn prune(store: &Arc<dyn ArtifactStore>, retention: Retention) {
    if retention == Retention::default() {
        return std::future::pending().await;
    }
    loop {
        match store.prune(retention).await {
            Ok(removed) if removed.files > 0 => {
                tracing::info!(
                    files = removed.files,
                    size_bytes = removed.bytes,
                    "old output files were removed"
                );
            }
            Ok(_) => {}
            Err(error) => {
                let error = CommandError::from(error);
                tracing::warn!(error = error.message, causes = ?error.causes, "old output files were not removed");
            }
        }
        sleep(BETWEEN_PRUNES).await;
    }
}

/// Whether files can be stored now. A store that keeps files for later may be away at the start, as at any other time:
/// `/readyz` says so until it is back.
///
/// # Errors
///
/// Where trying again would not help, or files would be lost meanwhile.
pub(crate) async fn is_there(store: &Arc<dyn ArtifactStore>, output: Output) -> Result<bool, CommandError> {
    let overdue =
        || StoreError::new(StoreErrorKind::Unavailable, format!("check the store within {START_WAIT:?}"));
    let checked = timeout(START_WAIT, store.check()).await.unwrap_or_else(|_| Err(overdue()));
    match checked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == StoreErrorKind::Unavailable && store.backlog().is_some() => {
            let error = CommandError::from(error);
            tracing::warn!(error = error.message, causes = ?error.causes, "the artifact store is away");
            let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            output.warn(&format!(
                "{}{hint}; output files are kept until the store is back, and /readyz says 503 until then",
                error.message
            ));
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

/// The same for a store that is away: what waits on the disk is taken up at once, the rest when it is back.
pub(crate) async fn sweep_later(store: &Arc<dyn ArtifactStore>) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = sweep(store).await {
        tracing::debug!(error = %error, again_in = ?pause, "the store cannot be swept yet");
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

fn s3_options(given: &S3, location: &Location, link_lifetime: Duration) -> S3Options {
    S3Options {
        location: location.clone(),
        endpoint: given.s3_endpoint.clone(),
        public_endpoint: given.s3_public_endpoint.clone(),
        region: given.s3_region.clone(),
        addressing: match given.s3_path_style {
            None => Addressing::Automatic,
            Some(true) => Addressing::Path,
            Some(false) => Addressing::Host,
        },
        credentials: Credentials::Chain,
        link_lifetime,
    }
}

/// Where files wait when the operator does not say: it must outlive the process.
fn spool_directory(given: &S3) -> Result<PathBuf, CommandError> {
    if let Some(directory) = &given.spool {
        return Ok(directory.clone());
    }
    let state = options::state_directory().ok_or_else(|| {
        CommandError::new(
            Kind::Configuration,
            "NO_SPOOL",
            "there is no place where files can wait for the bucket",
        )
        .hint("name a directory with `--spool`, or set HOME")
    })?;
    Ok(state.join("spool"))
}
