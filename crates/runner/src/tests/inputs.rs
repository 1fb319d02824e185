//! Declarations: what sandboxes are made from.

use bytes::Bytes;
use sandbox::fake::Program;
use serde_json::{Map, json};

use super::{Bench, code, id, seconds};
use crate::{Declaration, DeclareError, InputFile, LimitsWanted};

fn declaration() -> Declaration {
    Declaration {
        skills: vec!["qr-code".into(), "notes".into()],
        lifetime: Some(seconds(60)),
        limits: LimitsWanted { memory_bytes: Some(64 << 20), ..LimitsWanted::default() },
        env: vec![("LEVEL".into(), "high".into())],
        inputs: vec![InputFile { path: "data/a.csv".into(), content: Bytes::from_static(b"1,2\n") }],
        metadata: Map::from_iter([("user".to_owned(), json!("u1"))]),
        ..Declaration::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_made_from_its_declaration() {
    let bench = Bench::new();
    let trigger = id("t");
    bench.runner.declare(&trigger, declaration()).await.unwrap();
    assert_eq!(bench.driver.created(), 0);
    let program = Program::new().read("/workspace/data/a.csv").read("/skills/notes/SKILL.md").environment();
    let result = bench.result("t", code("1", &program)).await;
    let stdout = result["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("1,2\n---\nname: notes"), "{stdout}");
    assert!(stdout.contains("\nLEVEL=high\n"));
    let sandbox = &bench.driver.sandboxes()[0];
    assert_eq!((sandbox.spec.limits.memory_bytes, sandbox.spec.lifetime), (64 << 20, seconds(60)));
    assert_eq!(sandbox.spec.limits.processes, sandbox::Limits::standard().processes);
    let status = bench.runner.status(&trigger).await.unwrap();
    assert_eq!((status.skills, &status.metadata["user"]), (declaration().skills, &json!("u1")));
    // A fresh sandbox is made from the same.
    tokio::time::sleep(seconds(61)).await;
    assert_eq!(bench.result("t", code("2", &Program::new().read("data/a.csv"))).await["stdout"], "1,2\n");
}

#[tokio::test(start_paused = true)]
async fn declaring_is_idempotent_and_conflicts_only_with_a_sandbox() {
    let bench = Bench::new();
    let trigger = id("t");
    let other = Declaration { skills: vec!["notes".into()], ..Declaration::default() };
    bench.runner.declare(&trigger, other.clone()).await.unwrap();
    bench.runner.declare(&trigger, declaration()).await.unwrap();
    bench.result("t", code("1", &Program::new())).await;
    bench.runner.declare(&trigger, declaration()).await.unwrap();
    assert_eq!(bench.runner.declare(&trigger, other).await, Err(DeclareError::Conflict));
    let unknown = Declaration { skills: vec!["no\u{1b}".into()], ..Declaration::default() };
    let error = bench.runner.declare(&trigger, unknown).await.unwrap_err().to_string();
    assert!(error.starts_with("skill `no\\u{1b}` is not known"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn inputs_that_do_not_fit_are_the_callers_fault() {
    let bench = Bench::new();
    let limits = LimitsWanted { disk_bytes: Some(1 << 20), ..LimitsWanted::default() };
    let inputs = vec![InputFile { path: "a".into(), content: Bytes::from(vec![b'x'; (1 << 20) + 1]) }];
    let declaration = Declaration { limits, inputs, ..Declaration::default() };
    bench.runner.declare(&id("t"), declaration).await.unwrap();
    let (code, message) = bench.error("t", code("1", &Program::new())).await;
    assert_eq!(code, "NO_SPACE", "{message}");
    bench.assert_all_destroyed();
}

#[tokio::test(start_paused = true)]
async fn dependencies_that_cannot_be_had_are_told_apart() {
    let bench = Bench::new();
    // The skill's fault: the model may tell its author.
    bench.declare("a", &["odd"]).await;
    let (kind, message) = bench.error("a", code("1", &Program::new())).await;
    assert_eq!(kind, "DEPENDENCIES_FAILED");
    assert!(message.contains("odd") && message.contains("is refused"), "{message}");
    // Ours: nothing is in the cache, and the index may not be asked.
    bench.declare("b", &["needy"]).await;
    let answer = bench.answer("b", code("1", &Program::new())).await;
    assert_eq!(answer.answer.code.unwrap().as_str(), "SANDBOX_START_FAILED");
    assert!(answer.report.fault.as_ref().unwrap().contains("not in the cache"), "{:?}", answer.report.fault);
    assert_eq!(bench.driver.created(), 0);
    assert!(bench.runner.prepare_skill("needy", &|_| {}).await.is_err());
    bench.runner.prepare_skill("qr-code", &|_| {}).await.unwrap();
}
