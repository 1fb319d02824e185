//! The rules: everything that is checked about skills, each with a stable code, its severity by profile, and texts for people.
//!
//! One table in groups, next to each other because people read them together (`skillbox rules`); the checks themselves
//! stand where the thing they look at is understood. Codes are `SB` and three digits for skills and `AR` and three
//! digits for bundles. People write them into baselines and ignore comments, so a code is never given another meaning.

mod archive;
mod body;
mod collection;
mod fields;
mod files;
mod frontmatter;
mod scripts;
mod security;

use std::{fmt, str::FromStr};

use crate::diagnostic::Severity;

/// One thing that is checked.
#[derive(Clone, Copy)]
pub struct Rule(&'static Definition);

/// What the table says of a rule.
#[derive(Debug)]
struct Definition {
    code: &'static str,
    name: &'static str,
    group: Group,
    /// By profile, in the order of [`Profile::ALL`]; `None` where the rule is off.
    severities: [Option<Severity>; 4],
    summary: &'static str,
    why: &'static str,
    bad: &'static str,
    good: &'static str,
}

/// Whose expectations a skill is measured by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// What this runtime and the platform around it take: the default.
    #[default]
    Octavus,
    /// What the reference library of the Agent Skills standard, `skills-ref`, takes: the same verdict on every file.
    Spec,
    /// What uploads to Claude's products take.
    Claude,
    /// What a forgiving loader takes: only what cannot be loaded at all is an error.
    Lenient,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 4] = [Self::Octavus, Self::Spec, Self::Claude, Self::Lenient];

    /// The name, as it is written on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Octavus => "octavus",
            Self::Spec => "spec",
            Self::Claude => "claude",
            Self::Lenient => "lenient",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == text).ok_or(UnknownProfile)
    }
}

/// There is no such profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profiles are octavus, spec, claude and lenient")]
pub struct UnknownProfile;

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Which files there are, and their text.
    Files,
    /// The frontmatter as YAML.
    Frontmatter,
    /// The fields of the frontmatter.
    Fields,
    /// The instructions, and what they refer to.
    Body,
    /// Scripts and what they need.
    Scripts,
    /// What may harm whoever uses the skill.
    Security,
    /// Several skills together.
    Collection,
    /// Bundles as ZIP files.
    Archive,
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Files => "files",
            Self::Frontmatter => "frontmatter",
            Self::Fields => "fields",
            Self::Body => "body",
            Self::Scripts => "scripts",
            Self::Security => "security",
            Self::Collection => "collection",
            Self::Archive => "archive",
        })
    }
}

/// Writes one group of the table. A row is a constant, its code and name, the severities under octavus, spec, claude and lenient
/// (E error, W warning, I info, N not checked), a summary, the reason, and an example of bad and good.
///
/// Under `spec`, E stands only where the reference library refuses or crashes, and where a file is beyond what is read here:
/// the verdict of that profile is its verdict.
macro_rules! rules {
    ($group:ident: $(
        $constant:ident = $code:literal $name:literal [$octavus:ident $spec:ident $claude:ident $lenient:ident]
            $summary:literal,
            $why:literal,
            $bad:literal,
            $good:literal;
    )*) => {
        use super::{Definition, Group, Rule, severities::*};

        impl Rule {
            $(
                #[doc = $summary]
                pub const $constant: Self = Self(&Definition {
                    code: $code,
                    name: $name,
                    group: Group::$group,
                    severities: [$octavus, $spec, $claude, $lenient],
                    summary: $summary,
                    why: $why,
                    bad: $bad,
                    good: $good,
                });
            )*
        }

        pub(super) const RULES: &[Rule] = &[$(Rule::$constant,)*];
    };
}
use rules;

/// The letters of the table.
mod severities {
    use crate::diagnostic::Severity;

    pub(super) const E: Option<Severity> = Some(Severity::Error);
    pub(super) const W: Option<Severity> = Some(Severity::Warning);
    pub(super) const I: Option<Severity> = Some(Severity::Info);
    pub(super) const N: Option<Severity> = None;
}

impl Rule {
    /// Every rule, in the order of groups and codes.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            files::RULES,
            frontmatter::RULES,
            fields::RULES,
            body::RULES,
            scripts::RULES,
            security::RULES,
            collection::RULES,
            archive::RULES,
        ]
        .into_iter()
        .flatten()
        .copied()
    }

    /// The rule with this code or name, in any case.
    pub fn find(text: &str) -> Option<Self> {
        Self::all()
            .find(|rule| rule.code().eq_ignore_ascii_case(text) || rule.name().eq_ignore_ascii_case(text))
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        self.0.code
    }

    /// The stable name: lowercase words with hyphens.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What it is about.
    pub const fn group(self) -> Group {
        self.0.group
    }

    /// How bad a finding is under `profile`; `None` where the rule is off.
    pub const fn severity(self, profile: Profile) -> Option<Severity> {
        let [octavus, spec, claude, lenient] = self.0.severities;
        match profile {
            Profile::Octavus => octavus,
            Profile::Spec => spec,
            Profile::Claude => claude,
            Profile::Lenient => lenient,
        }
    }

    /// What is found, in one sentence.
    pub const fn summary(self) -> &'static str {
        self.0.summary
    }

    /// Why it matters.
    pub const fn why(self) -> &'static str {
        self.0.why
    }

    /// What it finds: a few lines of a file, or a few words.
    pub const fn bad(self) -> &'static str {
        self.0.bad
    }

    /// The same without the finding.
    pub const fn good(self) -> &'static str {
        self.0.good
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code()
    }
}

impl Eq for Rule {}

impl std::hash::Hash for Rule {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.code().hash(state);
    }
}

impl PartialOrd for Rule {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rule {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.code().cmp(other.code())
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_well_formed() {
        let rules: Vec<Rule> = Rule::all().collect();
        for (index, rule) in rules.iter().enumerate() {
            let (prefix, digits) = rule.code().split_at(2);
            assert!(matches!(prefix, "SB" | "AR") && digits.len() == 3, "{rule:?}");
            assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{rule:?}");
            assert!(
                !rule.name().is_empty()
                    && rule
                        .name()
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{rule:?}"
            );
            for other in &rules[..index] {
                assert_ne!(rule.code(), other.code());
                assert_ne!(rule.name(), other.name(), "{rule:?} {other:?}");
            }
        }
    }

    #[test]
    fn codes_are_in_order_within_their_group() {
        let rules: Vec<Rule> = Rule::all().collect();
        for pair in rules.windows(2) {
            if pair[0].group() == pair[1].group() {
                assert!(pair[0].code() < pair[1].code(), "{pair:?}");
            }
        }
    }

    #[test]
    fn texts_are_sentences_and_examples_differ() {
        for rule in Rule::all() {
            for text in [rule.summary(), rule.why()] {
                assert!(text.ends_with('.') && !text.ends_with(".."), "{rule:?}: {text}");
                assert!(
                    text.starts_with(|first: char| first.is_uppercase() || first == '`'),
                    "{rule:?}: {text}"
                );
            }
            assert!(
                !rule.bad().is_empty() && !rule.good().is_empty() && rule.bad() != rule.good(),
                "{rule:?}"
            );
        }
    }

    #[test]
    fn a_forgiving_loader_is_never_stricter_than_the_default() {
        for rule in Rule::all() {
            assert!(rule.severity(Profile::Lenient) <= rule.severity(Profile::Octavus), "{rule:?}");
        }
    }

    #[test]
    fn a_rule_is_found_by_code_and_by_name() {
        assert_eq!(Rule::find("sb044"), Some(Rule::NAME_UPPERCASE));
        assert_eq!(Rule::find("name-uppercase"), Some(Rule::NAME_UPPERCASE));
        assert_eq!(Rule::find("SB999"), None);
    }
}
