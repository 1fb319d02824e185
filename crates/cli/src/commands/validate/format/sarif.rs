//! SARIF 2.1.0 (OASIS), as code scanning services read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skill::{Edit, Profile, Rule, Severity, Span};

use super::{
    super::report::{Finding, Report},
    gitlab::fingerprint,
};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn render(reports: &[Report], profile: Profile) -> String {
    let mut rules: BTreeMap<Rule, usize> = BTreeMap::new();
    for finding in reports.iter().flat_map(Report::findings) {
        rules.insert(finding.diagnostic.rule, 0);
    }
    for (index, place) in rules.values_mut().enumerate() {
        *place = index;
    }
    let mut seen = BTreeMap::new();
    let results: Vec<Value> = reports
        .iter()
        .flat_map(|report| report.findings().iter().map(move |finding| (report, finding)))
        .map(|(report, finding)| {
            let print = fingerprint(report, finding);
            let count = seen.entry(print.clone()).and_modify(|count| *count += 1).or_insert(1_usize);
            let mut result = result(report, finding, &rules);
            result["partialFingerprints"] = json!({"skillbox/v1": format!("{print}:{count}")});
            result
        })
        .collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "skillbox",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.keys().map(|rule| descriptor(*rule, profile)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn descriptor(rule: Rule, profile: Profile) -> Value {
    json!({
        "id": rule.code(),
        "name": rule.name(),
        "shortDescription": {"text": rule.summary()},
        "fullDescription": {"text": rule.why()},
        "help": {"text": format!("{}\n\nBad:\n{}\n\nGood:\n{}", rule.why(), rule.bad(), rule.good())},
        "defaultConfiguration": {"level": rule.severity(profile).map_or("none", level)},
        "properties": {"tags": [rule.group().to_string()]},
    })
}

fn result(report: &Report, finding: &Finding, rules: &BTreeMap<Rule, usize>) -> Value {
    let diagnostic = &finding.diagnostic;
    let mut message = diagnostic.message.clone();
    if let Some(help) = &diagnostic.help {
        message.push_str(&format!("\n{help}"));
    }
    let file = &diagnostic.location.file;
    let mut physical = json!({"artifactLocation": {"uri": uri(&report.file_in_repository(file))}});
    if let Some(span) = diagnostic.location.span
        && report.is_folder
    {
        physical["region"] = region(span);
    }
    let mut location = json!({"physicalLocation": physical});
    if !report.is_folder && !file.is_empty() {
        // A file in a bundle has no address of its own.
        location["logicalLocations"] = json!([{"fullyQualifiedName": diagnostic.location.to_string()}]);
    }
    let mut result = json!({
        "ruleId": diagnostic.rule.code(),
        "ruleIndex": rules.get(&diagnostic.rule).copied().unwrap_or_default(),
        "level": level(diagnostic.severity),
        "message": {"text": message},
        "locations": [location],
    });
    if let Some(fix) = replacements(report, finding) {
        result["fixes"] = json!([fix]);
    }
    result
}

fn region(span: Span) -> Value {
    json!({
        "startLine": span.start.line,
        "startColumn": span.start.column,
        "endLine": span.end.line,
        "endColumn": span.end.column,
    })
}

/// The fix, where it only changes texts of a folder: SARIF cannot rename.
fn replacements(report: &Report, finding: &Finding) -> Option<Value> {
    let fix = finding.diagnostic.fix.as_ref().filter(|_| report.is_folder)?;
    let mut changes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for edit in &fix.edits {
        let Edit::Replace { file, range, text } = edit else { return None };
        changes.entry(file).or_default().push(json!({
            "deletedRegion": {"byteOffset": range.start, "byteLength": range.len()},
            "insertedContent": {"text": text},
        }));
    }
    let changes: Vec<Value> = changes
        .into_iter()
        .map(|(file, replacements)| {
            json!({"artifactLocation": {"uri": uri(&report.file_in_repository(file))}, "replacements": replacements})
        })
        .collect();
    Some(json!({"description": {"text": "mend it"}, "artifactChanges": changes}))
}

/// A path as a reference of a URI: what may not stand there is percent-encoded (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}
