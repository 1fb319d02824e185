//! Waiting for a condition, with a deadline. Nothing in these tests waits for time alone.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

/// Calls `condition` until it has an answer; `None` when there is none in time.
pub(crate) fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let (_keeps_open, never) = mpsc::channel::<()>();
    let start = Instant::now();
    loop {
        let answer = condition();
        if answer.is_some() || start.elapsed() >= limit {
            return answer;
        }
        // A pause between two looks, so that the looking does not take the CPU from what is waited for.
        let _ = never.recv_timeout(Duration::from_millis(10));
    }
}

/// Calls `condition` until it has an answer; panics with `what` when there is none in time.
#[track_caller]
pub(crate) fn until<T>(what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
    within(limit, condition).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}
