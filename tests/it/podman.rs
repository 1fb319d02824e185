//! The docker driver with Podman's service in place of a Docker daemon: the same stories by the same code.

use std::fs;

use serde_json::{Value, json};

use crate::{
    docker,
    support::{
        docker::{Turn, nothing_left, options},
        dockerd::{Dockerd, Engine},
        require::require,
        serve::{Serve, bash},
        skillbox::command,
    },
};

fn turn() -> Option<Turn> {
    require("podman").then(|| Turn::with(Engine::Podman))
}

#[test]
fn the_six_tools_share_one_container() {
    if let Some(turn) = turn() {
        docker::share_one_container(&turn);
    }
}

#[test]
fn a_killed_runner_leaves_nothing_after_a_restart() {
    if let Some(turn) = turn() {
        docker::restart_after_a_kill(&turn);
    }
}

#[test]
fn a_runner_killed_at_any_moment_leaves_nothing() {
    if let Some(turn) = turn() {
        docker::kill_at_any_moment(&turn);
    }
}

#[test]
fn containers_end_although_nobody_restarts_the_runner() {
    if let Some(turn) = turn() {
        docker::end_without_a_runner(&turn);
    }
}

#[test]
fn two_runners_share_a_service() {
    if let Some(turn) = turn() {
        docker::share_a_daemon(&turn);
    }
}

#[test]
fn thirty_two_sandboxes_at_once() {
    if let Some(turn) = turn() {
        docker::many_at_once(&turn);
    }
}

/// Init's own filter and the container's: the second shows that the profile reached the kernel.
#[test]
fn two_filters_stand_one_behind_the_other() {
    let Some(turn) = turn() else { return };
    let server = turn.serve();
    server.result("filtered", &bash("true"));
    let sandboxes = turn.sandboxes();
    let [container] = sandboxes.as_slice() else { panic!("{} sandboxes", sandboxes.len()) };
    let status = fs::read_to_string(format!("/proc/{}/status", container["State"]["Pid"])).unwrap();
    assert!(status.contains("Seccomp_filters:\t2\n"), "{status}");
    let profile = container["HostConfig"]["SecurityOpt"].to_string();
    assert!(profile.contains("seccomp="), "{container:#}");
    drop(server);
    turn.nothing_left();
}

/// Podman's containers do not need its service, so what it held has to be found by the next sweep.
#[test]
fn a_service_that_dies_in_mid_call_is_a_fault_and_comes_back() {
    let Some(_turn) = turn() else { return };
    let mut service = Dockerd::start_as(Engine::Podman, None).unwrap();
    let image = service.image().unwrap();
    let server = Serve::with(&options(&service, &image));
    let stream = docker::busy(&server, "t");
    service.kill();
    let text = stream.whole();
    assert!(text.text().contains("tool-output-error"), "{}", text.text());
    let answer = server.call("while", &[], &[bash("true")]);
    assert_eq!(answer["toolResults"][0]["error"], "The sandbox could not be started", "{answer}");
    service.restart();
    assert_eq!(server.result("after", &bash("echo works"))["stdout"], "works\n");
    server.end("t");
    drop(server);
    nothing_left(&service);
}

#[test]
fn what_is_there_and_what_is_refused_is_said() {
    let Some(turn) = turn() else { return };
    let run = |args: &[&str]| {
        let mut command = command();
        command.env("DOCKER_HOST", turn.daemon().host());
        command.args(["--driver", "docker", "--image", turn.image()]).args(args).output().unwrap()
    };
    let told: Value = serde_json::from_slice(&run(&["--json", "doctor"]).stdout).unwrap();
    assert_eq!(told["ready"], json!(true), "{told}");
    let checks = told["checks"].as_array().unwrap();
    let daemon = checks.iter().find(|check| check["name"] == "docker daemon").unwrap();
    assert!(daemon["detail"].as_str().unwrap().starts_with("Podman "), "{daemon}");
    let refused = run(&["--docker-runtime", "crun", "code", "-l", "bash", "-c", "true"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("`podman --runtime crun system service`"), "{said}");
    turn.nothing_left();
}
