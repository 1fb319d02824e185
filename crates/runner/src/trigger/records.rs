//! The calls of a trigger by their ids: so that a repeated one joins, or gets the stored result, and never runs twice.
//!
//! Results are kept within a bound of bytes, the newest first; of older ones the id stays, so that even then a repeated
//! call is told that it ran.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tool::ToolCall;

use crate::{CallAnswer, CallState, CallStatus, pending::CallReply};

/// What a call is, beside its id: tool and arguments.
pub(crate) type Fingerprint = [u8; 32];

/// All calls of a trigger.
#[derive(Debug)]
pub(crate) struct Records {
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
        waiters: Vec<oneshot::Sender<CallReply>>,
    },
    Done {
        answer: Arc<CallAnswer>,
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
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { calls: HashMap::new(), order: Vec::new(), bytes: 0, most_bytes }
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
            State::Done { answer, .. } => Found::Done(Arc::clone(answer)),
            State::Gone { .. } => Found::Gone,
        }
    }

    /// A new call, with who waits for it.
    pub(crate) fn insert(&mut self, call: &ToolCall, waiter: oneshot::Sender<CallReply>) {
        let record = Record {
            fingerprint: fingerprint(call),
            tool_name: call.tool_name.clone(),
            state: State::Waiting { running: false, waiters: vec![waiter] },
        };
        self.order.push(call.tool_call_id.clone());
        self.calls.insert(call.tool_call_id.clone(), record);
    }

    /// One more waits for a call.
    pub(crate) fn join(&mut self, id: &str, waiter: oneshot::Sender<CallReply>) {
        if let Some(State::Waiting { waiters, .. }) = self.calls.get_mut(id).map(|record| &mut record.state) {
            waiters.push(waiter);
        }
    }

    pub(crate) fn start(&mut self, id: &str) {
        if let Some(State::Waiting { running, .. }) = self.calls.get_mut(id).map(|record| &mut record.state) {
            *running = true;
        }
    }

    /// Whether nobody waits for the call any more.
    pub(crate) fn is_abandoned(&self, id: &str) -> bool {
        match self.calls.get(id).map(|record| &record.state) {
            Some(State::Waiting { waiters, .. }) => waiters.iter().all(oneshot::Sender::is_closed),
            Some(State::Done { .. } | State::Gone { .. }) | None => false,
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
            .filter_map(|waiter| waiter.poll_closed(context).is_ready().then_some(()))
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
                State::Done { answer: Arc::clone(answer), bytes }
            }
            Err(_) => State::Gone { failed: true },
        };
        let before = std::mem::replace(&mut record.state, state);
        if reply.is_err() {
            self.remove(id);
        }
        if let State::Waiting { waiters, .. } = before {
            for waiter in waiters {
                // Whoever is gone needs no answer.
                let _ = waiter.send(reply.clone());
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
                State::Done { answer, .. } if answer.answer.code.is_some() => CallState::Failed,
                State::Gone { failed: true } => CallState::Failed,
                State::Done { .. } | State::Gone { failed: false } => CallState::Done,
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
                && let State::Done { answer, bytes } = &record.state
            {
                self.bytes -= bytes;
                record.state = State::Gone { failed: answer.answer.code.is_some() };
            }
        }
    }
}

/// Roughly the bytes that an answer holds: its result is in it twice, once as an event.
fn size(answer: &CallAnswer) -> usize {
    let result = &answer.answer.result;
    let text = result.result.as_ref().map_or(0, weight) + result.error.as_ref().map_or(0, String::len);
    1000 + 2 * text
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
        Value::String(text) => 24 + text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| 48 + name.len() + weight(value)).sum(),
    }
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
    use serde_json::json;
    use tool::{ToolError, answer};

    use super::*;
    use crate::CallReport;

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
        let mut records = Records::new(2_500);
        for n in 0..3 {
            let call = call(&n.to_string(), json!({}));
            let (waiter, _reply) = oneshot::channel();
            records.insert(&call, waiter);
            records.finish(&call.tool_call_id, done(&call));
        }
        assert!(matches!(records.find(&call("0", json!({}))), Found::Gone));
        assert!(matches!(records.find(&call("2", json!({}))), Found::Done(_)));
        assert!(matches!(records.find(&call("2", json!({"a": 1}))), Found::Conflict));
        assert_eq!(records.status()[0].state, CallState::Failed);
    }

    #[test]
    fn all_who_wait_are_answered_and_a_refusal_leaves_nothing() {
        let call = call("a", json!({}));
        let mut records = Records::new(10_000);
        let (first, mut first_reply) = oneshot::channel();
        let (second, mut second_reply) = oneshot::channel();
        records.insert(&call, first);
        records.join("a", second);
        records.finish("a", Err(crate::CallError::Internal));
        assert!(first_reply.try_recv().unwrap().is_err() && second_reply.try_recv().unwrap().is_err());
        assert!(matches!(records.find(&call), Found::New));
        assert_eq!(records.len(), 0);
    }
}
