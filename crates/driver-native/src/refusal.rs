//! Why a kernel refuses what sandboxes are made of, where it only says "Operation not permitted".
//!
//! The kernel answers the same to a user who may make no namespaces, in a container that filters the call, and in a plain
//! chroot, where user namespaces are refused to everybody. What distinguishes them can be read in `/proc`; what is found is
//! said together with the option that helps. It decides nothing: it is looked at only when something was refused.

use std::fs;
use std::io;

/// What tells the causes apart.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// Whether no mount lies at `/`: so the root directory is below one, as only `chroot` makes it.
    in_chroot: bool,
    /// Whether a filter of system calls is in force, as in a container.
    is_filtered: bool,
    /// Whether a part of `/proc` is covered, as in a container.
    proc_is_covered: bool,
    /// `user.max_user_namespaces`, where it can be read.
    most_user_namespaces: Option<u64>,
    /// Settings that forbid user namespaces to ordinary users, by name, with the value that allows them.
    forbidden_by: Vec<(&'static str, &'static str)>,
}

/// Settings of distributions: name, value that forbids, value that allows.
const SETTINGS: [(&str, &str, &str); 2] = [
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
];

impl Facts {
    fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let setting = |name: &str| read(&format!("/proc/sys/{}", name.replace('.', "/"))).trim().to_owned();
        let is_root = rustix::process::geteuid().is_root();
        let forbidden =
            SETTINGS.into_iter().filter(|(name, forbids, _)| !is_root && setting(name) == *forbids);
        let mounts = read("/proc/self/mountinfo");
        Self {
            in_chroot: in_chroot(&mounts),
            is_filtered: read("/proc/self/status").lines().any(|line| line == "Seccomp:\t2"),
            proc_is_covered: proc_is_covered(&mounts),
            most_user_namespaces: setting("user.max_user_namespaces").parse().ok(),
            forbidden_by: forbidden.map(|(name, _, allows)| (name, allows)).collect(),
        }
    }

    fn cause(&self) -> Option<String> {
        if self.in_chroot {
            return Some(
                "this is a chroot, in which the kernel makes no user namespaces; enter the directory with `unshare --mount` and \
                 `pivot_root`, or with `systemd-nspawn`, or run skillbox outside of it"
                    .to_owned(),
            );
        }
        if self.most_user_namespaces == Some(0) {
            return Some(
                "no user namespaces are allowed here; `sysctl user.max_user_namespaces=15000` allows them"
                    .to_owned(),
            );
        }
        if let Some((name, value)) = self.forbidden_by.first() {
            return Some(format!(
                "ordinary users may make no user namespaces here; `sysctl {name}={value}` allows them, or run skillbox as root"
            ));
        }
        if self.is_filtered {
            return Some(
                "a seccomp filter is in force, as in a container; start that with `--security-opt seccomp=unconfined --security-opt \
                 systempaths=unconfined --security-opt apparmor=unconfined` and `--cap-add SYS_ADMIN` (docs/deploy.md)"
                    .to_owned(),
            );
        }
        if self.proc_is_covered {
            return Some(
                "a part of /proc is covered, as in a container, so that no other one may be mounted; start the container with \
                 `--security-opt systempaths=unconfined` (docs/deploy.md)"
                    .to_owned(),
            );
        }
        None
    }
}

/// Adds the likely cause to what the launcher said, where the kernel refused something.
pub(crate) fn explain(message: &str) -> String {
    let refused = [libc::EPERM, libc::EACCES, libc::ENOSPC, libc::EUSERS];
    let mut refused = refused.into_iter().map(|code| io::Error::from_raw_os_error(code).to_string());
    if !refused.any(|text| message.contains(&text)) {
        return message.to_owned();
    }
    match Facts::look().cause() {
        Some(cause) => format!("{message}: {cause}"),
        None => message.to_owned(),
    }
}

fn points(mountinfo: &str) -> impl Iterator<Item = &str> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4))
}

fn in_chroot(mountinfo: &str) -> bool {
    !mountinfo.is_empty() && points(mountinfo).all(|point| point != "/")
}

fn proc_is_covered(mountinfo: &str) -> bool {
    points(mountinfo).any(|point| point.starts_with("/proc/") && point != "/proc/sys/fs/binfmt_misc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chroot_has_no_mount_at_its_root() {
        assert!(in_chroot("30 25 0:26 / /proc rw - proc proc rw\n"));
        assert!(!in_chroot("30 25 0:26 / / rw - ext4 /dev/vda rw\n31 30 0:5 / /proc rw - proc proc rw\n"));
        assert!(!in_chroot(""), "what cannot be seen says nothing");
    }

    #[test]
    fn a_covered_proc_is_seen() {
        assert!(proc_is_covered("30 25 0:26 /null /proc/kcore rw - devtmpfs d rw\n"));
        assert!(!proc_is_covered("30 25 0:26 / /proc rw - proc proc rw\n"));
    }

    #[test]
    fn each_cause_names_what_helps() {
        let none = Facts::default();
        assert_eq!(none.cause(), None);
        for (facts, help) in [
            (Facts { in_chroot: true, ..none.clone() }, "pivot_root"),
            (Facts { most_user_namespaces: Some(0), ..none.clone() }, "user.max_user_namespaces=15000"),
            (
                Facts { forbidden_by: vec![("kernel.unprivileged_userns_clone", "1")], ..none.clone() },
                "kernel.unprivileged_userns_clone=1",
            ),
            (Facts { is_filtered: true, ..none.clone() }, "seccomp=unconfined"),
            (Facts { proc_is_covered: true, ..none }, "systempaths=unconfined"),
        ] {
            assert!(facts.cause().unwrap().contains(help), "{facts:?}");
        }
    }

    #[test]
    fn what_was_not_refused_stays_as_it_is() {
        assert_eq!(
            explain("a tmpfs for the stage: No such file or directory"),
            "a tmpfs for the stage: No such file or directory"
        );
    }
}
