//! The handlers, by what they are about, and what they share: ids and queries out of a request.

pub(crate) mod calls;
pub(crate) mod definitions;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod progress;
pub(crate) mod skills;
pub(crate) mod triggers;

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{header, request::Parts},
    response::{IntoResponse as _, Response},
};
use runner::TriggerId;
use serde::{Serialize, de::DeserializeOwned};

use crate::problem::{Code, Problem};

/// The variable parts of a path, decoded.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await.map_err(|_| {
            Problem::new(Code::BadRequest, "the path cannot be read: it is not UTF-8 behind its escapes")
        })?;
        Ok(Self(value))
    }
}

/// The query.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(value) = Query::<T>::from_request_parts(parts, state).await.map_err(|error| {
            Problem::new(Code::BadRequest, format!("the query cannot be read: {}", error.body_text()))
        })?;
        Ok(Self(value))
    }
}

/// A success. Texts of others in it are written so that they do nothing to whoever looks at the answer.
pub(crate) fn json_response(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], tool::escape::json(text)).into_response(),
        Err(error) => Problem::internal("write an answer", &error).into_response(),
    }
}

pub(crate) fn trigger_id(text: &str) -> Result<TriggerId, Problem> {
    let id = TriggerId::parse(text).map_err(|error| Problem::new(Code::InvalidId, error.to_string()))?;
    tracing::Span::current().record("trigger.id", id.as_str());
    Ok(id)
}

pub(crate) fn unknown_trigger() -> Problem {
    Problem::new(Code::NotFound, "this trigger is not known; it was never used, or ended some time ago")
}
