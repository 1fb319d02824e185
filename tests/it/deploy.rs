//! `deploy/`: what it sets exists, and the runner really runs under what it says.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use seccomp::{Arch, Policy};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    dockerd::Dockerd,
    images::built,
    require::{prepare, require},
    skillbox::{executable, repository, run},
    wait::until,
};

fn read(name: &str) -> String {
    fs::read_to_string(repository().join("deploy").join(name)).unwrap()
}

fn compose() -> Value {
    serde_yaml::from_str(&read("docker-compose.yml")).unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap_or_else(|| panic!("not a list: {list}"))
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// The variables that `serve` knows, as its help says.
fn known_variables() -> BTreeSet<String> {
    let help = run(&["serve", "--help"]).success().stdout;
    help.split("[env: ").skip(1).map(|rest| rest.split([']', '=']).next().unwrap().to_owned()).collect()
}

#[track_caller]
fn every_variable_is_known(used: impl Iterator<Item = String>) {
    let known = known_variables();
    assert!(known.contains("SKILLBOX_STORE"), "{known:?}");
    let unknown: Vec<String> =
        used.filter(|name| name.starts_with("SKILLBOX_") && !known.contains(name)).collect();
    assert!(unknown.is_empty(), "`skillbox serve` does not know {unknown:?}");
}

/// Seconds of `60s`.
fn seconds(text: &str) -> u64 {
    text.strip_suffix('s')
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("not seconds: {text}"))
}

const HEALTH: [&str; 4] = ["skillbox", "doctor", "--ready", "unix:/run/skillbox/api.sock"];

#[test]
fn the_compose_file_gives_the_runner_what_it_needs_and_no_more() {
    let compose = compose();
    let runner = &compose["services"]["skillbox"];
    let environment = runner["environment"].as_object().unwrap();
    every_variable_is_known(environment.keys().cloned());
    assert_eq!(environment["SKILLBOX_LISTEN"], format!("unix:{}", "/run/skillbox/api.sock"));
    assert_eq!(texts(&runner["cap_drop"]), ["ALL"]);
    assert_eq!(texts(&runner["cap_add"]), ["SYS_ADMIN", "NET_ADMIN", "SETUID", "SETGID"]);
    assert_eq!(runner["read_only"], true);
    assert!(runner.get("privileged").is_none() && runner.get("ports").is_none());
    assert_eq!(texts(&runner["healthcheck"]["test"])[1..], HEALTH);
    assert_eq!(runner["depends_on"]["s3"]["condition"], "service_healthy");
    let grace = seconds(runner["stop_grace_period"].as_str().unwrap());
    assert!(grace > seconds(environment["SKILLBOX_DRAIN"].as_str().unwrap()), "calls are cut off: {grace}");
    // Nothing of the host but what is named; Docker's socket above all.
    let mounts = texts(&runner["volumes"]);
    let host: Vec<&&str> = mounts.iter().filter(|mount| mount.starts_with('/')).collect();
    assert_eq!(host, [&"/sys/fs/cgroup:/sys/fs/cgroup:rw"]);
    // Everything named is defined.
    let volumes = compose["volumes"].as_object().unwrap();
    for service in compose["services"].as_object().unwrap().values() {
        for mount in texts(&service["volumes"]) {
            let name = mount.split(':').next().unwrap();
            assert!(mount.starts_with(['/', '.', '$']) || volumes.contains_key(name), "{mount}");
        }
        assert!(service.get("healthcheck").is_some());
    }
    // No secret has a default.
    for (name, value) in environment {
        let value = value.as_str().unwrap();
        assert!(!name.contains("KEY") || value.contains(":?"), "{name} is set in the file");
    }
}

#[test]
fn the_kubernetes_manifest_is_a_native_sidecar_of_an_ordinary_user() {
    let pod: Value = serde_yaml::from_str(&read("kubernetes.yaml")).unwrap();
    let spec = &pod["spec"];
    let runner = &spec["initContainers"][0];
    assert_eq!(runner["restartPolicy"], "Always", "else it blocks the others");
    assert_eq!(spec["hostUsers"], false);
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    let context = &runner["securityContext"];
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["procMount"], "Unmasked");
    assert_eq!(context["seccompProfile"]["type"], "Localhost");
    for probe in ["startupProbe", "readinessProbe"] {
        assert_eq!(texts(&runner[probe]["exec"]["command"]), HEALTH, "{probe}");
    }
    assert!(runner["resources"]["limits"]["memory"].is_string(), "sandboxes would have no limit at all");
    let variables = runner["env"].as_array().unwrap();
    let value = |name: &str| {
        let found = variables.iter().find(|variable| variable["name"] == name);
        found.and_then(|variable| variable["value"].as_str()).unwrap_or_else(|| panic!("{name} is not set"))
    };
    every_variable_is_known(variables.iter().map(|variable| variable["name"].as_str().unwrap().to_owned()));
    assert_eq!(value("SKILLBOX_ALLOW_MISSING"), "cgroup,uids");
    let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > seconds(value("SKILLBOX_DRAIN")), "calls are cut off: {grace}");
    let volumes: Vec<&str> =
        spec["volumes"].as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    for container in [runner, &spec["containers"][0]] {
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.contains(&mount["name"].as_str().unwrap()), "{mount}");
        }
    }
}

/// The container's filter is around every sandbox, so what it lacks, programs lack as well.
#[test]
fn the_seccomp_profile_allows_what_programs_may_do_and_what_makes_sandboxes() {
    let profile: Value = serde_json::from_str(&read("seccomp.json")).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let rules = profile["syscalls"].as_array().unwrap();
    let allowed: BTreeSet<&str> = rules.iter().flat_map(|rule| texts(&rule["names"])).collect();
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for policy in [Policy::for_programs(arch).unwrap(), Policy::for_start_of_init(arch).unwrap()] {
            let calls = policy.calls.values().filter(|call| call.is_ever_allowed()).map(|call| call.name);
            let missing: Vec<&str> = calls.filter(|call| !allowed.contains(call)).collect();
            assert!(missing.is_empty(), "in the policy and not in deploy/seccomp.json: {missing:?}");
        }
    }
    for call in [
        "bpf",
        "init_module",
        "kexec_load",
        "keyctl",
        "open_by_handle_at",
        "perf_event_open",
        "ptrace",
        "reboot",
    ] {
        assert!(!allowed.contains(call), "{call} is nothing that the runner needs");
    }
}

/// The `docker` command and a daemon of the test's own.
struct Docker {
    daemon: Dockerd,
    place: TempDir,
}

impl Docker {
    fn start() -> Self {
        Self { daemon: Dockerd::start().unwrap(), place: TempDir::new().unwrap() }
    }

    fn command(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", self.daemon.host()).stdin(Stdio::null());
        docker
    }

    /// Runs a command that must succeed, and returns what it printed.
    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let done = self.command().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
        said.trim().to_owned()
    }

    /// What a container wrote, on both streams.
    fn logs(&self, container: &str) -> String {
        let done = self.command().args(["logs", container]).output().unwrap();
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    }

    /// A place for a file of the test.
    fn place(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

/// A runner's container with the options of the compose file, or those of the Kubernetes manifest as Docker has them.
fn start(docker: &Docker, socket: &str, options: &[String]) {
    let socket = format!("{socket}:/run/skillbox");
    let skills = format!("{}:/skills:ro", repository().join("skills-examples").display());
    let mut args =
        vec!["run", "--detach", "--name", "runner", "--network", "none", "--env", "SKILLBOX_SKILLS=/skills"];
    args.extend(["--volume", &skills, "--volume", &socket, "--memory", "4g", "--pids-limit", "4096"]);
    args.extend(options.iter().map(String::as_str));
    args.push("skillbox/runner");
    docker.run(&args);
    until("the runner is ready", Duration::from_secs(120), || {
        let state = docker.run(&["inspect", "--format", "{{.State.Running}}", "runner"]);
        assert_eq!(state, "true", "{}", docker.logs("runner"));
        docker
            .command()
            .args(["exec", "runner"])
            .args(HEALTH)
            .output()
            .unwrap()
            .status
            .success()
            .then_some(())
    });
}

/// Makes a call from another container that shares nothing with the runner's but the socket.
fn call(docker: &Docker, socket: &str, user: &str, code: &str) -> Value {
    let socket = format!("{socket}:/run/skillbox");
    let calls = json!({"toolCalls": [{
        "toolCallId": "1", "toolName": "octavus_code_run", "args": {"language": "python", "code": code}}]});
    let body = calls.to_string();
    let said = docker.run(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--user",
        user,
        "--volume",
        &socket,
        "--entrypoint",
        "curl",
        "skillbox/runner",
        "--silent",
        "--show-error",
        "--unix-socket",
        "/run/skillbox/api.sock",
        "--header",
        "content-type: application/json",
        "--data",
        &body,
        "http://localhost/v1/triggers/t/tool-calls",
    ]);
    let answer: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    answer["toolResults"][0]["result"].clone()
}

/// Ends the runner as Docker does; it must do so in order.
fn stop(docker: &Docker) {
    docker.run(&["stop", "--time", "75", "runner"]);
    let code = docker.run(&["inspect", "--format", "{{.State.ExitCode}}", "runner"]);
    assert_eq!(code, "0", "{}", docker.logs("runner"));
    docker.run(&["rm", "--volumes", "runner"]);
}

const CODE: &str = "import os, pandas, socket\n\
    open('/output/a.txt', 'w').write(pandas.__version__)\n\
    print(os.getuid(), os.path.exists('/opt/skillbox'), os.path.exists('/run/skillbox'), socket.if_nameindex())\n\
    bytearray(600 << 20)";

#[test]
fn the_runner_makes_sandboxes_in_a_container_with_these_options() {
    if !require("docker") || !require("images") {
        return;
    }
    let docker = Docker::start();
    let base = docker.place("base.tar");
    let root = built("slim").root();
    prepare(
        Command::new("tar").arg("--create").arg("--file").arg(&base).arg("--directory").arg(root).arg("."),
    );
    prepare(
        Command::new(repository().join("deploy/build.sh"))
            .env("BASE", &base)
            .env("SKILLBOX", executable())
            .env("DOCKER_HOST", docker.daemon.host()),
    );
    let compose = compose();
    let runner = &compose["services"]["skillbox"];
    let mut options: Vec<String> = vec!["--read-only".into(), "--cgroupns".into(), "host".into()];
    let mut add = |option: &str, values: &Value| {
        options.extend(texts(values).iter().flat_map(|value| [option.to_owned(), (*value).to_owned()]));
    };
    add("--cap-drop", &runner["cap_drop"]);
    add("--cap-add", &runner["cap_add"]);
    add("--tmpfs", &runner["tmpfs"]);
    assert_eq!(runner["cgroup"], "host");
    for option in texts(&runner["security_opt"]) {
        let profile = repository().join("deploy/seccomp.json").display().to_string();
        options.extend(["--security-opt".into(), option.replace("./seccomp.json", &profile)]);
    }
    options.extend(["--volume".into(), "/sys/fs/cgroup:/sys/fs/cgroup:rw".into()]);
    options.extend(["--volume".into(), "state:/var/lib/skillbox".into()]);
    start(&docker, "socket", &options);
    let result = call(&docker, "socket", "0", CODE);
    assert_eq!(result["stdout"], "1000 False False [(1, 'lo')]\n", "{result}");
    assert_eq!(result["outputFiles"][0]["name"], "a.txt", "{result}");
    // The limit is the sandbox's own and not the container's.
    assert_eq!(result["oomKilled"], true, "{result}");
    let ready = docker.run(&[
        "exec",
        "runner",
        "curl",
        "-s",
        "--unix-socket",
        "/run/skillbox/api.sock",
        "http://localhost/readyz",
    ]);
    assert!(!ready.contains("cgroup") && !ready.contains("uids"), "{ready}");
    stop(&docker);
    docker.run(&["volume", "rm", "state", "socket"]);

    // As the Kubernetes manifest has it: an ordinary user without capabilities.
    let seccomp = format!("seccomp={}", repository().join("deploy/seccomp.json").display());
    let options = [
        "--read-only",
        "--user",
        "1000:1000",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges:true",
        "--security-opt",
        "systempaths=unconfined",
        "--security-opt",
        &seccomp,
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/var/lib/skillbox:uid=1000,mode=0700,exec",
        "--env",
        "SKILLBOX_ALLOW_MISSING=cgroup,uids",
    ];
    let socket = docker.place("socket-of-user");
    fs::create_dir(&socket).unwrap();
    std::os::unix::fs::chown(&socket, Some(1000), Some(1000)).unwrap();
    let socket = socket.display().to_string();
    start(&docker, &socket, &options.map(str::to_owned));
    let result = call(&docker, &socket, "1000", CODE.rsplit_once('\n').unwrap().0);
    assert_eq!(
        (&result["exitCode"], &result["stdout"]),
        (&json!(0), &json!("1000 False False [(1, 'lo')]\n")),
        "{result}"
    );
    stop(&docker);
}
