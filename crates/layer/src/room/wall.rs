//! What binds a tool beside namespaces: another user, limits, Landlock, and system calls that no installer needs.

use std::{io, path::PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::{
    process::{Gid, Resource, Rlimit, Uid, setrlimit},
    thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::{Network, Plan};

/// Newest Landlock that is asked for; the kernel's may be older.
const LANDLOCK: ABI = ABI::V6;

/// The first Landlock that binds to ports.
const WITH_PORTS: ABI = ABI::V4;

/// Data of one process. Both tools resolve the largest sets with a third of it.
const MEMORY: u64 = 1024 * 1024 * 1024;

/// Processes and threads of the user; several builds may run side by side.
const PROCESSES: u64 = 1024;

const OPEN_FILES: u64 = 4096;

/// What interpreters read beside `/usr`: libraries' cache, certificates, time zone, Debian's `sitecustomize`, names.
const SYSTEM: [&str; 17] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/os-release",
    "/etc/debian_version",
];

/// Its own process only: the link is followed here, before any program of the tool exists.
const OWN: [&str; 3] = ["/proc/self", "/dev/urandom", "/dev/random"];

/// Becomes another user for good. The process had root's capabilities; with its ids they go.
pub(super) fn become_user(id: u32) -> io::Result<()> {
    set_thread_groups(&[])?;
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    if rustix::process::getuid().is_root() || rustix::process::geteuid().is_root() {
        return Err(io::Error::other("the tool would be root"));
    }
    Ok(())
}

/// The rest of the wall, inherited by all that the tool starts.
pub(super) fn put_up(plan: &Plan) -> io::Result<()> {
    set_no_new_privs(true)?;
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, plan.file_bytes),
        (Resource::Data, MEMORY),
        (Resource::Nproc, PROCESSES),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Cpu, plan.cpu_seconds),
        (Resource::Msgqueue, 0),
        (Resource::Memlock, 0),
    ] {
        // Never more than there is.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |now| now.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    landlock(plan).map_err(|error| io::Error::other(format!("Landlock: {error}")))?;
    let filter = filter().map_err(|error| io::Error::other(format!("seccomp: {error}")))?;
    seccompiler::apply_filter(&filter).map_err(|error| io::Error::other(format!("seccomp: {error}")))
}

fn landlock(plan: &Plan) -> io::Result<()> {
    let read: BitFlags<AccessFs> = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let write =
        AccessFs::from_all(LANDLOCK) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock);
    let other = io::Error::other::<landlock::RulesetError>;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .map_err(other)?;
    if let Network::Port(_) = plan.network {
        rules = rules
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessNet::from_all(WITH_PORTS))
            .map_err(|_| {
                io::Error::other(
                    "this kernel neither gives the tool a network of its own nor binds it to one port",
                )
            })?
            .set_compatibility(CompatLevel::BestEffort);
    }
    let mut rules = rules.create().map_err(other)?;
    if let Network::Port(port) = plan.network {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp)).map_err(other)?;
    }
    let system = SYSTEM.iter().chain(&OWN).map(PathBuf::from);
    let reads =
        system.chain(plan.reads.iter().cloned()).chain([plan.directory.clone()]).map(|path| (path, read));
    let null: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let writes = plan.writes.iter().map(|path| (path.clone(), write));
    for (path, access) in reads.chain(writes).chain([("/dev/null".into(), null), ("/dev/zero".into(), null)])
    {
        // What is not there needs no rule.
        let Ok(fd) = PathFd::new(&path) else { continue };
        let is_file = std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir());
        let access = if is_file { access & AccessFs::from_file(LANDLOCK) } else { access };
        rules = rules.add_rule(PathBeneath::new(fd, access)).map_err(other)?;
    }
    let status = rules.restrict_self().map_err(other)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(io::Error::other("this kernel has none")),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// Refuses what no installer needs and kernels have had holes in, and sockets of any kind but IP's.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let condition =
        |argument, operator, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
    let always = Vec::new;
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.into_iter().map(|call| (i64::from(call.id()), always())).collect();
    // TCP over IPv4 and IPv6 only; a pair of unix sockets is made by another call. Landlock binds plain TCP to ports,
    // but neither UDP nor MPTCP, nor a connection that a first `send` opens.
    let neither_family = vec![condition(0, SeccompCmpOp::Ne, 2)?, condition(0, SeccompCmpOp::Ne, 10)?];
    let sockets = vec![
        SeccompRule::new(neither_family)?,
        SeccompRule::new(vec![condition(1, SeccompCmpOp::MaskedEq(0xf), 2)?])?,
        SeccompRule::new(vec![condition(1, SeccompCmpOp::MaskedEq(0xf), 3)?])?,
        SeccompRule::new(vec![condition(2, SeccompCmpOp::Ne, 0)?, condition(2, SeccompCmpOp::Ne, 6)?])?,
    ];
    rules.insert(i64::from(syscalls::Sysno::socket.id()), sockets);
    const FAST_OPEN: u64 = 0x2000_0000;
    for (call, flags) in
        [(syscalls::Sysno::sendto, 3), (syscalls::Sysno::sendmsg, 2), (syscalls::Sysno::sendmmsg, 3)]
    {
        let fast_open = condition(flags, SeccompCmpOp::MaskedEq(FAST_OPEN), FAST_OPEN)?;
        rules.insert(i64::from(call.id()), vec![SeccompRule::new(vec![fast_open])?]);
    }
    // New namespaces in a new process; clone3, whose flags cannot be looked at, is refused as if it were not there.
    const NAMESPACES: u64 = 0x7e02_0000;
    let mut with_namespace = Vec::new();
    for bit in (0..32).map(|bit| 1_u64 << bit).filter(|bit| NAMESPACES & bit != 0) {
        with_namespace.push(SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(bit), bit)?])?);
    }
    rules.insert(i64::from(syscalls::Sysno::clone.id()), with_namespace);
    let arch = if cfg!(target_arch = "x86_64") { TargetArch::x86_64 } else { TargetArch::aarch64 };
    let errno = |code: rustix::io::Errno| SeccompAction::Errno(code.raw_os_error().unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, errno(rustix::io::Errno::NOSYS), arch)?.try_into()
}

const REFUSED: [syscalls::Sysno; 49] = {
    use syscalls::Sysno as S;
    [
        S::ptrace,
        S::process_vm_readv,
        S::process_vm_writev,
        S::kcmp,
        S::pidfd_getfd,
        S::bpf,
        S::perf_event_open,
        S::userfaultfd,
        S::io_uring_setup,
        S::io_uring_enter,
        S::io_uring_register,
        S::io_setup,
        S::add_key,
        S::request_key,
        S::keyctl,
        S::mount,
        S::umount2,
        S::pivot_root,
        S::chroot,
        S::move_mount,
        S::open_tree,
        S::fsopen,
        S::fsconfig,
        S::fsmount,
        S::fspick,
        S::mount_setattr,
        S::unshare,
        S::setns,
        S::clone3,
        S::open_by_handle_at,
        S::name_to_handle_at,
        S::kexec_load,
        S::kexec_file_load,
        S::init_module,
        S::finit_module,
        S::delete_module,
        S::reboot,
        S::swapon,
        S::swapoff,
        S::acct,
        S::settimeofday,
        S::clock_settime,
        S::adjtimex,
        S::sethostname,
        S::setdomainname,
        S::quotactl,
        S::personality,
        S::fanotify_init,
        S::mknodat,
    ]
};
