//! The container of a sandbox as it is asked for: every limit and every wall, in one place to be read and audited.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountType, MountVolumeOptions, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
    VolumeCreateRequest,
};
use sandbox::{Limits, SandboxSpec, layout, proc, provided};

use crate::image::{INIT, LOCKED_SKILLS};
use crate::owner::Labels;

/// What init looks for among its arguments: that its working directory is the writable directory of skills.
const SKILLS_HERE: &str = "skills-here";

/// Places outside of `/proc` that tell of the host or act on it, and that sandboxes have no use for.
const MASKED_PLACES: [&str; 6] =
    ["/dev/console", "/dev/mqueue", "/dev/tty", "/etc/resolv.conf", "/run", "/sys"];

/// Everything that is covered. A path that an image or a kernel does not have is passed over.
///
/// A daemon can only cover: what [`sandbox::proc`] has made up under other drivers (memory, CPUs, load) is the machine's
/// here, and of its settings those are covered that tell it from another one.
pub(crate) fn masked() -> Vec<String> {
    let places = MASKED_PLACES.into_iter().map(str::to_owned);
    let files = proc::HIDDEN.into_iter().map(|name| format!("/proc/{name}"));
    let settings = proc::HIDDEN_SETTINGS.into_iter().map(|name| format!("/proc/sys/{name}"));
    places.chain(files).chain(settings).collect()
}

/// What may be read, and written by nobody.
const READ_ONLY: [&str; 2] = ["/dev", "/proc/sys"];

/// What sandboxes of one driver have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common<'a> {
    pub(crate) image: &'a str,
    /// The seccomp profile as JSON.
    pub(crate) seccomp: &'a str,
    pub(crate) runtime: Option<&'a str>,
}

/// The user and group of init and of programs.
fn user() -> String {
    format!("{0}:{0}", layout::USER_ID)
}

/// The directory of skills, as a file system in memory of its own: mounted twice, which only a named volume can be.
pub(crate) fn skills(name: &str, limits: &Limits, labels: Labels) -> VolumeCreateRequest {
    in_memory(name, &size(limits.disk_bytes, limits.disk_inodes), labels)
}

/// A named volume that is a file system in memory.
pub(crate) fn in_memory(name: &str, options: &str, labels: Labels) -> VolumeCreateRequest {
    let option = |name: &str, value: String| (name.to_owned(), value);
    VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: Some(HashMap::from([
            option("type", "tmpfs".to_owned()),
            option("device", "tmpfs".to_owned()),
            option("o", format!("nosuid,nodev,{options}")),
        ])),
        labels: Some(labels),
        ..Default::default()
    }
}

fn size(bytes: u64, inodes: u64) -> String {
    format!("uid={0},gid={0},mode=0755,size={bytes},nr_inodes={inodes}", layout::USER_ID)
}

/// The container. `volume` is the one that [`skills`] made.
pub(crate) fn body(
    common: &Common<'_>,
    spec: &SandboxSpec,
    volume: &str,
    layers: Vec<Mount>,
    labels: Labels,
) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(common.image.to_owned()),
        entrypoint: Some(vec![INIT.to_owned(), SKILLS_HERE.to_owned()]),
        // An image's own arguments would be added to ours.
        cmd: Some(Vec::new()),
        // The runtime enters it before it becomes the user, who could not.
        working_dir: Some(LOCKED_SKILLS.to_owned()),
        user: Some(user()),
        hostname: Some(provided::HOSTNAME.to_owned()),
        labels: Some(labels),
        open_stdin: Some(true),
        // When the one who is attached goes, init's input ends, and with it the sandbox.
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        // An image's health check would run programs beside init.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        stop_timeout: Some(0),
        host_config: Some(host_config(common, &spec.limits, volume, layers)),
        ..Default::default()
    }
}

fn host_config(common: &Common<'_>, limits: &Limits, volume: &str, layers: Vec<Mount>) -> HostConfig {
    let place = |path: &str, bytes: u64| {
        let options = format!("rw,exec,nosuid,nodev,{}", size(bytes, limits.disk_inodes));
        (path.to_owned(), options)
    };
    let mut mounts = vec![mount_of(volume, LOCKED_SKILLS, false), mount_of(volume, layout::SKILLS, true)];
    mounts.extend(layers);
    HostConfig {
        // The runner's own clock and init's are the first to end it; what ends by itself is removed, whoever still lives.
        auto_remove: Some(true),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        runtime: common.runtime.map(str::to_owned),
        init: Some(false),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned(), format!("seccomp={}", common.seccomp)]),
        masked_paths: Some(masked()),
        readonly_paths: Some(READ_ONLY.map(str::to_owned).to_vec()),
        network_mode: Some("none".to_owned()),
        // Without a network the daemon writes no line for the name into /etc/hosts.
        extra_hosts: Some(vec![format!("{}:127.0.0.1", provided::HOSTNAME)]),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        memory: Some(signed(limits.memory_bytes)),
        // Memory and swap together: so there is none.
        memory_swap: Some(signed(limits.memory_bytes)),
        oom_kill_disable: Some(false),
        // Before the runner and the daemon, where the machine is out of memory.
        oom_score_adj: Some(900),
        nano_cpus: Some(i64::from(limits.cpu_millis) * 1_000_000),
        pids_limit: Some(i64::from(limits.processes)),
        ulimits: Some(vec![ulimit("nofile", limits.open_files), ulimit("core", 0)]),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        tmpfs: Some(HashMap::from([
            place(layout::WORKSPACE, limits.disk_bytes),
            place(layout::OUTPUT, limits.disk_bytes),
            place(layout::TMP, limits.disk_bytes),
            place(layout::SHM, limits.shm_bytes),
        ])),
        shm_size: Some(signed(limits.shm_bytes)),
        mounts: Some(mounts),
        ..Default::default()
    }
}

/// A mount of a volume, without the copy of what the image has there.
pub(crate) fn mount_of(volume: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

/// A mount of a directory of the daemon's machine, read-only.
pub(crate) fn bind(directory: &str, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(directory.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(true),
        ..Default::default()
    }
}

pub(crate) fn ulimit(name: &str, value: u64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(signed(value)), hard: Some(signed(value)) }
}

/// As the API has numbers. What does not fit is more than any machine has.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
