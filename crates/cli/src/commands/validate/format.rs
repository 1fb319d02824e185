//! The forms of a report: text for people, documents for programs.

mod concise;
mod full;
mod github;
mod gitlab;
mod json;
mod junit;
mod sarif;

use skill::{Profile, Severity};

use super::report::Report;
use crate::{args::ReportFormat, error::CommandError};

/// Whether findings of a severity fail the run.
type Fails<'run> = &'run dyn Fn(Severity) -> bool;

/// All reports in one form.
pub(super) fn render(
    format: ReportFormat,
    reports: &[Report],
    profile: Profile,
    fails: Fails<'_>,
) -> Result<String, CommandError> {
    match format {
        ReportFormat::Full => Ok(full::render(reports)),
        ReportFormat::Concise => Ok(concise::render(reports)),
        ReportFormat::Json => Ok(json::render(reports, profile, fails)),
        ReportFormat::Sarif => Ok(sarif::render(reports, profile)),
        ReportFormat::Junit => junit::render(reports, fails),
        ReportFormat::Github => Ok(github::render(reports)),
        ReportFormat::Gitlab => Ok(gitlab::render(reports)),
    }
}
