//! What happens in a trigger, while it happens.

use axum::{body::Bytes, extract::State, http::HeaderMap};
use jiff::Timestamp;
use runner::{ProgressEvent, ProgressStream};

use crate::{
    app::App,
    problem::{Answer, Code, Problem},
    routes::{PathOf, trigger_id},
    sse::{self, Source},
};

/// `GET /v1/triggers/{id}/events`
pub(crate) async fn follow(State(app): State<App>, PathOf(id): PathOf<String>, headers: HeaderMap) -> Answer {
    let id = trigger_id(&id)?;
    let last = match headers.get("last-event-id").map(|value| value.to_str().unwrap_or("x")) {
        None | Some("") => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Problem::new(Code::BadRequest, "Last-Event-ID must be the id of an event that this server sent")
        })?),
    };
    let stream = app.runner.progress(&id, last)?;
    Ok(sse::response(Progress(stream), app.config.heartbeat))
}

struct Progress(ProgressStream);

impl Source for Progress {
    async fn next(&mut self) -> Option<Bytes> {
        let event = self.0.next().await?;
        let mut bytes = Vec::new();
        sse::write(&mut bytes, Some(event.id), &json(&event));
        Some(bytes.into())
    }
}

fn json(event: &ProgressEvent) -> String {
    let mut value = event.to_value();
    // Milliseconds, as people and browsers expect them.
    if let Ok(at) = Timestamp::try_from(event.at) {
        value["at"] = format!("{at:.3}").into();
    }
    value.to_string()
}
