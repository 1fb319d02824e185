//! The room: where pip and uv run, since what they read comes from strangers.
//!
//! ```text
//!   runner ── stage (own group; namespaces, loopback, listener) ── tool (PID 1 in there, other user, Landlock, seccomp)
//!      │  ◀── the listener, as a descriptor ── │                     │
//!      └── mirror ◀──────────────── http://127.0.0.1:… ──────────────┘
//! ```
//!
//! The tool sees the system's programs, the interpreter that it works for, and the directories of its build; it reaches
//! the mirror and nothing else, and as whom it runs owns nothing. It ends with the runner: the stage waits for the end of
//! the socket that the runner holds, and the kernel kills the tool when the stage ends, however that ends.
//!
//! Where this machine gives no namespaces, Landlock binds the tool to the mirror's port instead (kernel 6.7 and newer).
//! Where neither is to be had, no tool runs.

mod stage;
mod wall;

use std::{
    ffi::OsString,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    net::{Ipv4Addr, TcpListener},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;

pub use self::stage::run as run_room;
use crate::{
    error::LayerError,
    index::Mirror,
    process::{self, Finished, Program},
};

/// The hidden command under which the executable becomes a room.
pub const ROOM_COMMAND: &str = "__layer-room";

/// Where the mirror is in a network of its own.
const OWN_PORT: u16 = 3141;

/// The user of tools where the runner is root: below the range of sandboxes, above what systems hand out.
const TOOL_ID: u32 = 0x6fff_fff0;

/// With which status a room ends that could not be made.
const NO_ROOM: i32 = 125;

/// What a room begins its complaint with.
const COMPLAINT: &str = "skillbox-room: ";

/// Everything that the stage has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    argv: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// Directories and files to read and to run.
    reads: Vec<PathBuf>,
    /// Directories to write.
    writes: Vec<PathBuf>,
    /// Where the tool starts; empty.
    directory: PathBuf,
    network: Network,
    /// To become this user and group.
    id: Option<u32>,
    file_bytes: u64,
    cpu_seconds: u64,
}

/// How a room is kept from all but the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Network {
    /// A network of its own, with nothing but a loopback.
    Own,
    /// The machine's, with Landlock allowing this port alone.
    Port(u16),
}

/// The rooms of one build: one for each run of a tool.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) launcher: PathBuf,
    /// For the tool; nothing of the operator's.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// An empty directory: Python looks for modules in the working directory.
    pub(crate) directory: PathBuf,
    /// Files that the runner and the tool exchange.
    pub(crate) work: PathBuf,
    /// What the tool may read beside the system.
    pub(crate) reads: Mutex<Vec<PathBuf>>,
    /// What it may write.
    pub(crate) writes: Vec<PathBuf>,
    /// All of the build is below this.
    pub(crate) watched: PathBuf,
    /// Bytes that the build may hold while it works.
    pub(crate) allowance: u64,
    /// The limit that is reported when it holds more.
    pub(crate) limit: u64,
    pub(crate) timeout: Duration,
    pub(crate) mirror: Arc<Mirror>,
    /// The listener of a machine without namespaces, once that is known.
    pub(crate) shared: Mutex<Option<Arc<TcpListener>>>,
}

impl Room {
    /// Lets tools see one more place.
    pub(crate) fn show(&self, path: PathBuf) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if !reads.contains(&path) {
            reads.push(path);
        }
    }

    /// Where the mirror is for a tool in this room; right once a first program has run.
    pub(crate) fn index_url(&self) -> String {
        let port = self
            .shared()
            .and_then(|listener| listener.local_addr().ok())
            .map_or(OWN_PORT, |address| address.port());
        format!("http://127.0.0.1:{port}/simple/")
    }

    /// Runs a program in a room of its own, to its end.
    pub(crate) async fn run(&self, argv: &[OsString]) -> Result<Finished, LayerError> {
        if self.shared().is_none() {
            match self.run_with(argv, Network::Own).await? {
                Ran::Finished(finished) => return Ok(finished),
                Ran::NoNamespaces => {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(wall_error)?;
                    listener.set_nonblocking(true).map_err(wall_error)?;
                    *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(listener));
                }
            }
        }
        let port =
            self.shared().and_then(|listener| listener.local_addr().ok()).map_or(0, |address| address.port());
        match self.run_with(argv, Network::Port(port)).await? {
            Ran::Finished(finished) => Ok(finished),
            Ran::NoNamespaces => Err(wall_error(io::Error::other("no network can be kept from it"))),
        }
    }

    fn shared(&self) -> Option<Arc<TcpListener>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run_with(&self, argv: &[OsString], network: Network) -> Result<Ran, LayerError> {
        let id = if rustix::process::geteuid().is_root() { Some(tool_id()) } else { None };
        if let Some(id) = id {
            for directory in &self.writes {
                std::os::unix::fs::chown(directory, Some(id), Some(id)).map_err(wall_error)?;
            }
        }
        let plan = Plan {
            argv: argv.to_vec(),
            environment: self.environment.clone(),
            reads: self.reads.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            writes: self.writes.clone(),
            directory: self.directory.clone(),
            network,
            id,
            file_bytes: self.allowance,
            cpu_seconds: self.timeout.as_secs() + 1,
        };
        let plan = serde_json::to_string(&plan).map_err(|error| wall_error(error.into()))?;
        let (ours, theirs) = UnixStream::pair().map_err(wall_error)?;
        let program = Program {
            argv: vec![self.launcher.clone().into(), ROOM_COMMAND.into(), plan.into()],
            environment: Vec::new(),
            stdin: Some(OwnedFd::from(theirs)),
            directory: self.directory.clone(),
            watched: self.watched.clone(),
            allowance: self.allowance,
            limit: self.limit,
        };
        // As long as this future lives the socket does, and with it the room.
        let serve = async {
            match self.listener(&ours, network).await? {
                Some(listener) => {
                    Arc::clone(&self.mirror).serve(listener).await;
                    Ok::<(), LayerError>(())
                }
                // It has said why it is not there, or goes on to say so.
                None => std::future::pending().await,
            }
        };
        let finished = tokio::select! {
            finished = process::run(program) => finished?,
            ended = serve => return Err(ended.err().unwrap_or_else(|| wall_error(io::ErrorKind::BrokenPipe.into()))),
        };
        match finished.stderr.trim_end().rsplit('\n').next().and_then(|line| line.strip_prefix(COMPLAINT)) {
            Some(complaint) if finished.code == Some(NO_ROOM) => match complaint.strip_prefix("namespaces: ")
            {
                Some(_) if network == Network::Own => Ok(Ran::NoNamespaces),
                _ => Err(LayerError::Wall { reason: complaint.to_owned() }),
            },
            _ => Ok(Ran::Finished(finished)),
        }
    }

    /// The listener in the room's network, or the runner's own.
    async fn listener(
        &self,
        ours: &UnixStream,
        network: Network,
    ) -> Result<Option<tokio::net::TcpListener>, LayerError> {
        if network != Network::Own {
            let Some(listener) = self.shared() else { return Ok(None) };
            let listener = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
            return listener.map(Some).map_err(wall_error);
        }
        let socket = ours.try_clone().map_err(wall_error)?;
        socket.set_nonblocking(true).map_err(wall_error)?;
        let socket = tokio::net::UnixStream::from_std(socket).map_err(wall_error)?;
        let received = loop {
            socket.readable().await.map_err(wall_error)?;
            match socket.try_io(Interest::READABLE, || receive(&socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => break received.map_err(wall_error)?,
            }
        };
        let Some(fd) = received else { return Ok(None) };
        let listener = TcpListener::from(fd);
        listener.set_nonblocking(true).map_err(wall_error)?;
        tokio::net::TcpListener::from_std(listener).map(Some).map_err(wall_error)
    }
}

enum Ran {
    Finished(Finished),
    NoNamespaces,
}

/// The descriptor that the stage sends, or nothing where it has ended.
fn receive(socket: &tokio::net::UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let fds = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(fds)
}

/// [`TOOL_ID`], or nobody where this is root of a container with fewer ids.
fn tool_id() -> u32 {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let known = map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.nth(1).flatten()) {
            (Some(first), Some(count)) => first <= TOOL_ID && TOOL_ID - first < count,
            _ => false,
        }
    });
    if known { TOOL_ID } else { 65_534 }
}

fn wall_error(error: io::Error) -> LayerError {
    LayerError::Wall { reason: error.to_string() }
}
