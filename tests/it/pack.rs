//! `pack`, `unpack`, `diff` and `inspect` as an author uses them: what is written where, what is refused, what is left.

mod diff;
mod inspect;
mod unpack;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    skillbox::{Ran, command, example, executable, run_in},
    snapshot::shown,
};

const HEAD: &str = "---\nname: made\ndescription: Does things when it is asked to.\n---\n\nDo it.\n";

/// Writes files below a folder; paths that end in `.sh` become executable.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if path.extension().is_some_and(|extension| extension == "sh") {
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// A directory with a skill `made` in it.
fn made(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    write(&directory.path().join("made"), &[("SKILL.md", HEAD)]);
    write(&directory.path().join("made"), files);
    directory
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The paths in a list of a document.
fn paths(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect()
}

fn pack_json(directory: &Path, args: &[&str]) -> Value {
    run_in(directory, &[&["--json", "pack"], args].concat()).success().json()
}

/// A fresh copy of a folder, its files made in another order, with other times and under another mask.
fn copy_of(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from).iter().rev() {
        let (source, copy) = (from.join(name), to.join(name));
        if source.is_dir() {
            copy_of(&source, &copy);
            continue;
        }
        fs::write(&copy, fs::read(&source).unwrap()).unwrap();
        let mode = fs::metadata(&source).unwrap().permissions().mode();
        fs::set_permissions(&copy, Permissions::from_mode(mode & 0o700)).unwrap();
        let file = fs::File::open(&copy).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    }
}

#[test]
fn a_bundle_says_what_is_in_it_and_what_is_not() {
    let directory = made(&[
        ("scripts/run.sh", "#!/bin/sh\necho hi\n"),
        ("references/more.md", "More.\n"),
        ("tests/a.test.yaml", "version: 1\n"),
        (".env", "TOKEN=secret\n"),
        (".git/config", "[user]\n"),
        ("notes.psd", "x"),
        (".skillignore", "*.psd\n"),
    ]);
    let ran = run_in(directory.path(), &["pack", "made"]);
    insta::assert_snapshot!("pack", shown(&ran, &[]));
    assert_eq!(ran.code(), 0);
    assert_eq!(names(directory.path()), ["made", "made.skill"]);
    let mode = fs::metadata(directory.path().join("made.skill")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0);
    let document = pack_json(directory.path(), &["made"]);
    assert_eq!(document["written"], "unchanged");
    assert_eq!(paths(&document["files"]), ["SKILL.md", "references/more.md", "scripts/run.sh"]);
    assert_eq!(paths(&document["leftOut"]), [".env", ".git/", ".skillignore", "notes.psd", "tests/"]);
    let bytes = fs::read(directory.path().join("made.skill")).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
    // Other readers of ZIPs see the same.
    let listed = Command::new("python3")
        .args([
            "-c",
            "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); z.testzip(); print(z.namelist())",
            "made.skill",
        ])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout).trim(),
        "['made/SKILL.md', 'made/references/more.md', 'made/scripts/run.sh']"
    );
}

#[test]
fn the_same_files_give_the_same_bundle_wherever_they_are() {
    for name in ["qr-code", "data-analysis", "text-report"] {
        let directory = TempDir::new().unwrap();
        let (here, there) = (directory.path().join("here"), directory.path().join("there"));
        fs::create_dir_all(&here).unwrap();
        fs::create_dir_all(&there).unwrap();
        copy_of(&example(name), &there.join(name));
        let first = pack_json(&here, &[example(name).to_str().unwrap()]);
        let second = pack_json(&there, &[name]);
        assert_eq!(first["sha256"], second["sha256"], "{name}");
        let file = format!("{name}.skill");
        assert_eq!(fs::read(here.join(&file)).unwrap(), fs::read(there.join(&file)).unwrap(), "{name}");
        // And once more from what is in the bundle.
        run_in(&here, &["unpack", &file]).success();
        let again = pack_json(&here, &[name, "--dry-run"]);
        assert_eq!((&again["sha256"], &again["digest"]), (&first["sha256"], &first["digest"]), "{name}");
        let inspected = run_in(&here, &["--json", "inspect", &file]).success().json();
        assert_eq!((&inspected["digest"], &inspected["bundleSha256"]), (&first["digest"], &first["sha256"]));
        assert_eq!(run_in(&here, &["validate", &file]).code(), 0);
        assert_eq!(run_in(&here, &["diff", &file, name]).code(), 0, "{name}");
    }
}

#[test]
fn the_time_of_entries_can_be_chosen() {
    let directory = made(&[]);
    let pack = |epoch: &str, file: &str| {
        let mut command = command();
        command.args(["--json", "pack", "made", "-o", file]).env("SOURCE_DATE_EPOCH", epoch);
        command.current_dir(directory.path()).output().unwrap()
    };
    assert!(pack("1735689600", "a.skill").status.success());
    assert!(pack("1735689601", "b.skill").status.success());
    assert!(pack("1735689700", "c.skill").status.success());
    let read = |file: &str| fs::read(directory.path().join(file)).unwrap();
    // A ZIP knows every second second only.
    assert_eq!(read("a.skill"), read("b.skill"));
    assert_ne!(read("a.skill"), read("c.skill"));
    let wrong = pack("yesterday", "d.skill");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(!directory.path().join("d.skill").exists());
}

#[test]
fn what_must_not_leave_the_machine_does_not() {
    let directory = made(&[("scripts/a.py", "print(1)\n")]);
    let root = directory.path().join("made");
    fs::write(directory.path().join("secret.txt"), "TOKEN=secret").unwrap();
    let refused = |link: &str, target: &str, args: &[&str], word: &str| {
        symlink(target, root.join(link)).unwrap();
        let ran = run_in(directory.path(), &[&["pack", "made"], args].concat());
        assert_eq!(ran.code(), 1, "{target}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(link) && ran.stderr.contains(word), "{}", ran.stderr);
        assert_eq!(names(directory.path()), ["made", "secret.txt"]);
        fs::remove_file(root.join(link)).unwrap();
    };
    let inside: &[&str] = &["--follow-symlinks", "inside"];
    refused("passwd", "/etc/passwd", &[], "--follow-symlinks");
    refused("passwd", "/etc/passwd", inside, "out of the skill");
    refused("up", "../secret.txt", inside, "out of the skill");
    refused("etc", "/etc", inside, "out of the skill");
    fs::write(root.join(".env"), "TOKEN=secret").unwrap();
    refused("notes.txt", ".env", inside, "left out");
    refused("here", ".", inside, "directory");
    symlink("scripts/a.py", root.join("b.py")).unwrap();
    assert_eq!(run_in(directory.path(), &["pack", "made"]).code(), 1);
    let document = pack_json(directory.path(), &["made", "--follow-symlinks", "inside"]);
    assert_eq!(paths(&document["files"]), ["SKILL.md", "b.py", "scripts/a.py"]);
    // A second time, now that its own output is in the folder: neither that nor an old one is packed.
    fs::create_dir(root.join("out")).unwrap();
    for target in ["made/out/x.bin", "made/made.skill"] {
        let first = pack_json(directory.path(), &["made", "--follow-symlinks", "inside", "-o", target]);
        let again = pack_json(directory.path(), &["made", "--follow-symlinks", "inside", "-o", target]);
        assert_eq!((&first["sha256"], &again["written"]), (&again["sha256"], &Value::from("unchanged")));
    }
}

#[test]
fn a_skill_with_errors_is_not_packed() {
    let directory = TempDir::new().unwrap();
    write(&directory.path().join("bad"), &[("SKILL.md", "---\nname: Bad_Name\n---\n")]);
    let ran = run_in(directory.path(), &["pack", "bad"]);
    assert_eq!(ran.code(), 1);
    insta::assert_snapshot!("pack_invalid", shown(&ran, &[]));
    let document = run_in(directory.path(), &["--json", "pack", "bad"]);
    assert_eq!((document.code(), &document.json()["code"]), (1, &Value::from("SKILL_INVALID")));
    write(
        &directory.path().join("two"),
        &[("SKILL.md", &HEAD.replace("made", "two")), ("other/SKILL.md", HEAD)],
    );
    let ran = run_in(directory.path(), &["pack", "two"]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    write(
        &directory.path().join("case"),
        &[("SKILL.md", &HEAD.replace("made", "case")), ("a.md", "a"), ("A.md", "A")],
    );
    let ran = run_in(directory.path(), &["pack", "case"]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    assert_eq!(names(directory.path()), ["bad", "case", "two"]);
    for missing in ["never-there", "two/other/nothing.md"] {
        assert_eq!(run_in(directory.path(), &["pack", missing]).code(), 2);
    }
}

/// What does not ship is in nobody's way, however large it is; what ships is judged as it ships.
#[test]
fn only_what_ships_is_judged() {
    let directory = made(&[("tests/SKILL.md", "not a second one\n"), ("references/more.md", "More.\n")]);
    let path = directory.path();
    let large = fs::File::create(path.join("made/video.mp4")).unwrap();
    large.set_len(40 << 20).unwrap();
    let ran = run_in(path, &["pack", "made"]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("video.mp4") && ran.stderr.contains(".skillignore"), "{}", ran.stderr);
    fs::write(path.join("made/.skillignore"), "*.mp4\n").unwrap();
    let document = pack_json(path, &["made"]);
    assert_eq!(paths(&document["files"]), ["SKILL.md", "references/more.md"]);
    // A bundle is not packed once more, and other files are no skills.
    assert_eq!(run_in(path, &["pack", "made.skill"]).code(), 2);
    assert_eq!(run_in(path, &["pack", "made/references/more.md"]).code(), 2);
    run_in(path, &["pack", "made/SKILL.md", "--dry-run"]).success();
    // A link in place of SKILL.md is a link like any other.
    fs::rename(path.join("made/SKILL.md"), path.join("elsewhere.md")).unwrap();
    symlink("../elsewhere.md", path.join("made/SKILL.md")).unwrap();
    assert_eq!(run_in(path, &["pack", "made", "-o", "x.skill"]).code(), 1);
    assert!(!path.join("x.skill").exists());
}

#[test]
fn nothing_is_replaced_that_was_not_asked_for() {
    let directory = made(&[]);
    let path = directory.path();
    fs::write(path.join("made.skill"), "mine").unwrap();
    let ran = run_in(path, &["pack", "made"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(fs::read(path.join("made.skill")).unwrap(), b"mine");
    assert_eq!(pack_json(path, &["made", "--force"])["written"], "new");
    assert_eq!(pack_json(path, &["made"])["written"], "unchanged");
    // The current directory may be the skill itself, and a directory may take the bundle.
    fs::create_dir(path.join("out")).unwrap();
    let inside = run_in(&path.join("made"), &["--json", "pack", "-o", "../out"]).success().json();
    assert_eq!(inside["path"], "../out/made.skill");
    let dry = pack_json(path, &["made", "-o", "dry.skill", "--dry-run"]);
    assert_eq!((&dry["written"], dry["sha256"] == inside["sha256"]), (&Value::from("no"), true));
    assert_eq!(names(path), ["made", "made.skill", "out"]);
    // A device is no place for a rename.
    assert_eq!(run_in(path, &["pack", "made", "-o", "/dev/null", "--force"]).code(), 2);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_bundle_that_cannot_be_written_leaves_nothing() {
    let directory = made(&[]);
    let path = directory.path();
    // Random enough that it does not become small.
    let noise: String = (0_u32..40_000).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
    write(&path.join("made"), &[("assets/noise.txt", &noise)]);
    let limited = |script: &str| -> Ran {
        let output = Command::new("sh")
            .args(["-c", script])
            .arg(executable())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .current_dir(path)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    };
    // What a full disk does to a write: it fails in the middle.
    let ran = limited("trap '' XFSZ; ulimit -f 8; exec \"$0\" pack made");
    assert_eq!(ran.code(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot write"), "{}", ran.stderr);
    assert_eq!(names(path), ["made"]);
    assert_eq!(run_in(path, &["pack", "made", "-o", "no/such/dir.skill"]).code(), 2);
    assert_eq!(run_in(path, &["pack", "made", "-o", "made/SKILL.md/x.skill"]).code(), 2);
    assert_eq!(names(path), ["made"]);
    run_in(path, &["pack", "made"]).success();
}
