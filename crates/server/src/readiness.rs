//! Whether tool calls would work now: a sandbox has run a program, the store takes files, and no shutdown is under way.
//!
//! The proof is one real call of the code tool through the runner, on a trigger of its own that is ended afterwards. It
//! is repeated until it works once. The store is asked when somebody asks us, but not more often than every other second:
//! the question needs no token, so it must cost nothing to be asked it in a loop.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use runner::{CallRequest, Runner, TriggerId};
use sandbox::CheckState;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tool::{ToolCall, ToolName};
use uuid::Uuid;

use crate::problem::chain;

/// Longest time for one proof; a sandbox takes a few milliseconds, or seconds where an image must come first.
const PROOF: Duration = Duration::from_secs(60);
/// Time between two proofs, doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the word of the store and the driver counts, since anyone may ask.
const FRESH: Duration = Duration::from_secs(2);
/// How long the store is waited for.
const STORE_WAIT: Duration = Duration::from_secs(2);
/// How long the driver is waited for.
const DRIVER_WAIT: Duration = Duration::from_secs(5);

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Readiness {
    proven: watch::Sender<bool>,
    /// What the last proof failed with.
    failure: Mutex<Option<&'static str>>,
    /// Names of walls that are weaker here than promised.
    weak_walls: Mutex<Vec<String>>,
    parts: tokio::sync::Mutex<Option<(Instant, PartsWork)>>,
    draining: AtomicBool,
}

/// Whether the parts below the runner work at the moment.
#[derive(Clone, Copy, Debug)]
struct PartsWork {
    store: bool,
    driver: bool,
}

/// The verdict. `reasons` is empty where it is ready.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) reasons: Vec<&'static str>,
    pub(crate) weak_walls: Vec<String>,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self {
            proven: watch::Sender::new(false),
            failure: Mutex::default(),
            weak_walls: Mutex::default(),
            parts: tokio::sync::Mutex::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on not ready any more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Waits until a sandbox has run a program.
    pub(crate) async fn proven(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.proven.subscribe().wait_for(|proven| *proven).await;
    }

    pub(crate) async fn verdict(&self, runner: &Runner) -> Verdict {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Relaxed) || !runner.load().accepting {
            reasons.push("the runner is shutting down");
        }
        if !*self.proven.borrow() {
            let failure = *self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            reasons.push(failure.unwrap_or("no sandbox has run a program yet"));
        }
        let parts = self.parts_work(runner).await;
        if !parts.store {
            reasons.push("the artifact store does not take files");
        }
        if !parts.driver {
            reasons.push("the driver makes no sandboxes any more");
        }
        let weak_walls = self.weak_walls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Verdict { reasons, weak_walls }
    }

    /// Tries until a sandbox has run a program.
    pub(crate) async fn prove(&self, runner: &Runner) {
        // One that hangs fails the proof as well.
        let checks = timeout(PROOF, runner.driver().checks()).await.unwrap_or_default();
        let weak = checks.into_iter().filter(|check| check.state == CheckState::Weak);
        *self.weak_walls.lock().unwrap_or_else(PoisonError::into_inner) =
            weak.map(|check| check.name).collect();
        let mut pause = FIRST_PAUSE;
        while let Err(failure) =
            timeout(PROOF, run_program(runner)).await.unwrap_or(Err("a sandbox took too long"))
        {
            tracing::warn!(failure, again_in = ?pause, "not ready");
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        tracing::info!("a sandbox has run a program");
        self.proven.send_replace(true);
    }

    async fn parts_work(&self, runner: &Runner) -> PartsWork {
        let mut known = self.parts.lock().await;
        if let Some((asked, works)) = *known
            && asked.elapsed() < FRESH
        {
            return works;
        }
        let works = PartsWork { store: store_works(runner).await, driver: driver_works(runner).await };
        *known = Some((Instant::now(), works));
        works
    }
}

async fn store_works(runner: &Runner) -> bool {
    match timeout(STORE_WAIT, runner.store().check()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(error = chain(&error), "the artifact store's check failed");
            false
        }
        Err(_) => {
            tracing::error!("the artifact store's check took too long");
            false
        }
    }
}

async fn driver_works(runner: &Runner) -> bool {
    match timeout(DRIVER_WAIT, runner.driver().checks()).await {
        Ok(checks) => checks.iter().all(|check| check.state != CheckState::Missing),
        Err(_) => {
            tracing::error!("the driver's checks took too long");
            false
        }
    }
}

/// `python3 -c pass`, as a tool call.
async fn run_program(runner: &Runner) -> Result<(), &'static str> {
    let name = format!("readiness-{}", Uuid::new_v4());
    let trigger = TriggerId::parse(&name).map_err(|_| "no trigger could be named")?;
    let call = ToolCall {
        tool_call_id: "readiness".to_owned(),
        tool_name: runner.config().tool_prefix.name(ToolName::CodeRun),
        args: json!({"language": "python", "code": "pass"}),
        source: None,
        output_variable: None,
        block_index: None,
    };
    let answered = match runner.submit(&trigger, CallRequest::new(call)).await {
        Ok(pending) => pending.await,
        Err(refused) => Err(refused),
    };
    runner.end(&trigger).await;
    let answer = answered.map_err(|error| {
        tracing::warn!(error = chain(&error), "the call that proves readiness was refused");
        "no sandbox could be asked for"
    })?;
    match (&answer.answer.code, answer.report.program.map(|program| program.exit_code)) {
        (None, Some(0)) => Ok(()),
        (Some(_), _) => Err("no sandbox could be started"),
        (None, _) => Err("Python does not run in the sandbox"),
    }
}
