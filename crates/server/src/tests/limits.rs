//! Bounds: bodies, places, bytes, and readiness.

use std::time::Duration;

use artifact::StoreErrorKind;
use axum::{body::Body, http::Method};
use futures_util::stream;
use sandbox::{DriverErrorKind, fake::Program};
use serde_json::json;
use tokio::task::JoinSet;

use super::{TestApp, until};

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so() {
    let app = TestApp::with(|settings| settings.server.json_bytes = 1000);
    let detail = "the body is larger than the limit of 1000 bytes";
    let path = "/v1/triggers/t/tool-calls";
    let limit = json!({"limit": 1000});
    let said = app.ask(Method::POST, path).header("content-type", "application/json").body(" ".repeat(1001));
    said.refused(413, "Payload Too Large", "BODY_TOO_LARGE", detail, limit.clone()).await;
    let chunks = stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(" ".repeat(100))));
    let untold = app
        .ask(Method::POST, path)
        .header("content-type", "application/json")
        .body(Body::from_stream(chunks));
    untold.refused(413, "Payload Too Large", "BODY_TOO_LARGE", detail, limit).await;
    let fits = format!("{:<1000}", json!({"toolCalls": []}).to_string());
    let fits = app.ask(Method::POST, path).header("content-type", "application/json").body(fits);
    assert_eq!(fits.send().await.status, 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_so() {
    let app = TestApp::new();
    let broken = stream::iter([Ok("{"), Err(std::io::Error::other("gone"))]);
    let ask = app.ask(Method::PUT, "/v1/triggers/t").header("content-type", "application/json");
    let detail = "the body of the request broke off";
    ask.body(Body::from_stream(broken)).refused(400, "Bad Request", "BAD_REQUEST", detail, json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = TestApp::with(|settings| settings.server.body_timeout = Duration::from_secs(40));
    let ask = || app.ask(Method::PUT, "/v1/triggers/t").header("content-type", "application/json");
    let detail = "the body of the request did not come in time";
    let begun = tokio::time::Instant::now();
    let silent = stream::pending::<Result<&str, std::io::Error>>();
    ask()
        .body(Body::from_stream(silent))
        .refused(408, "Request Timeout", "REQUEST_TIMEOUT", detail, json!({}))
        .await;
    assert_eq!(begun.elapsed().as_secs(), 15);
    // A byte each ten seconds is no silence, but there is an end to it.
    let begun = tokio::time::Instant::now();
    let every = tokio::time::interval(Duration::from_secs(10));
    let drops = stream::unfold(every, |mut every| async {
        every.tick().await;
        Some((Ok::<_, std::io::Error>(" "), every))
    });
    ask()
        .body(Body::from_stream(drops))
        .refused(408, "Request Timeout", "REQUEST_TIMEOUT", detail, json!({}))
        .await;
    assert_eq!(begun.elapsed().as_secs(), 40);
}

#[tokio::test]
async fn the_bytes_of_all_bodies_have_a_bound() {
    let app = TestApp::with(|settings| settings.server.buffered_bytes = 10 * 1024);
    let big = json!({"metadata": {"text": "x".repeat(11 * 1024)}});
    let refused = app.put("/v1/triggers/t", &big);
    let reply = refused
        .refused(429, "Too Many Requests", "BUSY", "too many bytes of requests at once", json!({}))
        .await;
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(app.app.kibibytes.available_permits(), 10, "all is given back");
    assert_eq!(
        app.put("/v1/triggers/t", &json!({"metadata": {"text": "x".repeat(9 * 1024)}})).send().await.status,
        200
    );
    assert_eq!(app.app.kibibytes.available_permits(), 10);
}

#[tokio::test(start_paused = true)]
async fn when_all_places_for_calls_are_taken_calls_can_still_be_stopped() {
    let app = TestApp::with(|settings| {
        settings.server.calls = 1;
        settings.server.streams = 1;
    });
    let mut requests = JoinSet::new();
    requests.spawn(app.run("t", "c1", &Program::new().sleep(Duration::from_secs(200))).send());
    until("the call runs", || app.driver.execs().len() == 1).await;
    let second = app.run("u", "c1", &Program::new());
    let reply = second
        .refused(429, "Too Many Requests", "BUSY", "too many requests for tool calls at once", json!({}))
        .await;
    assert_eq!(reply.header("retry-after"), "1");
    let progress = app.get("/v1/triggers/t/events").begin().await;
    assert_eq!(progress.status(), 200);
    let second = app.get("/v1/triggers/t/events");
    second.refused(429, "Too Many Requests", "BUSY", "too many progress streams at once", json!({})).await;
    drop(progress);
    assert_eq!(app.get("/v1/triggers/t").send().await.status, 200);
    assert_eq!(app.delete("/v1/triggers/t").send().await.status, 204);
    assert_eq!(requests.join_next().await.unwrap().unwrap().status, 200);
    assert_eq!(app.run("u", "c1", &Program::new()).send().await.status, 200);
}

#[tokio::test]
async fn other_requests_have_places_too_but_health_always_answers() {
    let app = TestApp::with(|settings| settings.server.requests = 0);
    app.get("/v1/skills")
        .refused(429, "Too Many Requests", "BUSY", "too many requests at once", json!({}))
        .await;
    // Who has no token takes no place and learns nothing of them.
    assert_eq!(app.get("/v1/skills").without("authorization").code().await.0, 401);
    let health = app.get("/healthz").without("authorization").without("host").send().await;
    assert_eq!((health.status.as_u16(), health.json()), (200, json!({"status": "ok"})));
}

#[tokio::test(start_paused = true)]
async fn ready_only_after_a_sandbox_ran_a_program_and_while_the_store_works() {
    let app = TestApp::new();
    app.driver.on_script("pass", Program::new());
    app.driver.fail_next_create(DriverErrorKind::Unavailable);
    let not_ready = async |reason: &str| {
        let reasons = json!({"ready": false, "reasons": [reason]});
        let detail = format!("not ready: {reason}");
        let ask = app.get("/readyz").without("authorization").without("host");
        ask.refused(503, "Service Unavailable", "NOT_READY", &detail, reasons).await;
    };
    not_ready("no sandbox has run a program yet").await;
    let (readiness, runner) = (&app.app.readiness, &app.runner);
    let mut proof = Box::pin(readiness.prove(runner));
    // The first try fails at once; what is waited for then is the pause before the next.
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut proof).await.is_err());
    not_ready("no sandbox could be started").await;
    proof.await;
    assert_eq!(app.get("/readyz").value().await, json!({"ready": true}));
    assert_eq!((app.driver.created(), app.driver.live()), (1, 0));
    app.store.fail_with(Some(StoreErrorKind::Unavailable));
    // The store is not asked again for two seconds.
    assert_eq!(app.get("/readyz").value().await, json!({"ready": true}));
    tokio::time::advance(Duration::from_secs(2)).await;
    not_ready("the artifact store does not take files").await;
    app.store.fail_with(None);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(app.get("/readyz").value().await, json!({"ready": true}));
    app.app.readiness.drain();
    not_ready("the runner is shutting down").await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_without_python_is_not_ready() {
    let app = TestApp::new();
    app.driver.on_script("pass", Program::new().exit(127));
    let (readiness, runner) = (&app.app.readiness, &app.runner);
    let proof = readiness.prove(runner);
    assert!(tokio::time::timeout(Duration::from_secs(5), proof).await.is_err());
    let problem = app.get("/readyz").send().await.json();
    assert_eq!(problem["reasons"], json!(["Python does not run in the sandbox"]));
}
