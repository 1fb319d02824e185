//! What cases have in common: sandboxes of their own, requests with sensible values, and attacks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::fake::Program;
use crate::{
    Driver, ExecOutcome, ExecRequest, Limits, Listing, Sandbox, SandboxError, SandboxId, SandboxPath,
    SandboxSpec, StreamKind, Termination,
};

/// How much longer than its limit a call may take (P5).
pub(super) const SLACK: Duration = Duration::from_secs(1);

/// How long the end of a sandbox may take (P7).
pub(super) const TEARDOWN: Duration = Duration::from_secs(2);

pub(super) const MIB: u64 = 1024 * 1024;

/// What attacks share: how they are tried and how they report.
const PRELUDE: &str = include_str!("attacks/prelude.py");

/// How many times slower than the machine of the promises' figures this one is: `SKILLBOX_CONFORMANCE_SLOWNESS`, 1 where
/// it is not set. For emulated machines, where the figures themselves say nothing.
pub(super) fn slowness() -> u32 {
    std::env::var("SKILLBOX_CONFORMANCE_SLOWNESS").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// A time that grows with [`slowness`].
pub(super) fn slow(time: Duration) -> Duration {
    time * slowness()
}

/// A specification with the standard limits and a name of its own.
pub(super) fn spec() -> SandboxSpec {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = SandboxId::new(format!("conformance-{}-{number}", std::process::id()));
    SandboxSpec {
        id: id.expect("letters, digits and hyphens"),
        limits: Limits::standard(),
        lifetime: slow(Duration::from_secs(120)),
        layers: Vec::new(),
    }
}

/// A sandbox with the standard limits.
pub(super) async fn sandbox(driver: &dyn Driver) -> Sandbox {
    create(driver, &spec()).await
}

/// A sandbox with some limits changed.
pub(super) async fn limited(driver: &dyn Driver, change: impl FnOnce(&mut Limits)) -> Sandbox {
    let mut spec = spec();
    change(&mut spec.limits);
    create(driver, &spec).await
}

pub(super) async fn create(driver: &dyn Driver, spec: &SandboxSpec) -> Sandbox {
    match Sandbox::create(driver, spec).await {
        Ok(sandbox) => sandbox,
        Err(error) => panic!("no sandbox: {}", chain(&error)),
    }
}

pub(super) async fn destroy(sandbox: Sandbox) {
    if let Err(error) = sandbox.destroy().await {
        panic!("not destroyed: {}", chain(&error));
    }
}

/// The request for a program; cases change what they are about.
pub(super) fn request(argv: Vec<String>) -> ExecRequest {
    let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    ExecRequest {
        argv,
        env: [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/tmp"), ("LANG", "C.UTF-8")]
            .map(variable)
            .to_vec(),
        cwd: "/workspace".to_owned(),
        stdin: None,
        timeout: slow(Duration::from_secs(20)),
        grace: Limits::GRACE,
        stream_limit: Some(100_000),
    }
}

pub(super) fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

/// Runs a request; what comes on the way is not looked at.
pub(super) async fn exec(sandbox: &mut Sandbox, request: &ExecRequest) -> ExecOutcome {
    match sandbox.exec(request, &CancellationToken::new(), &mut |_: StreamKind, _: &[u8]| {}).await {
        Ok(outcome) => outcome,
        Err(error) => panic!("no outcome: {}", chain(&error)),
    }
}

/// Runs a program.
pub(super) async fn run(sandbox: &mut Sandbox, program: &Program) -> ExecOutcome {
    exec(sandbox, &request(program.argv())).await
}

/// Runs a program that must end well, and gives what it printed.
pub(super) async fn succeed(sandbox: &mut Sandbox, program: &Program) -> String {
    let outcome = run(sandbox, program).await;
    assert_eq!(outcome.termination, Termination::Exited(0), "{program:?}: {outcome:?}");
    outcome.stdout.head
}

/// The sandbox still does what it is told.
pub(super) async fn still_works(sandbox: &mut Sandbox) {
    assert!(sandbox.is_usable(), "the sandbox is not usable any more");
    assert_eq!(succeed(sandbox, &Program::new().stdout("still here")).await, "still here");
}

pub(super) async fn list(sandbox: &mut Sandbox) -> Listing {
    match sandbox.list_output(100_000).await {
        Ok(listing) => listing,
        Err(error) => panic!("no listing: {}", chain(&error)),
    }
}

pub(super) fn path(text: &str) -> SandboxPath {
    SandboxPath::readable(text).expect("a path below a readable directory")
}

/// Writes a file through init.
pub(super) async fn write(sandbox: &mut Sandbox, to: &str, content: &[u8]) {
    match sandbox.write(&path(to), content).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("{to} could not be written: {error}"),
        Err(error) => panic!("{to} could not be written: {}", chain(&error)),
    }
}

/// Reads a whole file through init.
pub(super) async fn read(sandbox: &mut Sandbox, from: &str) -> Vec<u8> {
    match sandbox.read(&path(from), 0, u64::MAX).await {
        Ok(Ok(range)) => range.bytes,
        Ok(Err(error)) => panic!("{from} could not be read: {error}"),
        Err(error) => panic!("{from} could not be read: {}", chain(&error)),
    }
}

/// Whether a call that took `elapsed` kept its limit, with the time for SIGTERM inside the second that is allowed.
pub(super) fn assert_within(elapsed: Duration, limit: Duration, what: &str) {
    let limit = slow(limit);
    assert!(elapsed <= limit, "{what}: took {elapsed:?}, allowed are {limit:?}");
}

/// Runs Python attacks and wants each of them blocked.
pub(super) async fn blocked(sandbox: &mut Sandbox, attacks: &str) {
    blocked_with(sandbox, attacks, &[]).await;
}

/// The same with some more environment, for what an attack must know of the host.
pub(super) async fn blocked_with(sandbox: &mut Sandbox, attacks: &str, env: &[(&str, String)]) {
    let mut request = request(words(&["python3", "-"]));
    request.stdin = Some(Bytes::from(format!("{PRELUDE}\n{attacks}\nfinish()\n")));
    request.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let outcome = exec(sandbox, &request).await;
    let text = format!("{}{}\n{}", outcome.stdout.head, outcome.stdout.tail, outcome.stderr.head);
    let mut tried = 0;
    let mut bad = Vec::new();
    let mut finished = None;
    for line in outcome.stdout.head.lines() {
        if let Some(count) = line.strip_prefix("finished: ") {
            finished = count.parse().ok();
            continue;
        }
        tried += 1;
        // The first verdict counts: what comes behind it are words of the attack.
        let verdict = |verdict: &str| line.find(verdict).unwrap_or(usize::MAX);
        if verdict(": blocked (") >= verdict(": open (").min(verdict(": broken (")) {
            bad.push(line);
        }
    }
    assert!(bad.is_empty(), "open: {bad:#?}\nall: {text}");
    assert_eq!(
        (outcome.termination, finished),
        (Termination::Exited(0), Some(tried)),
        "did not finish: {text}"
    );
    assert!(tried > 0, "nothing was tried: {text}");
}

/// An error with its causes.
fn chain(error: &SandboxError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
