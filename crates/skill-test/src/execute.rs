//! One case, carried out: a trigger of its own, its tool calls in order, each held against what is expected.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use runner::{
    CallAnswer, CallError, CallOptions, CallRequest, Declaration, DeclareError, InputFile, LimitsWanted,
    Runner, TriggerId,
};
use serde_json::Value as Json;
use skill::Span;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tool::{OutputFile, ToolCall, ToolPrefix};

use crate::{
    check::Checker,
    failure::{Failure, Subject},
    format::{Case, Step},
    network, place,
    schedule::{Options, Selected},
    snapshot,
};

/// How much longer than its programs a sandbox lives: for what comes before, between and after them.
const AROUND: Duration = Duration::from_secs(30);

/// Variables of every program in a test, so that what it prints does not change from run to run. The clock's zone and the
/// locale are fixed in every sandbox.
const FIXED: [(&str, &str); 1] = [("PYTHONHASHSEED", "0")];

/// How a case went.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// In one word.
    pub status: Status,
    /// From its declaration until its sandbox was gone.
    pub took: Duration,
    /// What was not as expected; of the first step where there is something.
    pub failures: Vec<Failure>,
    /// That step, from 0, in a case of several.
    pub step: Option<usize>,
    /// What the last program printed.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
    /// What the tool result advises.
    pub hint: Option<String>,
    /// Output files of all steps; of files of the same name the last.
    pub files: Vec<OutputFile>,
    /// Snapshots that were rewritten, relative to the skill's root.
    pub updated: Vec<String>,
}

/// How a case went, in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything is as expected.
    Passed,
    /// Something is not.
    Failed,
    /// The case says that it is not to be run, and why.
    Skipped(String),
    /// It asks for what cannot be had, such as a variable that may not be set: the file is wrong, not the skill.
    Broken,
    /// It was stopped, or never started.
    NotRun,
}

impl CaseReport {
    pub(crate) fn of(status: Status) -> Self {
        Self {
            status,
            took: Duration::ZERO,
            failures: Vec::new(),
            step: None,
            stdout: String::new(),
            stderr: String::new(),
            hint: None,
            files: Vec::new(),
            updated: Vec::new(),
        }
    }

    fn failed(status: Status, failure: Failure) -> Self {
        Self { failures: vec![failure], ..Self::of(status) }
    }
}

/// Carries out a case.
pub(crate) async fn execute(
    runner: &Runner,
    selected: &Selected,
    trigger: &TriggerId,
    options: &Options,
    cancel: &CancellationToken,
) -> CaseReport {
    let case = selected.case();
    if let Some(reason) = &case.skip {
        return CaseReport::of(Status::Skipped(reason.clone()));
    }
    if cancel.is_cancelled() {
        return CaseReport::of(Status::NotRun);
    }
    let begin = Instant::now();
    let mut report = match declare(runner, selected, trigger, options).await {
        Ok(()) => steps(runner, selected, trigger, options, cancel).await,
        Err(report) => report,
    };
    runner.end(trigger).await;
    report.took = begin.elapsed();
    report
}

async fn declare(
    runner: &Runner,
    selected: &Selected,
    trigger: &TriggerId,
    options: &Options,
) -> Result<(), CaseReport> {
    let case = selected.case();
    let folder = place::folder(&selected.file().path).to_owned();
    let (skill, inputs) = (Arc::clone(&selected.suite.skill), case.inputs.clone());
    let reading = spawn_blocking(move || {
        let read = |input: &crate::format::Input| {
            let path = place::join(&folder, &input.fixture.value).unwrap_or_default();
            let bytes = skill.read(&path).map_err(|error| (input.fixture.span, error.to_string()))?;
            Ok(InputFile { path: input.destination.value.clone(), content: bytes.into() })
        };
        inputs.iter().map(read).collect::<Result<Vec<_>, (Span, String)>>()
    });
    let broken = |span, message: String| {
        CaseReport::failed(Status::Broken, Failure::new(Subject::Sandbox, span, message))
    };
    let inputs = match reading.await {
        Ok(Ok(inputs)) => inputs,
        Ok(Err((span, message))) => return Err(broken(span, message)),
        Err(error) => return Err(broken(case.span, error.to_string())),
    };
    let mut env: Vec<(String, String)> =
        FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.extend(case.env.iter().map(|variable| variable.value.clone()));
    let programs = case.steps.iter().filter(|step| step.is_program()).count();
    let programs = u32::try_from(programs).unwrap_or(u32::MAX);
    let lifetime = timeout(case, options).saturating_mul(programs).saturating_add(AROUND);
    let declaration = Declaration {
        skills: vec![selected.suite.skill.name().to_string()],
        lifetime: Some(lifetime.min(runner.config().most_lifetime)),
        limits: LimitsWanted {
            memory_bytes: case.memory.map(|memory| memory.value),
            ..LimitsWanted::default()
        },
        env,
        inputs,
        ..Declaration::default()
    };
    runner.declare(trigger, declaration).await.map_err(|error| {
        // The place of what it is about, where that can be told.
        let named =
            |name: &str| case.env.iter().find(|variable| variable.value.0 == name).map(|found| found.span);
        let input = |path: &str| {
            case.inputs
                .iter()
                .find(|input| input.destination.value == path)
                .map(|input| input.destination.span)
        };
        let (status, span) = match &error {
            DeclareError::InvalidEnvironment { name, .. } => (Status::Broken, named(name)),
            DeclareError::InvalidInput { path, .. } => (Status::Broken, input(path)),
            DeclareError::OutOfRange { .. } => (Status::Broken, case.memory.map(|memory| memory.span)),
            _ => (Status::Failed, None),
        };
        CaseReport::failed(
            status,
            Failure::new(Subject::Sandbox, span.unwrap_or(case.span), error.to_string()),
        )
    })
}

/// How long each program of a case may run.
fn timeout(case: &Case, options: &Options) -> Duration {
    case.timeout.unwrap_or(options.timeout)
}

async fn steps(
    runner: &Runner,
    selected: &Selected,
    trigger: &TriggerId,
    options: &Options,
    cancel: &CancellationToken,
) -> CaseReport {
    let case = selected.case();
    let mut report = CaseReport::of(Status::Passed);
    let mut rewrites = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let (request, allowed) = request(case, step, number, options);
        let before = counted(runner, trigger, step, number, "before", cancel).await;
        let answer = match call(runner, trigger, request, cancel).await {
            Ok(answer) => answer,
            Err(error) => {
                report.status = Status::Failed;
                let message = format!("the call was not carried out: {error}");
                report.failures.push(Failure::new(Subject::Sandbox, step.span, message));
                return report;
            }
        };
        take(&mut report, &answer);
        if cancel.is_cancelled() {
            report.status = Status::NotRun;
            return report;
        }
        let after = counted(runner, trigger, step, number, "after", cancel).await;
        let mut checker = Checker {
            skill: &selected.suite.skill,
            folder: place::folder(&selected.file().path),
            store: &**runner.store(),
            timeout: allowed,
            attempts: before.zip(after).map(|(before, after)| after.saturating_sub(before)),
            update: options.update,
            failures: Vec::new(),
            rewrites: Vec::new(),
        };
        checker.step(step, &answer).await;
        rewrites.append(&mut checker.rewrites);
        if !checker.failures.is_empty() {
            report.status = Status::Failed;
            report.failures = checker.failures;
            report.step = (case.steps.len() > 1).then_some(number);
            // What a program that failed printed is no snapshot, and later steps build upon this one.
            return report;
        }
    }
    rewrite(selected, rewrites, &mut report).await;
    report
}

/// What the kernel has counted so far, where the step wants to know.
async fn counted(
    runner: &Runner,
    trigger: &TriggerId,
    step: &Step,
    number: usize,
    when: &str,
    cancel: &CancellationToken,
) -> Option<u64> {
    step.expect.network?;
    let probe = network::probe(format!("network_{when}_{}", number + 1));
    let answer = call(runner, trigger, probe, cancel).await.ok()?;
    network::attempts(&answer)
}

/// The call of a step, and how long its program may run.
fn request(case: &Case, step: &Step, number: usize, options: &Options) -> (CallRequest, Duration) {
    let mut args = step.args.clone();
    let mut allowed = timeout(case, options);
    if let (true, Json::Object(members)) = (step.is_program(), &mut args) {
        let asked = members.get("timeout").and_then(Json::as_u64);
        match asked {
            Some(asked) => allowed = Duration::from_millis(asked),
            None => {
                let milliseconds = u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX);
                members.insert("timeout".to_owned(), milliseconds.into());
            }
        }
    }
    let call = ToolCall {
        tool_call_id: format!("step_{}", number + 1),
        tool_name: ToolPrefix::default().name(step.tool),
        args,
        source: None,
        output_variable: None,
        block_index: None,
    };
    let stdin = case.stdin.as_ref().filter(|_| step.is_program()).map(|text| text.clone().into());
    let options = CallOptions { stdin, ..CallOptions::default() };
    (CallRequest { tenant: runner::Tenant::default(), call, skills: Vec::new(), options }, allowed)
}

async fn call(
    runner: &Runner,
    trigger: &TriggerId,
    request: CallRequest,
    cancel: &CancellationToken,
) -> Result<Arc<CallAnswer>, CallError> {
    let id = request.call.tool_call_id.clone();
    let mut pending = runner.submit(trigger, request).await?;
    tokio::select! {
        answer = &mut pending => answer,
        () = cancel.cancelled() => {
            runner.cancel(trigger, &id).await;
            pending.await
        }
    }
}

/// Keeps of an answer what is shown.
fn take(report: &mut CaseReport, answer: &CallAnswer) {
    let result = answer.answer.result.result.as_ref();
    let text = |key| result.and_then(|result| result.get(key)).and_then(Json::as_str).map(str::to_owned);
    if answer.report.program.is_some() || answer.answer.code.is_some() {
        report.stdout = text("stdout").unwrap_or_default();
        report.stderr = text("stderr").unwrap_or_default();
        report.hint = text("hint");
    }
    for file in &answer.report.files {
        report.files.retain(|known| known.name != file.name);
        report.files.push(file.clone());
    }
}

async fn rewrite(selected: &Selected, rewrites: Vec<(String, String)>, report: &mut CaseReport) {
    if rewrites.is_empty() {
        return;
    }
    let fail = |report: &mut CaseReport, message: String| {
        report.status = Status::Failed;
        report.failures.push(Failure::new(Subject::Sandbox, selected.case().span, message));
    };
    let Some(root) = selected.suite.skill.root().map(std::path::Path::to_path_buf) else {
        return fail(report, "a snapshot can only be written in a skill's folder".to_owned());
    };
    for (path, text) in rewrites {
        let (root, place) = (root.clone(), path.clone());
        let written = spawn_blocking(move || snapshot::write(&root, &place, &text)).await;
        match written {
            Ok(Ok(())) => report.updated.push(path),
            Ok(Err(error)) => {
                return fail(report, format!("the snapshot `{path}` cannot be written: {error}"));
            }
            Err(error) => return fail(report, format!("the snapshot `{path}` cannot be written: {error}")),
        }
    }
}
