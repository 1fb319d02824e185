//! What the memory controller of a container counted: from its cgroup's files where the daemon is on this machine, else
//! from what the daemon says.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use sandbox::MemoryUse;

/// Longest wait for the daemon's word.
const PATIENCE: Duration = Duration::from_secs(2);

/// The files of one memory controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Counters {
    /// cgroup v1.
    V1(PathBuf),
    /// cgroup v2.
    V2(PathBuf),
}

impl Counters {
    /// Finds those of a container by its first process. `None` where they cannot be seen from here: another machine, or
    /// another view of processes or cgroups.
    pub(crate) fn find(pid: i64, container: &str) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Self::locate(&groups, &mounts, container)
            // The same number may be another process's here.
            .filter(|counters| counters.read().is_some())
    }

    fn locate(groups: &str, mounts: &str, container: &str) -> Option<Self> {
        let mut unified = None;
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            if !path.contains(container) {
                continue;
            }
            if controllers.split(',').any(|controller| controller == "memory") {
                let is_memory = |kind: &str, options: &str| {
                    kind == "cgroup" && options.split(',').any(|option| option == "memory")
                };
                return place(mounts, path, &is_memory).map(Self::V1);
            }
            if controllers.is_empty() {
                unified = place(mounts, path, &|kind, _| kind == "cgroup2").map(Self::V2);
            }
        }
        unified
    }

    /// Counts of this moment. `None` once the container is gone.
    pub(crate) fn read(&self) -> Option<MemoryUse> {
        let (directory, events, peak) = match self {
            Self::V1(directory) => (directory, "memory.oom_control", "memory.max_usage_in_bytes"),
            Self::V2(directory) => (directory, "memory.events", "memory.peak"),
        };
        let events = fs::read_to_string(directory.join(events)).ok()?;
        let oom_kills =
            events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()?;
        // Not every kernel keeps the peak.
        let peak = fs::read_to_string(directory.join(peak)).ok();
        Some(MemoryUse { oom_kills, peak_bytes: peak.and_then(|text| text.trim().parse().ok()) })
    }
}

/// Where a path of a hierarchy is on this machine: below the mount whose root it is in.
fn place(mounts: &str, path: &str, wanted: &dyn Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let file_system: Vec<&str> = file_system.split(' ').collect();
        let (root, point) = (*mount.get(3)?, *mount.get(4)?);
        if !wanted(file_system.first()?, file_system.last()?) {
            return None;
        }
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below))
    })
}

/// How often the kernel killed for memory since a container was made, as far as the daemon was told.
pub(crate) async fn told_by_daemon(docker: Docker, container: String, since: u64) -> MemoryUse {
    let filters = std::collections::HashMap::from([
        ("container".to_owned(), vec![container]),
        ("event".to_owned(), vec!["oom".to_owned()]),
    ]);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(since, |time| time.as_secs() + 1);
    let options = EventsOptionsBuilder::default()
        .since(&since.to_string())
        .until(&now.to_string())
        .filters(&filters)
        .build();
    // It ends by itself once `until` has come.
    let count = docker.events(Some(options)).take_while(|event| std::future::ready(event.is_ok())).count();
    let oom_kills = tokio::time::timeout(PATIENCE, count).await.unwrap_or(0);
    MemoryUse { oom_kills: oom_kills as u64, peak_bytes: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const V2: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_directory_is_found_in_both_versions() {
        let v1 = "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n";
        assert_eq!(
            Counters::locate(v1, V1, "abc"),
            Some(Counters::V1("/sys/fs/cgroup/memory/docker/abc".into()))
        );
        let v2 = "0::/system.slice/docker-abc.scope\n";
        assert_eq!(
            Counters::locate(v2, V2, "abc"),
            Some(Counters::V2("/sys/fs/cgroup/system.slice/docker-abc.scope".into()))
        );
    }

    #[test]
    fn another_process_of_that_number_is_not_taken_for_it() {
        assert_eq!(Counters::locate("4:memory:/user.slice\n0::/user.slice\n", V1, "abc"), None);
        assert_eq!(Counters::locate("0::/\n", V2, "abc"), None);
        assert_eq!(Counters::locate("nonsense", V2, "abc"), None);
    }

    #[test]
    fn a_mount_of_a_part_shows_that_part_only() {
        let mounts = "30 20 0:26 /docker /cg rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Counters::locate("0::/docker/abc", mounts, "abc"), Some(Counters::V2("/cg/abc".into())));
        assert_eq!(Counters::locate("0::/other/abc", mounts, "abc"), None);
    }
}
