//! The calls of a trigger by their ids: so that a repeated one joins, or gets the stored result, and never runs twice.
//!
//! Results are kept within a bound of bytes of this trigger, and within that of the whole runner ([`crate::keep`]), the
//! newest first; of older ones the id stays, so that even then a repeated call is told that it ran.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tool::ToolCall;

use crate::{
    CallAnswer, CallState, CallStatus,
    keep::{Keep, Kept, weight},
    pending::{CallReply, Waiter},
};

/// What a call costs beside its names, in bytes, until its trigger is forgotten.
const RECORD: usize = 400;
/// Characters of a tool's name that are kept to be shown.
const NAME: usize = 100;
/// What an output file costs in an answer: in the result, as a part, as an event, and in the report.
const FILE: usize = 4000;

/// What a call is, beside its id: tool and arguments.
pub(crate) type Fingerprint = [u8; 32];

/// All calls of a trigger.
#[derive(Debug)]
pub(crate) struct Records {
    keep: Keep,
    calls: HashMap<String, Record>,
    /// Their ids in the order in which they came.
    order: Vec<String>,
    /// Bytes of all kept results.
    bytes: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct Record {
    fingerprint: Fingerprint,
    tool_name: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting {
        running: bool,
        waiters: Vec<Waiter>,
    },
    Done {
        answer: Kept<CallAnswer>,
        failed: bool,
        bytes: usize,
    },
    /// It is done and its result was dropped; whether it was an error stays known.
    Gone {
        failed: bool,
    },
}

/// What is known of a call that comes in.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    New,
    /// The same call waits or runs.
    Waiting,
    /// The same call has its answer.
    Done(Arc<CallAnswer>),
    /// The same call ran, and its answer is no longer kept.
    Gone,
    /// Another call had this id.
    Conflict,
}

impl Records {
    pub(crate) fn new(keep: &Keep, most_bytes: usize) -> Self {
        let keep = keep.clone();
        Self { keep, calls: HashMap::new(), order: Vec::new(), bytes: 0, most_bytes }
    }

    /// What a call costs, beside its result.
    pub(crate) fn weight_of(call: &ToolCall) -> usize {
        RECORD + 2 * call.tool_call_id.len()
    }

    /// What all of them cost, beside their results.
    pub(crate) fn weight(&self) -> usize {
        self.order.iter().map(|id| RECORD + 2 * id.len()).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn find(&self, call: &ToolCall) -> Found {
        let Some(record) = self.calls.get(&call.tool_call_id) else { return Found::New };
        if record.fingerprint != fingerprint(call) {
            return Found::Conflict;
        }
        match &record.state {
            State::Waiting { .. } => Found::Waiting,
            State::Done { answer, .. } => answer.get().map_or(Found::Gone, Found::Done),
            State::Gone { .. } => Found::Gone,
        }
    }

    /// A new call, with who waits for it.
    pub(crate) fn insert(&mut self, call: &ToolCall, waiter: Waiter) {
        let record = Record {
            fingerprint: fingerprint(call),
            tool_name: call.tool_name.chars().take(NAME).collect(),
            state: State::Waiting { running: false, waiters: vec![waiter] },
        };
        self.order.push(call.tool_call_id.clone());
        self.calls.insert(call.tool_call_id.clone(), record);
    }

    /// One more waits for a call.
    pub(crate) fn join(&mut self, id: &str, waiter: Waiter) {
        if let Some(State::Waiting { waiters, .. }) = self.calls.get_mut(id).map(|record| &mut record.state) {
            // Whoever sends a call again and again leaves nothing behind.
            waiters.retain(|known| known.gone_since().is_none());
            waiters.push(waiter);
        }
    }

    pub(crate) fn start(&mut self, id: &str) {
        if let Some(State::Waiting { running, .. }) = self.calls.get_mut(id).map(|record| &mut record.state) {
            *running = true;
        }
    }

    /// Since when nobody waits for the call any more.
    pub(crate) fn abandoned_since(&self, id: &str) -> Option<Instant> {
        match self.calls.get(id).map(|record| &record.state) {
            Some(State::Waiting { waiters, .. }) => {
                let gone: Option<Vec<Instant>> = waiters.iter().map(Waiter::gone_since).collect();
                gone?.into_iter().max()
            }
            Some(State::Done { .. } | State::Gone { .. }) | None => None,
        }
    }

    /// Ready when nobody waits for the call any more.
    pub(crate) fn poll_abandoned(&mut self, id: &str, context: &mut Context<'_>) -> Poll<()> {
        let Some(State::Waiting { waiters, .. }) = self.calls.get_mut(id).map(|record| &mut record.state)
        else {
            return Poll::Pending;
        };
        // Each is asked, so that each will wake us.
        let gone = waiters
            .iter_mut()
            .filter_map(|waiter| waiter.poll_gone(context).is_ready().then_some(()))
            .count();
        if gone == waiters.len() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Answers whoever waits. A refusal leaves nothing: the call did not run, and the same id may come again.
    pub(crate) fn finish(&mut self, id: &str, reply: CallReply) {
        let Some(record) = self.calls.get_mut(id) else { return };
        let state = match &reply {
            Ok(answer) => {
                let bytes = size(answer);
                self.bytes += bytes;
                let failed = answer.answer.code.is_some();
                State::Done { answer: self.keep.keep(Arc::clone(answer), bytes), failed, bytes }
            }
            Err(_) => State::Gone { failed: true },
        };
        let before = std::mem::replace(&mut record.state, state);
        if reply.is_err() {
            self.remove(id);
        }
        if let State::Waiting { waiters, .. } = before {
            for waiter in waiters {
                waiter.answer(reply.clone());
            }
        }
        self.drop_oldest();
    }

    /// Forgets a call that never ran.
    pub(crate) fn remove(&mut self, id: &str) {
        self.calls.remove(id);
        self.order.retain(|known| known != id);
    }

    pub(crate) fn is_running(&self, id: &str) -> Option<bool> {
        match &self.calls.get(id)?.state {
            State::Waiting { running, .. } => Some(*running),
            State::Done { .. } | State::Gone { .. } => None,
        }
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.calls.contains_key(id)
    }

    pub(crate) fn status(&self) -> Vec<CallStatus> {
        let known = self.order.iter().filter_map(|id| self.calls.get(id).map(|record| (id, record)));
        let status = known.map(|(id, record)| CallStatus {
            tool_call_id: id.clone(),
            tool_name: record.tool_name.clone(),
            state: match &record.state {
                State::Waiting { running: false, .. } => CallState::Queued,
                State::Waiting { running: true, .. } => CallState::Running,
                State::Done { failed: true, .. } | State::Gone { failed: true } => CallState::Failed,
                State::Done { failed: false, .. } | State::Gone { failed: false } => CallState::Done,
            },
        });
        status.collect()
    }

    fn drop_oldest(&mut self) {
        for id in &self.order {
            if self.bytes <= self.most_bytes {
                return;
            }
            if let Some(record) = self.calls.get_mut(id)
                && let State::Done { failed, bytes, .. } = &record.state
            {
                self.bytes -= bytes;
                record.state = State::Gone { failed: *failed };
            }
        }
    }
}

/// About the bytes that an answer takes: its result is in it twice, once as an event.
fn size(answer: &CallAnswer) -> usize {
    let result = &answer.answer.result;
    let text = result.result.as_ref().map_or(0, weight) + result.error.as_ref().map_or(0, String::len);
    let names = result.tool_call_id.len() + result.tool_name.len();
    1000 + 2 * (text + names) + FILE * answer.report.files.len()
}

/// Equal for equal tools and arguments, whatever the order of members.
fn fingerprint(call: &ToolCall) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(call.tool_name.len().to_le_bytes());
    hash.update(&call.tool_name);
    update(&mut hash, &call.args);
    hash.finalize().into()
}

fn update(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => hash.update(format!("v{value};")),
        Value::String(text) => {
            hash.update(format!("s{};", text.len()));
            hash.update(text);
        }
        Value::Array(items) => {
            hash.update(format!("a{};", items.len()));
            items.iter().for_each(|item| update(hash, item));
        }
        Value::Object(members) => {
            hash.update(format!("o{};", members.len()));
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                hash.update(format!("n{};", name.len()));
                hash.update(name);
                update(hash, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use serde_json::json;
    use tool::{ToolError, answer};

    use super::*;
    use crate::{CallReport, PendingCall};

    fn call(id: &str, args: Value) -> ToolCall {
        serde_json::from_value(json!({"toolCallId": id, "toolName": "octavus_code_run", "args": args}))
            .unwrap()
    }

    fn done(call: &ToolCall) -> CallReply {
        let answer = answer(call, &Err(ToolError::cancelled()));
        Ok(Arc::new(CallAnswer { answer, report: CallReport::default() }))
    }

    #[test]
    fn members_may_change_their_order_and_nothing_else() {
        let print = |args| fingerprint(&call("a", args));
        assert_eq!(
            print(json!({"a": 1, "b": {"c": [1], "d": 2}})),
            print(json!({"b": {"d": 2, "c": [1]}, "a": 1}))
        );
        let different = [
            json!({}),
            json!({"a": "1"}),
            json!({"a": 1}),
            json!({"a": [1]}),
            json!(["a", 1]),
            json!({"a": {}}),
        ];
        for (n, one) in different.iter().enumerate() {
            for other in &different[n + 1..] {
                assert_ne!(print(one.clone()), print(other.clone()), "{one} {other}");
            }
        }
    }

    #[test]
    fn the_oldest_results_go_and_are_still_known() {
        let keep = Keep::new(1 << 20);
        let mut records = Records::new(&keep, 2_500);
        for n in 0..3 {
            let call = call(&n.to_string(), json!({}));
            let (_pending, waiter) = PendingCall::new();
            records.insert(&call, waiter);
            records.finish(&call.tool_call_id, done(&call));
        }
        assert!(matches!(records.find(&call("0", json!({}))), Found::Gone));
        assert!(matches!(records.find(&call("2", json!({}))), Found::Done(_)));
        assert!(matches!(records.find(&call("2", json!({"a": 1}))), Found::Conflict));
        assert_eq!(records.status()[0].state, CallState::Failed);
        // The runner's bound counts as well, and takes the newest of this trigger too.
        let _held = keep.hold(700_000).unwrap();
        let _large = keep.keep(Arc::new(0), 400_000);
        assert!(matches!(records.find(&call("2", json!({}))), Found::Gone));
        assert_eq!(records.status()[2].state, CallState::Failed);
    }

    #[test]
    fn all_who_wait_are_answered_and_a_refusal_leaves_nothing() {
        let call = call("a", json!({}));
        let mut records = Records::new(&Keep::new(1 << 20), 10_000);
        let (first_reply, first) = PendingCall::new();
        let (second_reply, second) = PendingCall::new();
        records.insert(&call, first);
        records.join("a", second);
        records.finish("a", Err(crate::CallError::Internal));
        assert!([first_reply, second_reply].into_iter().all(|reply| reply.now_or_never().unwrap().is_err()));
        assert!(matches!(records.find(&call), Found::New));
        assert_eq!(records.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_left_since_the_last_one_who_waited_went() {
        let call = call("a", json!({}));
        let mut records = Records::new(&Keep::new(1 << 20), 10_000);
        let (first, waiter) = PendingCall::new();
        records.insert(&call, waiter);
        let (second, waiter) = PendingCall::new();
        records.join("a", waiter);
        drop(second);
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        assert_eq!(records.abandoned_since("a"), None);
        let now = Instant::now();
        drop(first);
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        assert_eq!(records.abandoned_since("a"), Some(now));
        let (_third, waiter) = PendingCall::new();
        records.join("a", waiter);
        assert_eq!(records.abandoned_since("a"), None);
    }
}
