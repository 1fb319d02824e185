//! What every artifact store is held to: one function for each promise of the contract, run by each store's tests.
//!
//! The functions panic with what was broken. They leave nothing behind in the store but may run on one with content.

use std::time::Duration;

use bytes::Bytes;
use tokio::{io::AsyncReadExt as _, time::Instant};

use crate::{
    id::ArtifactId,
    media_type::MediaType,
    store::{
        ArtifactStore, Expected, NewArtifact, Sha256Digest, StoreError, StoreErrorKind, StoredArtifact,
        Upload,
    },
};

/// How long an upload may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs every check.
pub async fn all(store: &dyn ArtifactStore) {
    store.check().await.expect("a store that works says so");
    what_is_stored_comes_back(store).await;
    empty_and_large_content(store).await;
    nothing_is_visible_before_the_end(store).await;
    a_mismatch_is_not_acknowledged(store).await;
    aborted_and_dropped_uploads_leave_nothing(store).await;
    removal_is_idempotent(store).await;
    odd_names_are_kept(store).await;
    uploads_run_side_by_side(store).await;
    an_upload_may_be_tried_again_under_its_id(store).await;
    sweep_spares_what_is_alive(store).await;
    urls_hold_no_user_bytes(store).await;
}

/// Content and metadata come back as they went in.
pub async fn what_is_stored_comes_back(store: &dyn ArtifactStore) {
    let stored = put(store, "qr.png", &[b"\x89PNG", b"\r\n", b"", b"rest"]).await;
    let whole = b"\x89PNG\r\nrest";
    assert_eq!((stored.size, stored.sha256), (10, Sha256Digest::of(whole)));
    let metadata = store.metadata(&stored.id).await.expect("metadata of what was stored");
    assert_eq!(metadata.file_name, "qr.png");
    assert_eq!(metadata.trigger, "conformance");
    assert_eq!((metadata.size, metadata.sha256), (10, stored.sha256));
    assert_eq!(metadata.media_type, MediaType::OCTET_STREAM);
    assert_content(store, &stored.id, whole).await;
    remove(store, &stored.id).await;
}

/// No size is special: none, one byte, and several times any buffer.
pub async fn empty_and_large_content(store: &dyn ArtifactStore) {
    const KIB: usize = 1024;
    const CASES: [(usize, usize); 8] = [
        (0, 1),
        (1, 1),
        (256 * KIB - 1, 64 * KIB),
        (256 * KIB, 64 * KIB),
        (256 * KIB + 1, 7 * KIB),
        (1024 * KIB, 256 * KIB + 1),
        (3 * 1024 * KIB + 3, 7 * KIB),
        (3 * 1024 * KIB + 3, 8 * 1024 * KIB),
    ];
    for (size, piece) in CASES {
        let content = pattern(size);
        let pieces: Vec<&[u8]> = content.chunks(piece).collect();
        let stored = put(store, "large.bin", &pieces).await;
        assert_content(store, &stored.id, &content).await;
        remove(store, &stored.id).await;
    }
}

/// An id means nothing until `finish` has returned.
pub async fn nothing_is_visible_before_the_end(store: &dyn ArtifactStore) {
    let mut upload = begin(store, "early.bin").await;
    let id = upload.id().clone();
    assert_not_found(store, &id).await;
    upload.write(Bytes::from(pattern(1024 * 1024))).await.expect("write");
    assert_not_found(store, &id).await;
    upload.abort().await;
}

/// Wrong size and wrong checksum are refused, and what was uploaded is not there.
pub async fn a_mismatch_is_not_acknowledged(store: &dyn ArtifactStore) {
    for content in [b"abc".to_vec(), pattern(3 * 1024 * 1024)] {
        let right = Sha256Digest::of(&content);
        let size = content.len() as u64;
        for expected in [
            Expected { size: size + 1, sha256: Some(right) },
            Expected { size: size - 1, sha256: None },
            Expected { size, sha256: Some(Sha256Digest::of(b"something else")) },
        ] {
            let mut upload = begin(store, "mismatch.bin").await;
            let id = upload.id().clone();
            upload.write(Bytes::from(content.clone())).await.expect("write");
            let error = upload.finish(expected).await.expect_err("a mismatch must not be acknowledged");
            assert_eq!(error.kind(), StoreErrorKind::Mismatch);
            assert_not_found(store, &id).await;
        }
    }
}

/// An upload that is not finished is never seen.
pub async fn aborted_and_dropped_uploads_leave_nothing(store: &dyn ArtifactStore) {
    for size in [10, 3 * 1024 * 1024] {
        let mut aborted = begin(store, "aborted.bin").await;
        let mut dropped = begin(store, "dropped.bin").await;
        let ids = [aborted.id().clone(), dropped.id().clone()];
        aborted.write(Bytes::from(pattern(size))).await.expect("write");
        dropped.write(Bytes::from(pattern(size))).await.expect("write");
        aborted.abort().await;
        drop(dropped);
        for id in &ids {
            assert_not_found(store, id).await;
        }
    }
}

/// What is removed is gone, and can be removed again; so can what never was.
pub async fn removal_is_idempotent(store: &dyn ArtifactStore) {
    let stored = put(store, "gone.txt", &[b"abc"]).await;
    remove(store, &stored.id).await;
    assert_not_found(store, &stored.id).await;
    remove(store, &stored.id).await;
    remove(store, &ArtifactId::new("conformance").expect("random numbers")).await;
}

/// Names are data, whatever is in them.
pub async fn odd_names_are_kept(store: &dyn ArtifactStore) {
    for name in ["../../etc/passwd", "größe/图表 1.png", "a\"b'c;d\\n", "", "con", &"x".repeat(512)] {
        let stored = put(store, name, &[b"abc"]).await;
        let metadata = store.metadata(&stored.id).await.expect("metadata");
        assert_eq!(metadata.file_name, name);
        remove(store, &stored.id).await;
    }
}

/// Uploads do not disturb each other, and get ids of their own.
pub async fn uploads_run_side_by_side(store: &dyn ArtifactStore) {
    let mut first = begin(store, "same.bin").await;
    let mut second = begin(store, "same.bin").await;
    assert_ne!(first.id(), second.id());
    let contents = [pattern(700 * 1024), pattern(700 * 1024 + 1)];
    for (one, two) in contents[0].chunks(50 * 1024).zip(contents[1].chunks(50 * 1024)) {
        first.write(Bytes::copy_from_slice(one)).await.expect("write");
        second.write(Bytes::copy_from_slice(two)).await.expect("write");
    }
    second.write(Bytes::copy_from_slice(&contents[1][700 * 1024..])).await.expect("write");
    for (upload, content) in [first, second].into_iter().zip(&contents) {
        let stored = finish(upload, content).await.expect("finish");
        assert_content(store, &stored.id, content).await;
        remove(store, &stored.id).await;
    }
}

/// What was given up can be uploaded under the same id, and is one artifact then.
pub async fn an_upload_may_be_tried_again_under_its_id(store: &dyn ArtifactStore) {
    let content = pattern(2 * 1024 * 1024);
    let new = new("again.bin");
    let mut upload = store.begin(new.clone()).await.expect("begin");
    upload.write(Bytes::copy_from_slice(&content[..1024 * 1024])).await.expect("write");
    drop(upload);
    store.discard(&new.id).await.expect("discard");
    assert_not_found(store, &new.id).await;
    let mut upload = store.begin(new.clone()).await.expect("begin");
    upload.write(Bytes::from(content.clone())).await.expect("write");
    let stored = finish(upload, &content).await.expect("finish");
    assert_eq!(stored.id, new.id);
    store.discard(&new.id).await.expect("discard");
    assert_content(store, &new.id, &content).await;
    remove(store, &new.id).await;
}

/// A sweep removes neither artifacts nor uploads that are still going on.
pub async fn sweep_spares_what_is_alive(store: &dyn ArtifactStore) {
    let stored = put(store, "kept.txt", &[b"abc"]).await;
    let content = pattern(2 * 1024 * 1024);
    let mut upload = begin(store, "going-on.bin").await;
    upload.write(Bytes::from(content[..1024 * 1024].to_vec())).await.expect("write");
    store.sweep().await.expect("sweep");
    upload.write(Bytes::from(content[1024 * 1024..].to_vec())).await.expect("write");
    let finished = finish(upload, &content).await.expect("an upload survives a sweep");
    assert_content(store, &stored.id, b"abc").await;
    assert_content(store, &finished.id, &content).await;
    remove(store, &stored.id).await;
    remove(store, &finished.id).await;
}

/// A URL names the artifact by its id; the user's file name is not in it.
pub async fn urls_hold_no_user_bytes(store: &dyn ArtifactStore) {
    let stored = put(store, "Needle<script>.html", &[b"abc"]).await;
    let url = store.url(&stored.id).await.expect("url").url;
    assert!(!url.to_lowercase().contains("needle"), "{url}");
    assert!(url.contains("://"), "{url}");
    remove(store, &stored.id).await;
}

fn new(name: &str) -> NewArtifact {
    let deadline = Instant::now() + PATIENCE;
    NewArtifact::new("conformance", name, MediaType::OCTET_STREAM, deadline).expect("random numbers")
}

async fn begin(store: &dyn ArtifactStore, name: &str) -> Box<dyn Upload> {
    store.begin(new(name)).await.expect("begin")
}

async fn put(store: &dyn ArtifactStore, name: &str, pieces: &[&[u8]]) -> StoredArtifact {
    let mut upload = begin(store, name).await;
    for piece in pieces {
        upload.write(Bytes::copy_from_slice(piece)).await.expect("write");
    }
    finish(upload, &pieces.concat()).await.expect("finish")
}

async fn finish(upload: Box<dyn Upload>, content: &[u8]) -> Result<StoredArtifact, StoreError> {
    let expected = Expected { size: content.len() as u64, sha256: Some(Sha256Digest::of(content)) };
    upload.finish(expected).await
}

async fn remove(store: &dyn ArtifactStore, id: &ArtifactId) {
    store.remove(id).await.expect("remove");
}

async fn assert_not_found(store: &dyn ArtifactStore, id: &ArtifactId) {
    let error = store.metadata(id).await.expect_err("nothing may be visible under this id");
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    match store.open(id).await {
        // A store that serves its own URLs does not look.
        Ok(None) => {}
        Ok(Some(_)) => panic!("content is visible under an id that was not finished"),
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::NotFound),
    }
}

async fn assert_content(store: &dyn ArtifactStore, id: &ArtifactId, expected: &[u8]) {
    let metadata = store.metadata(id).await.expect("metadata");
    assert_eq!((metadata.size, metadata.sha256), (expected.len() as u64, Sha256Digest::of(expected)));
    if let Some(mut content) = store.open(id).await.expect("open") {
        let mut bytes = Vec::new();
        content.body.read_to_end(&mut bytes).await.expect("read");
        assert!(bytes == expected, "content differs ({} bytes)", bytes.len());
        assert_eq!(content.metadata, metadata);
    }
}

/// Bytes that repeat at no power of two, so that a lost or doubled block is noticed.
fn pattern(size: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(size).collect()
}
