//! The local store against the contract, against kills, and against a second process on the same directory.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::{
    conformance,
    media_type::MediaType,
    store::{Expected, Sha256Digest, StoredArtifact},
};

fn options(directory: &Path) -> LocalOptions {
    LocalOptions {
        directory: directory.to_owned(),
        urls: LocalUrls::Signed { base_url: "http://127.0.0.1:1".into(), lifetime: Duration::from_secs(60) },
        durability: Durability::Rename,
    }
}

fn store() -> (TempDir, LocalStore) {
    let directory = TempDir::new().unwrap();
    let store = LocalStore::open(options(directory.path())).unwrap();
    (directory, store)
}

fn new(file_name: &str, media_type: MediaType) -> NewArtifact {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    NewArtifact::new("t", file_name, media_type, deadline).unwrap()
}

async fn put(store: &LocalStore, content: &[u8]) -> Result<StoredArtifact, StoreError> {
    let mut upload = store.begin(new("a.txt", MediaType::PLAIN_TEXT)).await?;
    upload.write(Bytes::copy_from_slice(content)).await?;
    let expected = Expected { size: content.len() as u64, sha256: Some(Sha256Digest::of(content)) };
    upload.finish(expected).await
}

/// All files below a directory, but for locks and the key.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if !path.ends_with("lock") && !path.ends_with("url-key") {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn it_conforms_and_leaves_nothing() {
    let (directory, store) = store();
    conformance::all(&store).await;
    drop(store);
    assert_eq!(files(directory.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn it_conforms_with_fsync_and_file_urls() {
    let directory = TempDir::new().unwrap();
    let store = LocalStore::open(LocalOptions {
        urls: LocalUrls::File,
        durability: Durability::Fsync,
        ..options(&directory.path().join("with space"))
    })
    .unwrap();
    conformance::all(&store).await;
    let stored = put(&store, b"abc").await.unwrap();
    let url = store.url(&stored.id).await.unwrap().url;
    let path = url.strip_prefix("file://").unwrap().replace("%20", " ");
    assert_eq!(std::fs::read(path).unwrap(), b"abc");
    assert!(store.signed_urls().is_none());
}

#[tokio::test]
async fn only_the_owner_can_read() {
    let (directory, store) = store();
    let stored = put(&store, b"abc").await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.path().join("url-key")), 0o600);
    for file in files(directory.path()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    for path in
        [store.inner.shard(&stored.id), store.inner.artifacts.clone(), store.inner.instance.directory.clone()]
    {
        assert_eq!(mode(&path), 0o700, "{}", path.display());
    }
}

#[tokio::test]
async fn links_and_artifacts_survive_a_restart() {
    let (directory, store) = store();
    let stored = put(&store, b"abc").await.unwrap();
    let url = store.url(&stored.id).await.unwrap().url;
    drop(store);
    let store = LocalStore::open(options(directory.path())).unwrap();
    let (path, query) = url.strip_prefix("http://127.0.0.1:1").unwrap().split_once('?').unwrap();
    let id = store.signed_urls().unwrap().verify(path, query, SystemTime::now()).unwrap();
    assert_eq!(id, stored.id);
    assert_eq!(store.metadata(&id).await.unwrap().sha256, Sha256Digest::of(b"abc"));
}

/// Puts the files of a process that was killed where it would have left them.
#[tokio::test]
async fn a_sweep_removes_what_a_killed_process_left() {
    let (directory, store) = store();
    let kept = put(&store, b"kept").await.unwrap();
    let dead = store.inner.incoming.join("dead");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("lock"), b"").unwrap();
    // Killed while it uploaded.
    let half = ArtifactId::new("t").unwrap();
    std::fs::write(dead.join(half.as_str()), b"half").unwrap();
    // Killed between metadata and rename.
    let torn = ArtifactId::new("t").unwrap();
    std::fs::write(dead.join(torn.as_str()), b"torn").unwrap();
    std::fs::create_dir_all(store.inner.shard(&torn)).unwrap();
    std::fs::write(store.inner.sidecar(&torn), b"{}").unwrap();
    // Killed before its lock.
    std::fs::create_dir(store.inner.incoming.join("stillborn")).unwrap();

    assert_eq!(store.sweep().await.unwrap(), Swept { uploads: 2 });
    assert_eq!(store.sweep().await.unwrap(), Swept::default());
    assert_eq!(files(directory.path()).len(), 2, "content and metadata of what was kept");
    assert_eq!(store.metadata(&kept.id).await.unwrap().size, 4);
    assert_eq!(store.metadata(&torn).await.unwrap_err().kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_second_store_on_the_directory_does_not_sweep_the_first() {
    let (directory, first) = store();
    let second = LocalStore::open(options(directory.path())).unwrap();
    let mut upload = first.begin(new("a", MediaType::OCTET_STREAM)).await.unwrap();
    let content = vec![7_u8; 3 << 20];
    upload.write(Bytes::from(content.clone())).await.unwrap();
    assert_eq!(second.sweep().await.unwrap(), Swept::default());
    let expected = Expected { size: content.len() as u64, sha256: None };
    let stored = upload.finish(expected).await.unwrap();
    assert_eq!(second.metadata(&stored.id).await.unwrap().sha256, Sha256Digest::of(&content));
}

#[tokio::test]
async fn damage_on_the_disk_is_noticed() {
    let (_directory, store) = store();
    let stored = put(&store, b"abc").await.unwrap();
    std::fs::write(store.inner.content(&stored.id), b"ab").unwrap();
    assert_eq!(store.open(&stored.id).await.unwrap_err().kind(), StoreErrorKind::Mismatch);
    let stored = put(&store, b"abc").await.unwrap();
    std::fs::write(store.inner.sidecar(&stored.id), b"{").unwrap();
    assert_eq!(store.metadata(&stored.id).await.unwrap_err().kind(), StoreErrorKind::Mismatch);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_an_error_that_names_it() {
    let (_directory, store) = store();
    std::fs::remove_dir_all(&store.inner.instance.directory).unwrap();
    let error = store.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("incoming"), "{error}");
    for content in [&b"small"[..], &vec![0; 3 << 20]] {
        assert!(put(&store, content).await.is_err());
    }
    assert!(
        std::fs::read_dir(&store.inner.artifacts)
            .unwrap()
            .all(|shard| { std::fs::read_dir(shard.unwrap().path()).unwrap().next().is_none() })
    );
}

#[test]
fn a_damaged_key_is_refused_and_not_replaced() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("url-key"), "not a key").unwrap();
    let error = LocalStore::open(options(directory.path())).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert_eq!(std::fs::read(directory.path().join("url-key")).unwrap(), b"not a key");
}

/// A stream must not gather in memory: pieces that the store has let go of are counted.
#[tokio::test]
async fn a_large_stream_takes_bounded_memory() {
    static HELD: AtomicU64 = AtomicU64::new(0);
    struct Piece(Vec<u8>);
    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Piece {
        fn drop(&mut self) {
            HELD.fetch_sub(self.0.len() as u64, Ordering::Relaxed);
        }
    }
    const PIECE: usize = 128 * 1024;
    let (_directory, store) = store();
    let mut upload = store.begin(new("a", MediaType::OCTET_STREAM)).await.unwrap();
    let mut hash = Sha256::new();
    for n in 0..512_u32 {
        let piece = vec![n.to_le_bytes()[0]; PIECE];
        hash.update(&piece);
        let held = HELD.fetch_add(PIECE as u64, Ordering::Relaxed) + PIECE as u64;
        assert!(held <= 4 << 20, "{held} bytes are held");
        upload.write(Bytes::from_owner(Piece(piece))).await.unwrap();
    }
    let sha256 = Sha256Digest::from_bytes(hash.finalize().into());
    let expected = Expected { size: 512 * PIECE as u64, sha256: Some(sha256) };
    let stored = upload.finish(expected).await.unwrap();
    assert_eq!(stored.sha256, sha256);
    assert_eq!(HELD.load(Ordering::Relaxed), 0);
}

/// Loose bounds, many times what is measured: they catch a store that syncs, or that hashes byte by byte.
#[tokio::test]
async fn small_files_are_cheap() {
    let (_directory, store) = store();
    put(&store, b"first").await.unwrap();
    let start = Instant::now();
    for _ in 0..200 {
        put(&store, &[b'x'; 100]).await.unwrap();
    }
    let each = start.elapsed() / 200;
    assert!(each < Duration::from_millis(20), "{each:?} a file");
    println!("{each:?} a small file");
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many_or_they_are_too_old() {
    let (directory, store) = store();
    let mut ids = Vec::new();
    for hours in 0..6_u64 {
        let stored = put(&store, &[b'x'; 1000]).await.unwrap();
        let content = std::fs::File::open(store.inner.content(&stored.id)).unwrap();
        content.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours + 60)).unwrap();
        ids.push(stored.id);
    }
    let usage = |files: u64| Usage { files, bytes: 1000 * files };
    assert_eq!(store.usage().await.unwrap(), Some(usage(6)));
    assert_eq!(store.prune(Retention::default()).await.unwrap(), usage(0));
    let age = Retention { age: Some(Duration::from_secs(4 * 3600)), bytes: None };
    assert_eq!(store.prune(age).await.unwrap(), usage(2));
    let both = Retention { age: Some(Duration::from_secs(4 * 3600)), bytes: Some(2500) };
    assert_eq!(store.prune(both).await.unwrap(), usage(2));
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(store.metadata(id).await.is_ok(), n < 2, "{n}");
    }
    assert_eq!(files(directory.path()).len(), 4, "two with their metadata, and nothing else");
}
