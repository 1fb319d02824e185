//! Whether a container has the walls and limits that were asked for, as the kernel has them.
//!
//! A daemon that passes over what it does not know would make a container that only looks like a sandbox. So what it made
//! is looked at from outside before anything runs in it: in `/proc`, by the number of init, and in the files of its
//! cgroups. Where that cannot be seen, it is not believed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{DriverError, DriverErrorKind, Limits, layout};
use tokio::time::Instant;

use crate::container;
use crate::groups::{Directory, Groups};
use crate::image::LOCKED_SKILLS;

/// Longest time from the start of a container until its filter is in force: the runtime loads it last.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What is looked at.
pub(crate) struct Subject<'a> {
    /// Init's number on this machine.
    pub(crate) pid: i64,
    /// Id of the container.
    pub(crate) container: &'a str,
    pub(crate) limits: &'a Limits,
    /// Whether cgroups have to limit anything.
    pub(crate) with_cgroup: bool,
}

/// Looks at everything; an error names all that is missing.
pub(crate) async fn check(subject: &Subject<'_>) -> Result<(), DriverError> {
    let begun = Instant::now();
    let proc = PathBuf::from(format!("/proc/{}", subject.pid));
    let read = |name: &str| fs::read_to_string(proc.join(name)).map_err(|error| unseen(name, error));
    let mut missing = loop {
        let missing = privileges(&read("status")?);
        if missing.is_empty() || begun.elapsed() > PATIENCE {
            break missing;
        }
        tokio::time::sleep(PAUSE).await;
    };
    // With cgroup v1 there may be none of cgroups: what shows is the name of the container, and all files are masked.
    for name in ["ipc", "mnt", "net", "pid", "uts"] {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).map_err(|error| unseen(name, error))?;
        let theirs = fs::read_link(proc.join("ns").join(name)).map_err(|error| unseen(name, error))?;
        if ours == theirs {
            missing.push(format!("a namespace of its own ({name})"));
        }
    }
    missing.extend(interfaces(&read("net/dev")?));
    missing.extend(mounts(&read("mountinfo")?, subject.limits));
    missing.extend(descriptors(&read("limits")?, subject.limits));
    if subject.with_cgroup {
        let groups = Groups::of(subject.pid, subject.container);
        let value = |controller: &str, v1: &str, v2: &str| limit(groups.as_ref()?, controller, v1, v2);
        missing.extend(resources(&value, subject.limits));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(DriverError::new(
        DriverErrorKind::Wall,
        format!("the daemon made a container without what was asked for: {}", missing.join("; ")),
    ))
}

fn unseen(what: &str, error: io::Error) -> DriverError {
    DriverError::with_source(
        DriverErrorKind::Wall,
        format!(
            "what the daemon made of a sandbox cannot be seen (`{what}` of its first process), and without that it is not \
             believed; run skillbox on the daemon's own machine, as the user of the daemon"
        ),
        error,
    )
}

/// User, capabilities, `no_new_privs` and a filter, from `status`.
fn privileges(status: &str) -> Vec<String> {
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"));
        value.unwrap_or_default().trim()
    };
    let mut missing = Vec::new();
    if field("Uid").split_whitespace().any(|id| id == "0") || field("Uid").is_empty() {
        missing.push("a user other than root".to_owned());
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        if field(set).is_empty() || field(set).bytes().any(|digit| digit != b'0') {
            missing.push(format!("an empty set of capabilities ({set})"));
        }
    }
    if field("NoNewPrivs") != "1" {
        missing.push("no_new_privs".to_owned());
    }
    if field("Seccomp") != "2" {
        missing.push("a seccomp filter".to_owned());
    }
    missing
}

/// Nothing but loopback, from `net/dev`.
fn interfaces(devices: &str) -> Option<String> {
    let names = devices.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    let others: Vec<&str> = names.filter(|name| *name != "lo").collect();
    (!others.is_empty()).then(|| format!("no network (there is {})", others.join(", ")))
}

/// One line of `mountinfo`, as far as it matters.
struct Mounted<'a> {
    /// What of the file system is mounted.
    root: &'a str,
    point: &'a str,
    /// Options of the mount, and of the file system.
    options: Vec<&'a str>,
    file_system: &'a str,
    super_options: Vec<&'a str>,
}

impl<'a> Mounted<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, rest) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let rest: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            root: mount.get(3)?,
            point: mount.get(4)?,
            options: mount.get(5)?.split(',').collect(),
            file_system: rest.first()?,
            super_options: rest.last()?.split(',').collect(),
        })
    }

    /// A number after an option of the file system; sizes with a letter as well.
    fn number(&self, name: &str) -> Option<u64> {
        let text =
            self.super_options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))?;
        let digits = text.trim_end_matches(char::is_alphabetic);
        let unit = match &text[digits.len()..] {
            "" => 1,
            "k" => 1024,
            "m" => 1024 * 1024,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(unit)
    }

    fn is_writable(&self) -> bool {
        self.options.contains(&"rw")
    }
}

/// The writable places with their limits, and nothing else that is writable.
fn mounts(mountinfo: &str, limits: &Limits) -> Vec<String> {
    let all: Vec<Mounted<'_>> = mountinfo.lines().filter_map(Mounted::parse).collect();
    let mut missing = Vec::new();
    let places = layout::PROGRAM_WRITABLE.into_iter().chain([LOCKED_SKILLS]);
    for place in places.clone() {
        let bytes = if place == layout::SHM { limits.shm_bytes } else { limits.disk_bytes };
        // Sizes are whole pages.
        let most = bytes.next_multiple_of(rustix::param::page_size() as u64);
        match all.iter().rfind(|mount| mount.point == place) {
            Some(mount) if mount.file_system == "tmpfs" && mount.is_writable() => {
                if mount.number("size").is_none_or(|size| size > most) {
                    missing.push(format!("a limit on the bytes in {place}"));
                }
                if mount.number("nr_inodes").is_none_or(|count| count > limits.disk_inodes) {
                    missing.push(format!("a limit on the number of files in {place}"));
                }
                for option in ["nosuid", "nodev"] {
                    if !mount.options.contains(&option) {
                        missing.push(format!("`{option}` for {place}"));
                    }
                }
            }
            _ => missing.push(format!("a memory file system at {place}")),
        }
    }
    for place in ["/", "/dev", layout::SKILLS, "/sys", "/run"] {
        if all.iter().rfind(|mount| mount.point == place).is_none_or(Mounted::is_writable) {
            missing.push(format!("a read-only {place}"));
        }
    }
    let masked = container::masked();
    for mount in all.iter().filter(|mount| mount.is_writable()) {
        // Something was mounted over it that nobody can write to.
        let is_covered = masked.iter().any(|masked| {
            let top = all.iter().rfind(|top| top.point == *masked);
            Path::new(mount.point).starts_with(masked) && top.is_some_and(|top| !top.is_writable())
        });
        // What masks a file is /dev/null.
        let is_known = places.clone().any(|place| place == mount.point)
            || is_covered
            || mount.file_system == "proc"
            // Terminals, of the container's own.
            || mount.file_system == "devpts"
            || mount.root == "/null"
            || DEVICES.contains(&mount.point);
        if !is_known {
            missing.push(format!("a read-only {}", mount.point));
        }
    }
    missing
}

/// Descriptors and core dumps, from `limits`.
fn descriptors(text: &str, limits: &Limits) -> Vec<String> {
    let hard = |name: &str| -> Option<u64> {
        let values = text.lines().find_map(|line| line.strip_prefix(name))?;
        values.split_whitespace().nth(1)?.parse().ok()
    };
    let mut missing = Vec::new();
    if hard("Max open files").is_none_or(|most| most > limits.open_files) {
        missing.push("a limit on open descriptors".to_owned());
    }
    if hard("Max core file size") != Some(0) {
        missing.push("no core dumps".to_owned());
    }
    missing
}

/// The content of a controller's file, by both versions of cgroups: of the group that has a limit.
fn limit(groups: &Groups, controller: &str, v1: &str, v2: &str) -> Option<String> {
    let (directory, file) = match groups.directory(controller)? {
        Directory::V1(directory) => (directory, v1),
        Directory::V2(directory) => (directory, v2),
    };
    let mut contents = groups
        .with_parents(&directory)
        .filter_map(|group| fs::read_to_string(group.join(file)).ok())
        .map(|text| text.trim().to_owned());
    contents.find(|text| !text.starts_with("max"))
}

/// Devices that anybody may write to. A service without root cannot make them, and mounts the machine's.
const DEVICES: [&str; 6] = ["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];

/// What a version of cgroups does not have.
const NO_FILE: &str = "-";

/// Memory, swap, processes and CPU.
fn resources(value: &dyn Fn(&str, &str, &str) -> Option<String>, limits: &Limits) -> Vec<String> {
    let number = |controller: &str, v1: &str, v2: &str| value(controller, v1, v2)?.parse::<u64>().ok();
    let mut missing = Vec::new();
    if number("memory", "memory.limit_in_bytes", "memory.max").is_none_or(|most| most > limits.memory_bytes) {
        missing.push("a limit on memory".to_owned());
    }
    // With v1 a limit is on memory and swap together, with v2 on swap alone.
    let together = number("memory", "memory.memsw.limit_in_bytes", NO_FILE);
    let alone = number("memory", NO_FILE, "memory.swap.max");
    if alone != Some(0) && together.is_none_or(|most| most > limits.memory_bytes) {
        missing.push("no swap".to_owned());
    }
    if number("pids", "pids.max", "pids.max").is_none_or(|most| most > u64::from(limits.processes)) {
        missing.push("a limit on processes".to_owned());
    }
    let quota = value("cpu", "cpu.cfs_quota_us", "cpu.max").and_then(|text| {
        let mut words = text.split_whitespace().map(str::to_owned);
        let quota: u64 = words.next()?.parse().ok()?;
        let period = words.next().or_else(|| value("cpu", "cpu.cfs_period_us", "cpu.max"))?;
        Some((quota, period.parse::<u64>().ok()?))
    });
    let within = |(quota, period): (u64, u64)| {
        quota.saturating_mul(1000) <= period.saturating_mul(u64::from(limits.cpu_millis))
    };
    if !quota.is_some_and(within) {
        missing.push("a limit on CPU".to_owned());
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tinit\nUid:\t1000\t1000\t1000\t1000\nCapInh:\t0000000000000000\n\
                          CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
                          CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn limits() -> Limits {
        Limits { disk_bytes: 1 << 20, disk_inodes: 1000, shm_bytes: 1 << 20, ..Limits::standard() }
    }

    fn mountinfo() -> String {
        let place = |path: &str| {
            format!("9 8 0:4 / {path} rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k,nr_inodes=1000,uid=1000\n")
        };
        let mut text = "1 0 0:1 / / ro,relatime - overlay overlay rw,lowerdir=/a\n\
                        2 1 0:2 / /proc rw,nosuid - proc proc rw\n\
                        3 1 0:3 / /dev ro,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n\
                        4 3 0:3 /null /proc/keys rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n\
                        5 1 0:5 / /sys ro,relatime - tmpfs tmpfs ro\n\
                        6 5 0:6 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                        7 1 0:7 / /run ro,relatime - tmpfs tmpfs ro\n\
                        8 1 0:8 / /skills ro,nosuid - tmpfs tmpfs rw,size=1024k,nr_inodes=1000\n"
            .to_owned();
        for path in layout::PROGRAM_WRITABLE.into_iter().chain([LOCKED_SKILLS]) {
            text.push_str(&place(path));
        }
        text
    }

    #[test]
    fn one_privilege_too_many_is_found() {
        assert_eq!(privileges(STATUS), Vec::<String>::new());
        for (from, to, expected) in [
            ("Uid:\t1000\t1000", "Uid:\t1000\t0", "user"),
            ("CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb", "CapBnd"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "no_new_privs"),
            ("Seccomp:\t2", "Seccomp:\t0", "seccomp"),
        ] {
            let missing = privileges(&STATUS.replace(from, to));
            assert!(missing.len() == 1 && missing[0].contains(expected), "{missing:?}");
        }
        assert_eq!(privileges("").len(), 8, "nothing is taken for granted");
    }

    #[test]
    fn a_missing_limit_of_a_place_is_found() {
        assert_eq!(mounts(&mountinfo(), &limits()), Vec::<String>::new());
        for (from, to, expected) in [
            (
                "/output rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k,",
                "/output rw,nosuid,nodev - tmpfs tmpfs rw,",
                "bytes in /output",
            ),
            (
                "/tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k",
                "/tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=1025k",
                "bytes in /tmp",
            ),
            (
                "/workspace rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k,nr_inodes=1000",
                "/workspace rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k",
                "files in /workspace",
            ),
            ("/dev/shm rw,nosuid,nodev", "/dev/shm rw,nodev", "`nosuid` for /dev/shm"),
            ("/ / ro,", "/ / rw,", "a read-only /"),
            ("/skills ro", "/skills rw", "a read-only /skills"),
            ("7 1 0:7 / /run ro", "7 1 0:7 / /var/tmp rw", "a read-only /var/tmp"),
            (
                "7 1 0:7 / /run",
                "7 1 0:7 / /dev/mqueue rw - mqueue mqueue rw\n7 1 0:7 / /run",
                "a read-only /dev/mqueue",
            ),
        ] {
            let missing = mounts(&mountinfo().replacen(from, to, 1), &limits());
            assert!(missing.iter().any(|one| one.contains(expected)), "{expected}: {missing:?}");
        }
    }

    #[test]
    fn a_second_interface_is_a_network() {
        let head = "Inter-|   Receive\n face |bytes\n";
        assert_eq!(interfaces(&format!("{head}    lo:       0\n")), None);
        assert!(interfaces(&format!("{head}    lo:  0\n  eth0:  0\n")).unwrap().contains("eth0"));
    }

    #[test]
    fn limits_of_descriptors_are_read() {
        let text = "Max core file size        0                    0                    bytes\n\
                    Max open files            1024                 1024                 files\n";
        assert_eq!(descriptors(text, &limits()), Vec::<String>::new());
        assert_eq!(descriptors(&text.replace("1024 ", "4096 "), &limits()).len(), 1);
        assert_eq!(descriptors(&text.replace("0  ", "unlimited  "), &limits()).len(), 1);
        assert_eq!(descriptors("", &limits()).len(), 2);
    }

    #[test]
    fn resources_count_in_both_versions_of_cgroups() {
        let limits = Limits { memory_bytes: 512 << 20, processes: 64, cpu_millis: 1500, ..limits() };
        let v1 = |_: &str, file: &str, _: &str| {
            let text = match file {
                "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes" => "536870912",
                "pids.max" => "64",
                "cpu.cfs_quota_us" => "150000",
                "cpu.cfs_period_us" => "100000",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(resources(&v1, &limits), Vec::<String>::new());
        let v2 = |_: &str, _: &str, file: &str| {
            let text = match file {
                "memory.max" => "536870912",
                "memory.swap.max" => "0",
                "pids.max" => "64",
                "cpu.max" => "150000 100000",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(resources(&v2, &limits), Vec::<String>::new());
        let swapping = |controller: &str, file: &str, v2_file: &str| {
            if v2_file == "memory.swap.max" { Some("1".to_owned()) } else { v2(controller, file, v2_file) }
        };
        assert_eq!(resources(&swapping, &limits), ["no swap"]);
        let less = Limits { cpu_millis: 1499, processes: 63, memory_bytes: 1, ..limits };
        assert_eq!(resources(&v1, &less).len(), 4);
        assert_eq!(resources(&v2, &less).len(), 3);
        assert_eq!(resources(&|_, _, _| None, &limits).len(), 4);
        let unlimited = |_: &str, file: &str, _: &str| {
            Some(if file == "cpu.cfs_quota_us" { "-1" } else { "9223372036854771712" }.to_owned())
        };
        assert_eq!(resources(&unlimited, &limits).len(), 4);
    }
}
