//! The command line of `skillbox schema`.

use clap::{Args as ClapArgs, ValueEnum};

#[derive(Debug, ClapArgs)]
pub(crate) struct Schema {
    /// Which kind of file.
    #[arg(value_enum, value_name = "NAME")]
    pub(crate) name: SchemaName,
}

/// The kinds of files that there is a schema for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaName {
    /// Test files of skills, `tests/*.test.yaml`.
    Test,
}
