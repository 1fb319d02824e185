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

/// A repository of skills that uses the hook.
struct Repository {
    directory: TempDir,
}

impl Repository {
    /// With one good skill, committed.
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (hooks, work) = (directory.path().join("hooks"), directory.path().join("work"));
        // A repository with the hooks only: what they run is on PATH.
        fs::create_dir_all(&hooks).unwrap();
        fs::copy(repository().join(".pre-commit-hooks.yaml"), hooks.join(".pre-commit-hooks.yaml")).unwrap();
        fs::create_dir_all(&work).unwrap();
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
        let new = Self { directory };
        new.put(
            "skills/good/SKILL.md",
            &format!("{HEAD}Run `scripts/main.py`, then read references/more.md.\n"),
        );
        new.put("skills/good/scripts/main.py", "print(1)\n");
        new.put("skills/good/references/more.md", "More.\n");
        new.passes();
        new
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.directory.path().join("work").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, args: &[&str]) -> Ran {
        git(&self.directory.path().join("work"), args)
    }

    /// Commits everything; the commit is made.
    #[track_caller]
    fn passes(&self) {
        assert_eq!(self.git(&["add", "--all"]).code(), 0);
        let ran = self.git(&["commit", "-m", "A change"]);
        assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    }

    /// Commits everything; the commit is not made, and the hook says these things.
    #[track_caller]
    fn is_stopped(&self, says: &[&str]) {
        assert_eq!(self.git(&["add", "--all"]).code(), 0);
        let ran = self.git(&["commit", "-m", "A change"]);
        assert_ne!(ran.code(), 0);
        let told = ran.stdout + &ran.stderr;
        assert!(says.iter().all(|said| told.contains(said)), "{told}");
        assert_eq!(self.git(&["reset", "--quiet", "--hard"]).code(), 0);
    }
}

const HEAD: &str = "---\nname: good\ndescription: Does things.\n---\n\n";

#[test]
fn pre_commit_stops_a_commit_with_a_bad_skill() {
    if !require("pre-commit") {
        return;
    }
    let work = Repository::new();
    work.put("skills/good/SKILL.md", &HEAD.replace("good", "Good"));
    work.is_stopped(&["SB044", "skills/good/SKILL.md"]);
    assert_eq!(work.git(&["rev-list", "--count", "HEAD"]).stdout.trim(), "1");
}

#[test]
fn pre_commit_skips_what_is_in_no_skill() {
    if !require("pre-commit") {
        return;
    }
    let work = Repository::new();
    work.put("scripts/deploy.sh", "if\n");
    work.put("assets/app.css", "a {}\n");
    work.put("README.md", "[a](no.md)\n");
    work.passes();
    // A skill that goes as a whole leaves nothing to check.
    work.git(&["rm", "--quiet", "-r", "skills/good"]);
    work.passes();
}

#[test]
fn pre_commit_checks_the_skill_around_each_file_also_a_removed_one() {
    if !require("pre-commit") {
        return;
    }
    let work = Repository::new();
    let linked = format!("{HEAD}Run `scripts/main.py`, then read [more](references/more.md).\n");
    work.put("skills/good/SKILL.md", &linked);
    work.passes();
    work.git(&["rm", "--quiet", "skills/good/references/more.md"]);
    work.is_stopped(&["SB123", "references/more.md"]);
    work.git(&["rm", "--quiet", "skills/good/SKILL.md"]);
    work.is_stopped(&["SB001", "skills/good"]);
    work.put("skills/good/requirements.txt", "git+https://example.com/a/b\n");
    work.is_stopped(&["SB209", "requirements.txt"]);
}
