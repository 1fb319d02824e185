//! A report in the form that CI systems read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{
    execute::{CaseReport, Status},
    schedule::Selected,
};

/// The JUnit form of what was run: a suite for each skill. Characters that XML cannot have are left out. `place` says where the
/// test file of a case is, for services that show results there.
///
/// # Errors
/// Where the document cannot be written, which has no cause that is known.
pub fn junit(
    cases: &[(Selected, CaseReport)],
    took: Duration,
    place: &dyn Fn(&Selected) -> String,
) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("skillbox");
    report.set_time(took);
    let mut suites: Vec<TestSuite> = Vec::new();
    for (selected, its) in cases {
        let skill = selected.suite.skill.name().to_string();
        if suites.last().is_none_or(|suite| suite.name.as_str() != skill) {
            suites.push(TestSuite::new(skill.as_str()));
        }
        let Some(suite) = suites.last_mut() else { continue };
        let status = status(selected, its);
        let is_failure = !matches!(its.status, Status::Passed | Status::Skipped(_));
        let mut case = TestCase::new(selected.case().name.as_str(), status);
        case.set_classname(skill.as_str()).set_time(its.took);
        case.extra.insert("file".into(), place(selected).as_str().into());
        case.extra.insert("line".into(), selected.case().span.start.line.to_string().as_str().into());
        if is_failure {
            case.set_system_out(its.stdout.as_str()).set_system_err(its.stderr.as_str());
        }
        suite.add_test_case(case);
    }
    report.add_test_suites(suites);
    report.to_string()
}

fn status(selected: &Selected, report: &CaseReport) -> TestCaseStatus {
    match &report.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Skipped(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
        Status::NotRun => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("not run");
            status
        }
        Status::Failed | Status::Broken => {
            let kind =
                if report.status == Status::Broken { NonSuccessKind::Error } else { NonSuccessKind::Failure };
            let mut status = TestCaseStatus::non_success(kind);
            if let Some(first) = report.failures.first() {
                status.set_message(first.message.as_str());
            }
            let path = &selected.file().path;
            let told = report
                .failures
                .iter()
                .map(|failure| format!("{path}:{}: {}\n", failure.span.start.line, failure.message));
            status.set_description(told.collect::<String>());
            status
        }
    }
}
