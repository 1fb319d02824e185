//! What an operator can do to a server and it goes on: a log that nobody takes, few descriptors, silent connections, SIGHUP.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::{Address, Request},
    require::{missing_walls, require},
    serve::{Options, Serve, bash},
    skillbox::{command, example, executable},
    wait::until,
};

const START: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

/// A server at a socket, whose log goes where the test says.
struct Logging {
    child: Child,
    address: Address,
    _place: TempDir,
}

impl Logging {
    fn start(log: impl Into<Stdio>) -> Self {
        let place = TempDir::new().unwrap();
        let socket = place.path().join("s");
        let mut serve = command();
        serve.args(["serve", "--listen", &format!("unix:{}", socket.display())]);
        serve.args(["--store", &format!("file:{}", place.path().join("store").display())]);
        for wall in missing_walls() {
            serve.args(["--allow-missing", wall]);
        }
        let child = serve.stderr(log).spawn().unwrap();
        let this = Self { child, address: Address::Unix(socket.clone()), _place: place };
        until("the server listens", START, || socket.exists().then_some(()));
        until("the server is ready", START, || (this.get("/readyz").0 == 200).then_some(()));
        this
    }

    fn get(&self, path: &str) -> (u16, String) {
        let answer = Request::new(&self.address, "GET", path).send();
        (answer.status, answer.text().to_owned())
    }

    fn lost(&self) -> u64 {
        let metrics = self.get("/metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix("skillbox_log_lines_lost_total "));
        line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    }

    #[track_caller]
    fn call(&self) {
        let body = json!({"toolCalls": [bash("echo fine")]});
        let path = "/v1/triggers/t/tool-calls";
        let answer = Request::new(&self.address, "POST", path).json(&body).send().expect(200);
        assert_eq!(answer["toolResults"][0]["result"]["stdout"], "fine\n", "{answer}");
    }

    fn end(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        until("the server ends", START, || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    if !require("native") {
        return;
    }
    let mut server = Logging::start(OpenOptions::new().write(true).open("/dev/full").unwrap());
    server.call();
    until("the lines are counted", SOON, || (server.lost() > 0).then_some(()));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    if !require("native") {
        return;
    }
    // The pipe's other end is open and never read.
    let mut server = Logging::start(Stdio::piped());
    // More lines than a pipe has room for.
    for _ in 0..600 {
        assert_eq!(server.get("/v1/skills").0, 200);
    }
    server.call();
    assert_eq!(server.end(), Some(0));
}

#[test]
fn one_call_is_the_same_in_all_its_lines() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let call = bash("true");
    let path = "/v1/triggers/joined/tool-calls";
    let request = server.request("POST", path).header("X-Request-Id", "the-request");
    request.json(&json!({"toolCalls": [call]})).send().expect(200);
    let lines = until("both lines are there", SOON, || {
        let of_request = |event: &Value| event["span"]["request.id"] == "the-request";
        let lines: Vec<Value> = server.events().into_iter().filter(of_request).collect();
        let has = |message: &str| lines.iter().any(|event| event["message"] == message);
        (has("answered") && has("a tool call is done")).then_some(lines)
    });
    for line in &lines {
        assert_eq!(line["span"]["trigger.id"], "joined", "{line}");
        assert_eq!(line["span"]["tool_call.id"], call["toolCallId"], "{line}");
    }
}

#[test]
fn sighup_reads_tokens_and_skills_again_and_ends_nothing() {
    if !require("native") {
        return;
    }
    let place = TempDir::new().unwrap();
    let skills = place.path().join("skills");
    copy(&example("text-report"), &skills.join("text-report"));
    let mut server = Serve::with(&Options { skills: Some(skills.clone()), ..Options::default() });
    let before = server.result("t", &bash("echo kept > /workspace/a; echo 1"));
    assert_eq!(before["exitCode"], 0, "{before}");
    let slugs = |server: &Serve| -> Vec<String> {
        let listed = server.request("GET", "/v1/skills").send().expect(200);
        let slugs = listed["skills"].as_array().unwrap().iter();
        slugs.map(|skill| skill["slug"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(slugs(&server), ["text-report"]);
    // A new skill, and one that breaks: the last good one stays.
    fs::create_dir(skills.join("added")).unwrap();
    let text = "---\nname: added\ndescription: Comes later.\n---\nBody\n";
    fs::write(skills.join("added/SKILL.md"), text).unwrap();
    fs::write(skills.join("text-report/SKILL.md"), "no frontmatter").unwrap();
    server.signal(Signal::HUP);
    until("the new skill is there", SOON, || (slugs(&server) == ["added", "text-report"]).then_some(()));
    let not_used = "something in a directory of skills is not used";
    until("the broken one is told", SOON, || {
        server.events().iter().any(|event| event["message"] == not_used).then_some(())
    });
    let after = server.result("t", &bash("cat /workspace/a"));
    assert_eq!(after["stdout"], "kept\n", "the trigger lives on: {after}");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(START).code(), Some(0), "{}", server.log());
}

#[test]
fn without_descriptors_the_server_is_not_ready() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(512), maximum }).unwrap();
    until("it says so", SOON, || {
        let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() as u64;
        // Enough to be asked, and not enough for calls. Each time anew: what the start took is given back at some time.
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(open + 10), maximum: before.maximum }).unwrap();
        let answer = server.request("GET", "/readyz").send();
        (answer.status == 503 && answer.text().contains("file descriptors")).then_some(())
    });
    prlimit(pid, Resource::Nofile, before).unwrap();
    until("it is ready again", SOON, || {
        (server.request("GET", "/readyz").send().status == 200).then_some(())
    });
}

#[test]
fn more_sandboxes_than_descriptors_are_refused_at_the_start() {
    let place = TempDir::new().unwrap();
    let done = limited(600, place.path(), &["--max-sandboxes", "400"]).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((done.status.code(), &last["code"]), (Some(2), &json!("DESCRIPTORS")), "{said}");
    assert!(last["hint"].as_str().unwrap().contains("--max-sandboxes 27"), "{last}");
}

#[test]
fn silent_connections_keep_nobody_out() {
    if !require("native") {
        return;
    }
    let place = TempDir::new().unwrap();
    let log = place.path().join("log");
    let file = File::create(&log).unwrap();
    // 720 for the server and its sandboxes, the other 200 for connections.
    let mut child = limited(920, place.path(), &[]).stderr(file).spawn().unwrap();
    let address = until("the server listens", START, || {
        let text = fs::read_to_string(&log).unwrap();
        let (_, after) = text.split_once("\"address\":\"http://")?;
        Some(after.split_once('"')?.0.to_owned())
    });
    let mut silent = Vec::new();
    for _ in 0..300 {
        let mut connection = TcpStream::connect(&address).unwrap();
        // The first ones have been closed meanwhile.
        let _ = connection.write_all(b"GET /v1/skills HTTP/1.1\r\nHost: local");
        silent.push(connection);
        if silent.len() % 100 == 0 {
            let health = Request::new(&Address::Tcp(address.clone()), "GET", "/healthz").send();
            assert_eq!(health.status, 200);
        }
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(until("the server ends", START, || child.try_wait().unwrap()).code(), Some(0));
}

/// `skillbox serve` with a hard limit of descriptors.
fn limited(descriptors: u32, place: &Path, args: &[&str]) -> Command {
    let mut shell = command();
    let ours = std::mem::replace(&mut shell, Command::new("sh"));
    shell.env_clear();
    for (name, value) in ours.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &descriptors.to_string()]).arg(executable());
    shell.args(["serve", "--listen", "127.0.0.1:0", "--store"]);
    shell.arg(format!("file:{}", place.join("store").display())).args(args);
    shell.env("XDG_STATE_HOME", place.join("state")).stdin(Stdio::null());
    for wall in missing_walls() {
        shell.args(["--allow-missing", wall]);
    }
    shell
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
