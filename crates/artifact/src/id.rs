//! Ids of artifacts: unguessable, and without a single byte that came from a user.
//!
//! An id also carries a short digest of its trigger, so that a store can group by trigger and still find everything by
//! the id alone. The digest proves nothing and permits nothing; the random part does.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};

use crate::store::{StoreError, StoreErrorKind};

const PREFIX: &str = "file_";
/// 160 random bits are 32 letters of base32 without padding.
const RANDOM_BYTES: usize = 20;
const RANDOM_LETTERS: usize = 32;
/// 40 bits of the trigger's digest are 8 letters: two triggers that meet there share a group, and nothing else.
const TRIGGER_BYTES: usize = 5;
const TRIGGER_LETTERS: usize = 8;

/// The id of one artifact: `file_` and 40 letters of lower case base32, of which 32 are random and 8 are a digest of the
/// trigger. Safe as a file name, a key and in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactId(String);

/// Not an id that we ever gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an artifact id")]
pub struct InvalidArtifactId;

impl ArtifactId {
    /// Length of every id, in bytes.
    pub const LENGTH: usize = PREFIX.len() + RANDOM_LETTERS + TRIGGER_LETTERS;

    /// A new id for an artifact of this trigger, from the system's random numbers.
    ///
    /// # Errors
    ///
    /// Where the system has none to give.
    pub fn new(trigger: &str) -> Result<Self, StoreError> {
        let digest = Sha256::new().chain_update(b"trigger of an artifact\n").chain_update(trigger).finalize();
        let digest = BASE32_NOPAD.encode(&digest[..TRIGGER_BYTES]).to_ascii_lowercase();
        Ok(Self(format!("{PREFIX}{}{digest}", random_letters()?)))
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without what all ids begin with; the first letters are random.
    pub(crate) fn letters(&self) -> &str {
        &self.0[PREFIX.len()..]
    }

    /// The digest of the trigger: the same for all artifacts of one trigger.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.0[PREFIX.len() + RANDOM_LETTERS..]
    }
}

/// 160 random bits as lower case letters and digits; also a name for what is not an artifact.
pub(crate) fn random_letters() -> Result<String, StoreError> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        StoreError::new(StoreErrorKind::Unavailable, "get random numbers").with_source(error)
    })?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

impl FromStr for ArtifactId {
    type Err = InvalidArtifactId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.strip_prefix(PREFIX).ok_or(InvalidArtifactId)?;
        // The id becomes a path: nothing but the letters of base32 may pass, so no separator and no dot.
        let valid = text.len() == Self::LENGTH
            && letters.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
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
    fn ids_parse_and_differ() {
        let ids: std::collections::HashSet<ArtifactId> =
            (0..1000).map(|_| ArtifactId::new("t").unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_eq!(id.as_str().len(), ArtifactId::LENGTH);
        }
    }

    #[test]
    fn ids_of_one_trigger_have_its_group_and_none_of_its_bytes() {
        let of = |trigger| ArtifactId::new(trigger).unwrap();
        assert_eq!(of("trg_1").group(), of("trg_1").group());
        assert_ne!(of("trg_1").group(), of("trg_2").group());
        assert!(!of("secret").as_str().contains("secret"));
        assert_eq!(of("../../etc").as_str().parse::<ArtifactId>().unwrap().group().len(), TRIGGER_LETTERS);
    }

    #[test]
    fn what_could_be_a_path_is_no_id() {
        let good = format!("file_{}", "a".repeat(40));
        assert!(good.parse::<ArtifactId>().is_ok());
        for bad in [
            String::new(),
            "file_".into(),
            good.to_uppercase(),
            format!("{good}a"),
            good.replace("file_", ""),
            format!("file_../../{}", "a".repeat(34)),
            format!("file_{}\n", "a".repeat(39)),
            format!("file_{}", "é".repeat(20)),
            format!("file_{}1", "a".repeat(39)),
        ] {
            assert_eq!(bad.parse::<ArtifactId>(), Err(InvalidArtifactId), "{bad:?}");
        }
    }
}
