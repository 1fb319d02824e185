//! Whether the process lives, and whether tool calls would work.

use axum::extract::State;
use serde_json::json;

use crate::{
    app::App,
    problem::{Answer, Code, Problem},
    routes::json_response,
};

/// `GET /healthz`
pub(crate) async fn alive() -> Answer {
    Ok(json_response(&json!({"status": "ok"})))
}

/// `GET /readyz`
pub(crate) async fn ready(State(app): State<App>) -> Answer {
    let verdict = app.readiness.verdict(&app.runner).await;
    if !verdict.reasons.is_empty() {
        let detail = format!("not ready: {}", verdict.reasons.join("; "));
        let problem = Problem::new(Code::NotReady, detail).retry_after(app.config.retry_after);
        let mut problem = problem.with("ready", false).with("reasons", verdict.reasons);
        if let Some(backlog) = app.runner.store().backlog() {
            problem = problem.with("storeBacklog", json!(backlog));
        }
        return Err(problem);
    }
    let mut body = json!({"ready": true});
    if !verdict.weak_walls.is_empty() {
        body["weakWalls"] = verdict.weak_walls.into();
    }
    // Not a reason to be unready: calls work, and these files will come.
    if let Some(backlog) = app.runner.store().backlog() {
        body["storeBacklog"] = json!(backlog);
    }
    Ok(json_response(&body))
}
