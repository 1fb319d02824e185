//! `.pre-commit-hooks.yaml`, read as a file and used by the real pre-commit in a repository of the test's own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{check_commands, document};
use crate::support::{
    require::{prepare, require},
    skillbox::{Ran, executable, repository},
};

#[test]
fn hooks_run_what_is_there() {
    let hooks = document(".pre-commit-hooks.yaml");
    let hooks = hooks.as_array().unwrap();
    let ids: Vec<&str> = hooks.iter().map(|hook| hook["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["skillbox-validate", "skillbox-validate-build"]);
    for hook in hooks {
        let (entry, id) = (hook["entry"].as_str().unwrap(), hook["id"].as_str().unwrap());
        assert!(super::file("docs/ci.md").contains(id));
        match hook["language"].as_str().unwrap() {
            "system" => assert_eq!(check_commands(id, entry), 1),
            "script" => {
                let script = repository().join(entry);
                let checked = Command::new("bash").arg("-n").arg(&script).status().unwrap();
                assert!(checked.success(), "{entry}");
                check_commands(id, &fs::read_to_string(script).unwrap());
            }
            other => panic!("{id}: {other}"),
        }
    }
}

/// The script of the second hook, with a cargo that copies instead of building.
#[test]
fn the_hook_that_builds_does_it_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    for name in ["clone/deploy", "tools", "good"] {
        fs::create_dir_all(path.join(name)).unwrap();
    }
    fs::copy(repository().join("deploy/pre-commit.sh"), path.join("clone/deploy/pre-commit.sh")).unwrap();
    fs::write(path.join("good/SKILL.md"), "---\nname: good\ndescription: Does things.\n---\n\nDo it.\n")
        .unwrap();
    let cargo = format!(
        "#!/bin/sh\necho \"$@\" >>'{0}/built'\nmkdir -p \"$CARGO_TARGET_DIR/release\"\ncp '{1}' \"$CARGO_TARGET_DIR/release/skillbox\"\n",
        path.display(),
        executable().display()
    );
    fs::write(path.join("tools/cargo"), cargo).unwrap();
    prepare(Command::new("chmod").arg("755").arg(path.join("tools/cargo")));
    let run = || {
        let mut hook = Command::new(path.join("clone/deploy/pre-commit.sh"));
        let path_variable = format!("{}:{}", path.join("tools").display(), env::var("PATH").unwrap());
        hook.arg("good/SKILL.md").env("PATH", path_variable).current_dir(path).output().unwrap()
    };
    for _ in 0..2 {
        let ran = run();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let built = fs::read_to_string(path.join("built")).unwrap();
    assert_eq!(built.lines().count(), 1, "{built}");
    assert!(built.contains("--package cli") && built.contains("--locked"), "{built}");
    fs::write(path.join("good/SKILL.md"), "no frontmatter").unwrap();
    assert_eq!(run().status.code(), Some(1));
}

/// Where pre-commit is: installed by `make setup`, or on `PATH`.
fn program() -> PathBuf {
    crate::support::require::pre_commit().unwrap()
}

fn git(directory: &Path, args: &[&str]) -> Ran {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "user.name=Test",
        "-c",
        "user.email=test@example.com",
        "-c",
        "protocol.file.allow=always",
    ])
    .args(args);
    with_tools(&mut git, directory)
}

fn with_tools(command: &mut Command, directory: &Path) -> Ran {
    let tools = executable().parent().unwrap().display().to_string();
    let path = format!("{tools}:{}:{}", program().parent().unwrap().display(), env::var("PATH").unwrap());
    command.env_clear().env("PATH", path).env("HOME", directory.parent().unwrap());
    let output = command.current_dir(directory).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn pre_commit_stops_a_commit_with_a_bad_skill() {
    if !require("pre-commit") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (hooks, work) = (directory.path().join("hooks"), directory.path().join("work"));
    // A repository with the hooks only: what they run is on PATH.
    fs::create_dir_all(&hooks).unwrap();
    fs::copy(repository().join(".pre-commit-hooks.yaml"), hooks.join(".pre-commit-hooks.yaml")).unwrap();
    fs::create_dir_all(work.join("skills/good")).unwrap();
    for repository in [&hooks, &work] {
        assert_eq!(git(repository, &["init", "--quiet"]).code(), 0);
    }
    assert_eq!(git(&hooks, &["add", "."]).code(), 0);
    assert_eq!(git(&hooks, &["commit", "--quiet", "-m", "Hooks"]).code(), 0);
    let rev = git(&hooks, &["rev-parse", "HEAD"]).stdout.trim().to_owned();
    let config = format!(
        "repos:\n  - repo: {}\n    rev: {rev}\n    hooks:\n      - id: skillbox-validate\n",
        hooks.display()
    );
    fs::write(work.join(".pre-commit-config.yaml"), config).unwrap();
    let installed = with_tools(Command::new(program()).arg("install"), &work);
    assert_eq!(installed.code(), 0, "{}{}", installed.stdout, installed.stderr);
    let commit = |text: &str| {
        fs::write(work.join("skills/good/SKILL.md"), text).unwrap();
        assert_eq!(git(&work, &["add", "."]).code(), 0);
        git(&work, &["commit", "-m", "A skill"])
    };
    fs::create_dir(work.join("skills/good/scripts")).unwrap();
    fs::write(work.join("skills/good/scripts/main.py"), "print(1)\n").unwrap();
    let good = commit("---\nname: good\ndescription: Does things.\n---\n\nDo it.\n");
    assert_eq!(good.code(), 0, "{}{}", good.stdout, good.stderr);
    let bad = commit("---\nname: Good\ndescription: Does things.\n---\n\nDo it.\n");
    assert_ne!(bad.code(), 0);
    let told = bad.stdout + &bad.stderr;
    assert!(told.contains("SB044") && told.contains("skills/good/SKILL.md"), "{told}");
    assert_eq!(git(&work, &["rev-list", "--count", "HEAD"]).stdout.trim(), "1");
}
