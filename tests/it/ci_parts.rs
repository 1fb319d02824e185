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

/// Findings are found by the pattern that the document gives to VS Code.
#[test]
fn the_pattern_for_an_editor_fits_what_is_printed() {
    let text = file("docs/editors.md");
    let json = text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let settings: Value = serde_json::from_str(json).unwrap();
    let task = &settings["tasks"][0];
    let directory = tempfile::tempdir().unwrap();
    for (name, head) in
        [("Bad_Name", "name: Bad_Name\n"), ("good", "name: other\ndescription: Other things.\n")]
    {
        let skill = directory.path().join(name);
        fs::create_dir(&skill).unwrap();
        fs::write(skill.join("SKILL.md"), format!("---\n{head}---\nText.\n")).unwrap();
    }
    let args = task["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let args: Vec<&str> = std::iter::once("validate").chain(args).collect();
    assert_eq!(task["command"], "skillbox validate");
    let ran = crate::support::skillbox::run_in(directory.path(), &args);
    let program = "import json,re,sys\n\
        first, second = [re.compile(p['regexp']) for p in json.loads(sys.argv[1])]\n\
        lines = sys.stdin.read().split('\\n')\n\
        for a, b in zip(lines, lines[1:]):\n    m, n = first.match(a), second.match(b)\n    \
        if m and n: print(m[1], m[2], n[1], n[2], n[3])\n";
    let mut python = std::process::Command::new("python3")
        .args(["-c", program, &task["problemMatcher"]["pattern"].to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), ran.stdout.as_bytes()).unwrap();
    let found = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
    let lines: Vec<&str> = found.lines().collect();
    assert!(lines.contains(&"error SB044 Bad_Name/SKILL.md 2 7"), "{found}\n{}", ran.stdout);
    let errors = ran.stdout.lines().filter(|line| line.starts_with("error[")).count();
    assert_eq!(lines.iter().filter(|line| line.starts_with("error ")).count(), errors, "{}", ran.stdout);
}
