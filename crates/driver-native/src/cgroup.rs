//! Resource limits by cgroup, on the unified hierarchy (v2) and on separate ones (v1).
//!
//! A sandbox has one directory per hierarchy, made and removed by the launcher, which holds the parents open. On v2 the
//! child is born in it (`CLONE_INTO_CGROUP`); on v1 the child writes itself into `tasks` files that were opened for
//! it, since a parent's write to `cgroup.procs` waits for a grace period of the kernel.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::wire::{CgroupLimits, Cgroups};

/// On v1 buffers of sockets are counted beside the memory: this part of its limit is allowed for them.
const TCP_SHARE: u64 = 8;

/// Microseconds of a CPU period.
const CPU_PERIOD: u64 = 100_000;

/// The open parents of all sandboxes' cgroups.
pub(crate) enum Parents {
    None,
    V2 { parent: OwnedFd },
    V1 { memory: OwnedFd, pids: OwnedFd, cpu: OwnedFd, has_swap_limit: bool },
}

/// A sandbox's cgroup.
pub(crate) struct Cgroup {
    name: String,
    /// Its directories: the only one, or memory, pids, cpu.
    directories: Vec<OwnedFd>,
}

impl Parents {
    pub(crate) fn open(cgroups: &Cgroups) -> io::Result<Self> {
        Ok(match cgroups {
            Cgroups::None => Self::None,
            Cgroups::V2 { parent } => Self::V2 { parent: directory(CWD, parent)? },
            Cgroups::V1 { memory, pids, cpu } => {
                let memory = directory(CWD, memory)?;
                let swap = rustix::fs::accessat(
                    &memory,
                    "memory.memsw.limit_in_bytes",
                    rustix::fs::Access::EXISTS,
                    AtFlags::empty(),
                );
                Self::V1 {
                    has_swap_limit: swap.is_ok(),
                    memory,
                    pids: directory(CWD, pids)?,
                    cpu: directory(CWD, cpu)?,
                }
            }
        })
    }

    /// Makes a sandbox's cgroup with all its limits; leaves nothing where that fails.
    pub(crate) fn make(&self, name: &str, limits: &CgroupLimits) -> io::Result<Cgroup> {
        let mut cgroup = Cgroup { name: name.to_owned(), directories: Vec::new() };
        let made = self.fill(&mut cgroup, limits);
        if let Err(error) = made {
            // The first error is the one to tell.
            let _ = self.remove(&cgroup);
            return Err(error);
        }
        Ok(cgroup)
    }

    fn fill(&self, cgroup: &mut Cgroup, limits: &CgroupLimits) -> io::Result<()> {
        let quota = (u64::from(limits.cpu_millis) * CPU_PERIOD / 1000).max(1000);
        let name = cgroup.name.clone();
        let mut child = |parent: &OwnedFd| -> io::Result<usize> {
            rustix::fs::mkdirat(parent, &name, Mode::from_raw_mode(0o755))?;
            cgroup.directories.push(directory(parent.as_fd(), &name)?);
            Ok(cgroup.directories.len() - 1)
        };
        match self {
            Self::None => {}
            Self::V2 { parent } => {
                let at = child(parent)?;
                let at = cgroup.directories[at].as_fd();
                write(at, "memory.max", limits.memory_bytes)?;
                match write(at, "memory.swap.max", 0) {
                    // Without swap accounting the file is not there; then there must be no swap to use up.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
                write(at, "pids.max", u64::from(limits.processes))?;
                write_text(at, "cpu.max", &format!("{quota} {CPU_PERIOD}"))?;
            }
            Self::V1 { memory, pids, cpu, has_swap_limit } => {
                let at = child(memory)?;
                let pids = child(pids)?;
                let cpu = child(cpu)?;
                let at = cgroup.directories[at].as_fd();
                write(at, "memory.limit_in_bytes", limits.memory_bytes)?;
                if *has_swap_limit {
                    write(at, "memory.memsw.limit_in_bytes", limits.memory_bytes)?;
                } else {
                    write(at, "memory.swappiness", 0)?;
                }
                match write(at, "memory.kmem.tcp.limit_in_bytes", limits.memory_bytes / TCP_SHARE) {
                    // A kernel without it counts no buffers of sockets; the network namespace bounds each of them.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
                write(cgroup.directories[pids].as_fd(), "pids.max", u64::from(limits.processes))?;
                write(cgroup.directories[cpu].as_fd(), "cpu.cfs_period_us", CPU_PERIOD)?;
                write(cgroup.directories[cpu].as_fd(), "cpu.cfs_quota_us", quota)?;
            }
        }
        Ok(())
    }

    /// Removes a sandbox's cgroup. [`Errno::BUSY`] while a process of it is not yet gone.
    pub(crate) fn remove(&self, cgroup: &Cgroup) -> Result<(), Errno> {
        let parents: Vec<&OwnedFd> = match self {
            Self::None => Vec::new(),
            Self::V2 { parent } => vec![parent],
            Self::V1 { memory, pids, cpu, .. } => vec![memory, pids, cpu],
        };
        for parent in parents {
            match rustix::fs::unlinkat(parent, &cgroup.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The directory that a child is born in, on v2.
    pub(crate) fn birthplace<'a>(&self, cgroup: &'a Cgroup) -> Option<BorrowedFd<'a>> {
        match self {
            Self::V2 { .. } => cgroup.directories.first().map(OwnedFd::as_fd),
            Self::None | Self::V1 { .. } => None,
        }
    }

    /// The files into which a child writes itself, on v1.
    pub(crate) fn doors(&self, cgroup: &Cgroup) -> io::Result<Vec<File>> {
        match self {
            Self::None | Self::V2 { .. } => Ok(Vec::new()),
            Self::V1 { .. } => {
                cgroup.directories.iter().map(|at| open(at.as_fd(), "tasks", OFlags::WRONLY)).collect()
            }
        }
    }

    /// Counts of the memory controller: kills, and the most bytes in use at once.
    pub(crate) fn memory(&self, cgroup: &Cgroup) -> io::Result<(u64, Option<u64>)> {
        let Some(at) = cgroup.directories.first().map(OwnedFd::as_fd) else { return Ok((0, None)) };
        let (events, peak) = match self {
            Self::V2 { .. } => ("memory.events", "memory.peak"),
            Self::None | Self::V1 { .. } => ("memory.oom_control", "memory.max_usage_in_bytes"),
        };
        let kills = read(at, events)?
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0);
        // memory.peak came with Linux 5.19.
        let peak = read(at, peak).ok().and_then(|text| text.trim().parse().ok());
        Ok((kills, peak))
    }
}

/// In the child: moves itself through the doors.
pub(crate) fn enter(doors: &mut [File]) -> io::Result<()> {
    doors.iter_mut().try_for_each(|door| door.write_all(b"0"))
}

fn directory(at: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

fn open(at: BorrowedFd<'_>, name: &str, flags: OFlags) -> io::Result<File> {
    Ok(File::from(rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, Mode::empty())?))
}

fn write(at: BorrowedFd<'_>, name: &str, value: u64) -> io::Result<()> {
    write_text(at, name, &value.to_string())
}

fn write_text(at: BorrowedFd<'_>, name: &str, value: &str) -> io::Result<()> {
    open(at, name, OFlags::WRONLY)?.write_all(value.as_bytes())
}

fn read(at: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    let mut text = String::new();
    open(at, name, OFlags::RDONLY)?.read_to_string(&mut text)?;
    Ok(text)
}
