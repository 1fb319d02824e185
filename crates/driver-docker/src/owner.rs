//! Who a container belongs to, and whether that runner still lives.
//!
//! Every container and volume carries its owner, the place of the owner's lock, and an absolute deadline. A runner holds
//! a lock file as long as it lives; whoever sees the same directory of locks can tell a dead runner by taking its lock.
//! The directory is told apart by boot, device and inode, so that a runner in another container, which has a directory of
//! the same name, is never judged by a lock file that is not its own. Whoever cannot see the lock goes by the deadline.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Label with the id of the runner.
pub(crate) const OWNER: &str = "skillbox.owner";
/// Label with the place of its lock.
pub(crate) const LOCKS: &str = "skillbox.locks";
/// Label with the second of the epoch after which nobody needs it.
pub(crate) const DEADLINE: &str = "skillbox.deadline";

/// Extension of the file with a runner's seccomp profile, beside its lock.
const PROFILE: &str = "seccomp";

/// Labels as the API has them.
pub(crate) type Labels = HashMap<String, String>;

/// This runner among others on the same daemon.
#[derive(Debug)]
pub(crate) struct Owner {
    id: String,
    directory: PathBuf,
    locks: String,
    /// Held for life.
    _lock: File,
}

/// What is known of the owner of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This runner.
    Ours,
    /// Another one that lives, as far as can be told.
    Alive,
    /// One that is dead.
    Dead,
}

impl Owner {
    /// Becomes a runner of a new id, with a lock in a directory, which is made.
    pub(crate) fn claim(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let id = Uuid::new_v4().simple().to_string();
        // Under another name until it is locked, so that nobody takes it for a dead one's.
        let young = directory.join(format!("{id}.new"));
        let lock = File::create(&young)?;
        lock.try_lock().map_err(io::Error::from)?;
        fs::rename(&young, path(directory, &id))?;
        Ok(Self { id, locks: place(directory)?, directory: directory.to_owned(), _lock: lock })
    }

    /// The id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Labels for what this runner makes, to be removed by whoever finds it after this time.
    pub(crate) fn labels(&self, lifetime: Duration) -> Labels {
        let deadline = now() + lifetime.as_secs();
        HashMap::from([
            (OWNER.to_owned(), self.id.clone()),
            (LOCKS.to_owned(), self.locks.clone()),
            (DEADLINE.to_owned(), deadline.to_string()),
        ])
    }

    /// Where this runner may keep a seccomp profile, for a daemon that reads it from a file.
    pub(crate) fn profile(&self) -> PathBuf {
        path(&self.directory, &self.id).with_extension(PROFILE)
    }

    /// Judges by labels.
    pub(crate) fn judge(&self, labels: &Labels) -> Verdict {
        let Some(owner) = labels.get(OWNER) else { return Verdict::Alive };
        if *owner == self.id {
            return Verdict::Ours;
        }
        if labels.get(LOCKS) == Some(&self.locks) && is_id(owner) {
            return match is_locked(&path(&self.directory, owner)) {
                // What cannot be told is left alone.
                Ok(true) | Err(_) => Verdict::Alive,
                Ok(false) => Verdict::Dead,
            };
        }
        let deadline = labels.get(DEADLINE).and_then(|text| text.parse::<u64>().ok());
        if deadline.is_some_and(|deadline| deadline < now()) { Verdict::Dead } else { Verdict::Alive }
    }

    /// Removes the locks of dead runners; returns how many there were.
    pub(crate) fn remove_dead_locks(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.directory)? {
            let file = entry?.path();
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let id = name.strip_suffix(".lock").filter(|id| is_id(id) && *id != self.id);
            if id.is_some() && !is_locked(&file)? {
                // First what belongs to it: without its lock nobody would look for that any more.
                remove_profile(&file.with_extension(PROFILE))?;
                fs::remove_file(&file)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Gives the lock up in order: nothing of this runner is left.
    pub(crate) fn release(&self) {
        // What stays is removed by the next runner.
        if remove_profile(&self.profile()).is_ok() {
            let _ = fs::remove_file(path(&self.directory, &self.id));
        }
    }
}

fn remove_profile(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.lock"))
}

/// Ids come back from the daemon, where anybody may have written them; they become names of files.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether somebody holds it. A lock that is not there was given up.
fn is_locked(file: &Path) -> io::Result<bool> {
    match File::open(file) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What tells this directory from every other one, on this machine and on others.
fn place(directory: &Path) -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let metadata = fs::metadata(directory)?;
    Ok(format!("{}:{}:{}", boot.trim(), metadata.dev(), metadata.ino()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_runner_is_told_by_its_lock_whatever_its_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().join("locks");
        let (one, other) = (Owner::claim(&here).unwrap(), Owner::claim(&here).unwrap());
        let labels = other.labels(Duration::from_secs(1000));
        assert_eq!(one.judge(&labels), Verdict::Alive);
        assert_eq!(other.judge(&labels), Verdict::Ours);
        assert_eq!(one.remove_dead_locks().unwrap(), 0);
        drop(other);
        assert_eq!(one.judge(&labels), Verdict::Dead);
        assert_eq!(one.remove_dead_locks().unwrap(), 1);
        assert_eq!(one.judge(&labels), Verdict::Dead, "without its lock file");
        // A living one is never judged by the clock.
        let third = Owner::claim(&here).unwrap();
        let mut old = third.labels(Duration::ZERO);
        old.insert(DEADLINE.to_owned(), "1".to_owned());
        assert_eq!(one.judge(&old), Verdict::Alive);
        third.release();
        assert_eq!(one.judge(&old), Verdict::Dead, "given up in order");
    }

    #[test]
    fn a_profile_goes_with_its_runner() {
        let directory = tempfile::tempdir().unwrap();
        let (one, ordered, killed) = (
            Owner::claim(directory.path()).unwrap(),
            Owner::claim(directory.path()).unwrap(),
            Owner::claim(directory.path()).unwrap(),
        );
        let profiles = [one.profile(), ordered.profile(), killed.profile()];
        for profile in &profiles {
            fs::write(profile, "{}").unwrap();
        }
        ordered.release();
        drop(killed);
        one.remove_dead_locks().unwrap();
        assert_eq!(profiles.map(|profile| profile.exists()), [true, false, false]);
        one.release();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn who_is_elsewhere_is_judged_by_the_deadline_only() {
        let directory = tempfile::tempdir().unwrap();
        let one = Owner::claim(&directory.path().join("one")).unwrap();
        let elsewhere = Owner::claim(&directory.path().join("two")).unwrap();
        let mut labels = elsewhere.labels(Duration::from_secs(1000));
        assert_eq!(one.judge(&labels), Verdict::Alive);
        drop(elsewhere);
        assert_eq!(one.judge(&labels), Verdict::Alive);
        labels.insert(DEADLINE.to_owned(), (now() - 1).to_string());
        assert_eq!(one.judge(&labels), Verdict::Dead);
    }

    #[test]
    fn odd_labels_are_nobodys_death() {
        let directory = tempfile::tempdir().unwrap();
        let one = Owner::claim(directory.path()).unwrap();
        assert_eq!(one.judge(&Labels::new()), Verdict::Alive);
        let mut labels = one.labels(Duration::from_secs(1000));
        labels.insert(OWNER.to_owned(), "../../etc/passwd".to_owned());
        assert_eq!(one.judge(&labels), Verdict::Alive);
        labels.insert(DEADLINE.to_owned(), "soon".to_owned());
        assert_eq!(one.judge(&labels), Verdict::Alive);
    }
}
