//! Bodies of requests, read within bounds of size and time, and JSON from them.
//!
//! What is held of all bodies, and of the files that are fetched for them, has a bound as well: each KiB takes a permit,
//! and a body that finds none is told to come again. A permit is given back when the request that needed the body is done.

use std::{any::type_name, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tool::replace_lone_surrogates;

use crate::{
    app::App,
    problem::{Code, Problem},
};

/// What one request holds beside its body, with its permits.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    app: &'a App,
    bytes: usize,
    permits: Option<OwnedSemaphorePermit>,
}

impl<'a> Held<'a> {
    /// Nothing yet.
    pub(crate) fn new(app: &'a App) -> Self {
        Self { app, bytes: 0, permits: None }
    }

    /// So many bytes more; refused where all requests together would hold too many.
    pub(crate) fn more(&mut self, bytes: usize) -> Result<(), Problem> {
        take_permits(self.app, &mut self.permits, self.bytes + bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}

/// A body, or what was made of it, with its permits.
#[derive(Debug)]
pub(crate) struct Received<T> {
    pub(crate) value: T,
    pub(crate) permits: Option<OwnedSemaphorePermit>,
}

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read(app: &App, mut body: Body, limit: usize) -> Result<Received<Bytes>, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than the limit of {limit} bytes");
        Problem::new(Code::BodyTooLarge, detail).with("limit", limit)
    };
    // What the client says of the length; so it need not send what would be refused.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut permits: Option<OwnedSemaphorePermit> = None;
    let mut bytes = BytesMut::new();
    let last = Instant::now() + app.config.body_timeout;
    loop {
        let next = last.min(Instant::now() + app.config.body_idle);
        let late = |_| Problem::new(Code::RequestTimeout, "the body of the request did not come in time");
        let Some(frame) = timeout_at(next, body.frame()).await.map_err(late)? else { break };
        let broken = |_| Problem::new(Code::BadRequest, "the body of the request broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        take_permits(app, &mut permits, bytes.len() + data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Received { value: bytes.freeze(), permits })
}

fn take_permits(app: &App, permits: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Problem> {
    let have = permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let more = bytes.div_ceil(1024).saturating_sub(have);
    if more == 0 {
        return Ok(());
    }
    let busy = || {
        Problem::new(Code::Busy, "too many bytes of requests at once")
            .retry_after(app.config.retry_after.max(Duration::from_secs(1)))
    };
    let more = u32::try_from(more).map_err(|_| busy())?;
    let taken = app.kibibytes.clone().try_acquire_many_owned(more).map_err(|_| busy())?;
    match permits {
        Some(permits) => permits.merge(taken),
        None => *permits = Some(taken),
    }
    Ok(())
}

/// Reads a JSON body. Its type must be said: a form or a plain text could come from any web page.
pub(crate) async fn json<T: DeserializeOwned>(
    app: &App,
    request: Request,
    limit: usize,
) -> Result<Received<T>, Problem> {
    check_type(request.headers(), "application/json")?;
    let Received { value: bytes, permits } = read(app, request.into_body(), limit).await?;
    // The same memory, as nobody else holds it.
    let mut bytes = BytesMut::from(bytes);
    replace_lone_surrogates(&mut bytes);
    let value = serde_json::from_slice(&bytes).map_err(|error| refuse::<T>(&error))?;
    Ok(Received { value, permits })
}

fn refuse<T>(error: &serde_json::Error) -> Problem {
    tracing::debug!(wanted = type_name::<T>(), "a JSON body was refused");
    let (line, column) = (error.line(), error.column());
    // The position stands at the end of the message; members hold it for programs.
    let problem = match error.classify() {
        Category::Data => Problem::new(Code::InvalidRequest, error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => {
            Problem::new(Code::MalformedJson, format!("the body is not valid JSON: {error}"))
        }
    };
    problem.with("line", line).with("column", column)
}

/// Refuses a body that is of another type, or is compressed.
pub(crate) fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(Code::UnsupportedMediaType, "the body must not be compressed"));
    }
    if media_type(headers).as_deref() == Some(wanted) {
        return Ok(());
    }
    let detail = format!("the body must be {wanted}, and its Content-Type must say so");
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// The declared type, in lower case and without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Refuses a body of another type where no body is needed at all, so that nothing that a web page can send without
/// asking gets through.
pub(crate) fn check_no_foreign_body(request: &Request) -> Result<(), Problem> {
    if request.body().is_end_stream() && !request.headers().contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    check_type(request.headers(), "application/json")
}
