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
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tokio::{task, time};

use crate::{
    cache::{Build, Cache, FORMAT, Manifest},
    content, environment,
    error::LayerError,
    lock::{apply_hashes, render},
    process::{Room, run},
    python::Target,
    requirement::Requirement,
    requirements::{Requirements, parse},
    tool::{Tool, ToolChoice},
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
    /// The variables of which those that pip and uv need are passed on; the rest is never seen by them.
    pub environment: Vec<(OsString, OsString)>,
}

impl Config {
    /// The defaults: any tool, online, 1 GiB, 10 minutes, the environment of this process.
    pub fn new(cache: PathBuf, target: Target) -> Self {
        Self {
            cache,
            target,
            policy: Policy::Online,
            tool: ToolChoice::Any,
            size_limit: 1024 * 1024 * 1024,
            timeout: Duration::from_secs(600),
            environment: env::vars_os().collect(),
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

/// The dependencies of a skill, ready to be mounted read-only and put on `PYTHONPATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// sha256 of the content, in hex. Equal content has an equal digest.
    pub digest: String,
    /// The directory with the packages.
    pub directory: PathBuf,
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
}

impl Resolver {
    /// A resolver on a cache directory, which need not exist. Removes what dead builds left there.
    pub fn new(config: Config) -> Self {
        let cache = Cache::new(config.cache.clone());
        cache.sweep();
        Self { config, cache }
    }

    /// The layer for these requirements: from the cache, or made now. `None` when nothing is required.
    pub async fn resolve(
        &self,
        requirements: &Requirements,
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
        time::timeout(after, self.build(&key, &requirements, progress))
            .await
            .unwrap_or(Err(LayerError::TimedOut { after }))
            .map(Some)
    }

    /// What a layer depends on. The tool is no part of it: both give what the requirements ask for.
    fn key(&self, requirements: &[Requirement]) -> String {
        let mut hash = Sha256::new();
        let Target { version, platform, .. } = &self.config.target;
        hash.update(format!("skillbox layer {FORMAT}\npython {version}\nplatform {platform}\n"));
        for requirement in requirements {
            hash.update(format!("{requirement} {}\n", requirement.hashes.join(" ")));
        }
        HEXLOWER.encode(&hash.finalize())
    }

    fn cached(&self, key: &str) -> Result<Option<Layer>, LayerError> {
        Ok(self.cache.read(key)?.map(|(manifest, directory)| {
            let packages = manifest.packages.into_iter();
            let packages = packages.map(|package| Package { name: package.name, version: package.version });
            Layer { digest: manifest.digest, directory, packages: packages.collect() }
        }))
    }

    async fn build(
        &self,
        key: &str,
        requirements: &[Requirement],
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
        let room = self.room(&build);
        let target = &self.config.target;

        progress(Event { step: Step::Resolving, packages: &wanted });
        let tool = match Tool::find(self.config.tool, target, &room).await {
            Ok(tool) => tool,
            Err(tried) => return Err(LayerError::NoTool { wanted, tried }),
        };
        let lines: Vec<String> = requirements.iter().map(ToString::to_string).collect();
        let mut packages = tool.lock(&lines, target, &room).await?;
        apply_hashes(&mut packages, requirements)?;

        let names: Vec<String> =
            packages.iter().map(|package| format!("{}=={}", package.name, package.version)).collect();
        progress(Event { step: Step::Installing, packages: &names });
        if !packages.is_empty() {
            tool.install(&render(&packages), &build.content(), target, &room).await?;
        }
        let (content, limit) = (build.content(), self.config.size_limit);
        let inspected = blocking(move || content::inspect(&content, limit)).await?;

        progress(Event { step: Step::Compiling, packages: &names });
        if let Some(interpreter) = tool.interpreter() {
            compile(interpreter, &build.content(), &room).await?;
        }
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

    fn room(&self, build: &Build) -> Room {
        let mut environment = environment::for_tools(&self.config.environment);
        environment.push(("TMPDIR".into(), build.temporary().into()));
        Room {
            environment,
            directory: build.empty(),
            watched: build.directory().to_owned(),
            allowance: self.config.size_limit.saturating_mul(BUILD_FACTOR).saturating_add(BUILD_EXTRA),
            limit: self.config.size_limit,
        }
    }
}

/// Makes byte code beside the sources, so that a sandbox, where all of this is read-only, need not.
///
/// Compiling parses and never imports: `-I -S` keeps the working directory, the layer and site packages off the
/// path of the compiling interpreter, so that a package with a module named like one of the standard library is not
/// loaded in its place. Unchecked hashes, because timestamps may change on the way into a sandbox. Files that do not
/// compile are common (templates, tests for other versions) and no failure; without byte code a module still works.
async fn compile(interpreter: &Path, content: &Path, room: &Room) -> Result<(), LayerError> {
    let mut argv: Vec<OsString> = vec![interpreter.into()];
    argv.extend(["-I", "-S", "-m", "compileall", "-q", "-q", "-f", "-j", "0"].map(OsString::from));
    // Without it the byte code would name the build directory of this host.
    argv.extend(["-d", "layer", "--invalidation-mode", "unchecked-hash"].map(OsString::from));
    argv.push(content.into());
    run(&argv, room).await.map(drop)
}

fn labels(requirements: &[Requirement]) -> Vec<String> {
    requirements.iter().map(|requirement| requirement.label() + &requirement.specifiers.join(",")).collect()
}

/// Work on files, away from the threads that serve tasks.
async fn blocking<T: Send + 'static>(
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
