//! `run`, `code` and `call`: what the program prints and saves, and what it gets.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    require::require,
    skillbox::{self, command, example, run_in},
    snapshot::shown,
};

#[test]
fn a_run_prints_what_the_script_prints_and_names_the_files() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let skill = example("text-report");
    let ran = run_in(
        directory.path(),
        &["run", skill.to_str().unwrap(), "report.sh", "-o", "out", "--", "--title", "Test"],
    );
    assert!(fs::read_to_string(directory.path().join("out/report.md")).unwrap().contains("Test"));
    insta::assert_snapshot!("run", shown(&ran, &[(directory.path(), "[dir]")]));
}

#[test]
fn code_keeps_the_streams_apart() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let code = "import sys; print('out'); print('err', file=sys.stderr); open('/output/a/../b.txt'.replace('a/../', ''), 'w').write('x')";
    let ran = run_in(directory.path(), &["code", "-c", code]);
    assert_eq!(ran.stdout, "out\n");
    assert_eq!(fs::read(directory.path().join("output/b.txt")).unwrap(), b"x");
    insta::assert_snapshot!("code", shown(&ran, &[(directory.path(), "[dir]")]));
    // With -q only what the program says.
    let quiet = run_in(directory.path(), &["-q", "code", "-c", code]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("out\n", "err\n"));
}

/// What a program prints need not be text, and need not end with a line.
#[test]
fn bytes_arrive_as_they_were_printed() {
    if !require("native") {
        return;
    }
    let code =
        "import os, sys; sys.stdout.buffer.write(bytes(range(256)) * 4000); os.write(2, b'\\xff\\0err')";
    let ran = command().args(["-q", "code", "--no-output", "-c", code]).output().unwrap();
    let expected: Vec<u8> = (0..=255).cycle().take(256 * 4000).collect();
    assert!(ran.stdout == expected, "{} bytes", ran.stdout.len());
    assert_eq!(ran.stderr, b"\xff\0err");
}

#[test]
fn json_describes_the_program_and_its_files() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let ran = run_in(
        directory.path(),
        &["--json", "code", "-l", "bash", "-c", "echo hi; echo data > /output/d.csv", "-o", "o"],
    );
    let document = ran.success().json();
    assert_eq!((&document["exitCode"], &document["stdout"]), (&json!(0), &json!("hi\n")));
    let file = &document["files"][0];
    assert_eq!(
        (&file["type"], &file["mediaType"], &file["size"]),
        (&json!("file"), &json!("text/csv"), &json!(5))
    );
    let path = file["path"].as_str().unwrap();
    assert_eq!(fs::read_to_string(directory.path().join(path)).unwrap(), "data\n");
    assert!(
        document["durationMs"].as_u64().is_some() && document["usage"]["sandboxMs"].as_u64().is_some(),
        "{document}"
    );
}

#[test]
fn call_prints_the_result_that_a_model_would_get() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let args = r#"{"language": "bash", "code": "echo hi; echo x > /output/x.txt"}"#;
    let ran = run_in(directory.path(), &["call", "code_run", "--args", args, "-o", "o"]);
    let result = serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap();
    assert_eq!(
        (ran.code(), &result["result"]["stdout"], &result["toolName"]),
        (0, &json!("hi\n"), &json!("octavus_code_run"))
    );
    assert_eq!(fs::read_to_string(directory.path().join("o/x.txt")).unwrap(), "x\n");
    let skill = example("qr-code");
    let read = run_in(
        directory.path(),
        &[
            "--json",
            "call",
            "octavus_skill_list",
            "--args",
            r#"{"skill": "qr-code"}"#,
            "-s",
            skill.to_str().unwrap(),
        ],
    );
    assert_eq!(read.success().json()["result"]["scripts"][0]["path"], "scripts/generate.py");
    let wrong = run_in(
        directory.path(),
        &["--json", "call", "skill_run", "--args", r#"{"skill": "x", "script": "y"}"#],
    );
    assert_eq!(wrong.code(), 1);
    assert!(wrong.json()["error"].as_str().unwrap().starts_with("Skill not found"), "{}", wrong.stdout);
}

#[test]
fn a_program_gets_inputs_environment_and_standard_input() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a b.csv"), "1,2\n").unwrap();
    fs::write(directory.path().join("in.txt"), "from a file").unwrap();
    let code = "cat 'a b.csv' sub/c.csv; echo $GREETING; cat; echo; pwd";
    let args = [
        "-q",
        "code",
        "-l",
        "bash",
        "-c",
        code,
        "-i",
        "a b.csv",
        "-i",
        "a b.csv:sub/c.csv",
        "-e",
        "GREETING=hello = you",
    ];
    let ran = run_in(directory.path(), &[args.as_slice(), &["--stdin", "in.txt"]].concat());
    assert_eq!(ran.stdout, "1,2\n1,2\nhello = you\nfrom a file\n/workspace\n", "{}", ran.stderr);
    let mut child = command();
    child
        .args(args)
        .args(["--stdin", "-"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1,2\n1,2\nhello = you\nfrom a pipe\n/workspace\n");
    // Without being asked for, nothing of ours is there.
    let ran = run_in(
        directory.path(),
        &["-q", "code", "-l", "bash", "-c", "cat; ls -A; echo ${HOME} ${USER:-nobody}"],
    );
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    // Code by standard input and by file.
    fs::write(directory.path().join("hi.sh"), "echo from bash\n").unwrap();
    assert_eq!(run_in(directory.path(), &["-q", "code", "hi.sh"]).stdout, "from bash\n");
}

/// What a user hands over is found by the name that the user gave it, what a skill brings along by its path in the skill.
#[test]
fn a_script_finds_inputs_and_its_own_files_by_relative_paths() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let skill = directory.path().join("reader");
    for (path, text) in [
        ("SKILL.md", "---\nname: reader\ndescription: Reads files. Use it in tests.\n---\n# Reader\n"),
        ("scripts/helper.py", "def read(path):\n    return open(path).read()\n"),
        (
            "scripts/sub/main.py",
            "import sys\nfrom scripts.helper import read\nfor path in sys.argv[1:]: print(read(path))\n",
        ),
        ("assets/own.txt", "of the skill"),
    ] {
        let path = skill.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(directory.path().join("in.txt"), "of the user").unwrap();
    let ran = run_in(
        directory.path(),
        &["-q", "run", "reader", "scripts/sub/main.py", "-i", "in.txt", "--", "in.txt", "assets/own.txt"],
    );
    assert_eq!(ran.stdout, "of the user\nof the skill\n", "{}", ran.stderr);
}

/// Names and links of the sandbox's making lead nowhere but below the directory that the user chose.
#[test]
fn output_goes_only_where_the_user_said() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (out, outside) = (directory.path().join("out"), directory.path().join("outside"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "safe").unwrap();
    symlink(outside.join("victim"), out.join("file.txt")).unwrap();
    symlink(&outside, out.join("dir")).unwrap();
    fs::write(out.join(".hidden"), "mine").unwrap();
    let code = r"
import os
os.makedirs('/output/dir'); open('/output/dir/victim', 'w').write('evil')
open('/output/file.txt', 'w').write('new')
open('/output/.hidden', 'w').write('evil')
os.symlink('/etc/passwd', '/output/link.txt')
";
    let ran = run_in(directory.path(), &["code", "-c", code, "-o", "out"]);
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "safe", "{}", ran.stderr);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(out.join("file.txt")).unwrap(), "new");
    assert!(fs::symlink_metadata(out.join("file.txt")).unwrap().is_file());
    assert_eq!(fs::read_to_string(out.join(".hidden")).unwrap(), "mine");
    assert!(!out.join("link.txt").exists());
    // What could not be written is lost, and that is not success.
    assert_eq!(ran.code(), 125, "{}", ran.stderr);
    assert!(ran.stderr.contains("dir/victim") && ran.stderr.contains(".hidden"), "{}", ran.stderr);
    // Left in the sandbox when nobody wants it.
    let ran =
        run_in(directory.path(), &["code", "-c", "open('/output/x', 'w')", "--no-output", "-o", "never"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert!(!directory.path().join("never").exists());
}

const EVIL: &str = r"printf '\033]0;owned\007\033[2J\033[6nred\033[31m\r\nok\n'; printf '\033]52;c;eA==\007' >&2; : > $'/output/\033[2J.txt'";

/// Runs `skillbox` with a terminal as its streams, and returns the bytes that the terminal got.
fn on_a_terminal(directory: &Path, args: &[&str]) -> String {
    let quoted = args.iter().map(|arg| format!("'{}'", arg.replace('\'', r"'\''")));
    let line = std::iter::once(skillbox::executable().display().to_string())
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ");
    let like = command();
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]).current_dir(directory);
    script
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh");
    let output = script.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_terminal_gets_no_control_sequence_of_the_program() {
    if !require("native") || !require("pty") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let shown = on_a_terminal(directory.path(), &["code", "-l", "bash", "-c", EVIL]);
    assert!(shown.contains("red") && shown.contains("ok\r\n"), "{shown:?}");
    // Our own are colours only.
    for (at, _) in shown.match_indices('\x1b') {
        let sequence = &shown[at..];
        let end = sequence[1..].find(|character: char| character.is_ascii_alphabetic()).unwrap();
        let ours = sequence[1..=end].chars().all(|character| "[0123456789;".contains(character))
            && sequence[1 + end..].starts_with('m');
        assert!(
            ours && !sequence.starts_with("\x1b[31mred") && !sequence.starts_with("\x1b[31m\r"),
            "{shown:?}"
        );
    }
    assert!(!shown.contains('\x07'), "{shown:?}");
    assert!(shown.contains(r"\e]0;owned"), "what was there is shown: {shown:?}");
    let raw = on_a_terminal(directory.path(), &["code", "--raw", "-l", "bash", "-c", EVIL]);
    assert!(raw.contains("\x1b]0;owned\x07\x1b[2J"), "{raw:?}");
    // File names are ours to show also with --raw.
    assert!(!raw.contains("\x1b[2J.txt"), "{raw:?}");
}

/// A pipe gets the program's bytes as they are, like any pipeline.
#[test]
fn a_pipe_gets_the_text_as_it_is() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let ran = run_in(directory.path(), &["-q", "code", "-l", "bash", "-c", EVIL, "--no-output"]);
    assert!(ran.stdout.contains("\x1b]0;owned\x07\x1b[2J"), "{:?}", ran.stdout);
    let named = run_in(directory.path(), &["code", "-l", "bash", "-c", ": > $'/output/\\033[2J.txt'"]);
    assert!(!named.stderr.contains('\x1b'), "{:?}", named.stderr);
}
