//! The platform's name of a trigger.

use std::fmt;

/// Opaque id of a trigger: 1 to 256 characters, none of them a control character. Never part of a path, a key or a
/// name on the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TriggerId(Box<str>);

/// The text cannot be the id of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trigger id must have 1 to 256 characters and no control characters")]
pub struct InvalidTriggerId;

impl TriggerId {
    const MAX_CHARACTERS: usize = 256;

    /// Takes an id as a caller gave it.
    ///
    /// # Errors
    /// See [`InvalidTriggerId`].
    pub fn parse(text: &str) -> Result<Self, InvalidTriggerId> {
        // The bytes first, so that a huge text is not counted.
        let short = text.len() <= 4 * Self::MAX_CHARACTERS && text.chars().count() <= Self::MAX_CHARACTERS;
        if text.is_empty() || !short || text.chars().any(char::is_control) {
            return Err(InvalidTriggerId);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_opaque_but_bounded_and_printable() {
        for good in ["a", "trigger_01J…", "ü/..", &"x".repeat(256)] {
            assert_eq!(TriggerId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a\nb", "\u{1b}[31m", &"x".repeat(257)] {
            assert_eq!(TriggerId::parse(bad), Err(InvalidTriggerId), "{bad:?}");
        }
    }
}
