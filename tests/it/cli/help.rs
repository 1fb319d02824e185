//! Help is read more often than documents: all of it is a snapshot.

use crate::support::{skillbox::run, snapshot::shown};

#[test]
fn help_of_every_command() {
    let commands = [
        "",
        "run",
        "code",
        "serve",
        "call",
        "tools",
        "prompt",
        "validate",
        "rules",
        "test",
        "dev",
        "inspect",
        "new",
        "pack",
        "unpack",
        "diff",
        "image",
        "image build",
        "image ls",
        "doctor",
        "schema",
        "version",
        "completions",
    ];
    for command in commands {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).filter(|arg| !arg.is_empty()).collect();
        let ran = run(&args);
        assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""), "{args:?}");
        let name = if command.is_empty() {
            "help".to_owned()
        } else {
            format!("help_{}", command.replace(' ', "_"))
        };
        insta::assert_snapshot!(name, ran.stdout);
    }
    // A command that is there and not in this list would be one without a snapshot.
    let top = run(&["--help"]).stdout;
    let listed = top.split("Commands:").nth(1).unwrap().lines().skip(1).take_while(|line| !line.is_empty());
    for command in listed.filter_map(|line| line.trim().split(' ').next()) {
        assert!(
            commands.contains(&command) || line_goes_on(&top, command),
            "no snapshot of the help of {command}"
        );
    }
}

/// Whether a word only continues the description of the command in the line before.
fn line_goes_on(help: &str, word: &str) -> bool {
    !help.lines().any(|line| line.starts_with(&format!("  {word} ")) || line == format!("  {word}"))
}

#[test]
fn without_a_command_it_says_what_to_do() {
    insta::assert_snapshot!("welcome", shown(&run(&[]), &[]));
}

#[test]
fn a_command_line_that_makes_no_sense() {
    for (name, args) in [
        ("usage_unknown_command", ["rum", "x"].as_slice()),
        ("usage_unknown_option", &["run", "skills-examples/qr-code", "generate.py", "--outptu", "x"]),
        ("usage_missing", &["run"]),
        ("usage_bad_time", &["code", "-c", "1", "--timeout", "soon"]),
        ("usage_json", &["--json", "run"]),
    ] {
        let ran = run(args);
        assert_eq!(ran.code(), 2, "{args:?}");
        insta::assert_snapshot!(name, shown(&ran, &[]));
    }
}

#[test]
fn the_version_is_for_people_and_for_programs() {
    let ran = run(&["version"]);
    assert!(ran.stdout.starts_with("skillbox "), "{}", ran.stdout);
    assert_eq!(run(&["--version"]).code(), 0);
    let document = run(&["version", "--json"]).success().json();
    assert!(document["version"].is_string(), "{document}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell]).success();
        assert!(ran.stdout.contains("skillbox") && ran.stdout.contains("validate"), "{shell}");
        // They are read from a pipe by a shell that starts; the launcher's hidden command is nobody's business.
        assert!(!ran.stdout.contains("__launcher"), "{shell}");
    }
}
