//! The runner's end of one launcher: its process, its socket, and who waits for which of its answers.
//!
//! A link is for one launcher and ends with it: what was asked and not answered fails, and nothing can be asked any
//! more. Another launcher is another link; handles of sandboxes keep the one that their sandbox was made through.
//!
//! No wait here is without an end. A launcher that still lives and does not answer (stopped, or stuck in the kernel) is
//! found out by questions that cost it nothing ([`Link::silence`]); its keeper then ends it, and whoever waits is told.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sandbox::{DriverError, DriverErrorKind, MemoryUse};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::wire::{FromLauncher, MAX_PACKET, NewSandbox, Start, ToLauncher};
use crate::{LAUNCHER_COMMAND, ids, refusal};

/// Longest time from the start of a launcher until it can make sandboxes.
const STARTING: Duration = Duration::from_secs(60);

/// Longest time in which a sandbox is made, by a launcher that answers.
const CREATING: Duration = Duration::from_secs(60);

/// Time between two questions whether the launcher still answers.
const ASKING: Duration = Duration::from_secs(3);

/// Longest time in which a launcher answers one of them. Two in a row have to stay without an answer: after a pause of the
/// whole machine, or of the runner alone, the first may have had no time at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sandbox that nobody has, which is asked about to see whether the launcher answers.
const NOBODY: u64 = 0;

/// See the module.
pub(crate) struct Link {
    /// A socket of packets, which the runtime only has to watch: each read is one packet.
    socket: UnixStream,
    waiting: Mutex<Waiting>,
    next: AtomicU64,
}

/// Who waits for what. `closed` once the launcher is gone.
#[derive(Default)]
struct Waiting {
    closed: bool,
    created: HashMap<u64, oneshot::Sender<Result<(), String>>>,
    memory: HashMap<u64, VecDeque<oneshot::Sender<MemoryUse>>>,
    gone: HashMap<u64, oneshot::Sender<()>>,
}

/// A launcher during its start: where that fails, it is ended and waited for.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself; there is nothing else to do about it here.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a launcher, and waits until it can make sandboxes.
pub(crate) async fn start(executable: Option<&Path>, start: Start) -> Result<(Link, Child), DriverError> {
    let (socket, child) =
        spawn(executable).map_err(|error| unavailable("the launcher could not be started", error))?;
    let pid = child.id();
    let mut starting = Starting(Some(child));
    let socket =
        UnixStream::from_std(socket.into()).map_err(|error| unavailable("the launcher's socket", error))?;
    let link = Link { socket, waiting: Mutex::new(Waiting::default()), next: AtomicU64::new(1) };
    link.send(&ToLauncher::Start(start), None)?;
    let until = tokio::time::Instant::now() + STARTING;
    loop {
        let answer = tokio::time::timeout_at(until, link.receive()).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match answer.map_err(|error| unavailable("the launcher ended, or did not answer", error))? {
            FromLauncher::MapIds => {
                ids::map_subordinate(pid)
                    .map_err(|error| unavailable("subordinate user ids could not be mapped", error))?;
                link.send(&ToLauncher::IdsMapped, None)?;
            }
            FromLauncher::Ready => break,
            FromLauncher::Failed { message } => {
                let message = format!("sandboxes cannot be made here: {}", refusal::explain(&message));
                return Err(DriverError::new(DriverErrorKind::Unavailable, message));
            }
            other => {
                let message = format!("the launcher answered out of turn: {other:?}");
                return Err(DriverError::new(DriverErrorKind::System, message));
            }
        }
    }
    let child = starting.0.take();
    child.map(|child| (link, child)).ok_or_else(launcher_gone)
}

/// The launcher gets its socket as standard input, and nothing of this process's environment.
fn spawn(executable: Option<&Path>) -> io::Result<(OwnedFd, Child)> {
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    let executable = executable.map_or_else(|| PathBuf::from("/proc/self/exe"), Path::to_owned);
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

impl Link {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // The table stays whole whatever panicked elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Waiting>, DriverError> {
        let waiting = self.lock();
        if waiting.closed { Err(launcher_gone()) } else { Ok(waiting) }
    }

    /// Whether its launcher is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A number for a sandbox that no other has.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Has a sandbox made, and waits until its init runs. Whoever gives up waiting has to [`Link::forget`] it.
    pub(crate) async fn create(
        &self,
        number: u64,
        sandbox: NewSandbox,
        stream: &OwnedFd,
    ) -> Result<(), DriverError> {
        let (sender, created) = oneshot::channel();
        self.open()?.created.insert(number, sender);
        self.send(&ToLauncher::Create { number, sandbox }, Some(stream))?;
        let Ok(answer) = tokio::time::timeout(CREATING, created).await else {
            let message = format!("no sandbox was made within {} seconds", CREATING.as_secs());
            return Err(DriverError::new(DriverErrorKind::Unavailable, message));
        };
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(message)) => Err(DriverError::new(
                DriverErrorKind::System,
                format!("a sandbox could not be made: {}", refusal::explain(&message)),
            )),
            Err(_) => Err(launcher_gone()),
        }
    }

    /// Asks for the counts of a sandbox's memory controller, as they are now.
    pub(crate) fn ask_memory(&self, number: u64) -> Result<oneshot::Receiver<MemoryUse>, DriverError> {
        let (sender, counts) = oneshot::channel();
        // Answers come in the order of the questions.
        self.open()?.memory.entry(number).or_default().push_back(sender);
        self.send(&ToLauncher::Memory { number }, None)?;
        Ok(counts)
    }

    /// Has a sandbox destroyed, and waits until nothing of it is left.
    pub(crate) async fn destroy(&self, number: u64) -> Result<(), DriverError> {
        let (sender, gone) = oneshot::channel();
        match self.open() {
            Ok(mut waiting) => waiting.gone.insert(number, sender),
            // The launcher took its sandboxes along.
            Err(_) => return Ok(()),
        };
        self.send(&ToLauncher::Destroy { number }, None)?;
        // An error means that the launcher ended, or was ended since it did not answer; and the sandbox with it.
        let _ = gone.await;
        Ok(())
    }

    /// Has a sandbox destroyed that nobody waits for. Where the launcher is gone, so is the sandbox.
    pub(crate) fn forget(&self, number: u64) {
        let _ = self.send(&ToLauncher::Destroy { number }, None);
    }

    /// Tells the launcher to end, with all of its sandboxes: it does when our end of the socket closes.
    pub(crate) fn close(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both)?)
    }

    /// Passes on what the launcher answers, until it is gone; then whoever waits is told.
    pub(crate) async fn pass_on_answers(&self) {
        // The receivers may be gone: a caller that gave up. Their sandboxes end through their handles.
        while let Ok(message) = self.receive().await {
            let mut waiting = self.lock();
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
    }

    /// Tells everyone who waits that no answer will come, and that nothing can be asked any more.
    pub(crate) fn give_up(&self) {
        // Dropping the senders tells them.
        *self.lock() = Waiting { closed: true, ..Waiting::default() };
    }

    /// Returns once the launcher does not answer any more, though it lives.
    pub(crate) async fn silence(&self) {
        let mut unanswered = 0;
        while unanswered < 2 {
            tokio::time::sleep(ASKING).await;
            let answered = match self.ask_memory(NOBODY) {
                Ok(answer) => tokio::time::timeout(PATIENCE, answer).await.is_ok(),
                // It reads nothing: the socket is full.
                Err(_) => false,
            };
            unanswered = if answered { 0 } else { unanswered + 1 };
        }
    }

    /// Sends a packet. The socket holds many; a launcher that does not read is a broken one.
    fn send(&self, message: &ToLauncher, descriptor: Option<&OwnedFd>) -> Result<(), DriverError> {
        let packet = postcard::to_stdvec(message)
            .map_err(|error| unavailable("a packet could not be encoded", io::Error::other(error)))?;
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
            .map_err(|error| unavailable("the launcher takes no more requests", error.into()))?;
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

/// What whoever asks is told once the launcher is gone. Another one is on its way.
pub(crate) fn launcher_gone() -> DriverError {
    DriverError::new(DriverErrorKind::Unavailable, "the launcher ended; another one is being started")
}

fn unavailable(message: &str, error: io::Error) -> DriverError {
    DriverError::with_source(DriverErrorKind::Unavailable, message.to_owned(), error)
}
