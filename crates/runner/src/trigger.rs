//! One trigger: the task that owns its sandbox and carries out its calls one after the other.
//!
//! ```text
//!             call                 done, sandbox kept            lifetime over: destroy
//!   Idle ───────────────▶ Running ────────────────────▶ Ready ─────────────────────────▶ Idle
//!    ▲                     │  ▲ call                      │
//!    └─────────────────────┘  └───────────────────────────┘
//!       done, no sandbox
//!
//!   any of them ── end asked, idle too long, shutdown ──▶ Closing ──▶ Ended ──▶ (forgotten)
//! ```
//!
//! - **Idle**: no sandbox, nothing to do. The first call that needs a sandbox makes one.
//! - **Running**: a [`Job`] has the sandbox while it carries out one call; the task goes on reading messages meanwhile, so
//!   that a call can be joined, cancelled and asked for at any time. The job gives the sandbox back, or has destroyed it.
//! - **Ready**: the sandbox waits for the next call, until its lifetime is over.
//! - **Closing**: waiting calls are answered, `/output` is captured a last time, the sandbox is destroyed.
//! - **Ended**: no new calls; repeated ones still get their results, until time or the number of ended triggers ends that.
//!
//! Only this task changes the trigger's state. The sandbox is in exactly one place: in `lease`, or in the running job. A
//! panic ends this task alone: what it owned is dropped, and a dropped sandbox is destroyed by its driver.

mod call;
mod lease;
mod message;
mod plan;
mod records;

use std::{
    collections::VecDeque,
    future::{self, poll_fn},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tool::{ToolCall, ToolError, answer};

pub(crate) use self::{
    call::{Job, Stop},
    lease::{Lease, Reason, acquire, skill_directory},
    message::{Incoming, Message},
    plan::Plan,
};
use self::{
    lease::View,
    records::{Found, Records},
};
use crate::{
    CallAnswer, CallError, CallOptions, CallReport, DeclareError, TriggerFile, TriggerId, TriggerState,
    TriggerStatus,
    progress::{ProgressKind, ProgressLog},
    runner::{Cancelled, Core},
};

/// Output files that the state of a trigger names; the oldest go first.
const FILES: usize = 1_000;
/// How long a cancelled or ended trigger's last capture may take. Uploads that are slower than this are given up.
pub(crate) const LAST_CAPTURE: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Trigger {
    core: Arc<Core>,
    id: TriggerId,
    generation: u64,
    inbox: mpsc::Receiver<Message>,
    progress: ProgressLog,
    plan: Plan,
    queue: VecDeque<Queued>,
    records: Records,
    lease: Option<Lease>,
    running: Option<Running>,
    /// What can be told of the sandbox while a job has it.
    view: View,
    /// Whether there ever was a sandbox: the next one is a restart then.
    had_sandbox: bool,
    files: VecDeque<TriggerFile>,
    end: Option<End>,
    /// Who waits for the end.
    ending: Vec<oneshot::Sender<()>>,
    /// When the last call ended or came.
    active: Instant,
}

/// A call that waits for its turn.
struct Queued {
    call: ToolCall,
    options: CallOptions,
    received: Instant,
}

/// The call that is carried out.
struct Running {
    tool_call_id: String,
    cancel: CancellationToken,
    needs_sandbox: bool,
}

/// Why a trigger ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Asked,
    Idle,
    Shutdown,
}

impl Trigger {
    pub(crate) fn new(
        core: Arc<Core>,
        id: TriggerId,
        generation: u64,
        inbox: mpsc::Receiver<Message>,
        progress: ProgressLog,
    ) -> Self {
        let records = Records::new(core.config.result_bytes);
        let plan = Plan::new(&core.config);
        Self {
            core,
            id,
            generation,
            inbox,
            progress,
            plan,
            queue: VecDeque::new(),
            records,
            lease: None,
            running: None,
            view: View::default(),
            had_sandbox: false,
            files: VecDeque::new(),
            end: None,
            ending: Vec::new(),
            active: Instant::now(),
        }
    }

    /// The whole life of the trigger.
    pub(crate) async fn run(self) {
        let (core, id, generation) = (Arc::clone(&self.core), self.id.clone(), self.generation);
        let progress = self.progress.clone();
        if AssertUnwindSafe(self.live()).catch_unwind().await.is_err() {
            tracing::error!(trigger.id = %id, "the task of a trigger panicked; the trigger is ended");
        }
        progress.push(ProgressKind::Ended);
        core.directory.forget(&id, generation);
    }

    async fn live(mut self) {
        while self.end.is_none() {
            if self.core.draining.is_cancelled() {
                self.end = Some(End::Shutdown);
            } else if let Some(next) = self.queue.pop_front() {
                self.carry_out(next).await;
            } else {
                self.wait().await;
            }
        }
        self.close().await;
        if self.end != Some(End::Shutdown) {
            self.linger().await;
        }
    }

    /// Idle or ready: until something happens.
    async fn wait(&mut self) {
        let over = self.lease.as_ref().map(Lease::ends);
        let idle = self.active + self.core.config.idle;
        tokio::select! {
            message = self.inbox.recv() => match message {
                Some(message) => self.handle(message),
                // Nobody can reach this trigger any more.
                None => self.end = Some(End::Idle),
            },
            () = at(over) => {
                if let Some(lease) = self.lease.take() {
                    lease.retire(Reason::TimeOver, &self.progress).await;
                    self.view.clear();
                }
            }
            () = sleep_until(idle) => self.end = Some(End::Idle),
            () = self.core.draining.cancelled() => self.end = Some(End::Shutdown),
        }
    }

    /// Running: one call, while messages are read on.
    async fn carry_out(&mut self, next: Queued) {
        let Queued { call, options, received } = next;
        let id = call.tool_call_id.clone();
        if self.records.is_abandoned(&id) {
            // It never ran, so the same id may come again.
            self.records.remove(&id);
            return;
        }
        self.records.start(&id);
        let cancel = CancellationToken::new();
        let tool = self.core.config.tool_prefix.parse(&call.tool_name);
        let needs_sandbox = tool.is_some_and(|tool| !tool.needs_no_sandbox());
        self.running = Some(Running { tool_call_id: id.clone(), cancel: cancel.clone(), needs_sandbox });
        let job = Job {
            core: Arc::clone(&self.core),
            trigger: self.id.clone(),
            progress: self.progress.clone(),
            plan: self.plan.clone(),
            call,
            options,
            received,
            cancel: cancel.clone(),
            had_sandbox: self.had_sandbox,
            view: self.view.clone(),
        };
        let mut work = std::pin::pin!(job.carry_out(self.lease.take()));
        let mut reachable = true;
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                message = self.inbox.recv(), if reachable => match message {
                    Some(message) => self.handle(message),
                    None => {
                        reachable = false;
                        cancel.cancel();
                    }
                },
                () = poll_fn(|context| self.records.poll_abandoned(&id, context)), if !cancel.is_cancelled() => {
                    cancel.cancel();
                }
                () = self.core.hurry.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
            }
        };
        self.running = None;
        self.lease = done.lease;
        self.had_sandbox = done.had_sandbox;
        self.keep_files(Some(&id), done.files);
        self.records.finish(&id, done.reply);
        self.active = Instant::now();
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Call(incoming) => self.take_call(*incoming),
            Message::Declare { declaration, resolved, skills, reply } => {
                let outcome = if self.end.is_some() {
                    Err(DeclareError::Closed)
                } else {
                    self.plan.declare(*declaration, *resolved, skills, self.is_committed())
                };
                self.active = Instant::now();
                let _ = reply.send(outcome);
            }
            Message::Cancel { tool_call_id, reply } => {
                let _ = reply.send(self.cancel(&tool_call_id));
            }
            Message::Status { reply } => {
                let _ = reply.send(self.status());
            }
            Message::End { reply } => {
                self.end.get_or_insert(End::Asked);
                self.ending.push(reply);
                if let Some(running) = &self.running {
                    running.cancel.cancel();
                }
            }
        }
    }

    fn take_call(&mut self, incoming: Incoming) {
        let Incoming { call, skills, options, received, accepted, reply } = incoming;
        let verdict = match self.records.find(&call) {
            Found::Conflict => {
                Err(CallError::ConflictingArguments { tool_call_id: call.tool_call_id.clone() })
            }
            Found::Gone => Err(CallError::ResultGone),
            Found::Done(answer) => {
                let _ = reply.send(Ok(answer));
                Ok(())
            }
            Found::Waiting => {
                self.records.join(&call.tool_call_id, reply);
                Ok(())
            }
            Found::New => self.admit(skills).map(|()| {
                self.records.insert(&call, reply);
                self.queue.push_back(Queued { call, options, received });
            }),
        };
        // Whoever is gone before it hears this has closed its way back too, which cancels the call.
        let _ = accepted.send(verdict);
    }

    /// Whether a new call can be taken, with the skills that come with it.
    fn admit(&mut self, skills: Vec<Arc<skill::Skill>>) -> Result<(), CallError> {
        let config = &self.core.config;
        if self.end.is_some() {
            return Err(CallError::TriggerClosed);
        }
        if self.core.draining.is_cancelled() {
            return Err(CallError::ShuttingDown { retry_after: config.retry_after });
        }
        if self.queue.len() >= config.queue {
            return Err(CallError::Busy {
                what: "calls of this trigger wait",
                retry_after: config.retry_after,
            });
        }
        if self.records.len() >= config.calls {
            return Err(CallError::Busy {
                what: "calls were made in this trigger",
                retry_after: config.retry_after,
            });
        }
        self.plan.enable(skills, self.is_committed()).map_err(CallError::Skills)
    }

    /// Whether there is a sandbox, or one may be made at any moment.
    fn is_committed(&self) -> bool {
        self.lease.is_some() || self.running.as_ref().is_some_and(|running| running.needs_sandbox)
    }

    fn cancel(&mut self, id: &str) -> Cancelled {
        match self.records.is_running(id) {
            Some(true) => {
                if let Some(running) = self.running.as_ref().filter(|running| running.tool_call_id == id) {
                    running.cancel.cancel();
                }
                Cancelled::Stopped
            }
            Some(false) => {
                if let Some(at) = self.queue.iter().position(|queued| queued.call.tool_call_id == id)
                    && let Some(queued) = self.queue.remove(at)
                {
                    self.refuse(&queued, &ToolError::cancelled());
                }
                Cancelled::Stopped
            }
            None if self.records.contains(id) => Cancelled::AlreadyDone,
            None => Cancelled::Unknown,
        }
    }

    /// Answers a call that never ran.
    fn refuse(&mut self, queued: &Queued, error: &ToolError) {
        let report = CallReport { queued: queued.received.elapsed(), ..CallReport::default() };
        let answer = answer(&queued.call, &Err(error.clone()));
        self.records.finish(&queued.call.tool_call_id, Ok(Arc::new(CallAnswer { answer, report })));
    }

    /// Everything ends: calls that wait, the sandbox.
    async fn close(&mut self) {
        let retry_after = self.core.config.retry_after;
        while let Some(queued) = self.queue.pop_front() {
            match self.end {
                // The same call may be sent to the next runner.
                Some(End::Shutdown) => {
                    let reply = Err(CallError::ShuttingDown { retry_after });
                    self.records.finish(&queued.call.tool_call_id, reply);
                }
                _ => self.refuse(&queued, &ToolError::trigger_closed()),
            }
        }
        if let Some(mut lease) = self.lease.take() {
            let files = lease.last_capture(&self.core, &self.id, &self.progress).await;
            self.keep_files(None, files);
            let reason = if self.end == Some(End::Shutdown) { Reason::Shutdown } else { Reason::Ended };
            lease.retire(reason, &self.progress).await;
            self.view.clear();
        }
        self.progress.push(ProgressKind::Ended);
        self.core.directory.mark_ended(&self.id, self.generation);
        for waiting in self.ending.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Ended: answers what can still be asked.
    async fn linger(&mut self) {
        let until = Instant::now() + self.core.config.ended_retention;
        loop {
            let message = tokio::select! {
                message = self.inbox.recv() => message,
                () = sleep_until(until) => None,
                () = self.core.draining.cancelled() => None,
            };
            match message {
                Some(message) => self.handle_ended(message),
                None => break,
            }
        }
        // Whoever comes from now on starts a new trigger; who came before is answered.
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            self.handle_ended(message);
        }
    }

    fn handle_ended(&mut self, message: Message) {
        self.handle(message);
        for waiting in self.ending.drain(..) {
            let _ = waiting.send(());
        }
    }

    fn keep_files(&mut self, tool_call_id: Option<&str>, files: Vec<tool::OutputFile>) {
        let made_by = tool_call_id.map(str::to_owned);
        self.files.extend(files.into_iter().map(|file| TriggerFile { tool_call_id: made_by.clone(), file }));
        let excess = self.files.len().saturating_sub(FILES);
        self.files.drain(..excess);
    }

    fn status(&self) -> TriggerStatus {
        let state = match (&self.end, &self.running, &self.lease) {
            (Some(_), None, _) => TriggerState::Ended,
            (_, Some(_), _) => TriggerState::Running,
            (None, None, Some(_)) => TriggerState::Ready,
            (None, None, None) => TriggerState::Idle,
        };
        let (sandbox, remaining) = match self.view.get() {
            Some((id, ends)) => (Some(id), Some(ends.saturating_duration_since(Instant::now()))),
            None => (None, None),
        };
        TriggerStatus {
            state,
            skills: self.plan.slugs(),
            calls: self.records.status(),
            files: self.files.iter().cloned().collect(),
            sandbox,
            remaining,
            metadata: self.plan.metadata(),
        }
    }
}

/// At this instant, or never.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => future::pending().await,
    }
}
