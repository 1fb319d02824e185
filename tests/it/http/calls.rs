//! Tool calls: all six, as JSON and as events, alone and many at once, repeated and cancelled.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    client::events,
    require::require,
    serve::{Serve, bash, call, python, six_tools},
};

#[test]
fn the_six_tools_share_one_sandbox() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    six_tools(&server, "six");
    let status = server.status("six");
    assert_eq!(status["toolCalls"].as_array().unwrap().len(), 6);
    assert_eq!(status["files"].as_array().unwrap().len(), 4);
    assert_eq!(sandboxes_created(&server, "six"), 1);
}

/// Skills are read without a sandbox.
#[test]
fn reading_a_skill_makes_no_sandbox() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let calls = [
        call("skill_read", &json!({"skill": "qr-code", "path": "references/payloads.md"})),
        call("skill_list", &json!({"skill": "qr-code"})),
    ];
    let answer = server.call("lazy", &["qr-code"], &calls);
    assert!(answer["toolResults"][0]["result"]["content"].as_str().unwrap().contains("WIFI"), "{answer}");
    assert_eq!(server.status("lazy").get("sandboxId"), None);
    assert_eq!(sandboxes_created(&server, "lazy"), 0);
}

/// How many sandboxes a trigger had, as its own progress tells; ends the trigger.
fn sandboxes_created(server: &Serve, trigger: &str) -> usize {
    server.end(trigger);
    let progress = server.request("GET", &format!("/v1/triggers/{trigger}/events")).send();
    assert_eq!(progress.status, 200);
    events(progress.text()).iter().filter(|event| event["type"] == "sandbox-created").count()
}

/// The outcome of the first call is there while the second is still running: it would run for ever.
#[test]
fn events_come_while_calls_are_running() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let (quick, endless) =
        (bash("echo one > /output/one.txt"), bash("echo begun; while :; do read -t 1 < /dev/zero; done"));
    let mut stream = server.stream("s", &[], &[quick.clone(), endless.clone()]);
    assert_eq!(stream.status, 200);
    let type_header = stream.headers.iter().find(|(name, _)| name == "content-type").unwrap();
    assert_eq!(type_header.1, "text/event-stream");
    let mut text = stream.until("file-available");
    assert!(!text.contains(endless["toolCallId"].as_str().unwrap()), "{text}");
    let mut progress = server.request("GET", "/v1/triggers/s/events").stream();
    progress.until("begun");
    let path = format!("/v1/triggers/s/tool-calls/{}/cancel", endless["toolCallId"].as_str().unwrap());
    assert_eq!(server.request("POST", &path).send().expect(200)["cancelled"], true);
    text.push_str(stream.whole().text());
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let events = events(&text);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tool-output-available", "file-available", "tool-output-available", "finish"]);
    assert_eq!(events[0]["toolCallId"], quick["toolCallId"]);
    assert_eq!(
        (&events[2]["toolCallId"], &events[2]["output"]["cancelled"], &events[2]["output"]["stdout"]),
        (&endless["toolCallId"], &json!(true), &json!("begun\n"))
    );
}

#[test]
fn failures_of_programs_are_results_and_failures_of_calls_are_errors() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let mut wrong = call("code_run", &json!({"language": "ruby", "code": ""}));
    wrong["outputVariable"] = json!("OUT");
    wrong["blockIndex"] = json!(7);
    let timeout = call(
        "code_run",
        &json!({"language": "bash", "code": "echo kept > /output/kept.txt; sleep 60", "timeout": 500}),
    );
    let calls = [
        python("import sys; print('{\"error\": \"x\"}'); sys.exit(1)"),
        python("import nonexistent_package"),
        timeout,
        bash("kill -SEGV $$"),
        wrong,
        call("skill_run", &json!({"skill": "qr-code", "script": "none.py"})),
        call("file_read", &json!({"path": "../etc/passwd"})),
        call("frobnicate", &json!({})),
    ];
    let answer = server.call("f", &["qr-code"], &calls);
    let results = answer["toolResults"].as_array().unwrap();
    let result = |index: usize| &results[index]["result"];
    let error =
        |index: usize| results[index]["error"].as_str().unwrap_or_else(|| panic!("{}", results[index]));
    assert_eq!((&result(0)["exitCode"], &result(0)["stdout"]), (&json!(1), &json!("{\"error\": \"x\"}\n")));
    assert_eq!(result(1)["exitCode"], 1);
    assert!(result(1)["hint"].as_str().unwrap().contains("nonexistent_package"), "{}", result(1));
    assert_eq!((&result(2)["exitCode"], &result(2)["timedOut"]), (&json!(124), &json!(true)));
    assert!(result(2)["stderr"].as_str().unwrap().ends_with("[command timed out]"));
    assert_eq!(result(2)["outputFiles"][0]["name"], "kept.txt");
    assert_eq!(result(3)["exitCode"], 139);
    assert_eq!(error(4), "Invalid arguments for octavus_code_run: language must be one of python, bash");
    assert_eq!((&results[4]["outputVariable"], &results[4]["blockIndex"]), (&json!("OUT"), &json!(7)));
    assert_eq!(error(5), "Script not found: none.py. Scripts of qr-code: scripts/generate.py");
    assert!(error(6).starts_with("Path not allowed: ../etc/passwd. Readable: "), "{}", error(6));
    assert!(
        error(7).starts_with("Unknown tool: \"octavus_frobnicate\". Tools: octavus_skill_read, "),
        "{}",
        error(7)
    );
    for result in &results[4..] {
        assert_eq!(result.get("result"), None);
    }
}

/// Half a second is half a second, whatever a program does to go on; and the next call finds nothing of it.
#[test]
fn programs_that_resist_end_in_time() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let resisting = [
        "trap '' TERM INT HUP; while :; do :; done",
        "kill -STOP $$",
        "for i in $(seq 20); do (trap '' TERM; while :; do :; done) & done; wait",
        "yes",
        "yes >&2",
        "(setsid bash -c 'trap \"\" TERM; while :; do echo x; done' &); sleep 60",
        "exec 1>&- 2>&-; sleep 60",
        "cat /dev/zero",
    ];
    let look = || server.result("r", &bash("set -- /proc/[0-9]*; echo $#"))["stdout"].clone();
    let alone = look();
    // Without a limit of processes it would be the machine's bomb.
    let bomb = "f() { f & f; }; f 2> /dev/null; while :; do :; done";
    for code in resisting.into_iter().chain(require("cgroup").then_some(bomb)) {
        let limited = call("code_run", &json!({"language": "bash", "code": code, "timeout": 500}));
        let asked = Instant::now();
        let result = server.result("r", &limited);
        let took = asked.elapsed();
        assert_eq!(
            (&result["exitCode"], &result["timedOut"]),
            (&json!(124), &json!(true)),
            "{code}: {result}"
        );
        assert_eq!(result.get("sandboxRestarted"), None, "{code}: {result}");
        assert!(result["durationMs"].as_u64().unwrap() <= 1500, "{code}: {}", result["durationMs"]);
        assert!(took < Duration::from_millis(2500), "{code}: {took:?}");
        assert_eq!(look(), alone, "{code}: something is left");
    }
}

#[test]
fn a_program_out_of_memory_is_told_apart() {
    if !require("native") || !require("cgroup") {
        return;
    }
    let server = Serve::start();
    let result =
        server.result("m", &python("open('/output/before.txt', 'w').write('x'); b = bytearray(2 << 30)"));
    // Where nothing but Python's own limit is hit this is a MemoryError; here it must be the kernel's.
    assert_eq!((&result["exitCode"], &result["oomKilled"]), (&json!(137), &json!(true)), "{result}");
    assert!(result["hint"].as_str().unwrap().contains("512"), "{result}");
    assert_eq!(result["outputFiles"][0]["name"], "before.txt");
    // Init outlived it, and so did the sandbox.
    let after = server.result("m", &bash("cat /output/before.txt"));
    assert_eq!((&after["stdout"], after.get("sandboxRestarted")), (&json!("x"), None), "{after}");
}

#[test]
fn sixty_four_triggers_at_once() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    thread::scope(|scope| {
        for number in 0..64 {
            let server = &server;
            scope.spawn(move || {
                let trigger = format!("t{number}");
                let code = format!("import os; print(os.listdir('.'), {number}); open('mine', 'w'); open('/output/{number}.txt', 'w').write('{number}')");
                let answer = server.call(&trigger, &[], &[python(&code)]);
                let result = &answer["toolResults"][0]["result"];
                assert_eq!(result["stdout"], format!("[] {number}\n"), "{answer}");
                let file = &result["outputFiles"][0];
                assert_eq!(file["name"], format!("{number}.txt"), "{answer}");
                server.end(&trigger);
            });
        }
    });
}

#[test]
fn parallel_calls_of_one_trigger_make_one_sandbox_and_run_in_turn() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    // Two at once would both find the directory missing, or one would find the other's.
    let code = "mkdir busy || exit 9; echo x >> log; wc -l < log; rmdir busy";
    let lines: Vec<u64> = thread::scope(|scope| {
        let run = || server.result("one", &bash(code));
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(run)).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results
            .map(|result| {
                result["stdout"].as_str().unwrap().trim().parse().unwrap_or_else(|_| panic!("{result}"))
            })
            .collect()
    });
    let mut sorted = lines;
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=16).collect::<Vec<_>>());
    assert_eq!(sandboxes_created(&server, "one"), 1);
}

#[test]
fn a_repeated_call_gets_the_stored_result() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let once = bash("echo x >> log; wc -l < log; date +%N > /output/time");
    let first = server.call("r", &[], std::slice::from_ref(&once));
    let again: Vec<Value> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| server.call("r", &[], std::slice::from_ref(&once)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for answer in again {
        assert_eq!(answer["toolResults"], first["toolResults"]);
    }
    assert_eq!(server.result("r", &bash("wc -l < log"))["stdout"], "1\n");
    let mut other = once;
    other["args"]["code"] = json!("echo other");
    let request = server.request("POST", "/v1/triggers/r/tool-calls").json(&json!({"toolCalls": [other]}));
    let problem = request.send().expect(422);
    assert_eq!(problem["code"], "CONFLICTING_ARGUMENTS");
}

#[test]
fn a_declared_trigger_has_its_inputs_and_environment() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let declaration = json!({
        "skills": ["text-report"],
        "env": {"GREETING": "servus"},
        "inputs": [{"path": "data/a.csv", "content": "YSxiCjEsMgo="}],
        "metadata": {"chat": 7},
    });
    let declared = server.request("PUT", "/v1/triggers/d").json(&declaration).send().expect(200);
    assert_eq!((&declared["skills"], &declared["metadata"]), (&json!(["text-report"]), &json!({"chat": 7})));
    assert_eq!(declared.get("sandboxId"), None);
    let result = server.result("d", &bash("cat data/a.csv; echo $GREETING; ls /skills"));
    assert_eq!(result["stdout"], "a,b\n1,2\nservus\ntext-report\n");
    // The same again is fine; something else is not.
    assert_eq!(server.request("PUT", "/v1/triggers/d").json(&declaration).send().status, 200);
    let other = server.request("PUT", "/v1/triggers/d").json(&json!({"env": {"GREETING": "moin"}})).send();
    assert_eq!(other.expect(409)["code"], "CONFLICT");
}
