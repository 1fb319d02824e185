//! `skillbox diff`, as it is written.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// A skill's folder, its SKILL.md, or a .skill bundle.
    #[arg(value_name = "A")]
    pub(crate) before: PathBuf,
    /// What it is compared with.
    #[arg(value_name = "B")]
    pub(crate) after: PathBuf,
    /// Only the paths that differ, and how.
    #[arg(long, conflicts_with = "stat")]
    pub(crate) name_only: bool,
    /// Only how many lines or bytes differ in each file.
    #[arg(long)]
    pub(crate) stat: bool,
}
