//! Links to artifacts that this process serves itself, signed as S3 signs its own.
//!
//! `GET <base>/v1/files/<id>/content?exp=<seconds since 1970>&sig=<key id>.<base64url>`. The signature is HMAC-SHA256 over
//! method, path, expiry and key id, one a line. The file name is not part of a link: it belongs to the stored artifact,
//! which never changes, and a link carries no byte of a user.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    id::ArtifactId,
    store::{SignedUrl, StoreError, StoreErrorKind, unix_seconds},
};

const PATH_BEFORE: &str = "/v1/files/";
const PATH_AFTER: &str = "/content";

/// Signs links and checks them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SignedUrls {
    key: UrlKey,
    /// Without a slash at the end.
    base_url: String,
    lifetime: Duration,
}

/// Why a link does not open anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It was good once.
    #[error("the link has expired")]
    Expired,
    /// We never gave it out.
    #[error("the link is not valid")]
    Invalid,
}

/// The secret behind the links.
#[derive(Clone)]
pub struct UrlKey {
    secret: [u8; 32],
    /// Which key signed a link, so that a key can be changed one day.
    id: String,
}

impl UrlKey {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// Where the system has no random numbers to give.
    pub fn random() -> Result<Self, StoreError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, "get random numbers").with_source(error)
        })?;
        Ok(Self::new(secret))
    }

    /// The key with this secret.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"key id\n").chain_update(secret).finalize();
        Self { secret, id: HEXLOWER.encode(&digest[..4]) }
    }

    /// The secret as a line of text, to be kept in a file.
    pub(crate) fn to_line(&self) -> String {
        format!("{}\n", HEXLOWER.encode(&self.secret))
    }

    /// The key of such a line.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let secret = HEXLOWER.decode(line.trim_end().as_bytes()).ok()?;
        Some(Self::new(secret.try_into().ok()?))
    }
}

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SignedUrls {
    /// Links below this URL (`https://files.example.com`, also with a path) that work for `lifetime`.
    #[must_use]
    pub fn new(key: UrlKey, base_url: &str, lifetime: Duration) -> Self {
        Self { key, base_url: base_url.trim_end_matches('/').to_owned(), lifetime }
    }

    /// A link that works from `now` on.
    #[must_use]
    pub fn sign(&self, id: &ArtifactId, now: SystemTime) -> SignedUrl {
        let expires = unix_seconds(now).saturating_add(self.lifetime.as_secs());
        let path = path(id);
        let signature = BASE64URL_NOPAD.encode(&self.mac(&path, expires));
        SignedUrl {
            url: format!("{}{path}?exp={expires}&sig={}.{signature}", self.base_url, self.key.id),
            expires: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expires)),
        }
    }

    /// The artifact that a request's path (without the base URL's) and query open at this time.
    ///
    /// # Errors
    ///
    /// For every link that was not made by [`SignedUrls::sign`] with the same key, and for those that are over.
    pub fn verify(&self, request_path: &str, query: &str, now: SystemTime) -> Result<ArtifactId, LinkError> {
        let id: ArtifactId = request_path
            .strip_prefix(PATH_BEFORE)
            .and_then(|rest| rest.strip_suffix(PATH_AFTER))
            .and_then(|id| id.parse().ok())
            .ok_or(LinkError::Invalid)?;
        let (expires, signature) = parse_query(query).ok_or(LinkError::Invalid)?;
        let (key_id, signature) = signature.split_once('.').ok_or(LinkError::Invalid)?;
        let given = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| LinkError::Invalid)?;
        let expected = self.mac(&path(&id), expires);
        let same = expected.as_slice().ct_eq(&given) & self.key.id.as_bytes().ct_eq(key_id.as_bytes());
        if !bool::from(same) {
            return Err(LinkError::Invalid);
        }
        // Only after the signature: nobody learns anything about links that are not theirs.
        if unix_seconds(now) >= expires { Err(LinkError::Expired) } else { Ok(id) }
    }

    fn mac(&self, path: &str, expires: u64) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key.secret).expect("HMAC takes a key of any length");
        mac.update(format!("GET\n{path}\n{expires}\n{}", self.key.id).as_bytes());
        mac.finalize().into_bytes().into()
    }
}

fn path(id: &ArtifactId) -> String {
    format!("{PATH_BEFORE}{id}{PATH_AFTER}")
}

/// Exactly `exp` and `sig`, once each, in any order. The decimal number must be written as we write it, so that one link
/// has one form only.
fn parse_query(query: &str) -> Option<(u64, &str)> {
    let (mut expires, mut signature) = (None, None);
    for pair in query.split('&') {
        match pair.split_once('=')? {
            ("exp", value) if expires.is_none() => {
                let number: u64 = value.parse().ok()?;
                (number.to_string() == value).then_some(())?;
                expires = Some(number);
            }
            ("sig", value) if signature.is_none() => signature = Some(value),
            _ => return None,
        }
    }
    Some((expires?, signature?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(seconds)
    }

    fn urls(key: u8) -> SignedUrls {
        SignedUrls::new(UrlKey::new([key; 32]), "https://x.example/base/", Duration::from_secs(60))
    }

    fn link(id: &ArtifactId) -> (String, String) {
        let signed = urls(1).sign(id, at(0));
        assert_eq!(signed.expires, Some(at(60)));
        let (path, query) = signed.url.split_once('?').unwrap();
        (path.strip_prefix("https://x.example/base").unwrap().to_owned(), query.to_owned())
    }

    #[test]
    fn a_link_works_until_it_expires_and_only_with_its_key() {
        let id = ArtifactId::new("t").unwrap();
        let (path, query) = link(&id);
        assert_eq!(urls(1).verify(&path, &query, at(0)), Ok(id.clone()));
        assert_eq!(urls(1).verify(&path, &query, at(59)), Ok(id));
        assert_eq!(urls(1).verify(&path, &query, at(60)), Err(LinkError::Expired));
        assert_eq!(urls(2).verify(&path, &query, at(0)), Err(LinkError::Invalid));
    }

    #[test]
    fn any_change_makes_a_link_invalid() {
        let id = ArtifactId::new("t").unwrap();
        let other = ArtifactId::new("t").unwrap();
        let (path, query) = link(&id);
        let exp = format!("exp={}", (NOW.as_secs() + 60));
        assert!(query.starts_with(&exp));
        for (path, query) in [
            (path.replace(id.as_str(), other.as_str()), query.clone()),
            (path.replace("/content", ""), query.clone()),
            (format!("/x{path}"), query.clone()),
            (path.clone(), query.replace(&exp, &format!("exp={}", NOW.as_secs() + 61))),
            (path.clone(), query.replace("exp=", "exp=0")),
            (path.clone(), query.replace("exp=", "exp=%2B")),
            (path.clone(), format!("{query}&exp=9999999999")),
            (path.clone(), format!("{query}&a=b")),
            (path.clone(), query.replace('.', "")),
            (path.clone(), query[..query.len() - 1].to_owned()),
            (path.clone(), format!("{query}A")),
            (path.clone(), String::new()),
        ] {
            assert_eq!(urls(1).verify(&path, &query, at(0)), Err(LinkError::Invalid), "{path}?{query}");
        }
    }

    #[test]
    fn a_key_comes_back_from_its_line_and_does_not_show_itself() {
        let key = UrlKey::random().unwrap();
        let again = UrlKey::from_line(&key.to_line()).unwrap();
        assert_eq!((again.secret, &again.id), (key.secret, &key.id));
        assert!(!format!("{key:?}").contains(&HEXLOWER.encode(&key.secret)));
        assert!(UrlKey::from_line("short").is_none());
    }

    #[test]
    fn any_request_is_refused_and_never_panics() {
        proptest!(|(path in any::<String>(), query in "(exp|sig|=|&|[0-9.A-Za-z%-]){0,40}", raw in any::<String>())| {
            let (good, _) = link(&ArtifactId::new("t").unwrap());
            for path in [path, good] {
                prop_assert_eq!(urls(1).verify(&path, &query, at(0)), Err(LinkError::Invalid));
                prop_assert_eq!(urls(1).verify(&path, &raw, at(0)), Err(LinkError::Invalid));
            }
        });
    }
}
