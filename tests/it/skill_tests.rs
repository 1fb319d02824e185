//! `skillbox test`: tests of skills in real sandboxes, what is shown of them, and the exit code.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    bundle,
    docker::Turn,
    remains::{Belongings, left},
    require::require,
    skillbox::{Ran, command, example, run, run_in},
    snapshot::shown,
    wait::until,
};

/// A skill in a directory of its own, with these files in `tests/`.
fn skill(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let top = TempDir::new().unwrap();
    let root = top.path().join("small");
    fs::create_dir_all(root.join("scripts")).unwrap();
    fs::write(
        root.join("SKILL.md"),
        "---\nname: small\ndescription: Says what it is told. Use it in tests.\n---\nBody\n",
    )
    .unwrap();
    fs::write(root.join("scripts/say.sh"), "#!/usr/bin/env bash\nprintf '%s\\n' \"$@\"\n").unwrap();
    for (name, text) in files {
        let path = root.join("tests").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (top, root)
}

/// A test file of these cases.
fn cases(cases: &str) -> String {
    format!("version: 1\ncases:\n{cases}")
}

/// What was printed, with single spaces: how wide a time is differs from run to run.
fn narrow(ran: &Ran) -> String {
    let text = shown(ran, &[]);
    let line = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        format!("{}{}\n", &line[..indent], line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    text.lines().map(line).collect()
}

#[test]
fn the_examples_pass_their_own_tests() {
    if !require("native") {
        return;
    }
    let ran = run(&["test", "skills-examples"]);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    for slug in ["data-analysis", "qr-code", "text-report"] {
        assert!(ran.stdout.contains(&format!("{slug}\n  ✓ ")), "{}", ran.stdout);
    }
    assert!(ran.stderr.contains(" passed in "), "{}", ran.stderr);
    assert!(!ran.stdout.contains('✗') && !ran.stderr.contains("skipped"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn attempts_to_reach_the_network_are_seen_and_talk_within_the_sandbox_is_none() {
    if !require("native") {
        return;
    }
    let case = |name: &str, code: &str, expect: &str| {
        format!(
            "  - name: {name}\n    code: {{ language: python, source: \"{code}\" }}\n    expect: {{ network: {expect} }}\n"
        )
    };
    let quiet = "import socket; l = socket.create_server(('127.0.0.1', 8000)); socket.create_connection(('127.0.0.1', 8000))";
    let attempts = [
        (
            "by number",
            "import socket\\ntry: socket.create_connection(('192.0.2.1', 80), 1)\\nexcept OSError: pass",
        ),
        (
            "by IPv6",
            "import socket\\ntry: socket.create_connection(('2001:db8::1', 80), 1)\\nexcept OSError: pass",
        ),
        (
            "by datagram",
            "import socket\\ntry: socket.socket(2, 2).sendto(b'x', ('192.0.2.1', 53))\\nexcept OSError: pass",
        ),
        (
            "by name",
            "import urllib.request\\ntry: urllib.request.urlopen('http://example.com', timeout=1)\\nexcept OSError: pass",
        ),
    ];
    let mut good = case("quiet", quiet, "none");
    let mut bad = case("quiet", quiet, "attempted");
    for (name, code) in attempts {
        good.push_str(&case(name, code, "attempted"));
        bad.push_str(&case(name, code, "none"));
    }
    let (_top, root) = skill(&[("good.test.yaml", &cases(&good)), ("bad.test.yaml", &cases(&bad))]);
    let path = |name: &str| root.join("tests").join(name).to_str().unwrap().to_owned();
    let ran = run(&["test", &path("good.test.yaml")]);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    let ran = run(&["test", &path("bad.test.yaml")]);
    assert_eq!(ran.code(), 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("5 failed"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_bundle_brings_its_tests() {
    if !require("native") {
        return;
    }
    let top = TempDir::new().unwrap();
    let packed = top.path().join("text-report.skill");
    fs::write(&packed, bundle::of_folder(&example("text-report"))).unwrap();
    let ran = run_in(top.path(), &["test", "text-report.skill"]).success();
    assert!(ran.stdout.contains("✓ reports on the sample"), "{}", ran.stdout);
    let ran = run_in(top.path(), &["test", "text-report.skill", "--update"]);
    assert_eq!(ran.code(), 2, "{}", ran.stderr);
}

/// The path is the same under every driver, so the tests of a skill are, too.
#[test]
fn the_docker_driver_gives_the_same() {
    if !require("docker") {
        return;
    }
    let turn = Turn::take();
    let mut test = command();
    test.envs(turn.options().env).args(["--driver", "docker", "--image", turn.image(), "test"]);
    let ran = test.arg(example("text-report")).output().unwrap();
    let stdout = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{stdout}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(stdout.contains("✓ reports on the sample"), "{stdout}");
    turn.nothing_left();
}

#[test]
fn a_directory_with_a_broken_skill_is_not_fine() {
    let (top, root) = skill(&[(
        "a.test.yaml",
        &cases("  - name: a\n    run: { script: say.sh }\n    expect: { exit_code: 0 }\n"),
    )]);
    fs::create_dir(top.path().join("broken")).unwrap();
    fs::write(top.path().join("broken/SKILL.md"), "no frontmatter\n").unwrap();
    let ran = run_in(top.path(), &["test", "--list"]);
    assert_eq!(ran.code(), 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("broken") && ran.stderr.contains("skillbox validate"), "{}", ran.stderr);
    fs::write(
        top.path().join("broken/SKILL.md"),
        "---\nname: broken\ndescription: Has no tests. Use it in tests.\n---\nBody\n",
    )
    .unwrap();
    let ran = run_in(top.path(), &["test", "--list"]).success();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("small › a\n", "no tests in broken\n"));
    // The same skill by two names is one skill; two skills of one name are a mistake.
    let twice = ["test", "--list", "small", "small/tests/a.test.yaml"];
    assert_eq!(run_in(top.path(), &twice).success().stdout, "small › a\n");
    fs::create_dir(top.path().join("other")).unwrap();
    fs::copy(root.join("SKILL.md"), top.path().join("other/SKILL.md")).unwrap();
    let ran = run_in(top.path(), &["test", "--list", "small", "other"]);
    assert_eq!(
        (ran.code(), ran.stderr.contains("two of the skills are called `small`")),
        (2, true),
        "{}",
        ran.stderr
    );
}

#[test]
fn failures_say_what_was_expected_and_what_came() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill(&[(
        "a.test.yaml",
        &cases(
            r#"  - name: passes
    run: { script: say.sh, args: [hello] }
    expect: { stdout: "hello\n" }
  - name: another exit code
    code: { language: bash, source: "echo out; echo err >&2; exit 3" }
    expect: { stdout: { contains: out } }
  - name: other lines
    run: { script: say.sh, args: [one, two, three] }
    expect: { stdout: "one\n2\nthree\n" }
  - name: a step in the middle
    steps:
      - octavus_file_write: { path: a.txt, content: x }
      - octavus_file_read: { path: a.txt }
        expect: { result: { /content: y } }
      - octavus_code_run: { language: bash, code: "true" }
  - name: not today
    skip: the weather is not right
    run: { script: say.sh }
    expect: { exit_code: 0 }
  - name: a file that is not made
    run: { script: say.sh, args: ["a\e[2Jb"] }
    expect: { files: [chart.png] }
"#,
        ),
    )]);
    let ran = run_in(&root, &["test"]);
    assert_eq!(ran.code(), 1);
    // What a program prints cannot clear anybody's screen.
    assert!(!ran.stdout.contains('\x1b'), "{:?}", ran.stdout);
    insta::assert_snapshot!("failures", narrow(&ran));
    let quiet = run_in(&root, &["-q", "test"]);
    assert!(
        !quiet.stdout.contains('✓') && quiet.stdout.contains('✗') && quiet.stderr.is_empty(),
        "{}",
        quiet.stdout
    );
}

#[test]
fn mistakes_in_a_test_file_are_shown_before_anything_runs() {
    let (_top, root) = skill(&[
        (
            "a.test.yaml",
            &cases(
                "  - name: a\n    run: { script: sya.sh }\n    expect: { exit_code: 0 }\n  - name: b\n    run: { script: say.sh }\n    expect:\n      stdot: x\n      network: none\n  - name: c\n    run: { script: say.sh }\n    input: { files: { a.txt: fixtures/a.txt, b.txt: ../../../etc/passwd, c.txt: link.txt } }\n    expect: { exit_code: 0 }\n",
            ),
        ),
        ("b.test.yaml", "version: 1\ncases: [\n"),
        ("c.test.yml", "version: 1\n"),
        (
            "d.test.yaml",
            &cases(
                "  - name: d\n    run: { script: sya.sh }\n    input: { files: { a: fixtures/a.txt, b: ../../../etc/passwd, c: link.txt } }\n    expect: { exit_code: 0 }\n",
            ),
        ),
    ]);
    // A link to a file of the host is no file of the skill.
    symlink("/etc/hostname", root.join("tests/link.txt")).unwrap();
    let ran = run_in(&root, &["test", "--list"]);
    assert_eq!(ran.code(), 2);
    insta::assert_snapshot!("mistakes", shown(&ran, &[]));
    let document = run_in(&root, &["--json", "test"]);
    assert_eq!(document.code(), 2);
    let document = document.json();
    assert_eq!(document["code"], "TESTS_BROKEN");
    let problem = &document["problems"][1];
    let told = json!({"file": "tests/a.test.yaml", "line": 9, "column": 7, "message": "unknown key `stdot` in `expect`",
        "help": "did you mean `stdout`?"});
    assert_eq!(*problem, told);
    // The other files of the skill do not matter to one that is asked for.
    let only = run_in(&root, &["test", "tests/d.test.yaml"]);
    assert_eq!((only.code(), only.stdout.contains("a.test.yaml")), (2, false), "{}", only.stdout);
}

/// A variable that may not be set is the file's mistake, though only a runner can tell.
#[test]
fn a_case_that_asks_for_what_cannot_be_had_is_broken() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill(&[(
        "a.test.yaml",
        &cases(
            "  - name: a\n    run: { script: say.sh }\n    input: { env: { PATH: /tmp } }\n    expect: { exit_code: 0 }\n",
        ),
    )]);
    let ran = run_in(&root, &["test"]);
    assert_eq!(ran.code(), 2, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("`PATH` cannot be set") && ran.stderr.contains("1 broken"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn without_tests_it_says_how_to_write_one() {
    let (_top, root) = skill(&[]);
    let ran = run_in(&root, &["test"]);
    assert_eq!(ran.code(), 2);
    insta::assert_snapshot!("no_tests", shown(&ran, &[]));
    let (_top, root) = skill(&[(
        "a.test.yaml",
        &cases("  - name: a\n    run: { script: say.sh }\n    expect: { exit_code: 0 }\n"),
    )]);
    let ran = run_in(&root, &["test", "-k", "nothing like it"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("none of 1 cases matches"), "{}", ran.stderr);
    let loose = root.join("loose.test.yaml");
    fs::write(&loose, "version: 1\n").unwrap();
    let ran = run_in(&root, &["test", "loose.test.yaml"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("is not in the folder `tests`"), "{}", ran.stderr);
}

#[test]
fn cases_are_chosen_by_name() {
    let (_top, root) = skill(&[(
        "a.test.yaml",
        &cases(
            "  - name: one thing\n    run: { script: say.sh }\n    expect: { exit_code: 0 }\n  - name: another (thing\n    run: { script: say.sh }\n    expect: { exit_code: 0 }\n",
        ),
    )]);
    let list = |filter: &str| run_in(&root, &["test", "--list", "-k", filter]).success().stdout;
    assert_eq!(list("thing"), "small › one thing\nsmall › another (thing\n");
    assert_eq!(list("^small › one"), "small › one thing\n");
    // No regular expression, but a text.
    assert_eq!(list("(thing"), "small › another (thing\n");
    let document = run_in(&root, &["--json", "test", "--list"]).success().json();
    assert_eq!(
        document["cases"][1],
        json!({"skill": "small", "name": "another (thing", "file": "tests/a.test.yaml", "line": 6})
    );
}

#[test]
fn snapshots_are_rewritten_when_asked_for() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill(&[
        (
            "a.test.yaml",
            &cases(
                "  - name: new\n    run: { script: say.sh, args: [a, b] }\n    expect: { stdout: { snapshot: snapshots/new.txt } }\n  - name: changed\n    run: { script: say.sh, args: [took 12 ms, more] }\n    expect: { stdout: { snapshot: old.txt } }\n  - name: fails\n    code: { language: bash, source: exit 1 }\n    expect: { stdout: { snapshot: never.txt } }\n",
            ),
        ),
        ("old.txt", "took [..] ms\nend\n"),
    ]);
    let before = run_in(&root, &["test"]);
    assert_eq!(before.code(), 1);
    assert!(before.stdout.contains("- end") && before.stdout.contains("+ more"), "{}", before.stdout);
    assert!(!root.join("tests/snapshots").exists());
    let ran = run_in(&root, &["test", "--update"]);
    assert_eq!(ran.code(), 1, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("updated tests/snapshots/new.txt\nupdated tests/old.txt\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_to_string(root.join("tests/snapshots/new.txt")).unwrap(), "a\nb\n");
    assert_eq!(fs::read_to_string(root.join("tests/old.txt")).unwrap(), "took [..] ms\nmore\n");
    // What a program that failed printed is no snapshot.
    assert!(!root.join("tests/never.txt").exists());
    run_in(&root, &["test", "-k", "new"]).success();
    let again = run_in(&root, &["test", "--update", "-k", "changed"]).success();
    assert!(!again.stderr.contains("updated"), "{}", again.stderr);
}

/// What is promised of every case: limits, a closed network, a sandbox of its own, the same surroundings each time.
#[test]
fn a_case_has_a_sandbox_of_its_own() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill(&[
        (
            "a.test.yaml",
            &cases(
                r#"  - name: leaves something
    code: { language: bash, source: "echo x > /workspace/left.txt; echo x > /output/left.txt" }
    expect: { files: [left.txt] }
  - name: finds nothing of another case
    code: { language: bash, source: "ls /workspace /output" }
    expect: { stdout: "/output:\n\n/workspace:\n", no_other_files: true }
  - name: shares it between steps
    steps:
      - octavus_file_write: { path: /workspace/in.txt, content: hello }
      - octavus_code_run: { language: bash, code: "wc -c < /workspace/in.txt" }
        expect: { stdout: "5\n" }
  - name: has no network
    code: { language: python, source: "import socket; socket.create_connection(('1.1.1.1', 53), 1)" }
    expect: { exit_code: "!=0", stderr: { contains: unreachable } }
  - name: has an end
    code: { language: bash, source: "echo begun; sleep 60" }
    limits: { timeout: 300ms }
    expect: { timed_out: true, stdout: "begun\n", max_duration: 20s }
  - name: has fixed surroundings
    code: { language: bash, source: "echo $TZ $LANG $PYTHONHASHSEED $GREETING; cat data/a.txt; cat" }
    input: { files: { data/a.txt: fixtures/a.txt }, env: { GREETING: hi }, stdin: last }
    expect: { stdout: "UTC C.UTF-8 0 hi\nfrom a file\nlast" }
  - name: runs code of a file
    code: { file: fixtures/check.py }
    expect: { stdout: "42\n" }
"#,
            ),
        ),
        ("fixtures/a.txt", "from a file\n"),
        ("fixtures/check.py", "print(6 * 7)\n"),
    ]);
    let ran = run_in(&root, &["test", "-j", "4"]);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("7 passed"), "{}", ran.stderr);
}

#[test]
fn a_case_may_want_a_program_to_run_out_of_memory() {
    if !require("native") || !require("cgroup") {
        return;
    }
    let (_top, root) = skill(&[(
        "a.test.yaml",
        &cases(
            "  - name: a\n    code: { language: python, source: \"b = bytearray(1 << 30)\" }\n    limits: { memory: 64M }\n    expect: { out_of_memory: true }\n",
        ),
    )]);
    run_in(&root, &["test"]).success();
}

#[test]
fn the_order_is_that_of_the_file_and_the_first_failure_may_be_the_last() {
    if !require("native") {
        return;
    }
    let code = |name: &str, code: &str| {
        format!(
            "  - name: {name}\n    code: {{ language: bash, source: \"{code}\" }}\n    expect: {{ exit_code: 0 }}\n"
        )
    };
    let all = [code("slow", "sleep 0.5"), code("bad", "exit 1"), code("quick", "true"), code("last", "true")]
        .concat();
    let (_top, root) = skill(&[("a.test.yaml", &cases(&all))]);
    let names = |ran: &Ran| -> Vec<String> {
        let lines = ran.stdout.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        lines.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(names(&run_in(&root, &["test", "-j", "4"])), ["✓ slow", "✗ bad", "✓ quick", "✓ last"]);
    let fast = run_in(&root, &["test", "-j", "1", "--fail-fast"]);
    assert_eq!(
        (fast.code(), names(&fast)),
        (1, ["✓ slow", "✗ bad", "- quick", "- last"].map(str::to_owned).to_vec())
    );
    assert!(fast.stderr.contains("1 passed, 1 failed, 2 not run"), "{}", fast.stderr);
}

#[test]
fn reports_for_programs() {
    if !require("native") {
        return;
    }
    let (_top, root) = skill(&[(
        "a.test.yaml",
        &cases(
            "  - name: good <1>\n    run: { script: say.sh }\n    expect: { exit_code: 0 }\n  - name: \"bad: 1/2\"\n    code: { language: bash, source: \"echo '<x>' > /output/kept.txt; printf '\\\\033[2J'; exit 1\" }\n    expect: { exit_code: 0 }\n  - name: later\n    skip: \"not yet & never\"\n    run: { script: say.sh }\n    expect: { exit_code: 0 }\n",
        ),
    )]);
    let ran = run_in(&root, &["--json", "test", "--keep", "--junit", "report.xml"]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    let document = ran.json();
    assert_eq!(
        (&document["passed"], &document["failed"], &document["skipped"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let bad = &document["cases"][1];
    assert_eq!(
        (&bad["status"], &bad["file"], &bad["line"]),
        (&json!("failed"), &json!("tests/a.test.yaml"), &json!(6))
    );
    assert_eq!(
        bad["failures"][0],
        json!({"subject": "ending", "message": "expected exit code 0, got 1", "line": 8})
    );
    assert_eq!(bad["kept"], "test-output/small/bad-1-2");
    assert_eq!(fs::read_to_string(root.join("test-output/small/bad-1-2/kept.txt")).unwrap(), "<x>\n");
    assert_eq!(document["cases"][2]["reason"], "not yet & never");
    let xml = fs::read_to_string(root.join("report.xml")).unwrap();
    for part in [
        "tests=\"3\"",
        "failures=\"1\"",
        "name=\"good &lt;1&gt;\"",
        "message=\"expected exit code 0, got 1\"",
        "tests/a.test.yaml:8: expected exit code 0, got 1",
        "<skipped message=\"not yet &amp; never\"",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    assert!(!xml.contains('\x1b'), "{xml:?}");
}

#[test]
fn ctrl_c_ends_all_cases_and_leaves_nothing() {
    if !require("native") {
        return;
    }
    let code = |name: &str, code: &str| {
        format!(
            "  - name: {name}\n    code: {{ language: bash, source: \"{code}\" }}\n    expect: {{ exit_code: 0 }}\n"
        )
    };
    let forever = "trap '' INT; while :; do read -t 1 < /dev/zero; done";
    let all =
        [code("done", "true"), code("one", forever), code("two", forever), code("three", forever)].concat();
    let (_top, root) = skill(&[("a.test.yaml", &cases(&all))]);
    let mut child = command();
    child.args(["test", "-j", "2"]).current_dir(&root).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (mut line, pid) = (String::new(), child.id());
    while !line.contains("done") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let before = until("two programs run", Duration::from_secs(20), || {
        let now = Belongings::of(pid);
        (now.processes.iter().filter(|process| process.command == "bash").count() >= 2).then_some(now)
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = until("it ends", Duration::from_secs(15), || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    until("nothing is left", Duration::from_secs(10), || left(pid, &before).is_empty().then_some(()));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("1 passed, 3 not run"), "{stderr}");
}

#[test]
fn the_schemas_are_printed_as_they_are_published() {
    for (name, file) in [("test", "skill-test.schema.json"), ("skill", "skill.schema.json")] {
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema").join(file);
        let printed = run(&["schema", name]).success().stdout;
        assert_eq!(printed, fs::read_to_string(published).unwrap());
        assert!(serde_json::from_str::<Value>(&printed).unwrap()["$schema"].is_string());
    }
}
