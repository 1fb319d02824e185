//! A runner of our own, for commands that make one call: the same path as over HTTP, from the runner on.
//!
//! Here stand the choices that differ from a server's: output files go to the user's disk and may be large, whatever the
//! machine lacks is allowed and named, artifacts live in a directory of their own until they are delivered.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use artifact::{Durability, LocalOptions, LocalStore, LocalUrls, OutputLimits};
use driver_native::{NativeDriver, RootDirectory, Wall};
use layer::{Platform, Policy, PythonVersion, Resolver, Target};
use runner::{CallAnswer, CallRequest, Config, Declaration, Parts, Runner, TriggerId};
use sandbox::{CheckState, Driver};
use skill::Catalog;
use tokio_util::sync::CancellationToken;

use crate::{
    args::{DriverName, Global},
    docker,
    error::{CommandError, Kind},
    images,
    interrupt::Interrupt,
    output::Output,
    progress::Progress,
    scratch::Scratch,
};

const GIB: u64 = 1 << 30;
/// The longest time that a program may be given: what fits the tools' milliseconds.
const LONGEST: Duration = Duration::from_secs(49 * 24 * 3600);

/// A runner that lives as long as a command.
#[derive(Debug)]
pub(crate) struct OneRunner {
    pub(crate) runner: Runner,
    pub(crate) store: LocalStore,
    slugs: Vec<String>,
    /// Removed with everything in it.
    _scratch: Scratch,
}

impl OneRunner {
    /// Starts what one call needs.
    pub(crate) async fn start(
        global: &Global,
        catalog: (Catalog, Vec<String>),
        output: Output,
        interrupt: &Interrupt,
    ) -> Result<Self, CommandError> {
        Self::start_with(config(), global, catalog, output, interrupt).await
    }

    /// The same for a runner that behaves otherwise.
    pub(crate) async fn start_with(
        config: Config,
        global: &Global,
        (catalog, slugs): (Catalog, Vec<String>),
        output: Output,
        interrupt: &Interrupt,
    ) -> Result<Self, CommandError> {
        let cache = layer_cache()?;
        let (driver, target) = start_driver(global, &cache, &Wall::ALL).await?;
        interrupt.ends(&driver);
        // What a killed command left. This one can do its work all the same.
        if let Err(error) = driver.reap().await {
            tracing::warn!(error = %error, "what a killed command left could not be removed");
        }
        note_missing_walls(&*driver, output).await;
        let calls = cache.with_file_name("calls");
        let scratch = Scratch::create(&calls)
            .map_err(|error| CommandError::io(format!("cannot write below `{}`", calls.display()), &error))?;
        let store = LocalStore::open(LocalOptions {
            directory: scratch.path().join("store"),
            urls: LocalUrls::File,
            durability: Durability::Rename,
        })?;
        let layers = Arc::new(resolver(global, cache, target));
        let parts = Parts { driver, store: Arc::new(store.clone()), catalog, layers };
        Ok(Self { runner: Runner::new(parts, config), store, slugs, _scratch: scratch })
    }

    /// Makes the dependencies of the skills ready, with progress.
    pub(crate) async fn prepare(&self, output: Output) -> Result<(), CommandError> {
        for slug in &self.slugs {
            let progress = Progress::new(output);
            self.runner.prepare_skill(slug, &|event| progress.step(event)).await?;
        }
        Ok(())
    }

    /// Makes one call in a trigger of its own, and ends the trigger. `cancel` stops the call. A declaration without skills
    /// has all that the runner was started with.
    pub(crate) async fn call(
        &self,
        trigger: &TriggerId,
        declaration: Declaration,
        request: CallRequest,
        cancel: &CancellationToken,
    ) -> Result<Arc<CallAnswer>, CommandError> {
        let mut declaration = declaration;
        if declaration.skills.is_empty() {
            declaration.skills.clone_from(&self.slugs);
        }
        self.runner.declare(trigger, declaration).await?;
        let id = request.call.tool_call_id.clone();
        let mut pending = self.runner.submit(trigger, request).await?;
        let answer = tokio::select! {
            answer = &mut pending => answer,
            () = cancel.cancelled() => {
                self.runner.cancel(trigger, &id).await;
                pending.await
            }
        };
        self.runner.end(trigger).await;
        Ok(answer?)
    }

    /// Ends it; nothing of it is left.
    pub(crate) async fn stop(self) {
        self.runner.shutdown().await;
    }
}

/// A new name for a trigger.
pub(crate) fn trigger() -> Result<TriggerId, CommandError> {
    TriggerId::parse(&format!("trg_{}", uuid::Uuid::now_v7().simple()))
        .map_err(|error| CommandError::of(Kind::Internal, "INTERNAL", &error))
}

/// Starts the driver that the options name. Also says what Python its sandboxes have.
pub(crate) async fn start_driver(
    global: &Global,
    layers: &Path,
    allow_missing: &[Wall],
) -> Result<(Arc<dyn Driver>, Target), CommandError> {
    match global.driver {
        DriverName::Native => {
            let root = global.rootfs.as_deref().map(images::root).transpose()?;
            let target = target(root.as_deref());
            let config = driver_native::Config {
                root: root.map_or(RootDirectory::Host, RootDirectory::Directory),
                layer_roots: vec![layers.to_owned()],
                runtime_directory: None,
                allow_missing: allow_missing.iter().copied().collect(),
                launcher: None,
            };
            let driver = Arc::new(NativeDriver::start(config).await?);
            Ok((driver, target))
        }
        DriverName::Docker => docker::start(global, layers, allow_missing).await,
    }
}

/// One line for all walls that this machine cannot give.
async fn note_missing_walls(driver: &dyn Driver, output: Output) {
    let mut missing = Vec::new();
    for check in driver.checks().await {
        if check.state != CheckState::Good
            && let Some(wall) = Wall::ALL.iter().find(|wall| check.name == wall_check(**wall))
        {
            missing.push(wall.name());
        }
    }
    if !missing.is_empty() {
        let missing = missing.join(", ");
        output.warn(&format!("sandboxes here lack {missing}; `skillbox doctor` says why and what to do"));
    }
}

/// What the driver calls its check of a wall.
fn wall_check(wall: Wall) -> String {
    format!("wall `{}`", wall.name())
}

/// Where dependency layers are kept.
pub(crate) fn layer_cache() -> Result<PathBuf, CommandError> {
    let variables: Vec<_> = std::env::vars_os().collect();
    layer::default_cache(&variables).ok_or_else(|| {
        CommandError::new(Kind::Configuration, "NO_CACHE", "there is no place for the cache")
            .hint("set XDG_CACHE_HOME or HOME to an absolute path")
    })
}

/// What makes dependencies ready, for the Python that sandboxes have.
pub(crate) fn resolver(global: &Global, cache: PathBuf, target: Target) -> Resolver {
    let mut config = layer::Config::new(cache, target);
    if global.offline {
        config.policy = Policy::Offline;
    }
    Resolver::new(config)
}

/// The Python of a sandbox: the first of its search path.
///
/// Where there is none, no Python skill runs, and it does not matter what its dependencies would be made for.
fn target(rootfs: Option<&Path>) -> Target {
    const PLACES: [&str; 2] = ["usr/local/bin/python3", "usr/bin/python3"];
    let unknown = |version| Target { version, interpreter: None, platform: Platform::host() };
    let none = PythonVersion { major: 3, minor: 11, patch: None };
    match rootfs {
        None => PLACES
            .iter()
            .map(|place| Path::new("/").join(place))
            .find(|path| path.exists())
            .and_then(|path| Target::of_interpreter(&path).ok())
            .unwrap_or_else(|| unknown(none)),
        // Not an interpreter of this host: its version is in the name that the link leads to.
        Some(root) => PLACES
            .iter()
            .find_map(|place| {
                let link = std::fs::read_link(root.join(place)).ok()?;
                link.file_name()?.to_str()?.strip_prefix("python")?.parse().ok()
            })
            .map_or_else(|| unknown(none), unknown),
    }
}

/// A runner for one call of the user's own.
fn config() -> Config {
    let mut config = Config::standard();
    config.output =
        OutputLimits { file_bytes: GIB, files: 10_000, total_bytes: 4 * GIB, listed_left_out: 100 };
    config.input_bytes = GIB;
    // It is the user's machine: what the user asks for is what there may be.
    config.most_limits.memory_bytes = u64::MAX;
    config.most_lifetime = LONGEST;
    config.sandboxes = 1;
    // Whoever gives up a call here has had enough of it.
    config.abandoned = Duration::ZERO;
    config.kept_bytes = 4 * 1024 * 1024 * 1024;
    config.drain = Duration::from_secs(1);
    config
}

/// A runner for tests of skills. What a platform would refuse, such as an output file that is too large, is refused here,
/// too; only memory and time are the author's to choose.
pub(crate) fn config_of_tests(jobs: usize) -> Config {
    let mut config = Config::standard();
    config.most_limits.memory_bytes = u64::MAX;
    config.most_lifetime = LONGEST;
    config.sandboxes = jobs;
    config.abandoned = Duration::ZERO;
    config.drain = Duration::from_secs(1);
    // Nobody asks for the results of a case again.
    config.ended_retention = Duration::from_millis(1);
    config
}

/// A path that stays right when somebody changes directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    std::path::absolute(path)
        .map_err(|error| CommandError::io(format!("`{}` is no path", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_of_a_root_directory_is_told_by_its_link() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("usr/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink("python3.12", bin.join("python3")).unwrap();
        let target = target(Some(root.path()));
        assert_eq!((target.version.to_string().as_str(), target.interpreter), ("3.12", None));
    }

    #[test]
    fn triggers_have_names_of_their_own() {
        assert_ne!(trigger().unwrap(), trigger().unwrap());
    }
}
