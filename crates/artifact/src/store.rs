//! The contract that every artifact store keeps, and the types that it is written in.
//!
//! Plain types only, so that S3 fits as well as a directory. `conformance` holds every store to what the methods say.

use std::{error::Error, fmt, pin::Pin, str::FromStr, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncRead;

use crate::{id::ArtifactId, media_type::MediaType};

/// Where output files are kept after their sandbox is gone. Shared by all triggers.
#[async_trait]
pub trait ArtifactStore: fmt::Debug + Send + Sync {
    /// Starts an upload under a new id. Nothing can be seen under the id before [`Upload::finish`] has returned `Ok`.
    /// Any number of uploads may run at once.
    async fn begin(&self, new: NewArtifact) -> Result<Box<dyn Upload>, StoreError>;

    /// A URL under which the artifact can be fetched without further rights until it expires. Costs no request to the
    /// store and does not look whether the artifact exists: who must know asks [`ArtifactStore::metadata`].
    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError>;

    /// What is known of a stored artifact. `NotFound` for an id that was never finished, or was removed.
    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError>;

    /// The content, for a store whose URLs this process itself must serve. `Ok(None)` from a store that serves its URLs on
    /// its own, whether or not the artifact exists. `NotFound` as for `metadata`.
    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError>;

    /// Deletes an artifact. Idempotent: to remove what is not there succeeds. URLs given out before find nothing.
    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError>;

    /// Whether uploads can work: writes and removes something small. Called at the start and by the readiness check, so
    /// the error says what to change.
    async fn check(&self) -> Result<(), StoreError>;

    /// Removes what killed processes have left half-done. Never touches finished artifacts, uploads of this process, or
    /// those of another process that is alive. Called at the start.
    async fn sweep(&self) -> Result<Swept, StoreError>;
}

/// One artifact on its way into the store. Dropped without `finish`, it leaves nothing behind that `sweep` would not find.
#[async_trait]
pub trait Upload: fmt::Debug + Send {
    /// The id that the artifact will have.
    fn id(&self) -> &ArtifactId;

    /// Takes the next bytes. Memory stays bounded however large the artifact gets: a slow store makes this wait. After an
    /// error the upload can only be aborted.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the artifact visible, and acknowledges it, if and only if what the store holds has the expected size and
    /// checksum; else `Mismatch`, and nothing is visible.
    async fn finish(
        self: Box<Self>,
        media_type: MediaType,
        expected: Expected,
    ) -> Result<StoredArtifact, StoreError>;

    /// Gives up and removes what was written.
    async fn abort(self: Box<Self>);
}

/// What is known of an artifact before its bytes come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewArtifact {
    /// The trigger that made it.
    pub trigger: String,
    /// Name for people, already safe to show: see [`crate::display_name`].
    pub file_name: String,
}

/// What the sender knows of the bytes that it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How many there were.
    pub size: u64,
    /// Their checksum. `None` where the sender did not compute it: then the store's own is taken, and only the size is
    /// compared, so that no byte is hashed twice.
    pub sha256: Option<Sha256Digest>,
}

/// An artifact that the store has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredArtifact {
    /// Its id.
    pub id: ArtifactId,
    /// In bytes.
    pub size: u64,
    /// Of all bytes.
    pub sha256: Sha256Digest,
    /// As given to `finish`.
    pub media_type: MediaType,
}

/// What is known of a stored artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactMetadata {
    /// Name for people, safe to show.
    pub file_name: String,
    /// Decided by content. May be one that must not be shown inline: see [`crate::content_headers`].
    pub media_type: MediaType,
    /// In bytes.
    pub size: u64,
    /// Of all bytes.
    pub sha256: Sha256Digest,
    /// The trigger that made it.
    pub trigger: String,
    /// Seconds since 1970.
    pub created: u64,
}

/// A link that works for everybody who has it, until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl {
    /// The link.
    pub url: String,
    /// When it stops working; `None` for a link that does not expire (a file on the same machine).
    pub expires: Option<SystemTime>,
}

/// The link is a right: it must not get into logs.
impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedUrl").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// The bytes of an artifact.
pub struct Content {
    /// What is known of it.
    pub metadata: ArtifactMetadata,
    /// Exactly `metadata.size` bytes. Read with a large buffer: each read of a large file is a trip to another thread.
    pub body: Pin<Box<dyn AsyncRead + Send>>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that nobody will finish.
    pub uploads: u64,
}

/// A SHA-256 checksum; as text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The checksum of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The checksum with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as S3 wants them (in base64).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_str(&text)
    }
}

impl FromStr for Sha256Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| "not hexadecimal digits")?;
        bytes.try_into().map(Self).map_err(|_| "not 64 hexadecimal digits")
    }
}

/// A store failed. Ours, never the caller's.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct StoreError {
    kind: StoreErrorKind,
    /// Fits after "failed to".
    doing: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What callers branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No such artifact.
    NotFound,
    /// Size or checksum differ from what was expected.
    Mismatch,
    /// No space, or no quota, left.
    Full,
    /// The store is set up wrongly, or refuses us: trying again does not help.
    Refused,
    /// The store cannot be reached, or failed: trying again may help.
    Unavailable,
}

impl StoreError {
    /// An error with what was being done, as it fits after "failed to".
    #[must_use]
    pub fn new(kind: StoreErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to branch on.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub(crate) fn not_found(id: &ArtifactId) -> Self {
        Self::new(StoreErrorKind::NotFound, format!("find artifact `{id}`"))
    }
}

/// Whether what a store holds is what the sender sent. For the stores.
pub(crate) fn compare(
    id: &ArtifactId,
    size: u64,
    sha256: Sha256Digest,
    expected: Expected,
) -> Result<(), StoreError> {
    if size != expected.size {
        let doing = format!("store artifact `{id}`: {size} bytes came instead of {}", expected.size);
        return Err(StoreError::new(StoreErrorKind::Mismatch, doing));
    }
    if expected.sha256.is_some_and(|expected| expected != sha256) {
        return Err(StoreError::new(
            StoreErrorKind::Mismatch,
            format!("store artifact `{id}`: the checksum differs"),
        ));
    }
    Ok(())
}

/// Seconds since 1970; 0 for a clock that stands before it.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}
