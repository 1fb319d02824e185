//! A call on its way: what a caller hands in, and what it holds while it waits.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::oneshot;
use tool::ToolCall;

use crate::{CallAnswer, DeclareError, OutputSink};

/// One tool call with what comes beside it.
#[derive(Debug)]
pub struct CallRequest {
    /// The call.
    pub call: ToolCall,
    /// Slugs of skills to enable for the trigger, beside those that it has.
    pub skills: Vec<String>,
    /// Under which name of a request the log shows the call.
    pub request_id: Option<String>,
    /// What only callers in the same process ask for.
    pub options: CallOptions,
}

impl CallRequest {
    /// The call alone.
    #[must_use]
    pub fn new(call: ToolCall) -> Self {
        Self { call, skills: Vec::new(), request_id: None, options: CallOptions::default() }
    }
}

/// What a call in the same process may ask for, beyond the contract.
#[derive(Default)]
pub struct CallOptions {
    /// Standard input of the program, instead of the `input` argument.
    pub stdin: Option<Bytes>,
    /// Gets the program's text as it comes.
    pub sink: Option<OutputSink>,
    /// How much of the streams is kept.
    pub whole_streams: StreamChoice,
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CallOptions")
            .field("stdin_bytes", &self.stdin.as_ref().map(Bytes::len))
            .field("sink", &self.sink.is_some())
            .field("whole_streams", &self.whole_streams)
            .finish()
    }
}

/// How much of a program's streams a call keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamChoice {
    /// Head and tail within the configured limit.
    #[default]
    Configured,
    /// Everything goes to the sink, and the result has empty streams.
    Whole,
}

/// Why a call was not taken, or has no answer. The call did not run, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Tool call ids have 1 to 256 characters.
    #[error("a toolCallId must have 1 to 256 characters and no control characters")]
    InvalidCallId,
    /// The skills that came with the call cannot be enabled.
    #[error("the skills of the call cannot be enabled")]
    Skills(#[source] DeclareError),
    /// The id was used for another call.
    #[error("toolCallId `{}` was already used with another tool or other arguments", tool_call_id.escape_debug())]
    ConflictingArguments {
        /// The id.
        tool_call_id: String,
    },
    /// The call ran, and its result is no longer kept.
    #[error("the call was carried out and its result is no longer kept")]
    ResultGone,
    /// The trigger takes no more calls.
    #[error("the trigger is closed")]
    TriggerClosed,
    /// There is too much of something; a later try may work.
    #[error("too many {what}")]
    Busy {
        /// Of what.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The runner takes no more calls.
    #[error("the runner is shutting down")]
    ShuttingDown {
        /// When to try again.
        retry_after: Duration,
    },
    /// A fault of ours; it has been logged. The call may have run.
    #[error("the trigger failed")]
    Internal,
}

impl CallError {
    /// When to try again, where that may help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. }
            | Self::ShuttingDown { retry_after }
            | Self::Skills(DeclareError::Busy { retry_after } | DeclareError::ShuttingDown { retry_after }) => {
                Some(*retry_after)
            }
            Self::InvalidCallId
            | Self::Skills(_)
            | Self::ConflictingArguments { .. }
            | Self::ResultGone
            | Self::TriggerClosed
            | Self::Internal => None,
        }
    }
}

/// How a trigger's task answers whoever waits for a call.
pub(crate) type CallReply = Result<Arc<CallAnswer>, CallError>;

/// A call that was accepted. Resolves to its answer. Dropping it cancels the call, unless somebody else waits for the
/// same call.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub struct PendingCall {
    reply: oneshot::Receiver<CallReply>,
}

impl PendingCall {
    pub(crate) fn new(reply: oneshot::Receiver<CallReply>) -> Self {
        Self { reply }
    }
}

impl Future for PendingCall {
    type Output = CallReply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The task is gone without a word only where it panicked.
        Pin::new(&mut self.reply).poll(context).map(|reply| reply.unwrap_or(Err(CallError::Internal)))
    }
}
