//! Tool calls as JSON: results, repetition, refusals, cancellation, clients that go away.

use std::time::Duration;

use sandbox::{DriverErrorKind, Termination, fake::Program};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{TestApp, code, until};

const CALLS: &str = "/v1/triggers/t/tool-calls";

fn long() -> Program {
    Program::new().stdout("begun\n").sleep(Duration::from_secs(200))
}

#[tokio::test(start_paused = true)]
async fn a_call_answers_with_its_result_and_its_events() {
    let app = TestApp::new();
    let program = Program::new().stdout("hello\n").write("/output/a.txt", "abc").exit(1);
    let mut call = code("c1", &program);
    call["outputVariable"] = "RESULT".into();
    call["blockIndex"] = 2.into();
    call["unknownMember"] = json!({"of": "a later version"});
    let answer =
        app.post(CALLS, &json!({"toolCalls": [call], "skills": ["qr-code"], "later": 1})).value().await;
    let url = answer["toolResults"][0]["files"][0]["url"].clone();
    let id = answer["toolResults"][0]["files"][0]["id"].clone();
    let output = json!({
        "exitCode": 1, "stdout": "hello\n", "stderr": "", "durationMs": 0,
        "outputFiles": [{"name": "a.txt", "path": "/output/a.txt", "mediaType": "text/plain", "size": 3, "url": url}],
        "remainingMs": 300_000,
    });
    assert_eq!(
        answer,
        json!({
            "toolResults": [{
                "toolCallId": "c1", "toolName": "octavus_code_run", "result": output, "outputVariable": "RESULT", "blockIndex": 2,
                "files": [{"id": id, "mediaType": "text/plain", "url": url, "filename": "a.txt", "size": 3}],
            }],
            "events": [
                {"type": "tool-output-available", "toolCallId": "c1", "output": output},
                {"type": "file-available", "id": id, "mediaType": "text/plain", "url": url, "filename": "a.txt", "size": 3,
                 "toolCallId": "c1"},
            ],
        })
    );
    assert_eq!(app.get("/v1/triggers/t").value().await["skills"], json!(["qr-code"]));
}

#[tokio::test]
async fn a_call_that_cannot_be_carried_out_is_still_an_answer() {
    let app = TestApp::new();
    app.driver.fail_next_create(DriverErrorKind::Unavailable);
    let calls = json!([
        code("c1", &Program::new()),
        {"toolCallId": "c2", "toolName": "octavus_skill_read", "args": {"skill": "x"}},
        {"toolCallId": "c3", "toolName": "octavus_code_run"},
    ]);
    let answer = app.post(CALLS, &json!({"toolCalls": calls, "skills": ["notes"]})).value().await;
    let errors: Vec<&str> =
        answer["toolResults"].as_array().unwrap().iter().map(|r| r["error"].as_str().unwrap()).collect();
    assert_eq!(errors[0], "The sandbox could not be started");
    assert_eq!(errors[1], "Skill not found: \"x\". Available skills: notes");
    assert!(errors[2].starts_with("Invalid arguments for octavus_code_run: "));
    assert!(answer["toolResults"].as_array().unwrap().iter().all(|result| result.get("result").is_none()));
    let types: Vec<&Value> =
        answer["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["tool-output-error"; 3]);
}

#[tokio::test]
async fn parallel_requests_share_one_sandbox_and_keep_their_order() {
    let app = TestApp::new();
    let mut requests = JoinSet::new();
    for n in 0..20 {
        let ask = app.run("t", &format!("c{n}"), &Program::new().stdout(format!("{n}")));
        requests.spawn(ask.value());
    }
    assert_eq!(requests.join_all().await.len(), 20);
    assert_eq!(app.driver.created(), 1);
    assert_eq!(app.driver.sandboxes()[0].max_running, 1);
    let calls: Vec<Value> =
        (0..5).map(|n| code(&format!("d{n}"), &Program::new().stdout(format!("{n}")))).collect();
    let answer = app.post(CALLS, &json!({"toolCalls": calls})).value().await;
    let said: Vec<&str> = answer["toolResults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["result"]["stdout"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_repeated_call_gets_the_stored_result_and_another_is_refused() {
    let app = TestApp::new();
    let first = app.run("t", "c1", &Program::new().stdout("once")).value().await;
    assert_eq!(app.run("t", "c1", &Program::new().stdout("once")).value().await, first);
    assert_eq!(app.driver.execs().len(), 1);
    let detail = "toolCallId `c1` was already used with another tool or other arguments";
    app.run("t", "c1", &Program::new().stdout("twice"))
        .refused(422, "Unprocessable Entity", "CONFLICTING_ARGUMENTS", detail, json!({}))
        .await;
}

#[tokio::test]
async fn requests_of_the_wrong_shape() {
    let app = TestApp::new();
    assert_eq!(
        app.post(CALLS, &json!({"toolCalls": []})).value().await,
        json!({"toolResults": [], "events": []})
    );
    let detail = "missing field `toolCalls` at line 1 column 2";
    let place = json!({"line": 1, "column": 2});
    app.post(CALLS, &json!({})).refused(422, "Unprocessable Entity", "INVALID_REQUEST", detail, place).await;
    let nameless = json!({"toolCalls": [{"toolCallId": "c1"}]});
    assert_eq!(app.post(CALLS, &nameless).code().await, (422, "INVALID_REQUEST".into()));
    let detail = "a toolCallId must have 1 to 256 characters and no control characters";
    let calls = json!({"toolCalls": [code("", &Program::new())]});
    app.post(CALLS, &calls).refused(400, "Bad Request", "INVALID_ID", detail, json!({})).await;
    let detail = "skill `x` is not known; known skills: notes, qr-code";
    let calls = json!({"toolCalls": [code("c1", &Program::new())], "skills": ["x"]});
    app.post(CALLS, &calls).refused(422, "Unprocessable Entity", "SKILL_NOT_FOUND", detail, json!({})).await;
    let many: Vec<Value> = (0..65).map(|n| code(&format!("c{n}"), &Program::new())).collect();
    let detail = "a request has at most 64 tool calls, and this one has 65";
    app.post(CALLS, &json!({"toolCalls": many}))
        .refused(422, "Unprocessable Entity", "INVALID_REQUEST", detail, json!({}))
        .await;
    assert_eq!(app.driver.created(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_loses_nothing() {
    let app = TestApp::with(|settings| settings.runner.queue = 2);
    let brief = Program::new().stdout("x").sleep(Duration::from_secs(1));
    let calls: Vec<Value> = (0..2).map(|n| code(&format!("a{n}"), &brief)).collect();
    let mut requests = JoinSet::new();
    requests.spawn(app.post(CALLS, &json!({"toolCalls": calls})).send());
    until("the first call runs", || app.driver.execs().len() == 1).await;
    let calls: Vec<Value> = (0..2).map(|n| code(&format!("b{n}"), &brief)).collect();
    let body = json!({"toolCalls": calls});
    let refused = app.post(CALLS, &body).send().await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "2"));
    assert_eq!(refused.json()["code"], "BUSY");
    assert_eq!(requests.join_next().await.unwrap().unwrap().status, 200);
    let answer = app.post(CALLS, &body).value().await;
    assert!(
        answer["toolResults"].as_array().unwrap().iter().all(|result| result["result"]["exitCode"] == 0),
        "{answer}"
    );
    assert_eq!(app.driver.execs().len(), 4, "nothing ran twice");
}

#[tokio::test(start_paused = true)]
async fn too_few_sandboxes_are_told_as_busy() {
    let app = TestApp::with(|settings| settings.runner.sandboxes = 1);
    app.run("first", "c1", &Program::new()).value().await;
    let refused = app.run("t", "c1", &Program::new()).send().await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "2"));
    app.delete("/v1/triggers/first").send().await;
    assert_eq!(app.run("t", "c1", &Program::new()).send().await.status, 200, "the same id may come again");
}

#[tokio::test(start_paused = true)]
async fn one_call_can_be_stopped() {
    let app = TestApp::new();
    let mut requests = JoinSet::new();
    requests.spawn(app.run("t", "c/1", &long()).value());
    until("the call runs", || app.driver.execs().len() == 1).await;
    let path = "/v1/triggers/t/tool-calls/c%2F1/cancel";
    let stopped = app.ask(axum::http::Method::POST, path).value().await;
    assert_eq!(stopped, json!({"toolCallId": "c/1", "cancelled": true}));
    let answer = requests.join_next().await.unwrap().unwrap();
    assert_eq!(answer["toolResults"][0]["result"]["cancelled"], true);
    assert_eq!(app.post(path, &json!({})).value().await, json!({"toolCallId": "c/1", "cancelled": false}));
    let detail = "this trigger has no such tool call";
    for path in ["/v1/triggers/t/tool-calls/x/cancel", "/v1/triggers/u/tool-calls/x/cancel"] {
        app.post(path, &json!({})).refused(404, "Not Found", "NOT_FOUND", detail, json!({})).await;
    }
    assert_eq!(app.driver.execs()[0].termination, Some(Termination::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_its_calls() {
    let app = TestApp::with(|settings| settings.runner.abandoned = Duration::ZERO);
    let mut requests = JoinSet::new();
    requests.spawn(app.run("t", "c1", &long()).value());
    until("the call runs", || app.driver.execs().len() == 1).await;
    requests.abort_all();
    until("it was stopped", || app.driver.execs()[0].termination == Some(Termination::Cancelled)).await;
    // Its place is free again, and so is its trigger.
    assert_eq!(app.run("t", "c2", &Program::new()).send().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_told_with_a_time() {
    let app = TestApp::new();
    app.runner.shutdown().await;
    let refused = app.run("t", "c1", &Program::new());
    let reply = refused
        .refused(503, "Service Unavailable", "SHUTTING_DOWN", "the runner is shutting down", json!({}))
        .await;
    assert_eq!(reply.header("retry-after"), "2");
    assert_eq!(app.put("/v1/triggers/t", &json!({})).code().await, (503, "SHUTTING_DOWN".into()));
}
