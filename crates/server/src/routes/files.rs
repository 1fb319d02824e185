//! Output files: a fresh link for an id, and the content behind a link that the store leaves to us.

use std::time::{Duration, SystemTime};

use artifact::{ArtifactId, ArtifactMetadata, LinkError, StoreError, StoreErrorKind, content_headers};
use axum::{
    body::Body,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::io::{AsyncReadExt as _, copy, sink};
use tokio_util::io::ReaderStream;

use crate::{
    app::App,
    problem::{Answer, Code, Problem},
    range::{Part, part},
    routes::PathOf,
};

/// Bytes read at once: each read of a large file is a trip to another thread.
const READ: usize = 256 * 1024;
/// When to ask again for a file that is on its way.
const PENDING_RETRY: Duration = Duration::from_secs(5);

/// `GET /v1/files/{id}`
pub(crate) async fn link(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer {
    let id: ArtifactId = id.parse().map_err(|_| not_found())?;
    let store = app.runner.store();
    store.metadata(&id).await.map_err(store_problem)?;
    let url = store.url(&id).await.map_err(store_problem)?.url;
    let location = HeaderValue::from_str(&url).map_err(|error| Problem::internal("write a link", &error))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// `GET /v1/files/{id}/content`
pub(crate) async fn content(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Answer {
    let links = app.config.signed_urls.as_ref().ok_or_else(not_found)?;
    let checked = links.verify(uri.path(), uri.query().unwrap_or_default(), SystemTime::now());
    let id = checked.map_err(|error| match error {
        LinkError::Expired => {
            let detail = "the link has expired; GET /v1/files/{id} gives a fresh one";
            Problem::new(Code::LinkExpired, detail)
        }
        LinkError::Invalid => Problem::new(Code::LinkInvalid, "the link is not valid"),
    })?;
    let content = app.runner.store().open(&id).await.map_err(store_problem)?.ok_or_else(not_found)?;
    let metadata = content.metadata;
    let tag = format!("\"{}\"", metadata.sha256);
    if named(&headers, &header::IF_NONE_MATCH, &tag) {
        return respond(StatusCode::NOT_MODIFIED, &metadata, None, Body::empty());
    }
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    // Of a file that is another one now, the whole; ours never change, so the tag is the same or the client is wrong.
    let same = !headers.contains_key(header::IF_RANGE) || named(&headers, &header::IF_RANGE, &tag);
    let wanted = range.filter(|_| same).map_or(Part::Whole, |range| part(range, metadata.size));
    let mut reader = content.body;
    match wanted {
        Part::Whole => respond(
            StatusCode::OK,
            &metadata,
            None,
            Body::from_stream(ReaderStream::with_capacity(reader, READ)),
        ),
        Part::Range(first, last) => {
            // A store gives a stream and not a file; what is before the range is read over.
            copy(&mut (&mut reader).take(first), &mut sink())
                .await
                .map_err(|error| Problem::store(&error))?;
            let stream = ReaderStream::with_capacity(reader.take(last - first + 1), READ);
            respond(StatusCode::PARTIAL_CONTENT, &metadata, Some((first, last)), Body::from_stream(stream))
        }
        Part::Nothing => {
            let problem =
                Problem::new(Code::RangeNotSatisfiable, "the range begins behind the end of the file");
            let mut response = problem.into_response();
            if let Ok(range) = HeaderValue::from_str(&format!("bytes */{}", metadata.size)) {
                response.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            Ok(response)
        }
    }
}

/// The headers are the store crate's, so that content is never served without what makes it harmless.
fn respond(status: StatusCode, metadata: &ArtifactMetadata, range: Option<(u64, u64)>, body: Body) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let mut set = |name: HeaderName, value: &str| {
        let value =
            HeaderValue::from_str(value).map_err(|error| Problem::internal("write a header", &error))?;
        response.headers_mut().insert(name, value);
        Ok::<(), Problem>(())
    };
    for (name, value) in content_headers(metadata) {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| Problem::internal("write a header", &error))?;
        set(name, &value)?;
    }
    set(header::ACCEPT_RANGES, "bytes")?;
    // A chat on another host shows pictures from here.
    set(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin")?;
    if let Some((first, last)) = range {
        set(header::CONTENT_LENGTH, &(last - first + 1).to_string())?;
        set(header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", metadata.size))?;
    }
    Ok(response)
}

/// Whether a condition names this tag; a weak one is as good, as content never changes.
fn named(headers: &HeaderMap, condition: &HeaderName, tag: &str) -> bool {
    let texts = headers.get_all(condition).iter().filter_map(|value| value.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(','));
    tags.any(|given| matches!(given.trim(), "*") || given.trim().trim_start_matches("W/") == tag)
}

fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is no such file")
}

fn store_problem(error: StoreError) -> Problem {
    match error.kind() {
        StoreErrorKind::NotFound => not_found(),
        StoreErrorKind::Deferred => {
            let detail = "the file is kept, and on its way into the artifact store";
            Problem::new(Code::FilePending, detail).retry_after(PENDING_RETRY)
        }
        StoreErrorKind::Full
        | StoreErrorKind::Mismatch
        | StoreErrorKind::Refused
        | StoreErrorKind::Unavailable => Problem::store(&error),
    }
}
