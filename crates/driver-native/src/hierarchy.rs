//! Where this process may make cgroups: finding and preparing the parents of the sandboxes' ones.
//!
//! On separate hierarchies (v1) that is below the own cgroup of each. On the unified one (v2) a cgroup with processes
//! cannot pass controllers on, so the runner first moves itself into a leaf, where its cgroup is its own (a service
//! with delegation, a container); root on a plain host makes a cgroup at the top instead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::wire::Cgroups;

/// Controllers that limits need.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// The cgroup below a delegated one into which the runner moves itself and what is beside it.
const LEAF: &str = "skillbox-runner";

/// How often `leave` looks for processes that were started meanwhile.
const LEAVE_ROUNDS: usize = 16;

/// A prepared place, and every directory that was made for it, to be removed at the end.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) cgroups: Cgroups,
    pub(crate) made: Vec<PathBuf>,
}

/// Makes the parents for a runner's sandboxes, under this name.
///
/// # Errors
/// A sentence for people: why limits cannot be enforced here, and what helps.
pub(crate) fn prepare(name: &str, most_memory: u64) -> Result<Place, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    if let Some(directory) = own_directory(&mounts, &own, Some("memory")) {
        return separate(&mounts, &own, &directory, name, most_memory);
    }
    match own_directory(&mounts, &own, None) {
        Some(directory) => unified(&directory, name, most_memory),
        None => Err("no cgroup hierarchy is mounted".to_owned()),
    }
}

fn separate(mounts: &str, own: &str, memory: &Path, name: &str, most_memory: u64) -> Result<Place, String> {
    let find = |controller: &str| {
        own_directory(mounts, own, Some(controller))
            .ok_or_else(|| format!("the {controller} controller is not mounted"))
    };
    let parents = [memory.join(name), find("pids")?.join(name), find("cpu")?.join(name)];
    let mut made = Vec::new();
    for parent in &parents {
        if let Err(error) = fs::create_dir(parent) {
            for directory in &made {
                // What is left here is empty and harmless.
                let _ = fs::remove_dir(directory);
            }
            return Err(cannot(parent, &error));
        }
        made.push(parent.clone());
    }
    limit_all(&parents[0].join("memory.limit_in_bytes"), most_memory).inspect_err(|_| {
        for directory in &made {
            let _ = fs::remove_dir(directory);
        }
    })?;
    let [memory, pids, cpu] = parents.map(|path| path.to_string_lossy().into_owned());
    Ok(Place { cgroups: Cgroups::V1 { memory, pids, cpu }, made })
}

fn unified(own: &Path, name: &str, most_memory: u64) -> Result<Place, String> {
    let top = top_of(own);
    let is_real_root = !top.join("cgroup.type").exists();
    let is_root = rustix::process::geteuid().is_root();
    let base = if let Some(arranged) = own.parent().filter(|_| own.ends_with(LEAF)) {
        // This process, or the one that started it, has moved here before.
        arranged.to_owned()
    } else if only_us(own).unwrap_or(false)
        // The root of a cgroup namespace is a container's: all in it is ours to arrange.
        || (own == top && !is_real_root)
        // A cgroup that an ordinary user may write was given to that user with all that is in it: a shell, `make`.
        || (!is_root && is_writable(own))
    {
        leave(own)?;
        own.to_owned()
    } else if is_root && is_real_root {
        top
    } else {
        own.to_owned()
    };
    require_controllers(&base)?;
    enable(&base).map_err(|error| cannot(&base, &error))?;
    let parent = base.join(name);
    fs::create_dir(&parent).map_err(|error| cannot(&parent, &error))?;
    if let Err(error) = enable(&parent) {
        let _ = fs::remove_dir(&parent);
        return Err(cannot(&parent, &error));
    }
    limit_all(&parent.join("memory.max"), most_memory).inspect_err(|_| {
        let _ = fs::remove_dir(&parent);
    })?;
    let cgroups = Cgroups::V2 { parent: parent.to_string_lossy().into_owned() };
    Ok(Place { cgroups, made: vec![parent] })
}

/// Limits all sandboxes together.
fn limit_all(file: &Path, bytes: u64) -> Result<(), String> {
    fs::write(file, bytes.to_string()).map_err(|error| cannot(file, &error))
}

/// Bytes that all sandboxes together may use: nine tenths of what this process may, by the machine and by its own cgroup. The
/// rest is for the runner, its launcher and the system.
pub(crate) fn share_for_sandboxes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    let machine = total.map_or(u64::MAX, |kib| kib * 1024);
    machine.min(own_limit().unwrap_or(u64::MAX)) / 10 * 9
}

/// The limit on this process's own cgroup and those above it, as far as they can be seen.
fn own_limit() -> Option<u64> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (directory, file) = match own_directory(&mounts, &own, Some("memory")) {
        Some(directory) => (directory, "memory.limit_in_bytes"),
        None => (own_directory(&mounts, &own, None)?, "memory.max"),
    };
    let limits = directory.ancestors().map_while(|group| {
        let text = fs::read_to_string(group.join(file)).ok();
        // The uppermost cgroup of the unified hierarchy has no limit, and no file for one.
        text.map(|text| text.trim().parse::<u64>().unwrap_or(u64::MAX))
    });
    limits.min()
}

fn cannot(path: &Path, error: &io::Error) -> String {
    let help = if rustix::process::geteuid().is_root() {
        "give the runner a cgroup that it may write (Delegate=yes in its unit, or a writable /sys/fs/cgroup)"
    } else {
        "start it with `systemd-run --user --scope -p Delegate=yes`"
    };
    format!("no cgroup can be made at {}: {error}; {help}", path.display())
}

fn top_of(own: &Path) -> PathBuf {
    let mut top = own.to_owned();
    while let Some(up) = top.parent().filter(|up| up.join("cgroup.procs").exists()) {
        top = up.to_owned();
    }
    top
}

/// Whether all processes of a cgroup are this one.
fn only_us(directory: &Path) -> io::Result<bool> {
    let own = std::process::id().to_string();
    Ok(fs::read_to_string(directory.join("cgroup.procs"))?.lines().all(|pid| pid == own))
}

/// Whether this user may make cgroups here and pass controllers on to them.
fn is_writable(directory: &Path) -> bool {
    ["", "cgroup.procs", "cgroup.subtree_control"]
        .iter()
        .all(|name| rustix::fs::access(directory.join(name), Access::WRITE_OK).is_ok())
}

/// Says which controller is not there, where the kernel would only say that a file is missing.
fn require_controllers(directory: &Path) -> Result<(), String> {
    let given = fs::read_to_string(directory.join("cgroup.controllers"))
        .map_err(|error| cannot(directory, &error))?;
    match CONTROLLERS.iter().find(|wanted| !given.split_whitespace().any(|name| name == **wanted)) {
        None => Ok(()),
        Some(missing) => Err(format!("the {missing} controller is not passed on to {}", directory.display())),
    }
}

/// Moves all processes of a cgroup into a leaf below it.
fn leave(directory: &Path) -> Result<(), String> {
    let leaf = directory.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(cannot(&leaf, &error)),
        _ => {}
    }
    for _ in 0..LEAVE_ROUNDS {
        let processes =
            fs::read_to_string(directory.join("cgroup.procs")).map_err(|error| cannot(directory, &error))?;
        if processes.is_empty() {
            break;
        }
        for pid in processes.lines() {
            match fs::write(leaf.join("cgroup.procs"), pid) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(cannot(&leaf, &error)),
                _ => {}
            }
        }
    }
    Ok(())
}

fn enable(directory: &Path) -> io::Result<()> {
    let control = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control)?;
    for controller in CONTROLLERS {
        if !enabled.split_whitespace().any(|word| word == controller) {
            fs::write(&control, format!("+{controller}"))?;
        }
    }
    Ok(())
}

/// The own cgroup's directory in the hierarchy of a v1 controller, or in the unified one.
fn own_directory(mounts: &str, own: &str, controller: Option<&str>) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let matches = match controller {
            Some(controller) => controllers.split(',').any(|name| name == controller),
            None => number == "0",
        };
        matches.then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (root, mount) = (fields.nth(3)?, fields.next()?);
        let mut fields = after.split(' ');
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        let matches = match controller {
            Some(controller) => kind == "cgroup" && options.split(',').any(|option| option == controller),
            None => kind == "cgroup2",
        };
        if !matches {
            return None;
        }
        // A container sees only a part of the hierarchy, mounted from its own cgroup on.
        let below = if root == "/" { path } else { path.strip_prefix(root).unwrap_or("/") };
        Some(Path::new(mount).join(below.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "30 25 0:26 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
                      31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn separate_hierarchies_are_found_by_controller() {
        let own = "8:memory:/a/b\n3:cpu,cpuacct:/\n0::/x\n";
        let find = |controller| own_directory(V1, own, controller);
        assert_eq!(find(Some("memory")), Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(find(Some("cpu")), Some("/sys/fs/cgroup/cpu,cpuacct/".into()));
        assert_eq!(find(Some("pids")), None);
        assert_eq!(find(None), Some("/sys/fs/cgroup/unified/x".into()));
    }

    #[test]
    fn a_container_sees_its_part_of_the_hierarchy() {
        let mounts = "30 25 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(own_directory(mounts, "0::/docker/1/x\n", None), Some("/sys/fs/cgroup/x".into()));
    }
}
