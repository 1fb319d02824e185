//! What can be said about a skill: a rule, how bad it is, where, a message and what to do.
//!
//! Rules have stable codes (`SB` and three digits, in groups of ten by subject) because people write them into baselines and
//! ignore comments; a code is never given another meaning. The severity is the one of the default
//! profile; other profiles will map it, so nothing but [`Rule::severity`] decides it.

use std::fmt;

/// One finding about one place of a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule that found it.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub location: Location,
    /// What is wrong, as a sentence fragment without a final period.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding of `rule` at `location`, with the severity of the rule.
    pub fn new(rule: Rule, location: Location, message: impl Into<String>) -> Self {
        Self { rule, severity: rule.severity(), location, message: message.into(), help: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}[{}]: {}", self.location, self.severity, self.rule.code(), self.message)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Works here, but not everywhere or not well.
    Warning,
    /// Breaks the standard or cannot work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A file of the skill, and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Path relative to the skill's root, with `/`.
    pub file: String,
    /// The part of the file; `None` for the file as a whole.
    pub span: Option<Span>,
}

impl Location {
    /// The whole of `file`.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), span: None }
    }

    /// A part of `file`.
    pub fn span(file: impl Into<String>, span: Span) -> Self {
        Self { file: file.into(), span: Some(span) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(span) = self.span {
            write!(formatter, ":{}:{}", span.start.line, span.start.column)?;
        }
        Ok(())
    }
}

/// A part of a text: `start` is in it, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The character behind the last.
    pub end: Position,
}

impl Span {
    /// An empty span at one place.
    pub fn at(position: Position) -> Self {
        Self { start: position, end: position }
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Bytes from the start of the file.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The start of a file.
    pub const START: Self = Self { offset: 0, line: 1, column: 1 };
}

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal $severity:ident;)*) => {
        /// Everything that is checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule { $($(#[doc = $doc])+ $name,)* }

        impl Rule {
            /// Every rule, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// How bad a finding of this rule is in the default profile.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What the rule is about, in a few words.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

rules! {
    /// There is no readable `SKILL.md`.
    SkillFileMissing = "SB001" Error;
    /// The file is called `skill.md`; clients look for `SKILL.md`.
    SkillFileLowercase = "SB002" Warning;
    /// The file is called something like `Skill.md`.
    SkillFileCase = "SB003" Error;
    /// Both `SKILL.md` and `skill.md` exist.
    SkillFileTwice = "SB004" Warning;
    /// A file that must be text is not UTF-8.
    NotUtf8 = "SB006" Error;
    /// A byte order mark before the frontmatter.
    ByteOrderMark = "SB007" Warning;
    /// `SKILL.md` or its frontmatter is too large.
    TooLarge = "SB010" Error;
    /// There are no instructions below the frontmatter.
    EmptyBody = "SB011" Warning;
    /// `SKILL.md` does not start with frontmatter.
    FrontmatterMissing = "SB020" Error;
    /// The frontmatter is not closed.
    FrontmatterUnclosed = "SB021" Error;
    /// The frontmatter is empty or not a mapping.
    FrontmatterNotMapping = "SB024" Error;
    /// The frontmatter is not valid YAML.
    InvalidYaml = "SB025" Error;
    /// A key occurs twice.
    DuplicateKey = "SB027" Error;
    /// Anchors, aliases or tags in the frontmatter.
    YamlReference = "SB028" Warning;
    /// The frontmatter has too many or too deeply nested values.
    YamlBudget = "SB029" Error;
    /// A field that the standard does not know.
    UnknownField = "SB030" Warning;
    /// The name is missing.
    NameMissing = "SB040" Error;
    /// The name is empty or not a string.
    NameNotString = "SB041" Error;
    /// The name is too long.
    NameTooLong = "SB043" Error;
    /// The name has uppercase letters.
    NameUppercase = "SB044" Error;
    /// The name starts or ends with a hyphen.
    NameOuterHyphen = "SB045" Error;
    /// The name has two hyphens in a row.
    NameDoubleHyphen = "SB046" Error;
    /// The name has a character that is not allowed.
    NameCharacter = "SB047" Error;
    /// The name has letters outside ASCII.
    NameNotAscii = "SB048" Error;
    /// The directory is not called like the skill.
    DirectoryName = "SB050" Warning;
    /// The name is reserved.
    NameReserved = "SB052" Error;
    /// The description is missing, empty or not a string.
    DescriptionMissing = "SB060" Error;
    /// The description is too long.
    DescriptionTooLong = "SB061" Error;
    /// The compatibility is not a string.
    CompatibilityNotString = "SB070" Error;
    /// The compatibility is too long.
    CompatibilityTooLong = "SB071" Error;
    /// The metadata is not a mapping.
    MetadataNotMapping = "SB080" Warning;
    /// The allowed tools are not a space-separated string.
    AllowedToolsForm = "SB090" Warning;
    /// A link or special file that is left out.
    FileLeftOut = "SB125" Warning;
    /// The inline metadata of a script cannot be read.
    ScriptMetadata = "SB223" Warning;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert!(codes.iter().all(|code| code.len() == 5 && code.starts_with("SB")));
    }

    #[test]
    fn a_diagnostic_reads_like_a_compiler_message() {
        let position = Position { offset: 10, line: 2, column: 7 };
        let diagnostic = Diagnostic::new(
            Rule::NameCharacter,
            Location::span("SKILL.md", Span::at(position)),
            "the name contains _ (U+005F)",
        );
        assert_eq!(diagnostic.to_string(), "SKILL.md:2:7: error[SB047]: the name contains _ (U+005F)");
        assert!(Severity::Error > Severity::Warning);
    }
}
