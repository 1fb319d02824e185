//! A container's own description, held against two public lists: Pod Security "restricted" of Kubernetes, and section 5
//! of the CIS benchmark for Docker. The numbers are those of its edition 1.6.
//!
//! What is not here does not apply: 5.1 and 5.2 ask for AppArmor or SELinux, which the daemon applies by itself where the
//! machine has them; 5.6 to 5.8 and 5.13 are about services that are reached from outside; 5.11 is done by quota instead
//! of shares; 5.27 is about health checks, which would run programs beside init.

use serde_json::Value;

/// Everything that is not as it should be, in words.
pub(crate) fn findings(container: &Value) -> Vec<String> {
    let host = &container["HostConfig"];
    let config = &container["Config"];
    let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    let options: Vec<&str> =
        host["SecurityOpt"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let profile = options.iter().find_map(|option| option.strip_prefix("seccomp="));
    let profile: Value = profile.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let user = config["User"].as_str().unwrap_or_default();
    let positive = |value: &Value| value.as_i64().is_some_and(|number| number > 0);
    let masked =
        |path: &str| host["MaskedPaths"].as_array().is_some_and(|paths| paths.iter().any(|one| one == path));
    let mounts: Vec<&Value> = container["Mounts"].as_array().into_iter().flatten().collect();
    let binds: Vec<&&Value> = mounts.iter().filter(|mount| mount["Type"] == "bind").collect();
    let writable = |mount: &&&Value| mount["RW"] == true;
    let rules = [
        // Pod Security "restricted", which contains "baseline".
        ("restricted: not privileged (CIS 5.4)", host["Privileged"] == false),
        ("restricted: no privilege escalation (CIS 5.25)", options.contains(&"no-new-privileges")),
        ("restricted: all capabilities dropped (CIS 5.3)", host["CapDrop"] == serde_json::json!(["ALL"])),
        ("restricted: no capability added (CIS 5.3)", is_empty(&host["CapAdd"])),
        (
            "restricted: runs as a user other than root",
            user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)),
        ),
        ("restricted: a seccomp profile (CIS 5.21)", profile["defaultAction"] == "SCMP_ACT_ERRNO"),
        ("baseline: not the host's processes (CIS 5.15)", host["PidMode"] == ""),
        ("baseline: not the host's IPC (CIS 5.16)", host["IpcMode"] == "private"),
        ("baseline: not the host's names (CIS 5.20)", host["UTSMode"] == ""),
        ("baseline: not the host's network (CIS 5.9)", host["NetworkMode"] == "none"),
        ("baseline: not the host's users (CIS 5.30)", host["UsernsMode"] == ""),
        (
            "baseline: no ports (CIS 5.8)",
            host["PortBindings"].as_object().is_none_or(serde_json::Map::is_empty),
        ),
        (
            "baseline: /proc masked",
            ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys"].into_iter().all(masked),
        ),
        ("baseline: no sysctls", host["Sysctls"].is_null()),
        // CIS, section 5.
        ("5.5: no directory of the host but read-only layers", !binds.iter().any(writable)),
        (
            "5.5: no system directory of the host",
            !binds
                .iter()
                .any(|mount| mount["Destination"].as_str().is_none_or(|to| !to.starts_with("/layers/"))),
        ),
        ("5.10: memory is limited", positive(&host["Memory"])),
        ("5.10: and there is no swap", host["MemorySwap"] == host["Memory"] && positive(&host["Memory"])),
        ("5.11: CPU is limited", positive(&host["NanoCpus"])),
        ("5.12: the root directory is read-only", host["ReadonlyRootfs"] == true),
        ("5.14: it is not started again", host["RestartPolicy"]["Name"] == "no"),
        (
            "5.17: no devices",
            is_empty(&host["Devices"])
                && is_empty(&host["DeviceRequests"])
                && is_empty(&host["DeviceCgroupRules"]),
        ),
        ("5.18: limits of its own", host["Ulimits"].as_array().is_some_and(|limits| limits.len() >= 2)),
        (
            "5.19: no mount is shared",
            !mounts.iter().any(|mount| mount["Propagation"] == "shared" || mount["Propagation"] == "rshared"),
        ),
        ("5.24: no cgroup of others", host["CgroupParent"] == "" && host["CgroupnsMode"] == "private"),
        ("5.28: processes are limited", positive(&host["PidsLimit"])),
        ("5.29: not on the default bridge", host["NetworkMode"] == "none"),
        (
            "5.31: the daemon's socket is not inside",
            !mounts.iter().any(|mount| mount["Source"].as_str().is_some_and(|from| from.ends_with(".sock"))),
        ),
        // Ours.
        ("nothing is logged by the daemon", host["LogConfig"]["Type"] == "none"),
        ("removed when it ends", host["AutoRemove"] == true),
        ("init is ours", host["Init"] == false && config["Entrypoint"][0] == "/.skillbox/init"),
        ("no health check", config["Healthcheck"]["Test"] == serde_json::json!(["NONE"])),
        ("input ends with the runner", config["OpenStdin"] == true && config["StdinOnce"] == true),
        (
            "an owner and a deadline",
            config["Labels"]["skillbox.owner"].is_string()
                && config["Labels"]["skillbox.deadline"]
                    .as_str()
                    .is_some_and(|deadline| deadline.parse::<u64>().is_ok()),
        ),
        (
            "tmpfs with limits",
            ["/workspace", "/output", "/tmp", "/dev/shm"].iter().all(|place| {
                let options = host["Tmpfs"][place].as_str().unwrap_or_default();
                ["nosuid", "nodev", "size=", "nr_inodes=", "uid=1000"]
                    .iter()
                    .all(|word| options.contains(word))
            }),
        ),
        (
            "nothing of the runner in the environment",
            config["Env"].as_array().is_none_or(|all| {
                all.iter().all(|one| one.as_str().is_some_and(|one| one.starts_with("PATH=")))
            }),
        ),
    ];
    rules.into_iter().filter(|(_, holds)| !holds).map(|(rule, _)| rule.to_owned()).collect()
}
