//! The contract that every artifact store keeps, and the types that it is written in.
//!
//! Plain types only, so that S3 fits as well as a directory. `conformance` holds every store to what the methods say.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    str::FromStr,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncRead, sync::oneshot, time::Instant};

use crate::{id::ArtifactId, media_type::MediaType};

/// Where output files are kept after their sandbox is gone. Shared by all triggers.
#[async_trait]
pub trait ArtifactStore: fmt::Debug + Send + Sync {
    /// Starts an upload under the id that the sender chose. Nothing can be seen under it before [`Upload::finish`] has
    /// returned `Ok`. Any number of uploads may run at once. An upload that failed may be tried again under its id.
    async fn begin(&self, new: NewArtifact) -> Result<Box<dyn Upload>, StoreError>;

    /// A URL under which the artifact can be fetched without further rights until it expires. Costs no request to the
    /// store and does not look whether the artifact exists: who must know asks [`ArtifactStore::metadata`].
    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError>;

    /// What is known of a stored artifact. `NotFound` for an id that was never finished, or was removed.
    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError>;

    /// The content, to be served or used as an input. `Ok(None)` from a store that cannot be read back, whether or not the
    /// artifact exists. `NotFound` as for `metadata`.
    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError>;

    /// Deletes an artifact. Idempotent: to remove what is not there succeeds. URLs given out before find nothing.
    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError>;

    /// Whether uploads can work: writes and removes something small. Called at the start and by the readiness check, so
    /// the error says what to change.
    async fn check(&self) -> Result<(), StoreError>;

    /// Removes what killed processes have left half-done. Never touches finished artifacts, uploads of this process, or
    /// those of another process that is alive. Called at the start.
    async fn sweep(&self) -> Result<Swept, StoreError>;

    /// Removes what earlier uploads under this id have left half-done, before it is tried again. No upload under it may be
    /// going on. The artifact itself, if it is there, stays.
    async fn discard(&self, _id: &ArtifactId) -> Result<(), StoreError> {
        Ok(())
    }

    /// How much is stored. `None` from a store that could not say without asking for each artifact.
    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        Ok(None)
    }

    /// Removes artifacts that may be kept no longer, and gives how many. A store with rules of its own for that, such as
    /// the lifecycle of a bucket, removes nothing.
    async fn prune(&self, _retention: Retention) -> Result<Usage, StoreError> {
        Ok(Usage::default())
    }

    /// For an upload that ended with `Deferred`: tells when the artifact has arrived. `None` where the store keeps nothing
    /// for later, or where the artifact is not waited for any more.
    fn arrival(&self, _id: &ArtifactId) -> Option<Arrival> {
        None
    }

    /// What is kept for later; `None` from a store that keeps nothing.
    fn backlog(&self) -> Option<Backlog> {
        None
    }

    /// Ends what goes on beside the calls. Called once, at the end.
    async fn close(&self) {}
}

/// The moment at which an artifact that was deferred is in the store.
#[derive(Debug)]
pub struct Arrival {
    receiver: oneshot::Receiver<StoredArtifact>,
}

impl Arrival {
    pub(crate) fn new(receiver: oneshot::Receiver<StoredArtifact>) -> Self {
        Self { receiver }
    }

    /// Waits for it. `None` where this process will not see it: the artifact was removed, or the process ends before.
    pub async fn wait(self) -> Option<StoredArtifact> {
        self.receiver.await.ok()
    }
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
    /// checksum; else `Mismatch`, and nothing is visible. `Deferred` where the store failed, but the artifact is kept and
    /// will be there later, under the same id.
    async fn finish(self: Box<Self>, expected: Expected) -> Result<StoredArtifact, StoreError>;

    /// Gives up and removes what was written.
    async fn abort(self: Box<Self>);
}

/// What is known of an artifact before its bytes come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewArtifact {
    /// The id that it will have.
    pub id: ArtifactId,
    /// The trigger that made it.
    pub trigger: String,
    /// Name for people, already safe to show: see [`crate::display_name`].
    pub file_name: String,
    /// Decided by the first bytes: see [`MediaType::detect`].
    pub media_type: MediaType,
    /// The sender does not wait longer. A store that can fail for a while tries again until then, and not beyond.
    pub deadline: Instant,
}

impl NewArtifact {
    /// An artifact with a new id.
    ///
    /// # Errors
    ///
    /// Where the system has no random numbers to give.
    pub fn new(
        trigger: &str,
        file_name: &str,
        media_type: MediaType,
        deadline: Instant,
    ) -> Result<Self, StoreError> {
        let (trigger, file_name) = (trigger.to_owned(), file_name.to_owned());
        Ok(Self { id: ArtifactId::new(&trigger)?, trigger, file_name, media_type, deadline })
    }

    /// What is known of it when all bytes are there. For the stores.
    #[must_use]
    pub fn metadata(&self, size: u64, sha256: Sha256Digest) -> ArtifactMetadata {
        ArtifactMetadata {
            file_name: self.file_name.clone(),
            media_type: self.media_type.clone(),
            size,
            sha256,
            trigger: self.trigger.clone(),
            created: unix_seconds(SystemTime::now()),
        }
    }
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
    /// As given to `begin`.
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

/// Artifacts that could not be stored at once, since this process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    /// Those that wait.
    pub waiting_files: u64,
    /// All files on the way and those that wait, in bytes.
    pub bytes: u64,
    /// Uploads that failed.
    pub failed_uploads: u64,
    /// Those that arrived later.
    pub delivered_later: u64,
    /// Those that could not be kept because there was no room, or the disk failed.
    pub not_kept: u64,
    /// Those whose content was damaged on the disk.
    pub lost: u64,
}

/// How long artifacts are kept. Without either bound, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Older ones go.
    pub age: Option<Duration>,
    /// The oldest go until the rest has no more bytes than this.
    pub bytes: Option<u64>,
}

/// How many artifacts, and how large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// How many.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
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
    hint: Option<String>,
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
    /// Not in the store yet, but kept: it will be there later, under the same id.
    Deferred,
}

impl StoreError {
    /// An error with what was being done, as it fits after "failed to".
    #[must_use]
    pub fn new(kind: StoreErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), hint: None, source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with what an operator can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What to branch on.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// There is no such artifact.
    #[must_use]
    pub fn not_found(id: &ArtifactId) -> Self {
        Self::new(StoreErrorKind::NotFound, format!("find artifact `{id}`"))
    }
}

/// Whether what a store holds is what the sender sent. For the stores.
///
/// # Errors
///
/// `Mismatch` where it is not.
pub fn compare(
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
