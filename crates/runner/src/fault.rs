//! Errors as one line with all their causes, for logs and for people who operate a runner.

use std::error::Error;

/// `what: cause: cause of the cause`.
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
