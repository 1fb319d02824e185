//! What this machine can give, for `doctor` and for readiness.

use std::fs;
use std::path::PathBuf;

use sandbox::{Check, Wall};

use crate::driver::{Config, RootDirectory};
use crate::sys;
use crate::wire::{Cgroups, Ids};

/// Where the driver keeps its state unless told otherwise.
pub(crate) fn runtime_directory() -> PathBuf {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return PathBuf::from("/run/skillbox");
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| PathBuf::from(directory).is_dir()) {
        Some(directory) => PathBuf::from(directory).join("skillbox"),
        None => std::env::temp_dir().join(format!("skillbox-{}", user.as_raw())),
    }
}

/// Everything that the driver depends on.
pub(crate) fn all(config: &Config, ids: &Ids, cgroups: Result<&Cgroups, &str>) -> Vec<Check> {
    let mut checks =
        vec![Check::good("namespaces", "user, mount, pid, net, ipc, uts and cgroup: a launcher runs")];
    checks.push(match cgroups {
        Ok(Cgroups::V2 { parent }) => Check::standing(Wall::Cgroup, format!("v2 at {parent}")),
        Ok(Cgroups::V1 { memory, .. }) => Check::standing(Wall::Cgroup, format!("v1 at {memory} and beside")),
        Ok(Cgroups::None) => Check::lacking(Wall::Cgroup, "none", "run as root or with a delegated cgroup"),
        Err(why) => Check::lacking(
            Wall::Cgroup,
            format!("memory, processes and CPU are not limited: {why}"),
            "run as root, or under `systemd-run --user --scope -p Delegate=yes`",
        ),
    });
    checks.push(match ids {
        Ids::Root { base } => {
            Check::standing(Wall::Uids, format!("own host ids for each sandbox, from {base} on"))
        }
        Ids::Subordinate { count, .. } => {
            Check::standing(Wall::Uids, format!("own ids for each sandbox, of {count} subordinate ones"))
        }
        Ids::Single => Check::lacking(
            Wall::Uids,
            "programs and init share this user's id",
            "install `uidmap` and give the user a range in /etc/subuid and /etc/subgid",
        ),
    });
    checks.push(match sys::landlock_abi() {
        0 => Check::lacking(
            Wall::Landlock,
            "the kernel has none",
            "use Linux 5.13 or newer with Landlock enabled",
        ),
        abi => Check::standing(Wall::Landlock, format!("ABI {abi}")),
    });
    checks.push(python(config));
    checks
}

/// What is to be said where the launcher is gone: every sandbox went with it, and no other can be made until the next
/// launcher runs.
pub(crate) fn launcher_ended() -> Check {
    Check::missing(
        "launcher",
        "the process that makes sandboxes ended",
        "another one is being started; the log says why if that does not work",
    )
}

fn python(config: &Config) -> Check {
    let root = match &config.root {
        RootDirectory::Host => PathBuf::from("/"),
        RootDirectory::Directory(directory) => directory.clone(),
    };
    let found =
        ["usr/local/bin/python3", "usr/bin/python3"].iter().map(|path| root.join(path)).find(|path| {
            // A link that only leads somewhere inside of the root counts, too.
            fs::symlink_metadata(path).is_ok()
        });
    match found {
        Some(path) => Check::good("python3", path.display().to_string()),
        None => Check::weak(
            "python3",
            "the root directory has no python3: Python skills will not run",
            "install python3 (`apt-get install python3`)",
        ),
    }
}
