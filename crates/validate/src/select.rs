//! Which rules are looked at.
//!
//! A choice is a code, a name, a group or a prefix of codes (`SB04`, `AR`), as users of linters know it. The longest prefix that
//! fits decides, and ignoring wins over selecting the same.

use skill::{Diagnostic, Profile, Rule};

/// A choice of rules; everything by default.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// What is looked at; everything when there is none.
    select: Vec<Rule>,
    ignore: Vec<Rule>,
}

/// A choice that fits no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{choice}` is no rule, no group and no prefix of codes")]
pub struct SelectionError {
    /// What was written.
    pub choice: String,
}

impl Selection {
    /// Looks at what `select` names, or at everything when it is empty, but not at what `ignore` names.
    pub fn new(
        select: impl IntoIterator<Item = impl AsRef<str>>,
        ignore: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, SelectionError> {
        let (mut selected, mut ignored) = (Vec::new(), Vec::new());
        for choice in select {
            selected.extend(resolve(choice.as_ref())?);
        }
        for choice in ignore {
            ignored.extend(resolve(choice.as_ref())?);
        }
        // `--select SB044 --ignore SB` means that one rule: what is named more exactly counts.
        if selected.len() < ignored.len() {
            ignored.retain(|rule| !selected.contains(rule));
        }
        Ok(Self { select: selected, ignore: ignored })
    }

    /// Whether `rule` is looked at.
    pub fn has(&self, rule: Rule) -> bool {
        (self.select.is_empty() || self.select.contains(&rule)) && !self.ignore.contains(&rule)
    }

    /// The findings that are looked at, with the severities of `profile`.
    pub(crate) fn apply(&self, found: Vec<Diagnostic>, profile: Profile) -> Vec<Diagnostic> {
        found
            .into_iter()
            .filter(|diagnostic| self.has(diagnostic.rule))
            .filter_map(|diagnostic| {
                let severity = diagnostic.rule.severity(profile)?;
                Some(Diagnostic { severity, ..diagnostic })
            })
            .collect()
    }
}

/// The rules that `choice` names.
pub(crate) fn resolve(choice: &str) -> Result<Vec<Rule>, SelectionError> {
    let choice = choice.trim();
    if choice.eq_ignore_ascii_case("all") {
        return Ok(Rule::all().collect());
    }
    if let Some(rule) = Rule::find(choice) {
        return Ok(vec![rule]);
    }
    let upper = choice.to_ascii_uppercase();
    let fits = |rule: &Rule| {
        rule.group().to_string().eq_ignore_ascii_case(choice)
            || upper.len() >= 2 && rule.code().starts_with(&upper)
    };
    let rules: Vec<Rule> = Rule::all().filter(fits).collect();
    if rules.is_empty() { Err(SelectionError { choice: choice.to_owned() }) } else { Ok(rules) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(select: &[&str], ignore: &[&str], rule: Rule) -> bool {
        Selection::new(select, ignore).unwrap().has(rule)
    }

    #[test]
    fn codes_names_groups_and_prefixes_choose() {
        assert!(has(&[], &[], Rule::NAME_UPPERCASE));
        for choice in ["SB044", "sb044", "name-uppercase", "fields", "SB04", "SB", "all"] {
            assert!(has(&[choice], &[], Rule::NAME_UPPERCASE), "{choice}");
            assert!(!has(&[], &[choice], Rule::NAME_UPPERCASE), "{choice}");
        }
        assert!(!has(&["files"], &[], Rule::NAME_UPPERCASE));
        assert!(!has(&["SB044"], &["SB044"], Rule::NAME_UPPERCASE));
        assert!(has(&["SB044"], &["SB"], Rule::NAME_UPPERCASE));
        assert!(!has(&["SB"], &["SB044"], Rule::NAME_UPPERCASE));
    }

    #[test]
    fn a_choice_of_nothing_is_an_error() {
        for choice in ["SB999", "S", "", "nonsense"] {
            assert_eq!(
                Selection::new([choice], [""; 0]).map(drop),
                Err(SelectionError { choice: choice.to_owned() })
            );
        }
    }
}
