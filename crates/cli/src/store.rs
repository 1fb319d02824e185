//! The store of output files that a server was told to use.

use std::{path::PathBuf, sync::Arc, time::Duration};

use artifact::{
    ArtifactStore, Durability, LocalOptions, LocalStore, LocalUrls, SignedUrls, SpoolOptions, SpooledStore,
};
use artifact_s3::{Addressing, Credentials, Location, S3Options, S3Store};

use crate::{
    args::{S3, Serve},
    error::{CommandError, Kind},
    options::{self, StoreSpec},
};

/// How long a call waits for the bucket before its file is kept for later.
const PATIENCE: Duration = Duration::from_secs(15);

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
