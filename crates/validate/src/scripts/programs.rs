//! Programs that scripts start, against those that a sandbox has.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::OnceLock,
};

use skill::{Diagnostic, Rule};

use crate::{
    scripts::{behaviour::first_word, is_run, list},
    subject::{Findings, Subject, Text},
};

/// Programs that nobody has by chance, and the Debian package with each.
fn known() -> &'static BTreeMap<&'static str, &'static str> {
    static KNOWN: OnceLock<BTreeMap<&str, &str>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        list(include_str!("../../data/programs.txt")).filter_map(|line| line.split_once(' ')).collect()
    })
}

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for (text, python) in subject.pythons() {
        let mut missing = Missing { subject, text, seen: BTreeSet::new() };
        if is_run(&text.path) {
            for (call, words) in python.commands().filter(|(call, _)| !call.is_handled) {
                let program = words.first().and_then(first_word).unwrap_or_default();
                missing.look_at(program, call.range.clone(), findings);
            }
        }
    }
    for (text, shell) in subject.shells() {
        let mut missing = Missing { subject, text, seen: BTreeSet::new() };
        if is_run(&text.path) {
            for command in &shell.commands {
                let Some(word) = command.program().first() else { continue };
                let program = word.text().unwrap_or_default();
                if !shell.functions.contains(program) {
                    missing.look_at(program, word.range.clone(), findings);
                }
            }
        }
    }
}

/// Whether the field `compatibility` says that the skill needs a program, by its name or that of its package.
fn is_told(subject: &Subject<'_>, program: &str, package: &str) -> bool {
    let told =
        subject.frontmatter().and_then(|fields| fields.compatibility()).unwrap_or_default().to_lowercase();
    let mut words = told.split(|character: char| !character.is_alphanumeric() && !"+-_.".contains(character));
    let package = package.split('-').next().unwrap_or(package);
    words.any(|word| {
        let word = word.trim_end_matches('.');
        word == program.to_lowercase() || !package.is_empty() && word == package
    })
}

/// What one script does not find.
struct Missing<'a> {
    subject: &'a Subject<'a>,
    text: &'a Text,
    seen: BTreeSet<String>,
}

impl Missing<'_> {
    fn look_at(&mut self, program: &str, range: Range<usize>, findings: &mut Findings) {
        let Some(package) = known().get(program) else { return };
        let environment = &self.subject.environment.programs;
        // Where nothing is known of the image, it may be one with Node.js.
        let may_be_there = environment.is_empty() && matches!(program, "node");
        if may_be_there
            || is_told(self.subject, program, package)
            || environment.iter().any(|known| known == program)
            || !self.seen.insert(program.to_owned())
        {
            return;
        }
        let message = format!("`{program}` is not part of a sandbox");
        let help = match *package {
            "-" => "do it in Python or bash, or run the skill with an image that has it".to_owned(),
            package => format!(
                "run the skill with an image that has it (Debian package {package}), and say so in `compatibility`"
            ),
        };
        findings.push(Diagnostic::new(Rule::MISSING_PROGRAM, self.text.at(range), message).with_help(help));
    }
}
