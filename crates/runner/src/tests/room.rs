//! Room: places for sandboxes that give way, and the one bound of everything that is kept.

use bytes::Bytes;
use futures_util::future::join_all;
use sandbox::fake::Program;
use serde_json::json;
use tokio::time::{Instant, advance};

use super::{Bench, call, code, id, seconds};
use crate::{
    CallError, CallRequest, Declaration, DeclareError, FollowError, InputFile, PendingCall, ProgressKind,
    Shortage, Tenant, TriggerState,
};

async fn submit_for(bench: &Bench, tenant: &str, trigger: &str, program: &Program) -> PendingCall {
    let request = CallRequest { tenant: Tenant::new(tenant), ..CallRequest::new(code("1", program)) };
    bench.runner.submit(&id(trigger), request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn triggers_that_nobody_ends_are_in_nobodys_way() {
    let bench = Bench::with(|config| config.sandboxes = 4);
    let begin = Instant::now();
    for n in 0..40 {
        let program = Program::new().write("/workspace/a", "x").sleep(seconds(1));
        bench.result(&format!("t{n}"), code("1", &program)).await;
    }
    assert!(begin.elapsed() < seconds(50), "nobody waited: {:?}", begin.elapsed());
    assert_eq!((bench.driver.live(), bench.runner.load().triggers), (4, 40));
    // The one that was idle longest went first, and its next result says so.
    let states: Vec<_> =
        bench.runner.triggers().into_iter().filter(|one| one.state == TriggerState::Ready).collect();
    let ready: Vec<&str> = states.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ready, ["t36", "t37", "t38", "t39"]);
    assert!(states.iter().all(|one| one.since < seconds(4)));
    let kept = bench.result("t39", code("2", &Program::new().read("/workspace/a"))).await;
    assert_eq!((&kept["stdout"], kept.get("sandboxRestarted")), (&json!("x"), None));
    let gone = bench.result("t0", code("2", &Program::new().read("/workspace/a"))).await;
    assert_eq!((&gone["exitCode"], &gone["sandboxRestarted"]), (&json!(1), &json!(true)));
    let mut story = bench.runner.progress(&id("t0"), None).unwrap();
    loop {
        let event = story.next().await.unwrap();
        if let ProgressKind::SandboxDestroyed { reason, .. } = &*event.kind {
            assert_eq!(*reason, "room-needed");
            break;
        }
    }
    bench.runner.shutdown().await;
    bench.assert_all_destroyed();
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_takes_everything_leaves_the_others_their_share() {
    let bench = Bench::with(|config| config.sandboxes = 8);
    let program = Program::new().sleep(seconds(5));
    // A hundred triggers of one tenant, all at once, none of them ended.
    let mut greedy = Vec::new();
    for n in 0..100 {
        greedy.push(submit_for(&bench, "a", &format!("a{n}"), &program).await);
    }
    advance(seconds(1)).await;
    let begin = Instant::now();
    for n in 0..6 {
        let answer = submit_for(&bench, "b", &format!("b{n}"), &program).await.await.unwrap();
        assert_eq!(answer.report.program.unwrap().exit_code, 0);
    }
    // Each waits for one call of the other's at most.
    assert!(begin.elapsed() <= seconds(6 * 10), "{:?}", begin.elapsed());
    let served = join_all(greedy).await.into_iter().filter(Result::is_ok).count();
    assert!(served >= 16, "{served}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_limit_and_the_cause() {
    let bench = Bench::with(|config| config.sandboxes = 1);
    let _running = bench.submit("a", code("1", &Program::new().sleep(seconds(100)))).await.unwrap();
    let refused = bench.submit("b", code("1", &Program::new())).await.unwrap().await.unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("sandboxes") && text.contains("limit is 1") && text.contains("end triggers"),
        "{text}"
    );
    assert_eq!(refused.retry_after(), Some(seconds(2)));
}

/// Sixty triggers, each with more than the runner keeps in all, and ended or not.
#[tokio::test(start_paused = true)]
async fn everything_that_is_kept_is_within_one_bound() {
    let most = 4 << 20;
    let bench = Bench::with(|config| config.kept_bytes = most);
    let program = Program::new().stdout("x".repeat(200_000)).write("/output/a", "x");
    for n in 0..60 {
        let trigger = format!("t{n}");
        for call in 0..45 {
            bench.result(&trigger, code(&call.to_string(), &program)).await;
            let kept = bench.runner.kept();
            assert!(kept.kept + kept.held <= most, "{kept:?}");
        }
        if n % 2 == 0 {
            bench.runner.end(&id(&trigger)).await;
        }
    }
    assert!(bench.runner.kept().dropped > 1000);
    // The newest are there, the oldest are known.
    let newest = bench.result("t59", code("44", &program)).await;
    assert!(newest["stdout"].as_str().unwrap().len() >= 100_000);
    assert!(matches!(bench.submit("t1", code("0", &program)).await, Err(CallError::ResultGone)));
    assert!(matches!(
        bench.submit("t0", code("0", &program)).await,
        Err(CallError::ResultGone | CallError::TriggerClosed)
    ));
    assert_eq!(bench.runner.status(&id("t0")).await.unwrap().state, TriggerState::Ended);
    let mut story = bench.runner.progress(&id("t0"), None).unwrap();
    while story.next().await.is_some() {}
    assert_eq!(bench.driver.execs().len(), 60 * 45);
}

#[tokio::test(start_paused = true)]
async fn declarations_calls_and_readers_are_refused_before_they_are_too_many() {
    let bench = Bench::with(|config| config.kept_bytes = 40 << 20);
    let declare = |n: usize| {
        let content = Bytes::from(vec![0; 8 << 20]);
        let inputs = vec![InputFile { path: "a".into(), content }];
        let (runner, trigger) = (bench.runner.clone(), id(&format!("t{n}")));
        async move { runner.declare(&trigger, Declaration { inputs, ..Declaration::default() }).await }
    };
    for n in 0..3 {
        declare(n).await.unwrap();
    }
    let refused = declare(3).await.unwrap_err();
    let DeclareError::Busy { shortage: Shortage::Memory { .. }, .. } = refused else { panic!("{refused:?}") };
    assert!(refused.to_string().contains("limit is 40 MiB"), "{refused}");
    let large = call("1", "file_write", json!({"path": "a", "content": "x".repeat(7 << 20)}));
    assert!(matches!(
        bench.submit("t0", large.clone()).await,
        Err(CallError::Busy { shortage: Shortage::Memory { .. }, .. })
    ));
    let mut readers = Vec::new();
    let refused = loop {
        match bench.runner.progress(&id("t0"), None) {
            Ok(reader) => readers.push(reader),
            Err(refused) => break refused,
        }
        assert!(readers.len() < 100);
    };
    assert!(matches!(refused, FollowError::Busy { .. }), "{refused:?}");
    // Another declaration takes the place of the first, and an end gives all of it back.
    bench.runner.end(&id("t1")).await;
    drop(readers);
    declare(0).await.unwrap();
    bench.result("t0", large).await;
    for n in [0, 2] {
        bench.runner.end(&id(&format!("t{n}"))).await;
    }
    assert_eq!(bench.runner.kept().held, 0);
}
