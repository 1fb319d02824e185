//! One line a finding: `path:line:column: severity[code] message`. What is about a whole file is said of its beginning, so that
//! editors find every line by one pattern.

use super::super::report::Report;
use crate::escape;

pub(super) fn render(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        for finding in report.findings() {
            let diagnostic = &finding.diagnostic;
            let file = &diagnostic.location.file;
            let mut place = escape::line(&report.file(file));
            if !report.is_folder && !file.is_empty() {
                place.push_str(&format!(": {}", escape::line(file)));
            }
            let (line, column) =
                diagnostic.location.span.map_or((1, 1), |span| (span.start.line, span.start.column));
            place.push_str(&format!(":{line}:{column}"));
            let (severity, code) = (diagnostic.severity, diagnostic.rule.code());
            text.push_str(&format!("{place}: {severity}[{code}] {}\n", escape::line(&diagnostic.message)));
        }
    }
    text
}
