//! The command line of `skillbox dev`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Program;

#[derive(Debug, ClapArgs)]
pub(crate) struct Dev {
    /// A skill's folder, or its SKILL.md. Without it, the skill here, or around here.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// A script to run each time, with its arguments as a shell would split them: `generate.py --data x`.
    #[arg(long, value_name = "SCRIPT ARGS")]
    pub(crate) run: Option<String>,
    /// Do not run the skill's tests.
    #[arg(long)]
    pub(crate) no_test: bool,
    #[command(flatten)]
    pub(crate) program: Program,
}
