//! The kernel calls of this driver that have no safe form. Everything unsafe of the driver is in this file.
//!
//! The launcher has one thread, so a cloned child has a whole copy of its memory and may do what it likes with it.

#![expect(unsafe_code, reason = "clone3, namespaces and mount attributes have no safe interface")]

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use libc::{c_int, c_long, c_ulong};

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A new process, or being it.
pub(crate) enum Cloned {
    /// In the parent.
    Parent {
        /// The child.
        pid: i32,
        /// Its pidfd.
        pidfd: OwnedFd,
    },
    /// In the child.
    Child,
}

/// The namespaces that a sandbox is born into. Its network, IPC and UTS namespaces are those that the launcher stands in
/// (see [`enter_next_namespaces`]), and the cgroup's is made once the child is in its cgroup.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID) as u64;

/// Leaves the network, IPC and UTS namespaces for new ones: those of the next sandbox.
///
/// Making a network namespace is the largest part of making a sandbox; this way it is done before the sandbox is asked
/// for. It also keeps them out of the reach of the sandbox's own root, which owns only what its user namespace owns.
pub(crate) fn enter_next_namespaces() -> io::Result<()> {
    unshare(libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS)?;
    loopback_up()?;
    bound_socket_buffers();
    Ok(rustix::system::sethostname(b"sandbox")?)
}

/// Least, usual and most bytes of a TCP socket's buffers: enough for loopback, where nothing is on its way for long.
const SOCKET_BUFFERS: &str = "4096 65536 262144";

/// Bounds the buffers of each TCP socket in the current network namespace. Best effort: in a container `/proc/sys` may be
/// read-only, and the sum of them is limited by the cgroup.
fn bound_socket_buffers() {
    for name in ["tcp_rmem", "tcp_wmem"] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv4/{name}"), SOCKET_BUFFERS);
    }
}

/// Forks into new namespaces, and into a cgroup of the unified hierarchy where one is given.
pub(crate) fn clone_into_namespaces(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: c_int = -1;
    // SAFETY: clone_args is plain data for which all zeros is valid.
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.flags = NAMESPACES | CLONE_PIDFD;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: without CLONE_VM the child gets a copy of everything, and this process has one thread; the arguments
    // live across the call and have the size that is passed.
    let pid = check_long(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// Leaves the namespaces named by these `CLONE_NEW*` flags for new ones.
pub(crate) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: unshare takes an integer; this process has one thread.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Becomes root inside of the user namespace, without other groups.
pub(crate) fn become_inner_root() -> io::Result<()> {
    // SAFETY: an empty list needs no valid pointer.
    check_long(unsafe { libc::syscall(libc::SYS_setgroups, 0_usize, ptr::null::<u32>()) })?;
    // SAFETY: setresgid takes integers.
    check_long(unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) })?;
    // SAFETY: setresuid takes integers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) })?;
    Ok(())
}

/// Capabilities that init uses: to be another user and to handle that user's files and processes. Within the sandbox's user namespace only.
const INIT_CAPABILITIES: [u32; 7] = [
    0, // CAP_CHOWN
    1, // CAP_DAC_OVERRIDE
    3, // CAP_FOWNER
    5, // CAP_KILL
    6, // CAP_SETGID
    7, // CAP_SETUID
    8, // CAP_SETPCAP
];

/// Gives up every capability that init does not use, and hands on the others across `execve`, also to a process that
/// is not root inside.
pub(crate) fn keep_init_capabilities() -> io::Result<()> {
    for capability in 0..64_u32 {
        if INIT_CAPABILITIES.contains(&capability) {
            continue;
        }
        // SAFETY: prctl with integers only.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), 0, 0, 0) };
        if let Err(error) = check(result) {
            if error.raw_os_error() == Some(libc::EINVAL) {
                break;
            }
            return Err(error);
        }
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mask = INIT_CAPABILITIES.iter().fold(0_u32, |mask, capability| mask | 1 << capability);
    let sets = [mask, mask, mask, 0, 0, 0];
    // SAFETY: header and data have the layout of the kernel's version 3 structures and live across the call.
    check_long(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })?;
    for capability in INIT_CAPABILITIES {
        // SAFETY: prctl with integers only.
        check(unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE as c_ulong,
                c_ulong::from(capability),
                0 as c_ulong,
                0 as c_ulong,
            )
        })?;
    }
    Ok(())
}

/// Dies with the launcher. To be called after the last change of user, which resets it.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: prctl with integers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0, 0, 0) }).map(drop)
}

/// Closes this process to /proc and ptrace of equal users.
pub(crate) fn set_undumpable() -> io::Result<()> {
    // SAFETY: prctl with integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0 as c_ulong, 0, 0, 0) }).map(drop)
}

/// Opens this process to /proc, so that its id maps can be written.
pub(crate) fn set_dumpable() -> io::Result<()> {
    // SAFETY: prctl with integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1 as c_ulong, 0, 0, 0) }).map(drop)
}

/// Sets flags on a mount, and on all below it where `recursive`.
pub(crate) fn set_mount_attributes(path: &CStr, flags: u64, recursive: bool) -> io::Result<()> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    const AT_RECURSIVE: c_ulong = 0x8000;
    let attributes = MountAttributes { set: flags, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the path is a C string, and the attributes have the layout of struct mount_attr and the size passed.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            if recursive { AT_RECURSIVE } else { 0 },
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Read-only mount.
pub(crate) const MOUNT_RDONLY: u64 = 1;
/// No set-user-id on the mount.
pub(crate) const MOUNT_NOSUID: u64 = 2;
/// No device nodes on the mount.
pub(crate) const MOUNT_NODEV: u64 = 4;

/// Brings the loopback interface of the current network namespace up.
fn loopback_up() -> io::Result<()> {
    // SAFETY: socket takes integers.
    let socket = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the call just made `socket`, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: ifreq is plain data for which all zeros is valid.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes_with_nul()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags =
        i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    // SAFETY: the request is initialized and of the type that this ioctl takes.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }).map(drop)
}

/// Landlock ABI of the kernel; 0 where it has none.
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: c_ulong = 1;
    // SAFETY: with this flag the call takes no attributes and only answers a number.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// Marks every descriptor from 3 on to close at `execve`.
pub(crate) fn close_others_on_exec() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: c_ulong = 4;
    // SAFETY: close_range takes integers; with this flag it closes nothing yet.
    check_long(unsafe {
        libc::syscall(libc::SYS_close_range, 3 as c_ulong, c_ulong::from(u32::MAX), CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// Puts init's stream onto 0, 1 and 2 (init takes it away from there at once) and its directory of skills onto 3,
/// all of which stay open at `execve`. To be called last: whatever had these numbers is gone.
pub(crate) fn hand_over(stream: BorrowedFd<'_>, skills: BorrowedFd<'_>) -> io::Result<()> {
    // A copy above all of them, in case one of the two has such a number itself.
    // SAFETY: F_DUPFD_CLOEXEC takes any number and an integer.
    let stream = check(unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 64) })?;
    // SAFETY: as above.
    let skills = check(unsafe { libc::fcntl(skills.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 64) })?;
    for (from, to) in [(stream, 0), (stream, 1), (stream, 2), (skills, 3)] {
        // SAFETY: dup2 takes any two numbers. What Rust owns under the new ones is not used again before execve.
        check(unsafe { libc::dup2(from, to) })?;
    }
    Ok(())
}

/// Becomes the program in an open file, with one argument and an empty environment. Returns only on failure.
pub(crate) fn execute_file(file: BorrowedFd<'_>, name: &CStr) -> io::Error {
    let arguments = [name.as_ptr(), ptr::null()];
    let environment = [ptr::null::<libc::c_char>()];
    // SAFETY: the path is an empty C string, both arrays end with a null pointer, all of it lives across the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Ends this process at once, running nothing of its parent's copy.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: _exit does not return.
    unsafe { libc::_exit(code) }
}
