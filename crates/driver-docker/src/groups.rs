//! Where the cgroups of a container are, on the machine of the daemon.

use std::fs;
use std::path::{Path, PathBuf};

/// What `/proc` says of the cgroups of one process, and of where cgroups are mounted here.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    groups: String,
    mounts: String,
    container: String,
}

/// The directory of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    /// cgroup v1.
    V1(PathBuf),
    /// cgroup v2.
    V2(PathBuf),
}

impl Groups {
    /// Those of a container's first process. `None` where they cannot be seen from here.
    pub(crate) fn of(pid: i64, container: &str) -> Option<Self> {
        Some(Self {
            groups: fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?,
            mounts: fs::read_to_string("/proc/self/mountinfo").ok()?,
            container: container.to_owned(),
        })
    }

    #[cfg(test)]
    pub(crate) fn from_text(groups: &str, mounts: &str, container: &str) -> Self {
        Self { groups: groups.to_owned(), mounts: mounts.to_owned(), container: container.to_owned() }
    }

    /// The directory of a controller. `None` where the process is not in a cgroup that is named after the container: the
    /// same number may be another process's here.
    pub(crate) fn directory(&self, controller: &str) -> Option<Directory> {
        let mut unified = None;
        for line in self.groups.lines() {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            if !path.contains(&self.container) {
                continue;
            }
            if controllers.split(',').any(|one| one == controller) {
                let is_wanted = |kind: &str, options: &str| {
                    kind == "cgroup" && options.split(',').any(|option| option == controller)
                };
                return self.place(path, &is_wanted).map(Directory::V1);
            }
            if controllers.is_empty() {
                unified = self.place(path, &|kind, _| kind == "cgroup2").map(Directory::V2);
            }
        }
        unified
    }

    /// Where a path of a hierarchy is on this machine: below the mount whose root it is in.
    fn place(&self, path: &str, wanted: &dyn Fn(&str, &str) -> bool) -> Option<PathBuf> {
        self.mounts.lines().find_map(|line| {
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

    /// A directory, and those above it that are the container's as well: a runtime may put the process into a group
    /// below the one that has the limits.
    pub(crate) fn with_parents<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = &'a Path> {
        directory.ancestors().take_while(|one| one.to_string_lossy().contains(&self.container))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const V2: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn locate(groups: &str, mounts: &str) -> Option<Directory> {
        Groups::from_text(groups, mounts, "abc").directory("memory")
    }

    #[test]
    fn the_directory_is_found_in_both_versions() {
        let v1 = "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n";
        assert_eq!(locate(v1, V1), Some(Directory::V1("/sys/fs/cgroup/memory/docker/abc".into())));
        let v2 = "0::/system.slice/docker-abc.scope\n";
        assert_eq!(
            locate(v2, V2),
            Some(Directory::V2("/sys/fs/cgroup/system.slice/docker-abc.scope".into()))
        );
    }

    #[test]
    fn another_process_of_that_number_is_not_taken_for_it() {
        assert_eq!(locate("4:memory:/user.slice\n0::/user.slice\n", V1), None);
        assert_eq!(locate("0::/\n", V2), None);
        assert_eq!(locate("nonsense", V2), None);
    }

    #[test]
    fn a_mount_of_a_part_shows_that_part_only() {
        let mounts = "30 20 0:26 /docker /cg rw - cgroup2 cgroup2 rw\n";
        assert_eq!(locate("0::/docker/abc", mounts), Some(Directory::V2("/cg/abc".into())));
        assert_eq!(locate("0::/other/abc", mounts), None);
    }

    #[test]
    fn groups_above_are_the_containers_as_far_as_they_have_its_name() {
        let groups = Groups::from_text("", "", "abc");
        let all: Vec<&Path> =
            groups.with_parents(Path::new("/cg/machine.slice/libpod-abc.scope/container")).collect();
        assert_eq!(
            all,
            [
                Path::new("/cg/machine.slice/libpod-abc.scope/container"),
                Path::new("/cg/machine.slice/libpod-abc.scope")
            ]
        );
    }
}
