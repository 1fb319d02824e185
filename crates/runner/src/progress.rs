//! What happens in a trigger, as it happens: a bounded log that any number of readers follow.
//!
//! One writer, the trigger's task, which never waits for a reader. Readers take from the log at their own pace; one that
//! falls behind, or comes back with an old id, gets a [`ProgressKind::Skipped`] in place of what is gone. A log is bounded
//! by itself, and all of them by [`crate::keep`]: so it is always its oldest events that are gone.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use sandbox::StreamKind;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::keep::{Held, Keep, Kept};

/// Longest text of one event, in bytes: what a reader has in its hands at a time.
const TEXT: usize = 16 * 1024;
/// What a reader may take of memory, in what was sent to it and not read.
pub(crate) const READER: usize = 256 * 1024;

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
    keep: Keep,
    events: VecDeque<Logged>,
    next_id: u64,
    bytes: usize,
    most_events: usize,
    most_bytes: usize,
}

/// An event that may be gone.
#[derive(Debug)]
struct Logged {
    id: u64,
    at: SystemTime,
    bytes: usize,
    kind: Kept<ProgressKind>,
}

impl ProgressLog {
    pub(crate) fn new(keep: &Keep, most_events: usize, most_bytes: usize) -> Self {
        let keep = keep.clone();
        let log = Log { keep, events: VecDeque::new(), next_id: 1, bytes: 0, most_events, most_bytes };
        Self { shared: Arc::new(Shared { log: Mutex::new(log), newest: watch::Sender::new((0, false)) }) }
    }

    /// Appends an event; never waits. Nothing comes after [`ProgressKind::Ended`].
    pub(crate) fn push(&self, kind: ProgressKind) {
        if let ProgressKind::Output { tool_call_id, stream, text } = &kind
            && text.len() > TEXT
        {
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.floor_char_boundary(TEXT));
                let (tool_call_id, text) = (tool_call_id.clone(), piece.to_owned());
                self.append(ProgressKind::Output { tool_call_id, stream: *stream, text });
                rest = after;
            }
            return;
        }
        self.append(kind);
    }

    fn append(&self, kind: ProgressKind) {
        let mut log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.newest.borrow().1 {
            return;
        }
        let ended = kind == ProgressKind::Ended;
        let id = log.next_id;
        log.next_id += 1;
        let bytes = weight(&kind);
        log.bytes += bytes;
        let kind = log.keep.keep(Arc::new(kind), bytes);
        log.events.push_back(Logged { id, at: SystemTime::now(), bytes, kind });
        while log.events.len() > log.most_events || (log.bytes > log.most_bytes && log.events.len() > 1) {
            log.forget_oldest();
        }
        // Under the lock, so that readers see the ids in order.
        self.shared.newest.send_replace((id, ended));
    }

    /// Events that it knows of.
    pub(crate) fn len(&self) -> usize {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).events.len()
    }

    /// Waits for [`ProgressKind::Ended`].
    pub(crate) async fn ended(&self) {
        // The sender is in `shared`, so it cannot be gone.
        let _ = self.shared.newest.subscribe().wait_for(|(_, ended)| *ended).await;
    }

    /// A reader of everything after the event with this id; from the oldest kept where it is `None`.
    pub(crate) fn follow(&self, after: Option<u64>, held: Held) -> ProgressStream {
        let newest = self.shared.newest.subscribe();
        ProgressStream { shared: self.shared.clone(), newest, seen: after.unwrap_or(0), _held: held }
    }
}

impl Log {
    fn forget_oldest(&mut self) {
        if let Some(old) = self.events.pop_front() {
            self.bytes -= old.bytes;
        }
    }
}

/// A reader of a trigger's progress.
#[derive(Debug)]
pub struct ProgressStream {
    shared: Arc<Shared>,
    newest: watch::Receiver<(u64, bool)>,
    seen: u64,
    _held: Held,
}

impl ProgressStream {
    /// The next event; `None` after the trigger's last one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ProgressEvent> {
        loop {
            let (newest, ended) = *self.newest.borrow_and_update();
            // An id from the future (of an earlier trigger with the same name) starts over.
            self.seen = if self.seen > newest { 0 } else { self.seen };
            if self.seen < newest {
                return Some(self.take());
            }
            if ended || self.newest.changed().await.is_err() {
                return None;
            }
        }
    }

    /// There is an event after those that were seen.
    fn take(&mut self) -> ProgressEvent {
        let mut log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.seen + 1;
        loop {
            let oldest = log.events.front().map_or(log.next_id, |logged| logged.id);
            let at = log.events.front().map_or_else(SystemTime::now, |logged| logged.at);
            if wanted < oldest {
                self.seen = oldest - 1;
                let events = oldest - wanted;
                // It carries the id of the last event that is gone, so that a reader which comes back goes on after it.
                return ProgressEvent { id: self.seen, at, kind: Arc::new(ProgressKind::Skipped { events }) };
            }
            let found = usize::try_from(wanted - oldest).ok().and_then(|at| log.events.get(at));
            if let Some((logged, kind)) = found.and_then(|logged| Some((logged, logged.kind.get()?))) {
                self.seen = logged.id;
                return ProgressEvent { id: logged.id, at: logged.at, kind };
            }
            // It had to make room for others, and what is older as well.
            log.forget_oldest();
        }
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

    fn log(most_events: usize, most_bytes: usize) -> ProgressLog {
        ProgressLog::new(&Keep::new(1 << 30), most_events, most_bytes)
    }

    fn follow(log: &ProgressLog, after: Option<u64>) -> ProgressStream {
        log.follow(after, Keep::new(1 << 30).hold(READER).unwrap())
    }

    fn text(text: &str) -> ProgressKind {
        ProgressKind::Output { tool_call_id: "c".into(), stream: "stdout", text: text.into() }
    }

    async fn next(stream: &mut ProgressStream) -> (u64, ProgressKind) {
        let event = stream.next().await.unwrap();
        (event.id, (*event.kind).clone())
    }

    #[tokio::test]
    async fn readers_get_everything_in_order_and_the_end() {
        let log = log(10, 10_000);
        let mut early = follow(&log, None);
        log.push(text("a"));
        log.push(text("b"));
        log.push(ProgressKind::Ended);
        log.push(text("after the end"));
        assert_eq!(next(&mut early).await, (1, text("a")));
        assert_eq!(next(&mut early).await, (2, text("b")));
        assert_eq!(next(&mut early).await, (3, ProgressKind::Ended));
        assert!(early.next().await.is_none());
        let mut late = follow(&log, Some(2));
        assert_eq!(next(&mut late).await.0, 3);
        assert!(follow(&log, Some(3)).next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_loses_the_oldest_and_is_told_so() {
        let log = log(3, 10_000);
        let mut slow = follow(&log, None);
        for n in 0..10 {
            log.push(text(&n.to_string()));
        }
        assert_eq!(next(&mut slow).await, (7, ProgressKind::Skipped { events: 7 }));
        assert_eq!(next(&mut slow).await, (8, text("7")));
        let bytes = log(1000, 1000);
        for _ in 0..10 {
            bytes.push(text(&"x".repeat(400)));
        }
        assert_eq!(next(&mut follow(&bytes, None)).await.1, ProgressKind::Skipped { events: 8 });
    }

    #[tokio::test]
    async fn a_reader_waits_without_losing_anything() {
        let log = log(10, 1000);
        let mut reader = follow(&log, None);
        let writer = async {
            tokio::task::yield_now().await;
            log.push(text("a"));
        };
        let (event, ()) = tokio::join!(reader.next(), writer);
        assert_eq!(event.unwrap().id, 1);
        // An id that this log has not reached means another log: everything is sent.
        assert_eq!(next(&mut follow(&log, Some(99))).await.0, 1);
    }

    #[tokio::test]
    async fn what_made_room_for_others_is_said_to_be_gone() {
        let keep = Keep::new(3000);
        let log = ProgressLog::new(&keep, 100, 1 << 20);
        for n in 0..4 {
            log.push(text(&n.to_string()));
        }
        let mut reader = follow(&log, None);
        assert_eq!(next(&mut reader).await.1, text("0"));
        let large = keep.keep(Arc::new(0), 2500);
        assert_eq!(next(&mut reader).await, (3, ProgressKind::Skipped { events: 2 }));
        assert_eq!(next(&mut reader).await, (4, text("3")));
        drop(large);
        let _larger = keep.keep(Arc::new(0), 2850);
        assert_eq!(next(&mut follow(&log, None)).await, (4, ProgressKind::Skipped { events: 4 }));
        log.push(ProgressKind::Ended);
        assert_eq!(next(&mut reader).await.1, ProgressKind::Ended);
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_long_text_comes_in_pieces() {
        let log = log(100, 1 << 20);
        let whole = "ä".repeat(TEXT);
        log.push(text(&whole));
        log.push(ProgressKind::Ended);
        let mut reader = follow(&log, None);
        let mut together = String::new();
        while let Some(event) = reader.next().await {
            if let ProgressKind::Output { text, .. } = &*event.kind {
                assert!(text.len() <= TEXT);
                together.push_str(text);
            }
        }
        assert!(together == whole);
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
