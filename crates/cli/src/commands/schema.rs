//! `skillbox schema`: the JSON Schema of a kind of file, as it is published.

use crate::{
    args::{Schema, SchemaName},
    error::CommandError,
    exit::Exit,
    output,
};

pub(crate) fn execute(command: &Schema) -> Result<Exit, CommandError> {
    // It is JSON with or without `--json`.
    let schema = match command.name {
        SchemaName::Test => skill_test::SCHEMA,
    };
    output::print(schema)?;
    Ok(Exit::OK)
}
