//! Order, repetition, cancelling, queues: what holds for calls whatever their tool is.

use futures_util::future::join_all;
use sandbox::fake::Program;
use serde_json::json;
use tokio::time::{Instant, advance, sleep};

use super::{Bench, call, code, id, seconds};
use crate::{CallError, CallRequest, CallState, Cancelled, DeclareError, Shortage, Tenant, TriggerState};

#[tokio::test(start_paused = true)]
async fn parallel_calls_share_one_sandbox_and_run_in_order() {
    let bench = Bench::new();
    bench.driver.set_create_delay(seconds(2));
    let mut pending = Vec::new();
    for n in 0..8 {
        let program = Program::new().sleep(seconds(1)).stdout(format!("{n}"));
        pending.push(bench.submit("t", code(&n.to_string(), &program)).await.unwrap());
    }
    for (n, answer) in join_all(pending).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.answer.result.result.as_ref().unwrap()["stdout"], n.to_string());
        assert_eq!(answer.report.sandbox.as_ref().unwrap().created_in.is_some(), n == 0);
        assert_eq!(answer.report.queued, if n == 0 { seconds(0) } else { seconds(2 + n as u64) });
    }
    assert_eq!((bench.driver.created(), bench.driver.execs().len()), (1, 8));
    assert_eq!(bench.driver.sandboxes()[0].max_running, 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_gets_the_stored_result_and_a_running_one_is_joined() {
    let bench = Bench::new();
    let program = Program::new().sleep(seconds(3)).stdout("once").exit(4);
    let first = bench.submit("t", code("c", &program)).await.unwrap();
    let second = bench.submit("t", code("c", &program)).await.unwrap();
    let (first, second) = tokio::join!(first, second);
    let third = bench.answer("t", code("c", &program)).await;
    assert_eq!(first.unwrap().answer, third.answer);
    assert_eq!(second.unwrap().answer, third.answer);
    assert_eq!(bench.driver.execs().len(), 1);
    let other = bench.submit("t", code("c", &Program::new())).await.unwrap_err();
    assert_eq!(other, CallError::ConflictingArguments { tool_call_id: "c".into() });
    assert!(matches!(
        bench.submit("t", call("", "code_run", json!({}))).await,
        Err(CallError::InvalidCallId)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_everybody_has_left_is_stopped_after_a_while() {
    let bench = Bench::new();
    let long = Program::new().stdout("begun").write("/output/a.txt", "kept").sleep(seconds(100));
    let begin = Instant::now();
    let gone = bench.submit("t", code("a", &long)).await.unwrap();
    let next = bench.submit("t", code("b", &Program::new())).await.unwrap();
    advance(seconds(1)).await;
    drop(gone);
    assert_eq!(next.await.unwrap().report.program.unwrap().exit_code, 0);
    let took = begin.elapsed();
    assert!(took >= seconds(31) && took < seconds(33), "{took:?}");
    // It ran, so it never runs again; and what it printed and saved is not lost.
    let late = bench.result("t", code("a", &long)).await;
    assert_eq!((&late["cancelled"], &late["stdout"]), (&json!(true), &json!("begun")));
    let status = bench.runner.status(&id("t")).await.unwrap();
    assert_eq!(status.files[0].tool_call_id.as_deref(), Some("a"));
    assert_eq!(bench.driver.execs().len(), 2);

    let first = bench.submit("t", code("c", &Program::new().sleep(seconds(5)).exit(3))).await.unwrap();
    let second = bench.submit("t", code("c", &Program::new().sleep(seconds(5)).exit(3))).await.unwrap();
    advance(seconds(1)).await;
    drop(first);
    assert_eq!(second.await.unwrap().report.program.unwrap().exit_code, 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_cut_off_comes_back_to_its_call() {
    let bench = Bench::new();
    let program = Program::new().sleep(seconds(60)).stdout("once");
    let begin = Instant::now();
    // Cut off again and again, and never away for long.
    for _ in 0..3 {
        let cut = bench.submit("t", code("a", &program)).await.unwrap();
        advance(seconds(1)).await;
        drop(cut);
        sleep(seconds(15)).await;
    }
    assert_eq!(bench.result("t", code("a", &program)).await["stdout"], "once");
    assert_eq!(begin.elapsed(), seconds(60));
    // Away when it ended: the result waits.
    let cut = bench.submit("t", code("b", &Program::new().sleep(seconds(5)).stdout("kept"))).await.unwrap();
    advance(seconds(1)).await;
    drop(cut);
    sleep(seconds(1000)).await;
    bench.result("t", code("b", &Program::new().sleep(seconds(5)).stdout("kept"))).await;
    assert_eq!(bench.driver.execs().len(), 2);
    // To stop it is another matter, and done at once.
    let cut = bench.submit("t", code("c", &program)).await.unwrap();
    advance(seconds(1)).await;
    drop(cut);
    let begin = Instant::now();
    assert_eq!(bench.runner.cancel(&id("t"), "c").await, Cancelled::Stopped);
    assert_eq!(bench.result("t", code("c", &program)).await["cancelled"], true);
    assert!(begin.elapsed() < seconds(2));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_and_is_given_up_never_runs_and_may_come_again() {
    let bench = Bench::new();
    let first = bench.submit("t", code("a", &Program::new().sleep(seconds(40)))).await.unwrap();
    drop(bench.submit("t", code("b", &Program::new().stdout("b"))).await.unwrap());
    first.await.unwrap();
    assert_eq!(bench.result("t", code("b", &Program::new().stdout("again"))).await["stdout"], "again");
    assert_eq!(bench.driver.execs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_call_is_cancelled_and_the_others_go_on() {
    let bench = Bench::new();
    let running =
        bench.submit("t", code("a", &Program::new().ignore_sigterm().sleep(seconds(100)))).await.unwrap();
    let waiting = bench.submit("t", code("b", &Program::new())).await.unwrap();
    let last = bench.submit("t", code("c", &Program::new())).await.unwrap();
    advance(seconds(1)).await;
    let status = bench.runner.status(&id("t")).await.unwrap();
    let states: Vec<_> = status.calls.iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Running, CallState::Queued, CallState::Queued]);
    assert_eq!(status.state, TriggerState::Running);
    assert!(status.sandbox.is_some() && status.remaining.unwrap() <= seconds(300));
    for (call, expected) in [("b", Cancelled::Stopped), ("a", Cancelled::Stopped), ("x", Cancelled::Unknown)]
    {
        assert_eq!(bench.runner.cancel(&id("t"), call).await, expected);
    }
    assert_eq!(running.await.unwrap().answer.result.result.as_ref().unwrap()["cancelled"], true);
    assert_eq!(waiting.await.unwrap().answer.result.error.as_deref(), Some("Cancelled"));
    assert_eq!(last.await.unwrap().report.program.unwrap().exit_code, 0);
    assert_eq!(bench.runner.cancel(&id("t"), "c").await, Cancelled::AlreadyDone);
    assert_eq!(bench.runner.cancel(&id("none"), "c").await, Cancelled::Unknown);
    assert_eq!((bench.driver.execs().len(), bench.driver.created()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn queues_triggers_and_sandboxes_are_bounded_and_say_so() {
    let bench = Bench::with(|config| {
        config.queue = 2;
        config.triggers = 2;
        config.sandboxes = 1;
    });
    let long = Program::new().sleep(seconds(50));
    let mut pending = vec![bench.submit("a", code("0", &long)).await.unwrap()];
    advance(seconds(1)).await;
    for n in 1..3 {
        pending.push(bench.submit("a", code(&n.to_string(), &long)).await.unwrap());
    }
    let refused = bench.submit("a", code("3", &long)).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(seconds(2)));
    // The second trigger finds no sandbox free; nothing ran, so the same call may come again.
    let begin = Instant::now();
    let busy = bench.submit("b", code("0", &long)).await.unwrap().await.unwrap_err();
    assert!(matches!(busy, CallError::Busy { shortage: Shortage::Sandboxes { most: 1 }, .. }), "{busy:?}");
    assert_eq!(begin.elapsed(), seconds(10));
    assert!(matches!(bench.submit("c", code("0", &long)).await, Err(CallError::Busy { .. })));
    bench.runner.end(&id("a")).await;
    assert_eq!(bench.result("b", code("0", &long)).await["exitCode"], 0);
    drop(pending);
}

#[tokio::test(start_paused = true)]
async fn skills_of_a_call_are_enabled_for_its_trigger() {
    let bench = Bench::new();
    let with = |call, skills: &[&str]| CallRequest {
        tenant: Tenant::default(),
        skills: skills.iter().map(|slug| (*slug).to_owned()).collect(),
        ..CallRequest::new(call)
    };
    let trigger = id("t");
    let read = call("1", "skill_read", json!({"skill": "notes"}));
    let answer = bench.runner.submit(&trigger, with(read, &["notes"])).await.unwrap().await.unwrap();
    assert_eq!(answer.answer.code, None);
    let unknown =
        bench.runner.submit(&trigger, with(code("2", &Program::new()), &["nope"])).await.unwrap_err();
    let CallError::Skills(DeclareError::UnknownSkill { slug, available }) = unknown else {
        panic!("{unknown:?}")
    };
    assert_eq!((slug.as_str(), available.len()), ("nope", 4));
    // A skill without dependencies can still join a living sandbox; one with dependencies cannot.
    bench.result("t", code("3", &Program::new())).await;
    let run = call("4", "skill_run", json!({"skill": "qr-code", "script": "list"}));
    let answer = bench.runner.submit(&trigger, with(run, &["qr-code"])).await.unwrap().await.unwrap();
    assert_eq!(answer.answer.result.result.as_ref().unwrap()["stdout"], "listed\n");
    let late = bench.runner.submit(&trigger, with(code("5", &Program::new()), &["needy"])).await.unwrap_err();
    assert_eq!(late, CallError::Skills(DeclareError::SkillTooLate { slug: "needy".into() }));
    assert_eq!(bench.driver.created(), 1);
}

#[tokio::test(start_paused = true)]
async fn results_are_kept_within_their_bound() {
    let bench = Bench::with(|config| config.result_bytes = 8_000);
    let big = Program::new().stdout("x".repeat(2_000));
    for n in 0..3 {
        bench.result("t", code(&n.to_string(), &big)).await;
    }
    assert!(matches!(bench.submit("t", code("0", &big)).await, Err(CallError::ResultGone)));
    bench.result("t", code("2", &big)).await;
    assert_eq!(bench.driver.execs().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_triggers_at_once_each_have_a_sandbox_of_their_own() {
    let bench = Bench::new();
    bench.driver.set_create_delay(seconds(1));
    let names: Vec<String> = (0..64).map(|n| format!("t{n}")).collect();
    let begin = Instant::now();
    let results = join_all(names.iter().map(|name| async {
        let program = Program::new().sleep(seconds(5)).write("own.txt", name.as_str()).read("own.txt");
        bench.result(name, code("1", &program)).await["stdout"].as_str().unwrap().to_owned()
    }));
    assert_eq!(results.await, names);
    assert!(begin.elapsed() < seconds(7), "{:?}", begin.elapsed());
    assert_eq!((bench.driver.created(), bench.runner.load().sandboxes), (64, 64));
    join_all(names.iter().map(|name| async { bench.runner.end(&id(name)).await })).await;
    bench.assert_all_destroyed();
}
