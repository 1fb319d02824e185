//! What `cache` takes.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use crate::units::parse_duration;

/// The cache of packages that skills require.
#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Print where it is.
    Dir,
    /// Print how much it holds.
    Size,
    /// Remove what was not used for a while. What a living sandbox may have stays.
    Prune(PruneCache),
    /// Remove everything in it. It is made again when it is needed; stop servers that use it before.
    Clean,
}

/// What `cache prune` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct PruneCache {
    /// For how long it was not used.
    #[arg(long, value_name = "TIME", default_value = "720h", value_parser = parse_duration)]
    pub(crate) unused: Duration,
}
