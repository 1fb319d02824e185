//! What this machine can give, for `doctor` and for readiness.

use std::fs;
use std::path::PathBuf;

use sandbox::{Check, CheckState};

use crate::driver::{Config, RootDirectory};
use crate::sys;
use crate::wire::{Cgroups, Ids, Wall};

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
    let good = |name: &str, detail: String| Check {
        name: name.to_owned(),
        state: CheckState::Good,
        detail,
        remedy: None,
    };
    let weak = |wall: Wall, detail: String, remedy: &str| Check {
        name: format!("wall `{}`", wall.name()),
        state: CheckState::Weak,
        detail,
        remedy: Some(remedy.to_owned()),
    };
    let mut checks =
        vec![good("namespaces", "user, mount, pid, net, ipc, uts and cgroup: a launcher runs".to_owned())];
    checks.push(match cgroups {
        Ok(Cgroups::V2 { parent }) => good("wall `cgroup`", format!("v2 at {parent}")),
        Ok(Cgroups::V1 { memory, .. }) => good("wall `cgroup`", format!("v1 at {memory} and beside")),
        Ok(Cgroups::None) => weak(Wall::Cgroup, "none".to_owned(), "run as root or with a delegated cgroup"),
        Err(why) => weak(
            Wall::Cgroup,
            format!("memory, processes and CPU are not limited: {why}"),
            "run as root, or under `systemd-run --user --scope -p Delegate=yes`",
        ),
    });
    checks.push(match ids {
        Ids::Root { base } => good("wall `uids`", format!("own host ids for each sandbox, from {base} on")),
        Ids::Subordinate { count, .. } => {
            good("wall `uids`", format!("own ids for each sandbox, of {count} subordinate ones"))
        }
        Ids::Single => weak(
            Wall::Uids,
            "programs and init share this user's id".to_owned(),
            "install `uidmap` and give the user a range in /etc/subuid and /etc/subgid",
        ),
    });
    checks.push(match sys::landlock_abi() {
        0 => weak(
            Wall::Landlock,
            "the kernel has none".to_owned(),
            "use Linux 5.13 or newer with Landlock enabled",
        ),
        abi => good("wall `landlock`", format!("ABI {abi}")),
    });
    checks.push(python(config));
    checks
}

/// What is to be said where the launcher is gone: every sandbox went with it, and no other can be made until the next
/// launcher runs.
pub(crate) fn launcher_ended() -> Check {
    Check {
        name: "launcher".to_owned(),
        state: CheckState::Missing,
        detail: "the process that makes sandboxes ended".to_owned(),
        remedy: Some("another one is being started; the log says why if that does not work".to_owned()),
    }
}

fn python(config: &Config) -> Check {
    let root = match &config.root {
        RootDirectory::Host => PathBuf::from("/"),
        RootDirectory::Directory(directory) => directory.clone(),
    };
    let name = "python3".to_owned();
    let found =
        ["usr/local/bin/python3", "usr/bin/python3"].iter().map(|path| root.join(path)).find(|path| {
            // A link that only leads somewhere inside of the root counts, too.
            fs::symlink_metadata(path).is_ok()
        });
    match found {
        Some(path) => {
            Check { name, state: CheckState::Good, detail: path.display().to_string(), remedy: None }
        }
        None => Check {
            name,
            state: CheckState::Weak,
            detail: "the root directory has no python3: Python skills will not run".to_owned(),
            remedy: Some("install python3 (`apt-get install python3`)".to_owned()),
        },
    }
}
