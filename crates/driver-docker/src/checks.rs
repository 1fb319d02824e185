//! What the daemon can give, for the start, for `doctor` and for readiness.

use bollard::models::SystemInfo;
use sandbox::{Check, DriverError, DriverErrorKind, Wall};

use crate::driver::Config;
use crate::engine::Engine;
use crate::image::Image;

/// Why no sandbox can be made by this daemon as it was configured; `Ok` where they can.
pub(crate) fn refuse(info: &SystemInfo, config: &Config, engine: Engine) -> Result<(), DriverError> {
    let error = |kind, message: String| Err(DriverError::new(kind, message));
    let system = info.os_type.as_deref().unwrap_or("linux");
    if system != "linux" {
        return error(
            DriverErrorKind::Unavailable,
            format!(
                "this Docker daemon runs containers of {system}, and sandboxes need Linux; switch it over"
            ),
        );
    }
    if !has_seccomp(info) {
        return error(
            DriverErrorKind::Unavailable,
            "this Docker daemon filters no system calls; use one with seccomp".to_owned(),
        );
    }
    if let Some(runtime) = &config.runtime
        && let Some(runtimes) = &info.runtimes
        && !runtimes.contains_key(runtime)
    {
        let mut known: Vec<&str> = runtimes.keys().map(String::as_str).collect();
        known.sort_unstable();
        return error(
            DriverErrorKind::NotFound,
            format!(
                "the Docker daemon has no runtime `{runtime}`, only {}; add it to the daemon's configuration",
                known.join(", ")
            ),
        );
    }
    let runtime = config.runtime.as_deref().or(info.default_runtime.as_deref());
    if let Some(runtime) = runtime.filter(|runtime| is_gvisor(runtime, info)) {
        return error(
            DriverErrorKind::Unavailable,
            format!(
                "the runtime `{runtime}` is gVisor's runsc, which cannot run sandboxes: it looks for the working directory as \
                 the user, who may not enter it, and has none of `openat2`, Landlock and the container's seccomp profile, \
                 which the walls are made of; use runc or crun"
            ),
        );
    }
    let missing = missing_limits(info, engine);
    if !missing.is_empty() && !config.allow_missing.contains(&Wall::Cgroup) {
        return error(
            DriverErrorKind::Wall,
            format!(
                "the wall `cgroup` cannot be built: this Docker daemon does not limit {}; `--allow-missing cgroup` goes \
                 without",
                missing.join(", ")
            ),
        );
    }
    Ok(())
}

/// By its name, or by what the daemon starts under another one.
fn is_gvisor(runtime: &str, info: &SystemInfo) -> bool {
    let path = info.runtimes.as_ref().and_then(|known| known.get(runtime)?.path.as_deref());
    let file = path.and_then(|path| path.rsplit('/').next());
    [Some(runtime), file].into_iter().flatten().any(|name| name.contains("runsc") || name.contains("gvisor"))
}

fn has_seccomp(info: &SystemInfo) -> bool {
    let options = info.security_options.as_deref().unwrap_or_default();
    options.iter().any(|option| option.split(',').any(|part| part == "name=seccomp" || part == "seccomp"))
}

/// What the daemon says that it cannot limit. With cgroup v2, Podman (4.3) says so of swap and CPU although it limits both;
/// there only what the kernel says of each container counts.
fn missing_limits(info: &SystemInfo, engine: Engine) -> Vec<&'static str> {
    if engine == Engine::Podman && info.cgroup_version.is_some_and(|version| version.to_string() == "2") {
        return Vec::new();
    }
    let limits = [
        (info.memory_limit, "memory"),
        (info.swap_limit, "swap"),
        (info.pids_limit, "processes"),
        (info.cpu_cfs_quota, "CPU"),
    ];
    limits.into_iter().filter(|(given, _)| *given == Some(false)).map(|(_, name)| name).collect()
}

/// A daemon that answered.
pub(crate) struct Found<'a> {
    pub(crate) info: &'a SystemInfo,
    pub(crate) engine: Engine,
    /// Where it listens.
    pub(crate) place: &'a str,
}

/// The lines for a daemon that answered.
pub(crate) fn all(found: &Found<'_>, config: &Config, image: &Image, layers: &str) -> Vec<Check> {
    let Found { info, engine, place } = found;
    let version = info.server_version.as_deref().unwrap_or("of unknown version");
    let missing = missing_limits(info, *engine);
    let kind = match engine {
        Engine::Docker => "",
        Engine::Podman => "Podman ",
    };
    let cgroup = if missing.is_empty() {
        let version = info.cgroup_version.map_or_else(|| "1".to_owned(), |version| version.to_string());
        Check::standing(Wall::Cgroup, format!("v{version}, by the daemon"))
    } else {
        Check::lacking(
            Wall::Cgroup,
            format!("the daemon does not limit {}", missing.join(", ")),
            "turn the memory and swap controllers on (`cgroup_enable=memory swapaccount=1`), or run the daemon as root",
        )
    };
    let runtime = config.runtime.as_deref().or(info.default_runtime.as_deref()).unwrap_or("runc");
    vec![
        Check::good("docker daemon", format!("{kind}{version} at {place}")),
        Check::good("image", format!("{} ({}), with init as {}", image.name, image.id, image.derived)),
        Check::good("runtime", runtime),
        cgroup,
        Check::good("users", "programs and init share user 1000, as do all sandboxes"),
        Check::good("layers", layers),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    fn info() -> SystemInfo {
        SystemInfo {
            os_type: Some("linux".to_owned()),
            security_options: Some(vec!["name=seccomp,profile=default".to_owned()]),
            runtimes: Some(HashMap::from([("runc".to_owned(), Default::default())])),
            memory_limit: Some(true),
            swap_limit: Some(true),
            pids_limit: Some(true),
            cpu_cfs_quota: Some(true),
            ..Default::default()
        }
    }

    #[test]
    fn what_a_daemon_lacks_is_refused_by_name() {
        let config = Config::new("skillbox/slim");
        assert!(refuse(&info(), &config, Engine::Docker).is_ok());
        let windows = SystemInfo { os_type: Some("windows".to_owned()), ..info() };
        assert!(refuse(&windows, &config, Engine::Docker).unwrap_err().message.contains("windows"));
        let open = SystemInfo { security_options: Some(vec!["name=apparmor".to_owned()]), ..info() };
        assert!(refuse(&open, &config, Engine::Docker).unwrap_err().message.contains("seccomp"));
        let kata = Config { runtime: Some("kata".to_owned()), ..config.clone() };
        assert!(refuse(&info(), &kata, Engine::Docker).unwrap_err().message.contains("only runc"));
        let path =
            |path: &str| bollard::models::Runtime { path: Some(path.to_owned()), ..Default::default() };
        let sandboxed = SystemInfo {
            runtimes: Some(HashMap::from([
                ("careful".to_owned(), path("/usr/local/bin/runsc")),
                ("crun".to_owned(), path("/usr/bin/crun")),
            ])),
            ..info()
        };
        let with = |runtime: &str| Config { runtime: Some(runtime.to_owned()), ..config.clone() };
        assert!(
            refuse(&sandboxed, &with("careful"), Engine::Docker).unwrap_err().message.contains("openat2")
        );
        assert!(refuse(&sandboxed, &with("crun"), Engine::Docker).is_ok());
        let by_default = SystemInfo { default_runtime: Some("careful".to_owned()), ..sandboxed };
        assert!(refuse(&by_default, &config, Engine::Docker).is_err());
        assert!(refuse(&by_default, &with("crun"), Engine::Docker).is_ok());
        let swapping = SystemInfo { swap_limit: Some(false), ..info() };
        let error = refuse(&swapping, &config, Engine::Docker).unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Wall);
        assert!(
            error.message.contains("swap") && error.message.contains("--allow-missing cgroup"),
            "{error}"
        );
        let unified = SystemInfo {
            cgroup_version: Some(bollard::models::SystemInfoCgroupVersionEnum::_2),
            ..swapping.clone()
        };
        assert!(refuse(&unified, &config, Engine::Docker).is_err());
        assert!(refuse(&unified, &config, Engine::Podman).is_ok(), "each container is looked at instead");
        assert!(refuse(&swapping, &config, Engine::Podman).is_err());
        let allowed = Config { allow_missing: BTreeSet::from([Wall::Cgroup]), ..config };
        assert!(refuse(&swapping, &allowed, Engine::Docker).is_ok());
    }
}
