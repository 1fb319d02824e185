//! Ordinary work behind the walls: what skills do every day must simply go well (P1).

use super::harness::{destroy, exec, read, request, sandbox, words, write};
use crate::{Driver, Termination};

const PYTHON: &str = concat!(include_str!("attacks/prelude.py"), "\n", include_str!("attacks/ordinary.py"));
const SHELL: &str = include_str!("attacks/ordinary.sh");

/// P1: processes, threads, multiprocessing, databases, sockets on loopback, archives, files of all kinds.
pub async fn ordinary_python_works(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    // A file, because processes that Python spawns read the main module again.
    write(&mut sandbox, "/workspace/ordinary.py", PYTHON.as_bytes()).await;
    let mut request = request(words(&["python3", "/workspace/ordinary.py"]));
    request.env.push(("TZ".to_owned(), "UTC".to_owned()));
    let outcome = exec(&mut sandbox, &request).await;
    let text = format!("{}\n{}", outcome.stdout.head, outcome.stderr.head);
    let bad: Vec<&str> = outcome.stdout.head.lines().filter(|line| line.contains(": open")).collect();
    assert!(bad.is_empty(), "does not work: {bad:#?}\nall: {text}");
    assert!(text.contains("\nfinished: "), "did not finish: {text}");
    assert_eq!(outcome.termination, Termination::Exited(0), "{text}");
    destroy(sandbox).await;
}

/// P1: pipelines, substitutions, here-documents, jobs, traps, scripts of its own, git where it is installed.
pub async fn ordinary_shell_works(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let outcome = exec(&mut sandbox, &request(words(&["bash", "-c", SHELL]))).await;
    let text = format!("{}\n{}", outcome.stdout.head, outcome.stderr.head);
    let bad: Vec<&str> = outcome.stdout.head.lines().filter(|line| line.starts_with("not ok")).collect();
    assert!(bad.is_empty(), "does not work: {bad:#?}\nall: {text}");
    assert!(outcome.stdout.head.ends_with("finished\n"), "did not finish: {text}");
    destroy(sandbox).await;
}

/// A program begins with every signal at its default and none blocked, whatever the runner was started with.
pub async fn signals_begin_as_usual(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let outcome =
        exec(&mut sandbox, &request(words(&["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]))).await;
    let none = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    assert_eq!(outcome.stdout.head, none, "{outcome:?}");
    destroy(sandbox).await;
}

/// What a script leaves at the end of its streams may write what it still has: nothing is lost at random.
pub async fn what_writes_to_the_streams_may_finish(driver: &dyn Driver) {
    let expected: String = (1..=2000).map(|number| format!("line {number}\n")).collect();
    let mut sandbox = sandbox(driver).await;
    for _ in 0..5 {
        for begin in ["exec > >(tee /output/log.txt) 2>&1", "exec > >(cat)"] {
            let code = format!("{begin}; for i in $(seq 2000); do echo line $i; done");
            let outcome = exec(&mut sandbox, &request(words(&["bash", "-c", &code]))).await;
            assert_eq!(outcome.termination, Termination::Exited(0));
            assert_eq!(outcome.stdout.head.len(), expected.len(), "{begin}: {:?}", outcome.stderr);
            assert_eq!(outcome.stdout.head, expected, "{begin}");
        }
        assert_eq!(read(&mut sandbox, "/output/log.txt").await, expected.as_bytes());
    }
    destroy(sandbox).await;
}
