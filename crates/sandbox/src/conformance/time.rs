//! Time: every call ends within its limit and a second, and takes all that it started with it (P5).

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::harness::{
    SLACK, assert_within, create, destroy, exec, list, request, run, sandbox, slow, spec, still_works,
    succeed, words,
};
use crate::fake::Program;
use crate::{Driver, FileErrorKind, StreamKind, Termination};

const MINUTE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(400);

/// P5: whatever a program does against it.
pub async fn programs_end_at_their_limit(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let sleeper = || Program::new().sleep(MINUTE);
    let programs = [
        ("obeys SIGTERM", sleeper()),
        ("ignores SIGTERM", Program::new().ignore_sigterm().sleep(MINUTE)),
        ("is stopped", Program::new().stop()),
        ("forks", Program::new().children(40).ignore_sigterm().sleep(MINUTE)),
        (
            "waits for a daemon",
            Program::new().daemon(Program::new().ignore_sigterm().sleep(MINUTE)).sleep(MINUTE),
        ),
        ("floods", Program::new().flood(StreamKind::Stdout, None)),
        ("ignores SIGTERM and floods", Program::new().ignore_sigterm().flood(StreamKind::Stderr, None)),
        (
            "cleans up for ever",
            Program::new().on_sigterm(Program::new().ignore_sigterm().sleep(MINUTE)).sleep(MINUTE),
        ),
    ];
    for (what, program) in programs {
        let mut request = request(Program::new().stdout("begun\n").then(program).argv());
        request.timeout = slow(SHORT);
        let begun = Instant::now();
        let outcome = exec(&mut sandbox, &request).await;
        assert_within(begun.elapsed(), SHORT + SLACK, what);
        assert_eq!(outcome.termination, Termination::TimedOut, "a program that {what}: {outcome:?}");
        assert!(outcome.stdout.head.starts_with("begun\n"), "a program that {what}: {:?}", outcome.stdout);
        assert!(begun.elapsed() >= slow(SHORT), "a program that {what} ended too early");
        still_works(&mut sandbox).await;
    }
    destroy(sandbox).await;
}

/// P5, P15: a program that dies of SIGTERM or exits with 124 by itself has not timed out.
pub async fn only_a_timeout_is_called_one(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    assert_eq!(run(&mut sandbox, &Program::new().signal(15)).await.termination, Termination::Signaled(15));
    assert_eq!(run(&mut sandbox, &Program::new().exit(124)).await.termination, Termination::Exited(124));
    let mut request = request(Program::new().sleep(Duration::from_millis(50)).exit(3).argv());
    request.timeout = slow(Duration::from_secs(3));
    let outcome = exec(&mut sandbox, &request).await;
    assert_eq!(outcome.termination, Termination::Exited(3));
    assert!(
        outcome.usage.wall >= Duration::from_millis(50) && outcome.usage.wall < slow(Duration::from_secs(3))
    );
    destroy(sandbox).await;
}

/// P10: at its limit a program may still save something, and that is there afterwards.
pub async fn sigterm_leaves_time_to_save(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let save = Program::new().write("/output/partial", "half").stderr("saved\n").exit(0);
    let mut request =
        request(Program::new().on_sigterm(save).write("/output/early", "x").sleep(MINUTE).argv());
    request.timeout = slow(SHORT);
    let outcome = exec(&mut sandbox, &request).await;
    // Bash may first say that its own child was terminated.
    assert!(
        outcome.termination == Termination::TimedOut && outcome.stderr.head.ends_with("saved\n"),
        "{outcome:?}"
    );
    let mut names: Vec<_> = list(&mut sandbox).await.entries.into_iter().map(|entry| entry.path).collect();
    names.sort();
    assert_eq!(names, [b"early".to_vec(), b"partial".to_vec()]);
    destroy(sandbox).await;
}

/// A call ends with its program, and nothing that it started lives on: not in the background, not as a daemon in a
/// session of its own that holds the streams, not while it ignores signals.
pub async fn children_die_with_their_call(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let late = |path: &str| Program::new().ignore_sigterm().sleep(Duration::from_secs(3)).write(path, "late");
    let program = Program::new()
        .background(late("/workspace/child"))
        .daemon(late("/workspace/daemon"))
        .children(10)
        .stdout("done\n")
        .exit(5);
    let begun = Instant::now();
    let outcome = run(&mut sandbox, &program).await;
    assert_eq!((outcome.termination, outcome.stdout.head.as_str()), (Termination::Exited(5), "done\n"));
    // Far less than the children wanted to live.
    assert_within(begun.elapsed(), Duration::from_secs(10), "a call whose children sleep");
    succeed(&mut sandbox, &Program::new().sleep(Duration::from_secs(4))).await;
    for path in ["/workspace/child", "/workspace/daemon"] {
        let found = sandbox.read(&super::harness::path(path), 0, 9).await.expect("an answer");
        assert_eq!(
            found.map_err(|error| error.kind),
            Err(FileErrorKind::NotFound),
            "{path} was written after the end"
        );
    }
    destroy(sandbox).await;
}

/// A cancelled program ends at once, even one that resists; what it printed before is there.
pub async fn a_cancelled_program_ends_at_once(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let program = Program::new().ignore_sigterm().children(3).stdout("begun\n").sleep(MINUTE);
    let cancel = CancellationToken::new();
    let mut cancelled = None;
    let outcome = sandbox
        .exec(&request(program.argv()), &cancel, &mut |_, _| {
            cancel.cancel();
            cancelled = Some(Instant::now());
        })
        .await
        .expect("an outcome");
    let since = cancelled.expect("output came").elapsed();
    assert_eq!((outcome.termination, outcome.stdout.head.as_str()), (Termination::Cancelled, "begun\n"));
    assert_within(since, SLACK, "a cancelled program");
    still_works(&mut sandbox).await;
    // A token that fired before the start ends the program too.
    let begun = Instant::now();
    let request = request(Program::new().sleep(MINUTE).argv());
    let outcome = sandbox.exec(&request, &cancel, &mut |_, _| {}).await.expect("an outcome");
    assert_eq!(outcome.termination, Termination::Cancelled);
    assert_within(begun.elapsed(), SLACK, "a program cancelled before its start");
    still_works(&mut sandbox).await;
    destroy(sandbox).await;
}

/// A cancelled program may save what it has, within the grace period.
pub async fn a_cancelled_program_may_save(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let save = Program::new().write("/output/partial", "half").exit(0);
    let program = Program::new().on_sigterm(save).stdout("begun\n").sleep(MINUTE);
    let cancel = CancellationToken::new();
    let exec = sandbox.exec(&request(program.argv()), &cancel, &mut |_, _| cancel.cancel()).await;
    assert_eq!(exec.expect("an outcome").termination, Termination::Cancelled);
    let names: Vec<_> = list(&mut sandbox).await.entries.into_iter().map(|entry| entry.path).collect();
    assert_eq!(names, [b"partial".to_vec()]);
    destroy(sandbox).await;
}

/// A call gets what is left of the sandbox's lifetime at most, and what it saved can still be handed out.
pub async fn no_program_outlives_the_sandbox(driver: &dyn Driver) {
    let mut spec = spec();
    spec.lifetime = Duration::from_millis(1500);
    let begun = Instant::now();
    let mut sandbox = create(driver, &spec).await;
    let program = Program::new().write("/output/saved", "x").ignore_sigterm().sleep(MINUTE);
    let outcome = exec(&mut sandbox, &request(program.argv())).await;
    assert_eq!(outcome.termination, Termination::TimedOut);
    assert_within(begun.elapsed(), spec.lifetime + SLACK, "a call in a sandbox whose lifetime is over");
    assert_eq!(sandbox.remaining(), Duration::ZERO);
    assert_eq!(list(&mut sandbox).await.entries.len(), 1);
    destroy(sandbox).await;
}

/// P5: the kernel needs a second and more to take apart a process with very many mappings, and that is not added to the
/// call: what is left runs nothing any more. The next call works.
pub async fn many_mappings_do_not_delay_the_end(driver: &dyn Driver) {
    let code = "import ctypes, os, signal\n\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        mmap = ctypes.CDLL(None).mmap\n\
        for number in range(60000):\n    \
            mmap(None, 4096, 1 + number % 2 * 2, 0x22, -1, 0)\n\
        for _ in range(9):\n    \
            if os.fork() == 0: break\n\
        print('mapped', flush=True)\n\
        signal.pause()";
    let mut sandbox = sandbox(driver).await;
    let limit = Duration::from_secs(8);
    let mut request = request(words(&["python3", "-c", code]));
    request.timeout = slow(limit);
    let begun = Instant::now();
    let outcome = exec(&mut sandbox, &request).await;
    assert_within(begun.elapsed(), limit + SLACK, "a program with 600,000 mappings");
    assert_eq!(outcome.termination, Termination::TimedOut, "{outcome:?}");
    assert_eq!(outcome.stdout.head, "mapped\n".repeat(10), "{outcome:?}");
    still_works(&mut sandbox).await;
    destroy(sandbox).await;
}
