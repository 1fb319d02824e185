//! One JSON document: one skill as platforms' own tools have it, several as a list of those.

use serde_json::{Value, json};
use skill::{Profile, Severity};

use super::{
    super::report::{Finding, Report},
    Fails,
};

pub(super) fn render(reports: &[Report], profile: Profile, fails: Fails<'_>) -> String {
    let mut documents: Vec<Value> = reports.iter().map(|report| document(report, profile, fails)).collect();
    let document = match documents.len() {
        // The common case, and the form that platforms' own tools have.
        1 => documents.remove(0),
        _ => json!({"schemaVersion": 1, "skills": documents}),
    };
    format!("{document}\n")
}

fn document(report: &Report, profile: Profile, fails: Fails<'_>) -> Value {
    let of = |severity: Severity| -> Vec<Value> {
        let findings = report.findings().iter();
        findings.filter(|finding| finding.diagnostic.severity == severity).map(entry).collect()
    };
    let valid = !report.findings().iter().any(|finding| fails(finding.diagnostic.severity));
    let mut document = json!({
        "schemaVersion": 1,
        "valid": valid,
        "profile": profile.as_str(),
        "source": report.path.to_string_lossy(),
        "errors": of(Severity::Error),
        "warnings": of(Severity::Warning),
        "infos": of(Severity::Info),
    });
    if let Some(slug) = &report.slug {
        document["slug"] = json!(slug);
    }
    document
}

fn entry(finding: &Finding) -> Value {
    let diagnostic = &finding.diagnostic;
    let mut entry = json!({
        "rule": diagnostic.rule.code(),
        "name": diagnostic.rule.name(),
        "severity": diagnostic.severity.to_string(),
        "message": diagnostic.message,
    });
    // What is said of a bundle as a whole has no path in it.
    if !diagnostic.location.file.is_empty() {
        entry["path"] = json!(diagnostic.location.file);
    }
    if let Some(span) = diagnostic.location.span {
        entry["line"] = json!(span.start.line);
        entry["column"] = json!(span.start.column);
        entry["endLine"] = json!(span.end.line);
        entry["endColumn"] = json!(span.end.column);
    }
    if let Some(help) = &diagnostic.help {
        entry["help"] = json!(help);
    }
    if diagnostic.fix.is_some() {
        entry["fixable"] = json!(true);
    }
    entry
}
