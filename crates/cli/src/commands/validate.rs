//! `skillbox validate`: everything that can be said about skills without running them.
//!
//! Paths become targets, targets are checked side by side into reports, and reports become one of several forms on standard
//! output or in a file. What is said about them as a whole goes to standard error.
//!
//! | module | is |
//! |---|---|
//! | `targets` | which skills are meant by the paths |
//! | `changed` | which skills a change touches |
//! | `report` | what was found about one skill |
//! | `mend` | what fixes would change, shown or written |
//! | `format` | the forms of a report |

mod changed;
mod format;
mod mend;
mod report;
mod targets;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use skill::{Rule, Severity};
use validate::{Baseline, Options, check_collection};

use self::report::Report;
use crate::{
    annotations,
    args::{Global, ReportFormat, Validate},
    commands::rules,
    deep,
    error::{CommandError, Kind},
    exit::Exit,
    images,
    output::{self, Output},
    skills,
    units::show_duration,
};

/// With fewer skills, a bar would be gone before it is seen.
const WORTH_A_BAR: usize = 100;
/// Fixes do not undo each other; this is the net below that.
const MAX_ROUNDS: usize = 5;

pub(crate) fn execute(command: &Validate, global: &Global, output: Output) -> Result<Exit, CommandError> {
    let begin = Instant::now();
    if let Some(option) = [("--deep", command.deep), ("--changed", command.changed)]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
        && command.paths.iter().any(|path| path == Path::new("-"))
    {
        return Err(CommandError::usage(format!("`{option}` needs paths, not standard input")));
    }
    let image = command.for_image.as_deref().or_else(|| images::asked_for(global));
    let options = Options {
        profile: command.profile,
        selection: rules::selection(&command.select, &command.ignore)?,
        environment: images::environment(image),
    };
    let targets = if command.changed {
        changed::find(&command.paths)
    } else {
        targets::find(&skills::named_or_here(&command.paths))?
    };
    let mut reports = check(&targets, &options, output)?;
    if command.diff {
        return mend::show(&reports, output);
    }
    let mut mended = 0;
    if command.fix {
        // One fix can uncover the next; what is left at the end is reported where it is then.
        for _ in 0..MAX_ROUNDS {
            let round = mend::write(&reports)?;
            if round == 0 {
                break;
            }
            mended += round;
            reports = check(&targets, &options, output)?;
        }
    }
    // Where no sandbox can be had, what was found without one is still worth its report.
    let deep = if command.deep { look_deeper(&mut reports, &options, global, output) } else { Ok(()) };
    if let Some(path) = &command.write_baseline {
        return write_baseline(path, &reports, output);
    }
    let obsolete = if command.prune { Obsolete::Removed } else { Obsolete::Told };
    let known = match &command.baseline {
        Some(path) => known(path, &mut reports, &options, obsolete, output)?,
        None => 0,
    };
    let format = format_of(command, output);
    let one_document = format == ReportFormat::Json && command.output.is_none();
    if one_document && deep.is_err() {
        return deep.map(|()| Exit::OK);
    }
    let fails =
        |severity: Severity| severity == Severity::Error || command.strict && severity == Severity::Warning;
    let text = format::render(format, &reports, command.profile, &fails)?;
    match &command.output {
        Some(path) => std::fs::write(path, anstream::adapter::strip_str(&text).to_string())
            .map_err(|error| CommandError::io(format!("`{}` cannot be written", path.display()), &error))?,
        None => output::print(&text)?,
    }
    if !(output.json || one_document) {
        let strictness = if command.strict { Strictness::WarningsFail } else { Strictness::ErrorsFail };
        output.note(&summary(&reports, Counted { mended, known, image, strictness }, begin.elapsed()));
    }
    deep?;
    let failed = reports.iter().flat_map(Report::findings).any(|finding| fails(finding.diagnostic.severity));
    Ok(if failed { Exit::FINDINGS } else { Exit::OK })
}

fn format_of(command: &Validate, output: Output) -> ReportFormat {
    match command.format {
        Some(format) => format,
        None if output.json => ReportFormat::Json,
        // A log that people read is not only annotations; where there is a terminal, nobody collects them.
        None if annotations::are_read() => ReportFormat::Github,
        None => ReportFormat::Full,
    }
}

/// Checks all targets side by side; the order of the reports is that of the targets.
fn check(targets: &targets::Targets, options: &Options, output: Output) -> Result<Vec<Report>, CommandError> {
    let bar = (output.progress && targets.all.len() >= WORTH_A_BAR)
        .then(|| {
            let bar = ProgressBar::new(u64::try_from(targets.all.len()).unwrap_or(u64::MAX));
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} skills {elapsed:.dim}").ok()?;
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            Some(bar)
        })
        .flatten();
    let check = |target| {
        let report = Report::of(target, options);
        if let Some(bar) = &bar {
            bar.inc(1);
        }
        report
    };
    let checked: Result<Vec<Report>, CommandError> = match targets.all.as_slice() {
        // Starting threads takes longer than checking one skill.
        [target] => check(target).map(|report| vec![report]),
        all => all.par_iter().map(check).collect(),
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let mut reports = checked?;
    together(&mut reports, options);
    reports.extend(targets.empty.iter().map(|path| Report::of_empty(path, options)));
    Ok(reports)
}

/// Adds what is found in sandboxes.
fn look_deeper(
    reports: &mut [Report],
    options: &Options,
    global: &Global,
    output: Output,
) -> Result<(), CommandError> {
    let paths: Vec<PathBuf> = reports.iter().map(|report| report.path.clone()).collect();
    for (report, found) in reports.iter_mut().zip(deep::check(&paths, global, output)?) {
        report.add_deep(found, options);
    }
    Ok(())
}

/// Adds what is said about several skills together.
fn together(reports: &mut [Report], options: &Options) {
    let places: Vec<String> =
        reports.iter().map(|report| report.path.to_string_lossy().into_owned()).collect();
    let members = reports.iter().zip(&places).enumerate();
    let members = members
        .filter_map(|(index, (report, place))| Some((index, (place.as_str(), report.member.as_ref()?))));
    let (indices, members): (Vec<usize>, Vec<_>) = members.unzip();
    let found = check_collection(&members);
    for (index, found) in indices.into_iter().zip(found) {
        if let Some(report) = reports.get_mut(index) {
            report.add(options.filter(found));
        }
    }
}

fn write_baseline(path: &Path, reports: &[Report], output: Output) -> Result<Exit, CommandError> {
    let mut baseline = Baseline::default();
    for report in reports {
        for finding in report.findings() {
            baseline.add(&report.key(folder_of(path)), &finding.diagnostic, &finding.line);
        }
    }
    store_baseline(path, &baseline)?;
    output.note(&format!(
        "wrote {} to {}; check against it with `--baseline {}`",
        counted(baseline.len(), "finding"),
        path.display(),
        path.display()
    ));
    Ok(Exit::OK)
}

fn store_baseline(path: &Path, baseline: &Baseline) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(&baseline.to_file())
        .map_err(|error| CommandError::of(Kind::Internal, "INTERNAL", &error))?;
    std::fs::write(path, text + "\n")
        .map_err(|error| CommandError::io(format!("`{}` cannot be written", path.display()), &error))
}

/// The directory that a baseline's paths begin at: its own, so that it means the same from everywhere.
fn folder_of(baseline: &Path) -> &Path {
    baseline.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What becomes of entries of a baseline that nothing is found for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obsolete {
    Told,
    Removed,
}

/// Takes out what the baseline has, and says how much that was. Entries that no longer have a finding are told, or removed
/// from the file.
fn known(
    path: &Path,
    reports: &mut [Report],
    options: &Options,
    obsolete_are: Obsolete,
    output: Output,
) -> Result<usize, CommandError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError::io(format!("`{}` cannot be read", path.display()), &error))?;
    let mut baseline =
        Baseline::from_file(&mut serde_json::Deserializer::from_str(&text)).map_err(|error| {
            CommandError::of(Kind::Configuration, "BASELINE", &error)
                .hint("write it anew with `--write-baseline`")
        })?;
    let (whole, before) = (baseline.clone(), baseline.len());
    let base = folder_of(path);
    let mut checked = BTreeSet::new();
    for report in reports {
        let key = report.key(base);
        report.retain(|finding| !baseline.take(&key, &finding.diagnostic, &finding.line));
        checked.insert(key);
    }
    let taken = before - baseline.len();
    // What was not looked at may still be there.
    let is_obsolete = |skill: &str, rule: &str| {
        let was_checked = checked.contains(skill) || !base.join(skill).exists();
        was_checked && Rule::find(rule).is_none_or(|rule| options.looks_at(rule))
    };
    let obsolete = baseline.only(is_obsolete);
    if !obsolete.is_empty() {
        let entries = counted(obsolete.len(), "finding");
        if obsolete_are == Obsolete::Removed {
            store_baseline(path, &whole.without(&obsolete))?;
            output.note(&format!("removed {entries} from {} that are gone", path.display()));
        } else {
            output.note(&format!(
                "{entries} in {} are gone; `--prune` removes them from the file",
                path.display()
            ));
        }
    }
    Ok(taken)
}

/// What fails a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    ErrorsFail,
    WarningsFail,
}

/// What a summary says beside the findings.
#[derive(Debug)]
struct Counted<'run> {
    /// Findings that were fixed.
    mended: usize,
    /// Findings that the baseline has.
    known: usize,
    /// What scripts were measured by.
    image: Option<&'run str>,
    strictness: Strictness,
}

fn summary(reports: &[Report], counted_: Counted<'_>, took: Duration) -> String {
    let Counted { mended, known, image, strictness } = counted_;
    let count = |wanted: Severity| {
        let findings = reports.iter().flat_map(Report::findings);
        findings.filter(|finding| finding.diagnostic.severity == wanted).count()
    };
    let skills = reports.iter().filter(|report| !report.is_empty_directory).count();
    let mut text = format!(
        "{}, {} in {}",
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(skills, "skill")
    );
    if let Some(image) = image {
        text.push_str(&format!(" for {image}"));
    }
    if strictness == Strictness::WarningsFail && count(Severity::Error) == 0 && count(Severity::Warning) > 0 {
        text.push_str("; warnings count as errors");
    }
    let fixable =
        reports.iter().flat_map(Report::findings).filter(|finding| finding.diagnostic.fix.is_some());
    let mut more = Vec::new();
    match fixable.count() {
        0 => {}
        fixable => more.push(format!("{fixable} fixable with `--fix`")),
    }
    if mended > 0 {
        more.push(format!("{mended} fixed"));
    }
    if known > 0 {
        more.push(format!("{known} in the baseline"));
    }
    if !more.is_empty() {
        text.push_str(&format!(" ({})", more.join(", ")));
    }
    text.push_str(&format!(" in {}", show_duration(took)));
    text
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
