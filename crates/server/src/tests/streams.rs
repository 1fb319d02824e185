//! Event streams, byte by byte.

use std::time::Duration;

use axum::http::HeaderMap;
use sandbox::{Termination, fake::Program};
use serde_json::{Value, json};

use super::{Ask, TestApp, code, piece, until};

const CALLS: &str = "/v1/triggers/t/tool-calls";

fn events(ask: Ask) -> Ask {
    ask.header("accept", "text/event-stream")
}

/// The JSON of each `data:` line, after the text was checked to be nothing but such events and the end.
fn parse(text: &str) -> Vec<Value> {
    let events = text.strip_suffix("data: [DONE]\n\n").expect("the end");
    let mut parsed = Vec::new();
    for event in events.split_terminator("\n\n") {
        let json = event.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {event:?}"));
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(value.to_string(), json, "written compactly");
        parsed.push(value);
    }
    parsed
}

fn check_headers(headers: &HeaderMap) {
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-store, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("content-length"));
}

#[tokio::test(start_paused = true)]
async fn a_call_streams_its_events_in_the_exact_form() {
    let app = TestApp::new();
    let program = Program::new().stdout("a\r\nb \u{2028}\n\n").write("/output/a.txt", "abc");
    let reply = events(app.run("t", "c1", &program)).send().await;
    check_headers(&reply.headers);
    let parsed = parse(reply.text());
    let (id, url) = (&parsed[1]["id"], &parsed[1]["url"]);
    assert_eq!(
        reply.text(),
        format!(
            "data: {{\"type\":\"tool-output-available\",\"toolCallId\":\"c1\",\"output\":{{\"exitCode\":0,\
             \"stdout\":\"a\\r\\nb \u{2028}\\n\\n\",\"stderr\":\"\",\"durationMs\":0,\"outputFiles\":[{{\"name\":\"a.txt\",\
             \"path\":\"/output/a.txt\",\"mediaType\":\"text/plain\",\"size\":3,\"url\":{url}}}],\"remainingMs\":300000}}}}\n\n\
             data: {{\"type\":\"file-available\",\"id\":{id},\"mediaType\":\"text/plain\",\"url\":{url},\"filename\":\"a.txt\",\
             \"size\":3,\"toolCallId\":\"c1\"}}\n\n\
             data: {{\"type\":\"finish\",\"finishReason\":\"stop\"}}\n\n\
             data: [DONE]\n\n"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn events_come_as_calls_end_with_heartbeats_between() {
    let app = TestApp::new();
    let slow = Program::new().sleep(Duration::from_secs(40));
    let calls = json!({"toolCalls": [code("c1", &Program::new()), code("c2", &slow)]});
    let mut response = events(app.post(CALLS, &calls)).begin().await;
    assert!(
        piece(&mut response)
            .await
            .starts_with("data: {\"type\":\"tool-output-available\",\"toolCallId\":\"c1\"")
    );
    let begun = tokio::time::Instant::now();
    assert_eq!(piece(&mut response).await, ": heartbeat\n\n");
    assert_eq!(begun.elapsed().as_secs(), 15);
    assert_eq!(piece(&mut response).await, ": heartbeat\n\n");
    assert!(
        piece(&mut response)
            .await
            .starts_with("data: {\"type\":\"tool-output-available\",\"toolCallId\":\"c2\"")
    );
    assert_eq!(begun.elapsed().as_secs(), 40);
    assert_eq!(piece(&mut response).await, "data: {\"type\":\"finish\",\"finishReason\":\"stop\"}\n\n");
    assert_eq!(piece(&mut response).await, "data: [DONE]\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_a_problem_also_where_events_are_wanted() {
    let app = TestApp::new();
    let calls = json!({"toolCalls": [code("", &Program::new())]});
    assert_eq!(events(app.post(CALLS, &calls)).code().await, (400, "INVALID_ID".into()));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_an_error_event_and_no_finish() {
    let app = TestApp::with(|settings| settings.runner.sandboxes = 1);
    app.run("first", "c1", &Program::new()).value().await;
    let calls = json!({"toolCalls": [
        code("c1", &Program::new()),
        {"toolCallId": "c2", "toolName": "octavus_skill_list", "args": {"skill": "notes"}},
    ], "skills": ["notes"]});
    let reply = events(app.post(CALLS, &calls)).send().await;
    let parsed = parse(reply.text());
    let error = parsed.iter().find(|event| event["type"] == "error").unwrap();
    assert_eq!(error["errorType"], "rate_limit_error");
    assert_eq!(error["source"], "platform");
    assert_eq!(
        (&error["retryable"], &error["retryAfter"], &error["code"]),
        (&json!(true), &json!(2), &json!("BUSY"))
    );
    assert_eq!(error["tool"], json!({"name": "octavus_code_run", "callId": "c1"}));
    assert!(!error["message"].as_str().unwrap().is_empty());
    assert!(
        parsed.iter().any(|event| event["type"] == "tool-output-available" && event["toolCallId"] == "c2")
    );
    assert!(parsed.iter().all(|event| event["type"] != "finish"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_ends_its_calls() {
    let app = TestApp::with(|settings| settings.runner.abandoned = Duration::ZERO);
    let long = Program::new().sleep(Duration::from_secs(200));
    let response = events(app.run("t", "c1", &long)).begin().await;
    until("the call runs", || app.driver.execs().len() == 1).await;
    let free = app.app.calls.available_permits();
    drop(response);
    assert_eq!(app.app.calls.available_permits(), free + 1);
    until("it was stopped", || app.driver.execs()[0].termination == Some(Termination::Cancelled)).await;
}

#[tokio::test(start_paused = true)]
async fn progress_has_ids_and_goes_on_where_it_was_left() {
    let app = TestApp::new();
    app.run("t", "c1", &Program::new().stdout("out\n").stderr("err\n").write("/output/a.txt", "abc"))
        .value()
        .await;
    app.delete("/v1/triggers/t").send().await;
    let reply = app.get("/v1/triggers/t/events").send().await;
    check_headers(&reply.headers);
    let text = reply.text().strip_suffix("data: [DONE]\n\n").unwrap();
    let mut types = Vec::new();
    for (n, event) in text.split_terminator("\n\n").enumerate() {
        let (id, data) = event.split_once('\n').unwrap();
        assert_eq!(id, format!("id: {}", n + 1));
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let at = event["at"].as_str().unwrap();
        assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
        types.push(event["type"].as_str().unwrap().to_owned());
        if event["type"] == "output" && event["stream"] == "stdout" {
            assert_eq!((&event["toolCallId"], &event["text"]), (&json!("c1"), &json!("out\n")));
        }
    }
    for expected in
        ["sandbox-creating", "sandbox-created", "call-started", "output", "file", "call-finished", "ended"]
    {
        assert!(types.iter().any(|kind| kind == expected), "{expected} is not in {types:?}");
    }
    let last = types.len();
    let rest = app.get("/v1/triggers/t/events").header("last-event-id", &(last - 1).to_string()).send().await;
    assert!(rest.text().starts_with(&format!("id: {last}\ndata: {{\"type\":\"ended\"")), "{}", rest.text());
    let nothing = app.get("/v1/triggers/t/events").header("last-event-id", &last.to_string()).send().await;
    assert_eq!(nothing.text(), "data: [DONE]\n\n");
    let detail = "Last-Event-ID must be the id of an event that this server sent";
    app.get("/v1/triggers/t/events")
        .header("last-event-id", "x")
        .refused(400, "Bad Request", "BAD_REQUEST", detail, json!({}))
        .await;
}

#[tokio::test(start_paused = true)]
async fn progress_comes_while_it_happens_and_a_silent_trigger_still_beats() {
    let app = TestApp::new();
    app.put("/v1/triggers/t", &json!({})).value().await;
    let mut progress = app.get("/v1/triggers/t/events").begin().await;
    assert_eq!(piece(&mut progress).await, ": heartbeat\n\n");
    let mut response =
        events(app.run("t", "c1", &Program::new().stdout("now").sleep(Duration::from_secs(9)))).begin().await;
    loop {
        let event = piece(&mut progress).await;
        if event.contains("\"type\":\"output\"") {
            assert!(event.contains("\"text\":\"now\""));
            break;
        }
    }
    assert!(piece(&mut response).await.contains("tool-output-available"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_progress_costs_nothing_and_is_told_what_it_missed() {
    let app = TestApp::with(|settings| settings.runner.progress_events = 10);
    app.put("/v1/triggers/t", &json!({})).value().await;
    let mut progress = app.get("/v1/triggers/t/events").begin().await;
    let flood = (0..100)
        .fold(Program::new(), |program, n| program.stdout(format!("{n}\n")).sleep(Duration::from_millis(1)));
    app.run("t", "c1", &flood).value().await;
    assert!(piece(&mut progress).await.contains("\"type\":\"skipped\",\"events\":"));
}
