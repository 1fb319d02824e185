//! `skill_read`, `skill_list` and `skill_run`. The first two answer from the skill itself: they never touch a sandbox.

use std::sync::Arc;

use bytes::Bytes;
use sandbox::layout;
use skill::{Language, ReadError, ScriptError, Skill, SkillFile};
use tokio::task::spawn_blocking;
use tool::{
    BundledFile, ScriptEntry, SkillList, SkillListResult, SkillRead, SkillReadResult, SkillRun, ToolError,
    ToolOutput,
};

use crate::{
    fault::chain,
    tools::program::{Program, Start},
    trigger::{Plan, Stop},
};

/// What is said of scripts that nothing here can run.
const RUNNABLE: &str = "Python, Bash and Node scripts can be run";

/// A text file of a skill.
pub(crate) async fn read(plan: &Plan, read: SkillRead) -> Result<ToolOutput, Stop> {
    let skill = find(plan, &read.skill)?;
    let directory = format!("{}/{}", layout::SKILLS, skill.name());
    let wanted = match &read.path {
        None => skill.skill_file().to_owned(),
        // The result names the directory, so a model may well give the path with it.
        Some(path) => {
            path.strip_prefix(&directory).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path).to_owned()
        }
    };
    let files = paths(skill.files().iter());
    let Some(path) = skill.file(&wanted).map(|file| file.path.clone()) else {
        return Err(ToolError::bundled_file_not_found(skill.name().as_str(), &wanted, &files).into());
    };
    let content = read_text(skill, &path).await?;
    Ok(ToolOutput::SkillRead(SkillReadResult {
        skill: skill.name().to_string(),
        path,
        content,
        files,
        directory,
    }))
}

/// What a skill has.
pub(crate) fn list(plan: &Plan, list: &SkillList) -> Result<ToolOutput, Stop> {
    let skill = find(plan, &list.skill)?;
    let scripts = skill.scripts().iter().map(|script| ScriptEntry {
        path: script.path.clone(),
        language: script.language.to_string(),
        size: script.size,
        description: script.description.clone(),
    });
    Ok(ToolOutput::SkillList(SkillListResult {
        skill: skill.name().to_string(),
        scripts: scripts.collect(),
        references: skill.references().map(bundled).collect(),
        assets: skill.assets().map(bundled).collect(),
    }))
}

/// The program for a script of a skill. It runs in `/workspace`, where the files are that it is to work on.
pub(crate) fn program(plan: &Plan, run: SkillRun) -> Result<Program, Stop> {
    let SkillRun { skill: slug, script, args, input, timeout } = run;
    let skill = find(plan, &slug)?;
    let slug = skill.name().as_str();
    let script = skill.resolve_script(&script).map_err(|error| match error {
        ScriptError::Ambiguous { scripts, .. } => ToolError::script_ambiguous(slug, &script, &scripts),
        ScriptError::NotAScript { path, .. } => ToolError::script_not_runnable(&path, RUNNABLE),
        ScriptError::NotFound { scripts, .. } => ToolError::script_not_found(slug, &script, &scripts),
        _ => ToolError::script_not_found(slug, &script, &paths(skill.files().iter())),
    })?;
    let interpreter = match script.language {
        Language::Python => "python3",
        Language::Bash => "bash",
        Language::Node => "node",
        Language::Other => return Err(ToolError::script_not_runnable(&script.path, RUNNABLE).into()),
    };
    let directory = format!("{}/{slug}", layout::SKILLS);
    Ok(Program {
        interpreter,
        start: Start::File(format!("{directory}/{}", script.path)),
        args,
        cwd: layout::WORKSPACE.to_owned(),
        stdin: input.map(|input| Bytes::from(input.to_string())),
        skill: Some(slug.to_owned()),
        timeout,
    })
}

fn find<'plan>(plan: &'plan Plan, slug: &str) -> Result<&'plan Arc<Skill>, ToolError> {
    plan.find(slug).ok_or_else(|| ToolError::skill_not_found(slug, &plan.slugs()))
}

async fn read_text(skill: &Arc<Skill>, path: &str) -> Result<String, Stop> {
    let (reading, wanted) = (Arc::clone(skill), path.to_owned());
    let text = match spawn_blocking(move || reading.read_text(&wanted)).await {
        Ok(text) => text,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => return Err(ToolError::cancelled().into()),
    };
    text.map_err(|error| match error {
        ReadError::NotText { .. } => ToolError::bundled_file_not_text(skill.name().as_str(), path).into(),
        // It was there when the skill was loaded: the folder has been changed under us.
        other => {
            let files = paths(skill.files().iter());
            Stop::fault(ToolError::bundled_file_not_found(skill.name().as_str(), path, &files), chain(&other))
        }
    })
}

fn paths<'skill>(files: impl Iterator<Item = &'skill SkillFile>) -> Vec<String> {
    files.map(|file| file.path.clone()).collect()
}

fn bundled(file: &SkillFile) -> BundledFile {
    BundledFile { path: file.path.clone(), size: file.size }
}
