//! An upload: one request for what is small, parts beside each other for what is large.
//!
//! ```text
//!   bytes ─▶ gathered, 5 MiB at a time ──finish, up to 16 MiB──▶ one PUT with its SHA-256
//!                 └── more than that ──▶ parts, at most 4 on their way, each with its SHA-256
//!                                                     └─finish─▶ record ─▶ complete ─▶ size asked
//! ```
//!
//! Everything is hashed here as it comes, and compared with what the sender expects before the object can be seen. What
//! the store answers is compared too: with the checksum that it names, or where it names none, with the size that it
//! has. So a result never names a file that the store has not got. An upload that is given up aborts its parts; what a
//! killed process leaves is found by `discard` and `sweep`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use artifact::{
    ArtifactId, Expected, NewArtifact, Sha256Digest, StoreError, StoreErrorKind, StoredArtifact, Upload,
    compare,
};
use async_trait::async_trait;
use aws_sdk_s3::{
    config::Builder,
    primitives::{ByteStream, SdkBody},
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::{
    runtime::Handle,
    task::{JoinSet, spawn_blocking},
    time::timeout_at,
};

use crate::{
    connect::{ATTEMPT, timeouts},
    error::{Failure, FailureKind},
    record::Headers,
    store::{Inner, Lives},
};

/// Bytes of a part: the least that S3 takes.
const PART: usize = 5 * 1024 * 1024;
/// Up to here one request is made.
const SINGLE: u64 = 16 * 1024 * 1024;
/// Parts on their way at the same time. With the one that is gathered they bound the memory of an upload.
const IN_FLIGHT: usize = 4;
/// The most parts that S3 takes.
const MOST_PARTS: i32 = 10_000;
/// How often bytes are sent that arrive as others, before somebody has to look.
const SENDINGS: u32 = 3;
/// Slower than this, in bytes a second, a connection counts as broken.
const SLOWEST: u64 = 512 * 1024;
/// Content from here on gets time by its size.
const LARGE: usize = 1024 * 1024;

/// An artifact on its way.
#[derive(Debug)]
pub(crate) struct S3Upload {
    inner: Arc<Inner>,
    new: NewArtifact,
    hash: Sha256,
    size: u64,
    /// Whole parts that are not on their way yet.
    full: Vec<Bytes>,
    /// The part that is being gathered.
    current: BytesMut,
    multipart: Option<Multipart>,
}

impl S3Upload {
    pub(crate) fn new(inner: Arc<Inner>, new: NewArtifact) -> Self {
        let (full, current) = (Vec::new(), BytesMut::new());
        Self { inner, new, hash: Sha256::new(), size: 0, full, current, multipart: None }
    }

    fn gather(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let room = PART - self.current.len();
            let piece = bytes.split_to(room.min(bytes.len()));
            if self.current.is_empty() && (!self.full.is_empty() || self.multipart.is_some()) {
                self.current.reserve(PART);
            }
            self.current.extend_from_slice(&piece);
            if self.current.len() == PART {
                self.full.push(self.current.split().freeze());
            }
        }
    }

    /// Sends whole parts on their way, where there are too many for one request.
    async fn send_full(&mut self) -> Result<(), Failure> {
        if self.size <= SINGLE {
            return Ok(());
        }
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            None => self.multipart.insert(Multipart::begin(&self.inner, &self.new).await?),
        };
        for part in self.full.drain(..) {
            multipart.send(part).await?;
        }
        Ok(())
    }

    /// Everything has come, and is what the sender expects.
    async fn store_all(mut self, sha256: Sha256Digest) -> Result<(), Failure> {
        let metadata = self.new.metadata(self.size, sha256);
        let last = self.current.split().freeze();
        let Some(mut multipart) = self.multipart.take() else {
            let headers = Headers::complete(&metadata);
            if headers.is_beside() {
                self.inner.put_record(&self.new.id, &metadata).await?;
            }
            let body = whole(std::mem::take(&mut self.full), last);
            return put(&self.inner, &self.new.id, body, &headers, &sha256).await;
        };
        for part in self.full.drain(..) {
            multipart.send(part).await?;
        }
        if !last.is_empty() {
            multipart.send(last).await?;
        }
        let parts = multipart.all_sent().await?;
        self.inner.put_record(&self.new.id, &metadata).await?;
        multipart.complete(parts).await?;
        has_size(&self.inner, &self.new.id, self.size).await
    }

    fn failed(&self, failure: Failure) -> StoreError {
        // `NotFound` would be the upload, which somebody else has removed; the artifact is ours to store.
        let error = failure.into_error(self.doing(), &self.inner.place());
        match error.kind() {
            StoreErrorKind::NotFound => {
                StoreError::new(StoreErrorKind::Unavailable, self.doing()).with_source(error)
            }
            _ => error,
        }
    }

    fn doing(&self) -> String {
        format!("store artifact `{}` in `{}`", self.new.id, self.inner.bucket())
    }

    fn late(doing: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{doing} in time"))
    }
}

#[async_trait]
impl Upload for S3Upload {
    fn id(&self) -> &ArtifactId {
        &self.new.id
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.hash.update(&bytes);
        self.size += bytes.len() as u64;
        self.gather(bytes);
        match timeout_at(self.new.deadline, self.send_full()).await {
            Ok(sent) => sent.map_err(|failure| self.failed(failure)),
            Err(_) => Err(Self::late(&self.doing())),
        }
    }

    async fn finish(self: Box<Self>, expected: Expected) -> Result<StoredArtifact, StoreError> {
        let sha256 = Sha256Digest::from_bytes(self.hash.clone().finalize().into());
        compare(&self.new.id, self.size, sha256, expected)?;
        let stored = StoredArtifact {
            id: self.new.id.clone(),
            size: self.size,
            sha256,
            media_type: self.new.media_type.clone(),
        };
        let (doing, deadline, inner) = (self.doing(), self.new.deadline, Arc::clone(&self.inner));
        match timeout_at(deadline, self.store_all(sha256)).await {
            Ok(Ok(())) => Ok(stored),
            Ok(Err(failure)) => Err(match failure.kind() {
                FailureKind::NotFound => StoreError::new(StoreErrorKind::Unavailable, doing)
                    .with_source(failure.into_error("find the upload".to_owned(), &inner.place())),
                _ => failure.into_error(doing, &inner.place()),
            }),
            Err(_) => Err(Self::late(&doing)),
        }
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(multipart) = self.multipart.take() {
            multipart.abort().await;
        }
    }
}

/// Parts on their way. Dropped before its end, it is aborted in the background.
#[derive(Debug)]
struct Multipart {
    inner: Arc<Inner>,
    key: String,
    upload_id: String,
    parts: JoinSet<Result<CompletedPart, Failure>>,
    /// What the store has acknowledged, by number.
    sent: BTreeMap<i32, CompletedPart>,
    next: i32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

impl Multipart {
    async fn begin(inner: &Arc<Inner>, new: &NewArtifact) -> Result<Self, Failure> {
        let key = inner.key(&new.id);
        let headers = Headers::incomplete(new);
        let (name, value) = headers.record;
        let created = inner
            .client()
            .create_multipart_upload()
            .bucket(inner.bucket())
            .key(&key)
            .metadata(name, value)
            .content_type(headers.content_type)
            .content_disposition(headers.content_disposition)
            .cache_control(headers.cache_control)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send()
            .await?;
        let upload_id = created.upload_id.unwrap_or_default();
        inner.lives(&upload_id, Lives::Yes);
        let inner = Arc::clone(inner);
        Ok(Self {
            inner,
            key,
            upload_id,
            parts: JoinSet::new(),
            sent: BTreeMap::new(),
            next: 1,
            state: State::Open,
        })
    }

    /// Sends a part on its way, once there is room.
    async fn send(&mut self, bytes: Bytes) -> Result<(), Failure> {
        while self.parts.len() >= IN_FLIGHT {
            self.one_sent().await?;
        }
        let number = self.next;
        if number > MOST_PARTS {
            return Err(Failure::other("the file has more parts than S3 takes"));
        }
        self.next += 1;
        let (inner, key, upload_id) = (Arc::clone(&self.inner), self.key.clone(), self.upload_id.clone());
        self.parts.spawn(async move { send_part(&inner, &key, &upload_id, number, bytes).await });
        Ok(())
    }

    async fn one_sent(&mut self) -> Result<(), Failure> {
        let Some(joined) = self.parts.join_next().await else { return Ok(()) };
        let part = joined.map_err(|error| Failure::other(error.to_string()))??;
        self.sent.insert(part.part_number().unwrap_or_default(), part);
        Ok(())
    }

    async fn all_sent(&mut self) -> Result<Vec<CompletedPart>, Failure> {
        while !self.parts.is_empty() {
            self.one_sent().await?;
        }
        Ok(std::mem::take(&mut self.sent).into_values().collect())
    }

    async fn complete(mut self, parts: Vec<CompletedPart>) -> Result<(), Failure> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.inner.client().complete_multipart_upload().bucket(self.inner.bucket());
        let complete = complete.key(&self.key).upload_id(&self.upload_id).multipart_upload(parts);
        // The store puts the parts together before it answers.
        let patient = Builder::new().timeout_config(timeouts(4 * ATTEMPT));
        match complete.customize().config_override(patient).send().await.map_err(Failure::from) {
            Ok(_) => self.state = State::Ended,
            // A repeated request whose first answer was lost. Whether the object is there is asked next.
            Err(failure) if failure.kind() == FailureKind::NotFound => self.state = State::Ended,
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    async fn abort(mut self) {
        self.state = State::Ended;
        // No part may arrive after the abort: it would be kept, and paid for.
        self.parts.shutdown().await;
        abort(&self.inner, &self.key, &self.upload_id).await;
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        self.inner.lives(&self.upload_id, Lives::NoMore);
        if self.state == State::Ended || Handle::try_current().is_err() {
            return;
        }
        self.parts.abort_all();
        let (inner, key, upload_id) = (Arc::clone(&self.inner), self.key.clone(), self.upload_id.clone());
        let tasks = inner.tasks().clone();
        tasks.spawn(async move { abort(&inner, &key, &upload_id).await });
    }
}

/// Best effort: what stays is found by `discard`, by a sweep, or by the bucket's lifecycle rule.
async fn abort(inner: &Inner, key: &str, upload_id: &str) {
    let abort = inner.client().abort_multipart_upload().bucket(inner.bucket()).key(key).upload_id(upload_id);
    if let Err(error) = abort.send().await {
        let error = Failure::from(error).into_error("abort an upload".to_owned(), &inner.place());
        tracing::warn!(key, error = %error, "an unfinished upload stays in the bucket");
    }
}

async fn send_part(
    inner: &Inner,
    key: &str,
    upload_id: &str,
    number: i32,
    bytes: Bytes,
) -> Result<CompletedPart, Failure> {
    let hashed = bytes.clone();
    let sha256 = spawn_blocking(move || STANDARD.encode(Sha256::digest(&hashed)));
    let sha256 = sha256.await.map_err(|error| Failure::other(error.to_string()))?;
    let mut sending = 1;
    loop {
        let request = inner.client().upload_part().bucket(inner.bucket()).key(key).upload_id(upload_id);
        let request = request.part_number(number).checksum_sha256(&sha256).body(body(&bytes));
        let sent = request.customize().config_override(patience(bytes.len())).send().await;
        let sent = sent.map_err(Failure::from).and_then(|sent| {
            same(sent.checksum_sha256(), &sha256)?;
            Ok(sent)
        });
        match sent {
            Ok(sent) => {
                let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
                return Ok(part.set_checksum_sha256(sent.checksum_sha256).build());
            }
            Err(failure) if failure.kind() == FailureKind::Corrupted && sending < SENDINGS => sending += 1,
            Err(failure) => return Err(failure),
        }
    }
}

/// Stores what fits into one request.
async fn put(
    inner: &Inner,
    id: &ArtifactId,
    bytes: Bytes,
    headers: &Headers,
    sha256: &Sha256Digest,
) -> Result<(), Failure> {
    let sha256 = STANDARD.encode(sha256.as_bytes());
    let mut sending = 1;
    loop {
        let (name, value) = headers.record.clone();
        let request =
            inner.client().put_object().bucket(inner.bucket()).key(inner.key(id)).metadata(name, value);
        let request = request
            .content_type(&headers.content_type)
            .content_disposition(&headers.content_disposition)
            .cache_control(&headers.cache_control)
            .checksum_sha256(&sha256)
            .body(body(&bytes));
        let sent = if bytes.len() < LARGE {
            request.send().await
        } else {
            request.customize().config_override(patience(bytes.len())).send().await
        };
        match sent.map_err(Failure::from).and_then(|sent| same(sent.checksum_sha256(), &sha256)) {
            Ok(Compared::Same) => return Ok(()),
            Ok(Compared::NotSaid) => return has_size(inner, id, bytes.len() as u64).await,
            Err(failure) if failure.kind() == FailureKind::Corrupted && sending < SENDINGS => sending += 1,
            Err(failure) => return Err(failure),
        }
    }
}

/// What the store says of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Same,
    NotSaid,
}

fn same(said: Option<&str>, sent: &str) -> Result<Compared, Failure> {
    match said {
        Some(said) if said == sent => Ok(Compared::Same),
        Some(said) => Err(Failure::corrupted(said)),
        None => Ok(Compared::NotSaid),
    }
}

/// For a store that named no checksum of the whole: what it has must at least be as long as what was sent.
async fn has_size(inner: &Inner, id: &ArtifactId, size: u64) -> Result<(), Failure> {
    let head = inner.client().head_object().bucket(inner.bucket()).key(inner.key(id)).send().await?;
    match head.content_length().map(u64::try_from) {
        Some(Ok(found)) if found == size => Ok(()),
        found => Err(Failure::corrupted(&format!("{found:?} bytes instead of {size}"))),
    }
}

/// All bytes of a small artifact in one piece; those of a very small one are not copied.
fn whole(full: Vec<Bytes>, last: Bytes) -> Bytes {
    if full.is_empty() {
        return last;
    }
    let mut whole = BytesMut::with_capacity(full.iter().map(Bytes::len).sum::<usize>() + last.len());
    for part in full {
        whole.extend_from_slice(&part);
    }
    whole.extend_from_slice(&last);
    whole.freeze()
}

/// A body in memory: it can be sent again, and its checksum is signed with the request.
fn body(bytes: &Bytes) -> ByteStream {
    ByteStream::new(SdkBody::from(bytes.clone()))
}

/// Time for one attempt, by what it has to carry.
fn patience(bytes: usize) -> Builder {
    let carrying = Duration::from_secs(bytes as u64 / SLOWEST);
    Builder::new().timeout_config(timeouts(ATTEMPT + carrying))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_another_checksum_is_no_acknowledgement() {
        assert_eq!(same(Some("a"), "a").unwrap(), Compared::Same);
        assert_eq!(same(None, "a").unwrap(), Compared::NotSaid);
        assert_eq!(same(Some("b"), "a").unwrap_err().kind(), FailureKind::Corrupted);
    }

    #[test]
    fn small_artifacts_are_put_together_in_order() {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(whole(vec![bytes("ab"), bytes("cd")], bytes("e")), bytes("abcde"));
        assert_eq!(whole(Vec::new(), bytes("e")), bytes("e"));
    }
}
