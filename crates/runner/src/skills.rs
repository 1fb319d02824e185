//! The skills that triggers may enable, and what sandboxes need of them.
//!
//! Each skill is held in memory as it was when it came: a trigger reads, runs and is told of one version, whatever becomes
//! of the folder meanwhile. Readers get snapshots and never wait; installing, removing and refreshing touch the disk and run
//! one after the other on a blocking thread. What a sandbox needs of a skill (a tar, a dependency layer) is made once for each content.

use std::{
    collections::{BTreeMap, HashMap},
    io::Cursor,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use layer::{LayerError, Progress, Requirements, Resolver, Source};
use skill::{Catalog, CatalogError, Digest, Installed, Origin, ReadError, Skill};
use tokio::task::spawn_blocking;

use crate::fault::chain;

/// The skills of a runner. Clones share them.
#[derive(Clone, Debug)]
pub struct Skills {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    catalog: Mutex<Catalog>,
    snapshot: RwLock<Arc<BTreeMap<String, SkillEntry>>>,
    prepared: Mutex<HashMap<Digest, Arc<Prepared>>>,
    layers: Arc<Resolver>,
}

/// A skill as it is now.
#[derive(Clone, Debug)]
pub struct SkillEntry {
    /// The skill; it stays readable for whoever holds it, also when another takes its place.
    pub skill: Arc<Skill>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it hides a built-in one.
    pub shadows: bool,
    /// What it was made from.
    source: Arc<Skill>,
}

/// What has changed on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Slugs of skills that are new, changed, or gone.
    pub changed: Vec<String>,
    /// What is not used now, and why.
    pub problems: Vec<String>,
}

/// What a sandbox needs of a skill.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its files, to be unpacked into its directory.
    pub(crate) tar: Bytes,
    /// Its dependencies, where it has some.
    pub(crate) layer: Option<layer::Layer>,
}

/// Why a skill cannot be made ready for a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There is no such skill.
    #[error("skill `{}` is not known", slug.escape_debug())]
    Unknown {
        /// As asked for.
        slug: String,
    },
    /// Its files cannot be read.
    #[error("the files of skill `{slug}` cannot be read")]
    Files {
        /// The skill.
        slug: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// Its dependencies cannot be had.
    #[error("the dependencies of skill `{slug}` cannot be made ready")]
    Dependencies {
        /// The skill.
        slug: String,
        /// Why; says whose fault it is and what to do.
        #[source]
        source: LayerError,
    },
}

impl Skills {
    pub(crate) fn new(catalog: Catalog, layers: Arc<Resolver>) -> Self {
        let snapshot = RwLock::new(Arc::new(snapshot(&catalog, &BTreeMap::new())));
        let shared = Shared { catalog: Mutex::new(catalog), snapshot, prepared: Mutex::default(), layers };
        Self { shared: Arc::new(shared) }
    }

    /// The skill with this slug.
    #[must_use]
    pub fn get(&self, slug: &str) -> Option<SkillEntry> {
        self.all().get(slug).cloned()
    }

    /// All skills, sorted by slug.
    #[must_use]
    pub fn list(&self) -> Vec<SkillEntry> {
        self.all().values().cloned().collect()
    }

    /// Installs a bundle. Its dependencies are made ready by [`crate::Runner::prepare_skill`], or by the first call.
    ///
    /// # Errors
    /// The bundle is refused, or the directory of uploaded skills cannot be written.
    pub async fn install(&self, bundle: Bytes) -> Result<Installed, CatalogError> {
        self.change(move |catalog| catalog.install(Cursor::new(bundle))).await
    }

    /// Removes an uploaded skill; `false` where there is none. A built-in one that it hid shows again.
    ///
    /// # Errors
    /// The directory of uploaded skills cannot be written.
    pub async fn remove(&self, slug: &str) -> Result<bool, CatalogError> {
        let slug = slug.to_owned();
        self.change(move |catalog| catalog.remove(&slug)).await
    }

    /// Puts other skills in the place of all that there are. Triggers that use one of those keep it.
    pub async fn replace(&self, catalog: Catalog) {
        let replaced = self.change(move |known| {
            *known = catalog;
            Ok(())
        });
        // Nothing here touches a disk but the digests, whose errors come again when a skill is made ready.
        _ = replaced.await;
    }

    /// Takes up what has changed on the disk, for triggers that come from now on.
    ///
    /// # Errors
    /// The directory of uploaded skills cannot be read. What was known stays.
    pub async fn refresh(&self) -> Result<Refreshed, CatalogError> {
        self.change(|catalog| {
            let changed = catalog.refresh()?.iter().map(ToString::to_string).collect();
            let problems = catalog.problems().iter().map(|problem| chain(problem)).collect();
            Ok(Refreshed { changed, problems })
        })
        .await
    }

    /// Makes a skill ready, or finds that it is.
    pub(crate) async fn prepare(
        &self,
        skill: &Arc<Skill>,
        progress: &Progress<'_>,
    ) -> Result<Arc<Prepared>, PrepareError> {
        let slug = || skill.name().to_string();
        let reading = Arc::clone(skill);
        let known = self.shared.clone();
        // The first digest of a skill reads all of its files.
        let found = blocking(move || {
            let digest = reading.digest()?;
            let prepared = lock(&known.prepared).get(&digest).cloned();
            let tar = if prepared.is_some() { None } else { Some(Bytes::from_owner(Tar(reading.tar()?))) };
            Ok::<_, ReadError>((digest, prepared, tar))
        });
        let (digest, prepared, tar) =
            found.await.map_err(|source| PrepareError::Files { slug: slug(), source })?;
        if let Some(prepared) = prepared {
            return Ok(prepared);
        }
        let layer = self
            .shared
            .layers
            .resolve(&requirements(skill), progress)
            .await
            .map_err(|source| PrepareError::Dependencies { slug: slug(), source })?;
        let prepared = Arc::new(Prepared { tar: tar.unwrap_or_default(), layer });
        lock(&self.shared.prepared).insert(digest, Arc::clone(&prepared));
        Ok(prepared)
    }

    fn all(&self) -> Arc<BTreeMap<String, SkillEntry>> {
        self.shared.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let mut catalog = lock(&shared.catalog);
            let changed = change(&mut catalog)?;
            let before = shared.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone();
            let snapshot = snapshot(&catalog, &before);
            // Contents that no skill has any more are forgotten; triggers that use them hold them.
            let digests: Vec<Digest> =
                snapshot.values().filter_map(|entry| entry.skill.digest().ok()).collect();
            lock(&shared.prepared).retain(|digest, _| digests.contains(digest));
            *shared.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
            Ok(changed)
        })
        .await
    }
}

/// What a skill says it needs, in the resolver's words.
fn requirements(skill: &Skill) -> Requirements {
    let declared = skill.requirements();
    let files = declared.files.iter().map(|file| Source { name: file.path.clone(), text: file.text.clone() });
    let scripts = declared
        .scripts
        .iter()
        .map(|script| Source { name: script.path.clone(), text: script.dependencies.join("\n") });
    let python: Vec<&str> =
        declared.scripts.iter().filter_map(|script| script.requires_python.as_deref()).collect();
    Requirements {
        sources: files.chain(scripts).collect(),
        requires_python: (!python.is_empty()).then(|| python.join(",")),
    }
}

/// A tar that a skill holds as well.
struct Tar(Arc<Vec<u8>>);

impl AsRef<[u8]> for Tar {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What the catalog has, each skill as it is now, or as it was if it is the same as before.
fn snapshot(catalog: &Catalog, before: &BTreeMap<String, SkillEntry>) -> BTreeMap<String, SkillEntry> {
    let hold = |source: &Arc<Skill>| {
        let known = before.get(source.name().as_str());
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.source, source)) {
            return Arc::clone(&known.skill);
        }
        source.snapshot().map(Arc::new).unwrap_or_else(|error| {
            // Whoever uses it is told of the same fault, if it is still there.
            tracing::warn!(
                skill.name = source.name().as_str(),
                error = chain(&error),
                "a skill cannot be read whole"
            );
            Arc::clone(source)
        })
    };
    let entry = |entry: skill::CatalogEntry<'_>| SkillEntry {
        skill: hold(entry.skill),
        origin: entry.origin,
        shadows: entry.shadows.is_some(),
        source: Arc::clone(entry.skill),
    };
    catalog.entries().map(|found| (found.skill.name().to_string(), entry(found))).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind these locks is whole between two operations, also where one of them panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work on the disk, away from the threads that serve tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going away, and this task with it.
        Err(_) => std::future::pending().await,
    }
}
