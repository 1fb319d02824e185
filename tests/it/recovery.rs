//! What a killed runner leaves, and that runners do not disturb each other.
//!
//! `kill -9` of the runner, of its launcher, and of both, in the middle of calls; then a restart. Within ten seconds
//! nothing of it may be left: no process, cgroup, mount, namespace, directory.

use std::{
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Streaming,
    remains::{self, Belongings, Process, left},
    require::require,
    serve::{Options, Serve, bash, call, python},
    skillbox::{command, run_in},
    wait::{until, within},
};

/// From the kill to nothing left.
const RECOVERY: Duration = Duration::from_secs(10);

/// A program with children, one of them in a session of its own, that would run for ever.
const TREE: &str = "echo saved > /output/partial.txt; (setsid bash -c 'while :; do read -t 1 < /dev/zero; done' &) ; \
                    bash -c 'while :; do read -t 1 < /dev/zero; done' & echo begun; wait";

/// Starts calls in some triggers and waits until all of them run.
fn busy(server: &Serve, triggers: &[&str]) -> (Vec<Streaming>, Belongings) {
    let streams = triggers.iter().map(|trigger| server.stream(trigger, &[], &[bash(TREE)])).collect();
    for trigger in triggers {
        server.request("GET", &format!("/v1/triggers/{trigger}/events")).stream().until("begun");
    }
    let belongings = until("all programs run", Duration::from_secs(20), || {
        let belongings = Belongings::of(server.pid());
        (programs(&belongings) >= 3 * triggers.len()).then_some(belongings)
    });
    (streams, belongings)
}

fn programs(belongings: &Belongings) -> usize {
    belongings.processes.iter().filter(|process| process.command == "bash").count()
}

fn kill(process: &Process) {
    let pid = Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// The same place for a server that comes after another.
fn again(directory: &TempDir) -> Serve {
    Serve::with(&Options { directory: Some(directory.path().to_owned()), ..Options::default() })
}

#[track_caller]
fn nothing_left(runner: u32, before: &Belongings, since: Instant) {
    let limit = RECOVERY.saturating_sub(since.elapsed());
    let clean = within(limit, || left(runner, before).is_empty().then_some(()));
    assert!(clean.is_some(), "left {RECOVERY:?} after the kill: {:#?}", left(runner, before));
}

/// What the next server can do, whatever happened to the one before it.
fn works(server: &Serve) {
    let result = server.result("after", &python("print('works')"));
    assert_eq!(result["stdout"], "works\n", "{result}");
}

#[test]
fn a_killed_runner_leaves_nothing_after_a_restart() {
    if !require("native") {
        return;
    }
    let mut server = Serve::start();
    let (_streams, before) = busy(&server, &["a", "b", "c"]);
    assert!(
        !remains::cgroups(server.pid()).is_empty() || !has_cgroups(),
        "the runner has cgroups while it works"
    );
    let since = Instant::now();
    server.kill();
    let directory = server.keep_directory();
    let next = again(&directory);
    nothing_left(server.pid(), &before, since);
    works(&next);
}

/// Whether sandboxes have cgroups here at all: an ordinary user may have none.
fn has_cgroups() -> bool {
    rustix::process::geteuid().is_root()
}

/// The stages of a call, each cut off at another point of it.
#[test]
fn a_runner_killed_at_any_moment_leaves_nothing() {
    if !require("native") {
        return;
    }
    let mut server = Serve::start();
    let directory = server.keep_directory();
    for delay in [0, 1, 3, 8, 20, 50] {
        let calls = [
            call("file_write", &json!({"path": "/output/a.bin", "content": "x".repeat(1 << 20)})),
            bash(TREE),
        ];
        let connection = server.send_only(&format!("t{delay}"), &calls);
        // Not a wait for something, but the moment of the blow.
        let moment = Instant::now() + Duration::from_millis(delay);
        while Instant::now() < moment {
            thread::yield_now();
        }
        let before = Belongings::of(server.pid());
        let since = Instant::now();
        server.kill();
        drop(connection);
        let next = again(&directory);
        nothing_left(server.pid(), &before, since);
        works(&next);
        server = next;
    }
}

/// Even if the runner never comes back, no program goes on running.
#[test]
fn programs_end_although_nobody_restarts_the_runner() {
    if !require("native") {
        return;
    }
    let mut server = Serve::start();
    let (_streams, before) = busy(&server, &["a", "b"]);
    server.kill();
    until("all processes end by themselves", RECOVERY, || {
        before.processes.iter().all(|process| !process.lives()).then_some(())
    });
}

#[test]
fn a_killed_launcher_is_a_fault_that_is_told_and_leaves_nothing() {
    if !require("native") {
        return;
    }
    let mut server = Serve::start();
    let (streams, before) = busy(&server, &["a", "b"]);
    let since = Instant::now();
    kill(&remains::launcher(server.pid()));
    until("the sandboxes end", RECOVERY, || {
        before.processes.iter().all(|process| !process.lives()).then_some(())
    });
    // The callers hear of it, as a fault of ours and not as a result of the program.
    for stream in streams {
        let text = stream.whole();
        assert!(
            text.text().contains("tool-output-error") || text.text().contains("\"error\""),
            "{}",
            text.text()
        );
        assert!(!text.text().contains("tool-output-available"), "{}", text.text());
    }
    server.signal(Signal::TERM);
    server.wait(Duration::from_secs(30));
    let directory = server.keep_directory();
    let next = again(&directory);
    nothing_left(server.pid(), &before, since);
    works(&next);
}

/// An accident of the launcher costs its sandboxes, and not the service.
#[test]
fn a_launcher_that_ends_is_replaced() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    for round in 0..3 {
        let (_streams, _) = busy(&server, &[&format!("lost-{round}")]);
        let launcher = remains::launcher(server.pid());
        let lost = remains::descendants(launcher.pid);
        kill(&launcher);
        let next = format!("next-{round}");
        until("calls work again", RECOVERY, || {
            let answer = server.call(&next, &[], &[bash("echo $((40 + 2))")]);
            let error = answer["toolResults"][0]["error"].as_str();
            // Until then nothing of the inside is told.
            assert!(error.is_none_or(|error| error == "The sandbox could not be started"), "{answer}");
            (answer["toolResults"][0]["result"]["stdout"] == "42\n").then_some(())
        });
        assert_ne!(remains::launcher(server.pid()).pid, launcher.pid);
        until("the lost sandboxes end", RECOVERY, || {
            lost.iter().all(|process| !process.lives()).then_some(())
        });
        until("the runner is ready", RECOVERY, || {
            (server.request("GET", "/readyz").send().status == 200).then_some(())
        });
    }
}

#[test]
fn a_killed_runner_and_launcher_leave_nothing_after_a_restart() {
    if !require("native") {
        return;
    }
    for launcher_first in [true, false] {
        let mut server = Serve::start();
        let (_streams, before) = busy(&server, &["a", "b"]);
        let launcher = remains::launcher(server.pid());
        let since = Instant::now();
        if launcher_first {
            kill(&launcher);
            server.kill();
        } else {
            // Stopped first, so that it cannot react to the end of its runner.
            kill_process(Pid::from_raw(i32::try_from(launcher.pid).unwrap()).unwrap(), Signal::STOP).unwrap();
            server.kill();
            kill(&launcher);
        }
        let directory = server.keep_directory();
        let next = again(&directory);
        nothing_left(server.pid(), &before, since);
        works(&next);
    }
}

#[test]
fn two_runners_do_not_disturb_each_other() {
    if !require("native") {
        return;
    }
    let mut one = Serve::start();
    let two = Serve::start();
    two.result("kept", &bash("echo here > state"));
    let (_ones, before_one) = busy(&one, &["a"]);
    let (twos, before_two) = busy(&two, &["a"]);
    let since = Instant::now();
    one.kill();
    let three = Serve::start();
    nothing_left(one.pid(), &before_one, since);
    // What the third removed was the first's only.
    assert!(before_two.processes.iter().all(Process::lives));
    assert_eq!(two.result("kept", &bash("cat state"))["stdout"], "here\n");
    works(&two);
    works(&three);
    let cancelled = two.status("a")["toolCalls"][0]["toolCallId"].as_str().unwrap().to_owned();
    two.request("POST", &format!("/v1/triggers/a/tool-calls/{cancelled}/cancel")).send().expect(200);
    for stream in twos {
        assert!(stream.whole().text().contains("\"cancelled\":true"));
    }
}

/// What was stored before the blow is there after it, and its links still work.
#[test]
fn stored_files_survive_a_killed_runner() {
    if !require("native") {
        return;
    }
    let mut server = Serve::start();
    let result = server.result("s", &bash("echo kept > /output/kept.txt"));
    let link =
        result["outputFiles"][0]["url"].as_str().unwrap().strip_prefix(&server.url()).unwrap().to_owned();
    let (_streams, _) = busy(&server, &["t"]);
    server.kill();
    let directory = server.keep_directory();
    let next = again(&directory);
    let fetched = next.request("GET", &link).without("Authorization").send();
    assert_eq!((fetched.status, fetched.body.as_slice()), (200, b"kept\n".as_slice()));
    // The call that was cut off never ran as far as the new runner knows: it can be made again.
    works(&next);
}

#[test]
fn a_killed_command_leaves_nothing_after_the_next_one() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let temporary = directory.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut run = command();
    run.args(["code", "-l", "bash", "-c", TREE]).current_dir(directory.path()).env("TMPDIR", &temporary);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    let before = until("the program runs", Duration::from_secs(20), || {
        let now = Belongings::of(pid);
        (programs(&now) >= 3).then_some(now)
    });
    let since = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut next = command();
    next.args(["code", "-l", "bash", "-c", "true"]).current_dir(directory.path()).env("TMPDIR", &temporary);
    assert!(next.output().unwrap().status.success());
    let clean = within(RECOVERY.saturating_sub(since.elapsed()), || {
        (left(pid, &before).is_empty() && stores(&temporary) == 0).then_some(())
    });
    assert!(
        clean.is_some(),
        "left: {:#?}, and {} temporary directories",
        left(pid, &before),
        stores(&temporary)
    );
}

/// Temporary directories of commands; the state of an ordinary user's runners may be beside them.
fn stores(temporary: &Path) -> usize {
    let state = format!("skillbox-{}", rustix::process::geteuid().as_raw());
    fs::read_dir(temporary)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name() != state.as_str())
        .count()
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// A start that is refused, again and again as under a supervisor, must not use up what there is for runners.
#[test]
fn a_refused_start_leaves_nothing() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let before = entries(&remains::state_directory());
    for _ in 0..10 {
        let mut refused = command();
        refused.args(["code", "-l", "bash", "-c", "true", "--rootfs", "none"]).current_dir(directory.path());
        let mut child = refused.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2));
        assert_eq!(left(child.id(), &Belongings::default()), Vec::<String>::new());
    }
    // Others may start and end meanwhile.
    let flat =
        within(Duration::from_secs(5), || (entries(&remains::state_directory()) < before + 10).then_some(()));
    assert!(
        flat.is_some(),
        "{} entries in {}",
        entries(&remains::state_directory()),
        remains::state_directory().display()
    );
}

/// An orderly end leaves nothing at once, with no help of a next start.
#[test]
fn an_orderly_end_leaves_nothing() {
    if !require("native") {
        return;
    }
    let mut server = Serve::start();
    let (_streams, before) = busy(&server, &["a", "b"]);
    for trigger in ["a", "b"] {
        server.end(trigger);
    }
    works(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(30)).code(), Some(0), "{}", server.log());
    assert_eq!(left(server.pid(), &before), Vec::<String>::new());
    let directory = TempDir::new().unwrap();
    let temporary = directory.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let ran = run_in(directory.path(), &["code", "-c", "print(1)"]);
    assert_eq!(ran.code(), 0);
    assert_eq!(entries(&temporary), 0);
}

/// What a machine has only so many of, as one runner holds it.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    launcher_descriptors: usize,
    launcher_mounts: usize,
    cgroups: usize,
    processes: usize,
}

impl Held {
    fn by(runner: u32) -> Self {
        let launcher = remains::launcher(runner).pid;
        Self {
            descriptors: remains::descriptors(runner),
            launcher_descriptors: remains::descriptors(launcher),
            launcher_mounts: remains::mounts_of(launcher),
            cgroups: remains::cgroups(runner).len(),
            processes: remains::descendants(runner).len(),
        }
    }

    /// A few more or less are connections that are just closing, and what is prepared for the next sandbox.
    fn is_like(&self, other: &Self) -> bool {
        const SLACK: usize = 8;
        let pairs = [
            (self.descriptors, other.descriptors),
            (self.launcher_descriptors, other.launcher_descriptors),
            (self.launcher_mounts, other.launcher_mounts),
            (self.cgroups, other.cgroups),
            (self.processes, other.processes),
        ];
        pairs.iter().all(|(one, two)| one.abs_diff(*two) <= SLACK)
    }
}

#[test]
fn two_hundred_sandboxes_one_after_the_other_leave_everything_flat() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let cycle = |number: u32| {
        let trigger = format!("cycle-{number}");
        let answer: Value = server.result(&trigger, &bash("echo x > /output/x.txt"));
        assert_eq!(answer["exitCode"], 0, "{answer}");
        server.end(&trigger);
    };
    (0..10).for_each(cycle);
    let before = Held::by(server.pid());
    (10..210).for_each(cycle);
    // Ended triggers are gone at once, and so is all that they held.
    let flat = within(Duration::from_secs(2), || Held::by(server.pid()).is_like(&before).then_some(()));
    assert!(flat.is_some(), "before {before:?}, after {:?}", Held::by(server.pid()));
}
