//! The outer side of the runner: what a server or a command line calls.

use std::{fmt, sync::Arc, time::Duration};

use artifact::ArtifactStore;
use layer::Resolver;
use sandbox::Driver;
use skill::{Catalog, Skill};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tool::OutputFileState;

use crate::{
    CallError, CallRequest, Config, Declaration, DeclareError, KeptBytes, PendingCall, PrepareError,
    ProgressStream, Shortage, Skills, Totals, TriggerId, TriggerState, TriggerStatus, TriggerSummary,
    capture::{Awaited, COLLECTED},
    directory::{Directory, Entry, Found, Glance},
    fault::chain,
    keep::{Held, Keep, weight},
    places::Places,
    progress::{ProgressKind, ProgressLog, READER},
    totals::Counts,
    trigger::{Incoming, Message, Trigger, answer_ended, progress_of_ended},
};

/// Messages that wait for one trigger's task. It takes them at once, also while a call runs.
const INBOX: usize = 64;
/// Longest tool call id, in characters.
const CALL_ID: usize = 256;
/// How long the last captures and the removal of sandboxes may take after the drain, before the driver ends the rest.
const LAST_STEPS: Duration = Duration::from_secs(15);

/// How long the driver may take to end, before the runner ends without it.
const DRIVER_END: Duration = Duration::from_secs(15);
/// What a trigger costs beside its calls and events, in bytes: its task.
const TRIGGER: usize = 16 * 1024;

/// What a runner is put together from.
#[derive(Debug)]
pub struct Parts {
    /// Makes sandboxes.
    pub driver: Arc<dyn Driver>,
    /// Keeps output files.
    pub store: Arc<dyn ArtifactStore>,
    /// The skills.
    pub catalog: Catalog,
    /// Makes their dependencies ready.
    pub layers: Arc<Resolver>,
}

/// Carries out tool calls. Clones are the same runner. Used inside a tokio runtime, and ended by [`Runner::shutdown`].
#[derive(Clone)]
pub struct Runner {
    core: Arc<Core>,
}

/// What all triggers share.
pub(crate) struct Core {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) skills: Skills,
    pub(crate) config: Config,
    pub(crate) directory: Directory,
    /// One place for each living sandbox.
    pub(crate) places: Places,
    pub(crate) keep: Keep,
    /// For captures: a permit for each byte that they collect.
    pub(crate) collected: Semaphore,
    /// No new calls; running ones go on.
    pub(crate) draining: CancellationToken,
    /// Running calls end now.
    pub(crate) hurry: CancellationToken,
    pub(crate) counts: Counts,
    tasks: TaskTracker,
}

/// What became of a request to stop a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is being stopped, or will not start.
    Stopped,
    /// It already has its answer.
    AlreadyDone,
    /// The trigger, or the call, is not known.
    Unknown,
}

/// Why a trigger's progress cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// There is no such trigger.
    #[error("the trigger is not known")]
    Unknown,
    /// There is too much of something; a later try may work.
    #[error("{shortage}")]
    Busy {
        /// Of what.
        shortage: Shortage,
        /// When to try again.
        retry_after: Duration,
    },
}

/// How much a runner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Triggers that have not ended.
    pub triggers: usize,
    /// Sandboxes that live or are being made.
    pub sandboxes: usize,
    /// Whether new calls are taken.
    pub accepting: bool,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Triggers that had not ended in time; the driver has ended their sandboxes.
    pub left: usize,
}

impl fmt::Debug for Runner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Runner").field("load", &self.load()).finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner. Starts nothing.
    #[must_use]
    pub fn new(parts: Parts, config: Config) -> Self {
        let Parts { driver, store, catalog, layers } = parts;
        let core = Core {
            driver,
            store,
            skills: Skills::new(catalog, layers),
            directory: Directory::new(config.triggers, config.ended_triggers, config.ended_retention),
            places: Places::new(config.sandboxes),
            keep: Keep::new(config.kept_bytes),
            collected: Semaphore::new(COLLECTED),
            draining: CancellationToken::new(),
            hurry: CancellationToken::new(),
            counts: Counts::default(),
            tasks: TaskTracker::new(),
            config,
        };
        Self { core: Arc::new(core) }
    }

    /// How it behaves.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// The skills that triggers may enable.
    #[must_use]
    pub fn skills(&self) -> &Skills {
        &self.core.skills
    }

    /// The store of output files.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ArtifactStore> {
        &self.core.store
    }

    /// What makes the sandboxes.
    #[must_use]
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.core.driver
    }

    /// What was done since the start.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.core.counts.totals()
    }

    /// How much there is to do.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            triggers: self.core.directory.live(),
            sandboxes: self.core.places.taken(),
            accepting: !self.core.draining.is_cancelled(),
        }
    }

    /// How much memory is kept for triggers.
    #[must_use]
    pub fn kept(&self) -> KeptBytes {
        self.core.keep.bytes()
    }

    /// All triggers that have not ended, by id.
    #[must_use]
    pub fn triggers(&self) -> Vec<TriggerSummary> {
        let glances = self.core.directory.glances().into_iter();
        let summary = |(id, glance): (TriggerId, Glance)| TriggerSummary {
            id,
            state: glance.state,
            since: glance.since.elapsed(),
        };
        glances.map(summary).collect()
    }

    /// Says what a trigger is to have. Creates nothing; the same declaration may come again.
    ///
    /// # Errors
    /// Something in it cannot be had, or the trigger's sandbox was made from another.
    pub async fn declare(&self, id: &TriggerId, declaration: Declaration) -> Result<(), DeclareError> {
        let config = &self.core.config;
        let resolved = Box::new(declaration.check(config)?);
        let skills = self.find_skills(&declaration.skills)?;
        let retry_after = config.retry_after;
        let busy = |shortage| DeclareError::Busy { shortage, retry_after };
        let held = self.core.keep.hold(declaration.weight()).map_err(busy)?;
        let (reply, answer) = oneshot::channel();
        let message = Message::Declare { declaration: Box::new(declaration), resolved, skills, held, reply };
        self.send_or_start(id, message).await.map_err(|refusal| match refusal {
            Refusal::ShuttingDown => DeclareError::ShuttingDown { retry_after },
            Refusal::Full(shortage) => busy(shortage),
        })?;
        answer.await.unwrap_or(Err(DeclareError::Closed))
    }

    /// Hands in a call. When this returns, the call has its place among the calls of its trigger; calls that are handed
    /// in one after the other run in that order.
    ///
    /// # Errors
    /// Why the call was not taken.
    pub async fn submit(&self, id: &TriggerId, request: CallRequest) -> Result<PendingCall, CallError> {
        let CallRequest { call, skills, tenant, options } = request;
        let call_id = &call.tool_call_id;
        if call_id.is_empty() || call_id.chars().count() > CALL_ID || call_id.chars().any(char::is_control) {
            return Err(CallError::InvalidCallId);
        }
        let skills = self.find_skills(&skills).map_err(CallError::Skills)?;
        let retry_after = self.core.config.retry_after;
        let busy = |shortage| CallError::Busy { shortage, retry_after };
        let names = call.tool_call_id.len() + call.tool_name.len();
        let held = self.core.keep.hold(1000 + 2 * names + weight(&call.args)).map_err(busy)?;
        let (accepted, taken) = oneshot::channel();
        // Before the call is taken, so that it is noticed when its caller goes away at any moment from then on.
        let (pending, waiter) = PendingCall::new();
        let received = Instant::now();
        let incoming = Incoming { call, skills, tenant, options, held, received, accepted, waiter };
        self.send_or_start(id, Message::Call(Box::new(incoming))).await.map_err(|refusal| match refusal {
            Refusal::ShuttingDown => CallError::ShuttingDown { retry_after },
            Refusal::Full(shortage) => busy(shortage),
        })?;
        taken.await.unwrap_or(Err(CallError::Internal))?;
        Ok(pending)
    }

    /// Stops one call, whether it runs or waits.
    pub async fn cancel(&self, id: &TriggerId, tool_call_id: &str) -> Cancelled {
        let (reply, answer) = oneshot::channel();
        self.send(id, Message::Cancel { tool_call_id: tool_call_id.to_owned(), reply }).await;
        answer.await.unwrap_or(Cancelled::Unknown)
    }

    /// The state of a trigger; `None` for one that is not known.
    pub async fn status(&self, id: &TriggerId) -> Option<TriggerStatus> {
        let (reply, answer) = oneshot::channel();
        self.send(id, Message::Status { reply }).await;
        answer.await.ok()
    }

    /// Follows what happens in a trigger, after the event with this id.
    ///
    /// # Errors
    /// The trigger is not known, or there are too many readers.
    pub fn progress(
        &self,
        id: &TriggerId,
        last_event_id: Option<u64>,
    ) -> Result<ProgressStream, FollowError> {
        let progress = match self.core.directory.find(id).ok_or(FollowError::Unknown)? {
            Found::Live(entry) => entry.progress,
            Found::Ended(remains) => progress_of_ended(remains, &self.core.keep),
        };
        let retry_after = self.core.config.retry_after;
        let held =
            self.core.keep.hold(READER).map_err(|shortage| FollowError::Busy { shortage, retry_after })?;
        Ok(progress.follow(last_event_id, held))
    }

    /// Ends a trigger: kills what runs, captures a last time, and destroys the sandbox. Returns when that is done.
    /// Idempotent; a trigger that is not known is ended.
    pub async fn end(&self, id: &TriggerId) {
        let (reply, answer) = oneshot::channel();
        self.send(id, Message::End { reply }).await;
        // Without a word the task is gone, and the sandbox with it.
        let _ = answer.await;
    }

    /// Makes the dependencies of a skill ready now, so that its first call does not wait for them.
    ///
    /// # Errors
    /// The skill is not known, or its dependencies cannot be had.
    pub async fn prepare_skill(
        &self,
        slug: &str,
        progress: &layer::Progress<'_>,
    ) -> Result<(), PrepareError> {
        let entry =
            self.core.skills.get(slug).ok_or_else(|| PrepareError::Unknown { slug: slug.to_owned() })?;
        self.core.skills.prepare(&entry.skill, progress).await.map(drop)
    }

    /// Ends the runner: takes no more calls, lets running ones finish for the configured time, then stops them,
    /// captures, destroys all sandboxes and ends the driver.
    pub async fn shutdown(&self) -> ShutdownReport {
        let core = &self.core;
        core.draining.cancel();
        core.tasks.close();
        let drained = async {
            tokio::select! {
                () = core.tasks.wait() => {}
                () = core.hurry.cancelled() => {}
            }
        };
        if timeout(core.config.drain, drained).await.is_err() {
            tracing::info!(triggers = core.tasks.len(), "the drain is over; running calls are stopped");
        }
        core.hurry.cancel();
        let left = if timeout(LAST_STEPS, core.tasks.wait()).await.is_err() { core.tasks.len() } else { 0 };
        if left > 0 {
            tracing::error!(triggers = left, "triggers did not end in time");
        }
        match timeout(DRIVER_END, core.driver.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = chain(&error), "the driver did not end cleanly"),
            Err(_) => tracing::error!("the driver did not end in time; the next runner removes what is left"),
        }
        ShutdownReport { left }
    }

    /// Cuts the drain of a [`Runner::shutdown`] short.
    pub fn shutdown_now(&self) {
        self.core.draining.cancel();
        self.core.hurry.cancel();
    }

    fn find_skills(&self, slugs: &[String]) -> Result<Vec<Arc<Skill>>, DeclareError> {
        let find = |slug: &String| {
            self.core.skills.get(slug).map(|entry| entry.skill).ok_or_else(|| DeclareError::UnknownSkill {
                slug: slug.clone(),
                available: self
                    .core
                    .skills
                    .list()
                    .iter()
                    .map(|entry| entry.skill.name().to_string())
                    .collect(),
            })
        };
        slugs.iter().map(find).collect()
    }

    /// Sends to a trigger that is known; drops the message, and with it its way back, where there is none.
    async fn send(&self, id: &TriggerId, message: Message) {
        let message = match self.core.directory.find(id) {
            None => return,
            Some(Found::Ended(remains)) => return answer_ended(remains.as_deref(), message),
            Some(Found::Live(entry)) => match entry.inbox.send(message).await {
                Ok(()) => return,
                Err(back) => back.0,
            },
        };
        // It was just ending.
        if let Some(Found::Ended(remains)) = self.core.directory.find(id) {
            answer_ended(remains.as_deref(), message);
        }
    }

    async fn send_or_start(&self, id: &TriggerId, mut message: Message) -> Result<(), Refusal> {
        loop {
            if self.core.draining.is_cancelled() {
                return Err(Refusal::ShuttingDown);
            }
            // What a trigger costs without calls and events.
            let held = self.core.keep.hold(TRIGGER).map_err(Refusal::Full)?;
            let start = |generation| self.start(id, generation, held);
            let entry = match self.core.directory.find_or_start(id, start).map_err(Refusal::Full)? {
                Found::Live(entry) => entry,
                Found::Ended(remains) => {
                    answer_ended(remains.as_deref(), message);
                    return Ok(());
                }
            };
            match entry.inbox.send(message).await {
                Ok(()) => return Ok(()),
                // The task was just going. The next look finds that.
                Err(back) => message = back.0,
            }
        }
    }

    fn start(&self, id: &TriggerId, generation: u64, held: Held) -> Entry {
        let config = &self.core.config;
        let (inbox, messages) = mpsc::channel(INBOX);
        let progress = ProgressLog::new(&self.core.keep, config.progress_events, config.progress_bytes);
        let (shown, glance) = watch::channel(Glance { state: TriggerState::Idle, since: Instant::now() });
        let core = Arc::clone(&self.core);
        let trigger = Trigger::new(core, id.clone(), generation, messages, progress.clone(), shown, held);
        self.core.tasks.spawn(trigger.run());
        Entry { inbox, progress, glance }
    }
}

impl Core {
    /// Tells the followers of a trigger when files arrive that the store keeps for later, as long as the trigger lives.
    pub(crate) fn announce(
        self: &Arc<Self>,
        progress: &ProgressLog,
        tool_call_id: Option<&str>,
        arrivals: Vec<Awaited>,
    ) {
        for Awaited { mut file, id, arrival } in arrivals {
            let (core, progress) = (Arc::clone(self), progress.clone());
            let tool_call_id = tool_call_id.map(str::to_owned);
            self.tasks.spawn(async move {
                let arrived = tokio::select! {
                    arrived = arrival.wait() => arrived,
                    () = progress.ended() => None,
                    () = core.draining.cancelled() => None,
                };
                if arrived.is_some()
                    && let Ok(signed) = core.store.url(&id).await
                {
                    file.state = OutputFileState::Stored { id: id.to_string(), url: signed.url };
                    let file = serde_json::to_value(&file).unwrap_or_default();
                    progress.push(ProgressKind::FileAvailable { tool_call_id, file });
                }
            });
        }
    }
}

/// Why a trigger is not started.
enum Refusal {
    ShuttingDown,
    Full(Shortage),
}
