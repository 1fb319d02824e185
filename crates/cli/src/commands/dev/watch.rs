//! Which files of a skill were saved.
//!
//! The system only says that something happened; what counts is the difference between two listings of the folder, by
//! size, time and number of each file. So it does not matter how an editor saves (in place, or by a rename), how many events
//! that makes, or whether some got lost. Reading the folder makes events, too, and those change nothing.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::error::{CommandError, Kind};

/// Nothing must happen for this long: an editor saves in several steps, and several files at once.
const QUIET: Duration = Duration::from_millis(60);
/// Something that never stops is looked at all the same.
const LONGEST: Duration = Duration::from_secs(1);
/// More files than a skill may have are not looked at.
const FILES: usize = 5_000;

/// Watches a folder.
#[derive(Debug)]
pub(crate) struct Watch {
    root: PathBuf,
    /// Where output files go, which may be inside.
    output: PathBuf,
    seen: Listing,
    happened: Arc<Notify>,
    _watcher: RecommendedWatcher,
}

/// Files by their path below the folder, and what tells whether one was saved.
type Listing = BTreeMap<String, Mark>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    size: u64,
    modified: (i64, i64),
    inode: u64,
}

impl Watch {
    /// Starts watching; what is there now is no change.
    pub(crate) fn start(root: &Path, output: &Path) -> Result<Self, CommandError> {
        let happened = Arc::new(Notify::new());
        let tell = Arc::clone(&happened);
        let failed = |error: notify::Error| {
            let error = CommandError::of(Kind::Configuration, "CANNOT_WATCH", &error);
            error.hint("the system may watch too few files: see /proc/sys/fs/inotify/max_user_watches")
        };
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_reading = |kind: EventKind| match kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
                EventKind::Access(_) => true,
                _ => false,
            };
            // An error may mean that events were lost, so it is a reason to look.
            if !event.is_ok_and(|event| is_reading(event.kind)) {
                tell.notify_one();
            }
        })
        .map_err(failed)?;
        watcher.watch(root, RecursiveMode::Recursive).map_err(failed)?;
        let (root, output) = (root.to_owned(), output.to_owned());
        let seen = listing(&root, &output);
        Ok(Self { root, output, seen, happened, _watcher: watcher })
    }

    /// Waits until a file is another than it was. May be dropped and called again.
    pub(crate) async fn changed(&self) {
        loop {
            self.happened.notified().await;
            if self.now().await != self.seen {
                return;
            }
        }
    }

    /// Waits until nothing happens any more. The files that were saved, made or removed since the last time.
    pub(crate) async fn settled(&mut self) -> Vec<String> {
        let end = Instant::now() + LONGEST;
        while let Ok(Ok(())) = timeout_at(end, timeout(QUIET, self.happened.notified())).await {}
        let now = self.now().await;
        let all = self.seen.keys().chain(now.keys());
        let mut changed: Vec<String> =
            all.filter(|path| self.seen.get(*path) != now.get(*path)).cloned().collect();
        changed.sort();
        changed.dedup();
        self.seen = now;
        changed
    }

    async fn now(&self) -> Listing {
        let (root, output) = (self.root.clone(), self.output.clone());
        let listed = tokio::task::spawn_blocking(move || listing(&root, &output)).await;
        listed.unwrap_or_default()
    }
}

fn listing(root: &Path, output: &Path) -> Listing {
    let mut found = Listing::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        // What goes away while it is listed is simply not there any more.
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(metadata) = entry.metadata() else { continue };
            if path == output || is_passed_over(&name.to_string_lossy(), metadata.is_dir()) {
                continue;
            }
            if metadata.is_dir() {
                open.push(path);
            } else if found.len() < FILES {
                let inner = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                let modified = (metadata.mtime(), metadata.mtime_nsec());
                found.insert(inner, Mark { size: metadata.len(), modified, inode: metadata.ino() });
            }
        }
    }
    found
}

/// What changes without anybody saving a file of the skill: version control, caches, and what editors leave beside a file
/// while it is open.
fn is_passed_over(name: &str, is_directory: bool) -> bool {
    const DIRECTORIES: [&str; 13] = [
        ".git",
        ".hg",
        ".idea",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".venv",
        ".vscode",
        "__pycache__",
        "node_modules",
        "test-output",
        "venv",
    ];
    if is_directory {
        return DIRECTORIES.contains(&name);
    }
    let ends = [".swp", ".swx", ".swo", "~", ".pyc", ".part", ".tmp", ".crswap"];
    // `4913` is the name with which Vim tries whether it may write.
    name == "4913"
        || name == ".DS_Store"
        || name.starts_with(".#")
        || ends.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any of these tests takes on a machine that is busy.
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn next(watch: &mut Watch) -> Vec<String> {
        timeout(PATIENCE, watch.changed()).await.expect("a change is seen");
        watch.settled().await
    }

    #[tokio::test]
    async fn every_way_to_save_is_seen_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(top.path()).unwrap();
        fs::create_dir_all(root.join("scripts")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(root.join("scripts/a.py"), "1").unwrap();
        let output = root.join("output");
        let mut watch = Watch::start(&root, &output).unwrap();
        // In place.
        fs::write(root.join("scripts/a.py"), "22").unwrap();
        assert_eq!(next(&mut watch).await, ["scripts/a.py"]);
        // By a rename, with the same size.
        fs::write(root.join("scripts/a.py.tmp"), "33").unwrap();
        fs::rename(root.join("scripts/a.py.tmp"), root.join("scripts/a.py")).unwrap();
        assert_eq!(next(&mut watch).await, ["scripts/a.py"]);
        // A new folder with a file in it, and a file that goes.
        fs::create_dir(root.join("assets")).unwrap();
        fs::write(root.join("assets/b.txt"), "x").unwrap();
        fs::remove_file(root.join("scripts/a.py")).unwrap();
        let mut changed = next(&mut watch).await;
        while changed.len() < 2 {
            changed.extend(next(&mut watch).await);
        }
        changed.sort();
        assert_eq!(changed, ["assets/b.txt", "scripts/a.py"]);
        // None of these is a change of the skill; what comes after them is the first that is seen.
        fs::write(root.join(".git/index"), "x").unwrap();
        fs::write(root.join("scripts/.a.py.swp"), "x").unwrap();
        fs::create_dir(&output).unwrap();
        fs::write(output.join("chart.png"), "x").unwrap();
        _ = fs::read(root.join("assets/b.txt")).unwrap();
        fs::write(root.join("SKILL.md"), "x").unwrap();
        assert_eq!(next(&mut watch).await, ["SKILL.md"]);
    }
}
