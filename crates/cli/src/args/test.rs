//! The command line of `skillbox test`.

use std::{path::PathBuf, time::Duration};

use clap::Args as ClapArgs;

use crate::{options::parse_switch, units::parse_duration};

#[derive(Debug, ClapArgs)]
pub(crate) struct Test {
    /// Skills, bundles, directories of skills, or single test files. Without one, what is here, or the skill around here.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Only cases whose `skill › case` contains this, or matches it as a regular expression.
    #[arg(short = 'k', long = "filter", value_name = "EXPR")]
    pub(crate) filter: Option<String>,
    /// Print the names of the cases, and run none.
    #[arg(long)]
    pub(crate) list: bool,
    /// Rewrite snapshots that do not fit, and say which.
    #[arg(long)]
    pub(crate) update: bool,
    /// Stop at the first failure.
    #[arg(long, env = "SKILLBOX_FAIL_FAST", hide_env_values = true, value_parser = parse_switch)]
    pub(crate) fail_fast: bool,
    /// Keep the output files of failed cases, below a directory of this name.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "test-output")]
    pub(crate) keep: Option<PathBuf>,
    /// Write a report in JUnit's form.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// How many cases run at a time. Without it, as many as there are processors, and at most 8.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), env = "SKILLBOX_JOBS", hide_env_values = true)]
    pub(crate) jobs: Option<u16>,
    /// How long a program may run where its case does not say.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, env = "SKILLBOX_TEST_TIMEOUT", hide_env_values = true)]
    pub(crate) timeout: Duration,
}
