//! What a failed request means: whether the store is away, refuses us, or got other bytes than were sent, and what an
//! operator can do about it.
//!
//! The one place that reads S3's error codes. Messages of the store go into the source, for the log; they never reach a
//! caller.

use std::error::Error;

use artifact::{StoreError, StoreErrorKind};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

/// What a request failed with.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    source: Box<dyn Error + Send + Sync>,
}

/// What callers branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No such object, or no such upload.
    NotFound,
    /// The bytes were changed on the way. To send them again may help.
    Corrupted,
    /// The store does not know this operation.
    NotImplemented,
    NoBucket,
    NoCredentials,
    BadCredentials,
    Denied,
    WrongRegion,
    Full,
    /// It refuses the request, for a reason that we do not know.
    Rejected,
    /// Nobody can be reached at this address, today or tomorrow: it has no such name, or not the certificate.
    WrongEndpoint,
    /// It could not be reached.
    Unreachable,
    Other,
}

/// A cause as one text: the SDK's errors say little without all of theirs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

impl Failure {
    /// The bytes that the store says it has are others.
    pub(crate) fn corrupted(said: &str) -> Self {
        let source = Cause(format!("the store answers with another checksum, {said}")).into();
        Self { kind: FailureKind::Corrupted, source }
    }

    /// Something that no code of S3 says.
    pub(crate) fn other(what: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, source: Cause(what.into()).into() }
    }

    /// The same where the bucket itself was asked for: an answer without a body has no code that would say so.
    pub(crate) fn of_bucket(mut self) -> Self {
        if self.kind == FailureKind::NotFound {
            self.kind = FailureKind::NoBucket;
        }
        self
    }

    pub(crate) fn kind(&self) -> FailureKind {
        self.kind
    }

    /// As an error of the store; `doing` fits after "failed to".
    pub(crate) fn into_error(self, doing: String, place: &Place<'_>) -> StoreError {
        let kind = match self.kind {
            FailureKind::NotFound => StoreErrorKind::NotFound,
            FailureKind::NoBucket
            | FailureKind::NoCredentials
            | FailureKind::BadCredentials
            | FailureKind::Denied
            | FailureKind::WrongRegion
            | FailureKind::NotImplemented
            | FailureKind::Rejected
            | FailureKind::WrongEndpoint => StoreErrorKind::Refused,
            FailureKind::Full => StoreErrorKind::Full,
            FailureKind::Corrupted | FailureKind::Unreachable | FailureKind::Other => {
                StoreErrorKind::Unavailable
            }
        };
        let error = StoreError::new(kind, doing);
        let error = match self.kind.hint(place) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        error.with_source(self.source)
    }
}

/// Where the bucket is, for hints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) endpoint: Option<&'a str>,
}

impl FailureKind {
    fn hint(self, place: &Place<'_>) -> Option<String> {
        let Place { bucket, endpoint } = *place;
        let at = endpoint.unwrap_or("AWS");
        Some(match self {
            Self::NoBucket => format!("there is no bucket `{bucket}` at {at}: create it, or name another with `--store`"),
            Self::NoCredentials => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with AWS_PROFILE, or give this machine a role"
                    .to_owned()
            }
            Self::BadCredentials => format!("{at} does not know these credentials, or their secret is wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            Self::Denied => format!(
                "the credentials need s3:PutObject, s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload on the keys, and s3:ListBucket, s3:ListBucketMultipartUploads on `{bucket}`"
            ),
            Self::WrongRegion => "the bucket is in another region: name it with `--s3-region`".to_owned(),
            Self::Unreachable | Self::WrongEndpoint => format!("is {} right, and reachable from here?", endpoint.map_or_else(|| "the region".to_owned(), |url| format!("the endpoint {url}"))),
            Self::NotFound
            | Self::Corrupted
            | Self::NotImplemented
            | Self::Full
            | Self::Rejected
            | Self::Other => return None,
        })
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let text = chain(&error);
        let kind = match &error {
            SdkError::ServiceError(service) => {
                of_code(service.err().code().unwrap_or_default(), service.raw().status().as_u16())
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)
                if is_without_credentials(&text) =>
            {
                FailureKind::NoCredentials
            }
            SdkError::DispatchFailure(_) if is_wrong_endpoint(&text) => FailureKind::WrongEndpoint,
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => FailureKind::Unreachable,
            _ => FailureKind::Other,
        };
        Self { kind, source: Cause(text).into() }
    }
}

/// All causes in one text: each of the SDK's errors says little without those below it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The chain of providers has no type of its own for "nobody has any"; its text says so.
fn is_without_credentials(text: &str) -> bool {
    [
        "no credentials found in chain",
        "no providers in chain provided credentials",
        "credential provider was not enabled",
    ]
    .iter()
    .any(|said| text.contains(said))
}

/// Neither has the client's error a type for these: the name is in no list of names, or the certificate is not one that is
/// trusted. A name server that does not answer is another thing, and passes.
fn is_wrong_endpoint(text: &str) -> bool {
    [
        "Name or service not known",
        "Name does not resolve",
        "No address associated",
        "invalid peer certificate",
    ]
    .iter()
    .any(|said| text.contains(said))
}

fn of_code(code: &str, status: u16) -> FailureKind {
    match code {
        "NoSuchBucket" => FailureKind::NoBucket,
        "NoSuchKey" | "NoSuchUpload" | "NotFound" => FailureKind::NotFound,
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            FailureKind::Corrupted
        }
        // A connection that is cut in the middle of a body looks like this from the other side.
        "IncompleteBody" | "RequestTimeout" => FailureKind::Corrupted,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired" => FailureKind::BadCredentials,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => FailureKind::Denied,
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            FailureKind::WrongRegion
        }
        "QuotaExceeded" | "StorageFull" | "InsufficientStorage" | "XMinioStorageFull" => FailureKind::Full,
        "NotImplemented" => FailureKind::NotImplemented,
        // The answer to a question about one object has no body, and so no code.
        _ => match status {
            301 => FailureKind::WrongRegion,
            401 | 403 => FailureKind::Denied,
            404 => FailureKind::NotFound,
            501 => FailureKind::NotImplemented,
            507 => FailureKind::Full,
            // Too slow for it, or too much at once: later it may do.
            408 | 429 => FailureKind::Other,
            400..=499 => FailureKind::Rejected,
            _ => FailureKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_before_the_status() {
        for (code, status, kind) in [
            ("NoSuchBucket", 404, FailureKind::NoBucket),
            ("NoSuchKey", 404, FailureKind::NotFound),
            ("", 404, FailureKind::NotFound),
            ("", 403, FailureKind::Denied),
            ("SignatureDoesNotMatch", 403, FailureKind::BadCredentials),
            ("XAmzContentSHA256Mismatch", 400, FailureKind::Corrupted),
            ("AuthorizationHeaderMalformed", 400, FailureKind::WrongRegion),
            ("SlowDown", 503, FailureKind::Other),
            ("InternalError", 500, FailureKind::Other),
            ("TooManyRequests", 429, FailureKind::Other),
            ("", 503, FailureKind::Other),
            ("InvalidRequest", 400, FailureKind::Rejected),
            ("", 507, FailureKind::Full),
        ] {
            assert_eq!(of_code(code, status), kind, "{code} {status}");
        }
    }

    #[test]
    fn what_an_operator_can_change_is_refused_with_a_hint() {
        let place = Place { bucket: "outputs", endpoint: Some("http://127.0.0.1:1") };
        for kind in [
            FailureKind::NoBucket,
            FailureKind::NoCredentials,
            FailureKind::BadCredentials,
            FailureKind::Denied,
            FailureKind::WrongRegion,
            FailureKind::WrongEndpoint,
        ] {
            let failure = Failure { kind, source: Cause("x".to_owned()).into() };
            let error = failure.into_error("write".to_owned(), &place);
            assert_eq!(error.kind(), StoreErrorKind::Refused, "{kind:?}");
            assert!(error.hint().is_some(), "{kind:?}");
        }
        let failure = Failure { kind: FailureKind::Unreachable, source: Cause("x".to_owned()).into() };
        let error = failure.into_error("write".to_owned(), &place);
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.hint().unwrap().contains("127.0.0.1:1"));
    }
}
