//! What happens in a trigger, as it happens: a bounded log that any number of readers follow.
//!
//! One writer, the trigger's task, which never waits for a reader. Readers take from the log at their own pace; one that
//! falls behind, or comes back with an old id, gets a [`ProgressKind::Skipped`] in place of what is gone.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use sandbox::StreamKind;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

/// One event with its place in the log.
#[derive(Clone, Debug)]
pub struct ProgressEvent {
    /// Counts from 1 without gaps; for `Last-Event-ID`.
    pub id: u64,
    /// When it happened.
    pub at: SystemTime,
    /// What happened.
    pub kind: Arc<ProgressKind>,
}

/// What happened. Serialized with a `type` member, absent members left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ProgressKind {
    /// Dependencies of a skill are being prepared.
    DependenciesPreparing {
        /// The skill.
        skill: String,
        /// `waiting`, `resolving`, `installing`, `compiling` or `ready`.
        step: &'static str,
        /// With what.
        packages: Vec<String>,
    },
    /// A sandbox is being made.
    SandboxCreating {
        /// Its name.
        sandbox: String,
    },
    /// The sandbox is there, skills and inputs in place.
    SandboxCreated {
        /// Its name.
        sandbox: String,
        /// How long it took.
        duration_ms: u64,
    },
    /// A call's turn came.
    CallStarted {
        /// The call.
        tool_call_id: String,
        /// Full name of the tool.
        tool_name: String,
    },
    /// A program wrote something.
    Output {
        /// The call.
        tool_call_id: String,
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// What it wrote; as valid UTF-8, but with control characters as they came.
        text: String,
    },
    /// An output file was stored, or left out.
    File {
        /// The call; absent for the last capture.
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_call_id: Option<String>,
        /// The file as tool results have it.
        file: Value,
    },
    /// A file that could not be stored before has arrived in the store.
    FileAvailable {
        /// The call that made it; absent for the last capture.
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_call_id: Option<String>,
        /// The file as tool results have it, with its link.
        file: Value,
    },
    /// A call has its answer.
    CallFinished {
        /// The call.
        tool_call_id: String,
        /// Where a program ran.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// Where the call could not be carried out.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// How long it took from its turn.
        duration_ms: u64,
    },
    /// The sandbox is gone.
    SandboxDestroyed {
        /// Its name.
        sandbox: String,
        /// `ended`, `time-over`, `broken`, `shutdown`.
        reason: &'static str,
    },
    /// The trigger takes no more calls; the last event.
    Ended,
    /// The reader was too slow, or came too late, for this many events.
    Skipped {
        /// How many.
        events: u64,
    },
}

impl ProgressEvent {
    /// The event as JSON: `{"type": …}` and its members.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(&*self.kind).unwrap_or(Value::Null)
    }
}

/// The writer's end.
#[derive(Clone, Debug)]
pub(crate) struct ProgressLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    /// Id of the newest event, and whether it is the last.
    newest: watch::Sender<(u64, bool)>,
}

#[derive(Debug)]
struct Log {
    events: VecDeque<ProgressEvent>,
    next_id: u64,
    bytes: usize,
    most_events: usize,
    most_bytes: usize,
}

impl ProgressLog {
    pub(crate) fn new(most_events: usize, most_bytes: usize) -> Self {
        let log = Log { events: VecDeque::new(), next_id: 1, bytes: 0, most_events, most_bytes };
        Self { shared: Arc::new(Shared { log: Mutex::new(log), newest: watch::Sender::new((0, false)) }) }
    }

    /// Appends an event; never waits. Nothing comes after [`ProgressKind::Ended`].
    pub(crate) fn push(&self, kind: ProgressKind) {
        let mut log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.newest.borrow().1 {
            return;
        }
        let ended = kind == ProgressKind::Ended;
        let id = log.next_id;
        log.next_id += 1;
        log.bytes += weight(&kind);
        log.events.push_back(ProgressEvent { id, at: SystemTime::now(), kind: Arc::new(kind) });
        while log.events.len() > log.most_events || (log.bytes > log.most_bytes && log.events.len() > 1) {
            if let Some(old) = log.events.pop_front() {
                log.bytes -= weight(&old.kind);
            }
        }
        // Under the lock, so that readers see the ids in order.
        self.shared.newest.send_replace((id, ended));
    }

    /// Waits for [`ProgressKind::Ended`].
    pub(crate) async fn ended(&self) {
        // The sender is in `shared`, so it cannot be gone.
        let _ = self.shared.newest.subscribe().wait_for(|(_, ended)| *ended).await;
    }

    /// A reader of everything after the event with this id; from the oldest kept where it is `None`.
    pub(crate) fn follow(&self, after: Option<u64>) -> ProgressStream {
        let newest = self.shared.newest.subscribe();
        ProgressStream { shared: self.shared.clone(), newest, seen: after.unwrap_or(0) }
    }
}

/// A reader of a trigger's progress.
#[derive(Debug)]
pub struct ProgressStream {
    shared: Arc<Shared>,
    newest: watch::Receiver<(u64, bool)>,
    seen: u64,
}

impl ProgressStream {
    /// The next event; `None` after the trigger's last one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ProgressEvent> {
        loop {
            let (newest, ended) = *self.newest.borrow_and_update();
            // An id from the future (of an earlier trigger with the same name) starts over.
            self.seen = if self.seen > newest { 0 } else { self.seen };
            if self.seen < newest {
                return self.take();
            }
            if ended || self.newest.changed().await.is_err() {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<ProgressEvent> {
        let log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = log.events.front()?.id;
        let wanted = self.seen + 1;
        if wanted < oldest {
            self.seen = oldest - 1;
            let events = oldest - wanted;
            // It carries the id of the last event that is gone, so that a reader which comes back goes on after it.
            let at = log.events.front()?.at;
            return Some(ProgressEvent {
                id: self.seen,
                at,
                kind: Arc::new(ProgressKind::Skipped { events }),
            });
        }
        let event = log.events.get(usize::try_from(wanted - oldest).ok()?)?.clone();
        self.seen = event.id;
        Some(event)
    }
}

/// The wire name of a stream.
pub(crate) fn stream_name(stream: StreamKind) -> &'static str {
    match stream {
        StreamKind::Stdout => "stdout",
        StreamKind::Stderr => "stderr",
    }
}

/// Roughly the bytes that an event holds.
fn weight(kind: &ProgressKind) -> usize {
    100 + match kind {
        ProgressKind::Output { text, .. } => text.len(),
        ProgressKind::DependenciesPreparing { packages, .. } => packages.iter().map(String::len).sum(),
        ProgressKind::File { .. } | ProgressKind::FileAvailable { .. } => 1000,
        ProgressKind::SandboxCreating { .. }
        | ProgressKind::SandboxCreated { .. }
        | ProgressKind::CallStarted { .. }
        | ProgressKind::CallFinished { .. }
        | ProgressKind::SandboxDestroyed { .. }
        | ProgressKind::Ended
        | ProgressKind::Skipped { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> ProgressKind {
        ProgressKind::Output { tool_call_id: "c".into(), stream: "stdout", text: text.into() }
    }

    async fn next(stream: &mut ProgressStream) -> (u64, ProgressKind) {
        let event = stream.next().await.unwrap();
        (event.id, (*event.kind).clone())
    }

    #[tokio::test]
    async fn readers_get_everything_in_order_and_the_end() {
        let log = ProgressLog::new(10, 10_000);
        let mut early = log.follow(None);
        log.push(text("a"));
        log.push(text("b"));
        log.push(ProgressKind::Ended);
        log.push(text("after the end"));
        assert_eq!(next(&mut early).await, (1, text("a")));
        assert_eq!(next(&mut early).await, (2, text("b")));
        assert_eq!(next(&mut early).await, (3, ProgressKind::Ended));
        assert!(early.next().await.is_none());
        let mut late = log.follow(Some(2));
        assert_eq!(next(&mut late).await.0, 3);
        assert!(log.follow(Some(3)).next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_loses_the_oldest_and_is_told_so() {
        let log = ProgressLog::new(3, 10_000);
        let mut slow = log.follow(None);
        for n in 0..10 {
            log.push(text(&n.to_string()));
        }
        assert_eq!(next(&mut slow).await, (7, ProgressKind::Skipped { events: 7 }));
        assert_eq!(next(&mut slow).await, (8, text("7")));
        let bytes = ProgressLog::new(1000, 1000);
        for _ in 0..10 {
            bytes.push(text(&"x".repeat(400)));
        }
        assert_eq!(next(&mut bytes.follow(None)).await.1, ProgressKind::Skipped { events: 8 });
    }

    #[tokio::test]
    async fn a_reader_waits_without_losing_anything() {
        let log = ProgressLog::new(10, 1000);
        let mut reader = log.follow(None);
        let writer = async {
            tokio::task::yield_now().await;
            log.push(text("a"));
        };
        let (event, ()) = tokio::join!(reader.next(), writer);
        assert_eq!(event.unwrap().id, 1);
        // An id that this log has not reached means another log: everything is sent.
        assert_eq!(next(&mut log.follow(Some(99))).await.0, 1);
    }

    #[test]
    fn absent_members_are_left_out() {
        let kind = ProgressKind::CallFinished {
            tool_call_id: "c".into(),
            exit_code: Some(0),
            code: None,
            duration_ms: 3,
        };
        let event = ProgressEvent { id: 1, at: SystemTime::UNIX_EPOCH, kind: Arc::new(kind) };
        assert_eq!(
            event.to_value(),
            json!({"type": "call-finished", "toolCallId": "c", "exitCode": 0, "durationMs": 3})
        );
    }
}
