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
    http::request::Parts,
};
use runner::TriggerId;
use serde::de::DeserializeOwned;

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

pub(crate) fn trigger_id(text: &str) -> Result<TriggerId, Problem> {
    TriggerId::parse(text).map_err(|error| Problem::new(Code::InvalidId, error.to_string()))
}

pub(crate) fn unknown_trigger() -> Problem {
    Problem::new(Code::NotFound, "this trigger is not known; it was never used, or ended some time ago")
}
