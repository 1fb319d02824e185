//! `skillbox test`: the cases of skills, each in a sandbox of its own, by the path that a platform's tool calls take.
//!
//! Results go to standard output in the order of the files, the summary to standard error. What is wrong with a test file is
//! shown before anything runs.

mod collect;
mod report;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use runner::Runner;
use serde_json::{Value, json};
use skill_test::{CaseReport, Counts, Options, Selected, Status};

use crate::{
    annotations,
    args::{Global, Test},
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    files::{self, NotDelivered, OutputDirectory},
    interrupt::{Interrupt, block_on},
    output::{self, DIM, Output},
    progress::Counter,
    sandboxes::{self, OneRunner},
    skills,
};

pub(crate) use self::{
    collect::{Collected, Place, Problems, collect},
    report::{counts, failure_lines, line_of, short_name, width},
};

/// The most cases at a time where nobody says how many.
const MOST_JOBS: usize = 8;

pub(crate) fn execute(command: &Test, global: &Global, output: Output) -> Result<Exit, CommandError> {
    let paths = skills::named_or_here(&command.paths);
    let collected = collect(&paths)?;
    if !collected.problems.is_empty() {
        return collected.problems.show(output);
    }
    let all: Vec<Selected> = collected.suites.iter().flat_map(|(_, suite)| Selected::all(suite)).collect();
    if all.is_empty() {
        return Err(no_tests(&paths));
    }
    note_untested(&collected, output);
    let cases = filtered(&all, command.filter.as_deref());
    if cases.is_empty() {
        let filter = command.filter.as_deref().unwrap_or_default();
        return Err(CommandError::usage(format!("none of {} cases matches `{filter}`", all.len()))
            .hint("`skillbox test --list` shows their names"));
    }
    if command.list {
        return list(&cases, output);
    }
    if command.update
        && let Some(case) = cases.iter().find(|case| collected.is_bundle(case))
    {
        let skill = case.suite.skill.name();
        return Err(CommandError::usage(format!("snapshots of `{skill}` cannot be rewritten in a bundle"))
            .hint("run `skillbox test --update` on the skill's folder"));
    }
    let begin = Instant::now();
    let ran = block_on(async |interrupt| {
        let show = Show { command, output, places: &collected.places(), width: width(&cases) };
        run(&cases, &show, global, &interrupt).await
    })?;
    let took = begin.elapsed();
    if let Some(file) = &command.junit {
        write_junit(file, &cases, &ran.reports, &collected.places(), took)?;
    }
    if output.json {
        let places = collected.places();
        let reports = cases.iter().zip(&ran.reports).zip(&ran.kept);
        let entries: Vec<Value> = reports
            .map(|((case, report), kept)| report::entry(case, report, &places, kept.as_ref()))
            .collect();
        output.print_json(&report::document(&ran.counts, took, entries))?;
    } else {
        for (case, report) in cases.iter().zip(&ran.reports) {
            for path in &report.updated {
                output.note(&format!("updated {}", collected.places().shown(case, path)));
            }
        }
        output.note(&counts(&ran.counts, took));
    }
    if ran.interrupted {
        // The one document of JSON is there already, and says what was not run.
        return if output.json { Ok(Exit::INTERRUPTED) } else { Err(CommandError::interrupted()) };
    }
    Ok(exit(&ran.counts))
}

fn exit(counts: &Counts) -> Exit {
    match counts {
        Counts { broken: 1.., .. } => Exit::USAGE,
        Counts { failed: 1.., .. } => Exit::FINDINGS,
        _ => Exit::OK,
    }
}

fn no_tests(paths: &[PathBuf]) -> CommandError {
    let shown: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    CommandError::new(Kind::User, "NO_TESTS", format!("there are no tests in {}", shown.join(", "))).hint(
        "a test is a file such as tests/first.test.yaml in the skill's folder:\n\
             \n    version: 1\n    cases:\n      - name: makes a chart\n        \
             run: { script: chart.py, args: [\"--title\", \"Sales\"] }\n        \
             expect: { files: [{ path: chart.png, media_type: image/png }] }\n\
             \ndocs/testing-skills.md explains what else there is",
    )
}

/// Skills without tests are no mistake, but easily forgotten among others.
fn note_untested(collected: &Collected, output: Output) {
    let untested = collected.suites.iter().filter(|(_, suite)| suite.cases() == 0);
    let names: Vec<&str> = untested.map(|(_, suite)| suite.skill.name().as_str()).collect();
    if !names.is_empty() {
        output.note(&format!("no tests in {}", names.join(", ")));
    }
}

/// The cases whose title has `filter` in it, or matches it.
fn filtered(all: &[Selected], filter: Option<&str>) -> Vec<Selected> {
    let Some(filter) = filter else { return all.to_vec() };
    // What is no regular expression is still a text to look for.
    let regex = regex::Regex::new(filter).ok();
    let wanted = |case: &&Selected| {
        let title = case.title();
        title.contains(filter) || regex.as_ref().is_some_and(|regex| regex.is_match(&title))
    };
    all.iter().filter(wanted).cloned().collect()
}

fn list(cases: &[Selected], output: Output) -> Result<Exit, CommandError> {
    if output.json {
        let entry = |case: &Selected| {
            json!({"skill": case.suite.skill.name().as_str(), "name": case.case().name,
                "file": case.file().path, "line": case.case().span.start.line})
        };
        let entries: Vec<Value> = cases.iter().map(entry).collect();
        output.print_json(&json!({"schemaVersion": 1, "cases": entries}))?;
    } else {
        output::print(
            &cases.iter().map(|case| format!("{}\n", escape::line(&case.title()))).collect::<String>(),
        )?;
    }
    Ok(Exit::OK)
}

/// What came of all cases.
struct Ran {
    counts: Counts,
    /// In the order of the cases.
    reports: Vec<CaseReport>,
    /// Where the output files of failed cases are, by the number of the case.
    kept: Vec<Option<PathBuf>>,
    interrupted: bool,
}

/// What decides on how results are shown.
struct Show<'a> {
    command: &'a Test,
    output: Output,
    places: &'a Place,
    width: usize,
}

async fn run(
    cases: &[Selected],
    show: &Show<'_>,
    global: &Global,
    interrupt: &Interrupt,
) -> Result<Ran, CommandError> {
    let jobs = jobs(show.command.jobs);
    let mut wanted: Vec<Arc<skill::Skill>> = Vec::new();
    for case in cases {
        if case.case().skip.is_none() && wanted.iter().all(|skill| skill.name() != case.suite.skill.name()) {
            wanted.push(Arc::clone(&case.suite.skill));
        }
    }
    let catalog = skills::shared_catalog(wanted);
    let one =
        OneRunner::start_with(sandboxes::config_of_tests(jobs), global, catalog, show.output, interrupt)
            .await?;
    let cancel = interrupt.token();
    let prepared = tokio::select! {
        prepared = one.prepare(show.output) => prepared,
        () = cancel.cancelled() => Err(CommandError::interrupted()),
    };
    if let Err(error) = prepared {
        one.stop().await;
        return Err(error);
    }
    let options = Options {
        jobs,
        timeout: show.command.timeout,
        update: show.command.update,
        fail_fast: show.command.fail_fast,
    };
    let mut ran =
        Ran { counts: Counts::default(), reports: Vec::new(), kept: Vec::new(), interrupted: false };
    let mut failed = None;
    let counter = Counter::new(show.output, cases.len());
    // Nobody reads what would come, or it cannot be written: the rest need not run.
    let stop = cancel.child_token();
    ran.counts = skill_test::run(&one.runner, cases, &options, &stop, async |case, report| {
        let previous = ran.reports.len().checked_sub(1).and_then(|last| cases.get(last));
        let kept = keep(case, report, show, &one.runner).await;
        let told = kept.and_then(|kept| {
            ran.kept.push(kept.clone());
            counter.done(|| tell(case, previous, report, kept.as_deref(), show))
        });
        ran.reports.push(report.clone());
        if let Err(error) = told {
            stop.cancel();
            failed.get_or_insert(error);
        }
    })
    .await;
    drop(counter);
    one.stop().await;
    ran.interrupted = cancel.is_cancelled();
    match failed {
        Some(error) => Err(error),
        None => Ok(ran),
    }
}

pub(crate) fn jobs(asked: Option<u16>) -> usize {
    let processors = || thread::available_parallelism().map_or(2, usize::from).clamp(1, MOST_JOBS);
    asked.map_or_else(processors, usize::from)
}

/// Shows one case, as soon as those before it are done.
fn tell(
    case: &Selected,
    previous: Option<&Selected>,
    report: &CaseReport,
    kept: Option<&Path>,
    show: &Show<'_>,
) -> Result<(), CommandError> {
    if show.output.json || show.output.quiet && !matches!(report.status, Status::Failed | Status::Broken) {
        return Ok(());
    }
    let mut text = String::new();
    if previous.is_none_or(|previous| previous.suite.skill.name() != case.suite.skill.name())
        || show.output.quiet
    {
        text.push_str(&format!("{}\n", case.suite.skill.name()));
    }
    text.push_str(&line_of(case, report, show.width));
    text.push_str(&failure_lines(case, report, show.places, show.output.verbose));
    if let Some(kept) = kept {
        text.push_str(&format!("      {DIM}kept in {}{DIM:#}\n", files::shown(kept)));
    }
    if annotations::are_read() {
        text.push_str(&annotation(case, report, show.places));
    }
    output::print(&text)
}

/// What makes GitHub Actions show a failure at its place; nothing where there is none.
fn annotation(case: &Selected, report: &CaseReport, places: &Place) -> String {
    let Some(failure) = report.failures.first() else { return String::new() };
    let title = format!("{} › {}", case.suite.skill.name(), case.case().name);
    let place = format!(
        "file={},line={}",
        annotations::property(&places.in_repository(case)),
        failure.span.start.line
    );
    let (title, message) = (annotations::property(&title), annotations::data(&failure.message));
    format!("::error {place},title={title}::{message}\n")
}

/// Keeps the output files of a case that failed, where that is asked for and there are any.
async fn keep(
    case: &Selected,
    report: &CaseReport,
    show: &Show<'_>,
    runner: &Runner,
) -> Result<Option<PathBuf>, CommandError> {
    let Some(directory) = &show.command.keep else { return Ok(None) };
    if report.status != Status::Failed || report.files.is_empty() {
        return Ok(None);
    }
    let place = directory.join(case.suite.skill.name().as_str()).join(short_name(&case.case().name));
    let delivered = OutputDirectory::new(&place).deliver(&report.files, &**runner.store()).await;
    for file in &delivered {
        if let Err(NotDelivered::Lost(why)) = &file.place {
            let message = format!("output file `{}` could not be kept", file.file.name);
            return Err(CommandError {
                causes: vec![why.clone()],
                ..CommandError::new(Kind::User, "OUTPUT_LOST", message)
            });
        }
    }
    Ok(Some(place))
}

fn write_junit(
    file: &Path,
    cases: &[Selected],
    reports: &[CaseReport],
    places: &Place,
    took: Duration,
) -> Result<(), CommandError> {
    let all: Vec<_> = cases.iter().cloned().zip(reports.iter().cloned()).collect();
    let xml = skill_test::junit(&all, took, &|case| places.in_repository(case))
        .map_err(|error| CommandError::of(Kind::Internal, "INTERNAL", &error))?;
    std::fs::write(file, xml)
        .map_err(|error| CommandError::io(format!("`{}` cannot be written", file.display()), &error))
}
