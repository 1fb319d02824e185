//! `new`: what it makes can be validated, run and packed as it is, and it replaces nothing.

use std::{fs, path::Path};

use serde_json::Value;
use serde_yaml as yaml;
use tempfile::TempDir;

use crate::support::{
    require::require,
    skillbox::{Ran, command, executable, run_in},
    snapshot::shown,
};

fn new(directory: &Path, args: &[&str]) -> Ran {
    run_in(directory, &[&["new"], args].concat())
}

/// Runs a line as a shell would, with our `skillbox` found first.
fn shell(directory: &Path, line: &str) -> Ran {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", executable().parent().unwrap().display());
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", line])
        .env_clear()
        .envs(command().get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = shell.env("PATH", path).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_new_skill_is_good_and_says_what_to_do_next() {
    if !require("native") {
        return;
    }
    for (lang, parts) in [("python", "tests,references,assets"), ("bash", "tests"), ("python", "assets")] {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let ran = new(path, &["word-count", "--lang", lang, "--with", parts]);
        assert_eq!(ran.code(), 0, "{}", ran.stderr);
        insta::assert_snapshot!(format!("new_{lang}_{}", parts.replace(',', "_")), shown(&ran, &[]));
        let next = ran.stdout.split("next:\n").nth(1).unwrap().lines().map(str::trim);
        let mut seen = 0;
        for line in next {
            let ran = shell(path, line);
            assert_eq!(ran.code(), 0, "{line}: {}{}", ran.stdout, ran.stderr);
            seen += 1;
        }
        assert_eq!(seen, if parts.contains("tests") { 4 } else { 3 }, "{lang}");
        assert!(path.join("word-count.skill").is_file());
        let counts: Value =
            serde_json::from_slice(&fs::read(path.join("output/counts.json")).unwrap()).unwrap();
        assert!(counts["words"].as_u64().unwrap() > 50, "{counts}");
    }
}

/// What the test file asks for is what the script does; the words of the file are read here by hand.
#[test]
fn the_test_of_a_new_skill_tells_the_truth() {
    if !require("native") {
        return;
    }
    for lang in ["python", "bash"] {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        assert_eq!(new(path, &["a-skill", "--lang", lang]).code(), 0);
        let tests = path.join("a-skill/tests");
        let file: Value = yaml::from_str(&fs::read_to_string(tests.join("main.test.yaml")).unwrap()).unwrap();
        assert_eq!(file["version"], 1);
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let words = case["run"]["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
            let mut inputs = Vec::new();
            for (destination, fixture) in case["input"]["files"].as_object().into_iter().flatten() {
                let fixture = tests.join(fixture.as_str().unwrap());
                assert!(fixture.is_file(), "{fixture:?}");
                inputs.push("-i".to_owned());
                inputs.push(format!("{}:/workspace/{destination}", fixture.display()));
            }
            let mut args = vec!["run", "a-skill", case["run"]["script"].as_str().unwrap()];
            args.extend(inputs.iter().map(String::as_str));
            args.push("--");
            args.extend(words);
            let _ = fs::remove_dir_all(path.join("output"));
            let ran = run_in(path, &args);
            let expect = &case["expect"];
            assert_eq!(expect["exit_code"], ran.code(), "{case}: {}{}", ran.stdout, ran.stderr);
            for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
                if let Some(part) = expect[stream]["contains"].as_str() {
                    assert!(text.contains(part), "{case}: {text}");
                }
            }
            for file in expect["files"].as_array().into_iter().flatten() {
                assert!(path.join("output").join(file["path"].as_str().unwrap()).is_file(), "{case}");
            }
        }
    }
}

#[test]
fn bad_names_and_descriptions_make_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let ran = new(path, &["My Skill!"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("`my-skill`"), "{}", ran.stderr);
    for name in ["../up", "a--b", "nul", "", "技能"] {
        assert_eq!(new(path, &[name]).code(), 2, "{name}");
    }
    for description in ["", " ", &"x".repeat(1025)] {
        let ran = new(path, &["good", "--description", description]);
        assert_eq!(ran.code(), 2, "{}", ran.stderr);
    }
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    let document = new(path, &["--json", "Bad"]);
    assert_eq!((document.code(), &document.json()["code"]), (2, &Value::from("NAME_INVALID")));
}

#[test]
fn nothing_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    fs::create_dir(path.join("mine")).unwrap();
    fs::write(path.join("mine/SKILL.md"), "mine").unwrap();
    let ran = new(path, &["mine"]);
    assert_eq!(ran.code(), 2, "{}", ran.stdout);
    assert_eq!(fs::read(path.join("mine/SKILL.md")).unwrap(), b"mine");
    // A workflow that is there stands in the way of the whole.
    let workflows = path.join(".github/workflows");
    fs::create_dir_all(&workflows).unwrap();
    fs::write(workflows.join("skill-other.yml"), "mine").unwrap();
    assert_eq!(new(path, &["other", "--ci", "github"]).code(), 2);
    assert!(!path.join("other").exists());
    assert_eq!(fs::read(workflows.join("skill-other.yml")).unwrap(), b"mine");
}

#[test]
fn a_workflow_goes_to_the_top_of_the_repository_and_calls_us_rightly() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    fs::create_dir_all(path.join(".git")).unwrap();
    fs::create_dir(path.join("work")).unwrap();
    let description = "Counts words: all of them. Use it when words are to be counted.";
    let ran = new(
        &path.join("work"),
        &["--json", "counter", "--dir", "skills", "--ci", "github", "--description", description],
    );
    let document = ran.success().json();
    assert_eq!(document["path"], "skills/counter");
    let workflow = fs::read_to_string(path.join(".github/workflows/skill-counter.yml")).unwrap();
    assert!(workflow.contains("\"work/skills/counter/**\""), "{workflow}");
    let parsed: Value = yaml::from_str(&workflow).unwrap();
    let steps = parsed["jobs"]["check"]["steps"].as_array().unwrap();
    let commands = steps.iter().filter_map(|step| step["run"].as_str());
    let mut seen = 0;
    for line in commands.filter(|line| line.starts_with("skillbox ")) {
        let ran = shell(path, line);
        assert_eq!(ran.code(), 0, "{line}: {}{}", ran.stdout, ran.stderr);
        seen += 1;
    }
    assert_eq!(seen, 2);
    let inspected = run_in(path, &["--json", "inspect", "work/skills/counter"]).success().json();
    assert_eq!(inspected["description"], description);
}
