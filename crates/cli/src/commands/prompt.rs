//! `skillbox prompt`: what a platform puts into its system prompt.

use runner::Config;
use serde_json::json;
use tool::{PromptNetwork, PromptSettings, PromptSkill, prompt};

use crate::{args::Prompt, error::CommandError, escape, exit::Exit, output, output::Output, skills};

pub(crate) fn execute(command: &Prompt, output: Output) -> Result<Exit, CommandError> {
    let skills: Vec<PromptSkill> = skills::load_all(&command.skills, output)?
        .iter()
        .map(|skill| PromptSkill {
            name: skill.name().to_string(),
            description: skill.description().to_owned(),
        })
        .collect();
    let config = Config::standard();
    let settings = PromptSettings {
        prefix: config.tool_prefix,
        sandbox_timeout: config.lifetime,
        network: PromptNetwork::None,
    };
    let text = prompt(&skills, &settings).unwrap_or_default();
    if output.json {
        output.print_json(&json!({"schemaVersion": 1, "prompt": text}))?;
    } else {
        output::print(&format!("{}\n", escape::text(text.trim_end())))?;
    }
    Ok(Exit::OK)
}
