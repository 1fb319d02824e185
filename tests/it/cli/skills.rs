//! Commands about skills that run nothing: `validate`, `inspect`, `tools`, `prompt`.

use std::{fs, io::Write as _, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::support::{
    bundle,
    skillbox::{example, executable, run, run_in},
    snapshot::shown,
};

fn write(directory: &Path, name: &str, frontmatter: &str) {
    let skill = directory.join(name);
    fs::create_dir_all(&skill).unwrap();
    fs::write(skill.join("SKILL.md"), format!("---\n{frontmatter}---\n\nText.\n")).unwrap();
}

#[test]
fn good_skills_are_valid() {
    let ran = run(&["validate", "skills-examples"]);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    insta::assert_snapshot!("validate_good", shown(&ran, &[]));
    for name in ["qr-code", "data-analysis", "text-report"] {
        let document = run(&["--json", "validate", &format!("skills-examples/{name}")]).success().json();
        // One path, one document of the documented shape, or a list of them.
        let first = if document.is_array() {
            &document[0]
        } else {
            document.get("skills").map_or(&document, |skills| &skills[0])
        };
        assert_eq!((&first["slug"], &first["valid"]), (&Value::from(name), &Value::Bool(true)), "{document}");
        assert_eq!(first["errors"], Value::Array(Vec::new()));
    }
}

/// A bundle of so many entries of so many bytes; packed to about a fiftieth where `method` packs.
fn large_bundle(path: &Path, entries: usize, bytes: usize, method: CompressionMethod) {
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_method(method).compression_level(None);
    zip.start_file("big/SKILL.md", options).unwrap();
    zip.write_all(b"---\nname: big\ndescription: Is as large as it may be.\n---\n").unwrap();
    // A few bytes of each line hardly repeat: all alike would be refused for how well they pack.
    let mut state = 1_u64;
    let mut data = vec![b'x'; bytes];
    for line in data.chunks_mut(400) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = line.len().min(4);
        line[..length].copy_from_slice(&state.to_be_bytes()[..length]);
    }
    for entry in 0..entries {
        zip.start_file(format!("big/assets/{entry}"), options).unwrap();
        zip.write_all(&data).unwrap();
    }
    zip.finish().unwrap();
}

/// Whatever is in a bundle, reading it takes at most 64 MiB: the kernel gives no more here.
#[test]
fn bundles_are_read_within_their_memory() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    large_bundle(&path.join("packed.skill"), 2, 31 << 20, CompressionMethod::Stored);
    large_bundle(&path.join("unpacked.skill"), 8, 31 << 20, CompressionMethod::Deflated);
    large_bundle(&path.join("many.skill"), 1999, 1000, CompressionMethod::Stored);
    large_bundle(&path.join("bomb.skill"), 9, 31 << 20, CompressionMethod::Deflated);
    for (name, code) in [("packed", 0), ("unpacked", 0), ("many", 0), ("bomb", 1)] {
        let limited = |kibibytes: u32| {
            let script = format!("ulimit -d {kibibytes}; exec \"$0\" validate {name}.skill");
            Command::new("sh").args(["-c", &script]).arg(executable()).current_dir(path).output().unwrap()
        };
        let ran = limited(64 << 10);
        assert_eq!(ran.status.code(), Some(code), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        // The limit is one that would be felt.
        assert_ne!(limited(256).status.code(), Some(code), "{name} ran with 256 KiB");
    }
}

#[test]
fn findings_have_a_place_and_a_reason() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    write(path, "no-description", "name: no-description\n");
    write(path, "Wrong_Name", "name: Wrong_Name\ndescription: Has a name that is none.\n");
    write(path, "other", "name: another\ndescription: Has another name than its folder.\n");
    write(path, "broken", "name: [broken\ndescription: x\n");
    fs::create_dir(path.join("empty")).unwrap();
    for name in ["no-description", "Wrong_Name", "other", "broken", "empty"] {
        let ran = run_in(path, &["validate", name]);
        // Another name than the folder's is only a warning, unless warnings count.
        let expected: &[i32] = if name == "other" { &[0] } else { &[1, 2] };
        assert!(expected.contains(&ran.code()), "{name}: {}", ran.code());
        assert_ne!(run_in(path, &["validate", "--strict", name]).code(), 0, "{name}");
        insta::assert_snapshot!(format!("validate_{name}"), shown(&ran, &[(path, "[dir]")]));
        let document = run_in(path, &["--json", "validate", name]);
        assert_eq!(document.code(), ran.code(), "{name}");
        document.json();
    }
    assert_eq!(run_in(path, &["validate", "never-there"]).code(), 2);
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "evil", "name: \"evil\\e[2J\"\ndescription: \"x\\e]0;owned\\a\"\n");
    for command in ["validate", "inspect"] {
        let ran = run_in(directory.path(), &[command, "evil"]);
        assert!(
            !ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'),
            "{command}: {:?}{:?}",
            ran.stdout,
            ran.stderr
        );
    }
}

#[test]
fn a_bundle_is_inspected_like_its_folder() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("qr-code.skill");
    fs::write(&path, bundle::of_folder(&example("qr-code"))).unwrap();
    let folder = run(&["--json", "inspect", "skills-examples/qr-code"]).success().json();
    let bundled = run_in(directory.path(), &["--json", "inspect", "qr-code.skill"]).success().json();
    for key in ["name", "description", "scripts", "references", "assets"] {
        assert_eq!(folder.get(key), bundled.get(key), "{key}");
    }
    assert_eq!(run_in(directory.path(), &["validate", "qr-code.skill"]).code(), 0);
    insta::assert_snapshot!("inspect", shown(&run(&["inspect", "skills-examples/qr-code"]), &[]));
}

#[test]
fn definitions_come_in_every_style() {
    for style in ["octavus", "openai", "anthropic"] {
        let ran = run(&[
            "tools",
            "--style",
            style,
            "-s",
            "skills-examples/qr-code",
            "-s",
            "skills-examples/text-report",
        ])
        .success();
        let tools = ran.json();
        let tools = tools.as_array().or_else(|| tools["tools"].as_array()).unwrap();
        assert_eq!(tools.len(), 6, "{style}");
        let text = ran.stdout.as_str();
        assert!(
            text.contains("octavus_skill_run")
                && text.contains("\"qr-code\"")
                && text.contains("\"text-report\""),
            "{style}"
        );
    }
    let none = run(&["tools"]).success().json();
    assert_eq!(none.as_array().or_else(|| none["tools"].as_array()).map(Vec::len), Some(0));
}

#[test]
fn the_prompt_names_the_skills() {
    insta::assert_snapshot!(
        "prompt",
        shown(&run(&["prompt", "skills-examples/qr-code", "skills-examples/text-report"]), &[])
    );
}
