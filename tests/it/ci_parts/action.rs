//! `action.yml`: its steps are run by bash as GitHub runs them, with files in place of what GitHub provides.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use super::{check_commands, document};
use crate::support::skillbox::{Ran, executable, repository};

/// One run of the action.
struct Job {
    directory: TempDir,
    inputs: BTreeMap<String, String>,
    /// What stands before `PATH`, as a step may add to it.
    path: String,
}

impl Job {
    /// A job in a directory with a good and a doubtful skill.
    fn new(inputs: &[(&str, &str)]) -> Self {
        let action = document("action.yml");
        let defaults = action["inputs"].as_object().unwrap().iter();
        let mut all: BTreeMap<String, String> = defaults
            .map(|(name, input)| (name.clone(), input["default"].as_str().unwrap_or_default().to_owned()))
            .collect();
        for (name, value) in inputs {
            assert!(all.contains_key(*name), "no input {name}");
            all.insert((*name).to_owned(), (*value).to_owned());
        }
        let directory = TempDir::new().unwrap();
        for name in ["good", "doubtful"] {
            let skill = directory.path().join("skills").join(name);
            fs::create_dir_all(&skill).unwrap();
            let written = if name == "good" { "good" } else { "otherwise-called" };
            let text = format!("---\nname: {written}\ndescription: Does things when asked.\n---\n\nDo it.\n");
            fs::write(skill.join("SKILL.md"), text).unwrap();
        }
        fs::create_dir(directory.path().join("temp")).unwrap();
        Self { directory, inputs: all, path: std::env::var("PATH").unwrap() }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// A value with its expressions in place.
    fn value(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").unwrap();
            out.push_str(before);
            out.push_str(&match expression.trim() {
                "github.action_path" => repository().display().to_string(),
                expression => {
                    let input = expression.strip_prefix("inputs.").unwrap_or_else(|| panic!("{expression}"));
                    self.inputs[input].clone()
                }
            });
            rest = after;
        }
        out + rest
    }

    /// Whether a step's condition holds.
    fn holds(&self, condition: &Value) -> bool {
        let Some(condition) = condition.as_str() else { return true };
        let (input, wanted) = condition.split_once(" == ").unwrap();
        self.inputs[input.strip_prefix("inputs.").unwrap()] == wanted.trim_matches('\'')
    }

    /// Runs the step of this name as GitHub does.
    fn step(&mut self, name: &str) -> Ran {
        let action = document("action.yml");
        let steps = action["runs"]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}"));
        assert!(self.holds(&step["if"]), "the step {name} would not run");
        let script = self.at("temp/step.sh");
        fs::write(&script, step["run"].as_str().unwrap()).unwrap();
        for file in ["env", "output", "path"] {
            fs::write(self.at(file), "").unwrap();
        }
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(&script);
        bash.env_clear().env("PATH", &self.path).env("HOME", self.directory.path());
        bash.env("RUNNER_TEMP", self.at("temp")).env("GITHUB_ENV", self.at("env"));
        bash.env("GITHUB_OUTPUT", self.at("output")).env("GITHUB_PATH", self.at("path"));
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            bash.env(name, self.value(value.as_str().unwrap()));
        }
        let output = bash.current_dir(self.directory.path()).output().unwrap();
        for line in fs::read_to_string(self.at("path")).unwrap().lines() {
            self.path = format!("{line}:{}", self.path);
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

#[test]
fn the_action_says_what_a_composite_action_must() {
    let action = document("action.yml");
    assert_eq!(action["runs"]["using"], "composite");
    for (name, input) in action["inputs"].as_object().unwrap() {
        assert!(input["description"].as_str().is_some_and(|text| text.len() > 10), "{name}");
        assert!(input["default"].is_string(), "{name}: without a text as default it would be `null`");
    }
    let names: Vec<&String> = action["inputs"].as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["paths", "strict", "profile", "ignore", "baseline", "test", "junit", "sarif", "binary"]
    );
    let text = super::file("docs/ci.md");
    assert!(names.iter().all(|name| text.contains(&format!("| `{name}` |"))), "docs/ci.md lacks an input");
    for step in action["runs"]["steps"].as_array().unwrap() {
        let name = step["name"].as_str().unwrap();
        if let Some(script) = step["run"].as_str() {
            assert_eq!(step["shell"], "bash", "{name}");
            // An expression in a script is text that a stranger may write: it belongs into a variable.
            assert!(!script.contains("${{"), "{name}");
            check_commands(name, script);
        } else {
            assert!(step["uses"].is_string(), "{name}");
        }
    }
}

#[test]
fn a_given_executable_is_used_for_all_steps() {
    let binary = executable().display().to_string();
    let mut job = Job::new(&[("binary", &binary), ("paths", "skills/good\n\n  \nskills/doubtful\n")]);
    let ran = job.step("Install skillbox");
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("skillbox "), "{}", ran.stdout);
    let ran = job.step("Validate");
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    job.inputs.insert("strict".to_owned(), "true".to_owned());
    let strict = job.step("Validate");
    // Whether a name other than the folder's is a warning is validation's business; strictness never accepts more.
    assert!(strict.code() <= 1, "{}", strict.stderr);
    job.inputs.insert("paths".to_owned(), "skills/none".to_owned());
    assert_eq!(job.step("Validate").code(), 2);
    fs::write(job.at("skills/good/SKILL.md"), "no frontmatter").unwrap();
    job.inputs.insert("paths".to_owned(), "skills".to_owned());
    assert_eq!(job.step("Validate").code(), 1);
}

#[test]
fn what_is_checked_can_be_chosen() {
    let binary = executable().display().to_string();
    let mut job = Job::new(&[("binary", &binary), ("paths", "skills"), ("strict", "true")]);
    assert_eq!(job.step("Install skillbox").code(), 0);
    fs::write(job.at("skills/good/SKILL.md"), "---\nname: Good\ndescription: Does things.\n---\n\nDo.\n")
        .unwrap();
    assert_eq!(job.step("Validate").code(), 1);
    job.inputs.insert("ignore".to_owned(), "SB0,SB1".to_owned());
    assert_eq!(job.step("Validate").code(), 0);
    job.inputs.insert("ignore".to_owned(), String::new());
    let baseline = job.at("baseline.json").display().to_string();
    let wrote = Command::new(&binary)
        .args(["validate", "--write-baseline", &baseline, "skills"])
        .current_dir(job.directory.path())
        .status()
        .unwrap();
    assert!(wrote.success());
    job.inputs.insert("baseline".to_owned(), baseline);
    assert_eq!(job.step("Validate").code(), 0);
    job.inputs.insert("profile".to_owned(), "nobody".to_owned());
    assert_eq!(job.step("Validate").code(), 2);
}

#[test]
fn what_was_built_is_found_again_by_its_source() {
    let mut job = Job::new(&[]);
    let tools = job.at("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("rustc"), "#!/bin/sh\necho 'rustc 1.0.0 (x)'\n").unwrap();
    fs::set_permissions(tools.join("rustc"), fs::Permissions::from_mode(0o755)).unwrap();
    job.path = format!("{}:{}", tools.display(), job.path);
    let mut keys = Vec::new();
    for _ in 0..2 {
        let ran = job.step("Name what is built");
        assert_eq!(ran.code(), 0, "{}", ran.stderr);
        keys.push(fs::read_to_string(job.at("output")).unwrap());
    }
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].starts_with("key=skillbox-Linux-") && keys[0].contains("-1.0.0-"), "{}", keys[0]);
    // What came out of the cache is not built again: there is no cargo here.
    fs::create_dir_all(job.at("temp/skillbox/bin")).unwrap();
    fs::copy(executable(), job.at("temp/skillbox/bin/skillbox")).unwrap();
    fs::write(tools.join("cargo"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(tools.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(job.step("Install skillbox").code(), 0);
}

#[test]
fn findings_become_a_file_for_code_scanning() {
    let binary = executable().display().to_string();
    let mut job = Job::new(&[("binary", &binary), ("paths", "skills"), ("sarif", "true")]);
    assert_eq!(job.step("Install skillbox").code(), 0);
    // Findings are no failure here: the step that judges them comes after the upload.
    fs::write(job.at("skills/good/SKILL.md"), "---\nname: Good\ndescription: Does things.\n---\n\nDo.\n")
        .unwrap();
    let ran = job.step("Write findings as SARIF");
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    let output = fs::read_to_string(job.at("output")).unwrap();
    let file = output.trim().strip_prefix("file=").unwrap();
    let report: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(report["version"], "2.1.0");
    let results = report["runs"][0]["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["ruleId"] == "SB044"), "{results:?}");
    assert_eq!(job.step("Validate").code(), 1);
    // What cannot be read is one.
    job.inputs.insert("paths".to_owned(), "skills/none".to_owned());
    assert_eq!(job.step("Write findings as SARIF").code(), 2);
}

#[test]
fn paths_are_data_for_the_shell() {
    let binary = executable().display().to_string();
    let mut job = Job::new(&[
        ("binary", &binary),
        ("paths", "skills/good\n--help\n$(touch owned)\n`touch owned`; touch owned"),
    ]);
    assert_eq!(job.step("Install skillbox").code(), 0);
    let ran = job.step("Validate");
    assert_eq!(ran.code(), 2, "{}", ran.stdout);
    assert!(!job.at("owned").exists());
    let mut job = Job::new(&[("binary", "/nowhere/skillbox")]);
    assert_eq!(job.step("Install skillbox").code(), 2);
}

/// Building takes minutes, so cargo is one that only looks whether it was asked for something that is there.
#[test]
fn without_an_executable_the_actions_own_source_is_built() {
    let mut job = Job::new(&[]);
    let tools = job.at("tools");
    fs::create_dir(&tools).unwrap();
    let script = format!(
        "#!/usr/bin/env bash\nset -euo pipefail\n\
         [[ $1 == install ]]; shift\n\
         while (($#)); do case $1 in --path) source=$2; shift 2;; --root) root=$2; shift 2;; *) shift;; esac; done\n\
         grep -q '^name = \"skillbox\"' \"$source/Cargo.toml\"\n\
         mkdir -p \"$root/bin\"; cp '{}' \"$root/bin/skillbox\"\n",
        executable().display()
    );
    fs::write(tools.join("cargo"), script).unwrap();
    fs::set_permissions(tools.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    job.path = format!("{}:{}", tools.display(), job.path);
    let ran = job.step("Install skillbox");
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert!(Path::new(job.path.split(':').next().unwrap()).join("skillbox").is_file());
    assert_eq!(job.step("Validate").code(), 0);
}
