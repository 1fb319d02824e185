//! The runner's side: a [`NativeDriver`], which asks its launcher for sandboxes.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sandbox::{
    Check, Created, Driver, DriverError, DriverErrorKind, Handle, Layer, PendingMemory, Reaped, SandboxSpec,
};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::instance::Instance;
use crate::keeper::{self, Keeper};
use crate::link::{self, Link};
use crate::wire::{CgroupLimits, Ids, NewSandbox, RootEntry, Start, Wall};
use crate::{checks, ids, root, sys};

/// Name of this driver.
const NAME: &str = "native";

/// How to make sandboxes.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the root directory of sandboxes is.
    pub root: RootDirectory,
    /// Directories of the host below which layers may be; made where they are missing.
    pub layer_roots: Vec<PathBuf>,
    /// Where the driver keeps what it needs to find its remains after a crash. `None`: `/run/skillbox` for root, else
    /// below `XDG_RUNTIME_DIR`, else below the temporary directory.
    pub runtime_directory: Option<PathBuf>,
    /// The walls whose absence the operator allows.
    pub allow_missing: BTreeSet<Wall>,
    /// The executable that becomes the launcher under [`LAUNCHER_COMMAND`]. `None`: this one.
    pub launcher: Option<PathBuf>,
}

/// What the root directory of sandboxes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootDirectory {
    /// The host's `/usr`, and an `/etc` of our own making.
    Host,
    /// A directory with a whole root file system.
    Directory(PathBuf),
}

/// Sandboxes from Linux namespaces. See the crate's documentation.
pub struct NativeDriver {
    config: Config,
    ids: Ids,
    instance: Arc<Instance>,
    launcher: Arc<Keeper>,
    /// The task that keeps a launcher running.
    keeping: tokio::sync::Mutex<JoinSet<()>>,
}

impl fmt::Debug for NativeDriver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NativeDriver").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl NativeDriver {
    /// Starts the driver and its launcher; reaps nothing yet.
    ///
    /// # Errors
    /// A kernel or a user that cannot make sandboxes, or a wall that is missing and not allowed to be.
    pub async fn start(config: Config) -> Result<Self, DriverError> {
        let unavailable = |message: &str, error: io::Error| {
            DriverError::with_source(DriverErrorKind::Unavailable, message.to_owned(), error)
        };
        let directory = config.runtime_directory.clone().unwrap_or_else(checks::runtime_directory);
        let mut instance = Instance::claim(&directory)
            .map_err(|error| unavailable("no directory for the driver's state", error))?;
        let ids = ids::available(instance.number());
        let cgroups = instance.prepare_cgroups();
        refuse_missing_walls(&config, &ids, cgroups.as_ref().err())?;
        for root in &config.layer_roots {
            std::fs::create_dir_all(root).map_err(|error| unavailable("no directory for layers", error))?;
        }
        let start = Start {
            root: root_entries(&config.root)?,
            layer_roots: config.layer_roots.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
            cgroups: cgroups.unwrap_or(crate::wire::Cgroups::None),
            ids,
            mount_point: instance.mount_point().to_string_lossy().into_owned(),
        };
        let launcher = Keeper::start(config.launcher.clone(), start).await?;
        let (instance, launcher) = (Arc::new(instance), Arc::new(launcher));
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper::keep(Arc::clone(&launcher), Arc::clone(&instance)));
        Ok(Self { config, ids, instance, launcher, keeping: tokio::sync::Mutex::new(keeping) })
    }

    /// Index of the layer root that a layer is below, and its path from there.
    fn locate(&self, layer: &Layer) -> Result<(usize, String, String), DriverError> {
        let place = self.config.layer_roots.iter().enumerate().find_map(|(number, root)| {
            let below = layer.directory.strip_prefix(root).ok()?.to_str()?;
            Some((number, below.to_owned(), layer.digest.clone()))
        });
        let named_well =
            !layer.digest.is_empty() && layer.digest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match place {
            Some(place) if named_well && is_plain(Path::new(&place.1)) => Ok(place),
            _ => Err(DriverError::new(
                DriverErrorKind::NotFound,
                format!("layer `{}` is not below a directory of layers", layer.directory.display()),
            )),
        }
    }
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn refuse_missing_walls(
    config: &Config,
    ids: &Ids,
    cgroup_error: Option<&String>,
) -> Result<(), DriverError> {
    let mut missing = Vec::new();
    if let Some(error) = cgroup_error {
        missing.push((Wall::Cgroup, error.clone()));
    }
    if *ids == Ids::Single {
        missing.push((
            Wall::Uids,
            "this user has no subordinate user ids (see subuid(5)) and is not root".to_owned(),
        ));
    }
    if sys::landlock_abi() == 0 {
        missing.push((Wall::Landlock, "the kernel has no Landlock".to_owned()));
    }
    match missing.into_iter().find(|(wall, _)| !config.allow_missing.contains(wall)) {
        None => Ok(()),
        Some((wall, why)) => Err(DriverError::new(
            DriverErrorKind::Wall,
            format!("the wall `{}` cannot be built: {why}; `--allow-missing {0}` goes without", wall.name()),
        )),
    }
}

fn root_entries(directory: &RootDirectory) -> Result<Vec<RootEntry>, DriverError> {
    let entries = match directory {
        RootDirectory::Host => root::host(),
        RootDirectory::Directory(path) => root::directory(path),
    };
    entries.map_err(|error| {
        DriverError::with_source(
            DriverErrorKind::NotFound,
            "the root directory for sandboxes cannot be read",
            error,
        )
    })
}

#[async_trait]
impl Driver for NativeDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Created, DriverError> {
        let layers = spec.layers.iter().map(|layer| self.locate(layer)).collect::<Result<_, _>>()?;
        let socket_failed = |error: io::Error| {
            DriverError::with_source(DriverErrorKind::System, "no socket for the sandbox", error)
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(socket_failed)?;
        ours.set_nonblocking(true).map_err(socket_failed)?;
        let stream = UnixStream::from_std(ours).map_err(socket_failed)?;
        let link = self.launcher.link();
        let number = link.number();
        // From here on a dropped future still removes the sandbox.
        let handle = Box::new(NativeHandle { link: Arc::clone(&link), number, destroyed: false });
        let limits = &spec.limits;
        let sandbox = NewSandbox {
            cgroup: CgroupLimits {
                memory_bytes: limits.memory_bytes,
                cpu_millis: limits.cpu_millis,
                processes: limits.processes,
            },
            disk_bytes: limits.disk_bytes,
            disk_inodes: limits.disk_inodes,
            shm_bytes: limits.shm_bytes,
            layers,
        };
        link.create(number, sandbox, &theirs.into()).await?;
        Ok(Created {
            stream: Box::new(stream),
            handle,
            uid: sandbox::layout::USER_ID,
            shares_uid: self.ids == Ids::Single,
            allow_missing_landlock: self.config.allow_missing.contains(&Wall::Landlock),
        })
    }

    async fn reap(&self) -> Result<Reaped, DriverError> {
        self.instance.reap_others().await.map_err(|error| {
            DriverError::with_source(
                DriverErrorKind::System,
                "what dead runners left could not be removed",
                error,
            )
        })
    }

    async fn checks(&self) -> Vec<Check> {
        let mut checks = checks::all(&self.config, &self.ids, self.instance.cgroup_state());
        if self.launcher.link().is_closed() {
            checks.insert(0, checks::launcher_ended());
        }
        checks
    }

    async fn shutdown(&self) -> Result<(), DriverError> {
        self.launcher.end().map_err(|error| {
            DriverError::with_source(DriverErrorKind::System, "ending the launcher", error)
        })?;
        while self.keeping.lock().await.join_next().await.is_some() {}
        self.instance.release().await;
        Ok(())
    }
}

/// The hold on one sandbox of the launcher.
struct NativeHandle {
    link: Arc<Link>,
    number: u64,
    destroyed: bool,
}

impl fmt::Debug for NativeHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NativeHandle").field("number", &self.number).finish_non_exhaustive()
    }
}

#[async_trait]
impl Handle for NativeHandle {
    fn memory(&self, _: Duration) -> PendingMemory {
        let asked = self.link.ask_memory(self.number);
        Box::pin(async move { asked?.await.map_err(|_| link::launcher_gone()) })
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), DriverError> {
        self.link.destroy(self.number).await?;
        self.destroyed = true;
        Ok(())
    }
}

impl Drop for NativeHandle {
    fn drop(&mut self) {
        if !self.destroyed {
            self.link.forget(self.number);
        }
    }
}
