//! Looking at scripts from inside a sandbox: does each compile, and is there what it imports?
//!
//! A sandbox is what would run them, with the dependencies that the skill declares, so what is missing there would be missing for a
//! user. One program in it ([`PROBE`]) looks at one script after the other, each in a process of its own, and reports by lines of
//! JSON. When that program itself is brought to an end, another one goes on with the scripts that are left.

mod findings;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use runner::{CallOptions, CallRequest, Declaration, LimitsWanted, PrepareError, StreamChoice};
use sandbox::Termination;
use serde_json::json;
use skill::{Diagnostic, Draft, Language, Location, Rule, Skill};
use tool::ToolName;

use self::findings::{Looked, Step};
use crate::{
    args::{CodeLanguage, Global},
    commands::program,
    error::{CommandError, Kind},
    interrupt::{Interrupt, block_on},
    output::Output,
    progress::Progress,
    sandboxes::{self, OneRunner},
    skills,
    streams::Kept,
    units::milliseconds,
};

/// The program that looks at scripts.
const PROBE: &str = include_str!("deep/probe.py");
/// The longest time for all scripts of a skill. Each has half a minute.
const SKILL_TIME: Duration = Duration::from_secs(600);
/// How much longer the sandbox may live.
const AROUND: Duration = Duration::from_secs(60);
/// Memory for importing what is large, in bytes.
const MEMORY: u64 = 2 << 30;

/// What is looked at of a skill.
struct Candidate {
    /// Which of the paths it is.
    index: usize,
    slug: String,
    scripts: Vec<(String, Language)>,
    /// The texts of the scripts, by path.
    texts: BTreeMap<String, String>,
    /// The file with its requirements, for what cannot be made ready.
    requirements: String,
}

/// What is found about each of these skills, in their order; nothing for what is no skill that could be run.
pub(crate) fn check(
    paths: &[PathBuf],
    global: &Global,
    output: Output,
) -> Result<Vec<Vec<Diagnostic>>, CommandError> {
    let mut found: Vec<Vec<Diagnostic>> = paths.iter().map(|_| Vec::new()).collect();
    let mut left: Vec<(Candidate, Skill)> =
        paths.iter().enumerate().filter_map(|(index, path)| candidate(index, path)).collect();
    // A runner knows skills by their names, so those with equal names come one after the other.
    while !left.is_empty() {
        let mut names = BTreeSet::new();
        let (now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(candidate, _)| names.insert(candidate.slug.clone()));
        left = later;
        let (candidates, skills): (Vec<_>, Vec<_>) = now.into_iter().unzip();
        let checked =
            block_on(async |interrupt| check_all(&candidates, skills, global, output, &interrupt).await)?;
        for (index, diagnostics) in checked {
            if let Some(place) = found.get_mut(index) {
                *place = diagnostics;
            }
        }
    }
    Ok(found)
}

fn candidate(index: usize, path: &Path) -> Option<(Candidate, Skill)> {
    let draft = Draft::open(path).ok()?;
    let scripts: Vec<(String, Language)> = draft
        .scripts()
        .iter()
        .chain(draft.hidden_scripts())
        .filter(|script| script.language != Language::Other && validate::is_run(&script.path))
        .map(|script| (script.path.clone(), script.language))
        .collect();
    let requirements = draft.requirements();
    let requirements = requirements
        .files
        .first()
        .map(|file| file.path.clone())
        .or_else(|| requirements.scripts.first().map(|script| script.path.clone()));
    let skill = draft.into_skill().ok()?;
    let texts: BTreeMap<String, String> =
        scripts.iter().map(|(path, _)| (path.clone(), skill.read_text(path).unwrap_or_default())).collect();
    let requirements = requirements.unwrap_or_else(|| skill.skill_file().to_owned());
    let slug = skill.name().to_string();
    (!scripts.is_empty()).then_some((Candidate { index, slug, scripts, texts, requirements }, skill))
}

async fn check_all(
    candidates: &[Candidate],
    skills: Vec<Skill>,
    global: &Global,
    output: Output,
    interrupt: &Interrupt,
) -> Result<Vec<(usize, Vec<Diagnostic>)>, CommandError> {
    let one = OneRunner::start(global, skills::catalog(skills), output, interrupt).await?;
    let cancel = interrupt.token();
    let mut all = Vec::new();
    for candidate in candidates {
        let checked = tokio::select! {
            checked = check_one(candidate, &one, output) => checked,
            () = cancel.cancelled() => Err(CommandError::interrupted()),
        };
        match checked {
            Ok(diagnostics) => all.push((candidate.index, diagnostics)),
            Err(error) => {
                one.stop().await;
                return Err(error);
            }
        }
    }
    one.stop().await;
    Ok(all)
}

async fn check_one(
    candidate: &Candidate,
    one: &OneRunner,
    output: Output,
) -> Result<Vec<Diagnostic>, CommandError> {
    let progress = Progress::new(output);
    match one.runner.prepare_skill(&candidate.slug, &|event| progress.step(event)).await {
        Ok(()) => {}
        Err(PrepareError::Dependencies { source, .. }) if source.is_fault_of_skill() => {
            let message = format!("the dependencies cannot be made ready: {source}");
            return Ok(vec![Diagnostic::new(
                Rule::SMOKE_TEST,
                Location::file(&candidate.requirements),
                message,
            )]);
        }
        Err(error) => return Err(error.into()),
    }
    drop(progress);
    let mut left: Vec<&(String, Language)> = candidate.scripts.iter().collect();
    let mut looked = Vec::new();
    // Each round looks at one script at least.
    while !left.is_empty() {
        let (text, ending) = probe(candidate, &left, one).await?;
        let mut current = None;
        for step in text.lines().filter_map(|line| serde_json::from_str::<Step>(line).ok()) {
            match step {
                Step::Start { start } => current = Some(start),
                Step::Looked(one) => {
                    current = None;
                    looked.push(one);
                }
            }
        }
        if let Some(path) = current {
            looked.push(Looked::ended(path, ending));
        }
        let before = left.len();
        left.retain(|(path, _)| looked.iter().all(|one| one.path != *path));
        if left.len() == before {
            let message = format!("the scripts of `{}` cannot be looked at in a sandbox", candidate.slug);
            return Err(CommandError::new(Kind::Sandbox, "NO_PYTHON", message).hint(
                "sandboxes need Python 3.9 or newer for `--deep`; `skillbox doctor` says what they have",
            ));
        }
    }
    Ok(looked.iter().flat_map(|one| one.diagnostics(&candidate.texts)).collect())
}

/// Runs the program on these scripts. What it printed, and how it ended when it did not end by itself.
async fn probe(
    candidate: &Candidate,
    scripts: &[&(String, Language)],
    one: &OneRunner,
) -> Result<(String, &'static str), CommandError> {
    let scripts: Vec<_> =
        scripts.iter().map(|(path, language)| json!({"path": path, "language": language.as_str()})).collect();
    let root = format!("{}/{}", sandbox::layout::SKILLS, candidate.slug);
    let job = json!({"root": root, "scripts": scripts}).to_string();
    // A text in JSON is a text in Python.
    let code = PROBE.replacen("@JOB@", &json!(job).to_string(), 1);
    let args = json!({
        "language": CodeLanguage::Python.as_str(),
        "code": code,
        "timeout": milliseconds(SKILL_TIME),
    });
    let kept = Kept::default();
    let declaration = Declaration {
        skills: vec![candidate.slug.clone()],
        lifetime: Some(SKILL_TIME + AROUND),
        limits: LimitsWanted { memory_bytes: Some(MEMORY), ..LimitsWanted::default() },
        ..Declaration::default()
    };
    let request = CallRequest {
        tenant: runner::Tenant::default(),
        call: program::call(ToolName::CodeRun, args),
        skills: Vec::new(),
        options: CallOptions { stdin: None, sink: Some(kept.sink()), whole_streams: StreamChoice::Whole },
    };
    let trigger = sandboxes::trigger()?;
    one.runner.declare(&trigger, declaration).await?;
    let answer = match one.runner.submit(&trigger, request).await {
        Ok(pending) => pending.await,
        Err(error) => {
            one.runner.end(&trigger).await;
            return Err(error.into());
        }
    };
    one.runner.end(&trigger).await;
    let answer = answer?;
    let Some(ran) = &answer.report.program else { return Err(program::refused(&answer)) };
    let ending = if ran.out_of_memory.is_some() {
        "the sandbox ran out of memory"
    } else if ran.termination == Termination::TimedOut {
        "the time of the sandbox was over"
    } else {
        "it ended the program that looked at it"
    };
    Ok((kept.take().stdout, ending))
}
