//! Ctrl-C once and twice, a reader that goes away, and that nothing is left of the sandbox in any case.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{
    remains::{Belongings, left},
    require::require,
    skillbox::command,
    wait::until,
};

/// Starts Bash code and reads its first line, so that it is known to run.
fn start(directory: &Path, code: &str, more: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut run = command();
    run.args(["code", "-l", "bash", "-c", code]).args(more).current_dir(directory);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    (child, stdout)
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

/// Waits for the end, and that nothing is left.
fn end(child: &mut Child, before: &Belongings, limit: Duration) -> Option<i32> {
    let status = until("skillbox ends", limit, || child.try_wait().unwrap());
    let pid = child.id();
    until("nothing is left", Duration::from_secs(10), || left(pid, before).is_empty().then_some(()));
    status.code()
}

#[test]
fn ctrl_c_once_ends_the_program_in_order() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let code =
        "trap '' INT; echo kept > /output/kept.txt; echo begun; while :; do read -t 1 < /dev/zero; done";
    let (mut child, mut stdout) = start(directory.path(), code, &[]);
    let before = Belongings::of(child.id());
    assert!(before.processes.len() >= 3, "launcher, init and program: {before:?}");
    interrupt(&child);
    assert_eq!(end(&mut child, &before, Duration::from_secs(10)), Some(130));
    // What it had saved by then is the user's.
    assert_eq!(fs::read_to_string(directory.path().join("output/kept.txt")).unwrap(), "kept\n");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
}

/// A program hears of it and may save what it has.
#[test]
fn ctrl_c_leaves_time_to_save() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let code = "trap 'echo half > /output/half.txt; exit' TERM; echo begun; sleep 60 & wait";
    let (mut child, _stdout) = start(directory.path(), code, &[]);
    let before = Belongings::of(child.id());
    interrupt(&child);
    assert_eq!(end(&mut child, &before, Duration::from_secs(10)), Some(130));
    assert_eq!(fs::read_to_string(directory.path().join("output/half.txt")).unwrap(), "half\n");
}

#[test]
fn ctrl_c_twice_ends_at_once() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let code = "trap '' TERM INT; echo begun; while :; do read -t 1 < /dev/zero; done";
    let (mut child, _stdout) = start(directory.path(), code, &[]);
    let before = Belongings::of(child.id());
    let start = Instant::now();
    // Two that come in one moment may be one: so again and again, until it has ended.
    let status = until("skillbox ends", Duration::from_secs(5), || {
        interrupt(&child);
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(130));
    let pid = child.id();
    until("nothing is left", Duration::from_secs(10), || left(pid, &before).is_empty().then_some(()));
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn ctrl_c_is_one_document_under_json() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    // Under JSON nothing is printed while it runs: the program shows that it does by a file of the host that it is given.
    let mut run = command();
    run.args(["--json", "code", "-l", "bash", "-c", "while :; do read -t 1 < /dev/zero; done"])
        .current_dir(directory.path());
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let before = until("the program runs", Duration::from_secs(20), || {
        let now = Belongings::of(pid);
        now.processes.iter().any(|process| process.command == "bash").then_some(now)
    });
    interrupt(&child);
    assert_eq!(end(&mut child, &before, Duration::from_secs(10)), Some(130));
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?}"));
    assert!(document["error"].is_string() && document["code"].is_string(), "{document}");
}

#[test]
fn a_reader_that_goes_away_ends_the_program() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (mut child, stdout) =
        start(directory.path(), "echo begun; while :; do echo more and more; done", &["--timeout", "2m"]);
    let before = Belongings::of(child.id());
    drop(stdout);
    // As a shell shows a program that SIGPIPE killed, and without a word.
    assert_eq!(end(&mut child, &before, Duration::from_secs(15)), Some(141));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(!stderr.contains("panicked") && !stderr.contains("Broken pipe"), "{stderr}");
}

/// A flood is neither kept in memory nor a reason to stop: the program waits as in any pipeline.
#[test]
fn a_slow_reader_gets_everything() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let lines = 400_000;
    let (mut child, stdout) = start(directory.path(), &format!("echo begun; seq {lines}"), &[]);
    let mut expected = 0;
    for line in stdout.lines() {
        expected += 1;
        assert_eq!(line.unwrap(), expected.to_string());
    }
    assert_eq!(expected, lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A supervisor, or `nohup`, may have signals ignored for what it starts. Programs know nothing of it.
#[test]
fn signals_that_the_runner_ignores_end_programs_all_the_same() {
    if !require("native") {
        return;
    }
    let code = "import os, signal; os.kill(os.getpid(), signal.SIGQUIT); print('survived')";
    let mut run = std::process::Command::new("bash");
    run.args(["-c", "trap '' QUIT; exec \"$0\" \"$@\""]).arg(command().get_program());
    run.args(["code", "--no-output", "-c", code]).stdin(Stdio::null());
    let ran = run.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "", "{ran:?}");
    assert!(!ran.status.success(), "{ran:?}");
}
