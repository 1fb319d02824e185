//! `skillbox dev`: a file is saved, and what changed is shown.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{
    remains::{Belongings, descendants, launcher, left},
    require::require,
    skillbox::{command, run_in},
    wait::until,
};

/// Longer than a look takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `skillbox dev` that runs, and what it has printed so far.
struct Dev {
    child: Child,
    printed: Arc<Mutex<String>>,
    /// How much of it was seen already.
    seen: usize,
}

impl Dev {
    fn start(directory: &Path, args: &[&str]) -> Self {
        let mut dev = command();
        dev.arg("dev").args(args).current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = dev.spawn().unwrap();
        let printed = Arc::new(Mutex::new(String::new()));
        let (mut stdout, text) = (child.stdout.take().unwrap(), Arc::clone(&printed));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { child, printed, seen: 0 }
    }

    /// Waits until something is printed that was not there before; gives everything new up to the end of that line.
    #[track_caller]
    fn wait_for(&mut self, part: &str) -> String {
        let printed = Arc::clone(&self.printed);
        let seen = self.seen;
        let found = until(&format!("{part:?} is printed"), PATIENCE, || {
            let text = printed.lock().unwrap();
            let at = seen + text[seen..].find(part)?;
            let end = at + text[at..].find('\n')? + 1;
            Some(text[seen..end].to_owned())
        });
        self.seen += found.len();
        found
    }

    fn interrupt(mut self) {
        let pid = self.child.id();
        let before = Belongings::of(pid);
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = until("dev ends", Duration::from_secs(10), || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(130));
        until("nothing is left", Duration::from_secs(10), || left(pid, &before).is_empty().then_some(()));
    }
}

impl Drop for Dev {
    /// A test that fails leaves nobody who watches a directory that is gone.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn skill() -> (TempDir, PathBuf) {
    let top = TempDir::new().unwrap();
    let root = top.path().join("small");
    for folder in ["scripts", "tests", ".git"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(
        root.join("SKILL.md"),
        "---\nname: small\ndescription: Says what it is told. Use it in tests.\n---\nRun `scripts/say.sh`.\n",
    )
    .unwrap();
    fs::write(root.join("scripts/say.sh"), script("one")).unwrap();
    let test = "version: 1\ncases:\n  - name: says one\n    run: { script: say.sh }\n    expect: { stdout: \"one\\n\" }\n";
    fs::write(root.join("tests/say.test.yaml"), test).unwrap();
    (top, root)
}

fn script(word: &str) -> String {
    format!("echo {word}\necho {word} > /output/said.txt\n")
}

/// As many editors save: beside the file first, then in its place.
fn save(path: &Path, text: &str) {
    let beside = path.with_extension("new~");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[test]
fn what_is_saved_is_checked_run_and_tested() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill();
    let mut dev = Dev::start(&root, &[".", "--run", "say.sh"]);
    let first = dev.wait_for("1 passed in");
    for part in ["nothing wrong", "say.sh: exit code 0", "│ one", "output/said.txt"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let made_by = launcher(dev.child.id());
    // Another output: the test does not like it. The file is replaced as a whole.
    save(&root.join("scripts/say.sh"), &script("two"));
    let second = dev.wait_for("at tests/say.test.yaml:5");
    for part in [
        "changed: scripts/say.sh",
        "nothing wrong, as before",
        "│ two",
        "0 passed, 1 failed",
        "✗ says one",
        "got \"two\\n\"",
    ] {
        assert!(second.contains(part), "{part}: {second}");
    }
    assert_eq!(fs::read_to_string(root.join("output/said.txt")).unwrap(), "two\n");
    // What is the same is said in a line.
    save(&root.join("SKILL.md"), "---\nname: small\ndescription: Says things. Use it in tests.\n---\nBody\n");
    let third = dev.wait_for("0 passed, 1 failed");
    assert!(
        third.contains("changed: SKILL.md") && third.contains("exit code 0") && third.contains(", as before"),
        "{third}"
    );
    assert!(!third.contains("│ two") && !third.contains("✗"), "{third}");
    // A mistake in a test file, in place; then everything is right again.
    let test = fs::read_to_string(root.join("tests/say.test.yaml")).unwrap();
    fs::write(root.join("tests/say.test.yaml"), test.replace("stdout", "stdot")).unwrap();
    let fourth = dev.wait_for("did you mean `stdout`?");
    assert!(
        fourth.contains("1 mistake in test files") && fourth.contains("tests/say.test.yaml:5:"),
        "{fourth}"
    );
    fs::write(root.join("tests/say.test.yaml"), test.replace("one\\n", "two\\n")).unwrap();
    let fifth = dev.wait_for("✓ says one");
    assert!(fifth.contains("1 passed"), "{fifth}");
    // The same launcher has made all of these sandboxes.
    assert_eq!(launcher(dev.child.id()), made_by);
    dev.interrupt();
}

#[test]
fn only_files_of_the_skill_are_a_reason_to_look() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill();
    let mut dev = Dev::start(&root, &[".", "--run", "say.sh", "--no-test"]);
    dev.wait_for("output/said.txt");
    fs::write(root.join(".git/index"), "x").unwrap();
    fs::create_dir(root.join("scripts/__pycache__")).unwrap();
    fs::write(root.join("scripts/__pycache__/a.pyc"), "x").unwrap();
    fs::write(root.join("output/more.txt"), "x").unwrap();
    fs::write(root.join("scripts/.say.sh.swp"), "x").unwrap();
    save(&root.join("scripts/say.sh"), &script("two"));
    let next = dev.wait_for("│ two");
    // The first look after all of that is the one for the script, and nobody asked for tests.
    assert_eq!(next.matches("changed: ").count(), 1, "{next}");
    assert!(next.contains("changed: scripts/say.sh\n") && !next.contains("test  "), "{next}");
    dev.interrupt();
}

/// What takes long is not waited for when there is something newer.
#[test]
fn a_newer_file_overtakes_a_look() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill();
    fs::write(root.join("scripts/say.sh"), "while :; do read -t 1 < /dev/zero; done\n").unwrap();
    let mut dev = Dev::start(&root, &[".", "--run", "say.sh"]);
    dev.wait_for("nothing wrong");
    let pid = dev.child.id();
    until("the script runs", PATIENCE, || {
        descendants(pid).iter().any(|process| process.command == "bash").then_some(())
    });
    save(&root.join("scripts/say.sh"), &script("one"));
    let next = dev.wait_for("1 passed");
    assert!(next.contains("changed: scripts/say.sh") && next.contains("│ one"), "{next}");
    // A script that is running when it ends is ended, too.
    save(&root.join("scripts/say.sh"), "while :; do read -t 1 < /dev/zero; done\n");
    dev.wait_for("changed: scripts/say.sh");
    until("the script runs", PATIENCE, || {
        descendants(pid).iter().any(|process| process.command == "bash").then_some(())
    });
    dev.interrupt();
}

#[test]
fn a_skill_that_is_broken_is_waited_for() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill();
    let good = fs::read_to_string(root.join("SKILL.md")).unwrap();
    fs::write(root.join("SKILL.md"), "no frontmatter\n").unwrap();
    let mut dev = Dev::start(root.parent().unwrap(), &["small"]);
    let first = dev.wait_for("nothing is run");
    assert!(first.contains("1 error") && first.contains("SKILL.md:1:1: error["), "{first}");
    save(&root.join("SKILL.md"), &good);
    let second = dev.wait_for("1 passed");
    assert!(second.contains("gone: SKILL.md:1:1"), "{second}");
    dev.interrupt();
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let (top, root) = skill();
    let refused = |args: &[&str], part: &str| {
        let ran = run_in(top.path(), args);
        assert_eq!(ran.code(), 2, "{args:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(part) || ran.stdout.contains(part),
            "{args:?}: {}{}",
            ran.stdout,
            ran.stderr
        );
    };
    refused(&["dev"], "there is no skill at `.`");
    refused(&["dev", "small", "--run", "'"], "a quote that is not closed");
    refused(&["--json", "dev", "small"], "skillbox test --json");
    fs::write(root.parent().unwrap().join("a.skill"), "x").unwrap();
    refused(&["dev", "a.skill"], "is no folder");
}
