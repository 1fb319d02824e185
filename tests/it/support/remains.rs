//! What a runner left on the machine, looked for where it would be: processes, cgroups, mounts, directories.
//!
//! Several runners may be at work on the machine, so everything is told apart by the runner's process id: it is part of
//! the names of its cgroups, and those are written down in its state directory.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    started: u64,
    pub(crate) command: String,
}

/// What belongs to a runner while it works, to be looked for again when it is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belongings {
    pub(crate) processes: BTreeSet<Process>,
    namespaces: BTreeSet<PathBuf>,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = (stat.find('(')?, stat.rfind(')')?);
        let fields: Vec<&str> = stat[after + 2..].split(' ').collect();
        // A zombie runs nothing and holds nothing; whoever adopted it is about to collect it.
        if fields[0] == "Z" || fields[0] == "X" {
            return None;
        }
        Some(Self { pid, started: fields[19].parse().ok()?, command: stat[before + 1..after].to_owned() })
    }

    fn parent(&self) -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        stat[stat.rfind(')')? + 2..].split(' ').nth(1)?.parse().ok()
    }

    /// Whether it still runs.
    pub(crate) fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// Every process of the machine.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Process::read).collect()
}

/// All processes below `pid`: the launcher, the init of each sandbox, and what runs inside.
pub(crate) fn descendants(pid: u32) -> BTreeSet<Process> {
    let all: Vec<(Process, Option<u32>)> =
        processes().into_iter().map(|process| (process.clone(), process.parent())).collect();
    let mut found = BTreeSet::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for (process, _) in all.iter().filter(|(_, its)| *its == Some(parent)) {
            if found.insert(process.clone()) {
                parents.push(process.pid);
            }
        }
    }
    found
}

/// The child of a runner that makes its sandboxes; others may be there to prepare packages.
pub(crate) fn launcher(runner: u32) -> Process {
    let is_launcher = |process: &Process| {
        let arguments = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        process.parent() == Some(runner) && arguments.ends_with(b"\0__launcher\0")
    };
    processes().into_iter().find(is_launcher).expect("a runner has a launcher")
}

impl Belongings {
    /// Of a runner that lives.
    pub(crate) fn of(runner: u32) -> Self {
        let processes = descendants(runner);
        let own = fs::read_link("/proc/self/ns/mnt").unwrap();
        let namespaces = processes
            .iter()
            .filter_map(|process| fs::read_link(format!("/proc/{}/ns/mnt", process.pid)).ok());
        Self { namespaces: namespaces.filter(|namespace| *namespace != own).collect(), processes }
    }
}

/// Everything of a runner that is dead by now that is still there, in words. Empty when nothing is.
pub(crate) fn left(runner: u32, before: &Belongings) -> Vec<String> {
    let mut left: Vec<String> = before
        .processes
        .iter()
        .filter(|process| process.lives())
        .map(|process| format!("process {} ({})", process.pid, process.command))
        .collect();
    let cgroups = cgroups(runner);
    left.extend(cgroups.iter().map(|path| format!("cgroup {}", path.display())));
    left.extend(directories(runner).iter().map(|path| format!("directory {}", path.display())));
    let adopters = ancestors(std::process::id());
    for process in processes() {
        let proc = PathBuf::from(format!("/proc/{}", process.pid));
        // A namespace with its mounts lives as long as anything is in it.
        if is_in(&process, &before.namespaces) && is_orphan(&process, &before.namespaces, &adopters) {
            left.push(format!("mount namespace of process {} ({})", process.pid, process.command));
        }
        let member = format!("-{runner}");
        let member_of = fs::read_to_string(proc.join("cgroup")).unwrap_or_default();
        let is_ours = |part: &str| part.starts_with("skillbox-") && part.ends_with(&member);
        if member_of.split(['/', '\n']).any(is_ours) {
            left.push(format!("process {} ({}) in a cgroup of the runner", process.pid, process.command));
        }
    }
    left.extend(mounts().into_iter().map(|mount| format!("mount {mount}")));
    left
}

fn is_in(process: &Process, namespaces: &BTreeSet<PathBuf>) -> bool {
    fs::read_link(format!("/proc/{}/ns/mnt", process.pid))
        .is_ok_and(|namespace| namespaces.contains(&namespace))
}

/// Whether whoever started this process is gone. The kernel gives the number of a namespace that is gone to a new one,
/// so a process in it may well be another runner's; that runner lives.
fn is_orphan(process: &Process, namespaces: &BTreeSet<PathBuf>, adopters: &BTreeSet<u32>) -> bool {
    let Some(parent) = process.parent() else { return false };
    match Process::read(parent) {
        Some(parent) if is_in(&parent, namespaces) => is_orphan(&parent, namespaces, adopters),
        _ => adopters.contains(&parent),
    }
}

/// A process and all above it, where orphans go to.
fn ancestors(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([0, 1, pid]);
    let mut next = Process::read(pid).and_then(|process| process.parent());
    while let Some(pid) = next.filter(|pid| found.insert(*pid)) {
        next = Process::read(pid).and_then(|process| process.parent());
    }
    found
}

/// The cgroups of a runner and of its sandboxes, in all hierarchies.
pub(crate) fn cgroups(runner: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let roots =
        mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    for root in roots {
        collect_cgroups(Path::new(root), &format!("-{runner}"), false, &mut found);
    }
    found
}

fn collect_cgroups(directory: &Path, suffix: &str, inside: bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in
        entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = inside || (name.starts_with("skillbox-") && name.ends_with(suffix));
        if ours {
            found.push(entry.path());
        }
        collect_cgroups(&entry.path(), suffix, ours, found);
    }
}

/// Where runners of this user keep their state.
pub(crate) fn state_directory() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/run/skillbox");
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| Path::new(directory).is_dir()) {
        Some(directory) => Path::new(&directory).join("skillbox"),
        None => std::env::temp_dir().join(format!("skillbox-{}", rustix::process::geteuid().as_raw())),
    }
}

/// The state directories of a runner: those whose list names a cgroup of it.
pub(crate) fn directories(runner: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(state_directory()) else { return Vec::new() };
    let suffix = format!("-{runner}");
    let is_ours = |path: &PathBuf| {
        fs::read_to_string(path.join("cgroups"))
            .is_ok_and(|list| list.lines().any(|line| line.ends_with(&suffix)))
    };
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_ours).collect()
}

/// Mounts of skillbox that can be seen outside of its own namespaces: there must never be one.
pub(crate) fn mounts() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let state = state_directory();
    let is_ours =
        |line: &&str| line.split(' ').nth(4).is_some_and(|point| Path::new(point).starts_with(&state));
    mounts.lines().filter(is_ours).map(str::to_owned).collect()
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// How many mounts a process sees.
pub(crate) fn mounts_of(pid: u32) -> usize {
    fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap().lines().count()
}
