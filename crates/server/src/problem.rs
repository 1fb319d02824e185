//! Every failure as a problem document (RFC 9457), with the two members that the platform's SDKs read.
//!
//! The documents are flat: with a nested error object the SDKs show nothing of it. Codes are for programs, the detail is
//! a sentence for people, and neither holds internals: those are logged where they arise. A code has one status.

use std::{error::Error, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

/// When a store that failed is worth another try.
const STORE_RETRY: Duration = Duration::from_secs(2);

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal $status:ident;)*) => {
        /// What went wrong, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[doc = $doc])+ $name,)* }

        impl Code {
            /// Every code.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it goes over the wire.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Its status.
            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// The request cannot be understood.
    BadRequest = "BAD_REQUEST" BAD_REQUEST;
    /// The body is not JSON.
    MalformedJson = "MALFORMED_JSON" BAD_REQUEST;
    /// An id that cannot be one.
    InvalidId = "INVALID_ID" BAD_REQUEST;
    /// No token, or a wrong one.
    Unauthorized = "UNAUTHORIZED" UNAUTHORIZED;
    /// A web page that is not allowed to send requests.
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED" FORBIDDEN;
    /// This skill, or any, cannot be changed here.
    SkillsReadOnly = "SKILLS_READ_ONLY" FORBIDDEN;
    /// A link that we never gave out.
    LinkInvalid = "LINK_INVALID" FORBIDDEN;
    /// No such thing.
    NotFound = "NOT_FOUND" NOT_FOUND;
    /// The path is there, but not for this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED" METHOD_NOT_ALLOWED;
    /// The body did not come in time.
    RequestTimeout = "REQUEST_TIMEOUT" REQUEST_TIMEOUT;
    /// The trigger already is something else.
    Conflict = "CONFLICT" CONFLICT;
    /// The skill brings dependencies and comes after the sandbox.
    SkillTooLate = "SKILL_TOO_LATE" CONFLICT;
    /// The trigger takes no more calls.
    TriggerClosed = "TRIGGER_CLOSED" CONFLICT;
    /// The link was good once.
    LinkExpired = "LINK_EXPIRED" GONE;
    /// The call ran, and its result is no longer kept.
    ResultGone = "RESULT_GONE" GONE;
    /// The body is larger than allowed.
    BodyTooLarge = "BODY_TOO_LARGE" PAYLOAD_TOO_LARGE;
    /// The body is of a type that is not taken here.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE" UNSUPPORTED_MEDIA_TYPE;
    /// The range begins behind the end.
    RangeNotSatisfiable = "RANGE_NOT_SATISFIABLE" RANGE_NOT_SATISFIABLE;
    /// The `Host` is none of ours.
    HostNotAllowed = "HOST_NOT_ALLOWED" MISDIRECTED_REQUEST;
    /// JSON of another shape than wanted.
    InvalidRequest = "INVALID_REQUEST" UNPROCESSABLE_ENTITY;
    /// A declaration that cannot be carried out.
    InvalidDeclaration = "INVALID_DECLARATION" UNPROCESSABLE_ENTITY;
    /// A URL that no input may come from.
    InputUrlNotAllowed = "INPUT_URL_NOT_ALLOWED" UNPROCESSABLE_ENTITY;
    /// The operator has configured no network.
    NetworkNotConfigured = "NETWORK_NOT_CONFIGURED" UNPROCESSABLE_ENTITY;
    /// No such skill is registered.
    SkillNotFound = "SKILL_NOT_FOUND" UNPROCESSABLE_ENTITY;
    /// The tool call id was used for another call.
    ConflictingArguments = "CONFLICTING_ARGUMENTS" UNPROCESSABLE_ENTITY;
    /// The bundle is refused, or holds no valid skill.
    InvalidSkill = "INVALID_SKILL" UNPROCESSABLE_ENTITY;
    /// Too much at once.
    Busy = "BUSY" TOO_MANY_REQUESTS;
    /// Our fault.
    InternalError = "INTERNAL_ERROR" INTERNAL_SERVER_ERROR;
    /// The artifact store does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE" SERVICE_UNAVAILABLE;
    /// The file is not in the store yet.
    FilePending = "FILE_PENDING" SERVICE_UNAVAILABLE;
    /// The runner is shutting down.
    ShuttingDown = "SHUTTING_DOWN" SERVICE_UNAVAILABLE;
    /// No sandbox has worked yet, or the store does not.
    NotReady = "NOT_READY" SERVICE_UNAVAILABLE;
    /// The disk of the runner is full.
    StorageFull = "STORAGE_FULL" INSUFFICIENT_STORAGE;
}

/// One failure.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    retry_after: Option<Duration>,
    members: Map<String, Value>,
}

/// What a handler gives.
pub(crate) type Answer = Result<Response, Problem>;

impl Problem {
    /// A failure with a sentence for people; never empty, because an empty `error` is none for the SDKs.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        debug_assert!(!detail.is_empty());
        Self { code, detail, retry_after: None, members: Map::new() }
    }

    /// A fault of ours. What it is stays in the log.
    pub(crate) fn internal(doing: &'static str, error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "failed to {doing}");
        Self::new(Code::InternalError, "something failed inside the runner; its log says what")
    }

    /// The store failed in a way that is none of the caller's business.
    pub(crate) fn store(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "the artifact store failed");
        Self::new(Code::StoreUnavailable, "the artifact store does not answer").retry_after(STORE_RETRY)
    }

    /// The same with a time after which another try may work.
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The same with one more member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn retry_seconds(&self) -> Option<u64> {
        // Rounded up, so that nobody comes back too early, and at least a second.
        self.retry_after.map(|after| after.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX))
    }

    pub(crate) fn to_value(&self) -> Value {
        let status = self.code.status();
        let mut document = Map::new();
        document.insert("type".into(), "about:blank".into());
        document.insert("title".into(), status.canonical_reason().unwrap_or("Error").into());
        document.insert("status".into(), status.as_u16().into());
        document.insert("detail".into(), self.detail.as_str().into());
        document.insert("error".into(), self.detail.as_str().into());
        document.insert("code".into(), self.code.as_str().into());
        document.extend(self.members.clone());
        Value::Object(document)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response =
            (self.code.status(), tool::escape::json(self.to_value().to_string())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_seconds() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An error with all its causes as one line, for the log.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_with_its_status() {
        let documented = include_str!("../../../docs/api.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(documented.contains(&row), "docs/api.md has no row `{row}`");
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        let seconds = |millis| {
            Problem::new(Code::Busy, "x").retry_after(Duration::from_millis(millis)).retry_seconds().unwrap()
        };
        assert_eq!((seconds(0), seconds(1), seconds(1000), seconds(1001)), (1, 1, 1, 2));
    }
}
