//! The docker driver from outside: the real executable, a real daemon, real HTTP. What Podman does the same way is a
//! function of its own.
//!
//! One after the other on one daemon, and after each nothing may be left there: no container and no volume.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    docker::{Turn, nothing_left, options},
    dockerd::Dockerd,
    require::require,
    serve::{Options, Serve, bash, call, python, six_tools},
    skillbox::command,
    wait::until,
};

mod audit;

/// From the end of a runner to nothing left.
const RECOVERY: Duration = Duration::from_secs(10);

/// How many sandboxes live at once.
const MANY: usize = 32;

/// A program with children that would run for ever, and that has saved something.
const FOR_EVER: &str = "echo saved > /output/partial.txt; (setsid sleep 1000 &); echo begun; sleep 1000";

/// Starts a call that runs until something ends it, and waits until it runs.
pub(crate) fn busy(server: &Serve, trigger: &str) -> crate::support::client::Streaming {
    let stream = server.stream(trigger, &[], &[bash(FOR_EVER)]);
    server.request("GET", &format!("/v1/triggers/{trigger}/events")).stream().until("begun");
    stream
}

#[test]
fn the_six_tools_share_one_container() {
    if require("docker") {
        share_one_container(&Turn::take());
    }
}

pub(crate) fn share_one_container(turn: &Turn) {
    let server = turn.serve();
    let code = six_tools(&server, "six");
    let link = code["outputFiles"][0]["url"].as_str().unwrap().strip_prefix(&server.url()).unwrap();
    let fetched = server.request("GET", link).without("Authorization").send();
    assert_eq!((fetched.status, fetched.body), (200, (0..=255).collect::<Vec<u8>>()));
    assert_eq!(turn.sandboxes().len(), 1);
    // Out of time and out of memory are told apart here, too.
    let slow = call("code_run", &json!({"language": "bash", "code": "sleep 100", "timeout": 300}));
    let result = server.result("six", &slow);
    assert_eq!((&result["exitCode"], &result["timedOut"]), (&json!(124), &json!(true)), "{result}");
    let result = server.result("six", &python("x = []\nwhile True: x.append(bytearray(1 << 20))"));
    assert_eq!((&result["exitCode"], &result["oomKilled"]), (&json!(137), &json!(true)), "{result}");
    server.end("six");
    turn.nothing_left();
}

#[test]
fn a_sandbox_passes_the_audit_of_its_container() {
    if !require("docker") {
        return;
    }
    let turn = Turn::take();
    let server = turn.serve();
    server.result("audited", &bash("true"));
    let sandboxes = turn.sandboxes();
    let [container] = sandboxes.as_slice() else { panic!("{} sandboxes", sandboxes.len()) };
    let findings = audit::findings(container);
    assert!(findings.is_empty(), "{findings:#?}\n{container:#}");
    // The audit can fail: of an ordinary container it finds a lot.
    let (status, made) = turn
        .daemon()
        .post("/containers/create?name=ordinary", &json!({"Image": turn.image(), "Cmd": ["true"]}));
    assert_eq!(status, 201, "{made}");
    let (_, ordinary) = turn.daemon().ask("GET", "/containers/ordinary/json");
    let findings = audit::findings(&ordinary);
    assert!(findings.len() >= 15, "{findings:#?}");
    turn.daemon().ask("DELETE", "/containers/ordinary?force=1");
    drop(server);
    turn.nothing_left();
}

#[test]
fn a_killed_runner_leaves_nothing_after_a_restart() {
    if require("docker") {
        restart_after_a_kill(&Turn::take());
    }
}

pub(crate) fn restart_after_a_kill(turn: &Turn) {
    let mut server = turn.serve();
    let _streams = [busy(&server, "a"), busy(&server, "b")];
    let before = turn.daemon().containers();
    assert_eq!(before.len(), 2);
    let since = Instant::now();
    server.kill();
    let directory = server.keep_directory();
    let next = Serve::with(&Options { directory: Some(directory.path().to_owned()), ..turn.options() });
    let left = || {
        let names = [turn.daemon().containers(), turn.daemon().volumes()].concat();
        names.into_iter().filter(|name| before.iter().any(|before| before.ends_with(name.as_str()))).count()
    };
    until("what the dead runner left is gone", RECOVERY.saturating_sub(since.elapsed()), || {
        (left() == 0).then_some(())
    });
    assert_eq!(next.result("after", &python("print('works')"))["stdout"], "works\n");
    drop(next);
    turn.nothing_left();
}

/// The stages of a call, each cut off at another point of it.
#[test]
fn a_runner_killed_at_any_moment_leaves_nothing() {
    if require("docker") {
        kill_at_any_moment(&Turn::take());
    }
}

pub(crate) fn kill_at_any_moment(turn: &Turn) {
    for delay in [10, 60, 150, 300] {
        let mut server = turn.serve();
        let connection = server.send_only("t", &[bash(FOR_EVER)]);
        // Not a wait for something, but the moment of the blow.
        let moment = Instant::now() + Duration::from_millis(delay);
        while Instant::now() < moment {
            thread::yield_now();
        }
        server.kill();
        drop(connection);
        // Reaping is what the next one's start does.
        drop(turn.serve());
        turn.nothing_left();
    }
}

/// Even if the runner never comes back, no container stays.
#[test]
fn containers_end_although_nobody_restarts_the_runner() {
    if require("docker") {
        end_without_a_runner(&Turn::take());
    }
}

pub(crate) fn end_without_a_runner(turn: &Turn) {
    let mut server = turn.serve();
    let _streams = [busy(&server, "a"), busy(&server, "b")];
    assert_eq!(turn.daemon().containers().len(), 2);
    server.kill();
    until("all containers end by themselves", RECOVERY, || {
        turn.daemon().containers().is_empty().then_some(())
    });
    // What is left of them is the name of an empty volume, which the next runner removes.
    drop(turn.serve());
    turn.nothing_left();
}

#[test]
fn two_runners_share_a_daemon() {
    if require("docker") {
        share_a_daemon(&Turn::take());
    }
}

pub(crate) fn share_a_daemon(turn: &Turn) {
    let mut one = turn.serve();
    let two = turn.serve();
    two.result("kept", &bash("echo here > state"));
    let _stream = busy(&one, "a");
    let of_two = busy(&two, "a");
    assert_eq!(turn.daemon().containers().len(), 3);
    one.kill();
    // The third removes what the first left, at its start, and nothing of the second's.
    let three = turn.serve();
    until("the dead runner's container is gone", RECOVERY, || {
        (turn.daemon().containers().len() == 2).then_some(())
    });
    assert_eq!(two.result("kept", &bash("cat state"))["stdout"], "here\n");
    assert_eq!(three.result("t", &bash("echo works"))["stdout"], "works\n");
    let cancelled = two.status("a")["toolCalls"][0]["toolCallId"].as_str().unwrap().to_owned();
    two.request("POST", &format!("/v1/triggers/a/tool-calls/{cancelled}/cancel")).send().expect(200);
    assert!(of_two.whole().text().contains("\"cancelled\":true"));
    drop((two, three));
    turn.nothing_left();
}

#[test]
fn thirty_two_sandboxes_at_once() {
    if require("docker") {
        many_at_once(&Turn::take());
    }
}

pub(crate) fn many_at_once(turn: &Turn) {
    let server = turn.serve();
    thread::scope(|scope| {
        for number in 0..MANY {
            let server = &server;
            scope.spawn(move || {
                let code = format!("echo {number} > own; sleep 0.2; cat own");
                let result = server.result(&format!("t{number}"), &bash(&code));
                assert_eq!(result["stdout"], format!("{number}\n"), "{result}");
            });
        }
    });
    assert_eq!(turn.daemon().containers().len(), MANY);
    drop(server);
    turn.nothing_left();
}

#[test]
fn what_is_missing_is_said_with_what_helps() {
    if !require("docker") {
        return;
    }
    let turn = Turn::take();
    let run = |host: &str, args: &[&str]| {
        let mut command = command();
        command.env("DOCKER_HOST", host).args(["--driver", "docker"]).args(args);
        let output = command.args(["code", "-l", "bash", "-c", "true"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let here = turn.daemon().host();
    let (code, said) = run(&here, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("`skillbox/slim`") && said.contains("`skillbox image build slim --format docker`"),
        "{said}"
    );
    let (_, said) = run(&here, &["--image", "debian:none"]);
    assert!(said.contains("`docker pull debian:none`"), "{said}");
    let (code, said) = run("unix:///nowhere/docker.sock", &[]);
    assert_eq!(code, Some(125), "{said}");
    assert!(said.contains("unix:///nowhere/docker.sock (from DOCKER_HOST)"), "{said}");
    let (_, said) = run(&here, &["--image", turn.image(), "--docker-runtime", "kata"]);
    assert!(said.contains("no runtime `kata`") && said.contains("runc"), "{said}");
    let (code, said) = run(&here, &["--rootfs", "/"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`--rootfs` is for the native driver"), "{said}");
    turn.nothing_left();
}

#[test]
fn a_daemon_that_dies_in_mid_call_is_a_fault_and_comes_back() {
    if !require("docker") {
        return;
    }
    let _turn = Turn::take();
    // Its own, since what dies here is the daemon.
    let mut daemon = Dockerd::start().unwrap();
    let image = daemon.image().unwrap();
    let server = Serve::with(&options(&daemon, &image));
    let stream = busy(&server, "t");
    daemon.kill();
    let text = stream.whole();
    assert!(text.text().contains("tool-output-error"), "{}", text.text());
    assert!(!text.text().contains("tool-output-available"), "{}", text.text());
    // While it is away a call is an error without internals, and the runner is not ready.
    let answer = server.call("while", &[], &[bash("true")]);
    assert_eq!(answer["toolResults"][0]["error"], "The sandbox could not be started", "{answer}");
    until("the runner is not ready", RECOVERY, || {
        (server.request("GET", "/readyz").send().status == 503).then_some(())
    });
    daemon.restart();
    until("the runner is ready again", RECOVERY, || {
        (server.request("GET", "/readyz").send().status == 200).then_some(())
    });
    assert_eq!(server.result("after", &bash("echo works"))["stdout"], "works\n");
    server.end("t");
    drop(server);
    nothing_left(&daemon);
}

#[test]
fn doctor_shows_what_the_daemon_gives() {
    if !require("docker") {
        return;
    }
    let turn = Turn::take();
    let mut command = command();
    command.env("DOCKER_HOST", turn.daemon().host());
    let output =
        command.args(["--driver", "docker", "--image", turn.image(), "--json", "doctor"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ready"], true, "{told}");
    let checks = told["checks"].as_array().unwrap();
    let detail = |name: &str| {
        let found = checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {told}"))["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail("docker daemon").contains("(from DOCKER_HOST)"));
    assert!(detail("image").starts_with(turn.image()));
    assert!(detail("wall `cgroup`").contains("by the daemon"));
    assert!(detail("a real sandbox").contains("python3"));
    // The version of the image's Python was asked once and is kept.
    let kept = crate::support::skillbox::cache().join("skillbox/images");
    let versions: Vec<String> =
        fs::read_dir(kept).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    assert!(versions.iter().any(|version| version.starts_with("3.")), "{versions:?}");
    turn.nothing_left();
}
