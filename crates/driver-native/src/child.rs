//! From the clone to the `execve` of init: the checklist of one sandbox, in the child.
//!
//! Every step either succeeds or ends the child with a word on the report pipe; init never starts behind half a wall.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::stage::{self, about};
use crate::told::{self, Machine};
use crate::wire::NewSandbox;
use crate::{cgroup, sys};

/// Everything that the child needs, prepared by the launcher.
pub(crate) struct Child<'a> {
    pub(crate) sandbox: &'a NewSandbox,
    pub(crate) machine: &'a Machine,
    /// The `tasks` files to enter, on cgroup v1.
    pub(crate) doors: Vec<File>,
    /// Whether the child becomes root inside: with a single user id it stays the user.
    pub(crate) becomes_root: bool,
    /// User id of programs.
    pub(crate) uid: u32,
    pub(crate) init: BorrowedFd<'a>,
    pub(crate) stream: OwnedFd,
    /// Readable once the launcher has written the id maps.
    pub(crate) mapped: OwnedFd,
    /// Where a failure is told. Closes by itself when init starts.
    pub(crate) report: OwnedFd,
}

/// Terminals of one sandbox. The machine has 4,096 for all that do not say how many they take.
const MOST_TERMINALS: u32 = 64;

/// How much sooner than others everything in a sandbox is killed, of 1,000.
const OOM_SCORE: &str = "900";

/// Does it all; never returns.
pub(crate) fn run(mut child: Child<'_>) -> ! {
    let error = match prepare(&mut child) {
        Ok(()) => {
            let error = sys::execute_file(child.init, c"init");
            io::Error::new(error.kind(), format!("starting init: {error}"))
        }
        Err(error) => error,
    };
    // There is nobody left to tell if this fails.
    let _ = File::from(child.report).write_all(error.to_string().as_bytes());
    sys::exit_now(1)
}

fn prepare(child: &mut Child<'_>) -> io::Result<()> {
    prefer_for_oom();
    cgroup::enter(&mut child.doors).map_err(about("entering the cgroup"))?;
    sys::unshare(libc::CLONE_NEWCGROUP).map_err(about("a cgroup namespace"))?;
    wait_for_map(&child.mapped)?;
    sys::set_undumpable().map_err(about("closing itself to /proc"))?;
    if child.becomes_root {
        sys::become_inner_root().map_err(about("becoming root inside"))?;
    }
    let owner_of_skills = if child.becomes_root { 0 } else { child.uid };
    let skills = mounts(child.sandbox, child.machine, child.uid, owner_of_skills)?;
    sys::keep_init_capabilities().map_err(about("giving up capabilities"))?;
    sys::die_with_parent().map_err(about("binding its life to the launcher's"))?;
    sys::close_others_on_exec()?;
    sys::hand_over(child.stream.as_fd(), skills.as_fd())
}

/// Where the machine is out of memory, whatever is in a sandbox is killed before the runner and its launcher. Programs raise
/// themselves above init once more.
///
/// The other way, to lower those two, would hand the right to be as low on to every program: the kernel lets a process go
/// back to what its parent was given.
fn prefer_for_oom() {
    // Best effort: it protects the service, and no sandbox depends on it.
    let _ = fs::write(format!("{}/self/oom_score_adj", stage::PROC), OOM_SCORE);
}

fn wait_for_map(mapped: &OwnedFd) -> io::Result<()> {
    let mut byte = [0];
    match rustix::io::read(mapped, &mut byte)? {
        1 => Ok(()),
        _ => Err(io::Error::other("the user ids were not mapped")),
    }
}

/// The sandbox's view of files: its own copy of the template with its own writable places in it.
///
/// Returns the directory of skills, writable, which only init keeps.
fn mounts(sandbox: &NewSandbox, machine: &Machine, uid: u32, owner_of_skills: u32) -> io::Result<OwnedFd> {
    // A mount of its own on top, since only that can become the root here.
    rustix::mount::mount_bind_recursive(stage::ROOT, stage::ROOT).map_err(about("a copy of the root"))?;
    rustix::process::chdir(stage::ROOT)?;
    for path in ["workspace", "output", "tmp"] {
        place(path, uid, sandbox.disk_bytes, sandbox.disk_inodes)?;
    }
    place("dev/shm", uid, sandbox.shm_bytes, sandbox.disk_inodes)?;
    let skills = skills(sandbox, owner_of_skills)?;
    layers(sandbox, owner_of_skills)?;
    told::mounts(sandbox, machine)?;
    terminals()?;
    rustix::process::pivot_root(".", ".").map_err(about("pivot_root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(about("leaving the stage"))?;
    rustix::process::chdir("/")?;
    Ok(skills)
}

/// The directory of skills twice: a writable mount that can only be reached through the descriptor that is returned,
/// and over it a read-only one, which is what programs see.
fn skills(sandbox: &NewSandbox, owner: u32) -> io::Result<OwnedFd> {
    place("skills", owner, sandbox.disk_bytes, sandbox.disk_inodes)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let writable = rustix::fs::open("skills", flags, Mode::empty())?;
    rustix::mount::mount_bind("skills", "skills").map_err(about("binding skills"))?;
    sys::set_mount_attributes(c"skills", sys::MOUNT_RDONLY, false)
        .map_err(about("making skills read-only"))?;
    Ok(writable)
}

/// A file system of limited size in memory; its pages are charged to the sandbox.
fn place(path: &str, owner: u32, bytes: u64, inodes: u64) -> io::Result<()> {
    let options = format!("uid={owner},gid={owner},mode=0755,size={bytes},nr_inodes={inodes}");
    let options = CString::new(options).map_err(io::Error::other)?;
    rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .map_err(|error| io::Error::new(error.kind(), format!("a tmpfs on {path}: {error}")))
}

fn layers(sandbox: &NewSandbox, owner: u32) -> io::Result<()> {
    if sandbox.layers.is_empty() {
        return Ok(());
    }
    place("layers", owner, 64 * 1024, 1024)?;
    for (root, below, name) in &sandbox.layers {
        let target = format!("layers/{name}");
        fs::create_dir(&target)?;
        // The source is mounted read-only on the stage, and a bind keeps that.
        rustix::mount::mount_bind(format!("{}/{root}/{below}", stage::LAYERS), &target)
            .map_err(about(&format!("layer {name}")))?;
    }
    sys::set_mount_attributes(c"layers", sys::MOUNT_RDONLY, false).map_err(about("making layers read-only"))
}

/// Terminals of the sandbox's own: it sees those that were opened in it, and no others.
fn terminals() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = format!("newinstance,ptmxmode=0666,mode=0620,max={MOST_TERMINALS}");
    let options = CString::new(options).map_err(io::Error::other)?;
    rustix::mount::mount("devpts", "dev/pts", "devpts", flags, options.as_c_str())
        .map_err(about("terminals of its own"))
}
