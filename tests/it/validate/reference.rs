//! The profile `spec` beside the reference library itself: the same verdict on texts that nobody has written.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    require::require,
    skillbox::{repository, run_in},
};

/// Writes random skills, one folder each, and prints the library's verdict on each as JSON.
const ORACLE: &str = include_str!("oracle.py");

#[test]
fn the_verdict_on_random_texts_is_that_of_the_library() {
    if !require("skills-ref") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let script = directory.path().join("oracle.py");
    fs::write(&script, ORACLE).unwrap();
    let python = repository().join("target/tools/skills-ref/bin/python");
    let oracle = Command::new(python)
        .arg(&script)
        .arg(directory.path().join("all"))
        .args(["7", "800"])
        .output()
        .unwrap();
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    let verdicts: Value = serde_json::from_slice(&oracle.stdout).unwrap();
    let document = run_in(directory.path(), &["--json", "validate", "--profile", "spec", "all"]).json();
    let mut compared = 0;
    let mut valid = 0;
    for skill in document["skills"].as_array().unwrap() {
        let source = skill["source"].as_str().unwrap();
        let theirs = &verdicts[source.strip_prefix("all/").unwrap()];
        let text = fs::read_to_string(directory.path().join(source).join("SKILL.md")).unwrap();
        assert_eq!(&skill["valid"], &theirs["valid"], "{text:?}\ntheirs: {theirs}\nours: {skill}");
        compared += 1;
        valid += usize::from(skill["valid"] == true);
    }
    assert_eq!(compared, 800);
    assert!((50..750).contains(&valid), "the texts are hardly ever one thing or the other: {valid}");
    assert!(Path::new(&directory.path().join("all")).is_dir());
}
