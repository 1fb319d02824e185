//! A trigger: declare it, look at it, end it.

use std::time::Duration;

use artifact::ArtifactId;
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::IntoResponse as _,
};
use runner::{TriggerFile, TriggerId, TriggerStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tool::OutputFileState;

use crate::{
    app::App,
    body,
    declaration::WireDeclaration,
    inputs::Inputs,
    problem::{Answer, Problem},
    routes::{PathOf, QueryOf, json_response, trigger_id, unknown_trigger},
};

/// Room for what is not content in a declaration.
const BESIDE_INPUTS: usize = 1024 * 1024;

/// `PUT /v1/triggers/{id}`
pub(crate) async fn declare(State(app): State<App>, PathOf(id): PathOf<String>, request: Request) -> Answer {
    let id = trigger_id(&id)?;
    let most_inputs = app.runner.config().input_bytes;
    let inputs = usize::try_from(most_inputs).unwrap_or(usize::MAX / 2);
    // Four characters of base64 for three bytes.
    let limit = (inputs / 3 * 4).saturating_add(BESIDE_INPUTS).max(app.config.json_bytes);
    let mut fetched = Inputs::new(&app);
    let received = body::json::<WireDeclaration>(&app, request, limit).await?;
    let declaration = received.value.resolve(&mut fetched, most_inputs).await?;
    app.runner.declare(&id, declaration).await?;
    // From here on the trigger holds the inputs.
    drop((received.permits, fetched));
    state(&app, &id).await
}

/// Triggers that one answer lists.
const LISTED: usize = 1000;

/// `GET /v1/triggers`: those that have not ended, without their files and calls.
pub(crate) async fn list(State(app): State<App>, QueryOf(page): QueryOf<Page>) -> Answer {
    let mut ids = app.runner.triggers();
    let total = ids.len();
    if let Some(after) = &page.after {
        ids.retain(|id| id.as_str() > after.as_str());
    }
    let more = ids.len() > LISTED;
    ids.truncate(LISTED);
    let mut triggers = Vec::with_capacity(ids.len());
    for id in &ids {
        // One that has gone meanwhile is left out.
        let Some(status) = app.runner.status(id).await else { continue };
        let mut members = Map::new();
        members.insert("id".into(), id.as_str().into());
        members.insert("state".into(), json!(status.state));
        members.insert("toolCalls".into(), status.calls.len().into());
        if let Some(sandbox) = status.sandbox {
            members.insert("sandboxId".into(), sandbox.as_str().into());
        }
        if let Some(remaining) = status.remaining {
            members.insert("remainingMs".into(), milliseconds(remaining).into());
        }
        members.insert("metadata".into(), status.metadata.into());
        triggers.push(Value::Object(members));
    }
    let sandboxes = json!({"live": app.runner.load().sandboxes, "most": app.runner.config().sandboxes});
    let mut body = json!({"triggers": triggers, "total": total, "sandboxes": sandboxes});
    if let Some(last) = ids.last().filter(|_| more) {
        body["after"] = last.as_str().into();
    }
    Ok(json_response(&body))
}

/// Where a listing goes on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// The last id of the page before.
    after: Option<String>,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `GET /v1/triggers/{id}`
pub(crate) async fn show(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer {
    state(&app, &trigger_id(&id)?).await
}

/// `DELETE /v1/triggers/{id}`
pub(crate) async fn end(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer {
    app.runner.end(&trigger_id(&id)?).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn state(app: &App, id: &TriggerId) -> Answer {
    let status = app.runner.status(id).await.ok_or_else(unknown_trigger)?;
    Ok(json_response(&shown(app, id, status).await?))
}

async fn shown(app: &App, id: &TriggerId, status: TriggerStatus) -> Result<Value, Problem> {
    let calls = status.calls.iter().map(
        |call| json!({"toolCallId": call.tool_call_id, "toolName": call.tool_name, "state": call.state}),
    );
    let mut members = Map::new();
    members.insert("id".into(), id.as_str().into());
    members.insert("state".into(), json!(status.state));
    members.insert("skills".into(), status.skills.into());
    members.insert("toolCalls".into(), calls.collect());
    let mut files = Vec::new();
    for file in status.files {
        files.push(shown_file(app, file).await);
    }
    members.insert("files".into(), files.into());
    if let Some(sandbox) = status.sandbox {
        members.insert("sandboxId".into(), sandbox.as_str().into());
    }
    if let Some(remaining) = status.remaining {
        members.insert("remainingMs".into(), milliseconds(remaining).into());
    }
    members.insert("metadata".into(), status.metadata.into());
    Ok(Value::Object(members))
}

/// A file with a fresh link: the one that its call got may be over, or the file was not in the store at that time.
async fn shown_file(app: &App, TriggerFile { tool_call_id, mut file }: TriggerFile) -> Value {
    if let OutputFileState::Deferred { id, .. } = &file.state
        && let Ok(artifact) = id.parse::<ArtifactId>()
        && app.runner.store().metadata(&artifact).await.is_ok()
    {
        file.state = OutputFileState::Stored { id: id.clone(), url: String::new() };
    }
    if let OutputFileState::Stored { id, url } = &mut file.state
        && let Ok(artifact) = id.parse::<ArtifactId>()
        && let Ok(fresh) = app.runner.store().url(&artifact).await
    {
        *url = fresh.url;
    }
    let mut shown = json!(file);
    if let Some(tool_call_id) = tool_call_id {
        shown["toolCallId"] = tool_call_id.into();
    }
    shown
}
