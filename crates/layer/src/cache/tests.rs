//! Publishing, damage, leftovers of dead builds, and who may own a cache.

use super::*;

const KEY: &str = "0123456789abcdef";

/// Sealed layers cannot be removed in the ordinary way, except by root.
struct Root(tempfile::TempDir);

impl Drop for Root {
    fn drop(&mut self) {
        content::remove(self.0.path()).unwrap();
    }
}

fn cache() -> (Root, Cache) {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::new(root.path().join("a/layers"));
    cache.prepare().unwrap();
    (Root(root), cache)
}

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        key: KEY.to_owned(),
        digest: "d".to_owned(),
        bytes: 1,
        python: "3.11".to_owned(),
        platform: "x".to_owned(),
        tool: "uv 1".to_owned(),
        index: vec!["https://index.example/simple/".to_owned()],
        compiled: true,
        made: "2026-01-01T00:00:00Z".to_owned(),
        requirements: vec!["six".to_owned()],
        packages: Vec::new(),
    }
}

async fn publish(cache: &Cache) {
    let lock = cache.lock(KEY, || {}).await.unwrap();
    let build = cache.start(KEY, &lock).unwrap();
    fs::write(build.content().join("six.py"), "").unwrap();
    content::seal(&build.content()).unwrap();
    cache.publish(&build, &manifest()).unwrap();
}

fn building(cache: &Cache) -> usize {
    fs::read_dir(cache.root.join(".building")).unwrap().count()
}

#[tokio::test]
async fn a_published_layer_is_read_back_and_leaves_no_build() {
    let (_root, cache) = cache();
    assert!(cache.read(KEY).unwrap().is_none());
    publish(&cache).await;
    let (read, directory) = cache.read(KEY).unwrap().unwrap();
    assert_eq!(read, manifest());
    assert!(directory.join("six.py").is_file());
    assert_eq!(building(&cache), 0);
    assert!(
        fs::read_to_string(cache.root.join("CACHEDIR.TAG"))
            .unwrap()
            .starts_with("Signature: 8a477f597d28d17")
    );
}

#[tokio::test]
async fn a_damaged_layer_counts_as_missing_and_is_replaced() {
    let (_root, cache) = cache();
    publish(&cache).await;
    for text in ["", "{", "{\"format\": 0}"] {
        let manifest = cache.root.join(KEY).join("manifest.json");
        fs::set_permissions(&manifest, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&manifest, text).unwrap();
        assert!(cache.read(KEY).unwrap().is_none(), "{text}");
        publish(&cache).await;
        assert!(cache.read(KEY).unwrap().is_some());
    }
    content::remove(&cache.root.join(KEY).join("content")).unwrap();
    assert!(cache.read(KEY).unwrap().is_none());
    assert_eq!(building(&cache), 0);
}

#[tokio::test]
async fn only_leftovers_of_dead_builds_are_swept() {
    let (_root, cache) = cache();
    let lock = cache.lock(KEY, || {}).await.unwrap();
    let live = cache.start(KEY, &lock).unwrap();
    let dead = cache.root.join(".building/fedcba.x1");
    fs::create_dir_all(dead.join("layer/content/pkg")).unwrap();
    content::seal(&dead.join("layer/content")).unwrap();
    cache.sweep();
    assert!(live.content().is_dir() && !dead.exists());
    let path = live.directory().to_owned();
    drop(live);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_held_lock_is_waited_for() {
    let (_root, cache) = cache();
    let held = cache.lock(KEY, || panic!("nobody holds it")).await.unwrap();
    let waited = std::cell::Cell::new(false);
    let second = async {
        let lock = cache.lock(KEY, || waited.set(true)).await.unwrap();
        drop(lock);
    };
    let release = async {
        while !waited.get() {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    tokio::join!(second, release);
    assert!(waited.get());
}

#[tokio::test]
async fn a_cache_that_others_can_write_is_refused() {
    let (_root, cache) = cache();
    publish(&cache).await;
    fs::set_permissions(&cache.root, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(cache.read(KEY), Err(LayerError::UnsafeCache { .. })));
    assert!(matches!(cache.prepare(), Err(LayerError::UnsafeCache { .. })));
}
