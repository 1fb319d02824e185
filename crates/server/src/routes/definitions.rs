//! What a platform gives its model, tool definitions and a piece of the system prompt, and what it can ask of this runner.

use std::time::Duration;

use axum::extract::State;
use runner::SkillEntry;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tool::{DefinitionStyle, PromptNetwork, PromptSettings, PromptSkill};

use crate::{
    app::App,
    problem::{Answer, Code, Problem},
    routes::{QueryOf, json_response},
};

/// The query of both.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    skills: Option<String>,
    style: Option<String>,
}

/// `GET /v1`: what this runner is, and what a trigger may ask for.
pub(crate) async fn about(State(app): State<App>) -> Answer {
    let config = app.runner.config();
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let limits: Map<String, Value> = runner::limit_ranges(config)
        .into_iter()
        .map(|range| {
            let value = json!({"least": range.least, "default": range.standard, "most": range.most});
            (range.member.to_owned(), value)
        })
        .collect();
    let lifetime = json!({
        "least": 1, "default": milliseconds(config.lifetime), "most": milliseconds(config.most_lifetime),
    });
    Ok(json_response(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "driver": app.runner.driver().name(),
        "sandboxes": config.sandboxes,
        "sandboxTimeout": lifetime,
        "limits": limits,
        "inputBytes": config.input_bytes,
    })))
}

/// `GET /v1/tools`
pub(crate) async fn tools(State(app): State<App>, QueryOf(wanted): QueryOf<Wanted>) -> Answer {
    let skills = wanted.skills(&app)?;
    let style = match &wanted.style {
        None => DefinitionStyle::Octavus,
        Some(name) => DefinitionStyle::parse(name).ok_or_else(|| {
            Problem::new(Code::BadRequest, "style must be one of octavus, openai, anthropic")
        })?,
    };
    let slugs: Vec<&str> = skills.iter().map(|entry| entry.skill.name().as_str()).collect();
    let tools = tool::definitions(&slugs, &app.runner.config().tool_prefix, style);
    Ok(json_response(&json!({"tools": tools})))
}

/// `GET /v1/prompt`
pub(crate) async fn prompt(State(app): State<App>, QueryOf(wanted): QueryOf<Wanted>) -> Answer {
    let skills = wanted.skills(&app)?.into_iter().map(|entry| PromptSkill {
        name: entry.skill.name().to_string(),
        description: entry.skill.description().to_owned(),
    });
    let config = app.runner.config();
    let settings = PromptSettings {
        prefix: config.tool_prefix.clone(),
        sandbox_timeout: config.lifetime,
        network: PromptNetwork::None,
    };
    let prompt = tool::prompt(&skills.collect::<Vec<_>>(), &settings).unwrap_or_default();
    Ok(json_response(&json!({"prompt": prompt})))
}

impl Wanted {
    /// The skills that are named, each once; all that are registered where the query does not speak of skills. An empty
    /// list is a list: with no skill enabled there are no tools.
    fn skills(&self, app: &App) -> Result<Vec<SkillEntry>, Problem> {
        let all = app.runner.skills();
        let Some(list) = &self.skills else { return Ok(all.list()) };
        let mut found: Vec<SkillEntry> = Vec::new();
        for slug in list.split(',').map(str::trim).filter(|slug| !slug.is_empty()) {
            let entry = all.get(slug).ok_or_else(|| {
                let detail =
                    format!("skill `{}` is not known; GET /v1/skills lists all", slug.escape_debug());
                Problem::new(Code::SkillNotFound, detail)
            })?;
            if found.iter().all(|known| known.skill.name() != entry.skill.name()) {
                found.push(entry);
            }
        }
        Ok(found)
    }
}
