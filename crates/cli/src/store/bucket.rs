//! A bucket with a spool in front of it, as the options of `serve` describe both.

use std::{path::PathBuf, sync::Arc, time::Duration};

use artifact::{SpoolOptions, SpooledStore};
use artifact_s3::{Addressing, Credentials, Location, S3Options, S3Store};

use crate::{
    args::S3,
    error::{CommandError, Kind},
    options,
};

/// How long a call waits for the bucket before its file is kept for later.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connects to the bucket; whether it answers is not asked yet.
pub(super) async fn open(
    given: &S3,
    location: &Location,
    link_lifetime: Duration,
) -> Result<SpooledStore, CommandError> {
    let bucket = S3Store::connect(s3_options(given, location, link_lifetime)).await?;
    let spool =
        SpoolOptions { directory: spool_directory(given)?, most_bytes: given.spool_size, patience: PATIENCE };
    Ok(SpooledStore::open(spool, Arc::new(bucket))?)
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
