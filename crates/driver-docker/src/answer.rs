//! What the daemon answers, as errors of ours.

use bollard::errors::Error;
use sandbox::{DriverError, DriverErrorKind};

/// The HTTP status of a refusal.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether what was asked for is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    status(error) == Some(404)
}

/// Whether something else is going on with it.
pub(crate) fn is_conflict(error: &Error) -> bool {
    status(error) == Some(409)
}

/// A request that failed: refused by the daemon, or never answered.
pub(crate) fn failed(what: &str, error: Error) -> DriverError {
    match status(&error) {
        Some(_) => DriverError::with_source(DriverErrorKind::System, what.to_owned(), error),
        None => DriverError::with_source(
            DriverErrorKind::Unavailable,
            format!("{what}: the Docker daemon does not answer"),
            error,
        ),
    }
}
