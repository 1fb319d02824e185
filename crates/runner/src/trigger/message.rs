//! What a trigger's task is asked.

use std::sync::Arc;

use skill::Skill;
use tokio::{sync::oneshot, time::Instant};
use tool::ToolCall;

use crate::{
    CallError, CallOptions, Declaration, DeclareError, TriggerStatus, declaration::Resolved,
    pending::CallReply, runner::Cancelled,
};

/// One message; each has its way back.
pub(crate) enum Message {
    Call(Box<Incoming>),
    Declare {
        declaration: Box<Declaration>,
        resolved: Box<Resolved>,
        skills: Vec<Arc<Skill>>,
        reply: oneshot::Sender<Result<(), DeclareError>>,
    },
    Cancel {
        tool_call_id: String,
        reply: oneshot::Sender<Cancelled>,
    },
    Status {
        reply: oneshot::Sender<TriggerStatus>,
    },
    End {
        reply: oneshot::Sender<()>,
    },
}

/// A call that comes in.
pub(crate) struct Incoming {
    pub(crate) call: ToolCall,
    pub(crate) skills: Vec<Arc<Skill>>,
    pub(crate) request_id: Option<String>,
    pub(crate) options: CallOptions,
    pub(crate) received: Instant,
    /// Whether it was taken.
    pub(crate) accepted: oneshot::Sender<Result<(), CallError>>,
    /// Its answer. Closed when nobody waits for it.
    pub(crate) reply: oneshot::Sender<CallReply>,
}
