//! Tool calls: carry them out, as JSON or as events while they happen, and stop one.
//!
//! All calls of a request are handed to the runner in their order before the first answer is awaited. Where one is refused
//! because of too much at once, those before it are still waited for: the client will send all of them again, and then gets
//! the stored results of those. Any other refusal ends the request; calls that nobody waits for then end some time later.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Request, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::{
    StreamExt as _,
    future::{self, BoxFuture},
    stream::FuturesUnordered,
};
use runner::{CallAnswer, CallError, CallRequest, Cancelled, PendingCall, Tenant};
use serde::Deserialize;
use serde_json::json;
use tool::{ErrorSource, ErrorType, StreamEvent, ToolCall, ToolInfo};

use crate::{
    app::App,
    body,
    problem::{Answer, Code, Problem},
    routes::{PathOf, trigger_id},
    sse::{self, Source},
};

/// The body of a request for tool calls.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    tool_calls: Vec<ToolCall>,
    #[serde(default)]
    skills: Option<Vec<String>>,
}

/// `POST /v1/triggers/{id}/tool-calls`
pub(crate) async fn carry_out(
    State(app): State<App>,
    PathOf(id): PathOf<String>,
    request: Request,
) -> Answer {
    let id = trigger_id(&id)?;
    let accept = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let events = sse::wanted(&accept.collect::<Vec<_>>().join(","));
    let tenant = request.extensions().get::<Tenant>().cloned().unwrap_or_default();
    let received = body::json::<Calls>(&app, request, app.config.json_bytes).await?;
    let Calls { tool_calls, skills } = received.value;
    let most = app.runner.config().queue;
    if tool_calls.len() > most {
        let detail =
            format!("a request has at most {most} tool calls, and this one has {}", tool_calls.len());
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let mut skills = skills.unwrap_or_default();
    let mut accepted = Vec::with_capacity(tool_calls.len());
    for call in tool_calls {
        let info = ToolInfo { name: call.tool_name.clone(), call_id: Some(call.tool_call_id.clone()) };
        // The skills are the request's: once they are enabled they stay.
        let (skills, tenant) = (std::mem::take(&mut skills), tenant.clone());
        let request = CallRequest { skills, tenant, ..CallRequest::new(call) };
        match app.runner.submit(&id, request).await {
            Ok(pending) => accepted.push((info, pending)),
            Err(refused @ CallError::Busy { .. }) => {
                future::join_all(accepted.into_iter().map(|(_, pending)| pending)).await;
                return Err(refused.into());
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    // The calls are the runner's now.
    drop(received.permits);
    if events { Ok(stream(&app, accepted)) } else { results(accepted).await }
}

/// `POST /v1/triggers/{id}/tool-calls/{toolCallId}/cancel`
pub(crate) async fn cancel(
    State(app): State<App>,
    PathOf((id, tool_call_id)): PathOf<(String, String)>,
    request: Request,
) -> Answer {
    let id = trigger_id(&id)?;
    body::check_no_foreign_body(&request)?;
    let cancelled = match app.runner.cancel(&id, &tool_call_id).await {
        Cancelled::Stopped => true,
        Cancelled::AlreadyDone => false,
        Cancelled::Unknown => {
            return Err(Problem::new(Code::NotFound, "this trigger has no such tool call"));
        }
    };
    Ok(Json(json!({"toolCallId": tool_call_id, "cancelled": cancelled})).into_response())
}

async fn results(accepted: Vec<(ToolInfo, PendingCall)>) -> Answer {
    // All are waited for, also where one fails: a repeated request then finds the results of the others.
    let answers = future::join_all(accepted.into_iter().map(|(_, pending)| pending)).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>, CallError>>()?;
    let results: Vec<_> = answers.iter().map(|answer| &answer.answer.result).collect();
    let events: Vec<_> = answers.iter().flat_map(|answer| &answer.answer.events).collect();
    Ok(Json(json!({"toolResults": results, "events": events})).into_response())
}

fn stream(app: &App, accepted: Vec<(ToolInfo, PendingCall)>) -> Response {
    let wait = |(info, pending): (ToolInfo, PendingCall)| -> Waiting {
        Box::pin(async move { (info, pending.await) })
    };
    let source = CallEvents { waiting: accepted.into_iter().map(wait).collect(), ended: Ended::Not };
    sse::response(source, app.config.heartbeat)
}

type Waiting = BoxFuture<'static, (ToolInfo, Result<Arc<CallAnswer>, CallError>)>;

/// The events of all calls of a request, in the order in which the calls end.
struct CallEvents {
    waiting: FuturesUnordered<Waiting>,
    ended: Ended,
}

/// Whether `finish` was sent, or is not to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Not,
    /// A call has no answer: `finish` would say that all was done.
    WithError,
    Finished,
}

impl Source for CallEvents {
    async fn next(&mut self) -> Option<Bytes> {
        let mut bytes = Vec::new();
        match self.waiting.next().await {
            Some((_, Ok(answer))) => answer.answer.events.iter().for_each(|event| write(&mut bytes, event)),
            Some((info, Err(error))) => {
                self.ended = Ended::WithError;
                write(&mut bytes, &failed(info, error.into()));
            }
            None if self.ended == Ended::Not => {
                self.ended = Ended::Finished;
                write(&mut bytes, &StreamEvent::finish());
            }
            None => return None,
        }
        Some(bytes.into())
    }
}

fn write(bytes: &mut Vec<u8>, event: &StreamEvent) {
    sse::write(
        bytes,
        None,
        &serde_json::to_string(event).expect("events have string keys and no failing serializer"),
    );
}

/// The event for a call that was accepted and has no answer.
fn failed(tool: ToolInfo, problem: Problem) -> StreamEvent {
    let retry_after = problem.retry_seconds();
    let error_type = match problem.code() {
        Code::Busy => ErrorType::RateLimitError,
        Code::TriggerClosed | Code::ResultGone => ErrorType::NotFoundError,
        _ => ErrorType::InternalError,
    };
    StreamEvent::Error {
        error_type,
        message: problem.detail().to_owned(),
        source: ErrorSource::Platform,
        retryable: retry_after.is_some(),
        retry_after,
        code: Some(problem.code().as_str().to_owned()),
        tool: Some(tool),
    }
}
