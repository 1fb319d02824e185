//! Mending what can be mended safely.
//!
//! A fix keeps the meaning of the skill: it quotes, renames, strips. All edits of a file are applied together, from its end to its
//! start; where two fixes want the same bytes the first wins and the other is left for the next run.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use skill::{Diagnostic, Draft, Edit, ReadError};

/// A skill after mending: what is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Texts before and after, by path.
    pub texts: BTreeMap<String, (String, String)>,
    /// Files to be renamed, old and new path; after the texts are written.
    pub renames: Vec<(String, String)>,
    /// Files to be made executable.
    pub executables: BTreeSet<String>,
    /// How many findings this mends.
    pub count: usize,
}

/// Why a skill cannot be mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file is no text, or was changed since it was checked.
    #[error("`{file}` was changed since it was checked")]
    Changed {
        /// Which one.
        file: String,
    },
}

/// What `found` would make of the skill; nothing is written.
pub fn fix<'found>(
    draft: &Draft,
    found: impl IntoIterator<Item = &'found Diagnostic>,
) -> Result<Fixed, FixError> {
    let mut fixed = Fixed::default();
    let mut replacements: BTreeMap<&str, Vec<(Range<usize>, &str)>> = BTreeMap::new();
    for fix in found.into_iter().filter_map(|diagnostic| diagnostic.fix.as_ref()) {
        let is_free = |edit: &Edit| match edit {
            Edit::Replace { file, range, .. } => {
                let taken = replacements.get(file.as_str());
                taken.is_none_or(|taken| taken.iter().all(|(other, _)| apart(other, range)))
            }
            Edit::Rename { file, to } => {
                fixed.renames.iter().all(|(from, target)| from != file && target != to)
                    && draft.file(to).is_none()
            }
            Edit::MakeExecutable { .. } => true,
        };
        // The edits of a fix belong together: half of one would change the meaning.
        if !fix.edits.iter().all(is_free) {
            continue;
        }
        fixed.count += 1;
        for edit in &fix.edits {
            match edit {
                Edit::Replace { file, range, text } => {
                    replacements.entry(file).or_default().push((range.clone(), text));
                }
                Edit::Rename { file, to } => fixed.renames.push((file.clone(), to.clone())),
                Edit::MakeExecutable { file } => {
                    fixed.executables.insert(file.clone());
                }
            }
        }
    }
    for (file, mut edits) in replacements {
        let changed = || FixError::Changed { file: file.to_owned() };
        let before = String::from_utf8(draft.read(file, u64::MAX)?).map_err(|_| changed())?;
        edits.sort_by_key(|(range, _)| range.start);
        let mut after = before.clone();
        for (range, text) in edits.iter().rev() {
            if after.get(range.clone()).is_none() {
                return Err(changed());
            }
            after.replace_range(range.clone(), text);
        }
        fixed.texts.insert(file.to_owned(), (before, after));
    }
    Ok(fixed)
}

/// Whether two edits do not touch; two insertions at one place would have no order.
fn apart(left: &Range<usize>, right: &Range<usize>) -> bool {
    left.end < right.start || right.end < left.start || {
        let touch = left.end == right.start || right.end == left.start;
        touch && !left.is_empty() && !right.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use skill::{Location, Rule};

    use super::*;

    fn replace(range: Range<usize>, text: &str) -> Diagnostic {
        Diagnostic::new(Rule::NAME_UPPERCASE, Location::file("SKILL.md"), "m").with_fix([Edit::Replace {
            file: "SKILL.md".to_owned(),
            range,
            text: text.to_owned(),
        }])
    }

    fn after(found: &[Diagnostic]) -> (String, usize) {
        let draft = Draft::from_files([("SKILL.md", "0123456789")], None).unwrap();
        let fixed = fix(&draft, found).unwrap();
        (fixed.texts["SKILL.md"].1.clone(), fixed.count)
    }

    #[test]
    fn edits_are_applied_together_and_conflicts_left() {
        assert_eq!(
            after(&[replace(0..1, "a"), replace(5..9, ""), replace(1..2, "bbb")]),
            ("abbb2349".to_owned(), 3)
        );
        assert_eq!(after(&[replace(2..5, "x"), replace(4..6, "y")]), ("01x56789".to_owned(), 1));
        assert_eq!(after(&[replace(2..2, "x"), replace(2..2, "y")]), ("01x23456789".to_owned(), 1));
    }

    #[test]
    fn a_rename_never_overwrites() {
        let draft = Draft::from_files([("SKILL.md", "a"), ("skill.md", "b")], None).unwrap();
        let rename = Diagnostic::new(Rule::SKILL_FILE_LOWERCASE, Location::file("skill.md"), "m")
            .with_fix([Edit::Rename { file: "skill.md".to_owned(), to: "SKILL.md".to_owned() }]);
        assert_eq!(fix(&draft, [&rename]).unwrap(), Fixed::default());
    }
}
