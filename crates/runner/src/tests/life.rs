//! Lifetimes, restarts, faults and ends of sandboxes and triggers.

use sandbox::{
    DriverErrorKind,
    fake::{FakeState, Fault, Program, Request},
};
use serde_json::json;
use skill::{Catalog, Skill};
use tokio::time::{Instant, advance, sleep};

use super::{Bench, call, code, code_for, id, seconds};
use crate::{CallError, Declaration, DeclareError, ProgressKind, TriggerState};

#[tokio::test(start_paused = true)]
async fn reading_a_skill_creates_no_sandbox() {
    let bench = Bench::new();
    bench.declare("t", &["qr-code"]).await;
    bench.result("t", call("1", "skill_read", json!({"skill": "qr-code"}))).await;
    bench.result("t", call("2", "skill_list", json!({"skill": "qr-code"}))).await;
    bench.error("t", call("3", "skill_run", json!({"skill": "qr-code", "script": "none"}))).await;
    bench.error("t", call("4", "code_run", json!({"language": "perl"}))).await;
    bench.error("t", call("5", "file_read", json!({"path": "/etc/passwd"}))).await;
    bench.error("t", call("6", "file_write", json!({"path": "/skills/x", "content": ""}))).await;
    assert_eq!(bench.driver.created(), 0);
    assert_eq!(bench.runner.status(&id("t")).await.unwrap().state, TriggerState::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_ended_at_its_own_time() {
    let bench = Bench::new();
    let program = Program::new().stdout("begun\n").write("/output/part.txt", "half").sleep(seconds(60));
    let result = bench.result("t", code_for("a", &program, 1500)).await;
    assert_eq!((&result["exitCode"], &result["timedOut"]), (&json!(124), &json!(true)));
    assert_eq!((&result["stdout"], &result["stderr"]), (&json!("begun\n"), &json!("[command timed out]")));
    assert_eq!(result["outputFiles"][0]["name"], "part.txt");
    assert!(result["hint"].as_str().unwrap().contains("stopped after 1500 ms"));
    assert!(result["remainingMs"].as_u64().unwrap() > 290_000);
    // The sandbox lives on.
    let next = bench.result("t", code("b", &Program::new().read("/output/part.txt"))).await;
    assert_eq!((&next["stdout"], next.get("sandboxRestarted")), (&json!("half"), None));
}

#[tokio::test(start_paused = true)]
async fn the_sandboxs_time_ends_a_call_and_the_next_gets_a_fresh_one() {
    let bench = Bench::new();
    let begin = Instant::now();
    let program = Program::new().write("/output/part.txt", "half").sleep(seconds(1000));
    let result = bench.result("t", code_for("a", &program, 900_000)).await;
    assert!(begin.elapsed() < seconds(301), "{:?}", begin.elapsed());
    assert_eq!((&result["exitCode"], &result["timedOut"]), (&json!(124), &json!(true)));
    assert_eq!(result["outputFiles"][0]["size"], 4);
    assert!(result["hint"].as_str().unwrap().contains("sandbox was stopped after 300 s"), "{result}");
    assert_eq!(result.get("remainingMs"), None);
    assert_eq!(bench.driver.live(), 0);
    let next = bench.result("t", code("b", &Program::new().read("/output/part.txt"))).await;
    assert_eq!((&next["exitCode"], &next["sandboxRestarted"]), (&json!(1), &json!(true)));
    let third = bench.result("t", code("c", &Program::new())).await;
    assert_eq!(third.get("sandboxRestarted"), None);
    assert_eq!(bench.driver.created(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_sandbox_goes_when_its_time_is_over() {
    let bench = Bench::new();
    bench.declare("t", &["notes"]).await;
    bench.result("t", code("a", &Program::new())).await;
    assert_eq!(bench.runner.status(&id("t")).await.unwrap().state, TriggerState::Ready);
    sleep(seconds(301)).await;
    bench.assert_all_destroyed();
    let status = bench.runner.status(&id("t")).await.unwrap();
    assert_eq!((status.state, status.sandbox, status.remaining), (TriggerState::Idle, None, None));
    bench.result("t", call("list", "skill_list", json!({"skill": "notes"}))).await;
    let read = bench.error("t", call("b", "file_read", json!({"path": "x"}))).await;
    assert_eq!(read.0, "FILE_NOT_FOUND");
    assert!(read.1.starts_with("No such file") && read.1.contains("The sandbox was restarted"), "{}", read.1);
    let again = bench.error("t", call("b2", "file_read", json!({"path": "x"}))).await;
    assert!(!again.1.contains("restarted"), "{}", again.1);
    let next = bench.result("t", code("c", &Program::new())).await;
    assert_eq!(next.get("sandboxRestarted"), None, "it was said");
    assert_eq!(bench.driver.created(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_get_what_is_left_of_the_sandboxs_time() {
    let bench = Bench::new();
    bench.result("t", code("a", &Program::new().sleep(seconds(100)))).await;
    bench.result("t", code_for("b", &Program::new(), 500_000)).await;
    bench.result("t", code_for("c", &Program::new(), 7_000)).await;
    let times: Vec<u64> = bench.driver.execs().iter().map(|exec| exec.timeout_ms).collect();
    assert_eq!(times, [300_000, 200_000, 7_000]);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_died_between_calls_is_replaced() {
    let bench = Bench::new();
    bench.result("t", code("a", &Program::new())).await;
    bench.driver.fail_next(Request::Read, Fault::Dies);
    let result = bench.result("t", code("b", &Program::new().stdout("fine"))).await;
    assert_eq!((&result["stdout"], &result["sandboxRestarted"]), (&json!("fine"), &json!(true)));
    bench.runner.end(&id("t")).await;
    bench.assert_all_destroyed();
    assert_eq!(bench.driver.created(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_breaks_in_the_middle_is_never_a_success() {
    for request in [Request::Exec, Request::Write, Request::ListOutput, Request::Fetch] {
        for fault in [Fault::Dies, Fault::DiesMidway, Fault::Silent, Fault::BrokenFrame, Fault::WrongAnswer] {
            let bench = Bench::new();
            bench.driver.fail_next(request, fault);
            let program = Program::new().stdout("a").write("/output/a", "x");
            let answer = bench.answer("t", code("a", &program)).await;
            assert_eq!(answer.answer.code.unwrap().as_str(), "SANDBOX_LOST", "{request:?} {fault:?}");
            assert!(answer.report.fault.is_some());
            assert_eq!(answer.answer.result.result, None);
            bench.assert_all_destroyed();
            let next = bench.result("t", code("b", &program)).await;
            assert_eq!((&next["stdout"], &next["sandboxRestarted"]), (&json!("a"), &json!(true)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_does_not_start_is_an_error_and_the_next_call_tries_again() {
    let bench = Bench::new();
    bench.driver.fail_next_create(DriverErrorKind::Wall);
    let answer = bench.answer("t", code("a", &Program::new())).await;
    assert_eq!(answer.answer.result.error.as_deref(), Some("The sandbox could not be started"));
    assert!(answer.report.fault.as_ref().unwrap().contains("planned by the test"));
    for request in [Request::Hello, Request::Put] {
        bench.driver.fail_next(request, Fault::Dies);
        bench.declare(&format!("{request:?}"), &["qr-code"]).await;
        let error = bench.error(&format!("{request:?}"), code("a", &Program::new())).await;
        assert_eq!(error.0, "SANDBOX_START_FAILED");
    }
    bench.assert_all_destroyed();
    bench.driver.fail_next_create(DriverErrorKind::Busy);
    let busy = bench.submit("t", code("b", &Program::new())).await.unwrap().await.unwrap_err();
    assert!(matches!(busy, CallError::Busy { .. }));
    let result = bench.result("t", code("b", &Program::new())).await;
    assert_eq!(result.get("sandboxRestarted"), None);
}

#[tokio::test(start_paused = true)]
async fn ending_kills_captures_and_destroys_and_may_be_repeated() {
    let bench = Bench::new();
    let program =
        Program::new().stdout("begun\n").write("/output/saved.txt", "x").ignore_sigterm().sleep(seconds(100));
    let running = bench.submit("t", code("a", &program)).await.unwrap();
    let waiting = bench.submit("t", code("b", &program)).await.unwrap();
    advance(seconds(1)).await;
    let begin = Instant::now();
    bench.runner.end(&id("t")).await;
    assert!(begin.elapsed() < seconds(2), "{:?}", begin.elapsed());
    bench.assert_all_destroyed();
    // What it printed and saved is in its answer.
    let running = running.await.unwrap();
    assert_eq!((&running.answer.result.error, running.answer.result.files.len()), (&None, 1));
    let result = running.answer.result.result.clone().unwrap();
    assert_eq!((&result["stdout"], &result["cancelled"]), (&json!("begun\n"), &json!(true)));
    assert_eq!(
        (&result["stderr"], &result["outputFiles"][0]["name"]),
        (&json!("[command cancelled]"), &json!("saved.txt"))
    );
    assert_eq!(waiting.await.unwrap().answer.code.unwrap().as_str(), "TRIGGER_CLOSED");
    assert_eq!(bench.store.count(), 1);
    bench.runner.end(&id("t")).await;
    bench.runner.end(&id("never")).await;
    let status = bench.runner.status(&id("t")).await.unwrap();
    assert_eq!((status.state, status.files.len()), (TriggerState::Ended, 1));
    assert!(matches!(bench.submit("t", code("c", &program)).await, Err(CallError::TriggerClosed)));
    assert_eq!(bench.runner.declare(&id("t"), Declaration::default()).await, Err(DeclareError::Closed));
    // A repeated call still gets its answer.
    assert_eq!(bench.result("t", code("a", &program)).await, result);
}

#[tokio::test(start_paused = true)]
async fn ending_while_the_sandbox_is_made_leaves_nothing() {
    for delay in [1, 60] {
        let bench = Bench::new();
        bench.driver.set_create_delay(seconds(delay));
        let pending = bench.submit("t", code("a", &Program::new())).await.unwrap();
        sleep(std::time::Duration::from_millis(500)).await;
        let begin = Instant::now();
        bench.runner.end(&id("t")).await;
        assert!(begin.elapsed() <= seconds(1), "{:?}", begin.elapsed());
        assert_eq!(pending.await.unwrap().answer.code.unwrap().as_str(), "CANCELLED");
        bench.assert_all_destroyed();
        assert_eq!(bench.driver.execs().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn ended_triggers_are_known_for_ten_minutes_however_many_end() {
    let bench = Bench::new();
    for n in 0..1010 {
        bench.result(&format!("t{n}"), call("1", "file_write", json!({"path": "a", "content": "x"}))).await;
        bench.runner.end(&id(&format!("t{n}"))).await;
    }
    assert!(matches!(bench.submit("t0", code("2", &Program::new())).await, Err(CallError::TriggerClosed)));
    bench.runner.end(&id("c")).await;
    bench.result("c", code("1", &Program::new())).await;
    bench.runner.end(&id("c")).await;
    sleep(seconds(599)).await;
    assert_eq!(bench.runner.status(&id("c")).await.unwrap().calls.len(), 1);
    sleep(seconds(2)).await;
    assert!(bench.runner.status(&id("c")).await.is_none());
    assert!(bench.runner.status(&id("t0")).await.is_none());
    // The name is free again.
    assert_eq!(bench.result("c", code("1", &Program::new().stdout("new"))).await["stdout"], "new");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_without_calls_is_ended() {
    let bench = Bench::with(|config| config.lifetime = seconds(1000));
    bench.result("t", code("1", &Program::new().sleep(seconds(500)))).await;
    sleep(seconds(3601)).await;
    bench.assert_all_destroyed();
    assert_eq!(bench.runner.load().triggers, 0);
    assert!(matches!(bench.submit("t", code("2", &Program::new())).await, Err(CallError::TriggerClosed)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_one_trigger_only() {
    let bench = Bench::new();
    bench.result("other", code("1", &Program::new())).await;
    let mut request = crate::CallRequest::new(code("1", &Program::new().stdout("x")));
    request.options.sink = Some(Box::new(|_, _| panic!("planned by the test")));
    let answer = bench.runner.submit(&id("t"), request).await.unwrap().await;
    assert_eq!(answer.unwrap_err(), CallError::Internal);
    assert_eq!(bench.driver.sandboxes()[1].state, FakeState::Dropped);
    assert_eq!(bench.result("other", code("2", &Program::new())).await["exitCode"], 0);
    assert_eq!(bench.result("t", code("2", &Program::new())).await["exitCode"], 0);
    assert_eq!(bench.runner.load().sandboxes, 2);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_cannot_be_destroyed_does_not_fail_the_trigger() {
    let bench = Bench::new();
    bench.driver.fail_next_destroy(DriverErrorKind::System);
    bench.result("t", code("1", &Program::new())).await;
    bench.runner.end(&id("t")).await;
    assert_eq!(bench.runner.load().sandboxes, 0);
}

#[tokio::test(start_paused = true)]
async fn progress_tells_the_whole_story() {
    let bench = Bench::new();
    bench.result("t", code("1", &Program::new().stdout("hi\n").write("/output/a", "x"))).await;
    bench.runner.end(&id("t")).await;
    let mut stream = bench.runner.progress(&id("t"), None).unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = stream.next().await {
        kinds.push(event.to_value()["type"].as_str().unwrap().to_owned());
        if let ProgressKind::Output { text, stream, .. } = &*event.kind {
            assert_eq!((text.as_str(), *stream), ("hi\n", "stdout"));
        }
    }
    let expected = [
        "call-started",
        "sandbox-creating",
        "sandbox-created",
        "output",
        "file",
        "call-finished",
        "sandbox-destroyed",
        "ended",
    ];
    assert_eq!(kinds, expected);
    assert!(bench.runner.progress(&id("none"), None).is_none());
}

/// Whoever works on a skill has other files in it from call to call; triggers that use the old ones are not disturbed.
#[tokio::test(start_paused = true)]
async fn other_skills_take_the_place_of_all_that_there_are() {
    let bench = Bench::new();
    bench.declare("old", &["notes"]).await;
    let text = |description: &str| format!("---\nname: notes\ndescription: {description}\n---\nBody\n");
    let new = Skill::from_files([("SKILL.md", text("Does other things."))]).unwrap();
    bench.runner.skills().replace(Catalog::from_skills([new])).await;
    let names: Vec<String> =
        bench.runner.skills().list().iter().map(|entry| entry.skill.name().to_string()).collect();
    assert_eq!(names, ["notes"]);
    bench.declare("new", &["notes"]).await;
    let read =
        |trigger: &'static str| bench.result(trigger, call("c", "skill_read", json!({"skill": "notes"})));
    let (old, new) = (read("old").await["content"].to_string(), read("new").await["content"].to_string());
    assert!(!old.contains("other things") && new.contains("other things"), "{old} {new}");
    bench.runner.shutdown().await;
}

/// A daemon that hangs takes requests and never answers.
#[tokio::test(start_paused = true)]
async fn a_driver_that_hangs_holds_up_neither_calls_nor_ends_nor_the_shutdown() {
    let bench = Bench::new();
    bench.result("parked", code("1", &Program::new())).await;
    bench.driver.set_create_delay(seconds(1_000_000));
    bench.driver.set_destroy_delay(seconds(1_000_000));
    let begin = Instant::now();
    let error = bench.error("new", code("1", &Program::new())).await;
    assert_eq!(error.0, "SANDBOX_START_FAILED");
    assert!(begin.elapsed() <= seconds(61), "{:?}", begin.elapsed());
    let begin = Instant::now();
    bench.runner.end(&id("parked")).await;
    assert!(begin.elapsed() <= seconds(16), "{:?}", begin.elapsed());
    let begin = Instant::now();
    bench.runner.shutdown().await;
    assert!(begin.elapsed() <= seconds(60), "{:?}", begin.elapsed());
}
