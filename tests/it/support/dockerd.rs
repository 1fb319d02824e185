//! A Docker daemon of a test's own, or a Podman service: its own directories, socket, processes and network namespace,
//! nothing shared with another. In the machine's network namespace a daemon without a bridge would delete the `docker0` of
//! the machine's own daemon, and cut its containers off.
//!
//! It is spoken to by plain HTTP on its socket, so that what a test sees is the daemon's word and not a client's. The image
//! comes from a root directory that `make setup` makes once. Dropping it ends the daemon and removes its directories.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longest time that the daemon may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same for loading an image, which takes an emulated machine minutes.
const LOADING: Duration = Duration::from_secs(600);

/// What an image, what is derived from it and all sandboxes of a test take at most.
const ROOM_KIB: u64 = 4 << 20;

/// Name of the image that tests use.
const IMAGE: &str = "skillbox-test:latest";

/// Ends the daemon and removes its directories when its standard input ends: also when the test process was killed, or
/// kept the daemon for as long as it lived.
const KEEPER: &str = r#"
read -r _
pid=$(cat "$1/pid" 2>/dev/null)
case "$(cat "/proc/$pid/comm" 2>/dev/null)" in dockerd|podman)
  kill -TERM "$pid"
  tail --pid="$pid" -f /dev/null ;;
esac
# Podman's containers have watchers that outlive it, and would write again what is removed below.
for _ in $(seq 50); do
  pgrep -f -- "-(b|-root) $1/" >/dev/null || break
  sleep 0.1
done
# Where the daemon was killed, and nothing came after it.
pkill -KILL -f -- "-address $1/exec/"
grep " $1/" /proc/self/mounts | cut -d' ' -f2 | sort -r | xargs -r umount -l
rm -rf "$1"
"#;

/// What Podman is told by a file: nothing of the machine's own configuration, and nothing that it would share with another
/// service.
const PODMAN: &str = r#"
[engine]
events_logger = "file"
lock_type = "file"
"#;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Docker,
    Podman,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Dockerd {
    engine: Engine,
    child: Child,
    keeper: Child,
    directory: PathBuf,
    /// A directory of this machine that the daemon does not see.
    hidden: Option<PathBuf>,
}

impl Dockerd {
    /// Starts a Docker daemon, or says what is missing for that.
    pub(crate) fn start() -> Result<Self, String> {
        Self::start_as(Engine::Docker, None)
    }

    /// Either of the two; with a directory, in a mount namespace in which that is empty, as a daemon on another machine
    /// would have it.
    pub(crate) fn start_as(engine: Engine, hidden: Option<&Path>) -> Result<Self, String> {
        let program = engine.program();
        find(program).ok_or_else(|| format!("there is no `{program}` (`make setup` installs it)"))?;
        if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            return Err("only root can start a daemon".to_owned());
        }
        let failed = |error: io::Error| format!("no daemon could be started: {error}");
        let directory =
            tempfile::Builder::new().prefix("skillbox-dockerd-").tempdir_in(place()).map_err(failed)?.keep();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let hidden = hidden.map(Path::to_owned);
        let child = spawn(engine, &directory, hidden.as_deref())?;
        let mut this = Self { engine, child, keeper, directory, hidden };
        this.wait_ready()?;
        Ok(this)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let log = self.directory.join("log");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let ready = wait(|| {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(Err(format!("the daemon ended with {status}: {}", said())));
            }
            let answer = ask(&self.directory.join("docker.sock"), "GET", "/_ping", None).ok()?;
            (answer.0 == 200).then_some(Ok(()))
        });
        ready.unwrap_or_else(|| Err(format!("the daemon does not answer: {}", said())))
    }

    /// The network namespace that it stands in, as `/proc` names it.
    pub(crate) fn network(&self) -> PathBuf {
        fs::read_link(format!("/proc/{}/ns/net", self.child.id()))
            .expect("a daemon that lives has a namespace")
    }

    /// As `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// A request to the API: status and body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let (status, body) = ask(&self.socket(), method, path, None).expect("the daemon answers");
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// The same with a body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(body.to_string().as_bytes()).expect("it is written");
        file.rewind().expect("it is read from its start");
        let (status, body) = ask(&self.socket(), "POST", path, Some(&mut file)).expect("the daemon answers");
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Loads the image of tests and says how it is called.
    pub(crate) fn image(&self) -> Result<String, String> {
        let root = root_directory();
        let mut tar = File::open(&root)
            .map_err(|error| format!("{}: {error} (`make setup` makes it)", root.display()))?;
        let (name, tag) = IMAGE.split_once(':').expect("a name with a tag");
        let path = format!("/images/create?fromSrc=-&repo={name}&tag={tag}");
        let (status, body) = ask(&self.socket(), "POST", &path, Some(&mut tar))
            .map_err(|error| format!("the image could not be loaded: {error}"))?;
        let said = String::from_utf8_lossy(&body);
        if status != 200 || said.contains("\"error\"") {
            return Err(format!("the image could not be loaded: {said}"));
        }
        Ok(IMAGE.to_owned())
    }

    /// Names of all containers, whatever they do.
    pub(crate) fn containers(&self) -> Vec<String> {
        let (_, containers) = self.ask("GET", "/containers/json?all=true");
        let list = containers.as_array().expect("a list");
        let is_known = |one: &&Value| {
            // A daemon whose own removal met another one goes on listing what it does not know any more.
            let id = one["Id"].as_str().unwrap_or_default();
            one["Names"][0].is_string() || self.ask("GET", &format!("/containers/{id}/json")).0 != 404
        };
        let known = list.iter().filter(is_known);
        known.map(|one| one["Names"][0].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The end of what the daemon itself complained about.
    pub(crate) fn complaints(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let bad = |line: &&str| line.contains("level=error") || line.contains("level=warning");
        let lines: Vec<&str> = log.lines().filter(bad).collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Names of all volumes.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let (_, volumes) = self.ask("GET", "/volumes");
        let list = volumes["Volumes"].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one["Name"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Dockerd {
    /// Kills it, as by a crash: what it started lives on.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    /// Starts it again on the same directories and socket.
    pub(crate) fn restart(&mut self) {
        self.kill();
        if self.engine == Engine::Docker {
            // A daemon that was killed cannot remove its files of process ids, and takes what they name for alive. Its
            // containerd dies with it, a moment later.
            let containerd = self.directory.join("exec/containerd/containerd.pid");
            let pid = fs::read_to_string(&containerd).unwrap_or_default();
            let gone = wait(|| {
                let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
                (state.is_empty() || state.contains(") Z ")).then_some(())
            });
            gone.expect("containerd ends with its daemon");
            for file in [self.directory.join("pid"), containerd] {
                let _ = fs::remove_file(file);
            }
        }
        self.child = spawn(self.engine, &self.directory, self.hidden.as_deref()).expect("it starts again");
        self.wait_ready().expect("it answers again");
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // In order, so that it ends its containers and takes its mounts away.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if wait(|| self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Engine {
    fn program(self) -> &'static str {
        match self {
            Self::Docker => "dockerd",
            Self::Podman => "podman",
        }
    }

    fn arguments(self, directory: &Path) -> Vec<String> {
        let place = |name: &str| directory.join(name).display().to_string();
        let socket = format!("unix://{}", place("docker.sock"));
        let [data, exec, pid, state, networks] = ["data", "exec", "pid", "state", "networks"].map(place);
        let arguments: Vec<&str> = match self {
            Self::Docker => vec![
                "--data-root",
                &data,
                "--exec-root",
                &exec,
                "--pidfile",
                &pid,
                "-H",
                &socket,
                "--bridge=none",
                "--iptables=false",
                "--ip-forward=false",
                "--ip-masq=false",
            ],
            // With the runtime and the cgroups that work on machines without systemd, too.
            Self::Podman => vec![
                "--root",
                &data,
                "--runroot",
                &exec,
                "--tmpdir",
                &state,
                "--network-config-dir",
                &networks,
                "--storage-driver",
                "overlay",
                "--runtime",
                "runc",
                "--cgroup-manager",
                "cgroupfs",
                "system",
                "service",
                "--time",
                "0",
                &socket,
            ],
        };
        arguments.into_iter().map(str::to_owned).collect()
    }
}

fn spawn(engine: Engine, directory: &Path, hidden: Option<&Path>) -> Result<Child, String> {
    let failed = |error: io::Error| format!("{} could not be started: {error}", engine.program());
    let log = File::options().create(true).append(true).open(directory.join("log")).map_err(failed)?;
    let config = directory.join("containers.conf");
    fs::write(&config, PODMAN).map_err(failed)?;
    let mut command = Command::new("unshare");
    command.arg("--net");
    if let Some(hidden) = hidden {
        command.args(["--mount", "sh", "-c", "mount -t tmpfs none \"$0\" && exec \"$@\""]).arg(hidden);
    }
    let child = command
        .arg(find(engine.program()).unwrap_or_else(|| engine.program().into()))
        .args(engine.arguments(directory))
        .env("CONTAINERS_CONF", config)
        // What watches Podman's containers writes where it was started.
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    if engine == Engine::Podman {
        // It writes no such file itself, and the keeper needs it.
        fs::write(directory.join("pid"), child.id().to_string()).map_err(failed)?;
    }
    Ok(child)
}

/// Where its directories go: in memory, where there is room, since images are unpacked and removed again.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let told = Command::new("df").args(["--output=avail", "-k"]).arg(memory).output();
    let free = told.ok().and_then(|told| {
        let text = String::from_utf8(told.stdout).ok()?;
        text.lines().nth(1)?.trim().parse::<u64>().ok()
    });
    if free.is_some_and(|kib| kib > ROOM_KIB) { memory.to_owned() } else { std::env::temp_dir() }
}

/// Where `make setup` keeps the root directory of tests, as a tar.
fn root_directory() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map_or_else(|| "/root".into(), PathBuf::from);
    cache.unwrap_or_else(|| home().join(".cache")).join("skillbox-test/docker-root.tar")
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join(name)).find(|file| file.is_file())
}

/// Looks again and again until there is an answer; `None` when there is none in time.
fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let (_keeps_open, never) = mpsc::channel::<()>();
    let begun = Instant::now();
    loop {
        let answer = look();
        if answer.is_some() || begun.elapsed() > PATIENCE {
            return answer;
        }
        // A pause, so that the looking takes no CPU from what is waited for.
        let _ = never.recv_timeout(Duration::from_millis(20));
    }
}

/// One request on one connection. In HTTP/1.0, so that the body ends with the connection.
fn ask(socket: &Path, method: &str, path: &str, body: Option<&mut File>) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(if body.is_some() { LOADING } else { PATIENCE }))?;
    let length = match &body {
        Some(file) => file.metadata()?.len(),
        None => 0,
    };
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\n")?;
    write!(stream, "Content-Length: {length}\r\n\r\n")?;
    if let Some(file) = body {
        io::copy(file, &mut stream)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, answer.split_off(end)))
}
