//! The life of triggers and of the server: cancelled, ended, left by their client, drained.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    remains::descendants,
    require::require,
    serve::{Options, Serve, bash},
    wait::until,
};

/// Says when it has begun, saves something, and would run for ever.
const ENDLESS: &str = "echo saved > /output/partial.txt; echo begun; while :; do read -t 1 < /dev/zero; done";

/// How long an end may take, whatever the program does.
const END: Duration = Duration::from_secs(10);

fn wait_until_begun(server: &Serve, trigger: &str) {
    let path = format!("/v1/triggers/{trigger}/events");
    until("the call is accepted", END, || {
        let mut progress = server.request("GET", &path).stream();
        if progress.status != 200 {
            return None;
        }
        progress.until("begun");
        Some(())
    });
}

/// Only the launcher, and what it prepares for the next sandbox, is left of a server's processes.
fn wait_until_no_program_runs(server: &Serve) {
    until("no program is left", END, || {
        descendants(server.pid()).iter().all(|process| process.command != "bash").then_some(())
    });
}

#[test]
fn a_cancelled_call_ends_and_the_sandbox_lives_on() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let endless = bash(ENDLESS);
    let id = endless["toolCallId"].as_str().unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| server.call("c", &[], std::slice::from_ref(&endless)));
        wait_until_begun(&server, "c");
        let cancel = || server.request("POST", &format!("/v1/triggers/c/tool-calls/{id}/cancel")).send();
        assert_eq!(cancel().expect(200), json!({"toolCallId": id, "cancelled": true}));
        let answer = running.join().unwrap();
        let result = &answer["toolResults"][0]["result"];
        assert_eq!((&result["cancelled"], &result["stdout"]), (&json!(true), &json!("begun\n")), "{answer}");
        assert_eq!(cancel().expect(200)["cancelled"], false);
    });
    assert_eq!(server.request("POST", "/v1/triggers/c/tool-calls/none/cancel").send().status, 404);
    let after = server.result("c", &bash("cat /output/partial.txt"));
    assert_eq!((&after["stdout"], after.get("sandboxRestarted")), (&json!("saved\n"), None), "{after}");
}

#[test]
fn deleting_a_trigger_ends_what_runs_in_it() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let body = json!({"toolCalls": [bash(ENDLESS)]});
            server.request("POST", "/v1/triggers/d/tool-calls").json(&body).send()
        });
        wait_until_begun(&server, "d");
        let asked = Instant::now();
        server.end("d");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        // When DELETE has answered, nothing runs any more.
        assert!(descendants(server.pid()).iter().all(|process| process.command != "bash"));
        let answer = running.join().unwrap();
        let told = if answer.status == 200 {
            answer.value()["toolResults"][0]["result"]["cancelled"].clone()
        } else {
            answer.expect(409)["code"].clone()
        };
        assert!([json!(true), json!("TRIGGER_CLOSED")].contains(&told), "{told}");
    });
    // What was saved is not lost.
    let status = server.status("d");
    assert_eq!(
        (&status["state"], &status["files"][0]["name"]),
        (&json!("ended"), &json!("partial.txt")),
        "{status}"
    );
    let late = server
        .request("POST", "/v1/triggers/d/tool-calls")
        .json(&json!({"toolCalls": [bash("true")]}))
        .send();
    assert_eq!(late.expect(409)["code"], "TRIGGER_CLOSED");
    server.end("d");
    server.end("never-there");
}

#[test]
fn a_client_that_stays_away_stops_its_call() {
    if !require("native") {
        return;
    }
    let args = vec!["--abandoned".to_owned(), "1ms".to_owned()];
    let server = Serve::with(&Options { args, ..Options::default() });
    let stream = server.stream("g", &[], &[bash(ENDLESS)]);
    wait_until_begun(&server, "g");
    stream.hang_up();
    wait_until_no_program_runs(&server);
    // The trigger is there for the next one.
    assert_eq!(server.result("g", &bash("echo next"))["stdout"], "next\n");
}

/// The connection breaks, and the client sends the same request again, as SDKs do.
#[test]
fn a_client_that_was_cut_off_joins_its_call_again() {
    if !require("native") {
        return;
    }
    let args = vec!["--abandoned".to_owned(), "10m".to_owned()];
    let server = Serve::with(&Options { args, ..Options::default() });
    // It goes on when the test says so, and not before.
    let call = bash(
        "echo begun; echo once >> /output/runs.txt; until [ -e /workspace/go ]; do read -t 0.05 < /dev/zero; done; cat /output/runs.txt",
    );
    let stream = server.stream("j", &[], std::slice::from_ref(&call));
    wait_until_begun(&server, "j");
    stream.hang_up();
    let id = call["toolCallId"].as_str().unwrap();
    thread::scope(|scope| {
        let again = scope.spawn(|| server.call("j", &[], std::slice::from_ref(&call)));
        let path = format!("/v1/triggers/j/tool-calls/{id}/cancel");
        until("the call is still there", END, || {
            (server.status("j")["toolCalls"][0]["state"] == "running").then_some(())
        });
        assert_eq!(server.request("POST", &path).send().expect(200)["cancelled"], true);
        let answer = again.join().unwrap();
        let result = &answer["toolResults"][0]["result"];
        assert_eq!((&result["cancelled"], &result["stdout"]), (&json!(true), &json!("begun\n")), "{answer}");
        assert_eq!(answer["toolResults"][0]["files"][0]["filename"], "runs.txt", "{answer}");
    });
    let whole = server.call("j", &[], std::slice::from_ref(&call));
    assert_eq!(whole["toolResults"][0]["result"]["stdout"], "begun\n", "it never runs twice");
}

#[test]
fn two_triggers_never_see_each_other() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let leave = "echo secret > /workspace/s; echo secret > /tmp/s; echo secret > /dev/shm/s; hostname leaked 2>/dev/null; (sleep 100 &) ; echo $$";
    server.result("first", &bash(leave));
    let look = "ls -A /workspace /output /tmp /dev/shm; set -- /proc/[0-9]*; echo $#";
    let seen = |trigger: &str| server.result(trigger, &bash(look))["stdout"].clone();
    let beside = seen("second");
    assert!(beside.as_str().unwrap().lines().all(|line| line != "s"), "{beside}");
    server.end("first");
    let after = seen("third");
    assert_eq!(after, beside);
}

#[test]
fn a_trigger_restarts_in_a_fresh_sandbox_when_its_time_is_over() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let declaration = json!({"sandboxTimeout": 1500});
    server.request("PUT", "/v1/triggers/t").json(&declaration).send().expect(200);
    let over = server.result("t", &bash("echo x > mark; echo y > /output/kept.txt; sleep 60"));
    assert_eq!((&over["exitCode"], &over["timedOut"]), (&json!(124), &json!(true)), "{over}");
    assert_eq!(over["outputFiles"][0]["name"], "kept.txt", "{over}");
    let fresh = server.result("t", &bash("ls"));
    assert_eq!((&fresh["stdout"], &fresh["sandboxRestarted"]), (&json!(""), &json!(true)), "{fresh}");
}

#[test]
fn sigterm_lets_running_calls_end_and_takes_no_new_ones() {
    if !require("native") {
        return;
    }
    let mut server = Serve::start();
    let slow = bash("echo begun; sleep 2; echo done > /output/d.txt; echo end");
    let answer = thread::scope(|scope| {
        let running = scope.spawn(|| server.call("d", &[], std::slice::from_ref(&slow)));
        wait_until_begun(&server, "d");
        server.signal(Signal::TERM);
        running.join().unwrap()
    });
    let result = &answer["toolResults"][0]["result"];
    assert_eq!(result["stdout"], "begun\nend\n", "{answer}");
    assert_eq!(result["outputFiles"][0]["name"], "d.txt", "{answer}");
    let status = server.wait(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{}", server.log());
}

#[test]
fn a_drain_that_takes_too_long_is_cut_short() {
    if !require("native") {
        return;
    }
    let mut server =
        Serve::with(&Options { args: vec!["--drain".to_owned(), "1s".to_owned()], ..Options::default() });
    thread::scope(|scope| {
        let running = scope.spawn(|| server.stream("d", &[], &[bash(ENDLESS)]).whole());
        wait_until_begun(&server, "d");
        server.signal(Signal::TERM);
        let text = running.join().unwrap();
        // The client hears of it, and gets what was saved.
        assert!(
            text.text().contains("\"cancelled\":true") && text.text().contains("file-available"),
            "{}",
            text.text()
        );
    });
    let status = server.wait(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{}", server.log());
}
