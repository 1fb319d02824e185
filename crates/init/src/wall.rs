//! The inner wall: what binds every program, under every driver.
//!
//! Another user without capabilities, resource limits, Landlock (writes only where allowed; no signals and no abstract
//! sockets across its border), prepared once and put up in each child before `execve`; and a seccomp allow-list, which
//! init puts on itself and every child inherits. It must hold where the driver's wall failed, and the other way round.

use std::io;
use std::os::fd::OwnedFd;

use init_protocol::Setup;
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};

use crate::sys;

/// Newest Landlock that is asked for; the kernel's may be older.
const LANDLOCK: ABI = ABI::V6;

/// The only devices that programs may write to; the last is the directory of the sandbox's own terminals.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/pts"];

/// A wall ready to be put up.
pub(crate) struct Wall {
    /// The rules; `None` where the kernel has no Landlock and that was allowed.
    pub(crate) landlock: Option<OwnedFd>,
    /// Resource limits: soft and hard alike.
    pub(crate) limits: Vec<(libc::__rlimit_resource_t, u64)>,
    /// Whether init may become another user.
    pub(crate) privileged: bool,
    /// Whether the bounding set can be emptied without being root inside.
    pub(crate) can_drop_bounding_set: bool,
    abi: u32,
}

impl Wall {
    /// Prepares the wall, or says which part of it this kernel cannot give.
    pub(crate) fn prepare(setup: &Setup) -> io::Result<Self> {
        let abi = sys::landlock_abi();
        if abi == 0 && !setup.allow_missing_landlock {
            return Err(io::Error::other("the kernel has no Landlock (wall `landlock`)"));
        }
        let privileged = rustix::process::geteuid().is_root();
        if setup.uid == 0 {
            return Err(io::Error::other("programs must not run as user 0"));
        }
        if !privileged && rustix::process::geteuid().as_raw() != setup.uid {
            return Err(io::Error::other("init is neither root inside nor the user of programs"));
        }
        let own_pid = rustix::process::getpid();
        if !own_pid.is_init() {
            return Err(io::Error::other("init must be PID 1"));
        }
        let wall = Self {
            landlock: if abi == 0 { None } else { Some(landlock(setup)?) },
            limits: limits(setup),
            privileged,
            can_drop_bounding_set: sys_can_setpcap(),
            abi,
        };
        // Init itself needs no more calls than programs do. So it lives behind the same filter, and they inherit it:
        // loading it anew for each of them would be the largest part of starting one.
        sys::load_filter(&sys::instructions(include_bytes!(concat!(env!("OUT_DIR"), "/seccomp.bpf"))))?;
        Ok(wall)
    }

    /// Landlock ABI of the kernel; 0 where it has none.
    pub(crate) fn landlock_abi(&self) -> u32 {
        self.abi
    }
}

fn sys_can_setpcap() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SETPCAP))
}

fn landlock(setup: &Setup) -> io::Result<OwnedFd> {
    let write = AccessFs::from_write(LANDLOCK);
    // Device nodes are made nowhere, not even where files are.
    let files = write & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write)
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let device: BitFlags<AccessFs> = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let places =
        setup.writable.iter().map(|path| (path.as_str(), files)).chain(DEVICES.map(|path| (path, device)));
    for (path, access) in places {
        match crate::files::open_path(path) {
            Ok(fd) => rules = rules.add_rule(PathBeneath::new(fd, access)).map_err(io::Error::other)?,
            // A place that does not exist needs no rule: nobody can write there.
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Option::<OwnedFd>::from(rules).ok_or_else(|| io::Error::other("Landlock gave no rules"))
}

fn limits(setup: &Setup) -> Vec<(libc::__rlimit_resource_t, u64)> {
    let mut limits = vec![
        (libc::RLIMIT_NOFILE, setup.max_open_files),
        (libc::RLIMIT_FSIZE, setup.max_file_size),
        (libc::RLIMIT_CORE, 0),
        // Locked memory is counted per user id, which sandboxes may share; a few pages are enough for everyone.
        (libc::RLIMIT_MEMLOCK, 64 * 1024),
        (libc::RLIMIT_MSGQUEUE, 0),
        (libc::RLIMIT_NICE, 0),
        (libc::RLIMIT_RTPRIO, 0),
        (libc::RLIMIT_SIGPENDING, 1024),
    ];
    if let Some(processes) = setup.max_processes {
        limits.push((libc::RLIMIT_NPROC, processes));
    }
    limits
}
