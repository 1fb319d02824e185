//! One runner among others on a machine: its number, its lock, and how its remains are found when it died.
//!
//! Below the runtime directory every runner has a directory named by a number, with a `lock` that it holds as long as
//! it lives (the kernel lets go of it whatever way a process ends) and a list of the `cgroups` that it made. Whoever
//! can take another's lock knows that it is dead. A lock on the whole directory orders claiming and reaping.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use sandbox::Reaped;

use crate::hierarchy::{self, Place};
use crate::wire::Cgroups;

/// Most runners on one machine and user.
const MAX_RUNNERS: u32 = 64;

/// Longest wait for a dead runner's processes to go.
const REAP_TIME: Duration = Duration::from_secs(8);

/// See the module.
#[derive(Debug)]
pub(crate) struct Instance {
    directory: PathBuf,
    number: u32,
    /// Held for life.
    _lock: File,
    released: AtomicBool,
    place: Result<Place, String>,
}

impl Instance {
    /// Takes the lowest free number.
    pub(crate) fn claim(directory: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let all = lock_all(directory)?;
        for number in 0..MAX_RUNNERS {
            let own = directory.join(number.to_string());
            match fs::create_dir(&own) {
                Ok(()) => {}
                // Alive, or dead and not reaped yet.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            fs::create_dir(own.join("stage"))?;
            let lock = File::create(own.join("lock"))?;
            lock.lock()?;
            drop(all);
            let place = Err("not prepared".to_owned());
            let released = AtomicBool::new(false);
            return Ok(Self { directory: directory.to_owned(), number, _lock: lock, released, place });
        }
        Err(io::Error::other(format!("{MAX_RUNNERS} runners are there already, in {}", directory.display())))
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// An empty directory that only this runner's launcher mounts on.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.own().join("stage")
    }

    fn own(&self) -> PathBuf {
        self.directory.join(self.number.to_string())
    }

    /// Makes the parents of the sandboxes' cgroups and writes them down.
    pub(crate) fn prepare_cgroups(&mut self) -> Result<Cgroups, String> {
        let name = format!("skillbox-{}-{}", self.number, std::process::id());
        self.place = hierarchy::prepare(&name, hierarchy::share_for_sandboxes()).and_then(|place| {
            let list: String = place.made.iter().map(|path| format!("{}\n", path.display())).collect();
            fs::write(self.own().join("cgroups"), list)
                .map(|()| place)
                .map_err(|error| format!("the list of cgroups could not be written: {error}"))
        });
        self.place.as_ref().map(|place| place.cgroups.clone()).map_err(Clone::clone)
    }

    /// What was found when the cgroups were prepared.
    pub(crate) fn cgroup_state(&self) -> Result<&Cgroups, &str> {
        self.place.as_ref().map(|place| &place.cgroups).map_err(String::as_str)
    }

    /// Removes the cgroups of sandboxes whose launcher is dead, with what is still in them; their parents stay.
    pub(crate) async fn empty_cgroups(&self) -> io::Result<()> {
        for parent in self.place.iter().flat_map(|place| &place.made) {
            for sandbox in children(parent)? {
                remove_when_empty(&sandbox).await?;
            }
        }
        Ok(())
    }

    /// Removes what dead runners left.
    pub(crate) async fn reap_others(&self) -> io::Result<Reaped> {
        let mut reaped = Reaped::default();
        for directory in self.dead()? {
            let sandboxes = remove_cgroups(&directory).await?;
            fs::remove_dir_all(&directory)?;
            reaped.runners += 1;
            reaped.sandboxes += sandboxes;
        }
        Ok(reaped)
    }

    fn dead(&self) -> io::Result<Vec<PathBuf>> {
        let _all = lock_all(&self.directory)?;
        let mut dead = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let is_number =
                path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok());
            if !is_number || path == self.own() {
                continue;
            }
            match File::open(path.join("lock")).map(|lock| lock.try_lock()) {
                Ok(Ok(())) => dead.push(path),
                Ok(Err(TryLockError::WouldBlock)) => {}
                Ok(Err(TryLockError::Error(error))) => return Err(error),
                // It died before it had a lock.
                Err(error) if error.kind() == io::ErrorKind::NotFound => dead.push(path),
                Err(error) => return Err(error),
            }
        }
        Ok(dead)
    }

    /// Removes what this runner made, once its launcher has ended. Where that was not in order, sandboxes may be ending
    /// still; what does not go in time stays listed for the next runner's start.
    pub(crate) async fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
        match remove_cgroups(&self.own()).await {
            Ok(_) => {
                let _ = fs::remove_dir_all(self.own());
            }
            Err(error) => tracing::warn!(error = %error, "cgroups are left for the next start to remove"),
        }
    }
}

/// A start that failed, or a driver that was not shut down: cgroups that are still in use stay for the next one's reap,
/// and so does the list that names them.
impl Drop for Instance {
    fn drop(&mut self) {
        if self.released.load(Ordering::Relaxed) {
            return;
        }
        let mut made = self.place.iter().flat_map(|place| &place.made);
        if made.all(|path| fs::remove_dir(path).is_ok() || !path.exists()) {
            // What stays is reaped.
            let _ = fs::remove_dir_all(self.own());
        }
    }
}

fn lock_all(directory: &Path) -> io::Result<File> {
    let lock = File::create(directory.join("lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Removes the cgroups that a dead runner wrote down, and kills what is still in them. Returns how many sandboxes' ones
/// there were.
async fn remove_cgroups(directory: &Path) -> io::Result<usize> {
    let list = match fs::read_to_string(directory.join("cgroups")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        result => result?,
    };
    let mut sandboxes = 0;
    for parent in list.lines().map(Path::new) {
        // On v1 each sandbox has one in every hierarchy.
        sandboxes = sandboxes.max(children(parent)?.len());
        remove_when_empty(parent).await?;
    }
    Ok(sandboxes)
}

/// Removes a cgroup and those below it: kills what is in them, and waits until that has gone.
async fn remove_when_empty(cgroup: &Path) -> io::Result<()> {
    let end = tokio::time::Instant::now() + REAP_TIME;
    while let Err(error) = remove_tree(cgroup) {
        if tokio::time::Instant::now() > end {
            let message = format!("removing {}: {error}", cgroup.display());
            return Err(io::Error::new(error.kind(), message));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn children(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}

fn remove_tree(cgroup: &Path) -> io::Result<()> {
    for child in children(cgroup)? {
        remove_tree(&child)?;
    }
    match File::options()
        .write(true)
        .open(cgroup.join("cgroup.kill"))
        .and_then(|mut kill| kill.write_all(b"1"))
    {
        Ok(()) => {}
        // v1 has no such file: one by one.
        Err(_) => kill_members(cgroup)?,
    }
    match fs::remove_dir(cgroup) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn kill_members(cgroup: &Path) -> io::Result<()> {
    let members = match fs::read_to_string(cgroup.join("cgroup.procs")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    for pid in members.lines().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    Ok(())
}
