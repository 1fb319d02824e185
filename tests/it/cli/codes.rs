//! Exit codes, which scripts and CI rely on, and errors as people and as programs get them.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    require::require,
    skillbox::{Ran, run, run_in},
    snapshot::shown,
};

fn code(language: &str, code: &str, more: &[&str]) -> Ran {
    let mut args = vec!["code", "-l", language, "-c", code];
    args.extend(more);
    run(&args)
}

#[test]
fn the_programs_own_code_is_passed_on() {
    if !require("native") {
        return;
    }
    for own in [0, 1, 3, 42, 255] {
        assert_eq!(code("bash", &format!("exit {own}"), &[]).code(), own);
    }
    assert_eq!(code("python", "import sys; sys.exit(7)", &[]).code(), 7);
    assert_eq!(code("python", "1/0", &[]).code(), 1);
    // 128 and the number of the signal.
    assert_eq!(code("bash", "kill -TERM $$", &[]).code(), 143);
}

#[test]
fn a_program_that_takes_too_long_is_124() {
    if !require("native") {
        return;
    }
    let ran = code("bash", "echo early; trap '' TERM; while :; do :; done", &["--timeout", "700ms"]);
    assert_eq!((ran.code(), ran.stdout.as_str()), (124, "early\n"), "{}", ran.stderr);
    insta::assert_snapshot!("exit_124", shown(&ran, &[]));
}

#[test]
fn no_memory_is_137() {
    if !require("native") || !require("cgroup") {
        return;
    }
    let ran = code("python", "b = bytearray(1 << 30)", &["--memory", "64M"]);
    assert_eq!(ran.code(), 137, "{}", ran.stderr);
    assert!(ran.stderr.contains("memory") && ran.stderr.contains("--memory"), "{}", ran.stderr);
}

#[test]
fn a_script_that_is_not_there_is_127_and_one_that_cannot_be_run_126() {
    if !require("native") {
        return;
    }
    let ran = run(&["run", "skills-examples/text-report", "reprot.sh"]);
    assert_eq!(ran.code(), 127);
    insta::assert_snapshot!("exit_127", shown(&ran, &[]));
    let folder = TempDir::new().unwrap();
    let skill = folder.path().join("odd");
    fs::create_dir_all(skill.join("scripts")).unwrap();
    fs::write(
        skill.join("SKILL.md"),
        "---\nname: odd\ndescription: Has a script that nothing can run. Use it in tests.\n---\nx\n",
    )
    .unwrap();
    fs::write(skill.join("scripts/a.cob"), "DISPLAY 'x'.\n").unwrap();
    let ran = run_in(folder.path(), &["run", "odd", "a.cob"]);
    assert_eq!(ran.code(), 126, "{}", ran.stderr);
    insta::assert_snapshot!("exit_126", shown(&ran, &[]));
}

#[test]
fn a_sandbox_that_cannot_be_made_is_125_and_a_wrong_configuration_2() {
    if !require("native") {
        return;
    }
    let folder = TempDir::new().unwrap();
    // A root file system with nothing in it: the program cannot even be started.
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("usr")).unwrap();
    let ran = code("bash", "true", &["--rootfs", root.to_str().unwrap()]);
    assert!([125, 126, 127].contains(&ran.code()), "{}: {}", ran.code(), ran.stderr);
    let ran = code("bash", "true", &["--rootfs", folder.path().join("none").to_str().unwrap()]);
    assert_eq!(ran.code(), 2, "{}", ran.stderr);
    let ran = run(&["run", "no/such/skill", "a.py"]);
    assert_eq!(ran.code(), 2);
    insta::assert_snapshot!("exit_2_no_skill", shown(&ran, &[]));
}

#[test]
fn a_dependency_that_does_not_exist_is_125() {
    if !require("native") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let skill = folder.path().join("needy");
    fs::create_dir_all(skill.join("scripts")).unwrap();
    fs::write(
        skill.join("SKILL.md"),
        "---\nname: needy\ndescription: Needs what there is not. Use it in tests.\n---\nx\n",
    )
    .unwrap();
    fs::write(skill.join("requirements.txt"), "qrcode==0.0.0.dev999\n").unwrap();
    fs::write(skill.join("scripts/a.py"), "print(1)\n").unwrap();
    // Offline, so that it does not matter what an index says.
    let ran = run_in(folder.path(), &["--offline", "run", "needy", "a.py"]);
    assert_eq!(ran.code(), 125, "{}", ran.stderr);
    assert!(ran.stderr.contains("needy") || ran.stderr.contains("qrcode"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

/// With --json there is one document on standard output whatever happens, and an error has `error` and `code`.
#[test]
fn json_is_one_document_also_for_errors() {
    if !require("native") {
        return;
    }
    let check = |args: &[&str], exit: i32| -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        let ran = run(&all);
        assert_eq!(ran.code(), exit, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.matches('\n').count(), 1, "{args:?}: one line: {}", ran.stdout);
        ran.json()
    };
    let errors: [(&[&str], i32, &str); 7] = [
        (&["run"], 2, "USAGE"),
        (&["frobnicate"], 2, "USAGE"),
        (&["run", "no/such", "a.py"], 2, "SKILL_NOT_FOUND"),
        (&["run", "skills-examples/qr-code", "none.py"], 127, "SCRIPT_NOT_FOUND"),
        (&["code", "-c", "1", "-i", "/no/such/file"], 2, ""),
        (&["call", "code_run", "--args", "{"], 2, ""),
        (&["inspect", "/no/such/skill"], 2, "SKILL_NOT_FOUND"),
    ];
    for (args, exit, code) in errors {
        let document = check(args, exit);
        assert!(document["error"].as_str().is_some_and(|error| !error.is_empty()), "{args:?}: {document}");
        let given = document["code"].as_str().unwrap_or_else(|| panic!("{args:?}: {document}"));
        assert!(given == code || (code.is_empty() && !given.is_empty()), "{args:?}: {document}");
    }
    let failed = check(&["code", "-l", "bash", "-c", "echo out; echo err >&2; exit 3"], 3);
    assert_eq!(
        (&failed["exitCode"], &failed["stdout"], &failed["stderr"]),
        (&3.into(), &"out\n".into(), &"err\n".into())
    );
    let late = check(&["code", "-l", "bash", "-c", "sleep 60", "--timeout", "500ms"], 124);
    assert_eq!((&late["exitCode"], &late["timedOut"]), (&124.into(), &true.into()));
    let doctor = run(&["--json", "doctor"]).json();
    assert!(doctor.is_object(), "{doctor}");
}

#[test]
fn errors_end_with_what_to_do() {
    if !require("native") {
        return;
    }
    let ran = code("python", "import pandas_of_nowhere", &[]);
    insta::assert_snapshot!("hint_missing_module", shown(&ran, &[]));
    let ran = run(&["call", "code_run", "--args", "not json"]);
    insta::assert_snapshot!("hint_call_arguments", shown(&ran, &[]));
    let ran = run(&["serve", "--listen", "0.0.0.0:0", "--store", "file:/tmp/never-made"]);
    // Not on a terminal: a line of the log like all others.
    let event: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code(), event["code"].as_str()), (2, Some("TOKEN_NEEDED")), "{event}");
    assert!(event["hint"].as_str().unwrap().contains("openssl rand -hex 32"), "{event}");
    assert!(!fs::exists("/tmp/never-made").unwrap());
}
