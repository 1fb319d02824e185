//! Like a compiler's messages: what, where, the line, what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use skill::{Severity, Span};

use super::super::report::{Finding, Report};
use crate::escape;

pub(super) fn render(reports: &[Report]) -> String {
    let renderer = Renderer::styled();
    let mut text = String::new();
    for report in reports {
        for finding in report.findings() {
            text.push_str(&one(&renderer, report, finding));
            text.push_str("\n\n");
        }
    }
    text
}

fn one(renderer: &Renderer, report: &Report, finding: &Finding) -> String {
    let diagnostic = &finding.diagnostic;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let message = escape::line(&diagnostic.message);
    let place = place(report, finding);
    // The library takes a text apart by its line feeds; of what a stranger wrote everything else that moves a cursor is replaced.
    let line = visible(&finding.line);
    let help = diagnostic.help.as_deref().map(escape::line);
    let group = Group::with_title(level.primary_title(message).id(diagnostic.rule.code()));
    let group = match diagnostic.location.span {
        Some(span) if !line.is_empty() => group.element(
            Snippet::source(line.as_str())
                .line_start(span.start.line)
                .path(&place)
                .annotation(AnnotationKind::Primary.span(within(&line, span))),
        ),
        Some(span) => {
            group.element(Origin::path(&place).line(span.start.line).char_column(span.start.column))
        }
        None => group.element(Origin::path(&place)),
    };
    let group = match &help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    };
    renderer.render(&[group])
}

/// Where it is, as a path that terminals and editors open.
fn place(report: &Report, finding: &Finding) -> String {
    let file = &finding.diagnostic.location.file;
    let path = report.file(file);
    escape::line(&if report.is_folder || file.is_empty() { path } else { format!("{path}: {file}") })
}

/// The part of the line that is meant, in bytes.
fn within(line: &str, span: Span) -> std::ops::Range<usize> {
    let byte = |column: usize| {
        line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(index, _)| index)
    };
    let start = byte(span.start.column);
    let end = if span.end.line == span.start.line { byte(span.end.column) } else { line.len() };
    start..end.max(start)
}

/// The line with one character for each of the original, none of which does more than stand there.
fn visible(line: &str) -> String {
    line.chars()
        .map(|character| {
            if character == '\t' {
                ' '
            } else if escape::line(&character.to_string()).chars().count() > 1 {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}
