//! The bucket as an artifact store.
//!
//! ```text
//! <prefix><group>/<id>          content, with its record and what a browser is told; the group is that of the trigger
//! <prefix><group>/<id>.record   the record, where it does not fit beside the content
//! <prefix>check-<letters>       written and removed to see whether the bucket takes files
//! ```
//!
//! Keys follow from ids alone, and no byte of a user is in them. Every object has its type and disposition from the
//! moment it exists, so a link needs to say nothing but which object and until when.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use artifact::{
    ArtifactId, ArtifactMetadata, ArtifactStore, Content, NewArtifact, SignedUrl, StoreError, StoreErrorKind,
    Swept, Upload,
};
use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    presigning::PresigningConfig,
    primitives::{ByteStream, SdkBody},
};
use tokio::io::AsyncReadExt as _;
use tokio_util::task::TaskTracker;

use crate::{
    connect::{Clients, Location, S3Options, connect},
    error::{Failure, FailureKind, Place},
    record::Record,
    upload::S3Upload,
};

/// No upload lives this long: its sender waits for seconds, or minutes. What is older has lost its process.
const DEAD_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Largest record that is read.
const RECORD: u64 = 64 * 1024;
/// What the object of a check is stored with, and must come back with.
const CHECK_DISPOSITION: &str = "attachment; filename=\"check\"";

/// A store in a bucket. Clones are the same store. Any number of processes may use one prefix.
#[derive(Clone, Debug)]
pub struct S3Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    clients: Clients,
    location: Location,
    link_lifetime: Duration,
    /// Part of the names of our checks, so that two processes do not remove each other's.
    letters: String,
    /// The bucket has been seen to keep what we store with an object.
    keeps_headers: AtomicBool,
    /// Multipart uploads of this process.
    living: Mutex<BTreeSet<String>>,
    /// Aborts of uploads that were dropped.
    tasks: TaskTracker,
}

impl S3Store {
    /// Opens a store. Makes no request to it: [`ArtifactStore::check`] does.
    ///
    /// # Errors
    ///
    /// Where the options, or the environment, do not say enough.
    pub async fn connect(options: S3Options) -> Result<Self, StoreError> {
        let clients = connect(&options).await?;
        let letters = ArtifactId::new("")?.as_str().trim_start_matches("file_").to_owned();
        let S3Options { location, link_lifetime, .. } = options;
        let inner = Inner {
            clients,
            location,
            link_lifetime,
            letters,
            keeps_headers: AtomicBool::new(false),
            living: Mutex::default(),
            tasks: TaskTracker::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

#[async_trait]
impl ArtifactStore for S3Store {
    async fn begin(&self, new: NewArtifact) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(S3Upload::new(Arc::clone(&self.inner), new)))
    }

    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError> {
        let inner = &*self.inner;
        let now = SystemTime::now();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            StoreError::new(StoreErrorKind::Refused, format!("sign a link to artifact `{id}`"))
                .with_source(source)
        };
        let signing = PresigningConfig::builder().start_time(now).expires_in(inner.link_lifetime).build();
        let signing = signing.map_err(|error| failed(error.into()))?;
        let get = inner.clients.links.get_object().bucket(inner.bucket()).key(inner.key(id));
        let signed = get.presigned(signing).await.map_err(|error| {
            Failure::from(error).into_error(format!("sign a link to artifact `{id}`"), &inner.place())
        })?;
        Ok(SignedUrl { url: signed.uri().to_owned(), expires: now.checked_add(inner.link_lifetime) })
    }

    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError> {
        let inner = &*self.inner;
        let head = inner.client().head_object().bucket(inner.bucket()).key(inner.key(id)).send().await;
        let head = head.map_err(|error| inner.missing(id, error.into()))?;
        let size = head.content_length().unwrap_or_default();
        inner.record(id, Record::read(head.metadata()), size).await
    }

    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError> {
        let inner = &*self.inner;
        let got = inner.client().get_object().bucket(inner.bucket()).key(inner.key(id)).send().await;
        let got = got.map_err(|error| inner.missing(id, error.into()))?;
        let size = got.content_length().unwrap_or_default();
        let metadata = inner.record(id, Record::read(got.metadata()), size).await?;
        let body = got.body.into_async_read().take(metadata.size);
        Ok(Some(Content { metadata, body: Box::pin(body) }))
    }

    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError> {
        let inner = &*self.inner;
        // The content first: without it the record means nothing.
        for key in [inner.key(id), inner.record_key(id)] {
            let removed = inner.client().delete_object().bucket(inner.bucket()).key(key).send().await;
            match removed.map_err(Failure::from) {
                Err(failure) if failure.kind() != FailureKind::NotFound => {
                    return Err(failure.into_error(format!("remove artifact `{id}`"), &inner.place()));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let failed =
            |failure: Failure| failure.into_error(format!("write to `{}`", inner.location), &inner.place());
        if !inner.keeps_headers.load(Ordering::Relaxed) {
            // Only for a bucket that is missing: some stores make one of a write. An answer to this has no body, and so
            // says nothing more; the write below does.
            let head = inner.client().head_bucket().bucket(inner.bucket()).send().await;
            if let Err(failure) = head.map_err(|error| Failure::from(error).of_bucket()) {
                match failure.kind() {
                    // Or for a server that is not there: the write would only take as long once more.
                    FailureKind::NoBucket | FailureKind::WrongEndpoint | FailureKind::Unreachable => {
                        return Err(failed(failure));
                    }
                    _ => {}
                }
            }
        }
        let key = format!("{}check-{}", inner.location.prefix, inner.letters);
        let put = inner.client().put_object().bucket(inner.bucket()).key(&key).metadata("skillbox", "check");
        let put = put.content_disposition(CHECK_DISPOSITION).content_type("text/plain");
        put.body(ByteStream::from_static(b"check")).send().await.map_err(|error| failed(error.into()))?;
        let kept = inner.keeps_headers(&key).await;
        let removed = inner.client().delete_object().bucket(inner.bucket()).key(&key).send().await;
        removed.map_err(|error| failed(error.into()))?;
        if kept.map_err(failed)? {
            return Ok(());
        }
        let doing = format!("use `{}`: the store does not keep the headers of objects", inner.location);
        Err(StoreError::new(StoreErrorKind::Refused, doing).with_hint(
            "links to output files would not be downloads; use a store that keeps Content-Disposition and metadata",
        ))
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        let inner = &*self.inner;
        let dead = SystemTime::now().checked_sub(DEAD_AFTER);
        let is_dead = |initiated: SystemTime| dead.is_some_and(|dead| initiated < dead);
        let uploads =
            inner.abort_unfinished(&inner.location.prefix, &|_, initiated| is_dead(initiated)).await?;
        Ok(Swept { uploads })
    }

    async fn discard(&self, id: &ArtifactId) -> Result<(), StoreError> {
        let key = self.inner.key(id);
        self.inner.abort_unfinished(&key, &|found, _| found == key).await.map(drop)
    }

    async fn close(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    pub(crate) fn client(&self) -> &Client {
        &self.clients.requests
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.location.bucket
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place { bucket: &self.location.bucket, endpoint: self.clients.endpoint.as_deref() }
    }

    pub(crate) fn key(&self, id: &ArtifactId) -> String {
        format!("{}{}/{id}", self.location.prefix, id.group())
    }

    pub(crate) fn record_key(&self, id: &ArtifactId) -> String {
        format!("{}.record", self.key(id))
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// An upload of ours that no sweep may touch, or does not need to any more.
    pub(crate) fn lives(&self, upload: &str, lives: Lives) {
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        match lives {
            Lives::Yes => living.insert(upload.to_owned()),
            Lives::NoMore => living.remove(upload),
        };
    }

    /// Writes a record of its own.
    pub(crate) async fn put_record(
        &self,
        id: &ArtifactId,
        metadata: &ArtifactMetadata,
    ) -> Result<(), Failure> {
        let json = serde_json::to_vec(metadata).unwrap_or_default();
        let put = self.client().put_object().bucket(self.bucket()).key(self.record_key(id));
        let put = put.content_type("application/octet-stream").content_disposition("attachment");
        put.body(ByteStream::new(SdkBody::from(json))).send().await?;
        Ok(())
    }

    fn missing(&self, id: &ArtifactId, failure: Failure) -> StoreError {
        match failure.kind() {
            FailureKind::NotFound => StoreError::not_found(id),
            _ => failure.into_error(format!("find artifact `{id}`"), &self.place()),
        }
    }

    /// The record of an object of this size.
    async fn record(
        &self,
        id: &ArtifactId,
        record: Option<Record>,
        size: i64,
    ) -> Result<ArtifactMetadata, StoreError> {
        let metadata = match record {
            Some(Record::Here(metadata)) => metadata,
            Some(Record::Beside) => {
                let got =
                    self.client().get_object().bucket(self.bucket()).key(self.record_key(id)).send().await;
                let got = got.map_err(|error| self.missing(id, error.into()))?;
                let mut json = Vec::new();
                let mut body = got.body.into_async_read().take(RECORD);
                let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
                    StoreError::new(
                        StoreErrorKind::Unavailable,
                        format!("read the record of artifact `{id}`"),
                    )
                    .with_source(source)
                };
                body.read_to_end(&mut json).await.map_err(|error| failed(error.into()))?;
                serde_json::from_slice(&json).map_err(|error| failed(error.into()))?
            }
            // Somebody else's object, under one of our keys.
            None => return Err(StoreError::not_found(id)),
        };
        if u64::try_from(size) != Ok(metadata.size) {
            let doing =
                format!("find artifact `{id}`: it has {size} bytes, but {} were stored", metadata.size);
            return Err(StoreError::new(StoreErrorKind::Mismatch, doing));
        }
        Ok(metadata)
    }

    /// Whether the bucket keeps what is stored with an object. Asked once.
    async fn keeps_headers(&self, key: &str) -> Result<bool, Failure> {
        if self.keeps_headers.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let head = self.client().head_object().bucket(self.bucket()).key(key).send().await?;
        let kept = head.content_disposition() == Some(CHECK_DISPOSITION)
            && head
                .metadata()
                .and_then(|metadata| metadata.get("skillbox"))
                .is_some_and(|kept| kept == "check");
        self.keeps_headers.store(kept, Ordering::Relaxed);
        Ok(kept)
    }

    /// Aborts multipart uploads whose keys begin with `prefix`, where `wanted` says so of key and begin; never those of
    /// this process. A store that cannot list them keeps them: its own lifecycle rule has to remove them.
    async fn abort_unfinished(
        &self,
        prefix: &str,
        wanted: &(dyn Fn(&str, SystemTime) -> bool + Sync),
    ) -> Result<u64, StoreError> {
        let failed = |failure: Failure| {
            failure.into_error(format!("remove unfinished uploads below `{}`", self.location), &self.place())
        };
        let (mut aborted, mut key_marker, mut upload_marker) = (0, None, None);
        loop {
            let list = self.client().list_multipart_uploads().bucket(self.bucket()).prefix(prefix);
            let list = list.set_key_marker(key_marker.take()).set_upload_id_marker(upload_marker.take());
            let page = match list.send().await.map_err(Failure::from) {
                Ok(page) => page,
                Err(failure) if failure.kind() == FailureKind::NotImplemented => {
                    tracing::debug!("this store does not list multipart uploads");
                    return Ok(aborted);
                }
                Err(failure) => return Err(failed(failure)),
            };
            for upload in page.uploads() {
                let (Some(key), Some(upload_id)) = (upload.key(), upload.upload_id()) else { continue };
                let initiated = upload.initiated().and_then(|at| SystemTime::try_from(*at).ok());
                let lives = self.living.lock().unwrap_or_else(PoisonError::into_inner).contains(upload_id);
                if lives || !initiated.is_some_and(|at| wanted(key, at)) {
                    continue;
                }
                let abort = self.client().abort_multipart_upload().bucket(self.bucket());
                match abort.key(key).upload_id(upload_id).send().await.map_err(Failure::from) {
                    Ok(_) => aborted += 1,
                    Err(failure) if failure.kind() == FailureKind::NotFound => {}
                    Err(failure) => return Err(failed(failure)),
                }
            }
            let next = page.next_key_marker().map(str::to_owned);
            if page.is_truncated() != Some(true) || next.is_none() {
                return Ok(aborted);
            }
            key_marker = next;
            upload_marker = page.next_upload_id_marker().map(str::to_owned);
        }
    }
}

/// Whether a multipart upload goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lives {
    Yes,
    NoMore,
}
