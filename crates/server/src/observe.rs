//! What every request has, whatever becomes of it: an id, a span, a log line, safe headers, and an answer also where
//! a handler panics.
//!
//! Of a request its method, route and id are logged, and the ids of the trigger and the tool calls that it is about, so that
//! all lines of a call can be found by any of them. Nothing else: queries hold signatures, and headers hold tokens.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use tracing::{Instrument as _, field::Empty};
use uuid::Uuid;

use crate::problem::{Code, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a client.
const LONGEST_ID: usize = 128;

/// The id of a request, for what is done on its behalf.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// Set where the handler has not set another.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The outermost layer.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&request);
    let shown = id.to_str().unwrap_or_default().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        request.id = shown,
        http.method = %request.method(),
        http.route = route,
        trigger.id = Empty,
        tool_call.id = Empty,
    );
    request.extensions_mut().insert(RequestId(shown));
    let answered = async {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response = answer.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            tracing::error!(panic = message, "a request panicked");
            Problem::new(Code::InternalError, "something failed inside the runner; its log says what")
                .into_response()
        });
        let status = response.status().as_u16();
        // Of a width that log formats write as a number.
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if matches!(route.as_str(), "/healthz" | "/readyz" | "/metrics") {
            tracing::trace!(http.status = status, duration_ms, "answered");
        } else {
            tracing::info!(http.status = status, duration_ms, "answered");
        }
        response
    };
    let mut response = answered.instrument(span).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    response
}

/// The client's id where it is short and plain, so that it can stand in a log; else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    let given = request.headers().get(&REQUEST_ID);
    let good =
        |value: &&HeaderValue| (1..=LONGEST_ID).contains(&value.len()) && value.as_bytes().iter().all(plain);
    given.filter(good).cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
    })
}
