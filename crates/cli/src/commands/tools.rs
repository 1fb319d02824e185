//! `skillbox tools`: the definitions that a platform gives to its model.

use serde_json::Value;
use tool::{DefinitionStyle, ToolPrefix, definitions};

use crate::{
    args::{Style, Tools},
    error::CommandError,
    exit::Exit,
    output,
    output::Output,
    skills,
};

pub(crate) fn execute(command: &Tools, output: Output) -> Result<Exit, CommandError> {
    let (_, slugs) = skills::catalog(skills::load_all(&command.skills, output)?);
    let style = match command.style {
        Style::Octavus => DefinitionStyle::Octavus,
        Style::Openai => DefinitionStyle::OpenAi,
        Style::Anthropic => DefinitionStyle::Anthropic,
    };
    let definitions = Value::Array(definitions(&slugs, &ToolPrefix::default(), style));
    if output.json {
        output.print_json(&definitions)?;
    } else {
        output::print_indented(&definitions)?;
    }
    if slugs.is_empty() {
        output.hint("with no skill enabled, no tool is offered; enable one with `-s SKILL`");
    }
    Ok(Exit::OK)
}
