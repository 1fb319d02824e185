//! How much of a skill is looked at: enough for any that people write, and not more than a stranger's may cost.
//!
//! A bundle may have 256 MiB of text, and a text taken apart needs many times its size. So there is a budget for each kind of
//! text: what is over it is no text for the checks, and the skill is told so, as nothing may hide behind a heap of files.
//! The kinds are apart so that data does not crowd out programs. Within a kind the order is that of the paths.

use std::collections::BTreeSet;

use skill::{Diagnostic, Draft, Language, Location, Rule};

use crate::subject::{Findings, MAX_TEXT, Subject, is_markdown};

const MIB: u64 = 1024 * 1024;

/// What is taken apart in its own way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Some forty times their size, while they are taken apart.
    Programs,
    Documents,
    Data,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Programs, Self::Documents, Self::Data];

    /// The most bytes of this kind that are looked at.
    const fn budget(self) -> u64 {
        match self {
            Self::Programs => MIB,
            Self::Documents | Self::Data => 4 * MIB,
        }
    }

    /// The most bytes of one file.
    const fn each(self) -> u64 {
        match self {
            Self::Programs => MIB / 2,
            Self::Documents | Self::Data => MAX_TEXT,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Programs => "scripts",
            Self::Documents => "Markdown",
            Self::Data => "other text",
        }
    }
}

/// The files over the budget of their kind. `SKILL.md`, which has a limit of its own, is never among them.
pub(crate) fn over(draft: &Draft) -> BTreeSet<&str> {
    let programs: BTreeSet<&str> = draft
        .scripts()
        .iter()
        .chain(draft.hidden_scripts())
        .filter(|script| matches!(script.language, Language::Python | Language::Bash | Language::Node))
        .map(|script| script.path.as_str())
        .collect();
    let mut left = Kind::ALL.map(|kind| (kind, kind.budget()));
    let mut over = BTreeSet::new();
    for file in draft.files() {
        // Larger files are no texts anyway, and looked at by their beginning only.
        if Some(file.path.as_str()) == draft.skill_file() || file.size > MAX_TEXT {
            continue;
        }
        let kind = kind_of(&file.path, &programs);
        for (known, left) in &mut left {
            if *known == kind {
                match left.checked_sub(file.size).filter(|_| file.size <= kind.each()) {
                    Some(rest) => *left = rest,
                    None => {
                        over.insert(file.path.as_str());
                    }
                }
            }
        }
    }
    over
}

fn kind_of(path: &str, programs: &BTreeSet<&str>) -> Kind {
    if programs.contains(path) {
        Kind::Programs
    } else if is_markdown(path) {
        Kind::Documents
    } else {
        Kind::Data
    }
}

/// Says what was not looked at. Pictures and the like are no text, and nobody misses them.
pub(crate) fn check(subject: &Subject<'_>, found: &mut Findings) {
    let programs: BTreeSet<&str> = subject
        .draft
        .scripts()
        .iter()
        .chain(subject.draft.hidden_scripts())
        .map(|script| script.path.as_str())
        .collect();
    for kind in Kind::ALL {
        let mut paths = subject
            .over()
            .iter()
            .copied()
            .filter(|path| kind_of(path, &programs) == kind && is_text(subject, path));
        let Some(first) = paths.next() else { continue };
        let count = 1 + paths.count();
        let message = format!(
            "{count} files from this one on were not looked at: of {}, {} KiB are, and {} KiB of one file",
            kind.name(),
            kind.budget() / 1024,
            kind.each() / 1024
        );
        found.push(
            Diagnostic::new(Rule::NOT_LOOKED_AT, Location::file(first), message)
                .with_help("keep what the skill does not need out of its folder, or look at it yourself"),
        );
    }
}

/// Whether a file begins like a text.
fn is_text(subject: &Subject<'_>, path: &str) -> bool {
    let head = subject.draft.read(path, 1024).unwrap_or_default();
    !head.contains(&0)
        && String::from_utf8(head).map_or_else(|error| error.utf8_error().error_len().is_none(), |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, check as check_all};

    const SKILL: &str =
        "---\nname: a\ndescription: Counts words. Use it when asked.\nlicense: MIT\n---\nRun it.\n";

    fn draft(files: &[(&str, usize, usize)]) -> Draft {
        let mut all = vec![("SKILL.md".to_owned(), SKILL.as_bytes().to_vec())];
        for (path, count, size) in files {
            for number in 0..*count {
                all.push((path.replace('#', &format!("{number:03}")), vec![b'\n'; *size]));
            }
        }
        Draft::from_files(all, Some("a")).unwrap()
    }

    #[test]
    fn a_large_script_is_told_and_does_not_use_up_the_budget() {
        let draft = draft(&[("scripts/a#.py", 1, 600 * 1024), ("scripts/b#.py", 2, 512 * 1024)]);
        assert_eq!(over(&draft).into_iter().collect::<Vec<_>>(), ["scripts/a000.py"]);
    }

    #[test]
    fn each_kind_has_its_own_budget_and_what_is_over_it_is_said_once() {
        let kib = 1024;
        let full =
            [("scripts/#.py", 2, 512 * kib), ("references/#.md", 8, 512 * kib), ("data/#.csv", 8, 512 * kib)];
        assert!(over(&draft(&full)).is_empty());
        let more = [
            ("scripts/#.py", 4, 256 * kib + 1),
            ("references/#.md", 9, 512 * kib),
            ("data/#.csv", 9, 512 * kib),
        ];
        let draft = draft(&more);
        let paths: Vec<&str> = over(&draft).into_iter().collect();
        assert_eq!(paths, ["data/008.csv", "references/008.md", "scripts/003.py"]);
        let found = check_all(&draft, &Options::default());
        let said: Vec<&str> = found
            .iter()
            .filter(|found| found.rule == Rule::NOT_LOOKED_AT)
            .map(|found| found.location.file.as_str())
            .collect();
        assert_eq!(said, ["data/008.csv", "references/008.md", "scripts/003.py"]);
    }
}
