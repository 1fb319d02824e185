//! Which user ids this user can give to sandboxes.

use std::fs;
use std::io;
use std::process::Command;

use crate::wire::{IDS_PER_RUNNER, IDS_PER_SANDBOX, Ids};

/// First host id that root's sandboxes use: above every range that common tools hand out on their own.
const ROOT_BASE: u32 = 0x7000_0000;

/// Subordinate ids that one of several runners of a user takes.
const SUBORDINATE_PER_RUNNER: u32 = 1024 * IDS_PER_SANDBOX;

/// How this process can give ids, as the runner with this number.
pub(crate) fn available(runner: u32) -> Ids {
    if rustix::process::geteuid().is_root() {
        return root(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default(), runner);
    }
    let first = 1 + runner * SUBORDINATE_PER_RUNNER;
    match subordinate() {
        Some((_, uids, _, gids)) if has_helpers() && first + SUBORDINATE_PER_RUNNER <= uids.min(gids) => {
            Ids::Subordinate { first, count: SUBORDINATE_PER_RUNNER }
        }
        _ => Ids::Single,
    }
}

/// Root may be root of a container, which has fewer ids; then the last ones are taken.
fn root(uid_map: &str, runner: u32) -> Ids {
    let extents = uid_map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>());
        let (Some(Ok(inside)), Some(Ok(_)), Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return None;
        };
        Some((inside, count))
    });
    let below = (runner + 1) * IDS_PER_RUNNER;
    for (inside, count) in extents {
        let wanted = ROOT_BASE + runner * IDS_PER_RUNNER;
        if inside <= wanted && wanted + IDS_PER_RUNNER - inside <= count {
            return Ids::Root { base: wanted };
        }
        // The lower half is for the container's own users.
        if below <= count / 2 {
            return Ids::Root { base: inside + (count - below) };
        }
    }
    Ids::Single
}

/// First subordinate user id and how many there are, and the same for groups.
fn subordinate() -> Option<(u32, u32, u32, u32)> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    let find = |file: &str| {
        let text = fs::read_to_string(file).ok()?;
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            (owner == uid || Some(owner) == name.as_deref())
                .then_some((fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?))
        })
    };
    let (uid_first, uid_count) = find("/etc/subuid")?;
    let (gid_first, gid_count) = find("/etc/subgid")?;
    Some((uid_first, uid_count, gid_first, gid_count))
}

fn has_helpers() -> bool {
    ["newuidmap", "newgidmap"].iter().all(|name| std::path::Path::new("/usr/bin").join(name).exists())
}

/// Maps the user to root and its subordinate ids from 1 on, in the user namespace of a process.
pub(crate) fn map_subordinate(pid: u32) -> io::Result<()> {
    let (uid_first, uid_count, gid_first, gid_count) =
        subordinate().ok_or_else(|| io::Error::other("there are no subordinate ids any more"))?;
    let own_uid = rustix::process::getuid().as_raw();
    let own_gid = rustix::process::getgid().as_raw();
    for (helper, own, first, count) in
        [("newuidmap", own_uid, uid_first, uid_count), ("newgidmap", own_gid, gid_first, gid_count)]
    {
        let numbers = [pid, 0, own, 1, 1, first, count].map(|number| number.to_string());
        let output = Command::new(format!("/usr/bin/{helper}")).args(numbers).env_clear().output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("{helper}: {said}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_the_host_has_a_range_of_its_own() {
        assert_eq!(root("0 0 4294967295\n", 2), Ids::Root { base: ROOT_BASE + 2 * IDS_PER_RUNNER });
    }

    #[test]
    fn root_of_a_container_takes_its_last_ids() {
        assert_eq!(root("0 100000 65536\n", 0), Ids::Root { base: 65536 - IDS_PER_RUNNER });
        assert_eq!(root("0 1000 1\n", 0), Ids::Single);
        assert_eq!(root("", 0), Ids::Single);
    }
}
