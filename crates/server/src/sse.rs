//! Server-sent events, exactly in the form that the platform's SDKs take.
//!
//! `data: {json}` with the one space, lines ended by a line feed alone, an empty line after each event, a comment when
//! nothing happened for a while, and `data: [DONE]` at the end. The body is pulled: nothing is made before the
//! connection takes it, so a slow reader costs one event, not all of them.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use tokio::time::timeout;

const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// Where events come from.
pub(crate) trait Source: Send + 'static {
    /// The next event or events, already written with [`write`]; `None` at the end. Dropping the future must lose
    /// nothing: it is dropped for every heartbeat.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// A response that sends all events of a source.
pub(crate) fn response<S: Source>(source: S, heartbeat: Duration) -> Response {
    let events = stream::unfold(Some(source), move |source| async move {
        let mut source = source?;
        Some(match timeout(heartbeat, source.next()).await {
            Ok(Some(bytes)) => (Ok::<_, Infallible>(bytes), Some(source)),
            Ok(None) => (Ok(DONE), None),
            Err(_) => (Ok(HEARTBEAT), Some(source)),
        })
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform")),
        // Proxies of the nginx kind would hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// Writes one event. JSON without line breaks in it, as `serde_json` writes it; escaped here for whoever looks at it.
pub(crate) fn write(into: &mut Vec<u8>, id: Option<u64>, json: String) {
    if let Some(id) = id {
        into.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    into.extend_from_slice(b"data: ");
    into.extend_from_slice(tool::escape::json(json).as_bytes());
    into.extend_from_slice(b"\n\n");
}

/// Whether a client wants events rather than JSON: the higher quality counts, then what it names first.
pub(crate) fn wanted(accept: &str) -> bool {
    let mut best: Option<(f32, bool)> = None;
    for part in accept.split(',') {
        let mut words = part.split(';').map(str::trim);
        let events = match words.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/event-stream" => true,
            "application/json" | "application/*" | "*/*" => false,
            _ => continue,
        };
        let quality =
            words.find_map(|word| word.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if quality > best.map_or(0.0, |(best, _)| best) {
            best = Some((quality, events));
        }
    }
    best.is_some_and(|(_, events)| events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_wanted_where_they_are_named_first_or_preferred() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("text/event-stream, application/json", true),
            ("application/json, text/event-stream", false),
            ("application/json;q=0.5, text/event-stream", true),
            ("*/*", false),
            ("*/*, text/event-stream;q=0.9", false),
            ("text/event-stream;q=0", false),
            ("text/html", false),
            ("", false),
        ] {
            assert_eq!(wanted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn the_form_is_exact() {
        let mut bytes = Vec::new();
        write(&mut bytes, None, "{}".to_owned());
        write(&mut bytes, Some(7), "{\"a\":\"\\n\"}".to_owned());
        assert_eq!(bytes, b"data: {}\n\nid: 7\ndata: {\"a\":\"\\n\"}\n\n");
    }
}
