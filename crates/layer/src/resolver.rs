//! From requirements to a layer: look in the cache, else build once.
//!
//! ```text
//!   parse and refuse → key → manifest in the cache? ── yes ──────────────────────────────→ Layer
//!                                    │ no                                                   ↑
//!                                    └→ lock of the key → manifest? → resolve → unpack → check → compile → seal → rename
//! ```
//!
//! A hit does no more than read the manifest. A build is one future: dropping it kills the tool, removes what
//! was built so far and frees the lock, in this order.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tokio::{task, time};

use crate::{
    cache::{Build, Cache, FORMAT, Manifest},
    commands,
    compile::{Compiler, compile},
    content, environment,
    error::LayerError,
    index::{Mirror, Offers, Settings},
    lock::{apply_hashes, render},
    python::{PythonVersion, Target},
    requirement::Requirement,
    requirements::{Requirements, parse},
    room::Room,
    tool::{FindError, Tool, ToolChoice},
};

/// What a build may hold for a time, as a multiple of the layer: pip keeps the wheels, unpacks into a temporary
/// directory, and moves.
const BUILD_FACTOR: u64 = 3;

/// And beside that, so that small limits are met by the check of the content, not by the tool's own files.
const BUILD_EXTRA: u64 = 64 * 1024 * 1024;

/// How layers are made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where layers are kept; see [`default_cache`].
    pub cache: PathBuf,
    /// For which Python.
    pub target: Target,
    /// Whether the index may be asked.
    pub policy: Policy,
    /// Which tool installs.
    pub tool: ToolChoice,
    /// Most bytes of a layer's content.
    pub size_limit: u64,
    /// Longest time for one layer, waiting for others included.
    pub timeout: Duration,
    /// The operator's variables: where the index is, how it is reached, and on which path pip and uv are. The tools see
    /// none of them.
    pub environment: Vec<(OsString, OsString)>,
    /// An executable that gives [`ROOM_COMMAND`](crate::ROOM_COMMAND) to [`run_room`](crate::run_room); this process's own
    /// if there is none.
    pub launcher: Option<PathBuf>,
}

impl Config {
    /// The defaults: any tool, online, 1 GiB, 5 minutes, the environment and the executable of this process.
    pub fn new(cache: PathBuf, target: Target) -> Self {
        Self {
            cache,
            target,
            policy: Policy::Online,
            tool: ToolChoice::Any,
            size_limit: 1024 * 1024 * 1024,
            timeout: Duration::from_secs(300),
            environment: env::vars_os().collect(),
            launcher: None,
        }
    }
}

/// Whether a missing layer may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Ask the package index.
    Online,
    /// Use the cache only.
    Offline,
}

/// The dependencies of a skill, ready to be mounted read-only and to be Python's `PYTHONUSERBASE`: what is there comes
/// after the standard library and before the image's packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// sha256 of the content, in hex. Equal content has an equal digest.
    pub digest: String,
    /// The directory to be mounted: what Python calls a user base, with packages in [`Layer::site`] and commands in `bin`.
    pub directory: PathBuf,
    /// Where the packages are in it: `lib/python3.11/site-packages`.
    pub site: String,
    /// What is in it, sorted by name, dependencies of dependencies included.
    pub packages: Vec<Package>,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Normalized name.
    pub name: String,
    /// Version.
    pub version: String,
}

/// How far a build is. Nothing is reported for a layer that is in the cache.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What begins now.
    pub step: Step,
    /// With what: the requirements while waiting and resolving, then each package as `name==version`.
    pub packages: &'a [String],
}

/// The steps of a build, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Another task or process builds the same layer.
    Waiting,
    /// Versions are chosen.
    Resolving,
    /// Wheels are downloaded and unpacked.
    Installing,
    /// Byte code is made.
    Compiling,
    /// The layer is in the cache.
    Ready,
}

/// Called at the start of each step, from the task that resolves; it should return at once.
pub type Progress<'a> = dyn Fn(Event<'_>) + Send + Sync + 'a;

/// Where layers are kept by default: `$XDG_CACHE_HOME/skillbox/layers`, else `~/.cache/skillbox/layers`. Nothing
/// when the environment names no home.
pub fn default_cache(variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    let absolute =
        |name| environment::get(variables, name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("skillbox").join("layers"))
}

/// Makes layers, or finds them.
#[derive(Debug)]
pub struct Resolver {
    config: Config,
    cache: Cache,
    settings: Settings,
}

impl Resolver {
    /// A resolver on a cache directory, which need not exist. Removes what dead builds left there.
    pub fn new(config: Config) -> Self {
        let cache = Cache::new(config.cache.clone());
        cache.sweep();
        let settings = Settings::of(&config.environment);
        Self { config, cache, settings }
    }

    /// The layer for these requirements: from the cache, or made now. `None` when nothing is required. Without a compiler
    /// the layer has no byte code.
    pub async fn resolve(
        &self,
        requirements: &Requirements,
        compiler: Option<&dyn Compiler>,
        progress: &Progress<'_>,
    ) -> Result<Option<Layer>, LayerError> {
        if let Some(requires) = &requirements.requires_python
            && !self.config.target.version.satisfies(requires)?
        {
            let have = self.config.target.version.to_string();
            return Err(LayerError::PythonMismatch { requires: requires.clone(), have });
        }
        let requirements = parse(requirements)?;
        if requirements.is_empty() {
            return Ok(None);
        }
        let key = self.key(&requirements);
        if let Some(layer) = self.cached(&key)? {
            return Ok(Some(layer));
        }
        if self.config.policy == Policy::Offline {
            return Err(LayerError::NotCached { missing: labels(&requirements) });
        }
        let after = self.config.timeout;
        // Outlives the build, so that a build that is late can say what it waited for.
        let mirror = OnceLock::new();
        time::timeout(after, self.build(&key, &requirements, compiler, &mirror, progress))
            .await
            .unwrap_or_else(|_| {
                let package = mirror.get().and_then(|mirror: &Arc<Mirror>| mirror.pending());
                Err(LayerError::TimedOut { after, package })
            })
            .map(Some)
    }

    /// What a layer depends on: also where its packages come from, since the same name may be another's elsewhere. The
    /// tool is no part of it: both give what the requirements ask for.
    fn key(&self, requirements: &[Requirement]) -> String {
        let mut hash = Sha256::new();
        let Target { version, platform, .. } = &self.config.target;
        hash.update(format!("skillbox layer {FORMAT}\npython {version}\nplatform {platform}\n"));
        for name in self.settings.names() {
            hash.update(format!("index {name}\n"));
        }
        for requirement in requirements {
            hash.update(format!("{requirement} {}\n", requirement.hashes.join(" ")));
        }
        HEXLOWER.encode(&hash.finalize())
    }

    fn cached(&self, key: &str) -> Result<Option<Layer>, LayerError> {
        Ok(self.cache.read(key)?.map(|(manifest, directory)| {
            let packages = manifest.packages.into_iter();
            let packages = packages.map(|package| Package { name: package.name, version: package.version });
            let site = site(self.config.target.version);
            Layer { digest: manifest.digest, directory, site, packages: packages.collect() }
        }))
    }

    async fn build(
        &self,
        key: &str,
        requirements: &[Requirement],
        compiler: Option<&dyn Compiler>,
        mirror: &OnceLock<Arc<Mirror>>,
        progress: &Progress<'_>,
    ) -> Result<Layer, LayerError> {
        let wanted = labels(requirements);
        self.cache.prepare()?;
        let lock =
            self.cache.lock(key, || progress(Event { step: Step::Waiting, packages: &wanted })).await?;
        // Whoever held the lock has probably made it.
        if let Some(layer) = self.cached(key)? {
            return Ok(layer);
        }
        let build = self.cache.start(key, &lock)?;
        let site = site(self.config.target.version);
        let room = self.room(&build)?;
        let _once = mirror.set(Arc::clone(&room.mirror)).is_err();
        let target = &self.config.target;

        progress(Event { step: Step::Resolving, packages: &wanted });
        let tool = match Tool::find(self.config.tool, target, &self.config.environment, &room).await {
            Ok(tool) => tool,
            Err(FindError::None(tried)) => return Err(LayerError::NoTool { wanted, tried }),
            Err(FindError::Layer(error)) => return Err(error),
        };
        let lines: Vec<String> = requirements.iter().map(ToString::to_string).collect();
        let mut packages = tool.lock(&lines, target, &room).await?;
        apply_hashes(&mut packages, requirements)?;

        let names: Vec<String> =
            packages.iter().map(|package| format!("{}=={}", package.name, package.version)).collect();
        progress(Event { step: Step::Installing, packages: &names });
        if !packages.is_empty() {
            tool.install(&render(&packages), &build.content().join(&site), target, &room).await?;
        }
        let (content, limit) = (build.content(), self.config.size_limit);
        let inspected = blocking(move || {
            // First that no link leads anywhere: what follows writes with the runner's own rights.
            content::inspect(&content, limit)?;
            commands::arrange(&content, &content.join(site))?;
            content::inspect(&content, limit)
        })
        .await?;

        progress(Event { step: Step::Compiling, packages: &names });
        let compiled = match compiler {
            Some(compiler) => compile(compiler, &build.content(), target.version).await? == 0,
            None => false,
        };
        let content = build.content();
        blocking(move || content::seal(&content)).await?;

        let manifest = Manifest {
            format: FORMAT,
            key: key.to_owned(),
            digest: inspected.digest,
            bytes: inspected.bytes,
            python: target.version.to_string(),
            platform: target.platform.to_string(),
            tool: tool.name.clone(),
            index: self.settings.names(),
            compiled,
            made: jiff::Timestamp::now().to_string(),
            requirements: lines,
            packages,
        };
        let cache = self.cache.clone();
        // Build and lock go with the closure: were this future dropped now, both would last until the rename is done.
        blocking(move || {
            let published = cache.publish(&build, &manifest);
            drop(build);
            drop(lock);
            published
        })
        .await?;
        progress(Event { step: Step::Ready, packages: &names });
        self.cached(key)?.ok_or_else(|| LayerError::Io {
            action: "read back",
            path: self.config.cache.join(key),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    fn room(&self, build: &Build) -> Result<Room, LayerError> {
        let mut environment = environment::for_tools(&self.config.environment);
        for name in ["HOME", "TMPDIR"] {
            environment.push((name.into(), build.temporary().into()));
        }
        // pip needs the wheel for its hash where the index tells none.
        let mirror = Mirror::new(self.settings.clone(), build.wheels(), Offers::Hashed);
        Ok(Room {
            launcher: self.config.launcher.clone().unwrap_or_else(|| "/proc/self/exe".into()),
            environment,
            directory: build.empty(),
            work: build.work(),
            reads: Mutex::default(),
            writes: vec![build.content(), build.temporary(), build.work()],
            watched: build.directory().to_owned(),
            allowance: self.config.size_limit.saturating_mul(BUILD_FACTOR).saturating_add(BUILD_EXTRA),
            limit: self.config.size_limit,
            timeout: self.config.timeout,
            mirror: Arc::new(mirror.map_err(|reason| LayerError::Settings { reason })?),
            shared: Mutex::default(),
        })
    }
}

fn site(version: PythonVersion) -> String {
    format!("lib/python{version}/site-packages")
}

fn labels(requirements: &[Requirement]) -> Vec<String> {
    requirements.iter().map(|requirement| requirement.label() + &requirement.specifiers.join(",")).collect()
}

/// Work on files, away from the threads that serve tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LayerError> + Send + 'static,
) -> Result<T, LayerError> {
    match task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => {
            let source = std::io::Error::other(error);
            Err(LayerError::Io { action: "work on", path: PathBuf::new(), source })
        }
    }
}
