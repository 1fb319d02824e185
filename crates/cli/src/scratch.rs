//! A directory of a command's own, for artifacts on their way to the user; gone with the command.
//!
//! A command that is killed cannot clean up, so the next one does: every directory is locked by its process as long as
//! that lives. All of them lie in one place below the cache, so that looking for remains reads only what is ours.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use tempfile::TempDir;

const LOCK: &str = "lock";
/// A directory without a lock is one that was just made, unless it is older than this.
const JUST_MADE: Duration = Duration::from_secs(60);

/// The directory. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    /// Held as long as the directory is used.
    _lock: File,
}

impl Scratch {
    /// A new directory below `parent`, which is made where it is missing; also removes what killed commands left.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        // Remains that cannot be removed now are in the way of nothing.
        _ = sweep(parent);
        let private = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("call-").permissions(private).tempdir_in(parent)?;
        let lock = File::create_new(directory.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { directory, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let dead = match File::open(path.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => age(&path).is_some_and(|age| age > JUST_MADE),
        };
        if dead {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn age(path: &Path) -> Option<Duration> {
    fs::symlink_metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remains_of_the_dead_go_and_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let calls = parent.path().join("calls");
        let living = Scratch::create(&calls).unwrap();
        let killed = calls.join("call-killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK), "").unwrap();
        let just_made = calls.join("call-new");
        fs::create_dir(&just_made).unwrap();
        let other = Scratch::create(&calls).unwrap();
        assert!(!killed.exists() && just_made.exists() && living.path().exists());
        assert_eq!(fs::metadata(other.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = other.path().to_owned();
        drop(other);
        assert!(!path.exists());
    }
}
