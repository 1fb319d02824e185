//! One trigger: the task that owns its sandbox and carries out its calls one after the other.
//!
//! ```text
//!             call                 done, sandbox kept            lifetime over: destroy
//!   Idle ───────────────▶ Running ────────────────────▶ Ready ─────────────────────────▶ Idle
//!    ▲                     │  ▲ call                      │
//!    └─────────────────────┘  └───────────────────────────┘
//!       done, no sandbox
//!
//!   any of them ── end asked, idle too long, shutdown ──▶ Closing ──▶ Ended (Remains, without a task)
//! ```
//!
//! - **Idle**: no sandbox, nothing to do. The first call that needs a sandbox makes one.
//! - **Running**: a [`Job`] has the sandbox while it carries out one call; the task goes on reading messages meanwhile, so
//!   that a call can be joined, cancelled and asked for at any time. The job gives the sandbox back, or has destroyed it.
//! - **Ready**: the sandbox waits for the next call, until its lifetime is over, or its place is needed by another trigger.
//! - **Closing**: waiting calls are answered, `/output` is captured a last time, the sandbox is destroyed.
//! - **Ended**: no new calls; repeated ones still get their results from what remains, as long as that is kept.
//!
//! Only this task changes the trigger's state. The sandbox is in exactly one place: in `lease`, or in the running job. A
//! panic ends this task alone: what it owned is dropped, and a dropped sandbox is destroyed by its driver.

mod call;
mod lease;
mod message;
mod plan;
mod records;
mod remains;

use std::{
    collections::VecDeque,
    future::{self, poll_fn},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tool::{ToolCall, ToolError, answer};

pub(crate) use self::{
    call::{Job, Stop},
    lease::{Lease, Reason, acquire},
    message::{Incoming, Message},
    plan::Plan,
    remains::{Remains, answer as answer_ended, progress as progress_of_ended},
};
use self::{
    lease::View,
    records::{Found, Records},
};
use crate::{
    CallAnswer, CallError, CallOptions, CallReport, DeclareError, Shortage, Tenant, TriggerFile, TriggerId,
    TriggerState, TriggerStatus,
    directory::Glance,
    keep::{Held, Kept},
    places::Parking,
    progress::{ProgressKind, ProgressLog},
    runner::{Cancelled, Core},
};

/// Output files that the state of a trigger names; the oldest go first.
const FILES: usize = 1_000;
/// About the length of a link to a file, in bytes.
const LINK: usize = 1000;
/// How long a cancelled or ended trigger's last capture may take. Uploads that are slower than this are given up.
pub(crate) const LAST_CAPTURE: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Trigger {
    core: Arc<Core>,
    id: TriggerId,
    generation: u64,
    inbox: mpsc::Receiver<Message>,
    progress: ProgressLog,
    glance: watch::Sender<Glance>,
    plan: Plan,
    queue: VecDeque<Queued>,
    records: Records,
    /// Room for them, beside their results.
    held: Held,
    lease: Option<Lease>,
    running: Option<Running>,
    /// What can be told of the sandbox while a job has it.
    view: View,
    /// Whether there ever was a sandbox: the next one is a restart then.
    had_sandbox: bool,
    files: VecDeque<Kept<TriggerFile>>,
    end: Option<End>,
    /// Who waits for the end.
    ending: Vec<oneshot::Sender<()>>,
    /// When the last call ended or came.
    active: Instant,
}

/// A call that waits for its turn.
struct Queued {
    call: ToolCall,
    tenant: Tenant,
    options: CallOptions,
    received: Instant,
    held: Held,
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
        glance: watch::Sender<Glance>,
        held: Held,
    ) -> Self {
        let records = Records::new(&core.keep, core.config.result_bytes);
        let plan = Plan::new(&core.config);
        Self {
            core,
            id,
            generation,
            inbox,
            progress,
            glance,
            plan,
            queue: VecDeque::new(),
            records,
            held,
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
    }

    /// Idle or ready: until something happens.
    async fn wait(&mut self) {
        self.show();
        let over = self.lease.as_ref().map(Lease::ends);
        let mut parking = self.lease.as_ref().map(Lease::park);
        let idle = self.active + self.core.config.idle;
        tokio::select! {
            message = self.inbox.recv() => match message {
                Some(message) => self.handle(message),
                // Nobody can reach this trigger any more.
                None => self.end = Some(End::Idle),
            },
            () = at(over) => self.retire(Reason::TimeOver).await,
            () = asked(parking.as_mut()) => self.retire(Reason::RoomNeeded).await,
            () = sleep_until(idle) => self.end = Some(End::Idle),
            () = self.core.draining.cancelled() => self.end = Some(End::Shutdown),
        }
    }

    /// Running: one call, while messages are read on.
    async fn carry_out(&mut self, next: Queued) {
        let Queued { call, tenant, options, received, held } = next;
        let id = call.tool_call_id.clone();
        let patience = self.core.config.abandoned;
        let mut left = self.records.abandoned_since(&id).map(|since| since + patience);
        if left.is_some_and(|left| left <= Instant::now()) {
            // It never ran, so the same id may come again.
            self.records.remove(&id);
            return;
        }
        self.records.start(&id);
        let cancel = CancellationToken::new();
        let tool = self.core.config.tool_prefix.parse(&call.tool_name);
        let needs_sandbox = tool.is_some_and(|tool| !tool.needs_no_sandbox());
        self.running = Some(Running { tool_call_id: id.clone(), cancel: cancel.clone(), needs_sandbox });
        self.show();
        let job = Job {
            core: Arc::clone(&self.core),
            trigger: self.id.clone(),
            progress: self.progress.clone(),
            plan: self.plan.clone(),
            call,
            tenant,
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
                    Some(message) => {
                        self.handle(message);
                        // Somebody may have joined.
                        left = self.records.abandoned_since(&id).map(|since| since + patience);
                    }
                    None => {
                        reachable = false;
                        cancel.cancel();
                    }
                },
                () = poll_fn(|context| self.records.poll_abandoned(&id, context)), if left.is_none() => {
                    left = self.records.abandoned_since(&id).map(|since| since + patience);
                }
                () = at(left), if !cancel.is_cancelled() => cancel.cancel(),
                () = self.core.hurry.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
            }
        };
        self.running = None;
        self.lease = done.lease;
        self.had_sandbox = done.had_sandbox;
        self.keep_files(Some(&id), done.files);
        self.records.finish(&id, done.reply);
        self.active = Instant::now();
        drop(held);
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Call(incoming) => self.take_call(*incoming),
            Message::Declare { declaration, resolved, skills, held, reply } => {
                let outcome = if self.end.is_some() {
                    Err(DeclareError::Closed)
                } else {
                    self.plan.declare(*declaration, *resolved, skills, held, self.is_committed())
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
        let Incoming { call, skills, tenant, options, held, received, accepted, waiter } = incoming;
        let verdict = match self.records.find(&call) {
            Found::Conflict => {
                Err(CallError::ConflictingArguments { tool_call_id: call.tool_call_id.clone() })
            }
            Found::Gone => Err(CallError::ResultGone),
            Found::Done(answer) => {
                waiter.answer(Ok(answer));
                Ok(())
            }
            Found::Waiting => {
                self.records.join(&call.tool_call_id, waiter);
                Ok(())
            }
            Found::New => self.admit(&call, skills).map(|()| {
                self.records.insert(&call, waiter);
                self.queue.push_back(Queued { call, tenant, options, received, held });
            }),
        };
        // Whoever is gone before it hears this has closed its way back too, which cancels the call.
        let _ = accepted.send(verdict);
    }

    /// Whether a new call can be taken, with the skills that come with it.
    fn admit(&mut self, call: &ToolCall, skills: Vec<Arc<skill::Skill>>) -> Result<(), CallError> {
        let config = &self.core.config;
        let busy = |shortage| CallError::Busy { shortage, retry_after: config.retry_after };
        if self.end.is_some() {
            return Err(CallError::TriggerClosed);
        }
        if self.core.draining.is_cancelled() {
            return Err(CallError::ShuttingDown { retry_after: config.retry_after });
        }
        if self.queue.len() >= config.queue {
            return Err(busy(Shortage::Waiting { most: config.queue }));
        }
        if self.records.len() >= config.calls {
            return Err(busy(Shortage::Calls { most: config.calls }));
        }
        self.held.grow(Records::weight_of(call)).map_err(busy)?;
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
    async fn close(mut self) {
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
        let Self { core, id, generation, mut inbox, progress, plan, records, files, ending, .. } = self;
        let (skills, metadata) = (plan.slugs(), plan.metadata());
        // Inputs and layers are needed no more.
        drop(plan);
        let remains = Arc::new(Remains { skills, records, files: files.into(), metadata, progress });
        let kept = core.keep.keep(Arc::clone(&remains), remains.weight());
        core.directory.mark_ended(&id, generation, kept);
        for waiting in ending {
            let _ = waiting.send(());
        }
        // Whoever comes from now on finds what remains; who came before is answered.
        inbox.close();
        while let Some(message) = inbox.recv().await {
            answer_ended(Some(&remains), message);
        }
    }

    /// Destroys the sandbox that waits; what is in it and was not captured yet is captured.
    async fn retire(&mut self, reason: Reason) {
        let Some(mut lease) = self.lease.take() else { return };
        let files = lease.last_capture(&self.core, &self.id, &self.progress).await;
        self.keep_files(None, files);
        lease.retire(reason, &self.progress).await;
        self.view.clear();
    }

    /// Says where the trigger is.
    fn show(&self) {
        let state = self.state();
        self.glance.send_if_modified(|glance| {
            let changed = glance.state != state;
            if changed {
                *glance = Glance { state, since: Instant::now() };
            }
            changed
        });
    }

    fn keep_files(&mut self, tool_call_id: Option<&str>, files: Vec<tool::OutputFile>) {
        let made_by = tool_call_id.map(str::to_owned);
        self.files.extend(files.into_iter().map(|file| {
            let bytes = 500 + 2 * (file.name.len() + file.path.len()) + LINK;
            self.core.keep.keep(Arc::new(TriggerFile { tool_call_id: made_by.clone(), file }), bytes)
        }));
        let excess = self.files.len().saturating_sub(FILES);
        self.files.drain(..excess);
    }

    fn state(&self) -> TriggerState {
        match (&self.end, &self.running, &self.lease) {
            (Some(_), None, _) => TriggerState::Ended,
            (_, Some(_), _) => TriggerState::Running,
            (None, None, Some(_)) => TriggerState::Ready,
            (None, None, None) => TriggerState::Idle,
        }
    }

    fn status(&self) -> TriggerStatus {
        let (sandbox, remaining) = match self.view.get() {
            Some((id, ends)) => (Some(id), Some(ends.saturating_duration_since(Instant::now()))),
            None => (None, None),
        };
        TriggerStatus {
            state: self.state(),
            skills: self.plan.slugs(),
            calls: self.records.status(),
            files: remains::kept_files(self.files.iter()),
            sandbox,
            remaining,
            metadata: self.plan.metadata(),
        }
    }
}

/// When the place of the sandbox that waits is needed; never where none waits.
async fn asked(parking: Option<&mut Parking>) {
    match parking {
        Some(parking) => parking.asked().await,
        None => future::pending().await,
    }
}

/// At this instant, or never.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => future::pending().await,
    }
}
