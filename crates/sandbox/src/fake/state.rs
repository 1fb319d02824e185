//! What a fake sandbox shares with the test that watches it: plans for faults, records of deeds, and its files.

use std::sync::{Mutex, MutexGuard, PoisonError};

use init_protocol::{Exec, FailKind};

use super::files::FileSystem;
use super::program::Program;
use crate::{DriverErrorKind, MemoryUse, SandboxSpec, Termination};

/// A kind of request that a [`Fault`] can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The greeting at creation.
    Hello,
    /// A tar is put.
    Put,
    /// A file is written.
    Write,
    /// A program is run.
    Exec,
    /// A file is read.
    Read,
    /// `/output` is listed.
    ListOutput,
    /// Output files are fetched.
    Fetch,
}

/// What goes wrong instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sandbox dies before it does anything.
    Dies,
    /// The sandbox dies after the program's first output, or as soon as the program waits. Only for
    /// [`Request::Exec`]; else as [`Fault::Dies`].
    DiesMidway,
    /// The sandbox takes the request and never answers.
    Silent,
    /// The sandbox sends bytes that are no frame.
    BrokenFrame,
    /// The sandbox answers with another request's id.
    WrongAnswer,
    /// Init says that it could not, and is not to be used any further.
    Fails(FailKind),
}

/// What a sandbox was asked to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A tar was put below a directory.
    Put {
        /// The directory.
        directory: String,
    },
    /// A file was written.
    Write {
        /// Its path.
        path: String,
        /// Its size in bytes.
        size: usize,
    },
    /// A program was run: [`FakeSandbox::execs`] at this index.
    Exec(usize),
    /// A file was read.
    Read {
        /// Its path.
        path: String,
    },
    /// A directory was listed.
    List {
        /// Which.
        directory: String,
    },
    /// Output files were fetched.
    Fetch {
        /// How many.
        files: usize,
    },
}

/// A program that a sandbox was asked to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeExec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: String,
    /// Standard input; empty where none was given.
    pub stdin: Vec<u8>,
    /// Milliseconds until SIGTERM.
    pub timeout_ms: u64,
    /// What the fake took it for; `None` where nothing could be started.
    pub program: Option<Program>,
    /// How it ended; `None` while it runs, where it could not be started, and where the sandbox broke down.
    pub termination: Option<Termination>,
}

/// Where a fake sandbox is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FakeState {
    /// It lives.
    Alive,
    /// It ended by itself (lifetime, closed stream, fault) and nobody has destroyed it yet.
    Ended,
    /// Its handle was dropped without `destroy`. A runner that does this has a bug, although nothing leaks.
    Dropped,
    /// It was destroyed.
    Destroyed,
}

/// What there is to know of a fake sandbox.
#[derive(Clone, Debug)]
pub struct FakeSandbox {
    /// What was asked for.
    pub spec: SandboxSpec,
    /// Where it is in its life.
    pub state: FakeState,
    /// What it was asked to do.
    pub operations: Vec<Operation>,
    /// The programs it was asked to run.
    pub execs: Vec<FakeExec>,
    /// Most programs that ran at once: 1 unless something is wrong.
    pub max_running: usize,
}

/// What all sandboxes of one fake driver share.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create_errors: Vec<DriverErrorKind>,
    pub(super) destroy_errors: Vec<DriverErrorKind>,
    pub(super) faults: Vec<(Request, Fault)>,
    pub(super) scripts: Vec<(String, Program)>,
}

/// One fake sandbox as its init, its handle and the test see it.
#[derive(Debug)]
pub(super) struct Cell {
    plan: std::sync::Arc<Mutex<Plan>>,
    inner: Mutex<Inner>,
    files: Mutex<FileSystem>,
}

#[derive(Debug)]
struct Inner {
    seen: FakeSandbox,
    running: usize,
    dies_midway: bool,
    memory: MemoryUse,
}

impl Cell {
    pub(super) fn new(spec: &SandboxSpec, plan: std::sync::Arc<Mutex<Plan>>) -> Self {
        let seen = FakeSandbox {
            spec: spec.clone(),
            state: FakeState::Alive,
            operations: Vec::new(),
            execs: Vec::new(),
            max_running: 0,
        };
        let memory = MemoryUse { oom_kills: 0, peak_bytes: Some(0) };
        Self {
            plan,
            inner: Mutex::new(Inner { seen, running: 0, dies_midway: false, memory }),
            files: Mutex::new(FileSystem::new(spec.limits.clone())),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    pub(super) fn files<T>(&self, act: impl FnOnce(&mut FileSystem) -> T) -> T {
        act(&mut lock(&self.files))
    }

    pub(super) fn seen(&self) -> FakeSandbox {
        self.inner().seen.clone()
    }

    pub(super) fn memory(&self) -> MemoryUse {
        self.inner().memory
    }

    /// Moves on in life; what came first stays, but for an ended one that is destroyed or dropped.
    pub(super) fn set_state(&self, state: FakeState) {
        let seen = &mut self.inner().seen;
        if matches!(seen.state, FakeState::Alive | FakeState::Ended) {
            seen.state = state;
        }
    }

    pub(super) fn record(&self, operation: Operation) {
        self.inner().seen.operations.push(operation);
    }

    pub(super) fn record_exec(&self, exec: &Exec, stdin: &[u8], program: Option<&Program>) {
        let seen = &mut self.inner().seen;
        seen.operations.push(Operation::Exec(seen.execs.len()));
        seen.execs.push(FakeExec {
            argv: exec.argv.clone(),
            env: exec.env.clone(),
            cwd: exec.cwd.clone(),
            stdin: stdin.to_vec(),
            timeout_ms: exec.timeout_ms,
            program: program.cloned(),
            termination: None,
        });
    }

    pub(super) fn exec_begins(&self) {
        let mut inner = self.inner();
        inner.running += 1;
        inner.seen.max_running = inner.seen.max_running.max(inner.running);
    }

    pub(super) fn exec_ends(&self, termination: Option<init_protocol::Termination>) {
        let mut inner = self.inner();
        inner.running -= 1;
        inner.dies_midway = false;
        if let Some(exec) = inner.seen.execs.last_mut() {
            exec.termination = termination.map(|termination| match termination {
                init_protocol::Termination::Exited(code) => Termination::Exited(code),
                init_protocol::Termination::Signaled(signal) => Termination::Signaled(signal),
                init_protocol::Termination::TimedOut => Termination::TimedOut,
                init_protocol::Termination::Killed => Termination::Cancelled,
            });
        }
    }

    pub(super) fn out_of_memory(&self) {
        let mut inner = self.inner();
        inner.memory.oom_kills += 1;
        inner.memory.peak_bytes = Some(inner.seen.spec.limits.memory_bytes);
    }

    pub(super) fn plan_death(&self) {
        self.inner().dies_midway = true;
    }

    pub(super) fn dies_midway(&self) -> bool {
        self.inner().dies_midway
    }

    pub(super) fn take_fault(&self, kind: Request) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        let index = plan.faults.iter().position(|(planned, _)| *planned == kind)?;
        Some(plan.faults.remove(index).1)
    }

    /// The program that a test has registered for texts like this.
    pub(super) fn scripted(&self, text: &str) -> Option<Program> {
        let plan = lock(&self.plan);
        plan.scripts.iter().find(|(part, _)| text.contains(part.as_str())).map(|(_, program)| program.clone())
    }
}

/// A panic while a lock was held is the test's failure already; the data is still good to look at.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
