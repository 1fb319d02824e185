//! What Podman has to be asked in another way than Docker, to get the same container.
//!
//! Podman answers to Docker's API, and passes over in silence what of it it does not have. As of version 4.3 these are: a
//! seccomp profile in the request, masked and read-only paths, the owner and the number of files of a memory file system,
//! a runtime for one container. It has other ways to most of them, which are here; that they had their effect is looked at
//! in [`audit`], from outside, for each container.
//!
//! [`audit`]: crate::audit

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, ImageInspect, SystemInfo, VolumeCreateRequest};
use rustix::process::{Resource, getrlimit};
use sandbox::{DriverError, DriverErrorKind, Limits, layout};

use crate::address::Address;
use crate::container::{in_memory, masked, mount_of, ulimit};
use crate::driver::Config;
use crate::owner::{DEADLINE, LOCKS, Labels, OWNER, Owner};

/// The writable places, with what is added to a sandbox's name for the volume that is there.
const PLACES: [(&str, &str); 4] = [
    ("workspace", layout::WORKSPACE),
    ("output", layout::OUTPUT),
    ("tmp", layout::TMP),
    ("shm", layout::SHM),
];

/// What is put where Podman mounts a memory file system without a limit below a read-only root, unless something else is
/// there; and for devices, which runtimes make before they make it read-only.
const TMPFS: [(&str, &str); 3] = [
    ("/dev", "ro,nosuid,noexec,size=64k,mode=755"),
    ("/run", "ro,nosuid,nodev,noexec,size=4k,mode=755"),
    ("/var/tmp", "ro,nosuid,nodev,noexec,size=4k,mode=755"),
];

/// Most processes of the user of sandboxes, all sandboxes together. A request that has any ulimit and not this one gets
/// a million from Podman, which a service without the right to raise limits cannot give.
const PROCESSES: u64 = 32_768;

/// See the module.
#[derive(Debug)]
pub(crate) struct Podman {
    profile: PathBuf,
    processes: u64,
    /// Bytes of a page, the unit in which a volume's size is given.
    page: u64,
}

/// Why no sandbox can be made by this service as it was configured; `Ok` where they can.
pub(crate) fn refuse(address: &Address, info: &SystemInfo, config: &Config) -> Result<(), DriverError> {
    if address.socket().is_none() {
        return Err(DriverError::new(
            DriverErrorKind::Unavailable,
            "this daemon is Podman, which is used through a unix socket of this machine only: it reads the seccomp profile \
             from a file, and what became of limits is looked at from here",
        ));
    }
    let default = info.default_runtime.as_deref().unwrap_or_default();
    if let Some(runtime) = config.runtime.as_deref().filter(|runtime| *runtime != default) {
        return Err(DriverError::new(
            DriverErrorKind::Unavailable,
            format!(
                "Podman takes no runtime for one container, and its own is `{default}`; start the service with \
                 `podman --runtime {runtime} system service`"
            ),
        ));
    }
    Ok(())
}

/// What an image with init must not bring along. Podman has no request that switches a health check off without asking
/// systemd for a timer.
pub(crate) fn check(name: &str, derived: &ImageInspect) -> Result<(), DriverError> {
    let check = derived.config.as_ref().and_then(|config| config.healthcheck.as_ref());
    let test = check.and_then(|check| check.test.as_deref()).unwrap_or_default();
    if test.first().is_none_or(|kind| kind == "NONE") {
        return Ok(());
    }
    Err(DriverError::new(
        DriverErrorKind::Wall,
        format!(
            "the image `{name}` has a health check, which would run programs beside init; build it without HEALTHCHECK"
        ),
    ))
}

/// What a commit has to be told, since it takes labels from the container alone: the helper's would make every container
/// of the image look like a sandbox.
pub(crate) fn changes(labels: &Labels) -> String {
    let cleared = [OWNER, LOCKS, DEADLINE].map(|label| format!("LABEL {label}="));
    let set = labels.iter().map(|(label, value)| format!("LABEL {label}={value}"));
    cleared.into_iter().chain(set).collect::<Vec<_>>().join("\n")
}

impl Podman {
    /// Writes the seccomp profile where the service reads it.
    pub(crate) fn new(owner: &Owner, profile: &str) -> io::Result<Self> {
        let path = owner.profile();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(profile.as_bytes())?;
        Ok(Self {
            profile: path,
            // A service of the same machine has the same limit, as far as is known.
            processes: getrlimit(Resource::Nproc).maximum.map_or(PROCESSES, |most| most.min(PROCESSES)),
            page: rustix::param::page_size() as u64,
        })
    }

    /// Names of the volumes of a sandbox.
    pub(crate) fn volume_names(name: &str) -> Vec<String> {
        let places = PLACES.iter().map(|(suffix, _)| format!("{name}-{suffix}"));
        [name.to_owned()].into_iter().chain(places).collect()
    }

    /// All file systems in memory, as volumes: only there do an owner and a number of files reach the kernel.
    pub(crate) fn volumes(&self, name: &str, limits: &Limits, labels: &Labels) -> Vec<VolumeCreateRequest> {
        let size = |path: &str| if path == layout::SHM { limits.shm_bytes } else { limits.disk_bytes };
        let sizes = [limits.disk_bytes].into_iter().chain(PLACES.iter().map(|(_, path)| size(path)));
        let volumes = Self::volume_names(name).into_iter().zip(sizes);
        volumes.map(|(name, bytes)| in_memory(&name, &self.options(bytes, limits), labels.clone())).collect()
    }

    /// A volume with an option `size` is taken for a directory with a quota of its file system, and not every file system
    /// has quotas. What the kernel calls blocks is a size as well.
    fn options(&self, bytes: u64, limits: &Limits) -> String {
        format!(
            "uid={0},gid={0},mode=0755,nr_blocks={1},nr_inodes={2}",
            layout::USER_ID,
            bytes.div_ceil(self.page),
            limits.disk_inodes
        )
    }

    /// The same container in words that Podman knows.
    pub(crate) fn adapt(&self, mut body: ContainerCreateBody, name: &str) -> ContainerCreateBody {
        let Some(host) = body.host_config.as_mut() else { return body };
        let profile = format!("seccomp={}", self.profile.display());
        host.security_opt =
            Some(vec!["no-new-privileges".to_owned(), profile, format!("mask={}", masked().join(":"))]);
        // What is read-only there is so in every container of Podman, but for /dev.
        host.masked_paths = None;
        host.readonly_paths = None;
        host.tmpfs = Some(TMPFS.map(|(path, options)| (path.to_owned(), options.to_owned())).into());
        let places = PLACES.iter().map(|(suffix, path)| mount_of(&format!("{name}-{suffix}"), path, false));
        host.mounts.get_or_insert_default().extend(places);
        host.ulimits.get_or_insert_default().push(ulimit("nproc", self.processes));
        // See `check`: there is none.
        body.healthcheck = None;
        body
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{HealthConfig, ImageConfig};

    use super::*;

    fn address(url: &str) -> Address {
        Address { url: url.to_owned(), source: "as configured".to_owned() }
    }

    #[test]
    fn what_podman_passes_over_is_refused() {
        let info = SystemInfo { default_runtime: Some("crun".to_owned()), ..Default::default() };
        let config = Config::new("skillbox/slim");
        let here = address("unix:///run/podman/podman.sock");
        assert!(refuse(&here, &info, &config).is_ok());
        let error = refuse(&address("tcp://127.0.0.1:8080"), &info, &config).unwrap_err();
        assert!(error.message.contains("unix socket"), "{error}");
        let same = Config { runtime: Some("crun".to_owned()), ..config.clone() };
        assert!(refuse(&here, &info, &same).is_ok());
        let other = Config { runtime: Some("kata".to_owned()), ..config };
        let error = refuse(&here, &info, &other).unwrap_err();
        assert!(error.message.contains("podman --runtime kata system service"), "{error}");
    }

    #[test]
    fn an_image_with_a_health_check_is_refused() {
        let with = |test: &[&str]| ImageInspect {
            config: Some(ImageConfig {
                healthcheck: Some(HealthConfig {
                    test: Some(test.iter().map(|&word| word.to_owned()).collect()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(check("a", &ImageInspect::default()).is_ok());
        assert!(check("a", &with(&["NONE"])).is_ok());
        assert!(check("a", &with(&["CMD", "true"])).unwrap_err().message.contains("HEALTHCHECK"));
    }

    #[test]
    fn sizes_are_whole_pages_and_no_smaller() {
        let podman = Podman { profile: PathBuf::new(), processes: 1, page: 4096 };
        let limits = Limits { disk_bytes: 4097, disk_inodes: 7, shm_bytes: 1, ..Limits::standard() };
        let volumes = podman.volumes("a", &limits, &Labels::new());
        let options = |index: usize| volumes[index].driver_opts.as_ref().unwrap()["o"].clone();
        assert_eq!(options(0), "nosuid,nodev,uid=1000,gid=1000,mode=0755,nr_blocks=2,nr_inodes=7");
        assert!(options(4).contains("nr_blocks=1,"), "{}", options(4));
        let names: Vec<&str> = volumes.iter().filter_map(|volume| volume.name.as_deref()).collect();
        assert_eq!(names, ["a", "a-workspace", "a-output", "a-tmp", "a-shm"]);
    }
}
