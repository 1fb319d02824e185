//! The slug of a skill: parsed once at the edge, then carried by a type.
//!
//! The standard lets names be any lowercase Unicode letters; the slug is narrower (ASCII), because it becomes a path
//! component inside the sandbox, a URL segment, an object key and an enum value in a tool definition, and two
//! names that look the same must not be two skills.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A valid skill name: 1 to 64 of `a-z`, `0-9` and single inner hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SkillName(Box<str>);

impl SkillName {
    /// The most characters a name may have.
    pub const MAX_CHARS: usize = 64;

    /// Checks `text` and keeps it; nothing is trimmed or normalised.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        // Content before length, so that the message names what the author can see.
        for character in text.chars() {
            match character {
                'a'..='z' | '0'..='9' | '-' => {}
                _ if character.is_uppercase() => return Err(NameError::Uppercase { character }),
                _ => return Err(NameError::Character { character }),
            }
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::OuterHyphen);
        }
        if text.contains("--") {
            return Err(NameError::DoubleHyphen);
        }
        let chars = text.chars().count();
        if chars > Self::MAX_CHARS {
            return Err(NameError::TooLong { chars });
        }
        // A skill called `con` could not be unpacked by an author on Windows.
        if is_windows_device(text) {
            return Err(NameError::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The nearest good name to `text`, as a proposal.
    pub fn near(text: &str) -> Option<Self> {
        let dashed: String = text
            .to_lowercase()
            .chars()
            .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
            .collect();
        let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
        Self::parse(&parts.join("-")).ok()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no character at all.
    #[error("the name is empty")]
    Empty,
    /// More than [`SkillName::MAX_CHARS`] characters.
    #[error("the name has {chars} characters; at most 64 are allowed")]
    TooLong {
        /// How many there are.
        chars: usize,
    },
    /// An uppercase letter.
    #[error("the name contains the uppercase letter `{character}`")]
    Uppercase {
        /// The first such letter.
        character: char,
    },
    /// A character other than `a-z`, `0-9` and `-`.
    #[error("the name contains {} (U+{:04X})", .character.escape_debug().collect::<String>(), u32::from(*.character))]
    Character {
        /// The first such character.
        character: char,
    },
    /// A hyphen at the start or at the end.
    #[error("the name starts or ends with a hyphen")]
    OuterHyphen,
    /// Two hyphens in a row.
    #[error("the name contains two hyphens in a row")]
    DoubleHyphen,
    /// A device name of Windows.
    #[error("the name is a reserved device name of Windows")]
    Reserved,
}

/// Whether Windows would open a device instead of a file of this name, whatever its extension or case.
pub(crate) fn is_windows_device(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or(component).trim_end_matches(' ').to_ascii_lowercase();
    if matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" | "clock$") {
        return true;
    }
    // Superscript digits count as digits for Windows here.
    let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    matches!(numbered, Some("0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"))
}

impl fmt::Display for SkillName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for SkillName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for SkillName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for SkillName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for SkillName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl FromStr for SkillName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl From<SkillName> for String {
    fn from(name: SkillName) -> Self {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_are_kept_as_they_are() {
        for text in ["a", "qr-code", "data-analysis-2", "7z", &"x".repeat(64)] {
            assert_eq!(SkillName::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        let check =
            |text: &str, expected: NameError| assert_eq!(SkillName::parse(text), Err(expected), "{text:?}");
        check("", NameError::Empty);
        check("Qr", NameError::Uppercase { character: 'Q' });
        check("НАВЫК", NameError::Uppercase { character: 'Н' });
        check("my_skill", NameError::Character { character: '_' });
        check("café", NameError::Character { character: 'é' });
        check("../etc", NameError::Character { character: '.' });
        check("a/b", NameError::Character { character: '/' });
        check("a\u{200d}b", NameError::Character { character: '\u{200d}' });
        check("-a", NameError::OuterHyphen);
        check("a-", NameError::OuterHyphen);
        check("a--b", NameError::DoubleHyphen);
        check(&"x".repeat(65), NameError::TooLong { chars: 65 });
        check("nul", NameError::Reserved);
        check("com1", NameError::Reserved);
    }

    #[test]
    fn serde_goes_through_the_same_check() {
        use serde::de::value::{Error, StringDeserializer};
        let parse = |text: &str| SkillName::deserialize(StringDeserializer::<Error>::new(text.to_owned()));
        assert_eq!(parse("qr-code").unwrap().as_str(), "qr-code");
        assert!(parse("QR").unwrap_err().to_string().contains("uppercase"));
    }
}
