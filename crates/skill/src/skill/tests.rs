//! Whole skills, from memory, from folders and from bundles.

use std::{collections::BTreeMap, fs, io::Read as _, os::unix::fs::symlink};

use super::*;
use crate::rule::Rule;

const HEAD: &str = "---\nname: qr-code\ndescription: Makes codes\n---\n# Use\n";

fn example() -> Skill {
    Skill::from_files([
        ("SKILL.md", HEAD.as_bytes()),
        ("scripts/generate.py", b"#!/usr/bin/env python3\n\"\"\"Makes a code.\"\"\"\n"),
        (
            "scripts/inline.py",
            b"# /// script\n# dependencies = [\"rich\"]\n# requires-python = \">=3.11\"\n# ///\n",
        ),
        ("scripts/tool", b"#!/bin/bash\n# Does it\n"),
        ("scripts/requirements.txt", b"qrcode[pil]\n"),
        ("scripts/__init__.py", b""),
        ("scripts/data.json", b"{}"),
        ("lib/helper.py", b""),
        ("references/a.md", b"\xef\xbb\xbfA"),
        ("assets/logo.png", b"\x89PNG\xff"),
        ("run.sh", b"echo"),
    ])
    .unwrap()
}

fn refused(files: &[(&str, &[u8])]) -> Vec<&'static str> {
    let error = Skill::from_files(files.iter().map(|(path, bytes)| (*path, *bytes))).expect_err("loaded");
    error.diagnostics().iter().map(|diagnostic| diagnostic.rule.code()).collect()
}

#[test]
fn a_skill_knows_its_parts() {
    let skill = example();
    assert_eq!(skill.name().as_str(), "qr-code");
    assert_eq!(skill.description(), "Makes codes");
    assert_eq!(skill.body(), "# Use\n");
    assert_eq!(skill.source(), HEAD);
    let scripts: Vec<_> =
        skill.scripts().iter().map(|script| (script.path.as_str(), script.language.as_str())).collect();
    assert_eq!(
        scripts,
        [
            ("run.sh", "bash"),
            ("scripts/generate.py", "python"),
            ("scripts/inline.py", "python"),
            ("scripts/tool", "bash")
        ]
    );
    assert_eq!(skill.scripts()[1].description.as_deref(), Some("Makes a code."));
    assert_eq!(skill.references().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["references/a.md"]);
    assert_eq!(skill.assets().map(|file| file.size).collect::<Vec<_>>(), [5]);
    assert!(skill.diagnostics().is_empty(), "{:?}", skill.diagnostics());
    let requirements = skill.requirements();
    assert_eq!(requirements.files[0].path, "scripts/requirements.txt");
    assert_eq!(requirements.files[0].text, "qrcode[pil]\n");
    assert_eq!(requirements.scripts[0].dependencies, ["rich"]);
    assert_eq!(requirements.scripts[0].requires_python.as_deref(), Some(">=3.11"));
}

#[test]
fn scripts_are_found_the_way_a_model_writes_them() {
    let skill = example();
    for name in ["generate.py", "generate", "scripts/generate.py", "/skills/qr-code/scripts/generate.py"] {
        assert_eq!(skill.resolve_script(name).unwrap().path, "scripts/generate.py", "{name}");
    }
    assert_eq!(skill.resolve_script("lib/helper.py").unwrap().path, "lib/helper.py");
    assert!(matches!(skill.resolve_script("data.json"), Err(ScriptError::NotAScript { .. })));
    assert!(matches!(
        skill.resolve_script("/skills/other/scripts/generate.py"),
        Err(ScriptError::NotFound { .. })
    ));
}

#[test]
fn files_are_read_by_the_list_only() {
    let skill = example();
    assert_eq!(skill.read_text("references/a.md").unwrap(), "A");
    assert_eq!(skill.read_text("./scripts/data.json").unwrap(), "{}");
    assert!(matches!(skill.read_text("assets/logo.png"), Err(ReadError::NotText { .. })));
    for path in ["../x", "/etc/passwd", "references", "references/../SKILL.md", ""] {
        assert!(matches!(skill.read(path), Err(ReadError::NotFound { .. })), "{path}");
    }
}

#[test]
fn what_is_no_skill_says_why() {
    assert_eq!(refused(&[("README.md", b"x")]), ["SB001"]);
    assert_eq!(refused(&[("Skill.md", HEAD.as_bytes())]), ["SB003"]);
    assert_eq!(refused(&[("SKILL.md", b"---\nname: \xff\n---\n")]), ["SB006"]);
    assert_eq!(refused(&[("SKILL.md", &vec![b'a'; 1024 * 1024 + 1])]), ["SB010"]);
    assert_eq!(refused(&[("SKILL.md", b"# hi")]), ["SB020"]);
    assert_eq!(refused(&[("SKILL.md", b"---\nname: a\n---\nb")]), ["SB060"]);
    assert_eq!(refused(&[("SKILL.md", b"---\nname: A B\ndescription: d\n---\nb")]), ["SB044"]);
    let nested = Skill::from_files([("sub/SKILL.md", HEAD)]).unwrap_err();
    assert!(nested.diagnostics()[0].help.as_deref().unwrap().contains("sub/SKILL.md"));
    let place = Skill::from_files([("SKILL.md", b"---\na\n\xc3\xa9\xff".to_vec())]).unwrap_err();
    assert_eq!(place.diagnostics()[0].location.to_string(), "SKILL.md:3:2");
}

#[test]
fn a_lower_case_file_is_taken_with_a_warning() {
    let skill = Skill::from_files([("skill.md", HEAD)]).unwrap();
    assert_eq!(skill.diagnostics()[0].rule, Rule::SKILL_FILE_LOWERCASE);
    assert_eq!(skill.skill_file(), "skill.md");
    let both = Skill::from_files([("SKILL.md", HEAD), ("skill.md", "no")]).unwrap();
    assert_eq!(both.diagnostics()[0].rule, Rule::SKILL_FILE_TWICE);
}

#[test]
fn broken_inline_metadata_is_a_warning() {
    let skill =
        Skill::from_files([("SKILL.md", HEAD), ("a.py", "# /// script\n# dependencies = 1\n# ///\n")])
            .unwrap();
    assert_eq!(skill.diagnostics()[0].rule, Rule::SCRIPT_METADATA);
    assert_eq!(skill.diagnostics()[0].location.file, "a.py");
}

#[test]
fn the_digest_is_that_of_the_published_vector() {
    let skill = Skill::from_files([("SKILL.md", HEAD), ("scripts/run.sh", "#!/bin/sh\n")]).unwrap();
    // The vector's SKILL.md has no frontmatter, so only the list of files is used.
    let vector = Skill {
        content: Content::Memory(Arc::new(BTreeMap::from([
            ("SKILL.md".to_owned(), b"# Hello\n".to_vec()),
            ("scripts/run.sh".to_owned(), b"#!/bin/sh\n".to_vec()),
        ]))),
        ..skill
    };
    assert_eq!(
        vector.digest().unwrap().to_string(),
        "34f7a8c484e9991f3e71a309f31332d6335efc01f544105c4185a7c4ab12eb1e"
    );
}

#[test]
fn a_folder_a_bundle_and_memory_give_the_same_skill() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("qr-code");
    let memory = example();
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for file in memory.files() {
        let path = root.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, memory.read(&file.path).unwrap()).unwrap();
        writer
            .start_file(format!("qr-code/{}", file.path), zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(&memory.read(&file.path).unwrap()).unwrap();
    }
    let bundle = folder.path().join("qr-code.skill");
    fs::write(&bundle, writer.finish().unwrap().into_inner()).unwrap();
    for path in [&root, &root.join("SKILL.md"), &bundle] {
        let skill = Skill::load(path).unwrap();
        assert_eq!(skill.digest().unwrap(), memory.digest().unwrap(), "{path:?}");
        assert_eq!(skill.files().len(), memory.files().len());
        assert_eq!(skill.tar().unwrap(), memory.tar().unwrap());
        assert!(skill.diagnostics().is_empty(), "{:?}", skill.diagnostics());
    }
    let skill = Skill::load(&bundle).unwrap();
    let unpacked = skill.root().unwrap().to_path_buf();
    assert!(unpacked.is_dir());
    drop(skill);
    assert!(!unpacked.exists(), "the unpacked bundle goes with the skill");
}

#[test]
fn the_name_of_the_folder_replaces_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let put = |directory: &str, text: &str| {
        let root = folder.path().join(directory);
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("SKILL.md"), text).unwrap();
        Skill::load(&root).unwrap()
    };
    let other = put("other", HEAD);
    assert_eq!(other.name().as_str(), "qr-code");
    let bad = put("my-skill", "---\nname: My Skill\ndescription: d\n---\nb");
    assert_eq!(bad.name().as_str(), "my-skill");
    assert_eq!(bad.diagnostics()[0].rule, Rule::NAME_UPPERCASE);
    assert!(matches!(Skill::load(folder.path().join("none")), Err(LoadError::Io { .. })));
}

#[test]
fn a_file_that_became_a_link_out_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("SKILL.md"), HEAD).unwrap();
    fs::write(folder.path().join("a.txt"), "inside").unwrap();
    let skill = Skill::load(folder.path()).unwrap();
    assert_eq!(skill.read_text("a.txt").unwrap(), "inside");
    fs::remove_file(folder.path().join("a.txt")).unwrap();
    symlink("/etc/passwd", folder.path().join("a.txt")).unwrap();
    assert!(matches!(skill.read_text("a.txt"), Err(ReadError::Changed { .. })));
    assert!(matches!(skill.tar(), Err(ReadError::Changed { .. })));
}

#[test]
fn the_tar_is_complete_and_plain() {
    let long = format!("assets/{}/{}.txt", "d".repeat(120), "f".repeat(200));
    let skill = Skill::from_files([
        ("SKILL.md", HEAD.to_owned()),
        ("a.txt", String::new()),
        ("a/b/c.txt", "c".to_owned()),
        ("a/b.txt", "b".to_owned()),
        (&long, "long".to_owned()),
    ])
    .unwrap();
    let bytes = skill.tar().unwrap();
    assert_eq!(bytes, skill.tar().unwrap());
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!(header.mtime().unwrap(), TAR_TIME);
        let directory = header.entry_type().is_dir();
        assert_eq!(header.mode().unwrap(), if directory { 0o755 } else { 0o644 });
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        seen.push((path, text));
    }
    let directories = format!("assets/{}/", "d".repeat(120));
    let expected = [
        ("SKILL.md", HEAD),
        ("a.txt", ""),
        ("a/", ""),
        ("a/b.txt", "b"),
        ("a/b/", ""),
        ("a/b/c.txt", "c"),
        ("assets/", ""),
        (&directories, ""),
        (&long, "long"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    assert_eq!(seen, expected);
}

/// What a bundle loses on its way over Windows is made good in the sandbox's copy; the skill itself stays as it is.
#[test]
fn scripts_in_the_tar_run_wherever_they_were_written() {
    let skill = Skill::from_files([
        ("SKILL.md", "---\nname: a\ndescription: Does a. Use it in tests.\n---\n".to_owned()),
        ("data.csv", "a,b\r\n".to_owned()),
        ("scripts/a.sh", "set -o pipefail\r\necho a\rb\r\n".to_owned()),
        ("scripts/helper", "#!/bin/sh\r\necho\r\n".to_owned()),
        ("scripts/plain.sh", "echo $'\\r'\necho b\r\n".to_owned()),
    ])
    .unwrap();
    let bytes = skill.tar().unwrap();
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mode = entry.header().mode().unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        found.insert(path, (mode, text));
    }
    let check =
        |path: &str, mode: u32, text: &str| assert_eq!(found[path], (mode, text.to_owned()), "{path}");
    check("data.csv", 0o644, "a,b\r\n");
    check("scripts/a.sh", 0o644, "set -o pipefail\necho a\rb\n");
    check("scripts/helper", 0o755, "#!/bin/sh\necho\n");
    check("scripts/plain.sh", 0o644, "echo $'\\r'\necho b\r\n");
    assert_eq!(skill.read_text("scripts/helper").unwrap(), "#!/bin/sh\r\necho\r\n");
}
