//! A call on its way: what a caller hands in, and what it holds while it waits.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::oneshot, time::Instant};
use tool::ToolCall;

use crate::{CallAnswer, DeclareError, OutputSink, Shortage, Tenant};

/// One tool call with what comes beside it.
#[derive(Debug)]
pub struct CallRequest {
    /// The call.
    pub call: ToolCall,
    /// Slugs of skills to enable for the trigger, beside those that it has.
    pub skills: Vec<String>,
    /// For whom it is carried out.
    pub tenant: Tenant,
    /// What only callers in the same process ask for.
    pub options: CallOptions,
}

impl CallRequest {
    /// The call alone.
    #[must_use]
    pub fn new(call: ToolCall) -> Self {
        Self { call, skills: Vec::new(), tenant: Tenant::default(), options: CallOptions::default() }
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
    #[error("{shortage}")]
    Busy {
        /// Of what.
        shortage: Shortage,
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
            | Self::Skills(
                DeclareError::Busy { retry_after, .. } | DeclareError::ShuttingDown { retry_after },
            ) => Some(*retry_after),
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

/// A call that was accepted. Resolves to its answer. When all who wait for a call have dropped it, the call goes on for
/// [`crate::Config::abandoned`], and is stopped then: whoever sends it again before joins it, or gets its result.
#[derive(Debug)]
#[must_use = "dropping it stops the call in the end"]
pub struct PendingCall {
    reply: oneshot::Receiver<CallReply>,
    left: Arc<OnceLock<Instant>>,
}

/// The other end of a [`PendingCall`].
#[derive(Debug)]
pub(crate) struct Waiter {
    reply: oneshot::Sender<CallReply>,
    left: Arc<OnceLock<Instant>>,
}

impl PendingCall {
    pub(crate) fn new() -> (Self, Waiter) {
        let (sender, receiver) = oneshot::channel();
        let left = Arc::<OnceLock<Instant>>::default();
        (Self { reply: receiver, left: Arc::clone(&left) }, Waiter { reply: sender, left })
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        // Before the channel closes, so that whoever sees it closed knows since when.
        let _ = self.left.set(Instant::now());
    }
}

impl Waiter {
    pub(crate) fn answer(self, reply: CallReply) {
        // Whoever is gone needs no answer.
        let _ = self.reply.send(reply);
    }

    /// Since when nobody waits here any more.
    pub(crate) fn gone_since(&self) -> Option<Instant> {
        self.reply.is_closed().then(|| self.left.get().copied().unwrap_or_else(Instant::now))
    }

    /// Ready when nobody waits here any more.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.reply.poll_closed(context)
    }
}

impl Future for PendingCall {
    type Output = CallReply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The task is gone without a word only where it panicked.
        Pin::new(&mut self.reply).poll(context).map(|reply| reply.unwrap_or(Err(CallError::Internal)))
    }
}
