//! `skillbox pack`, as it is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What the exit codes mean.
pub(super) const CODES: &str = "\
Exit codes:
  0  packed
  1  the skill has errors, or holds what a bundle cannot hold
  2  wrong usage, or a file that cannot be read or written

The time of all entries is 1980-01-01, or what SOURCE_DATE_EPOCH says.";

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// The skill's folder, or its SKILL.md. Without it, the skill here, or around here.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// The bundle, or a directory for it. Without it, NAME.skill here.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Where SKILL.md is in the bundle.
    #[arg(long, value_enum, default_value_t = BundleLayout::Wrapped)]
    pub(crate) layout: BundleLayout,
    /// Take the skill's tests along.
    #[arg(long)]
    pub(crate) include_tests: bool,
    /// Copy what links to files of the skill lead to. Without it, a skill with links is refused.
    #[arg(long, value_enum, value_name = "WHERE")]
    pub(crate) follow_symlinks: Option<FollowLinks>,
    /// Leave out what .gitignore names, beside what .skillignore names.
    #[arg(long)]
    pub(crate) gitignore: bool,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be packed, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Where `SKILL.md` is in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleLayout {
    /// In one folder with the skill's name.
    Wrapped,
    /// At the root.
    Flat,
}

/// Which links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FollowLinks {
    /// Those that lead to a file of the same skill.
    Inside,
}
