//! How much the cache holds, and what goes when it is to be smaller. Blocking code.
//!
//! A layer is *used* when it is found for a skill; that sets the time of its manifest. What was used within
//! [`IN_USE`] may be mounted in a living sandbox, and stays; so does what is being built, whose key is locked.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{cache::try_lock, content};

/// Longer than any sandbox lives.
pub(crate) const IN_USE: Duration = Duration::from_secs(2 * 3600);

/// What a cache holds, or what was removed from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// How many layers.
    pub layers: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
}

/// Which layers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Those that were not used for this long, and longer than any sandbox lives.
    Unused(Duration),
    /// All of them, also those that living sandboxes may have.
    All,
}

struct Cached {
    directory: PathBuf,
    unused: Duration,
}

/// What the cache at this place holds. None at a place where there is none.
///
/// # Errors
/// It cannot be read.
pub fn cache_use(cache: &Path) -> io::Result<CacheUse> {
    Ok(sum(&list(cache)?))
}

/// Removes layers, whoever may have made them read-only, and gives what was removed.
///
/// # Errors
/// One of them cannot be removed.
pub fn prune_cache(cache: &Path, prune: Prune) -> io::Result<CacheUse> {
    let mut removed = CacheUse::default();
    for cached in list(cache)? {
        if let Prune::Unused(time) = prune
            && cached.unused < time.max(IN_USE)
        {
            continue;
        }
        let key = cached.directory.file_name().unwrap_or_default();
        // Whoever builds it now has it in a moment.
        let Some(_lock) = try_lock(cache, key)? else { continue };
        removed.layers += 1;
        removed.bytes += content::size(&cached.directory);
        content::remove(&cached.directory)?;
    }
    Ok(removed)
}

fn sum(layers: &[Cached]) -> CacheUse {
    let bytes = layers.iter().map(|cached| content::size(&cached.directory)).sum();
    CacheUse { layers: layers.len() as u64, bytes }
}

fn list(cache: &Path) -> io::Result<Vec<Cached>> {
    let entries = match fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let now = SystemTime::now();
    let mut layers = Vec::new();
    for entry in entries {
        let directory = entry?.path();
        // Locks and builds are hidden; what has no manifest is no layer.
        let Ok(manifest) = fs::metadata(directory.join("manifest.json")) else { continue };
        let used = manifest.modified().unwrap_or(now);
        layers.push(Cached { unused: now.duration_since(used).unwrap_or_default(), directory });
    }
    layers.sort_unstable_by(|a, b| a.directory.cmp(&b.directory));
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn layer(cache: &Path, key: &str, unused: Duration) {
        let content = cache.join(key).join("content/pkg");
        fs::create_dir_all(&content).unwrap();
        fs::create_dir_all(cache.join(".locks")).unwrap();
        fs::write(content.join("a.py"), "x").unwrap();
        fs::set_permissions(content, fs::Permissions::from_mode(0o555)).unwrap();
        let manifest = fs::File::create(cache.join(key).join("manifest.json")).unwrap();
        manifest.set_modified(SystemTime::now() - unused).unwrap();
    }

    #[test]
    fn unused_layers_go_and_those_that_may_be_mounted_stay() {
        let cache = tempfile::tempdir().unwrap();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for (key, unused) in [("old", 48), ("older", 100), ("recent", 3), ("mounted", 1)] {
            layer(cache.path(), key, hours(unused));
        }
        assert_eq!(cache_use(cache.path()).unwrap().layers, 4);
        let kept = |cache: &Path| {
            let mut keys: Vec<String> = list(cache)
                .unwrap()
                .iter()
                .map(|cached| cached.directory.file_name().unwrap().to_string_lossy().into_owned())
                .collect();
            keys.sort();
            keys
        };
        let removed = prune_cache(cache.path(), Prune::Unused(hours(24))).unwrap();
        assert!(removed.layers == 2 && removed.bytes > 0, "{removed:?}");
        assert_eq!(kept(cache.path()), ["mounted", "recent"]);
        prune_cache(cache.path(), Prune::Unused(Duration::ZERO)).unwrap();
        assert_eq!(kept(cache.path()), ["mounted"]);
        // One that is being built has its lock held.
        let lock = fs::File::create(cache.path().join(".locks/mounted")).unwrap();
        lock.lock().unwrap();
        assert_eq!(prune_cache(cache.path(), Prune::All).unwrap().layers, 0);
        drop(lock);
        assert_eq!(prune_cache(cache.path(), Prune::All).unwrap().layers, 1);
        assert_eq!(cache_use(cache.path()).unwrap(), CacheUse::default());
        assert_eq!(cache_use(&cache.path().join("none")).unwrap(), CacheUse::default());
    }
}
