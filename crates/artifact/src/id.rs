//! Ids of artifacts: unguessable, and without a single byte that came from a user.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;

use crate::store::{StoreError, StoreErrorKind};

const PREFIX: &str = "file_";
/// 160 random bits are 32 letters of base32 without padding.
const RANDOM_BYTES: usize = 20;
const LETTERS: usize = 32;

/// The id of one artifact: `file_` and 32 letters of lower case base32. Safe as a file name, a key and in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactId(String);

/// Not an id that we ever gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an artifact id")]
pub struct InvalidArtifactId;

impl ArtifactId {
    /// A new id from the system's random numbers.
    ///
    /// # Errors
    ///
    /// Where the system has none to give.
    pub fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, "get random numbers").with_source(error)
        })?;
        Ok(Self(format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())))
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The random part.
    pub(crate) fn letters(&self) -> &str {
        &self.0[PREFIX.len()..]
    }
}

impl FromStr for ArtifactId {
    type Err = InvalidArtifactId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.strip_prefix(PREFIX).ok_or(InvalidArtifactId)?;
        // The id becomes a path: nothing but the letters of base32 may pass, so no separator and no dot.
        let valid =
            letters.len() == LETTERS && letters.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidArtifactId) }
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_parse_and_differ() {
        let ids: std::collections::HashSet<ArtifactId> =
            (0..1000).map(|_| ArtifactId::random().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_eq!(id.as_str().len(), 37);
        }
    }

    #[test]
    fn what_could_be_a_path_is_no_id() {
        let good = format!("file_{}", "a".repeat(32));
        assert!(good.parse::<ArtifactId>().is_ok());
        for bad in [
            String::new(),
            "file_".into(),
            good.to_uppercase(),
            format!("{good}a"),
            good.replace("file_", ""),
            format!("file_../../{}", "a".repeat(26)),
            format!("file_{}\n", "a".repeat(31)),
            format!("file_{}", "é".repeat(16)),
            format!("file_{}1", "a".repeat(31)),
        ] {
            assert_eq!(bad.parse::<ArtifactId>(), Err(InvalidArtifactId), "{bad:?}");
        }
    }
}
