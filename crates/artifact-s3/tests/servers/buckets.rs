//! The store in buckets of real servers: the conformance suite, what networks do, what operators get wrong.

use std::{sync::Arc, time::Duration};

use artifact::{
    ArtifactId, ArtifactStore, Expected, MediaType, NewArtifact, Sha256Digest, SpoolOptions, SpooledStore,
    StoreError, StoreErrorKind, StoredArtifact, conformance,
};
use artifact_s3::{Addressing, Credentials, S3Options, S3Store};
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use crate::{
    proxy::{Fault, Proxy},
    s3::{Access, BUCKET, Garage, S3s},
};

const MIB: usize = 1024 * 1024;

fn options(access: &Access) -> S3Options {
    S3Options {
        location: format!("s3://{BUCKET}/some/prefix").parse().unwrap(),
        endpoint: Some(access.endpoint.clone()),
        public_endpoint: None,
        region: Some(access.region.clone()),
        addressing: Addressing::Automatic,
        credentials: Credentials::Key { id: access.key.clone(), secret: access.secret.clone() },
        link_lifetime: Duration::from_secs(600),
    }
}

async fn store(access: &Access) -> S3Store {
    S3Store::connect(options(access)).await.unwrap()
}

/// A store whose requests go through a proxy.
async fn behind(proxy: &Proxy, access: &Access) -> S3Store {
    store(&Access { endpoint: proxy.endpoint(), ..access.clone() }).await
}

fn new(name: &str, seconds: u64) -> NewArtifact {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    NewArtifact::new("t", name, MediaType::detect(b"a,b", name), deadline).unwrap()
}

/// Bytes that repeat at no power of two.
fn pattern(size: usize) -> Bytes {
    (0..=250_u8).cycle().take(size).collect::<Vec<_>>().into()
}

async fn put(
    store: &dyn ArtifactStore,
    new: NewArtifact,
    content: &Bytes,
) -> Result<StoredArtifact, StoreError> {
    let mut upload = store.begin(new).await?;
    for at in (0..content.len()).step_by(MIB) {
        upload.write(content.slice(at..content.len().min(at + MIB))).await?;
    }
    upload.finish(Expected { size: content.len() as u64, sha256: Some(Sha256Digest::of(content)) }).await
}

async fn has(store: &dyn ArtifactStore, id: &ArtifactId, content: &Bytes) {
    let mut body = store.open(id).await.unwrap().unwrap().body;
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut body, &mut bytes).await.unwrap();
    assert!(bytes == *content, "{} bytes", bytes.len());
}

/// One after the other around the limits between one request and many.
async fn all_sizes(store: &dyn ArtifactStore) {
    for size in [0, 5 * MIB, 16 * MIB, 16 * MIB + 1, 20 * MIB, 33 * MIB + 7] {
        let content = pattern(size);
        let stored = put(store, new("a.csv", 120), &content).await.unwrap();
        has(store, &stored.id, &content).await;
        store.remove(&stored.id).await.unwrap();
    }
    let wrong = Expected { size: 20 * MIB as u64, sha256: Some(Sha256Digest::of(b"other")) };
    let new = new("a.csv", 120);
    let mut upload = store.begin(new.clone()).await.unwrap();
    upload.write(pattern(20 * MIB)).await.unwrap();
    assert_eq!(upload.finish(wrong).await.unwrap_err().kind(), StoreErrorKind::Mismatch);
    assert_eq!(store.metadata(&new.id).await.unwrap_err().kind(), StoreErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3s_conforms() {
    let server = S3s::start();
    let store = store(&server.access).await;
    conformance::all(&store).await;
    all_sizes(&store).await;
    store.close().await;
    assert_eq!(server.keys(), Vec::<String>::new());
    assert!(server.unfinished().is_empty(), "{:?}", server.unfinished());
}

#[tokio::test(flavor = "multi_thread")]
async fn garage_conforms() {
    if !garage() {
        return;
    }
    let server = Garage::start();
    let store = store(&server.access).await;
    conformance::all(&store).await;
    all_sizes(&store).await;
}

fn garage() -> bool {
    if Garage::installed().is_some() {
        return true;
    }
    let required = std::env::var("REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name.trim() == "garage"),
        "REQUIRE names garage, but there is none"
    );
    eprintln!("skipped: no garage: run tests/setup.sh");
    false
}

/// An upload that is started again under its id finds nothing of the first try in its way, nor leaves it there.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_are_found_by_their_id() {
    if !garage() {
        return;
    }
    let server = Garage::start();
    let (dead, next) = (store(&server.access).await, store(&server.access).await);
    let new = new("a.csv", 120);
    let mut upload = dead.begin(new.clone()).await.unwrap();
    upload.write(pattern(17 * MIB)).await.unwrap();
    // As a killed process does: nothing of it runs any more, and nothing was told.
    std::mem::forget(upload);
    assert_eq!(next.sweep().await.unwrap().uploads, 0, "it may belong to a process that lives");
    next.discard(&new.id).await.unwrap();
    let content = pattern(18 * MIB);
    let stored = put(&next, new, &content).await.unwrap();
    has(&next, &stored.id, &content).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_by_itself_is_survived_within_the_call() {
    let server = S3s::start();
    let proxy = Proxy::start(&server.access.endpoint);
    let store = behind(&proxy, &server.access).await;
    for size in [10, 17 * MIB] {
        let content = pattern(size);
        for (fault, times) in [
            (Fault::Status { code: 500, times: 2 }, 2),
            (Fault::Status { code: 503, times: 2 }, 2),
            (Fault::Cut { times: 1 }, 1),
            (Fault::Corrupt { times: 1 }, 1),
            (Fault::LoseAnswer { times: 1 }, 1),
        ] {
            // The first requests of a large upload have no content that could be cut or changed.
            if size > MIB && matches!(fault, Fault::Cut { .. } | Fault::Corrupt { .. }) {
                continue;
            }
            proxy.set(fault);
            let stored = put(&store, new("a.csv", 60), &content).await.unwrap_or_else(|error| {
                panic!("{fault:?}, {size} bytes: {error}: {:?}", std::error::Error::source(&error))
            });
            assert_eq!(proxy.faults(), times, "{fault:?}");
            proxy.set(Fault::None);
            has(&store, &stored.id, &content).await;
            store.remove(&stored.id).await.unwrap();
        }
    }
    store.close().await;
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_is_an_error_in_time() {
    let server = S3s::start();
    let proxy = Proxy::start(&server.access.endpoint);
    let store = behind(&proxy, &server.access).await;
    let content = pattern(100);
    for (fault, kind) in [
        (Fault::Refuse, StoreErrorKind::Unavailable),
        (Fault::Status { code: 503, times: usize::MAX }, StoreErrorKind::Unavailable),
        (Fault::Status { code: 403, times: usize::MAX }, StoreErrorKind::Refused),
        (Fault::Status { code: 507, times: usize::MAX }, StoreErrorKind::Full),
        (Fault::Hang, StoreErrorKind::Unavailable),
        (Fault::Corrupt { times: usize::MAX }, StoreErrorKind::Unavailable),
    ] {
        proxy.set(fault);
        let new = new("a.csv", 3);
        let id = new.id.clone();
        let tried = timeout(Duration::from_secs(8), put(&store, new, &content)).await;
        let error = tried.unwrap_or_else(|_| panic!("{fault:?}: not within its deadline")).unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        proxy.set(Fault::None);
        assert_eq!(store.metadata(&id).await.unwrap_err().kind(), StoreErrorKind::NotFound, "{fault:?}");
    }
}

#[tokio::test]
async fn what_an_operator_got_wrong_is_said_with_what_to_do() {
    let server = S3s::start();
    let right = options(&server.access);
    let wrong_bucket = S3Options { location: "s3://no-such-bucket".parse().unwrap(), ..right.clone() };
    let wrong_key = S3Options {
        credentials: Credentials::Key { id: server.access.key.clone(), secret: "wrong".to_owned() },
        ..right.clone()
    };
    for (options, hint) in [(wrong_bucket, "no-such-bucket"), (wrong_key, "AWS_SECRET_ACCESS_KEY")] {
        let error = S3Store::connect(options).await.unwrap().check().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = S3Options { endpoint: Some(format!("http://{closed}")), ..right.clone() };
    let error = S3Store::connect(nobody).await.unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.hint().unwrap().contains(&closed.to_string()));
    let long = S3Options { link_lifetime: Duration::from_secs(8 * 24 * 3600), ..right.clone() };
    assert_eq!(S3Store::connect(long).await.unwrap_err().kind(), StoreErrorKind::Refused);
    S3Store::connect(right).await.unwrap().check().await.unwrap();
    assert_eq!(server.keys(), Vec::<String>::new(), "a check leaves nothing");
}

/// Links name the endpoint that those who follow them can reach, and nothing of the user.
#[tokio::test]
async fn links_name_the_public_endpoint_and_no_byte_of_the_user() {
    let server = S3s::start();
    let public = Some("https://files.example.com".to_owned());
    let store =
        S3Store::connect(S3Options { public_endpoint: public, ..options(&server.access) }).await.unwrap();
    let stored = put(&store, new("needle.csv", 30), &pattern(3)).await.unwrap();
    let url = store.url(&stored.id).await.unwrap().url;
    assert!(
        url.starts_with(&format!("https://files.example.com/{BUCKET}/some/prefix/{}/", stored.id.group())),
        "{url}"
    );
    assert!(url.contains("X-Amz-Expires=600") && !url.contains("needle"), "{url}");
}

/// The spool in front of the bucket, over a whole outage.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_loses_nothing_and_doubles_nothing() {
    let server = S3s::start();
    let proxy = Proxy::start(&server.access.endpoint);
    let directory = tempfile::tempdir().unwrap();
    let inner: Arc<dyn ArtifactStore> = Arc::new(behind(&proxy, &server.access).await);
    let options = SpoolOptions {
        directory: directory.path().to_owned(),
        most_bytes: 1 << 30,
        patience: Duration::from_secs(2),
    };
    let store = SpooledStore::open(options, inner).unwrap();
    proxy.set(Fault::Refuse);
    let contents = [pattern(10), pattern(3 * MIB), pattern(17 * MIB + 1)];
    let mut arrivals = Vec::new();
    for content in &contents {
        let new = new("a.csv", 30);
        let id = new.id.clone();
        let error = put(&store, new, content).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Deferred, "{error}");
        assert_eq!(store.metadata(&id).await.unwrap_err().kind(), StoreErrorKind::Deferred);
        arrivals.push((id.clone(), store.arrival(&id).unwrap(), content));
    }
    assert_eq!(store.backlog().unwrap().waiting_files, 3);
    // The answer to the first attempt that gets through is lost: it must not be stored a second time.
    proxy.set(Fault::LoseAnswer { times: 1 });
    for (id, arrival, content) in arrivals {
        let stored = timeout(Duration::from_secs(60), arrival.wait()).await.unwrap().unwrap();
        assert_eq!((&stored.id, stored.size), (&id, content.len() as u64));
        has(&store, &id, content).await;
    }
    let backlog = store.backlog().unwrap();
    assert_eq!((backlog.waiting_files, backlog.delivered_later, backlog.bytes), (0, 3, 0));
    store.close().await;
    // Three objects, and the record of the one that came in parts.
    assert_eq!(server.keys().len(), 4, "{:?}", server.keys());
    assert!(server.unfinished().is_empty(), "{:?}", server.unfinished());
}
