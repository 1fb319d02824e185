//! The kernel calls that have no safe form. Everything unsafe of init is in this file.
//!
//! Init has one thread, so the memory of a forked child is whole; the child still only makes system calls on data
//! that was prepared before the fork, because the time until `execve` is what a call costs.

#![expect(unsafe_code, reason = "fork, exec, credentials and seccomp have no safe interface")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::ptr;

use libc::{c_char, c_int, c_long, c_ulong};
use rustix::fs::{Mode, OFlags};

/// The stream's two directions.
pub(crate) struct StreamFiles {
    pub(crate) input: File,
    pub(crate) output: File,
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Moves the stream away from descriptors 0 and 1 and puts /dev/null onto 0, 1 and 2, so that nothing a program or a
/// panic prints can get into it.
pub(crate) fn claim_stream() -> io::Result<StreamFiles> {
    let input = duplicate(0)?;
    let output = duplicate(1)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for target in 0..=2 {
        // SAFETY: dup2 takes any two numbers; 0 to 2 are not owned by any Rust object here.
        check(unsafe { libc::dup2(null.as_raw_fd(), target) })?;
    }
    Ok(StreamFiles { input: input.into(), output: output.into() })
}

/// Number under which a driver may give init a writable directory of skills.
const SKILLS: RawFd = 3;

/// Makes the working directory what [`given_skills`] gives, and leaves it. A container's runtime enters the working
/// directory before it gives up its rights, so that may be a place that no path leads to for anybody inside.
pub(crate) fn take_skills_from_here() -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = rustix::fs::open(".", flags, Mode::empty())?;
    if here.as_raw_fd() == SKILLS {
        // From here on it belongs to nobody, as one that the driver gave.
        let _ = here.into_raw_fd();
    } else {
        // SAFETY: dup2 takes any two numbers; what was under the second one is no Rust object's.
        check(unsafe { libc::dup2(here.as_raw_fd(), SKILLS) })?;
    }
    rustix::process::chdir("/")?;
    Ok(())
}

/// The writable directory of skills, where the driver gave one. It stays open as long as init lives.
pub(crate) fn given_skills() -> Option<BorrowedFd<'static>> {
    // SAFETY: F_SETFD takes any number and an integer. It fails where nothing is open under the number, and else it
    // keeps programs from getting it.
    let given = unsafe { libc::fcntl(SKILLS, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it is open, and nothing in init closes it: all descriptors of init's own are above.
    given.then(|| unsafe { BorrowedFd::borrow_raw(SKILLS) })
}

fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes any number and an integer.
    let new = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) })?;
    // SAFETY: the call just made `new`, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Makes init itself a poor target: its memory and descriptors are closed to /proc and ptrace of equal users, it can
/// gain no privileges, and a closed pipe is an error, not its end.
pub(crate) fn guard_init() -> io::Result<()> {
    // SAFETY: prctl with integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0 as c_ulong, 0, 0, 0) })?;
    // SAFETY: prctl with integers only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0, 0, 0) })?;
    default_signals()?;
    // SAFETY: SIG_IGN is a valid disposition for SIGPIPE.
    let previous = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    if previous == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: umask takes an integer and cannot fail.
    unsafe { libc::umask(0o022) };
    Ok(())
}

/// Gives every signal its default: whoever started the runner may have had some ignored, as `nohup` does, and programs
/// would inherit that. By the bare call, since the C library keeps two signals for itself and passes over them.
fn default_signals() -> io::Result<()> {
    const LAST: c_int = 64;
    // The kernel's structure: a handler of zero, which is the default, no flags, an empty mask.
    let default = [0_u64; 4];
    for signal in (1..=LAST).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        // SAFETY: the structure is as large as the kernel's, and so is its mask; the old one is not asked for.
        check_long(unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        })?;
    }
    Ok(())
}

extern "C" fn end_now(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // A program's own signal has a code of 0 or below, the kernel's timer one above.
    // SAFETY: the kernel passes a valid pointer to a handler with SA_SIGINFO.
    if unsafe { (*info).si_code } <= 0 {
        return;
    }
    // SAFETY: _exit is async-signal-safe and does not return. The end of PID 1 ends the sandbox.
    unsafe { libc::_exit(0) }
}

/// Ends this process, and with it the sandbox, after so many milliseconds, whatever it is doing then.
pub(crate) fn end_after(milliseconds: u64) -> io::Result<()> {
    // SAFETY: sigaction is plain data for which all zeros is valid.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = end_now as extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the action is initialized and its handler has the right signature.
    check(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) })?;
    let value = libc::timeval {
        tv_sec: i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX),
        #[expect(clippy::cast_possible_wrap, reason = "below a million")]
        tv_usec: ((milliseconds % 1000) * 1000 + 1) as i64,
    };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: the timer is initialized and lives across the call. ITIMER_REAL counts monotonic time.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) })?;
    Ok(())
}

/// Ends of children as something to poll.
pub(crate) struct ChildSignals(OwnedFd);

impl ChildSignals {
    pub(crate) fn new() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initializes the set that it gets.
        check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
        // SAFETY: initialized just above.
        let mut set = unsafe { set.assume_init() };
        // SAFETY: the set is initialized and SIGCHLD is a signal.
        check(unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) })?;
        // SAFETY: the set is initialized; the old one is not asked for.
        check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) })?;
        // SAFETY: the set is initialized; -1 asks for a new descriptor.
        let fd =
            check(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: the call just made `fd`, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes what has arrived; the ends themselves are read by [`reap`].
    pub(crate) fn clear(&self) {
        let mut buffer = [0_u8; 1024];
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|length| length == buffer.len()) {}
    }
}

impl AsFd for ChildSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A process that has ended.
pub(crate) struct Ended {
    pub(crate) pid: i32,
    /// Exit code, or the signal that ended it.
    pub(crate) status: Result<i32, i32>,
    pub(crate) peak_rss_bytes: u64,
}

/// What [`reap`] found.
pub(crate) enum Child {
    Ended(Ended),
    /// There are some, and all of them go on.
    NoneEnded,
    /// There are none: as init is PID 1, no other process is left in the sandbox.
    NoneLeft,
}

/// The next ended child, without waiting for one.
pub(crate) fn reap() -> Child {
    let mut status: c_int = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let flags = libc::__WALL | libc::WNOHANG;
    loop {
        // SAFETY: both pointers are valid for writes of their types.
        let pid = unsafe { libc::wait4(-1, &raw mut status, flags, usage.as_mut_ptr()) };
        if pid < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            continue;
        }
        if pid <= 0 {
            return if pid == 0 { Child::NoneEnded } else { Child::NoneLeft };
        }
        // SAFETY: wait4 succeeded and filled it; all zeros would be valid too.
        let usage = unsafe { usage.assume_init() };
        let status =
            if libc::WIFEXITED(status) { Ok(libc::WEXITSTATUS(status)) } else { Err(libc::WTERMSIG(status)) };
        return Child::Ended(Ended {
            pid,
            status,
            peak_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        });
    }
}

/// CPU time in microseconds of all children that were waited for.
pub(crate) fn children_cpu_us() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for a write of the type.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) } < 0 {
        return 0;
    }
    // SAFETY: getrusage succeeded and filled it; all zeros would be valid too.
    let usage = unsafe { usage.assume_init() };
    let us = |time: libc::timeval| u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0);
    us(usage.ru_utime) + us(usage.ru_stime)
}

/// Sends a signal to every process of the sandbox but init. That is what -1 means for PID 1 of a pid namespace; so
/// init refuses to start as anything else.
pub(crate) fn signal_all(signal: c_int) {
    // SAFETY: kill takes integers. ESRCH, no process left, is as good as success.
    unsafe { libc::kill(-1, signal) };
}

/// Landlock ABI of the kernel; 0 where it has none.
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: c_ulong = 1;
    // SAFETY: with this flag the call takes no attributes and only answers a number.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// What binds a program, ready to be put up in the child.
pub(crate) struct Bounds {
    /// The rules; `None` where the kernel has no Landlock and that was allowed.
    pub(crate) landlock: Option<OwnedFd>,
    /// Resource limits: soft and hard alike.
    pub(crate) limits: Vec<(libc::__rlimit_resource_t, u64)>,
    /// Whether init may become another user.
    pub(crate) privileged: bool,
    /// Whether the bounding set can be emptied without being root inside.
    pub(crate) can_drop_bounding_set: bool,
}

/// A program ready to be started: everything that needs memory, made before the fork.
pub(crate) struct Program {
    /// Where to look for it, in order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: CString,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The descriptors that a program gets.
pub(crate) struct Streams<'a> {
    pub(crate) stdin: BorrowedFd<'a>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    /// Where the child says why it could not start: a stage and an errno.
    pub(crate) report: BorrowedFd<'a>,
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Streams = 0,
    Limits = 1,
    User = 2,
    Capabilities = 3,
    Landlock = 4,
    Cwd = 5,
    Execute = 6,
}

impl Stage {
    pub(crate) fn from_byte(byte: u8) -> Self {
        [
            Self::Streams,
            Self::Limits,
            Self::User,
            Self::Capabilities,
            Self::Landlock,
            Self::Cwd,
            Self::Execute,
        ]
        .into_iter()
        .find(|stage| *stage as u8 == byte)
        .unwrap_or(Self::Streams)
    }
}

/// Starts a program behind the wall. Returns its pid; whether it really started is said on `streams.report`, which
/// closes by itself when it did.
pub(crate) fn spawn(program: &Program, bounds: &Bounds, streams: &Streams<'_>) -> io::Result<i32> {
    let argv = pointers(&program.argv);
    let env = pointers(&program.env);
    // SAFETY: this process has one thread, so the child may do what it likes with its copy of the memory.
    let pid = check(unsafe { libc::fork() })?;
    if pid != 0 {
        return Ok(pid);
    }
    let (stage, error) = become_program(program, bounds, streams, &argv, &env);
    let errno = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
    let report = [stage as u8, errno[0], errno[1], errno[2], errno[3]];
    // SAFETY: the buffer is valid for its length. There is nobody left to tell if this fails.
    unsafe { libc::write(streams.report.as_raw_fd(), report.as_ptr().cast(), report.len()) };
    // SAFETY: _exit does not return and runs nothing of the parent's.
    unsafe { libc::_exit(127) }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// In the child, in this order: own session and descriptors, limits while still privileged, another user without
/// capabilities, then Landlock, then the program. The seccomp filter is init's own, and inherited. Returns only on failure.
fn become_program(
    program: &Program,
    bounds: &Bounds,
    streams: &Streams<'_>,
    argv: &[*const c_char],
    env: &[*const c_char],
) -> (Stage, io::Error) {
    let steps = || -> Result<(), (Stage, io::Error)> {
        take_streams(streams).map_err(|error| (Stage::Streams, error))?;
        limit(bounds).map_err(|error| (Stage::Limits, error))?;
        if bounds.privileged {
            change_user(program.uid, program.gid).map_err(|error| (Stage::User, error))?;
        }
        drop_capabilities(bounds).map_err(|error| (Stage::Capabilities, error))?;
        if let Some(ruleset) = &bounds.landlock {
            restrict(ruleset.as_fd()).map_err(|error| (Stage::Landlock, error))?;
        }
        // As the user, so that it gets no further than the user may.
        // SAFETY: the path is a C string that lives across the call.
        check(unsafe { libc::chdir(program.cwd.as_ptr()) }).map_err(|error| (Stage::Cwd, error))?;
        Ok(())
    };
    if let Err(failed) = steps() {
        return failed;
    }
    (Stage::Execute, execute(&program.candidates, argv, env))
}

fn take_streams(streams: &Streams<'_>) -> io::Result<()> {
    // SAFETY: setsid takes nothing. It only fails where this process already leads a group: it was just forked.
    check(unsafe { libc::setsid() })?;
    for (from, to) in [(streams.stdin, 0), (streams.stdout, 1), (streams.stderr, 2)] {
        // SAFETY: dup2 takes any two numbers; in this process no Rust object owns 0 to 2.
        check(unsafe { libc::dup2(from.as_raw_fd(), to) })?;
    }
    // Everything else closes when the program starts; until then the wall's and the report's are needed.
    const CLOSE_RANGE_CLOEXEC: c_ulong = 4;
    // SAFETY: close_range takes integers; with this flag it closes nothing yet.
    check_long(unsafe {
        libc::syscall(libc::SYS_close_range, 3 as c_ulong, c_ulong::from(u32::MAX), CLOSE_RANGE_CLOEXEC)
    })?;
    let mut empty = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initializes the set that it gets.
    check(unsafe { libc::sigemptyset(empty.as_mut_ptr()) })?;
    // SAFETY: the set is initialized; the old one is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, empty.as_ptr(), ptr::null_mut()) })?;
    // SAFETY: SIG_DFL is a valid disposition; SIGALRM's handler goes with execve anyway.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    Ok(())
}

fn limit(bounds: &Bounds) -> io::Result<()> {
    prefer_for_oom();
    for (resource, wanted) in &bounds.limits {
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointer is valid for a write of the type; the resource is one of libc's.
        check(unsafe { libc::getrlimit(*resource, &raw mut now) })?;
        // Never above what is there: raising needs a privilege that init may not have.
        let value = (*wanted).min(now.rlim_max);
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the limit is initialized and lives across the call.
        check(unsafe { libc::setrlimit(*resource, &raw const limit) })?;
    }
    Ok(())
}

/// Where the kernel has to kill for memory, it shall take a program before init, which still has to hand out what was
/// saved. Best effort: it protects the sandbox's own results, nothing else.
fn prefer_for_oom() {
    // This process is a copy of init and so closed to /proc, also for itself; execve would reset that anyway.
    // SAFETY: prctl with integers only.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1 as c_ulong, 0, 0, 0) };
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if fd >= 0 {
        // SAFETY: the buffer is valid for its length.
        unsafe { libc::write(fd, b"1000".as_ptr().cast(), 4) };
        // SAFETY: `fd` was opened above and is not used again.
        unsafe { libc::close(fd) };
    }
}

fn change_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: an empty list needs no valid pointer.
    check_long(unsafe { libc::syscall(libc::SYS_setgroups, 0_usize, ptr::null::<u32>()) })?;
    // SAFETY: setresgid takes integers.
    check_long(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // The bounding set goes while there is still the privilege for it.
    drop_bounding_set()?;
    // SAFETY: setresuid takes integers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..64 as c_ulong {
        // SAFETY: prctl with integers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } < 0 {
            let error = io::Error::last_os_error();
            // Above the last one that this kernel knows.
            if error.raw_os_error() == Some(libc::EINVAL) {
                return Ok(());
            }
            return Err(error);
        }
    }
    Ok(())
}

fn drop_capabilities(bounds: &Bounds) -> io::Result<()> {
    if !bounds.privileged && bounds.can_drop_bounding_set {
        drop_bounding_set()?;
    }
    // SAFETY: prctl with integers only.
    check(unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
        )
    })?;
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let empty = [0_u32; 6];
    // SAFETY: header and data have the layout of the kernel's version 3 structures and live across the call.
    check_long(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), empty.as_ptr()) })?;
    // SAFETY: prctl with integers only. The wall's filters need it, too.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0, 0, 0) })?;
    Ok(())
}

fn restrict(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is a Landlock ruleset; the flags are none.
    check_long(unsafe {
        libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0 as c_ulong)
    })?;
    Ok(())
}

/// One instruction of classic BPF, as the kernel has it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// Reads a program as `build.rs` wrote it.
pub(crate) fn instructions(bytes: &[u8]) -> Vec<Instruction> {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|b| Instruction {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        })
        .collect()
}

#[repr(C)]
struct FilterProgram {
    length: u16,
    filter: *const Instruction,
}

/// Binds this process and all that it starts to a filter.
pub(crate) fn load_filter(filter: &[Instruction]) -> io::Result<()> {
    const SET_MODE_FILTER: c_ulong = 1;
    /// `ENOTSUPP`, which the kernel keeps for itself and lets out here.
    const NO_MEMORY_FOR_FILTERS: c_int = 524;
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = FilterProgram { length, filter: filter.as_ptr() };
    // SAFETY: the program has the layout of struct sock_fprog, and it and its instructions live across the call.
    let loaded = check_long(unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0 as c_ulong, &raw const program)
    });
    match loaded {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(NO_MEMORY_FOR_FILTERS) => Err(io::Error::other(
            "the kernel's memory for filters is full (see net.core.bpf_jit_limit on the host)",
        )),
        Err(error) => Err(error),
    }
}

/// Tries the candidates in order, as a shell does. Returns the error that says most.
fn execute(candidates: &[CString], argv: &[*const c_char], env: &[*const c_char]) -> io::Error {
    let mut result = io::Error::from_raw_os_error(libc::ENOENT);
    for path in candidates {
        let error = execute_one(path, argv, env);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => result = error,
            _ => return error,
        }
    }
    result
}

fn execute_one(path: &CStr, argv: &[*const c_char], env: &[*const c_char]) -> io::Error {
    // SAFETY: the path is a C string, both arrays end with a null pointer, and all of it lives across the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
