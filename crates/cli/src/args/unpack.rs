//! `skillbox unpack`, as it is written.

use std::path::PathBuf;

use clap::Args;

/// What the exit codes mean.
pub(super) const CODES: &str = "\
Exit codes:
  0  unpacked
  1  the bundle is refused; nothing was written
  2  wrong usage, or a file that cannot be read or written";

#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// The bundle.
    pub(crate) bundle: PathBuf,
    /// The folder that the skill becomes; not there yet, or empty. Without it, one with the skill's name here.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
