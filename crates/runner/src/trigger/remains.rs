//! What is left of a trigger that has ended, for whoever still asks: its results, its files, what happened.
//!
//! Kept as one value, so that it makes room for newer ones like any other; even then the trigger is known to have ended,
//! as long as its id is ([`crate::directory`]).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Incoming, Message,
    records::{Found, Records},
};
use crate::{
    CallError, DeclareError, TriggerFile, TriggerState, TriggerStatus,
    keep::Kept,
    progress::{ProgressKind, ProgressLog},
    runner::Cancelled,
};

/// What a file, or an event, costs beside itself, in bytes.
const SLOT: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(super) skills: Vec<String>,
    pub(super) records: Records,
    pub(super) files: Vec<Kept<TriggerFile>>,
    pub(super) metadata: Map<String, Value>,
    pub(crate) progress: ProgressLog,
}

impl Remains {
    /// About the bytes that it takes, beside what is kept by itself.
    pub(crate) fn weight(&self) -> usize {
        let metadata = crate::keep::weight(&Value::Object(self.metadata.clone()));
        let slots = self.files.len() + self.progress.len();
        let skills: usize = self.skills.iter().map(|slug| 40 + slug.len()).sum();
        1000 + self.records.weight() + metadata + skills + SLOT * slots
    }
}

/// Answers for a trigger that has ended; `None` where nothing is left of it.
pub(crate) fn answer(remains: Option<&Remains>, message: Message) {
    // Whoever has gone meanwhile needs no answer.
    match message {
        Message::Call(incoming) => {
            let Incoming { call, accepted, waiter, .. } = *incoming;
            let found = remains.map_or(Found::New, |remains| remains.records.find(&call));
            let _ = accepted.send(match found {
                Found::Conflict => Err(CallError::ConflictingArguments { tool_call_id: call.tool_call_id }),
                Found::Gone => Err(CallError::ResultGone),
                Found::Done(answer) => {
                    waiter.answer(Ok(answer));
                    Ok(())
                }
                Found::New | Found::Waiting => Err(CallError::TriggerClosed),
            });
        }
        Message::Declare { reply, .. } => {
            let _ = reply.send(Err(DeclareError::Closed));
        }
        Message::Cancel { tool_call_id, reply } => {
            let known = remains.is_some_and(|remains| remains.records.contains(&tool_call_id));
            let _ = reply.send(if known { Cancelled::AlreadyDone } else { Cancelled::Unknown });
        }
        Message::Status { reply } => {
            let _ = reply.send(status(remains));
        }
        Message::End { reply } => {
            let _ = reply.send(());
        }
    }
}

/// What happened in it.
pub(crate) fn progress(remains: Option<Arc<Remains>>, keep: &crate::keep::Keep) -> ProgressLog {
    remains.map_or_else(
        || {
            let log = ProgressLog::new(keep, 1, usize::MAX);
            log.push(ProgressKind::Ended);
            log
        },
        |remains| remains.progress.clone(),
    )
}

fn status(remains: Option<&Remains>) -> TriggerStatus {
    TriggerStatus {
        state: TriggerState::Ended,
        skills: remains.map(|remains| remains.skills.clone()).unwrap_or_default(),
        calls: remains.map(|remains| remains.records.status()).unwrap_or_default(),
        files: remains.map(|remains| kept_files(remains.files.iter())).unwrap_or_default(),
        sandbox: None,
        remaining: None,
        metadata: remains.map(|remains| remains.metadata.clone()).unwrap_or_default(),
    }
}

/// Those files that are still kept.
pub(super) fn kept_files<'a>(files: impl Iterator<Item = &'a Kept<TriggerFile>>) -> Vec<TriggerFile> {
    files.filter_map(|file| file.get().map(Arc::unwrap_or_clone)).collect()
}

#[cfg(test)]
impl Remains {
    /// Of a trigger in which nothing happened.
    pub(crate) fn nothing(keep: &crate::keep::Keep) -> Self {
        Self {
            skills: Vec::new(),
            records: Records::new(keep, 0),
            files: Vec::new(),
            metadata: Map::new(),
            progress: ProgressLog::new(keep, 1, 1),
        }
    }
}
