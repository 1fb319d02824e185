//! `skillbox new`, as it is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The skill's name: 1 to 64 lowercase letters, digits and single hyphens.
    pub(crate) name: String,
    /// Where the skill's folder is made.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The language of the script.
    #[arg(long, value_enum, default_value_t = ScriptLanguage::Python)]
    pub(crate) lang: ScriptLanguage,
    /// What the skill has beside SKILL.md and its script.
    #[arg(long = "with", value_enum, value_name = "PARTS", value_delimiter = ',', default_value = "tests")]
    pub(crate) parts: Vec<Part>,
    /// Write a workflow that checks the skill, at the top of the repository.
    #[arg(long, value_enum)]
    pub(crate) ci: Option<Ci>,
    /// What the skill does and when to use it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

/// Languages that a new skill's script can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScriptLanguage {
    Python,
    Bash,
}

/// Parts of a new skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A test that `skillbox test` runs.
    Tests,
    /// A document that is read when it is needed.
    References,
    /// A file that the script works with.
    Assets,
}

/// Services that run workflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ci {
    Github,
}
