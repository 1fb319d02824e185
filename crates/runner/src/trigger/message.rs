//! What a trigger's task is asked.

use std::sync::Arc;

use skill::Skill;
use tokio::{sync::oneshot, time::Instant};
use tool::ToolCall;

use crate::{
    CallError, CallOptions, Declaration, DeclareError, Tenant, TriggerStatus, declaration::Resolved,
    keep::Held, pending::Waiter, runner::Cancelled,
};

/// One message; each has its way back.
pub(crate) enum Message {
    Call(Box<Incoming>),
    Declare {
        declaration: Box<Declaration>,
        resolved: Box<Resolved>,
        skills: Vec<Arc<Skill>>,
        /// Room for it.
        held: Held,
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
    pub(crate) tenant: Tenant,
    pub(crate) options: CallOptions,
    /// Room for it.
    pub(crate) held: Held,
    pub(crate) received: Instant,
    /// Whether it was taken.
    pub(crate) accepted: oneshot::Sender<Result<(), CallError>>,
    /// Who waits for its answer.
    pub(crate) waiter: Waiter,
}
