//! `diff`: two skills, folders or bundles, compared.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use serde_json::Value;

use super::{HEAD, copy_of, made, pack_json, write};
use crate::support::{skillbox::run_in, snapshot::shown};

#[test]
fn equal_skills_differ_in_nothing() {
    let directory = made(&[("scripts/run.sh", "#!/bin/sh\n")]);
    let path = directory.path();
    pack_json(path, &["made"]);
    for (a, b) in [("made", "made.skill"), ("made.skill", "made/SKILL.md"), ("made.skill", "made.skill")] {
        let ran = run_in(path, &["diff", a, b]);
        assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""), "{a} {b}");
        let document = run_in(path, &["--json", "diff", a, b]);
        assert_eq!((document.code(), &document.json()["same"]), (0, &Value::Bool(true)));
    }
}

#[test]
fn differences_are_told_by_field_file_and_line() {
    let directory = made(&[
        ("scripts/run.sh", "#!/bin/sh\necho 1\necho 2\n"),
        ("old.md", "gone\n"),
        ("assets/logo.bin", "a\0b"),
        ("LICENSE", "text\n"),
    ]);
    let path = directory.path();
    pack_json(path, &["made"]);
    let (after, root) = (path.join("after"), path.join("made"));
    copy_of(&root, &after);
    write(
        &after,
        &[
            ("SKILL.md", &HEAD.replace("\n---\n\n", "\nlicense: MIT\nmetadata:\n  version: \"2\"\n---\n\n")),
            ("scripts/run.sh", "#!/bin/sh\necho 1\nprintf '\x1b]0;owned\x07'\n"),
            ("new.md", "new\nlines\n"),
            ("assets/logo.bin", "a\0c"),
        ],
    );
    fs::remove_file(after.join("old.md")).unwrap();
    fs::set_permissions(after.join("LICENSE"), Permissions::from_mode(0o755)).unwrap();
    let ran = run_in(path, &["diff", "made.skill", "after"]);
    insta::assert_snapshot!("diff", shown(&ran, &[]));
    assert_eq!(ran.code(), 1);
    assert!(!ran.stdout.contains('\x1b'));
    for option in ["--name-only", "--stat"] {
        let ran = run_in(path, &["diff", "made.skill", "after", option]);
        assert_eq!(ran.code(), 1);
        insta::assert_snapshot!(format!("diff{option}"), shown(&ran, &[]));
    }
    let document = run_in(path, &["--json", "diff", "made.skill", "after"]);
    assert_eq!(document.code(), 1);
    let document = document.json();
    let changes: Vec<(&str, &str)> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].as_str().unwrap(), file["change"].as_str().unwrap()))
        .collect();
    assert_eq!(
        changes,
        [
            ("LICENSE", "mode"),
            ("SKILL.md", "changed"),
            ("assets/logo.bin", "changed"),
            ("new.md", "added"),
            ("old.md", "removed"),
            ("scripts/run.sh", "changed"),
        ]
    );
    assert_eq!(document["fields"][0], serde_json::json!({"field": "license", "after": "MIT"}));
    assert_eq!(document["files"][2]["binary"], true);
    assert!(document["files"][5]["diff"].as_str().unwrap().contains("-echo 2\n+printf"));
}

/// The text is what `patch` takes, so that a reviewed difference can be applied.
#[test]
fn differences_of_ordinary_texts_can_be_applied() {
    let directory = made(&[("a.md", "one\ntwo\nthree\n"), ("b.md", "no end")]);
    let path = directory.path();
    copy_of(&path.join("made"), &path.join("after"));
    write(
        &path.join("after"),
        &[("a.md", "one\n2\nthree\nfour\n"), ("b.md", "now\nan end\n"), ("c/d.md", "new\n")],
    );
    let ran = run_in(path, &["diff", "made", "after"]);
    fs::write(path.join("x.patch"), &ran.stdout).unwrap();
    let applied = std::process::Command::new("git")
        .args(["apply", "-p1", "--directory", "made", "x.patch"])
        .current_dir(path)
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}\n{}", String::from_utf8_lossy(&applied.stderr), ran.stdout);
    assert_eq!(run_in(path, &["diff", "made", "after"]).code(), 0);
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let directory = made(&[]);
    let path = directory.path();
    fs::write(path.join("bad.skill"), "no zip").unwrap();
    for other in ["none", "bad.skill"] {
        let ran = run_in(path, &["diff", "made", other]);
        assert_eq!((ran.code(), ran.stdout.as_str()), (2, ""), "{other}");
        let ran = run_in(path, &["--json", "diff", other, "made"]);
        assert_eq!(ran.code(), 2, "{other}");
        assert!(ran.json()["error"].is_string());
    }
}
