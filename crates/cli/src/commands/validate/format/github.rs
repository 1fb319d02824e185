//! Workflow commands of GitHub Actions, which become annotations of the changed lines.

use skill::Severity;

use super::super::report::Report;
use crate::annotations::{data, property};

pub(super) fn render(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        for finding in report.findings() {
            let diagnostic = &finding.diagnostic;
            let command = match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "notice",
            };
            let mut properties =
                format!("file={}", property(&report.file_in_repository(&diagnostic.location.file)));
            if let Some(span) = diagnostic.location.span
                && report.is_folder
            {
                properties.push_str(&format!(
                    ",line={},endLine={},col={}",
                    span.start.line, span.end.line, span.start.column
                ));
                // A range of columns exists on one line only.
                if span.start.line == span.end.line {
                    properties.push_str(&format!(",endColumn={}", span.end.column));
                }
            }
            let title = format!("{} {}", diagnostic.rule.code(), diagnostic.rule.name());
            let mut message = diagnostic.message.clone();
            if !report.is_folder && !diagnostic.location.file.is_empty() {
                message = format!("{}: {message}", diagnostic.location);
            }
            if let Some(help) = &diagnostic.help {
                message.push_str(&format!("\n{help}"));
            }
            text.push_str(&format!(
                "::{command} {properties},title={}::{}\n",
                property(&title),
                data(&message)
            ));
        }
    }
    text
}
