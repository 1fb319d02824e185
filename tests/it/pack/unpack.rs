//! `unpack`: what is safe becomes a folder, at once; what is not leaves nothing.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde_json::Value;
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{HEAD, made, names, pack_json, paths};
use crate::support::{skillbox::run_in, snapshot::shown};

/// A bundle with these entries, as another program would write it.
fn bundle(path: &Path, entries: &[(&str, &str, u32)]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, text, mode) in entries {
        zip.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn a_bundle_becomes_a_folder_with_plain_modes() {
    let directory = made(&[("scripts/run.sh", "#!/bin/sh\n"), ("a.md", "a")]);
    let path = directory.path();
    let packed = pack_json(path, &["made"]);
    fs::rename(path.join("made"), path.join("origin")).unwrap();
    let ran = run_in(path, &["unpack", "made.skill"]);
    insta::assert_snapshot!("unpack", shown(&ran, &[]));
    assert_eq!(ran.code(), 0);
    assert_eq!(names(path), ["made", "made.skill", "origin"]);
    let mode = |name: &str| fs::metadata(path.join("made").join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("."), mode("SKILL.md"), mode("scripts/run.sh")), (0o755, 0o644, 0o755));
    let document = run_in(path, &["--json", "unpack", "made.skill", "-o", "new/deep"]);
    assert_eq!(document.code(), 2, "the directory above is not made");
    fs::create_dir_all(path.join("new/deep")).unwrap();
    let document = run_in(path, &["--json", "unpack", "made.skill", "-o", "new/deep"]).success().json();
    assert_eq!(
        (&document["digest"], &document["sha256"], &document["slug"]),
        (&packed["digest"], &packed["sha256"], &Value::from("made"))
    );
    assert_eq!(paths(&document["files"]), ["SKILL.md", "a.md", "scripts/run.sh"]);
    assert_eq!(names(&path.join("new")), ["deep"]);
}

#[test]
fn nothing_is_unpacked_over_something_else() {
    let directory = made(&[]);
    let path = directory.path();
    pack_json(path, &["made"]);
    let ran = run_in(path, &["unpack", "made.skill"]);
    assert_eq!(ran.code(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("-o"), "{}", ran.stderr);
    fs::write(path.join("file"), "mine").unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    std::os::unix::fs::symlink("empty", path.join("link")).unwrap();
    for taken in ["file", "link", "made", ".", "file/x"] {
        assert_eq!(run_in(path, &["unpack", "made.skill", "-o", taken]).code(), 2, "{taken}");
    }
    assert_eq!(run_in(&path.join("empty"), &["unpack", "../made.skill", "-o", "."]).code(), 2);
    assert_eq!(run_in(path, &["unpack", "none.skill"]).code(), 2);
    assert_eq!(names(path), ["empty", "file", "link", "made", "made.skill"]);
    assert_eq!(fs::read(path.join("file")).unwrap(), b"mine");
    run_in(path, &["unpack", "made.skill", "-o", "empty"]).success();
    assert_eq!(names(&path.join("empty")), ["SKILL.md"]);
}

#[test]
fn a_refused_bundle_says_why_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    bundle(&path.join("slip.skill"), &[("a/SKILL.md", HEAD, 0o644), ("a/../../evil.sh", "x", 0o755)]);
    bundle(&path.join("twice.skill"), &[("a/SKILL.md", HEAD, 0o644), ("a/skill.MD", HEAD, 0o644)]);
    bundle(&path.join("none.skill"), &[("a/README.md", "x", 0o644)]);
    fs::write(path.join("noise.skill"), "no zip at all").unwrap();
    let mut link = ZipWriter::new(File::create(path.join("link.skill")).unwrap());
    link.start_file("a/SKILL.md", SimpleFileOptions::default()).unwrap();
    link.write_all(HEAD.as_bytes()).unwrap();
    link.add_symlink("a/passwd", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    link.finish().unwrap();
    let before = names(path);
    for (name, code) in
        [("slip", "AR005"), ("twice", "AR009"), ("none", "SB001"), ("noise", "AR001"), ("link", "AR011")]
    {
        let file = format!("{name}.skill");
        let ran = run_in(path, &["unpack", &file]);
        assert_eq!(ran.code(), 1, "{name}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(&format!("[{code}]")) && ran.stderr.contains("hint:"), "{}", ran.stderr);
        let document = run_in(path, &["--json", "unpack", &file, "-o", "there"]);
        assert_eq!((document.code(), &document.json()["code"]), (1, &Value::from(code)));
        assert_eq!(names(path), before, "{name}");
    }
    assert!(!path.parent().unwrap().join("evil.sh").exists());
}

/// A folder with a stranger's `.git` runs a stranger's programs as soon as somebody works in it.
#[test]
fn what_never_belongs_to_a_skill_is_not_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    bundle(
        &path.join("made.skill"),
        &[
            ("made/SKILL.md", HEAD, 0o644),
            ("made/.git/config", "[core]\n\tfsmonitor = touch owned\n", 0o644),
            ("made/.envrc", "touch owned\n", 0o644),
        ],
    );
    let ran = run_in(path, &["unpack", "made.skill"]);
    assert_eq!(ran.code(), 0);
    assert!(ran.stderr.contains("`.git` is not kept"), "{}", ran.stderr);
    assert_eq!(names(&path.join("made")), ["SKILL.md"]);
    // Nor does a bundle without a good name choose a hidden one.
    bundle(&path.join("odd.skill"), &[(".git/SKILL.md", "no frontmatter", 0o644)]);
    assert_eq!(run_in(path, &["unpack", "odd.skill"]).code(), 2);
    let ran = run_in(path, &["unpack", "odd.skill", "-o", "odd"]);
    assert_eq!((ran.code(), names(&path.join("odd"))), (0, vec!["SKILL.md".to_owned()]));
    assert!(ran.stderr.contains("skillbox validate odd"), "{}", ran.stderr);
    assert_eq!(names(path), ["made", "made.skill", "odd", "odd.skill"]);
}
