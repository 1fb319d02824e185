//! JUnit XML: a suite for each skill, a case for each finding, and one case that passes for a skill without failures.

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::{super::report::Report, Fails};
use crate::{
    error::{CommandError, Kind},
    escape,
};

pub(super) fn render(reports: &[Report], fails: Fails<'_>) -> Result<String, CommandError> {
    let mut junit = JunitReport::new("skillbox validate");
    for report in reports {
        let name = report.path.to_string_lossy();
        let mut suite = TestSuite::new(escape::line(&name));
        let mut failed = false;
        for finding in report.findings() {
            let diagnostic = &finding.diagnostic;
            let text = escape::line(&diagnostic.message);
            let mut case = if fails(diagnostic.severity) {
                failed = true;
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(text.clone()).set_type(diagnostic.severity.to_string());
                let help = diagnostic.help.as_deref().map(escape::line).unwrap_or_default();
                status.set_description(format!(
                    "{}: {text}\n{help}",
                    escape::line(&diagnostic.location.to_string())
                ));
                TestCase::new(diagnostic.rule.code(), status)
            } else {
                let mut case = TestCase::new(diagnostic.rule.code(), TestCaseStatus::success());
                case.set_system_out(format!("{}: {text}", diagnostic.severity));
                case
            };
            case.set_classname(escape::line(&report.file(&diagnostic.location.file)));
            if let Some(span) = diagnostic.location.span {
                case.extra.insert("line".into(), span.start.line.to_string().into());
                case.extra.insert("column".into(), span.start.column.to_string().into());
            }
            suite.add_test_case(case);
        }
        if !failed {
            suite.add_test_case(TestCase::new("valid", TestCaseStatus::success()));
        }
        junit.add_test_suite(suite);
    }
    let text = junit.to_string().map_err(|error| CommandError::of(Kind::Internal, "INTERNAL", &error))?;
    Ok(text.trim_end().to_owned() + "\n")
}
