//! A code quality report of GitLab: a JSON list in the form of Code Climate.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use skill::Severity;

use super::super::report::{Finding, Report};

pub(super) fn render(reports: &[Report]) -> String {
    let mut issues = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for report in reports {
        for finding in report.findings() {
            let print = fingerprint(report, finding);
            // The same finding twice on equal lines must still be two.
            let count = seen.entry(print.clone()).and_modify(|count| *count += 1).or_insert(0_usize);
            issues.push(issue(report, finding, &format!("{print}-{count}")));
        }
    }
    format!("{:#}\n", Value::Array(issues))
}

fn issue(report: &Report, finding: &Finding, fingerprint: &str) -> Value {
    let diagnostic = &finding.diagnostic;
    let severity = match diagnostic.severity {
        Severity::Error => "major",
        Severity::Warning => "minor",
        Severity::Info => "info",
    };
    let line = match diagnostic.location.span {
        Some(span) if report.is_folder => span.start.line,
        _ => 1,
    };
    json!({
        "description": diagnostic.message,
        "check_name": diagnostic.rule.code(),
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": report.file_in_repository(&diagnostic.location.file), "lines": {"begin": line}},
    })
}

/// What stays the same when text above the finding changes.
pub(super) fn fingerprint(report: &Report, finding: &Finding) -> String {
    let diagnostic = &finding.diagnostic;
    let mut hash = Sha256::new();
    for part in [
        &report.file_in_repository(""),
        &diagnostic.location.file,
        diagnostic.rule.code(),
        finding.line.trim(),
        &diagnostic.message,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    data_encoding::HEXLOWER.encode(&hash.finalize()[..16])
}
