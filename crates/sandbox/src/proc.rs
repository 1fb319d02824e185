//! What `/proc` of a sandbox tells: one list for all drivers, and for the programs that attack it.
//!
//! A kernel shows the whole machine in `/proc`: its devices, interrupts, locks, load, settings. Programs need a small part
//! of that, to choose a number of threads or a size of a buffer, and what they need to know is what the *sandbox* has.
//! So each name is of one of three kinds ([`Kind`]), and a name that nobody has heard of is hidden: a newer kernel tells
//! nothing more until somebody has looked at it.
//!
//! A driver that can put files of its own into `/proc` tells [`Kind::MadeUp`] names from the limits of the sandbox. One
//! that can only cover (a container's daemon) leaves those as the kernel has them and hides the rest.

/// What becomes of a name in `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of the sandbox's own namespaces already: left as it is.
    Own,
    /// Read by ordinary programs: tells of the sandbox instead of the machine.
    MadeUp,
    /// Covered.
    Hidden,
}

/// Names that are of the sandbox's own namespaces.
pub const OWN: [&str; 5] = ["mounts", "net", "self", "sysvipc", "thread-self"];

/// Names that ordinary programs read. `sys` is a directory; what is in it is [`SETTINGS`].
pub const MADE_UP: [&str; 10] =
    ["cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "swaps", "sys", "uptime", "version", "vmstat"];

/// What becomes of a name directly below `/proc` that is not the number of a process.
#[must_use]
pub fn kind(name: &str) -> Kind {
    if OWN.contains(&name) {
        Kind::Own
    } else if MADE_UP.contains(&name) {
        Kind::MadeUp
    } else {
        Kind::Hidden
    }
}

/// Names that are hidden, as far as kernels are known to have them, for drivers that cannot look. Others pass over those that
/// their kernel lacks.
pub const HIDDEN: [&str; 60] = [
    "acpi",
    "allocinfo",
    "apm",
    "asound",
    "bootconfig",
    "buddyinfo",
    "bus",
    "cgroups",
    "cmdline",
    "config.gz",
    "consoles",
    "cpu",
    "crypto",
    "devices",
    "diskstats",
    "dma",
    "driver",
    "dynamic_debug",
    "execdomains",
    "fb",
    "fs",
    "i8k",
    "ide",
    "interrupts",
    "iomem",
    "ioports",
    "irq",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "lock_stat",
    "lockdep",
    "lockdep_chains",
    "lockdep_stats",
    "locks",
    "mdstat",
    "misc",
    "modules",
    "mpt",
    "mtrr",
    "pagetypeinfo",
    "partitions",
    "pressure",
    "sched_debug",
    "schedstat",
    "scsi",
    "slabinfo",
    "softirqs",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
    "tty",
    "vmallocinfo",
    "zoneinfo",
];

/// What a setting of the kernel says inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The same on every machine: what a kernel has when nobody changed anything.
    Fixed(&'static str),
    /// What `uname` says to everybody as well, or what is the same for every process of this kernel.
    OfKernel,
    /// Drawn anew: for each sandbox, or at each reading.
    Random,
}

/// The settings that there are below `/proc/sys`, with their values; there are no others.
pub const SETTINGS: [(&str, Setting); 55] = [
    ("crypto/fips_enabled", Setting::Fixed("0")),
    ("fs/aio-max-nr", Setting::Fixed("65536")),
    ("fs/aio-nr", Setting::Fixed("0")),
    ("fs/epoll/max_user_watches", Setting::Fixed("110376")),
    ("fs/file-max", Setting::Fixed("9223372036854775807")),
    ("fs/file-nr", Setting::Fixed("0\t0\t9223372036854775807")),
    ("fs/inotify/max_queued_events", Setting::Fixed("16384")),
    ("fs/inotify/max_user_instances", Setting::Fixed("128")),
    ("fs/inotify/max_user_watches", Setting::Fixed("8192")),
    ("fs/mqueue/msg_max", Setting::Fixed("10")),
    ("fs/mqueue/msgsize_max", Setting::Fixed("8192")),
    ("fs/mqueue/queues_max", Setting::Fixed("256")),
    ("fs/nr_open", Setting::Fixed("1048576")),
    ("fs/pipe-max-size", Setting::Fixed("1048576")),
    ("kernel/cap_last_cap", Setting::OfKernel),
    ("kernel/core_pattern", Setting::Fixed("core")),
    ("kernel/domainname", Setting::Fixed("(none)")),
    ("kernel/hostname", Setting::Fixed("sandbox")),
    ("kernel/msgmax", Setting::Fixed("8192")),
    ("kernel/msgmnb", Setting::Fixed("16384")),
    ("kernel/msgmni", Setting::Fixed("32000")),
    ("kernel/ngroups_max", Setting::Fixed("65536")),
    ("kernel/osrelease", Setting::OfKernel),
    ("kernel/ostype", Setting::OfKernel),
    ("kernel/overflowgid", Setting::Fixed("65534")),
    ("kernel/overflowuid", Setting::Fixed("65534")),
    ("kernel/pid_max", Setting::Fixed("32768")),
    ("kernel/random/boot_id", Setting::Random),
    ("kernel/random/entropy_avail", Setting::Fixed("256")),
    ("kernel/random/poolsize", Setting::Fixed("256")),
    ("kernel/random/uuid", Setting::Random),
    ("kernel/randomize_va_space", Setting::Fixed("2")),
    ("kernel/sem", Setting::Fixed("32000\t1024000000\t500\t32000")),
    ("kernel/shmall", Setting::Fixed("18446744073692774399")),
    ("kernel/shmmax", Setting::Fixed("18446744073692774399")),
    ("kernel/shmmni", Setting::Fixed("4096")),
    ("kernel/threads-max", Setting::Fixed("32768")),
    ("kernel/version", Setting::OfKernel),
    ("net/core/rmem_default", Setting::Fixed("212992")),
    ("net/core/rmem_max", Setting::Fixed("212992")),
    ("net/core/somaxconn", Setting::Fixed("4096")),
    ("net/core/wmem_default", Setting::Fixed("212992")),
    ("net/core/wmem_max", Setting::Fixed("212992")),
    ("net/ipv4/ip_forward", Setting::Fixed("0")),
    ("net/ipv4/ip_local_port_range", Setting::Fixed("32768\t60999")),
    ("net/ipv4/ip_unprivileged_port_start", Setting::Fixed("1024")),
    ("net/ipv6/bindv6only", Setting::Fixed("0")),
    ("net/ipv6/conf/all/disable_ipv6", Setting::Fixed("0")),
    ("vm/max_map_count", Setting::OfKernel),
    ("vm/mmap_min_addr", Setting::OfKernel),
    ("vm/nr_hugepages", Setting::Fixed("0")),
    ("vm/overcommit_memory", Setting::OfKernel),
    ("vm/overcommit_ratio", Setting::OfKernel),
    ("vm/swappiness", Setting::Fixed("60")),
    ("user/max_user_namespaces", Setting::Fixed("0")),
];

/// Settings that a driver covers which cannot make the others up: they tell this machine from the next, or how it is kept.
pub const HIDDEN_SETTINGS: [&str; 22] = [
    "abi",
    "debug",
    "dev",
    "fs/binfmt_misc",
    "fs/dentry-state",
    "fs/fuse",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/quota",
    "fs/xfs",
    "kernel/bootloader_type",
    "kernel/bootloader_version",
    "kernel/core_pattern",
    "kernel/firmware_config",
    "kernel/keys",
    "kernel/modprobe",
    "kernel/ns_last_pid",
    "kernel/random/boot_id",
    "kernel/tainted",
    "kernel/usermodehelper",
    "net/netfilter",
    "sunrpc",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_of_one_kind() {
        let mut names: Vec<&str> = OWN.into_iter().chain(MADE_UP).chain(HIDDEN).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        for name in HIDDEN {
            assert_eq!(kind(name), Kind::Hidden, "{name}");
        }
        assert_eq!(kind("what-a-later-kernel-has"), Kind::Hidden);
        assert_eq!((kind("self"), kind("meminfo")), (Kind::Own, Kind::MadeUp));
    }

    #[test]
    fn settings_are_named_once() {
        let names: BTreeSet<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), SETTINGS.len());
    }
}
