//! What a sandbox is told of the machine: the files of `/proc` and `/sys` that are made up, and the covering of all others.
//!
//! Which name is of which kind is decided in [`sandbox::proc`], for every driver. Here stands how: what is the same for all
//! sandboxes of a launcher is made once, on the stage; what depends on the limits is written by the child into a small
//! file system of its own; both are mounted over the kernel's. What is not made up is covered, by listing what this kernel
//! really has, so that a name of a newer one is covered as well.
//!
//! The figures are those of the sandbox's limits, from its beginning on; they do not follow what it uses. The time since
//! the machine's start is true, since a system call tells it to everybody.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_bind, mount_bind_recursive};
use sandbox::proc::{Kind, SETTINGS, Setting, kind};

use crate::stage::about;
use crate::sys;
use crate::wire::NewSandbox;

/// What all sandboxes are told, as the launcher sees it.
pub(crate) const TOLD: &str = "/told";

/// Where a child mounts what only its sandbox is told.
const OWN: &str = "/told/own";

/// Settings whose file another one is mounted on.
const BOOT_ID: &str = "kernel/random/boot_id";
const UUID: &str = "kernel/random/uuid";

/// Names that are written for each sandbox; the other made-up ones are the same for all.
const FOR_EACH: [&str; 5] = ["cpuinfo", "loadavg", "meminfo", "stat", "uptime"];

/// What is taken from the machine: the kinds of its CPUs, which an instruction tells as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// One description for each CPU, without a blank line.
    cpus: Vec<String>,
    /// What stands behind them, on some architectures.
    rest: String,
}

impl Machine {
    /// Reads it from `/proc/cpuinfo`.
    pub(crate) fn look() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/proc/cpuinfo")?))
    }

    fn parse(cpuinfo: &str) -> Self {
        let blocks = cpuinfo.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty());
        let (cpus, rest): (Vec<&str>, Vec<&str>) = blocks.partition(|block| block.starts_with("processor"));
        Self { cpus: cpus.into_iter().map(str::to_owned).collect(), rest: rest.join("\n\n") }
    }

    /// CPUs of a sandbox that may use so many thousandths of one.
    fn count(&self, cpu_millis: u32) -> usize {
        (cpu_millis.div_ceil(1000) as usize).clamp(1, self.cpus.len().max(1))
    }

    fn cpuinfo(&self, count: usize) -> String {
        let mut text = String::new();
        for cpu in self.cpus.iter().take(count) {
            for line in cpu.lines() {
                let name = line.split(':').next().unwrap_or_default().trim();
                let own = match name {
                    "siblings" | "cpu cores" => Some(count.to_string()),
                    "physical id" => Some("0".to_owned()),
                    _ => None,
                };
                // Writing to a string cannot fail.
                let _ = match own {
                    Some(value) => writeln!(text, "{}: {value}", line.split(':').next().unwrap_or_default()),
                    None => writeln!(text, "{line}"),
                };
            }
            text.push('\n');
        }
        if !self.rest.is_empty() {
            let _ = writeln!(text, "{}", self.rest);
        }
        text
    }
}

/// Writes what all sandboxes are told, and makes it read-only. `stage` is the launcher's future root.
pub(crate) fn prepare(stage: &Path) -> io::Result<()> {
    let told = stage.join(TOLD.trim_start_matches('/'));
    fs::create_dir_all(told.join("own"))?;
    let system = rustix::system::uname();
    let (release, version) = (system.release().to_string_lossy(), system.version().to_string_lossy());
    for (name, content) in [
        ("version", format!("Linux version {release} {version}\n")),
        ("filesystems", "nodev\tproc\nnodev\ttmpfs\nnodev\tdevpts\n".to_owned()),
        ("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned()),
        ("vmstat", "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n".to_owned()),
    ] {
        fs::write(told.join(name), content)?;
    }
    for (name, setting) in SETTINGS {
        let content = match setting {
            Setting::Fixed(value) => format!("{value}\n"),
            Setting::Random => String::new(),
            Setting::OfKernel => match fs::read_to_string(Path::new("/proc/sys").join(name)) {
                Ok(content) => content,
                // This kernel lacks it.
                Err(_) => continue,
            },
        };
        let path = told.join("sys").join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, content)?;
    }
    mount_bind(&told, &told).map_err(about("binding what sandboxes are told"))?;
    let path = crate::stage::c_path(&told)?;
    let flags = sys::MOUNT_RDONLY | sys::MOUNT_NOSUID | sys::MOUNT_NODEV;
    sys::set_mount_attributes(&path, flags, false).map_err(about("making it read-only"))
}

/// In the child, whose working directory is its root to be: mounts `/proc`, and `/sys`, as the sandbox is to see them.
pub(crate) fn mounts(sandbox: &NewSandbox, machine: &Machine) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "proc", "proc", flags, c"hidepid=2").map_err(about("mounting /proc"))?;
    rustix::mount::mount("told", OWN, "tmpfs", flags, c"mode=0755,size=256k,nr_inodes=256")
        .map_err(about("a tmpfs for what the sandbox is told"))?;
    write_own(Path::new(OWN), sandbox, machine).map_err(about("writing what the sandbox is told"))?;
    sys::set_mount_attributes(c"/told/own", sys::MOUNT_RDONLY, false)
        .map_err(about("making it read-only"))?;
    // Before the settings of the kernel are covered: it draws another one at each reading.
    let uuid = format!("{TOLD}/sys/{UUID}");
    mount_bind(format!("proc/sys/{UUID}"), &uuid).map_err(about(UUID))?;
    sys::set_mount_attributes(&crate::stage::c_path(Path::new(&uuid))?, sys::MOUNT_RDONLY, false)
        .map_err(about(UUID))?;
    mount_bind(format!("{OWN}/boot_id"), format!("{TOLD}/sys/{BOOT_ID}")).map_err(about(BOOT_ID))?;
    for entry in fs::read_dir("proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let target = format!("proc/{name}");
        match kind(name) {
            Kind::Own => Ok(()),
            Kind::MadeUp if name == "sys" => mount_bind_recursive(format!("{TOLD}/sys"), &target),
            Kind::MadeUp if FOR_EACH.contains(&name) => mount_bind(format!("{OWN}/{name}"), &target),
            Kind::MadeUp => mount_bind(format!("{TOLD}/{name}"), &target),
            Kind::Hidden => hide(&entry, &target),
        }
        .map_err(about(&format!("covering /proc/{name}")))?;
    }
    mount_bind(format!("{OWN}/sys"), "sys").map_err(about("mounting /sys"))
}

fn hide(entry: &fs::DirEntry, target: &str) -> Result<(), Errno> {
    let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
    // What is a link leads to something that is covered itself.
    if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
        return Ok(());
    }
    match mount_bind(if is_directory { "run" } else { "dev/null" }, target) {
        // It has gone since, with a module of the kernel.
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn write_own(own: &Path, sandbox: &NewSandbox, machine: &Machine) -> io::Result<()> {
    let count = machine.count(sandbox.cgroup.cpu_millis);
    let uptime = fs::read_to_string("proc/uptime")?;
    let since_start = uptime.split(' ').next().unwrap_or("0.00");
    let begun = fs::read_to_string("proc/stat")?;
    let begun = begun.lines().find(|line| line.starts_with("btime ")).unwrap_or("btime 0").to_owned();
    fs::write(own.join("cpuinfo"), machine.cpuinfo(count))?;
    fs::write(own.join("loadavg"), "0.00 0.00 0.00 1/1 1\n")?;
    fs::write(own.join("meminfo"), meminfo(sandbox.cgroup.memory_bytes / 1024))?;
    fs::write(own.join("stat"), stat(count, &begun))?;
    fs::write(own.join("uptime"), format!("{since_start} 0.00\n"))?;
    fs::write(own.join("boot_id"), fs::read_to_string(format!("proc/sys/{UUID}"))?)?;
    let cpus = own.join("sys/devices/system/cpu");
    fs::create_dir_all(&cpus)?;
    let last = count - 1;
    let range = if last == 0 { "0\n".to_owned() } else { format!("0-{last}\n") };
    for name in ["online", "possible", "present"] {
        fs::write(cpus.join(name), &range)?;
    }
    fs::write(cpus.join("offline"), "\n")?;
    fs::write(cpus.join("kernel_max"), format!("{last}\n"))?;
    for number in 0..count {
        fs::create_dir(cpus.join(format!("cpu{number}")))?;
    }
    Ok(())
}

/// The memory of the sandbox, in KiB, all of it free.
fn meminfo(total: u64) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("MemTotal", total),
        ("MemFree", total),
        ("MemAvailable", total),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", 0),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", 0),
        ("Mapped", 0),
        ("Shmem", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("CommitLimit", total),
        ("Committed_AS", 0),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<16}{value:>8} kB", format!("{name}:"));
    }
    text.push_str("HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n");
    text
}

fn stat(cpus: usize, begun: &str) -> String {
    let mut text = "cpu  0 0 0 0 0 0 0 0 0 0\n".to_owned();
    for number in 0..cpus {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "cpu{number} 0 0 0 0 0 0 0 0 0 0");
    }
    let _ =
        write!(text, "intr 0\nctxt 0\n{begun}\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: A\nsiblings\t: 8\ncpu cores\t: 4\n\n\
                           processor\t: 1\nmodel name\t: A\nsiblings\t: 8\ncpu cores\t: 4\n\n";

    #[test]
    fn cpus_are_those_that_the_limit_allows() {
        let machine = Machine::parse(CPUINFO);
        assert_eq!((machine.count(1), machine.count(1000), machine.count(1001)), (1, 1, 2));
        assert_eq!(machine.count(64_000), 2, "no more than there are");
        let text = machine.cpuinfo(1);
        assert_eq!(text, "processor\t: 0\nmodel name\t: A\nsiblings\t: 1\ncpu cores\t: 1\n\n");
        assert_eq!(machine.cpuinfo(2).matches("processor").count(), 2);
        assert_eq!(stat(2, "btime 1").matches("cpu").count(), 3);
    }

    #[test]
    fn what_stands_behind_the_cpus_stays() {
        let machine = Machine::parse("processor\t: 0\nFeatures\t: fp\n\nHardware\t: Board\n");
        assert_eq!(machine.cpuinfo(1), "processor\t: 0\nFeatures\t: fp\n\nHardware\t: Board\n");
    }

    #[test]
    fn memory_is_that_of_the_sandbox() {
        let text = meminfo(524_288);
        assert!(text.starts_with("MemTotal:          524288 kB\n"), "{text}");
        assert!(text.contains("SwapTotal:              0 kB\n"), "{text}");
    }
}
