//! Triggers: declare one, look at it, end it; and which there are.

use artifact::ArtifactId;
use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::IntoResponse as _,
};
use runner::{TriggerFile, TriggerId, TriggerStatus};
use serde_json::{Map, Value, json};
use tool::OutputFileState;

use crate::{
    app::App,
    body,
    declaration::WireDeclaration,
    inputs::Inputs,
    problem::{Answer, Problem},
    routes::{PathOf, trigger_id, unknown_trigger},
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

/// `GET /v1/triggers`
pub(crate) async fn list(State(app): State<App>) -> Answer {
    let limits = app.runner.config();
    let shown = app.runner.triggers().into_iter().map(|trigger| {
        let since = u64::try_from(trigger.since.as_millis()).unwrap_or(u64::MAX);
        json!({"id": trigger.id.as_str(), "state": trigger.state, "sinceMs": since})
    });
    let triggers: Vec<Value> = shown.collect();
    let load = app.runner.load();
    Ok(Json(json!({
        "triggers": triggers,
        "sandboxes": load.sandboxes,
        "mostSandboxes": limits.sandboxes,
        "mostTriggers": limits.triggers,
    }))
    .into_response())
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
    Ok(Json(shown(app, id, status).await?).into_response())
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
        members.insert("remainingMs".into(), u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX).into());
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
    if let OutputFileState::Stored { id, .. } = file.state {
        shown["id"] = id.into();
    }
    if let Some(tool_call_id) = tool_call_id {
        shown["toolCallId"] = tool_call_id.into();
    }
    shown
}
