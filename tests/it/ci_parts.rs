//! What runs skillbox elsewhere: the GitHub action, the hooks for pre-commit, the editors' settings, the schema.
//!
//! Each is a file that nobody compiles, so here they are read, and what they run is run.

mod action;
mod hooks;
mod schema;

use std::fs;

use serde_json::Value;
use serde_yaml as yaml;

use crate::support::skillbox::{repository, run};

/// A file of this repository.
fn file(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// A YAML file of this repository.
fn document(path: &str) -> Value {
    yaml::from_str(&file(path)).unwrap()
}

/// The words after each `skillbox` that a text of shell commands runs.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        for part in line.split(['|', ';', '&']) {
            let words: Vec<&str> =
                part.split_whitespace().map(|word| word.trim_matches(['"', '`', '$', '('])).collect();
            let is_ours = |word: &&str| *word == "skillbox" || word.ends_with("/skillbox");
            if let Some(at) = words.iter().position(is_ours) {
                found.push(words[at + 1..].iter().map(|word| (*word).to_owned()).collect());
            }
        }
    }
    found
}

/// The options that the help of a command names, and whether there is such a command.
fn understood(command: &str) -> Option<String> {
    let help = run(&[command, "--help"]);
    (help.code() == 0).then_some(help.stdout)
}

/// Every command and option in a text of shell commands is one that the executable knows.
#[track_caller]
fn check_commands(origin: &str, text: &str) -> usize {
    let mut seen = 0;
    for words in commands(text) {
        let mut options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
        let Some(command) = words.iter().find(|word| word.chars().all(|c| c.is_ascii_lowercase())) else {
            // Such as `skillbox --version`.
            assert!(
                options
                    .all(|option| run(&["--help"]).stdout.contains(option.as_str()) || option == "--version")
            );
            continue;
        };
        seen += 1;
        let help =
            understood(command).unwrap_or_else(|| panic!("{origin}: `skillbox {command}` is no command"));
        for option in options.by_ref() {
            let known = help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n"));
            assert!(known, "{origin}: `skillbox {command}` has no {option}");
        }
    }
    seen
}

#[test]
fn documents_name_commands_that_exist() {
    for path in ["docs/ci.md", "docs/bundles.md", "docs/editors.md", "crates/cli/templates/ci/github.yml"] {
        let text = file(path).replace("- run: ", "").replace("- .cargo/bin/", "");
        // In documents, sentences have `skillbox COMMAND` in backticks: everything between them is a command.
        let spans: String = if path.ends_with(".md") {
            let mut fenced = false;
            let mut out = String::new();
            for line in text.lines() {
                if line.trim_start().starts_with("```") {
                    fenced = !fenced;
                } else if fenced {
                    out.push_str(&format!("{line}\n"));
                } else {
                    for span in line.split('`').skip(1).step_by(2) {
                        out.push_str(&format!("{span}\n"));
                    }
                }
            }
            out
        } else {
            text
        };
        assert!(check_commands(path, &spans) > 0, "{path} runs nothing");
    }
}

/// Runs a program of Python on a text, with one argument.
fn python(program: &str, argument: &str, input: &str) -> String {
    let mut python = std::process::Command::new("python3")
        .args(["-c", program, argument])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let ran = python.wait_with_output().unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap()
}

/// Skills with findings at lines of one and two digits, and about whole files.
fn skills_with_findings() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("Bad_Name", "---\nname: Bad_Name\n---\nText.\n".to_owned()),
        (
            "good",
            format!(
                "---\nname: good\ndescription: Other things.\n---\n{}[a](no.md)\n",
                "Text.\n".repeat(120)
            ),
        ),
    ] {
        let skill = directory.path().join(name);
        fs::create_dir_all(skill.join("references")).unwrap();
        fs::write(skill.join("SKILL.md"), text).unwrap();
        fs::write(skill.join("references/orphan.md"), "x\n").unwrap();
    }
    directory
}

/// Every finding is found by the pattern that the document gives to VS Code.
#[test]
fn the_pattern_for_vs_code_fits_every_finding() {
    let text = file("docs/editors.md");
    let json = text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let settings: Value = serde_json::from_str(json).unwrap();
    let task = &settings["tasks"][0];
    let directory = skills_with_findings();
    let args = task["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let args: Vec<&str> = std::iter::once("validate").chain(args).collect();
    assert_eq!(task["command"], "skillbox validate");
    let ran = crate::support::skillbox::run_in(directory.path(), &args);
    let program = "import json,re,sys\n\
        p = json.loads(sys.argv[1])\n\
        for line in sys.stdin.read().splitlines():\n    m = re.match(p['regexp'], line)\n    \
        if m: print(*(m[p[k]] for k in ('severity', 'code', 'file', 'line', 'column')))\n";
    let found = python(program, &task["problemMatcher"]["pattern"].to_string(), &ran.stdout);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), ran.stdout.lines().count(), "{found}\n{}", ran.stdout);
    for wanted in [
        "error SB044 Bad_Name/SKILL.md 2 7",
        "error SB123 good/SKILL.md 125 5",
        "warning SB127 good/references/orphan.md 1 1",
    ] {
        assert!(lines.contains(&wanted), "{wanted}\n{found}");
    }
}

/// The same for the errorformat of Vim, whose items are those of its manual (`:help errorformat`).
#[test]
fn the_errorformat_for_vim_fits_every_finding() {
    let text = file("docs/editors.md");
    let format = text.split("errorformat=").nth(1).unwrap().lines().next().unwrap().replace("\\ ", " ");
    let directory = skills_with_findings();
    let args = ["--color", "never", "--quiet", "validate", "--format", "concise", "."];
    let makeprg = text.split("makeprg=").nth(1).unwrap().lines().next().unwrap().replace("\\ ", " ");
    assert_eq!(makeprg, format!("skillbox {} %:p:h", args[..6].join(" ")));
    let ran = crate::support::skillbox::run_in(directory.path(), &args);
    let program = "import re,sys\n\
        items = {'%f': '(?P<f>.+?)', '%l': r'(?P<l>\\d+)', '%c': r'(?P<c>\\d+)', '%t': '(?P<t>.)', '%m': '(?P<m>.+)'}\n\
        pattern = ''\n\
        for part in re.findall(r'%\\*\\[[^]]*\\]|%.|.', sys.argv[1]):\n    \
        pattern += items.get(part) or (part[2:] + '+' if part.startswith('%*') else re.escape(part))\n\
        for line in sys.stdin.read().splitlines():\n    m = re.fullmatch(pattern, line)\n    \
        if m: print(m['t'], m['f'], m['l'], m['c'])\n";
    let found = python(program, &format, &ran.stdout);
    assert_eq!(found.lines().count(), ran.stdout.lines().count(), "{found}\n{}", ran.stdout);
    assert!(found.lines().any(|line| line == "e good/SKILL.md 125 5"), "{found}");
}
