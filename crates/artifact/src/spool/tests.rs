//! The spool against the contract, against a store that fails, and against kills.

use std::{fs, path::Path};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    conformance,
    media_type::MediaType,
    memory::MemoryStore,
    store::{Expected, Sha256Digest},
};

fn open(directory: &Path, most_bytes: u64, inner: &MemoryStore) -> SpooledStore {
    let options =
        SpoolOptions { directory: directory.to_owned(), most_bytes, patience: Duration::from_secs(5) };
    SpooledStore::open(options, Arc::new(inner.clone())).unwrap()
}

fn spooled() -> (TempDir, MemoryStore, SpooledStore) {
    let (directory, inner) = (TempDir::new().unwrap(), MemoryStore::new());
    let store = open(directory.path(), 64 << 20, &inner);
    (directory, inner, store)
}

async fn put(store: &SpooledStore, size: usize) -> (ArtifactId, Result<StoredArtifact, StoreError>) {
    let content = vec![b'x'; size];
    let deadline = Instant::now() + Duration::from_secs(30);
    let new = NewArtifact::new("t", "a.txt", MediaType::PLAIN_TEXT, deadline).unwrap();
    let id = new.id.clone();
    let mut upload = store.begin(new).await.unwrap();
    for piece in content.chunks(300 * 1024) {
        if let Err(error) = upload.write(Bytes::copy_from_slice(piece)).await {
            return (id, Err(error));
        }
    }
    let expected = Expected { size: size as u64, sha256: Some(Sha256Digest::of(&content)) };
    (id, upload.finish(expected).await)
}

/// All files of the spool, but for locks.
fn files(directory: &Path) -> Vec<PathBuf> {
    let places =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = places.flat_map(|place| fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|path| !path.ends_with("lock")).collect()
}

async fn arrive(store: &SpooledStore, id: &ArtifactId) -> StoredArtifact {
    let arrival = store.arrival(id).expect("it waits");
    timeout(Duration::from_secs(1000), arrival.wait()).await.expect("in time").expect("it arrives")
}

/// As `kill -9` does: nothing is finished or removed, but the locks are free. Only files tell what was.
fn killed(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for place in
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        let to = copy.path().join(place.file_name().unwrap());
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms_and_leaves_nothing() {
    let (directory, _inner, store) = spooled();
    conformance::all(&store).await;
    assert_eq!(files(directory.path()), Vec::<PathBuf>::new());
    let backlog = store.backlog().unwrap();
    assert_eq!((backlog.bytes, backlog.not_kept, backlog.waiting_files), (0, 0, 0));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_uploads_go_straight_to_the_store() {
    let (directory, inner) = (TempDir::new().unwrap(), MemoryStore::new());
    let store = open(directory.path(), 2 << 20, &inner);
    conformance::all(&store).await;
    let (id, stored) = put(&store, 5 << 20).await;
    assert_eq!(stored.unwrap().id, id);
    assert!(store.backlog().unwrap().not_kept > 0);
    inner.fail_with(Some(StoreErrorKind::Unavailable));
    // Nobody keeps it, so nobody may say so.
    assert_eq!(put(&store, 5 << 20).await.1.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(put(&store, 1 << 20).await.1.unwrap_err().kind(), StoreErrorKind::Deferred);
    assert_eq!(put(&store, 1 << 20).await.1.unwrap_err().kind(), StoreErrorKind::Deferred);
    assert_eq!(put(&store, 1).await.1.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(store.backlog().unwrap().bytes, 2 << 20);
    store.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_failing_store_does_not_take_arrives_later_under_its_id() {
    let (directory, inner, store) = spooled();
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Refused, StoreErrorKind::Full] {
        inner.fail_with(Some(kind));
        let mut ids = Vec::new();
        for size in [0, 10, 3 << 20] {
            let (id, stored) = put(&store, size).await;
            assert_eq!(stored.unwrap_err().kind(), StoreErrorKind::Deferred);
            assert_eq!(store.metadata(&id).await.unwrap_err().kind(), StoreErrorKind::Deferred);
            ids.push((id, size));
        }
        assert_eq!(store.backlog().unwrap().waiting_files, 3);
        inner.fail_with(None);
        for (id, size) in ids {
            if store.arrival(&id).is_some() {
                assert_eq!(arrive(&store, &id).await.size, size as u64);
            }
            assert_eq!(store.metadata(&id).await.unwrap().size, size as u64);
        }
    }
    let backlog = store.backlog().unwrap();
    assert_eq!((backlog.delivered_later, backlog.waiting_files, backlog.bytes), (9, 0, 0));
    assert!(backlog.failed_uploads >= 9);
    assert_eq!((inner.count(), files(directory.path())), (9, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_sent_once() {
    let (directory, inner, store) = spooled();
    inner.fail_with(Some(StoreErrorKind::Unavailable));
    let (small, _) = put(&store, 10).await;
    let (large, _) = put(&store, 3 << 20).await;
    let (torn, _) = put(&store, 20).await;
    // In the middle of an upload: content, and no manifest.
    let deadline = Instant::now() + Duration::from_secs(30);
    let new = NewArtifact::new("t", "a.txt", MediaType::PLAIN_TEXT, deadline).unwrap();
    let mut unfinished = store.begin(new).await.unwrap();
    unfinished.write(Bytes::from(vec![0; 2 << 20])).await.unwrap();
    let (left, again) = (killed(directory.path()), killed(directory.path()));
    drop(unfinished);
    store.close().await;
    let of_torn = files(left.path()).into_iter().find(|path| path.ends_with(torn.as_str())).unwrap();
    fs::write(of_torn, "half").unwrap();
    assert_eq!(files(left.path()).len(), 7);

    inner.fail_with(None);
    let next = open(left.path(), 64 << 20, &inner);
    assert_eq!(next.sweep().await.unwrap().uploads, 2, "the torn one and the unfinished one");
    for (id, size) in [(&small, 10), (&large, 3 << 20)] {
        // It may have arrived before we could ask.
        if next.arrival(id).is_some() {
            arrive(&next, id).await;
        }
        assert_eq!(next.metadata(id).await.unwrap().size, size);
    }
    assert_eq!(next.metadata(&torn).await.unwrap_err().kind(), StoreErrorKind::NotFound);
    next.close().await;
    assert_eq!((inner.count(), files(left.path())), (2, Vec::new()));

    // Killed between the store's answer and its own note of it: what is there is found there.
    let created = inner.metadata(&small).await.unwrap().created;
    inner.fail_with(Some(StoreErrorKind::Unavailable));
    let last = open(again.path(), 64 << 20, &inner);
    last.sweep().await.unwrap_or_default();
    for id in [&small, &large] {
        if last.arrival(id).is_some() {
            arrive(&last, id).await;
        }
    }
    assert_eq!((inner.count(), inner.metadata(&small).await.unwrap().created), (2, created));
    last.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_living_are_left_alone() {
    let (directory, inner, store) = spooled();
    inner.fail_with(Some(StoreErrorKind::Unavailable));
    let (id, _) = put(&store, 10).await;
    let other = open(directory.path(), 64 << 20, &inner);
    other.sweep().await.unwrap();
    assert!(other.arrival(&id).is_none() && store.arrival(&id).is_some());
    assert_eq!(files(directory.path()).len(), 2);
    other.close().await;
    store.close().await;
}

#[tokio::test(start_paused = true)]
async fn damage_on_the_disk_is_noticed_and_stored_nowhere() {
    let (directory, inner, store) = spooled();
    inner.fail_with(Some(StoreErrorKind::Unavailable));
    let (id, _) = put(&store, 10).await;
    let content = files(directory.path()).into_iter().find(|path| path.ends_with(id.as_str())).unwrap();
    fs::write(content, "0123456789").unwrap();
    let arrival = store.arrival(&id).unwrap();
    inner.fail_with(None);
    assert!(timeout(Duration::from_secs(1000), arrival.wait()).await.unwrap().is_none());
    assert_eq!(store.backlog().unwrap().lost, 1);
    assert_eq!((inner.count(), files(directory.path())), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_does_not_come_back() {
    let (directory, inner, store) = spooled();
    inner.fail_with(Some(StoreErrorKind::Unavailable));
    let (gone, _) = put(&store, 10).await;
    let (kept, _) = put(&store, 10).await;
    store.remove(&gone).await.unwrap();
    inner.fail_with(None);
    arrive(&store, &kept).await;
    assert_eq!(store.metadata(&gone).await.unwrap_err().kind(), StoreErrorKind::NotFound);
    assert_eq!((inner.count(), files(directory.path())), (1, Vec::new()));
}

/// A store that takes bytes and never answers; it counts what it was given and has to hold.
#[derive(Debug, Default)]
struct Hanging {
    inner: MemoryStore,
    holds: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

#[derive(Debug)]
struct HangingUpload {
    id: ArtifactId,
    bytes: u64,
    holds: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

impl Drop for HangingUpload {
    fn drop(&mut self) {
        self.holds.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[async_trait]
impl Upload for HangingUpload {
    fn id(&self) -> &ArtifactId {
        &self.id
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        let holds = self.holds.fetch_add(bytes.len() as u64, Ordering::SeqCst) + bytes.len() as u64;
        self.most.fetch_max(holds, Ordering::SeqCst);
        Ok(())
    }

    async fn finish(self: Box<Self>, _expected: Expected) -> Result<StoredArtifact, StoreError> {
        std::future::pending().await
    }

    async fn abort(self: Box<Self>) {}
}

#[async_trait]
impl ArtifactStore for Hanging {
    async fn begin(&self, new: NewArtifact) -> Result<Box<dyn Upload>, StoreError> {
        let (holds, most) = (Arc::clone(&self.holds), Arc::clone(&self.most));
        Ok(Box::new(HangingUpload { id: new.id, bytes: 0, holds, most }))
    }

    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError> {
        self.inner.url(id).await
    }

    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError> {
        self.inner.metadata(id).await
    }

    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError> {
        self.inner.open(id).await
    }

    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError> {
        self.inner.remove(id).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        std::future::pending().await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_hangs_costs_neither_memory_nor_the_time_of_calls() {
    for room in [128 << 20, 4 << 20] {
        let (directory, hanging) = (TempDir::new().unwrap(), Hanging::default());
        let most = Arc::clone(&hanging.most);
        let patience = Duration::from_secs(15);
        let options = SpoolOptions { directory: directory.path().to_owned(), most_bytes: room, patience };
        let store = SpooledStore::open(options, Arc::new(hanging)).unwrap();
        let begin = Instant::now();
        let mut puts = tokio::task::JoinSet::new();
        for n in 0..60 {
            let store = store.clone();
            puts.spawn(async move { put(&store, if n % 10 == 0 { 3 << 20 } else { 900 << 10 }).await });
        }
        let ended = puts.join_all().await;
        let took = begin.elapsed();
        assert!(took <= Duration::from_secs(22), "{took:?}");
        let kept = ended
            .iter()
            .filter(|(_, ended)| ended.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Deferred));
        let kept = kept.count();
        assert!(room < 100 << 20 || kept == 60, "{kept} of 60 with {room}");
        // Sixteen small ones, three large ones, and three that pass the spool by.
        let most = most.load(Ordering::SeqCst);
        assert!(most <= (16 + 3 * 3 + 3 * 3) << 20, "{most}");
        // Known to be away, it keeps nobody waiting.
        let begin = Instant::now();
        put(&store, 10).await.1.unwrap_err();
        assert!(begin.elapsed() <= Duration::from_secs(7), "{:?}", begin.elapsed());
        drop(store);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_as_soon_as_the_store_is_back() {
    let (_directory, inner, store) = spooled();
    for by_check in [true, false] {
        inner.fail_with(Some(StoreErrorKind::Unavailable));
        let (waiting, _) = put(&store, 10).await;
        // Long enough for the longest pauses.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        inner.fail_with(None);
        let begin = Instant::now();
        if by_check {
            store.check().await.unwrap();
        } else {
            put(&store, 10).await.1.unwrap();
        }
        arrive_or_there(&store, &waiting).await;
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    }
}

async fn arrive_or_there(store: &SpooledStore, id: &ArtifactId) {
    if store.arrival(id).is_some() {
        arrive(store, id).await;
    }
    assert_eq!(store.metadata(id).await.unwrap().size, 10);
}
