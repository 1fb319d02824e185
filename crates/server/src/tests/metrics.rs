//! What `/metrics` says, after calls of every kind of end.

use artifact::StoreErrorKind;
use sandbox::fake::Program;
use serde_json::json;

use super::{TestApp, code};

/// The value of one line.
fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}:\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn calls_and_uploads_are_counted_by_how_they_ended() {
    let app = TestApp::new();
    let text = async || app.get("/metrics").send().await;
    let before = text().await;
    assert_eq!(
        (before.status.as_u16(), before.header("content-type")),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(value(before.text(), "skillbox_uploads_total{outcome=\"failed\"}"), 0);
    assert_eq!(value(before.text(), "skillbox_sandboxes"), 0);
    assert!(
        before.text().contains(&format!(
            "skillbox_build_info{{version=\"{}\",driver=\"fake\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        )),
        "{}",
        before.text()
    );
    let saves = Program::new().write("/output/a.txt", "hello");
    app.run("t", "good", &saves).value().await;
    app.run("t", "bad", &Program::new().exit(3)).value().await;
    app.post(
        "/v1/triggers/t/tool-calls",
        &json!({"toolCalls": [
            {"toolCallId": "unknown", "toolName": "octavus_rm", "args": {}},
            {"toolCallId": "none", "toolName": "octavus_skill_read", "args": {"skill": "none"}},
        ]}),
    )
    .value()
    .await;
    app.store.fail_with(Some(StoreErrorKind::Unavailable));
    app.run("t", "lost", &Program::new().write("/output/b.txt", "hello")).value().await;
    let after = text().await;
    let of = |series: &str| value(after.text(), series);
    assert_eq!(of("skillbox_uploads_total{outcome=\"stored\"}"), 1);
    assert_eq!(of("skillbox_uploads_total{outcome=\"failed\"}"), 1);
    assert_eq!(of("skillbox_tool_calls_total{tool=\"code_run\",outcome=\"succeeded\"}"), 2);
    assert_eq!(of("skillbox_tool_calls_total{tool=\"code_run\",outcome=\"program_failed\"}"), 1);
    assert_eq!(of("skillbox_tool_calls_total{tool=\"unknown\",outcome=\"error\"}"), 1);
    assert_eq!(of("skillbox_tool_calls_total{tool=\"skill_read\",outcome=\"error\"}"), 1);
    assert_eq!((of("skillbox_sandboxes"), of("skillbox_triggers")), (1, 1));
    // A repeated call is no second one.
    app.post("/v1/triggers/t/tool-calls", &json!({"toolCalls": [code("bad", &Program::new().exit(3))]}))
        .value()
        .await;
    let again = text().await;
    assert_eq!(
        value(again.text(), "skillbox_tool_calls_total{tool=\"code_run\",outcome=\"program_failed\"}"),
        1
    );
    // This store keeps nothing for later, so nothing is said of a spool.
    assert!(!again.text().contains("spool"), "{}", again.text());
}

#[tokio::test]
async fn the_numbers_are_for_those_with_a_token() {
    let app = TestApp::new();
    assert_eq!(app.get("/metrics").without("authorization").code().await, (401, "UNAUTHORIZED".to_owned()));
    let text = app.get("/metrics").send().await;
    assert!(!text.text().contains(super::TOKEN), "{}", text.text());
}
