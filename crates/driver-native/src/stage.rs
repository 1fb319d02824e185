//! What all sandboxes of a launcher share: its mount namespace, and in it the read-only root directory.
//!
//! ```text
//!   /            a small tmpfs, the launcher's root after `pivot_root`
//!   ├─ init      the executable of PID 1
//!   ├─ proc      the host's /proc: a new one may only be mounted where a whole one can be seen
//!   ├─ layers/N  the host's caches of dependency layers
//!   ├─ told      what sandboxes are told of the machine, instead of what the kernel would say
//!   └─ root      the template: the root directory of every sandbox, read-only, with empty mount points
//! ```
//!
//! Nothing else of the host is left in this namespace, and a sandbox's copy of it loses all but `root`.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::wire::{RootEntry, Start};
use crate::{root, sys, told};

/// The template, as the launcher sees it.
pub(crate) const ROOT: &str = "/root";
/// The host's /proc, as the launcher sees it.
pub(crate) const PROC: &str = "/proc";
/// The layer caches, as the launcher sees them.
pub(crate) const LAYERS: &str = "/layers";

/// Empty directories of the template on which a sandbox gets its own file systems.
const MOUNT_POINTS: [&str; 9] =
    ["workspace", "output", "tmp", "skills", "layers", "proc", "sys", "dev", "run"];

/// Device nodes of a sandbox; bound from the host's, since none can be made in a user namespace.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Links in /dev that programs expect.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Builds the stage in a new mount namespace, makes it the root and returns init, opened for execution. What was
/// mounted goes with the namespace, so a failure leaves nothing.
pub(crate) fn build(start: &Start, init: &[u8]) -> io::Result<OwnedFd> {
    sys::unshare(libc::CLONE_NEWNS).map_err(about("a mount namespace"))?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(about("making mounts private"))?;
    let stage = PathBuf::from(&start.mount_point);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("stage", &stage, "tmpfs", flags, c"mode=0755,size=16m")
        .map_err(about("a tmpfs for the stage"))?;
    fs::write(stage.join("init"), init)?;
    fs::set_permissions(stage.join("init"), Permissions::from_mode(0o555))?;
    for name in ["proc", "layers", "root"] {
        make_directory(&stage.join(name))?;
    }
    bind("/proc", &stage.join("proc"))?;
    for (number, source) in start.layer_roots.iter().enumerate() {
        let target = stage.join("layers").join(number.to_string());
        make_directory(&target)?;
        bind(source, &target)?;
        attributes(&target, sys::MOUNT_RDONLY | sys::MOUNT_NOSUID | sys::MOUNT_NODEV)?;
    }
    told::prepare(&stage)?;
    build_root(&start.root, &stage.join("root"))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let init = rustix::fs::open(stage.join("init"), flags, Mode::empty())?;
    // The stage becomes the root, and all else is let go: a sandbox is born with nothing of the host in sight.
    rustix::process::chdir(&stage)?;
    rustix::process::pivot_root(".", ".").map_err(about("pivot_root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(about("leaving the old root"))?;
    rustix::process::chdir("/")?;
    Ok(init)
}

fn build_root(entries: &[RootEntry], root: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("root", root, "tmpfs", flags, c"mode=0755,size=64m")
        .map_err(about("a tmpfs for the root"))?;
    for name in MOUNT_POINTS {
        make_directory(&root.join(name))?;
    }
    let mut bound = Vec::new();
    for entry in entries {
        match entry {
            RootEntry::Bind { path, source } => {
                let target = inside(root, path)?;
                if fs::metadata(source)?.is_dir() {
                    make_directory(&target)?;
                } else {
                    File::create(&target)?;
                }
                bind(source, &target)?;
                bound.push(target);
            }
            RootEntry::Copy { path, source } => copy(Path::new(source), &inside(root, path)?)?,
            RootEntry::Link { path, target } => symlink(target, inside(root, path)?)?,
            RootEntry::File { path, content } => write(&inside(root, path)?, content, 0o644)?,
            RootEntry::Program { path, content } => write(&inside(root, path)?, content, 0o755)?,
        }
    }
    for name in ["dev/shm", "dev/pts"] {
        make_directory(&root.join(name))?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, root.join("dev").join(name))?;
    }
    let mut devices = Vec::new();
    for name in DEVICES {
        let target = root.join("dev").join(name);
        File::create(&target)?;
        bind(&format!("/dev/{name}"), &target)?;
        devices.push(target);
    }
    for target in bound {
        attributes(&target, sys::MOUNT_RDONLY | sys::MOUNT_NOSUID | sys::MOUNT_NODEV)?;
    }
    for target in devices {
        // Of the device nodes themselves: they are devices, so they cannot be on a mount without.
        attributes(&target, sys::MOUNT_NOSUID)?;
    }
    let path = c_path(root)?;
    sys::set_mount_attributes(&path, sys::MOUNT_RDONLY, false).map_err(about("making the root read-only"))
}

/// Copies a file, link or directory that everyone may read; what is not for everyone stays out.
fn copy(source: &Path, target: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(source)?;
    if metadata.is_symlink() {
        return symlink(fs::read_link(source)?, target);
    }
    if metadata.permissions().mode() & 0o004 == 0 {
        return Ok(());
    }
    if metadata.is_dir() {
        make_directory(target)?;
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            if root::is_never_copied(&entry.file_name().to_string_lossy()) {
                continue;
            }
            copy(&entry.path(), &target.join(entry.file_name()))?;
        }
    } else if metadata.is_file() {
        write(target, &fs::read(source)?, 0o644 | metadata.permissions().mode() & 0o111)?;
    }
    Ok(())
}

fn write(target: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    fs::write(target, content)?;
    fs::set_permissions(target, Permissions::from_mode(mode))
}

/// The place of an inside path, with its parent directories made.
fn inside(root: &Path, path: &str) -> io::Result<PathBuf> {
    let target = root.join(path.trim_start_matches('/'));
    if let Some(parent) = target.parent() {
        let mut missing = parent;
        let mut chain = Vec::new();
        while missing != root && !missing.exists() {
            chain.push(missing.to_owned());
            let Some(up) = missing.parent() else { break };
            missing = up;
        }
        for directory in chain.iter().rev() {
            make_directory(directory)?;
        }
    }
    Ok(target)
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755))),
    }
}

/// Binds with everything mounted below: as an ordinary user, parts of the host's tree cannot be bound without them.
fn bind(source: &str, target: &Path) -> io::Result<()> {
    rustix::mount::mount_bind_recursive(source, target)
        .map_err(|error| io::Error::new(error.kind(), format!("binding {source}: {error}")))
}

fn attributes(target: &Path, flags: u64) -> io::Result<()> {
    sys::set_mount_attributes(&c_path(target)?, flags, true).map_err(|error| {
        io::Error::new(error.kind(), format!("mount flags of {}: {error}", target.display()))
    })
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)
}

/// Names what was being done in an error of the kernel.
pub(crate) fn about<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> io::Error {
    move |error| {
        let error = error.into();
        io::Error::new(error.kind(), format!("{what}: {error}"))
    }
}
