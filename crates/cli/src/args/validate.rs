//! Arguments of `validate` and `rules`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use skill::Profile;

use crate::options::parse_switch;

#[derive(Debug, ClapArgs)]
pub(crate) struct Validate {
    /// Skills, bundles, directories of skills, or files in a skill; `-` is a SKILL.md or a bundle on standard input. Without
    /// one, what is here, or the skill around here.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Rule profile: octavus, spec (the verdict of skills-ref), claude or lenient.
    #[arg(long, value_name = "NAME", default_value_t = Profile::Octavus, env = "SKILLBOX_PROFILE", hide_env_values = true, hide_possible_values = true)]
    pub(crate) profile: Profile,
    /// Measure scripts by what this image has: slim, node or office. Without it, by --rootfs or the docker image, where it is
    /// one of these.
    #[arg(long = "for", value_name = "IMAGE", value_parser = crate::images::NAMES, env = "SKILLBOX_FOR", hide_env_values = true)]
    pub(crate) for_image: Option<String>,
    /// The form of the report. Without it, full; github under GITHUB_ACTIONS; json with --json.
    #[arg(long, value_enum, env = "SKILLBOX_FORMAT", hide_env_values = true)]
    pub(crate) format: Option<ReportFormat>,
    /// Write the report to a file.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Warnings count as errors.
    #[arg(long, env = "SKILLBOX_STRICT", hide_env_values = true, value_parser = parse_switch)]
    pub(crate) strict: bool,
    /// Look at these rules only: codes, names, groups or prefixes of codes.
    #[arg(long, value_name = "RULE", env = "SKILLBOX_SELECT", hide_env_values = true, value_delimiter = ',')]
    pub(crate) select: Vec<String>,
    /// Do not look at these rules.
    #[arg(long, value_name = "RULE", env = "SKILLBOX_IGNORE", hide_env_values = true, value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Fix what can be fixed safely, and report the rest.
    #[arg(long)]
    pub(crate) fix: bool,
    /// Show what --fix would change, and change nothing. Exit code 1 when there is something.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Look at scripts in a sandbox too: whether they compile, what they import is there, and `--help` works.
    #[arg(long, conflicts_with = "diff")]
    pub(crate) deep: bool,
    /// The paths are the files of a change: check the skills that they are in and the skills from which git's index removes
    /// files, and skip files that are in no skill.
    #[arg(long)]
    pub(crate) changed: bool,
    /// Findings in this file are known and do not count.
    #[arg(long, value_name = "FILE", env = "SKILLBOX_BASELINE", hide_env_values = true)]
    pub(crate) baseline: Option<PathBuf>,
    /// Remove from the baseline what is no longer found.
    #[arg(long, requires = "baseline")]
    pub(crate) prune: bool,
    /// Write all findings of today into a baseline.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "fix", "diff"])]
    pub(crate) write_baseline: Option<PathBuf>,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Like a compiler's messages, with the line that is meant.
    Full,
    /// One line a finding.
    Concise,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML.
    Junit,
    /// Annotations of GitHub Actions.
    Github,
    /// A code quality report of GitLab.
    Gitlab,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rules {
    /// A code, a name, a group or a prefix of codes. Without it, a list of all rules.
    #[arg(value_name = "RULE")]
    pub(crate) rules: Vec<String>,
}
