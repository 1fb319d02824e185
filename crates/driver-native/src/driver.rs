//! The runner's side: a [`NativeDriver`] and its talk with the launcher.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sandbox::{
    Check, Created, Driver, DriverError, DriverErrorKind, Handle, Layer, MemoryUse, PendingMemory, Reaped,
    SandboxSpec,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::instance::Instance;
use crate::wire::{
    CgroupLimits, FromLauncher, Ids, MAX_PACKET, NewSandbox, RootEntry, Start, ToLauncher, Wall,
};
use crate::{LAUNCHER_COMMAND, checks, ids, root, sys};

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
    instance: Instance,
    shared: Arc<Shared>,
    launcher: Mutex<Option<Child>>,
    _reader: JoinSet<()>,
}

impl fmt::Debug for NativeDriver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NativeDriver").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// A launcher during the start: where that fails, it ends and is waited for.
struct Launcher(Option<Child>);

impl Launcher {
    fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself; there is nothing else to do about it here.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the driver, its sandboxes' handles and the task that reads from the launcher have in common.
struct Shared {
    /// A socket of packets, which the runtime only has to watch: each read is one packet.
    socket: UnixStream,
    waiting: Mutex<Waiting>,
    next: AtomicU64,
    /// Whether the launcher was told to end.
    ending: AtomicBool,
    ids: Ids,
    allow_missing_landlock: bool,
}

/// Who waits for what. `closed` once the launcher is gone.
#[derive(Default)]
struct Waiting {
    closed: bool,
    created: HashMap<u64, oneshot::Sender<Result<(), String>>>,
    memory: HashMap<u64, VecDeque<oneshot::Sender<MemoryUse>>>,
    gone: HashMap<u64, oneshot::Sender<()>>,
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
        let (socket, child) = spawn_launcher(&config)
            .map_err(|error| unavailable("the launcher could not be started", error))?;
        let mut child = Launcher(Some(child));
        let shared = Arc::new(Shared {
            socket: UnixStream::from_std(socket.into())
                .map_err(|error| unavailable("the launcher's socket", error))?,
            waiting: Mutex::new(Waiting::default()),
            next: AtomicU64::new(1),
            ending: AtomicBool::new(false),
            ids,
            allow_missing_landlock: config.allow_missing.contains(&Wall::Landlock),
        });
        shared.send(&ToLauncher::Start(start), None)?;
        loop {
            match shared.receive().await.map_err(|error| unavailable("the launcher ended", error))? {
                FromLauncher::MapIds => {
                    ids::map_subordinate(child.pid())
                        .map_err(|error| unavailable("subordinate user ids could not be mapped", error))?;
                    shared.send(&ToLauncher::IdsMapped, None)?;
                }
                FromLauncher::Ready => break,
                FromLauncher::Failed { message } => {
                    let message = format!("sandboxes cannot be made here: {message}");
                    return Err(DriverError::new(DriverErrorKind::Unavailable, message));
                }
                other => {
                    let message = format!("the launcher answered out of turn: {other:?}");
                    return Err(DriverError::new(DriverErrorKind::System, message));
                }
            }
        }
        let mut reader = JoinSet::new();
        reader.spawn(read_answers(Arc::clone(&shared)));
        Ok(Self { config, instance, shared, launcher: Mutex::new(child.0.take()), _reader: reader })
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

/// The launcher gets its socket as standard input, and nothing of this process's environment.
fn spawn_launcher(config: &Config) -> io::Result<(OwnedFd, Child)> {
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    let executable = match &config.launcher {
        Some(path) => path.clone(),
        None => PathBuf::from("/proc/self/exe"),
    };
    let child = Command::new(executable)
        .arg(LAUNCHER_COMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((ours, child))
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // The table stays whole whatever panicked elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a packet. The socket holds many; a launcher that does not read is a broken one.
    fn send(&self, message: &ToLauncher, descriptor: Option<&OwnedFd>) -> Result<(), DriverError> {
        let system = |message: &str, error: io::Error| {
            DriverError::with_source(DriverErrorKind::Unavailable, message.to_owned(), error)
        };
        let packet = postcard::to_stdvec(message)
            .map_err(|error| system("a packet could not be encoded", io::Error::other(error)))?;
        if packet.len() > MAX_PACKET {
            return Err(DriverError::new(DriverErrorKind::System, "too many layers for one sandbox"));
        }
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.map(|descriptor| [descriptor.as_fd()]);
        if let Some(descriptors) = &descriptors {
            beside.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        sendmsg(&self.socket, &[IoSlice::new(&packet)], &mut beside, SendFlags::NOSIGNAL)
            .map_err(|error| system("the launcher takes no more requests", error.into()))?;
        Ok(())
    }

    async fn receive(&self) -> io::Result<FromLauncher> {
        let mut packet = vec![0; MAX_PACKET];
        loop {
            self.socket.readable().await?;
            let received = self.socket.try_io(Interest::READABLE, || {
                Ok(rustix::net::recv(&self.socket, packet.as_mut_slice(), RecvFlags::empty())?)
            });
            match received {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => return postcard::from_bytes(&packet[..length]).map_err(io::Error::other),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

async fn read_answers(shared: Arc<Shared>) {
    // The receivers may be gone: a caller that gave up. Their sandboxes end through their handles.
    while let Ok(message) = shared.receive().await {
        let mut waiting = shared.lock();
        match message {
            FromLauncher::Created { number } => {
                waiting.created.remove(&number).map(|sender| sender.send(Ok(())));
            }
            FromLauncher::NotCreated { number, message } => {
                waiting.created.remove(&number).map(|sender| sender.send(Err(message)));
            }
            FromLauncher::Memory { number, oom_kills, peak_bytes } => {
                let counts = MemoryUse { oom_kills, peak_bytes };
                if let Some(senders) = waiting.memory.get_mut(&number) {
                    senders.pop_front().map(|sender| sender.send(counts));
                }
            }
            FromLauncher::Gone { number } => {
                waiting.memory.remove(&number);
                waiting.gone.remove(&number).map(|sender| sender.send(()));
            }
            FromLauncher::MapIds | FromLauncher::Ready | FromLauncher::Failed { .. } => {}
        }
    }
    if !shared.ending.load(Ordering::Relaxed) {
        tracing::error!("the launcher of the native driver ended");
    }
    let mut waiting = shared.lock();
    // Dropping the senders tells everyone who waits.
    *waiting = Waiting { closed: true, ..Waiting::default() };
}

fn launcher_gone() -> DriverError {
    DriverError::new(DriverErrorKind::Unavailable, "the launcher ended; restart skillbox")
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
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, created) = oneshot::channel();
        {
            let mut waiting = self.shared.lock();
            if waiting.closed {
                return Err(launcher_gone());
            }
            waiting.created.insert(number, sender);
        }
        // From here on a dropped future still removes the sandbox.
        let handle = Box::new(NativeHandle { shared: Arc::clone(&self.shared), number, destroyed: false });
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
        self.shared.send(&ToLauncher::Create { number, sandbox }, Some(&theirs.into()))?;
        match created.await {
            Ok(Ok(())) => Ok(Created {
                stream: Box::new(stream),
                handle,
                uid: sandbox::layout::USER_ID,
                shares_uid: self.shared.ids == Ids::Single,
                allow_missing_landlock: self.shared.allow_missing_landlock,
            }),
            Ok(Err(message)) => Err(DriverError::new(
                DriverErrorKind::System,
                format!("a sandbox could not be made: {message}"),
            )),
            Err(_) => Err(launcher_gone()),
        }
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
        let mut checks = checks::all(&self.config, &self.shared.ids, self.instance.cgroup_state());
        if self.shared.lock().closed {
            checks.insert(0, checks::launcher_ended());
        }
        checks
    }

    async fn shutdown(&self) -> Result<(), DriverError> {
        self.shared.ending.store(true, Ordering::Relaxed);
        // The launcher ends, with all of its sandboxes, when our end of the socket closes.
        rustix::net::shutdown(&self.shared.socket, rustix::net::Shutdown::Both).map_err(|error| {
            DriverError::with_source(DriverErrorKind::System, "ending the launcher", error)
        })?;
        let child = self.launcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            let waited = tokio::task::spawn_blocking(move || child.wait()).await;
            waited.map_err(io::Error::other).flatten().map_err(|error| {
                DriverError::with_source(DriverErrorKind::System, "waiting for the launcher", error)
            })?;
        }
        self.instance.release().await;
        Ok(())
    }
}

/// The hold on one sandbox of the launcher.
struct NativeHandle {
    shared: Arc<Shared>,
    number: u64,
    destroyed: bool,
}

impl fmt::Debug for NativeHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NativeHandle").field("number", &self.number).finish_non_exhaustive()
    }
}

impl NativeHandle {
    fn ask_memory(&self) -> Result<oneshot::Receiver<MemoryUse>, DriverError> {
        let (sender, counts) = oneshot::channel();
        {
            let mut waiting = self.shared.lock();
            if waiting.closed {
                return Err(launcher_gone());
            }
            // Answers come in the order of the questions.
            waiting.memory.entry(self.number).or_default().push_back(sender);
        }
        self.shared.send(&ToLauncher::Memory { number: self.number }, None)?;
        Ok(counts)
    }
}

#[async_trait]
impl Handle for NativeHandle {
    fn memory(&self) -> PendingMemory {
        let asked = self.ask_memory();
        Box::pin(async move { asked?.await.map_err(|_| launcher_gone()) })
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), DriverError> {
        let (sender, gone) = oneshot::channel();
        {
            let mut waiting = self.shared.lock();
            if waiting.closed {
                // The launcher took its sandboxes along.
                return Ok(());
            }
            waiting.gone.insert(self.number, sender);
        }
        self.shared.send(&ToLauncher::Destroy { number: self.number }, None)?;
        self.destroyed = true;
        // An error means that the launcher ended, and the sandbox with it.
        let _ = gone.await;
        Ok(())
    }
}

impl Drop for NativeHandle {
    fn drop(&mut self) {
        if self.destroyed {
            return;
        }
        // Nobody waits for its end; where the launcher is gone, so is the sandbox.
        let _ = self.shared.send(&ToLauncher::Destroy { number: self.number }, None);
    }
}
