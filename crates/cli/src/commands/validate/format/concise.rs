//! One line a finding: `path:line:column: severity[code] message`.

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
            if let Some(span) = diagnostic.location.span {
                place.push_str(&format!(":{}:{}", span.start.line, span.start.column));
            }
            let (severity, code) = (diagnostic.severity, diagnostic.rule.code());
            text.push_str(&format!("{place}: {severity}[{code}] {}\n", escape::line(&diagnostic.message)));
        }
    }
    text
}
