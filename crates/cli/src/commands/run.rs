//! `skillbox run`: a script of a skill, by the call that a model would make.

use serde_json::{Map, Value, json};
use tool::ToolName;

use crate::{
    args::{Global, Run},
    commands::program::{self, Job},
    error::CommandError,
    exit::Exit,
    output::Output,
    skills,
};

pub(crate) fn execute(command: &Run, global: &Global, output: Output) -> Result<Exit, CommandError> {
    let loaded = skills::load(std::slice::from_ref(&command.skill))?;
    let Some(skill) = loaded.first() else { return Err(CommandError::usage("no skill was named")) };
    skills::note_findings(skill, output);
    // Before dependencies are looked for, which may take a while.
    let script = skill.resolve_script(&command.script)?.path.clone();
    let slug = skill.name().to_string();
    let args = json!({"skill": slug, "script": script, "args": command.args});
    let mut labels = Map::new();
    labels.insert("skill".to_owned(), Value::from(slug));
    labels.insert("script".to_owned(), Value::from(script));
    let job = Job { tool: ToolName::SkillRun, args, labels, catalog: skills::catalog(loaded) };
    program::execute(job, &command.program, global, output)
}
