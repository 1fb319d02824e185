//! A driver whose sandboxes are tasks in memory, for tests of what stands above drivers.
//!
//! [`FakeDriver`] implements [`Driver`] in full: its sandboxes speak init's protocol over an in-memory stream, have
//! files, limits of disk and time, and run [`Program`]s. Time passes only in tokio's clock, so under
//! `#[tokio::test(start_paused = true)]` a timeout of minutes takes no time. What it is not: a wall. It isolates
//! nothing and runs no real code.
//!
//! ```ignore
//! #[tokio::test(start_paused = true)]
//! async fn a_call_that_takes_too_long_is_ended() {
//!     let driver = FakeDriver::new();
//!     let code = Program::new().stdout("begun\n").sleep(Duration::from_secs(60)).script();
//!     // … give `Arc::new(driver.clone())` to a runner, run `code` as octavus_code_run with a timeout of 1 s …
//!     assert_eq!(driver.sandboxes()[0].execs[0].termination, Some(Termination::TimedOut));
//!     assert_eq!(driver.live(), 0);
//! }
//! ```
//!
//! How a fake finds out what an exec means, in this order, for each word of `argv`: the word is a program's text
//! (`bash -c SCRIPT`); it holds a text registered with [`FakeDriver::on_script`]; it is the path of a file in the
//! sandbox with such content (`python3 /tmp/code/1.py`, a skill's script). Else `true`, `false`, `env` and
//! `python3 -c pass` do what they say, an unknown script of a known interpreter exits with 127 and says so, and an
//! unknown `argv[0]` is not found.
//!
//! Clones are the same driver; the last one to be dropped ends its sandboxes.

mod files;
mod init;
mod process;
mod program;
mod state;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use crate::{
    Check, CheckState, Created, Driver, DriverError, DriverErrorKind, Handle, PendingMemory, Reaped,
    SandboxId, SandboxSpec, layout,
};

pub use self::program::Program;
pub use self::state::{FakeExec, FakeSandbox, FakeState, Fault, Operation, Request};

use self::init::Init;
use self::state::{Cell, Plan, lock};

/// Bytes on their way in each direction of a fake stream.
const STREAM_BUFFER: usize = 64 * 1024;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct FakeDriver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    plan: Arc<Mutex<Plan>>,
    cells: Mutex<Vec<Arc<Cell>>>,
    tasks: Mutex<JoinSet<()>>,
    create_delay: Mutex<Duration>,
    destroy_delay: Mutex<Duration>,
    shut_down: Mutex<bool>,
}

impl FakeDriver {
    /// A driver without sandboxes and without plans.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next `create` that has no plan yet fails so.
    pub fn fail_next_create(&self, kind: DriverErrorKind) {
        lock(&self.shared.plan).create_errors.push(kind);
    }

    /// Every `create` from now on takes this long, and fails only then where it is to fail.
    pub fn set_create_delay(&self, delay: Duration) {
        *lock(&self.shared.create_delay) = delay;
    }

    /// The next `destroy` that has no plan yet fails so; its sandbox is gone all the same.
    pub fn fail_next_destroy(&self, kind: DriverErrorKind) {
        lock(&self.shared.plan).destroy_errors.push(kind);
    }

    /// Every `destroy` from now on takes this long.
    pub fn set_destroy_delay(&self, delay: Duration) {
        *lock(&self.shared.destroy_delay) = delay;
    }

    /// The next request of this kind, of whatever sandbox, goes wrong in this way. Plans add up.
    pub fn fail_next(&self, request: Request, fault: Fault) {
        lock(&self.shared.plan).faults.push((request, fault));
    }

    /// A script (or inline code) that contains this text runs this program; the first match counts.
    pub fn on_script(&self, contains: impl Into<String>, program: Program) {
        lock(&self.shared.plan).scripts.push((contains.into(), program));
    }

    /// All sandboxes that were made, in order, as they are now.
    #[must_use]
    pub fn sandboxes(&self) -> Vec<FakeSandbox> {
        lock(&self.shared.cells).iter().map(|cell| cell.seen()).collect()
    }

    /// How many were made.
    #[must_use]
    pub fn created(&self) -> usize {
        lock(&self.shared.cells).len()
    }

    /// How many are alive.
    #[must_use]
    pub fn live(&self) -> usize {
        self.count(FakeState::Alive)
    }

    /// How many were properly destroyed.
    #[must_use]
    pub fn destroyed(&self) -> usize {
        self.count(FakeState::Destroyed)
    }

    /// All programs of all sandboxes, sandbox by sandbox.
    #[must_use]
    pub fn execs(&self) -> Vec<FakeExec> {
        self.sandboxes().into_iter().flat_map(|sandbox| sandbox.execs).collect()
    }

    /// Content of a file in the newest sandbox of this name, dead or alive, links followed.
    #[must_use]
    pub fn file(&self, id: &SandboxId, path: &str) -> Option<Vec<u8>> {
        let cells = lock(&self.shared.cells);
        let cell = cells.iter().rev().find(|cell| cell.seen().spec.id == *id)?;
        cell.files(|files| files.read(path.as_bytes())).ok()
    }

    fn count(&self, state: FakeState) -> usize {
        self.sandboxes().iter().filter(|sandbox| sandbox.state == state).count()
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Created, DriverError> {
        if *lock(&self.shared.shut_down) {
            return Err(DriverError::new(DriverErrorKind::Busy, "the fake driver was shut down"));
        }
        let planned = take_first(&mut lock(&self.shared.plan).create_errors);
        let delay = *lock(&self.shared.create_delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(kind) = planned {
            return Err(DriverError::new(kind, "planned by the test"));
        }
        let cell = Arc::new(Cell::new(spec, Arc::clone(&self.shared.plan)));
        lock(&self.shared.cells).push(Arc::clone(&cell));
        let (ours, theirs) = tokio::io::duplex(STREAM_BUFFER);
        let init = Init::new(theirs, Arc::clone(&cell));
        let (alive, ended) = oneshot::channel::<()>();
        let mut tasks = lock(&self.shared.tasks);
        // Forget those that are over, so that thousands of sandboxes leave nothing.
        while tasks.try_join_next().is_some() {}
        let task = {
            let cell = Arc::clone(&cell);
            tasks.spawn(async move {
                // Dropped with the task, however that ends.
                let alive = alive;
                init.run().await;
                cell.set_state(FakeState::Ended);
                drop(alive);
            })
        };
        let handle = FakeHandle { cell, task, ended: Some(ended), shared: Arc::downgrade(&self.shared) };
        Ok(Created {
            stream: Box::new(ours),
            handle: Box::new(handle),
            uid: layout::USER_ID,
            shares_uid: false,
            allow_missing_landlock: true,
        })
    }

    async fn reap(&self) -> Result<Reaped, DriverError> {
        Ok(Reaped::default())
    }

    async fn checks(&self) -> Vec<Check> {
        vec![Check {
            name: "fake sandboxes".to_owned(),
            state: CheckState::Good,
            detail: "in memory; for tests".to_owned(),
            remedy: None,
        }]
    }

    async fn shutdown(&self) -> Result<(), DriverError> {
        *lock(&self.shared.shut_down) = true;
        let mut tasks = std::mem::take(&mut *lock(&self.shared.tasks));
        tasks.shutdown().await;
        for cell in lock(&self.shared.cells).iter() {
            cell.set_state(FakeState::Destroyed);
        }
        Ok(())
    }
}

/// The hold on one fake sandbox.
#[derive(Debug)]
struct FakeHandle {
    cell: Arc<Cell>,
    task: AbortHandle,
    /// Resolves when the task is gone; `None` once `destroy` has begun.
    ended: Option<oneshot::Receiver<()>>,
    shared: std::sync::Weak<Shared>,
}

#[async_trait]
impl Handle for FakeHandle {
    fn memory(&self, _: Duration) -> PendingMemory {
        let counts = self.cell.memory();
        Box::pin(async move { Ok(counts) })
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), DriverError> {
        self.task.abort();
        if let Some(ended) = self.ended.take() {
            // Nothing is ever sent: the error that the sender is gone is the news.
            let _ = ended.await;
        }
        let (planned, delay) = match self.shared.upgrade() {
            Some(shared) => {
                (take_first(&mut lock(&shared.plan).destroy_errors), *lock(&shared.destroy_delay))
            }
            None => (None, Duration::ZERO),
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.cell.set_state(FakeState::Destroyed);
        match planned {
            Some(kind) => Err(DriverError::new(kind, "planned by the test")),
            None => Ok(()),
        }
    }
}

impl Drop for FakeHandle {
    fn drop(&mut self) {
        self.task.abort();
        self.cell.set_state(FakeState::Dropped);
    }
}

fn take_first<T>(planned: &mut Vec<T>) -> Option<T> {
    if planned.is_empty() { None } else { Some(planned.remove(0)) }
}

#[cfg(test)]
mod tests;
