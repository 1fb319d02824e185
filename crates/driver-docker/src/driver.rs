//! [`DockerDriver`]: from a specification to a running container with a stream, and its end.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use sandbox::{
    Check, Created, Driver, DriverError, DriverErrorKind, Handle, Limits, PendingMemory, Reaped, SandboxSpec,
    layout,
};
use tokio::sync::{RwLock, oneshot};

use crate::address::Address;
use crate::answer::{failed, is_missing};
use crate::audit::Subject;
use crate::container::{self, Common};
use crate::counters::{self, Counters};
use crate::daemon::{Daemon, Hold};
use crate::image::{self, Image};
use crate::layers::Layers;
use crate::owner::{Labels, Owner};
use crate::podman::{self, Podman};
use crate::stream::Attached;
use crate::{Wall, audit, checks, seccomp, sweep};

/// Name of this driver.
const NAME: &str = "docker";

/// How much longer than its lifetime a sandbox is nobody's remains: init's own margin, and the time that starting takes.
const DEADLINE_MARGIN: Duration = Duration::from_secs(90);

/// How to make sandboxes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the daemon listens, as in `DOCKER_HOST`. `None`: that variable, the current context of the `docker` command,
    /// `/var/run/docker.sock`, in this order.
    pub host: Option<String>,
    /// The image of sandboxes, with a shell and whatever interpreters programs need. Init is added to it.
    pub image: String,
    /// The runtime that the daemon shall use, such as `crun`. `None`: its own choice.
    pub runtime: Option<String>,
    /// Directories of this machine below which layers may be.
    pub layer_roots: Vec<PathBuf>,
    /// Where the lock is by which other runners know that this one lives. `None`: `/run/skillbox` for root, else below
    /// `XDG_RUNTIME_DIR`, else below the temporary directory.
    pub runtime_directory: Option<PathBuf>,
    /// The walls whose absence the operator allows.
    pub allow_missing: BTreeSet<Wall>,
}

impl Config {
    /// Sandboxes of an image, and everything else as usual.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            host: None,
            image: image.into(),
            runtime: None,
            layer_roots: Vec::new(),
            runtime_directory: None,
            allow_missing: BTreeSet::new(),
        }
    }
}

/// Sandboxes as containers. See the crate's documentation.
#[derive(Debug)]
pub struct DockerDriver {
    shared: Arc<Shared>,
}

/// What the driver and its creating tasks have in common.
#[derive(Debug)]
struct Shared {
    config: Config,
    daemon: Arc<Daemon>,
    image: RwLock<Image>,
    layers: Layers,
    seccomp: String,
    /// Where the daemon is Podman.
    podman: Option<Podman>,
    next: AtomicU64,
}

impl DockerDriver {
    /// Connects to the daemon, makes the image ready, and starts the sweep; reaps nothing yet.
    ///
    /// # Errors
    /// A daemon that does not answer or cannot put up the walls, or an image that is missing; each with what to do.
    pub async fn start(config: Config) -> Result<Self, DriverError> {
        let address = match &config.host {
            Some(url) => Address { url: url.clone(), source: "as configured".to_owned() },
            None => Address::find()?,
        };
        let docker = address.connect().await?;
        let info = docker.info().await.map_err(|error| address.unreachable(error))?;
        let version = docker.version().await.map_err(|error| address.unreachable(error))?;
        let is_podman = podman::is_podman(&version);
        checks::refuse(&info, &config, is_podman)?;
        if is_podman {
            podman::refuse(&address, &info, &config)?;
        }
        let seccomp = seccomp::profile(std::env::consts::ARCH).ok_or_else(|| {
            DriverError::new(
                DriverErrorKind::Unavailable,
                "there is no seccomp profile for this architecture",
            )
        })?;
        let directory = config.runtime_directory.clone().unwrap_or_else(runtime_directory).join("docker");
        let without = |what: &str, error| {
            let message = format!("no {what} can be had in `{}`", directory.display());
            DriverError::with_source(DriverErrorKind::Unavailable, message, error)
        };
        let owner = Owner::claim(&directory).map_err(|error| without("lock", error))?;
        let seccomp = seccomp.to_string();
        let podman = if is_podman {
            Some(Podman::new(&owner, &seccomp).map_err(|error| without("seccomp profile", error))?)
        } else {
            None
        };
        let daemon = Daemon::new(docker, address, owner, is_podman);
        let image = match image::prepare(&daemon, &config.image).await {
            Ok(image) => image,
            Err(error) => {
                // Nothing was made, or what was is being removed: the error is what counts.
                let _ = daemon.finish().await;
                daemon.owner.release();
                return Err(error);
            }
        };
        daemon.tasks.spawn(sweep::sweep(Arc::clone(&daemon)));
        let shared = Shared {
            layers: Layers::new(config.layer_roots.clone()),
            config,
            daemon,
            image: RwLock::new(image),
            seccomp,
            podman,
            next: AtomicU64::new(1),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The id of the image of sandboxes.
    pub async fn image_id(&self) -> String {
        self.shared.image.read().await.id.clone()
    }

    /// What the image says of itself under a label.
    pub async fn image_label(&self, name: &str) -> Option<String> {
        self.shared.image.read().await.labels.get(name).cloned()
    }
}

/// Where runners of this user keep their locks.
fn runtime_directory() -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of its own directory in /proc is whoever this process is.
    let user = std::fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid());
    if user == 0 {
        return PathBuf::from("/run/skillbox");
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|directory| directory.is_dir()) {
        Some(directory) => directory.join("skillbox"),
        None => std::env::temp_dir().join(format!("skillbox-{user}")),
    }
}

impl Shared {
    async fn create(&self, spec: &SandboxSpec) -> Result<Created, DriverError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let owner = self.daemon.owner.id();
        let name = format!("skillbox-{}-{number}-{}", &owner[..8], spec.id);
        let volumes = match self.podman {
            Some(_) => Podman::volume_names(&name),
            None => vec![name.clone()],
        };
        let hold = self.daemon.hold(name, volumes)?;
        match self.create_held(spec, &hold).await {
            Ok((stream, counters, since)) => Ok(Created {
                stream: Box::new(stream),
                handle: Box::new(DockerHandle { counters, since, hold: Some(hold) }),
                uid: layout::USER_ID,
                shares_uid: true,
                allow_missing_landlock: self.config.allow_missing.contains(&Wall::Landlock),
            }),
            Err(error) => {
                if let Err(removal) = hold.remove().await {
                    tracing::debug!(sandbox.id = %spec.id, error = %removal, "left for the next sweep");
                }
                Err(error)
            }
        }
    }

    async fn create_held(
        &self,
        spec: &SandboxSpec,
        hold: &Hold,
    ) -> Result<(Attached, Option<Counters>, u64), DriverError> {
        let docker = &self.daemon.docker;
        let labels = self.daemon.owner.labels(spec.lifetime + DEADLINE_MARGIN);
        let image = self.image.read().await.derived.clone();
        let layers = self.layers.mounts(&self.daemon, &image, &spec.layers).await?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let volumes = match &self.podman {
            Some(podman) => podman.volumes(hold.name(), &spec.limits, &labels),
            None => vec![container::skills(hold.name(), &spec.limits, labels.clone())],
        };
        for volume in volumes {
            let made = docker.create_volume(volume).await;
            made.map_err(|error| failed("a volume of a sandbox could not be made", error))?;
        }
        let id = self.create_container(spec, hold, layers, labels).await?;
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        // Before it starts, so that nothing is missed.
        let streams = docker
            .attach_container(&id, Some(options))
            .await
            .map_err(|error| failed("a container could not be attached to", error))?;
        docker.start_container(&id, None).await.map_err(|error| failed(&self.not_started(), error))?;
        let counters = self.counters(&id, &spec.limits).await?;
        Ok((Attached::new(streams, hold.name().to_owned()), counters, since))
    }

    /// What is to be said of a container that did not start.
    fn not_started(&self) -> String {
        match &self.config.runtime {
            None => "the Docker daemon could not start a container".to_owned(),
            Some(runtime) => format!(
                "the Docker daemon could not start a container with the runtime `{runtime}`; it has to enter the working \
                 directory before it becomes the user, as runc and crun do"
            ),
        }
    }

    async fn create_container(
        &self,
        spec: &SandboxSpec,
        hold: &Hold,
        layers: Vec<bollard::models::Mount>,
        labels: Labels,
    ) -> Result<String, DriverError> {
        let mut again = true;
        loop {
            let image = self.image.read().await.derived.clone();
            let runtime = self.config.runtime.as_deref();
            let common = Common { image: &image, seccomp: &self.seccomp, runtime };
            let mut body = container::body(&common, spec, hold.name(), layers.clone(), labels.clone());
            if let Some(podman) = &self.podman {
                body = podman.adapt(body, hold.name());
            }
            let options = CreateContainerOptionsBuilder::default().name(hold.name()).build();
            match self.daemon.docker.create_container(Some(options), body).await {
                Ok(created) => {
                    for warning in created.warnings {
                        tracing::debug!(container = hold.name(), warning, "the daemon warns");
                    }
                    hold.is_container(&created.id);
                    return Ok(created.id);
                }
                // Somebody removed the image with init; the one below it may still be there.
                Err(error) if is_missing(&error) && again => {
                    again = false;
                    let mut image = self.image.write().await;
                    *image = image::prepare(&self.daemon, &self.config.image).await?;
                }
                Err(error) => return Err(failed("the Docker daemon could not make a container", error)),
            }
        }
    }

    /// What the kernel counts for a container that was started, and whether the container is what was asked for.
    async fn counters(&self, id: &str, limits: &Limits) -> Result<Option<Counters>, DriverError> {
        // Only a daemon that is reached by a socket can be on this machine.
        if self.daemon.address.socket().is_none() {
            return Ok(None);
        }
        let found = self.daemon.docker.inspect_container(id, None).await;
        if self.podman.is_none() {
            let pid = found.ok().and_then(|found| found.state?.pid);
            return Ok(pid.and_then(|pid| Counters::find(pid, id)));
        }
        let found = match found {
            Ok(found) => found.state.and_then(|state| state.pid).filter(|pid| *pid > 0),
            // One that ends has a state that Docker's API does not know.
            Err(bollard::errors::Error::JsonDataError { .. }) => None,
            Err(error) => return Err(failed("a container could not be looked at", error)),
        };
        let ended =
            || DriverError::new(DriverErrorKind::System, "a container ended as soon as it had started");
        let pid = found.ok_or_else(ended)?;
        let with_cgroup = !self.config.allow_missing.contains(&Wall::Cgroup);
        audit::check(&Subject { pid, container: id, limits, with_cgroup }).await?;
        Ok(Counters::find(pid, id))
    }
}

#[async_trait]
impl Driver for DockerDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Created, DriverError> {
        let (sender, created) = oneshot::channel();
        let (shared, spec) = (Arc::clone(&self.shared), spec.clone());
        // A task of its own, since a request to the daemon that is dropped may still be carried out: so whatever comes of
        // it is known, and where nobody waits any more, the handle in the answer removes it.
        self.shared.daemon.tasks.spawn(async move {
            let _ = sender.send(shared.create(&spec).await);
        });
        created.await.unwrap_or_else(|_| {
            Err(DriverError::new(DriverErrorKind::System, "making a container ended without an answer"))
        })
    }

    async fn reap(&self) -> Result<Reaped, DriverError> {
        sweep::reap(&self.shared.daemon).await
    }

    async fn checks(&self) -> Vec<Check> {
        let Shared { config, daemon, layers, .. } = &*self.shared;
        let info = match daemon.docker.info().await {
            Ok(info) => info,
            Err(error) => {
                let remedy = "start the daemon; skillbox goes on by itself when it is there";
                return vec![checks::missing("docker daemon", &daemon.address.unreachable(error), remedy)];
            }
        };
        let image = self.shared.image.read().await.clone();
        let place = (daemon.is_podman, &*daemon.address.to_string());
        checks::all(&info, config, &image, place, layers.way().await)
    }

    async fn shutdown(&self) -> Result<(), DriverError> {
        let daemon = &self.shared.daemon;
        let finished = daemon.finish().await;
        // What could not be removed while the daemon was away.
        sweep::reap(daemon).await?;
        finished?;
        daemon.owner.release();
        Ok(())
    }
}

/// The hold on one container.
struct DockerHandle {
    counters: Option<Counters>,
    /// Second of the epoch at which it was made.
    since: u64,
    /// There until it is destroyed; dropped, it removes the container in the background.
    hold: Option<Hold>,
}

impl fmt::Debug for DockerHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.hold.as_ref().map(Hold::name);
        formatter.debug_struct("DockerHandle").field("container", &name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Handle for DockerHandle {
    fn memory(&self, late: Duration) -> PendingMemory {
        // Files of the kernel are read at once, so that the counts are of this moment.
        if let Some(memory) = self.counters.as_ref().and_then(Counters::read) {
            return Box::pin(std::future::ready(Ok(memory)));
        }
        let Some(hold) = &self.hold else { return Box::pin(std::future::ready(Ok(Default::default()))) };
        let (docker, name, since) = (hold.daemon().docker.clone(), hold.name().to_owned(), self.since);
        Box::pin(async move { Ok(counters::told_by_daemon(docker, name, since, late).await) })
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), DriverError> {
        match self.hold.take() {
            Some(hold) => hold.remove().await,
            None => Ok(()),
        }
    }
}
