//! The compiler of dependency layers: a sandbox like any other, which counts against the runner's sandboxes.
//!
//! Each batch of sources gets a sandbox of its own, in a task of its own, so that the sandbox is destroyed also when
//! nobody waits for the byte code any more.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use layer::{CompileError, Compiler};
use sandbox::{
    Driver, DriverErrorKind, ExecRequest, Limits, Owner, Sandbox, SandboxError, SandboxId, SandboxPath,
    SandboxSpec, Termination,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    environment::{self, Packages},
    fault::chain,
};

/// Longest time for one batch.
const BATCH: Duration = Duration::from_secs(60);

/// Longest time that is waited for a free sandbox.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Most bytes of byte code of one batch.
const CODE_BYTES: u64 = 96 * 1024 * 1024;

const SOURCES: &str = "/workspace/layer";
const RESULT: &str = "/output/byte-code.tar";

/// Compiles every source by itself, so that one that does not compile stays alone. `-d`-like names, since the directory
/// here is nobody's business; unchecked, since times change on the way.
const PROGRAM: &str = r#"
import importlib.util, os, py_compile, sys, tarfile
root, result = sys.argv[1:]
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
with tarfile.open(result, "w") as tar:
    for directory, _, names in os.walk(root):
        for name in names:
            source = os.path.join(directory, name)
            relative = os.path.relpath(source, root)
            try:
                py_compile.compile(source, "/tmp/code.pyc", "layer/" + relative, True, invalidation_mode=mode)
            except Exception:
                continue
            tar.add("/tmp/code.pyc", importlib.util.cache_from_source(relative))
"#;

/// Compiles in sandboxes of this driver.
pub(crate) struct SandboxCompiler {
    driver: Arc<dyn Driver>,
    sandboxes: Arc<Semaphore>,
    wait: Duration,
    tasks: TaskTracker,
}

impl fmt::Debug for SandboxCompiler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SandboxCompiler").field("driver", &self.driver.name()).finish_non_exhaustive()
    }
}

impl SandboxCompiler {
    pub(crate) fn new(
        driver: Arc<dyn Driver>,
        sandboxes: Arc<Semaphore>,
        wait: Duration,
        tasks: TaskTracker,
    ) -> Self {
        Self { driver, sandboxes, wait: wait.min(MAX_WAIT), tasks }
    }
}

#[async_trait]
impl Compiler for SandboxCompiler {
    async fn compile(&self, sources: Vec<u8>) -> Result<Vec<u8>, CompileError> {
        let permit = timeout(self.wait, Arc::clone(&self.sandboxes).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(CompileError::Busy) };
        let driver = Arc::clone(&self.driver);
        let cancel = CancellationToken::new();
        // Nobody waits any more: the program is ended, and then the sandbox in order.
        let guard = cancel.clone().drop_guard();
        let task = self.tasks.spawn(async move {
            let compiled = compile(&*driver, &sources, &cancel).await;
            drop(permit);
            compiled
        });
        let compiled = task.await;
        drop(guard);
        compiled.unwrap_or_else(|error| Err(CompileError::Failed { reason: error.to_string() }))
    }
}

async fn compile(
    driver: &dyn Driver,
    sources: &[u8],
    cancel: &CancellationToken,
) -> Result<Vec<u8>, CompileError> {
    let broken = |error: &SandboxError| match error {
        SandboxError::Driver { source, .. } if source.kind == DriverErrorKind::Busy => CompileError::Busy,
        _ => CompileError::Failed { reason: chain(error) },
    };
    let id = SandboxId::new(format!("sb-{}", uuid::Uuid::new_v4().simple()))
        .ok_or_else(|| CompileError::Failed { reason: "a sandbox id was not valid".to_owned() })?;
    let spec = SandboxSpec { id, limits: Limits::standard(), lifetime: BATCH * 2, layers: Vec::new() };
    let mut sandbox = Sandbox::create(driver, &spec).await.map_err(|error| broken(&error))?;
    let compiled = compile_in(&mut sandbox, sources, cancel).await;
    if let Err(error) = sandbox.destroy().await {
        tracing::error!(sandbox.id = %spec.id, error = chain(&error), "a sandbox could not be destroyed");
    }
    compiled.map_err(|error| match error {
        Stopped::Broken(error) => broken(&error),
        Stopped::Limit(reason) => CompileError::Limit { reason },
    })
}

enum Stopped {
    Broken(SandboxError),
    Limit(String),
}

impl From<SandboxError> for Stopped {
    fn from(error: SandboxError) -> Self {
        Self::Broken(error)
    }
}

async fn compile_in(
    sandbox: &mut Sandbox,
    sources: &[u8],
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Stopped> {
    sandbox.put(SOURCES, sources, Owner::User).await?.map_err(|error| Stopped::Limit(error.to_string()))?;
    let argv = ["python3", "-I", "-S", "-c", PROGRAM, SOURCES, RESULT].map(str::to_owned).to_vec();
    let request = ExecRequest {
        argv,
        env: environment::build(&[], None, &Packages::default()),
        cwd: "/tmp".to_owned(),
        stdin: None,
        timeout: BATCH,
        grace: Limits::GRACE,
        stream_limit: Some(1_000),
    };
    let outcome = sandbox.exec(&request, cancel, &mut |_, _| {}).await?;
    match outcome.termination {
        Termination::Exited(0) => {}
        Termination::TimedOut => return Err(Stopped::Limit(format!("{} s", BATCH.as_secs()))),
        _ if outcome.out_of_memory.is_some() => return Err(Stopped::Limit("memory".to_owned())),
        other => return Err(Stopped::Limit(format!("exit code {}", other.exit_code()))),
    }
    let path = SandboxPath::readable(RESULT).map_err(|error| Stopped::Limit(error.to_string()))?;
    let read =
        sandbox.read(&path, 0, CODE_BYTES).await?.map_err(|error| Stopped::Limit(error.to_string()))?;
    if read.size > CODE_BYTES {
        return Err(Stopped::Limit(format!("{CODE_BYTES} bytes of byte code")));
    }
    Ok(read.bytes)
}
