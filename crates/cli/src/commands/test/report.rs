//! How cases are shown: a line each, what failed below it, and counts at the end.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use skill_test::{CaseReport, Counts, DiffLine, Failure, Selected, Status, Subject};

use crate::{
    commands::test::Place,
    escape,
    output::{BAD, DIM, GOOD, WEAK},
    units::{milliseconds, show_duration},
};

/// Titles are filled up to the longest one, and at most to this, so that times stand below each other.
const TITLE: usize = 60;
/// Lines of each stream that are shown of a failed case.
const STREAM: usize = 12;
/// Longest line that is shown, in characters.
const LINE: usize = 200;

/// How wide the column of titles is.
pub(crate) fn width(cases: &[Selected]) -> usize {
    let widths = cases.iter().map(|case| escape::line(&case.case().name).chars().count());
    widths.max().unwrap_or_default().min(TITLE)
}

/// The line of a case; titles are filled up to `width`.
pub(crate) fn line_of(case: &Selected, report: &CaseReport, width: usize) -> String {
    let title = escape::line(&case.case().name);
    let fill = " ".repeat(width.saturating_sub(title.chars().count()));
    let took = show_duration(report.took);
    match &report.status {
        Status::Passed => format!("  {GOOD}✓{GOOD:#} {title}{fill} {DIM}{took:>8}{DIM:#}\n"),
        Status::Failed => format!("  {BAD}✗{BAD:#} {title}{fill} {DIM}{took:>8}{DIM:#}\n"),
        Status::Broken => format!("  {BAD}✗{BAD:#} {title}{fill}   broken\n"),
        Status::Skipped(reason) => {
            format!("  {WEAK}-{WEAK:#} {title}{fill}  {DIM}skipped: {}{DIM:#}\n", escape::line(reason))
        }
        Status::NotRun => format!("  {WEAK}-{WEAK:#} {title}{fill}  {DIM}not run{DIM:#}\n"),
    }
}

/// What was not as expected; empty where there is nothing.
pub(crate) fn failure_lines(
    case: &Selected,
    report: &CaseReport,
    places: &Place,
    everything: bool,
) -> String {
    const INDENT: &str = "      ";
    if !matches!(report.status, Status::Failed | Status::Broken) {
        return String::new();
    }
    let mut text = String::new();
    if let Some(step) = report.step {
        text.push_str(&format!("{INDENT}in step {} of {}:\n", step + 1, case.case().steps.len()));
    }
    for failure in &report.failures {
        for (number, line) in escape::text(&failure.message).lines().enumerate() {
            // Only the first line begins with words of ours.
            let bar = if number > 0 { BAR } else { "" };
            text.push_str(&format!("{INDENT}{bar}{line}\n"));
        }
        for line in &failure.diff {
            text.push_str(&format!("{INDENT}  {}\n", diff_line(line)));
        }
    }
    // A stream whose difference is shown already is not shown again.
    let is_shown = |subject: Subject| {
        let has_diff = |failure: &Failure| failure.subject == subject && !failure.diff.is_empty();
        report.failures.iter().any(has_diff)
    };
    for (name, stream, subject) in
        [("stdout", &report.stdout, Subject::Stdout), ("stderr", &report.stderr, Subject::Stderr)]
    {
        if !is_shown(subject) {
            text.push_str(&stream_lines(INDENT, name, stream, everything));
        }
    }
    if let Some(hint) = &report.hint {
        text.push_str(&format!("{INDENT}hint: {}\n", escape::line(hint)));
    }
    let line = report.failures.first().map_or(case.case().span.start.line, |first| first.span.start.line);
    text.push_str(&format!("{INDENT}{DIM}at {}:{line}{DIM:#}\n", places.shown(case, &case.file().path)));
    text
}

/// Stands before each line of a program: a runner of CI jobs takes a line that begins with `::` for an order, however far it
/// is indented.
const BAR: &str = "│ ";

fn diff_line(line: &DiffLine) -> String {
    match line {
        DiffLine::Same(text) => format!("{BAR}{}", cut(text)),
        DiffLine::Missing(text) => format!("{BAD}- {}{BAD:#}", cut(text)),
        DiffLine::Extra(text) => format!("{GOOD}+ {}{GOOD:#}", cut(text)),
        DiffLine::Gap => format!("{DIM}…{DIM:#}"),
    }
}

/// The end of a stream, since that is where programs say why they stop.
fn stream_lines(indent: &str, name: &str, stream: &str, everything: bool) -> String {
    let lines: Vec<&str> = stream.lines().collect();
    match lines.as_slice() {
        [] => String::new(),
        [one] => format!("{indent}{name}: {}\n", cut(one)),
        lines => {
            let skipped = if everything { 0 } else { lines.len().saturating_sub(STREAM) };
            let mut text = format!("{indent}{name}:\n");
            if skipped > 0 {
                text.push_str(&format!("{indent}  {DIM}… {skipped} lines; all of them with -v{DIM:#}\n"));
            }
            for line in &lines[skipped..] {
                text.push_str(&format!("{indent}  {BAR}{}\n", cut(line)));
            }
            text
        }
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE) {
        Some((at, _)) => format!("{}…", escape::line(&line[..at])),
        None => escape::line(line),
    }
}

/// `3 passed, 1 failed, 2 skipped in 0.41 s`
pub(crate) fn counts(counts: &Counts, took: Duration) -> String {
    let Counts { passed, failed, skipped, broken, not_run } = *counts;
    let mut parts = vec![format!("{passed} passed")];
    let others = [(failed, "failed"), (broken, "broken"), (skipped, "skipped"), (not_run, "not run")];
    parts
        .extend(others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let hundredths = took.as_millis() / 10;
    format!("{} in {}.{:02} s", parts.join(", "), hundredths / 100, hundredths % 100)
}

/// All results as one document.
pub(crate) fn document(counts: &Counts, took: Duration, cases: Vec<Value>) -> Value {
    json!({"schemaVersion": 1, "passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped,
        "broken": counts.broken, "notRun": counts.not_run, "durationMs": milliseconds(took), "cases": cases})
}

/// One case for the document.
pub(crate) fn entry(case: &Selected, report: &CaseReport, places: &Place, kept: Option<&PathBuf>) -> Value {
    let status = match &report.status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Skipped(_) => "skipped",
        Status::Broken => "broken",
        Status::NotRun => "not-run",
    };
    let mut entry = json!({"skill": case.suite.skill.name().as_str(), "name": case.case().name,
        "file": places.shown(case, &case.file().path), "line": case.case().span.start.line,
        "status": status, "durationMs": milliseconds(report.took)});
    if let Status::Skipped(reason) = &report.status {
        entry["reason"] = json!(reason);
    }
    if !report.failures.is_empty() {
        let failures = report.failures.iter().map(|failure| {
            json!({"subject": failure.subject.as_str(), "message": failure.message, "line": failure.span.start.line})
        });
        entry["failures"] = failures.collect();
        entry["stdout"] = json!(report.stdout);
        entry["stderr"] = json!(report.stderr);
    }
    if let Some(step) = report.step {
        entry["step"] = json!(step + 1);
    }
    if !report.updated.is_empty() {
        entry["updated"] = report.updated.iter().map(|path| places.shown(case, path)).collect();
    }
    if let Some(kept) = kept {
        entry["kept"] = json!(kept.to_string_lossy());
    }
    entry
}

/// A case's name as the name of a directory.
pub(crate) fn short_name(name: &str) -> String {
    const LONGEST: usize = 60;
    let plain: String = name
        .chars()
        .map(|character| if character.is_alphanumeric() { character.to_ascii_lowercase() } else { '-' })
        .collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    let short: String = parts.join("-").chars().take(LONGEST).collect();
    if short.is_empty() { "case".to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_directories() {
        assert_eq!(short_name("makes a PNG: 1/2"), "makes-a-png-1-2");
        assert_eq!(short_name("../.."), "case");
        assert_eq!(short_name(&"x".repeat(100)).len(), 60);
    }

    #[test]
    fn counts_name_what_there_is() {
        let all = Counts { passed: 3, failed: 1, skipped: 0, broken: 0, not_run: 2 };
        assert_eq!(counts(&all, Duration::from_millis(1_254)), "3 passed, 1 failed, 2 not run in 1.25 s");
        assert_eq!(
            counts(&Counts { passed: 1, ..Counts::default() }, Duration::from_millis(90)),
            "1 passed in 0.09 s"
        );
    }

    #[test]
    fn what_a_program_printed_is_harmless_and_short() {
        let lines: String = (0..30).map(|number| format!("{number}\x1b[2J\n")).collect();
        let shown = stream_lines("", "stdout", &lines, false);
        assert!(
            shown.contains("18 lines") && shown.contains("29\\e[2J") && !shown.contains("\x1b[2J"),
            "{shown:?}"
        );
        assert_eq!(stream_lines("", "stderr", "one\n", false), "stderr: one\n");
        // No line of a program is an order to whatever reads the log of a CI job.
        let orders = "::error::x\n::add-mask::y\n";
        let diff = [
            DiffLine::Same(orders.to_owned()),
            DiffLine::Missing("::a".into()),
            DiffLine::Extra("::b".into()),
        ];
        let shown = diff.iter().map(diff_line).chain([stream_lines("  ", "stdout", orders, true)]);
        let plain = anstream::adapter::strip_str(&shown.collect::<Vec<_>>().join("\n")).to_string();
        assert!(!plain.lines().any(|line| line.trim_start().starts_with("::")), "{plain}");
        assert!(stream_lines("", "stderr", &"x".repeat(5000), false).len() < 300);
    }
}
