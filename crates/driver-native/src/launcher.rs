//! The launcher: a process of one thread that makes and ends sandboxes for one runner.
//!
//! ```text
//!            Start                 Create                    report closes
//!   (socket) ─────▶ stage built ─────────▶ child starting ─────────────────▶ running
//!                                              │ report says why               │ Destroy, or init ended by itself
//!                                              ▼                               ▼
//!                                          NotCreated                  killed ─▶ reaped ─▶ cgroup removed ─▶ Gone
//! ```
//!
//! It never waits for one sandbox: children set themselves up side by side, and everything is an event of one poll. When
//! the socket closes, the runner is gone: everything is killed and removed, and the launcher ends.

use std::collections::HashMap;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    recvmsg, sendmsg,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal};

use crate::cgroup::{Cgroup, Parents};
use crate::child::{self, Child};
use crate::stage::{self, about};
use crate::sys::{self, Cloned};
use crate::told::Machine;
use crate::wire::{
    CgroupLimits, FromLauncher, IDS_PER_SANDBOX, Ids, MAX_PACKET, MAX_SANDBOXES, NewSandbox, Start,
    ToLauncher,
};

/// How long to wait before another try to remove a cgroup whose last process is just going.
const RETRY: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// No wait at all.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Runs the launcher on the socket that is its standard input. To be called before any thread exists.
#[must_use]
pub fn run() -> ExitCode {
    // Not in the terminal's foreground group: Ctrl-C is for the runner, which then ends us in order.
    let _ = rustix::process::setsid();
    let socket = io::stdin().as_fd().try_clone_to_owned();
    match socket.and_then(|socket| serve(&Socket(socket))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(socket: &Socket) -> io::Result<()> {
    let Some((ToLauncher::Start(start), _)) = socket.receive()? else { return Ok(()) };
    let mut launcher = match Launcher::prepare(socket, &start) {
        Ok(Some(launcher)) => launcher,
        Ok(None) => return Ok(()),
        Err(error) => return socket.send(&FromLauncher::Failed { message: error.to_string() }),
    };
    socket.send(&FromLauncher::Ready)?;
    let served = launcher.serve();
    launcher.end_all();
    served
}

struct Socket(OwnedFd);

impl Socket {
    fn send(&self, message: &FromLauncher) -> io::Result<()> {
        let packet = postcard::to_stdvec(message).map_err(io::Error::other)?;
        sendmsg(&self.0, &[IoSlice::new(&packet)], &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next packet and the descriptor beside it; `None` where the runner is gone.
    fn receive(&self) -> io::Result<Option<(ToLauncher, Option<OwnedFd>)>> {
        let mut packet = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut packet)], &mut beside, RecvFlags::CMSG_CLOEXEC)
            {
                Err(Errno::INTR) => {}
                result => break result?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::other("a packet that is too long"));
        }
        let descriptor = beside.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let message = postcard::from_bytes(&packet[..received.bytes]).map_err(io::Error::other)?;
        Ok(Some((message, descriptor)))
    }
}

struct Launcher<'a> {
    socket: &'a Socket,
    init: OwnedFd,
    cgroups: Parents,
    machine: Machine,
    ids: Ids,
    /// Whether the network, IPC and UTS namespaces that the launcher stands in are a sandbox's already.
    namespaces_used: bool,
    /// A cgroup made in advance.
    spare: Option<Spare>,
    /// Number of the next cgroup's name.
    next_name: u64,
    /// What the last sandbox was limited to; the next one will likely be, too.
    last_limits: Option<CgroupLimits>,
    /// Which of the id ranges are taken.
    slots: Vec<bool>,
    sandboxes: HashMap<u64, Sandbox>,
}

struct Sandbox {
    pidfd: OwnedFd,
    cgroup: Cgroup,
    slot: u32,
    /// Open until init has started, or said why not.
    report: Option<OwnedFd>,
    /// The process is reaped; only the cgroup is left.
    reaped: bool,
}

/// A cgroup that waits for the next sandbox, if that one wants the same limits.
struct Spare {
    limits: CgroupLimits,
    cgroup: Cgroup,
}

impl<'a> Launcher<'a> {
    fn prepare(socket: &'a Socket, start: &Start) -> io::Result<Option<Self>> {
        let cgroups = Parents::open(&start.cgroups).map_err(about("opening the cgroups"))?;
        let slots = match start.ids {
            Ids::Root { .. } | Ids::Single => MAX_SANDBOXES,
            Ids::Subordinate { count, .. } => (count / IDS_PER_SANDBOX).min(MAX_SANDBOXES),
        };
        match start.ids {
            Ids::Root { .. } => {}
            Ids::Single => {
                let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
                sys::unshare(libc::CLONE_NEWUSER).map_err(about("a user namespace"))?;
                fs::write("/proc/self/setgroups", "deny")?;
                // Not as root, which the launcher need not be: what it creates it has all capabilities over anyway.
                fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
                fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
            }
            Ids::Subordinate { .. } => {
                sys::unshare(libc::CLONE_NEWUSER).map_err(about("a user namespace"))?;
                // The mapping helpers must be able to look at this process.
                sys::set_dumpable()?;
                socket.send(&FromLauncher::MapIds)?;
                match socket.receive()? {
                    Some((ToLauncher::IdsMapped, _)) => sys::become_inner_root()?,
                    _ => return Ok(None),
                }
            }
        }
        let machine = Machine::look().map_err(about("looking at the CPUs"))?;
        let init = stage::build(start, init_binary::INIT)?;
        sys::enter_next_namespaces().map_err(about("network, IPC and UTS namespaces"))?;
        if let Ids::Root { .. } = start.ids {
            // Elsewhere the launcher must be able to write its children's id maps, which closes with this; there,
            // only the same user's processes outside of every sandbox could look at it.
            sys::set_undumpable()?;
        }
        Ok(Some(Self {
            socket,
            init,
            cgroups,
            machine,
            ids: start.ids,
            namespaces_used: false,
            spare: None,
            next_name: 0,
            last_limits: None,
            slots: vec![false; slots as usize],
            sandboxes: HashMap::new(),
        }))
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let waiting_for_cgroup = self.sandboxes.values().any(|sandbox| sandbox.reaped);
            let (socket_ready, reports, ended) = self.wait(waiting_for_cgroup, self.has_to_prepare())?;
            if !socket_ready && reports.is_empty() && ended.is_empty() {
                self.prepare_next();
            }
            for number in reports {
                self.read_report(number)?;
            }
            for number in ended {
                self.reap(number);
            }
            self.remove_cgroups()?;
            if socket_ready {
                match self.socket.receive()? {
                    Some((message, descriptor)) => self.handle(message, descriptor)?,
                    None => return Ok(()),
                }
            }
        }
    }

    /// Waits until something happens: whether the socket has a packet, which reports can be read, who has ended.
    fn wait(&self, retry_soon: bool, only_look: bool) -> io::Result<(bool, Vec<u64>, Vec<u64>)> {
        let mut reports: Vec<(u64, BorrowedFd<'_>)> = Vec::new();
        let mut living: Vec<(u64, BorrowedFd<'_>)> = Vec::new();
        for (number, sandbox) in &self.sandboxes {
            match &sandbox.report {
                Some(report) => reports.push((*number, report.as_fd())),
                None if !sandbox.reaped => living.push((*number, sandbox.pidfd.as_fd())),
                None => {}
            }
        }
        let mut fds = vec![PollFd::new(&self.socket.0, PollFlags::IN)];
        fds.extend(reports.iter().chain(&living).map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        loop {
            let timeout = if only_look { Some(&NOW) } else { retry_soon.then_some(&RETRY) };
            match poll(&mut fds, timeout) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let pick = |list: &[(u64, BorrowedFd<'_>)], from: usize| {
            list.iter()
                .zip(&fds[from..])
                .filter(|(_, fd)| ready(fd))
                .map(|((number, _), _)| *number)
                .collect()
        };
        Ok((ready(&fds[0]), pick(&reports, 1), pick(&living, 1 + reports.len())))
    }

    fn handle(&mut self, message: ToLauncher, descriptor: Option<OwnedFd>) -> io::Result<()> {
        match message {
            ToLauncher::Create { number, sandbox } => {
                let Some(stream) = descriptor else {
                    return Err(io::Error::other("a sandbox without a stream"));
                };
                match self.create(&sandbox, stream) {
                    Ok(created) => {
                        self.sandboxes.insert(number, created);
                        Ok(())
                    }
                    Err(error) => {
                        self.socket.send(&FromLauncher::NotCreated { number, message: error.to_string() })
                    }
                }
            }
            ToLauncher::Memory { number } => {
                let counts =
                    self.sandboxes.get(&number).and_then(|sandbox| self.cgroups.memory(&sandbox.cgroup).ok());
                let (oom_kills, peak_bytes) = counts.unwrap_or((0, None));
                self.socket.send(&FromLauncher::Memory { number, oom_kills, peak_bytes })
            }
            ToLauncher::Destroy { number } => match self.sandboxes.get(&number) {
                Some(sandbox) => {
                    kill(sandbox);
                    Ok(())
                }
                // It had ended by itself.
                None => self.socket.send(&FromLauncher::Gone { number }),
            },
            ToLauncher::Start(_) | ToLauncher::IdsMapped => Err(io::Error::other("a packet out of place")),
        }
    }

    fn create(&mut self, sandbox: &NewSandbox, stream: OwnedFd) -> io::Result<Sandbox> {
        let slot = self.slots.iter().position(|taken| !taken);
        let slot = slot.ok_or_else(|| io::Error::other("no user ids are left for another sandbox"))?;
        self.enter_unused_namespaces()?;
        let cgroup = self.take_cgroup(&sandbox.cgroup).map_err(about("making the cgroup"))?;
        let number = u32::try_from(slot).map_err(io::Error::other)?;
        match self.start(sandbox, stream, &cgroup, number) {
            Ok((pidfd, report)) => {
                self.slots[slot] = true;
                self.namespaces_used = true;
                Ok(Sandbox { pidfd, cgroup, slot: number, report: Some(report), reaped: false })
            }
            Err(error) => {
                // Nobody is in it. The first error is the one to tell.
                let _ = self.cgroups.remove(&cgroup);
                Err(error)
            }
        }
    }

    fn has_to_prepare(&self) -> bool {
        // Not beside a child that is setting itself up: that one is waited for.
        let starting = self.sandboxes.values().any(|sandbox| sandbox.report.is_some());
        !starting && (self.namespaces_used || (self.spare.is_none() && self.last_limits.is_some()))
    }

    /// In an idle moment: makes what the next sandbox will need. A failure shows when that one is made.
    fn prepare_next(&mut self) {
        // Best effort, here; the sandbox that needs it tries again and reports.
        let _ = self.enter_unused_namespaces();
        if self.spare.is_none()
            && let Some(limits) = self.last_limits
        {
            self.spare = self.make_cgroup(&limits).ok().map(|cgroup| Spare { limits, cgroup });
        }
    }

    fn enter_unused_namespaces(&mut self) -> io::Result<()> {
        if self.namespaces_used {
            sys::enter_next_namespaces().map_err(about("network, IPC and UTS namespaces"))?;
            self.namespaces_used = false;
        }
        Ok(())
    }

    fn take_cgroup(&mut self, limits: &CgroupLimits) -> io::Result<Cgroup> {
        self.last_limits = Some(*limits);
        match self.spare.take() {
            Some(spare) if spare.limits == *limits => Ok(spare.cgroup),
            other => {
                self.spare = other;
                self.make_cgroup(limits)
            }
        }
    }

    fn make_cgroup(&mut self, limits: &CgroupLimits) -> io::Result<Cgroup> {
        let name = self.next_name.to_string();
        self.next_name += 1;
        self.cgroups.make(&name, limits)
    }

    fn start(
        &self,
        sandbox: &NewSandbox,
        stream: OwnedFd,
        cgroup: &Cgroup,
        slot: u32,
    ) -> io::Result<(OwnedFd, OwnedFd)> {
        let doors = self.cgroups.doors(cgroup).map_err(about("opening the cgroup"))?;
        let (mapped, map_done) = pipe_with(PipeFlags::CLOEXEC)?;
        let (report, report_in) = pipe_with(PipeFlags::CLOEXEC)?;
        let becomes_root = self.ids != Ids::Single;
        match sys::clone_into_namespaces(self.cgroups.birthplace(cgroup)).map_err(about("the namespaces"))? {
            Cloned::Child => {
                // The parent's ends must go, or a dead parent would not be noticed.
                drop((map_done, report));
                child::run(Child {
                    sandbox,
                    machine: &self.machine,
                    doors,
                    becomes_root,
                    uid: sandbox::layout::USER_ID,
                    init: self.init.as_fd(),
                    stream,
                    mapped,
                    report: report_in,
                })
            }
            Cloned::Parent { pid, pidfd } => {
                let maps = self.write_maps(pid, slot);
                if maps.is_ok() {
                    rustix::io::write(&map_done, b"1")?;
                }
                // Without its byte the child ends by itself and says that it was not mapped; this error says more.
                maps.map_err(about("mapping user ids")).inspect_err(|_| {
                    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                    let _ = wait_for(&pidfd);
                })?;
                Ok((pidfd, report))
            }
        }
    }

    fn write_maps(&self, pid: i32, slot: u32) -> io::Result<()> {
        let user = sandbox::layout::USER_ID;
        let first = match self.ids {
            Ids::Root { base } => Some(base + slot * IDS_PER_SANDBOX),
            Ids::Subordinate { first, .. } => Some(first + slot * IDS_PER_SANDBOX),
            Ids::Single => None,
        };
        let map = |own: u32| match first {
            Some(first) => format!("0 {first} 1\n{user} {} 1\n65534 {} 1\n", first + 1, first + 2),
            None => format!("{user} {own} 1\n"),
        };
        let proc = format!("{}/{pid}", stage::PROC);
        fs::write(format!("{proc}/uid_map"), map(rustix::process::getuid().as_raw()))?;
        fs::write(format!("{proc}/gid_map"), map(rustix::process::getgid().as_raw()))
    }

    fn read_report(&mut self, number: u64) -> io::Result<()> {
        let Some(sandbox) = self.sandboxes.get_mut(&number) else { return Ok(()) };
        let Some(report) = sandbox.report.take() else { return Ok(()) };
        let mut text = [0; 1024];
        let length = rustix::io::read(&report, &mut text).unwrap_or(0);
        if length == 0 {
            return self.socket.send(&FromLauncher::Created { number });
        }
        let message = String::from_utf8_lossy(&text[..length]).into_owned();
        self.socket.send(&FromLauncher::NotCreated { number, message })
    }

    fn reap(&mut self, number: u64) {
        if let Some(sandbox) = self.sandboxes.get_mut(&number) {
            // The end of PID 1 waits for the end of all others: after this nothing of the sandbox runs.
            sandbox.reaped = wait_for(&sandbox.pidfd).is_ok();
        }
    }

    fn remove_cgroups(&mut self) -> io::Result<()> {
        let done: Vec<u64> = self
            .sandboxes
            .iter()
            .filter(|(_, sandbox)| sandbox.reaped && self.cgroups.remove(&sandbox.cgroup).is_ok())
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            if let Some(sandbox) = self.sandboxes.remove(&number) {
                self.slots[sandbox.slot as usize] = false;
            }
            self.socket.send(&FromLauncher::Gone { number })?;
        }
        Ok(())
    }

    /// The runner is gone.
    fn end_all(&mut self) {
        self.sandboxes.values().for_each(kill);
        for sandbox in self.sandboxes.values_mut().filter(|sandbox| !sandbox.reaped) {
            sandbox.reaped = wait_for(&sandbox.pidfd).is_ok();
        }
        if let Some(spare) = self.spare.take() {
            // Nobody was ever in it.
            let _ = self.cgroups.remove(&spare.cgroup);
        }
        // A cgroup may stay busy for a moment after its last process; the next runner's start would find it.
        for _ in 0..500 {
            self.sandboxes.retain(|_, sandbox| self.cgroups.remove(&sandbox.cgroup) == Err(Errno::BUSY));
            if self.sandboxes.is_empty() {
                return;
            }
            let _ = poll(&mut [], Some(&RETRY));
        }
    }
}

fn kill(sandbox: &Sandbox) {
    // It may have ended already; then there is nothing to kill.
    let _ = pidfd_send_signal(&sandbox.pidfd, Signal::KILL);
}

fn wait_for(pidfd: &OwnedFd) -> io::Result<()> {
    rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    Ok(())
}
