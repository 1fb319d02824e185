//! What can be said about a skill without running it: every rule, under four profiles.
//!
//! Checks are functions from a [`Subject`] to diagnostics: pure, each in the module of what it looks at. What they find is
//! given the severity of the profile, filtered by what was selected and by ignore comments, and sorted. The profile
//! `spec` is different in one thing: whether a skill is valid is decided by [`spec`] alone, which follows the reference
//! library step by step; everything else is advice there.
//!
//! Nothing here runs a skill, reads outside it, or trusts it: texts are bounded, and no input may make a check panic.
//!
//! | module | is |
//! |---|---|
//! | `subject`, `budget` | what the checks look at, read once, and how much of it |
//! | `files`, `frontmatter`, `fields` | `SKILL.md` down to its fields |
//! | `body`, `scripts`, `security` | instructions, programs, dangers |
//! | `python`, `shell` | programs taken apart, for those checks |
//! | `collection` | several skills together |
//! | `spec` | the verdict of the reference library |
//! | `markdown`, `paths` | documents taken apart, and which files a text refers to |
//! | `ignore`, `baseline`, `select` | which findings count |
//! | `fix` | mending what can be mended safely |

mod baseline;
mod body;
mod budget;
mod collection;
mod fields;
mod files;
mod fix;
#[cfg(test)]
mod fixtures;
mod frontmatter;
mod ignore;
mod markdown;
mod paths;
mod pattern;
mod python;
mod scripts;
mod security;
mod select;
mod shell;
mod spec;
mod subject;

use skill::{Diagnostic, Draft, Profile, Rule, Severity};

use crate::subject::{Findings, Subject};
pub use crate::{
    baseline::{Baseline, BaselineError},
    collection::{Member, check_collection},
    fix::{FixError, Fixed, fix},
    scripts::{advice_for, is_run},
    select::{Selection, SelectionError},
    subject::Environment,
};

/// One check.
type Check = fn(&Subject<'_>, &mut Findings);

/// All checks of one skill, by module.
const CHECKS: [&[Check]; 7] = [
    &[budget::check],
    files::CHECKS,
    frontmatter::CHECKS,
    fields::CHECKS,
    body::CHECKS,
    scripts::CHECKS,
    security::CHECKS,
];

/// How to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whose expectations count.
    pub profile: Profile,
    /// Which rules are looked at.
    pub selection: Selection,
    /// What programs find where the skill will run.
    pub environment: Environment,
}

impl Options {
    /// Whether a rule is looked at.
    pub fn looks_at(&self, rule: Rule) -> bool {
        self.selection.has(rule) && rule.severity(self.profile).is_some()
    }

    /// Findings that were made elsewhere, with the severities of the profile; what was not selected is left out.
    pub fn filter(&self, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        self.selection.apply(found, self.profile)
    }
}

/// Everything that is found about one skill, in the order of files and places.
pub fn check(draft: &Draft, options: &Options) -> Vec<Diagnostic> {
    let subject = Subject::new(draft, &options.environment);
    let mut findings = Findings::default();
    findings.extend(draft.diagnostics().iter().cloned());
    for check in CHECKS.into_iter().flatten() {
        check(&subject, &mut findings);
    }
    let mut found = findings.into_vec();
    if options.profile == Profile::Spec {
        // The reference library has the only say; what it refuses is found by following it.
        let (ours, advice) = found
            .into_iter()
            .partition(|diagnostic| diagnostic.rule.severity(Profile::Spec) == Some(Severity::Error));
        found = spec::check(&subject, ours);
        found.extend::<Vec<Diagnostic>>(advice);
    }
    let mut found = options.selection.apply(found, options.profile);
    for diagnostic in &mut found {
        // Where the field is welcome, it stays.
        if diagnostic.rule == Rule::PLATFORM_FIELD && diagnostic.severity < Severity::Error {
            diagnostic.fix = None;
        }
    }
    ignore::apply(&subject, &mut found, options);
    sort(&mut found);
    found
}

/// Findings about the same skill that were made elsewhere, as by running it: with the severities of the profile, without what
/// was not selected, and without what ignore comments accept.
pub fn accept(draft: &Draft, found: Vec<Diagnostic>, options: &Options) -> Vec<Diagnostic> {
    let subject = Subject::new(draft, &options.environment);
    let mut found = options.filter(found);
    ignore::drop_ignored(&subject, &mut found);
    found
}

/// By file, with `SKILL.md` first, then by place and code.
fn sort(found: &mut [Diagnostic]) {
    found.sort_by(|left, right| {
        let key = |diagnostic: &Diagnostic| {
            let file = &diagnostic.location.file;
            let start = diagnostic.location.span.map(|span| span.start.offset);
            (!file.eq_ignore_ascii_case("SKILL.md"), file.clone(), start, diagnostic.rule)
        };
        key(left).cmp(&key(right))
    });
}
