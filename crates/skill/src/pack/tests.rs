//! The same bytes everywhere, nothing given away, nothing lost.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    os::unix::{fs::PermissionsExt as _, fs::symlink, net::UnixListener},
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    bundle::{BundleError, unpack_bundle},
    folder::FolderError,
    rule::Rule,
    skill::Skill,
};

const HEAD: &[u8] = b"---\nname: made\ndescription: Is made by a test.\n---\nBody\n";

fn put(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A folder `made` with a SKILL.md and these files.
fn folder(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("made");
    put(&root, "SKILL.md", HEAD);
    for (path, bytes) in files {
        put(&root, path, bytes);
    }
    (directory, root)
}

fn name() -> SkillName {
    SkillName::parse("made").unwrap()
}

fn try_pack(root: &Path, options: &PackOptions) -> Result<Packed, PackError> {
    pack(root, &name(), options, &BundleLimits::default())
}

#[track_caller]
fn packed(root: &Path, options: &PackOptions) -> Packed {
    try_pack(root, options).expect("packed")
}

fn paths(packed: &Packed) -> Vec<&str> {
    packed.files.iter().map(|file| file.path.as_str()).collect()
}

fn left(packed: &Packed) -> Vec<(&str, &str)> {
    packed.left_out.iter().map(|left| (left.path.as_str(), left.reason.code())).collect()
}

fn unpacked(bytes: &[u8]) -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let unpacked = unpack_bundle(Cursor::new(bytes), parent.path(), &BundleLimits::default()).unwrap();
    let root = parent.path().join("made");
    unpacked.persist(&root).unwrap();
    (parent, root)
}

#[test]
fn entries_say_nothing_of_the_machine() {
    let (_guard, root) = folder(&[
        ("scripts/run.sh", b"#!/bin/sh\n"),
        ("scripts/plain.py", b"print(1)\n"),
        ("scripts/tool.py", b"print(2)\n"),
        ("Z.md", b"z"),
        ("assets/empty", b""),
    ]);
    fs::set_permissions(root.join("scripts/tool.py"), Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(root.join("Z.md"), Permissions::from_mode(0o600)).unwrap();
    let packed = packed(&root, &PackOptions { time: 1_735_689_600, ..PackOptions::default() });
    let mut zip = zip::ZipArchive::new(Cursor::new(&packed.bytes)).unwrap();
    let mut seen = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index(index).unwrap();
        assert_eq!(entry.last_modified().unwrap().to_string(), "2025-01-01 00:00:00");
        assert!(entry.extra_data_fields().next().is_none() && entry.comment().is_empty());
        seen.push((entry.name().unwrap().into_owned(), entry.unix_mode().unwrap()));
    }
    let expected = [
        ("made/SKILL.md", 0o100_644),
        ("made/Z.md", 0o100_644),
        ("made/assets/empty", 0o100_644),
        ("made/scripts/plain.py", 0o100_644),
        // A shebang is enough: authors on Windows have no other mark.
        ("made/scripts/run.sh", 0o100_755),
        ("made/scripts/tool.py", 0o100_755),
    ];
    assert_eq!(seen, expected.map(|(name, mode)| (name.to_owned(), mode)));
    assert_eq!(packed.sha256, Digest::of(&packed.bytes));
}

#[test]
fn the_layout_is_the_callers_choice() {
    let (_guard, root) = folder(&[("a.md", b"a")]);
    let flat = packed(&root, &PackOptions { layout: Layout::Flat, ..PackOptions::default() });
    let names = |packed: &Packed| -> Vec<String> {
        let zip = zip::ZipArchive::new(Cursor::new(packed.bytes.clone())).unwrap();
        let mut names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&flat), ["SKILL.md", "a.md"]);
    let wrapped = packed(&root, &PackOptions::default());
    assert_eq!(names(&wrapped), ["made/SKILL.md", "made/a.md"]);
    assert_eq!(flat.digest, wrapped.digest);
    assert_ne!(flat.sha256, wrapped.sha256);
}

#[test]
fn copies_with_other_times_modes_and_order_give_the_same_bytes() {
    let files: Vec<(&str, &[u8])> = vec![
        ("b.md", b"b"),
        ("a/z.txt", b"z"),
        ("a.md", b"a"),
        ("é.md", "é".as_bytes()),
        ("scripts/x.py", b"x"),
    ];
    let (_one, first) = folder(&files);
    let (_two, second) = folder(&files.iter().rev().copied().collect::<Vec<_>>());
    for (path, _) in &files {
        let file = fs::File::open(second.join(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)).unwrap();
        // What another mask of the process would have left.
        fs::set_permissions(second.join(path), Permissions::from_mode(0o600)).unwrap();
    }
    let (first, second) = (packed(&first, &PackOptions::default()), packed(&second, &PackOptions::default()));
    assert_eq!(first.bytes, second.bytes);
    let later = PackOptions { time: 2_000_000_000, ..PackOptions::default() };
    assert_ne!(packed(&_one.path().join("made"), &later).bytes, first.bytes);
}

#[test]
fn what_must_not_ship_is_left_out_and_told() {
    let (_guard, root) = folder(&[
        (".git/config", b"[user]\nemail = me@example.com\n"),
        (".env", b"TOKEN=secret\n"),
        ("scripts/.env.production", b"TOKEN=secret\n"),
        (".envrc", b"export TOKEN=secret\n"),
        (".DS_Store", b"x"),
        ("scripts/__pycache__/a.cpython-311.pyc", b"x"),
        ("scripts/__init__.py", b""),
        ("scripts/lib/__init__.py", b"# package\n"),
        ("node_modules/x/index.js", b"x"),
        ("made.skill", b"PK"),
        ("output/chart.png", b"x"),
        ("assets/output/kept.json", b"{}"),
        ("evals/evals.json", b"{}"),
        ("assets/evals/kept.json", b"{}"),
        ("tests/a.test.yaml", b"version: 1\n"),
        ("scripts/tests/kept.py", b"x"),
        (".gitignore", b"scripts/\n"),
    ]);
    fs::create_dir(root.join("empty")).unwrap();
    let options = PackOptions::default();
    let packed_by_default = packed(&root, &options);
    assert_eq!(
        paths(&packed_by_default),
        [
            "SKILL.md",
            ".gitignore",
            "assets/evals/kept.json",
            "assets/output/kept.json",
            "scripts/__init__.py",
            "scripts/lib/__init__.py",
            "scripts/tests/kept.py"
        ]
    );
    assert_eq!(
        left(&packed_by_default),
        [
            (".DS_Store", "system"),
            (".env", "secrets"),
            (".envrc", "secrets"),
            (".git/", "version-control"),
            ("empty/", "empty-directory"),
            ("evals/", "evals"),
            ("made.skill", "bundle"),
            ("node_modules/", "packages"),
            ("output/", "results"),
            ("scripts/.env.production", "secrets"),
            ("scripts/__pycache__/", "cache"),
            ("tests/", "tests"),
        ]
    );
    let with_tests = packed(&root, &PackOptions { tests: TestFiles::Include, ..options });
    assert!(paths(&with_tests).contains(&"tests/a.test.yaml"));
    put(&root, ".skillignore", b"!output/\n");
    assert!(paths(&packed(&root, &PackOptions::default())).contains(&"output/chart.png"));
    assert!(!packed_by_default.bytes.windows(6).any(|window| window == b"secret"));
}

#[test]
fn the_output_is_not_packed_into_itself() {
    let (_guard, root) = folder(&[("dist/out.zip", b"an earlier one"), ("dist/other.txt", b"x")]);
    let output = Some(root.join("scripts/../dist/out.zip"));
    fs::create_dir(root.join("scripts")).unwrap();
    let packed = packed(&root, &PackOptions { output, ..PackOptions::default() });
    assert_eq!(paths(&packed), ["SKILL.md", "dist/other.txt"]);
    assert_eq!(left(&packed), [("dist/out.zip", "output"), ("scripts/", "empty-directory")]);
}

#[test]
fn authors_name_what_does_not_ship() {
    let (_guard, root) = folder(&[
        ("notes/todo.md", b"x"),
        ("notes/keep.md", b"x"),
        ("draft.psd", b"x"),
        ("a/b/draft.psd", b"x"),
        ("data/big.csv", b"x"),
        (".skillignore", b"# what only I need\n*.psd\n!a/b/draft.psd\nnotes/*\n!notes/keep.md\n/data/\nSKILL.md\n*.md\n!*.md\nSKILL.md\n"),
    ]);
    let packed = packed(&root, &PackOptions::default());
    assert_eq!(paths(&packed), ["SKILL.md", "a/b/draft.psd", "notes/keep.md", "notes/todo.md"]);
    let reasons: Vec<String> = packed.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "`.skillignore`: says what does not ship",
            "`data/`: `/data/` in .skillignore",
            "`draft.psd`: `*.psd` in .skillignore"
        ]
    );
    fs::write(root.join(".skillignore"), "ok\n[z-a]\n").unwrap();
    let error = try_pack(&root, &PackOptions::default()).unwrap_err();
    assert!(matches!(error, PackError::Ignore { line: 2, .. }), "{error:?}");
    // What never belongs to a skill cannot be asked for.
    put(&root, ".env", b"secret");
    fs::write(root.join(".skillignore"), "!.env\n").unwrap();
    assert!(!paths(&self::packed(&root, &PackOptions::default())).contains(&".env"));
}

#[test]
fn gitignore_is_obeyed_when_asked_for_and_never_drops_the_skill() {
    let (guard, root) = folder(&[
        (".gitignore", b"*\n!keep.txt\n!/scripts/\n"),
        ("keep.txt", b"x"),
        ("drop.txt", b"x"),
        ("back.txt", b"x"),
        ("scripts/.gitignore", b"!*.py\n"),
        ("scripts/a.py", b"x"),
        ("scripts/a.log", b"x"),
        (".skillignore", b"!back.txt\n"),
    ]);
    let options = PackOptions { gitignore: GitIgnore::Obey, ..PackOptions::default() };
    assert_eq!(paths(&packed(&root, &options)), ["SKILL.md", "back.txt", "keep.txt", "scripts/a.py"]);
    let disregarded = packed(&root, &PackOptions::default());
    assert!(paths(&disregarded).contains(&"drop.txt") && paths(&disregarded).contains(&"scripts/a.log"));
    // The one of the repository counts, but only in a repository.
    fs::write(guard.path().join(".gitignore"), "*.txt\n").unwrap();
    fs::write(root.join(".gitignore"), "").unwrap();
    assert!(paths(&packed(&root, &options)).contains(&"drop.txt"));
    fs::create_dir(guard.path().join(".git")).unwrap();
    assert!(!paths(&packed(&root, &options)).contains(&"drop.txt"));
}

#[test]
fn links_are_refused_and_all_of_them_named() {
    let (guard, root) = folder(&[("a.txt", b"inside"), (".env", b"TOKEN=secret"), ("d/x", b"x")]);
    fs::write(guard.path().join("outside.txt"), "outside").unwrap();
    for (target, link) in [
        ("/etc/passwd", "passwd"),
        ("../outside.txt", "up"),
        ("a.txt", "good"),
        ("nowhere", "dangling"),
        ("d", "directory"),
        (".", "cycle"),
        (".env", "notes.txt"),
        ("loop", "loop"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    let problems = |options: &PackOptions| {
        let PackError::Entries { entries } = try_pack(&root, options).unwrap_err() else {
            panic!("not entries")
        };
        entries.into_iter().map(|entry| (entry.path, entry.problem)).collect::<BTreeMap<_, _>>()
    };
    let refused = problems(&PackOptions::default());
    assert_eq!(refused.len(), 8);
    assert!(refused.values().all(|problem| matches!(problem, Unpackable::Link { .. })));
    let options = PackOptions { links: Links::CopyInside, ..PackOptions::default() };
    let refused = problems(&options);
    let outside = |target: &str| Unpackable::LinkOutside { target: target.to_owned() };
    let nothing = |target: &str| Unpackable::LinkToNothing { target: target.to_owned() };
    let directory = |target: &str| Unpackable::LinkToDirectory { target: target.to_owned() };
    let expected = [
        ("cycle", directory(".")),
        ("dangling", nothing("nowhere")),
        ("directory", directory("d")),
        ("loop", nothing("loop")),
        ("notes.txt", Unpackable::LinkToLeftOut { target: ".env".to_owned() }),
        ("passwd", outside("/etc/passwd")),
        ("up", outside("../outside.txt")),
    ];
    assert_eq!(refused, expected.map(|(path, problem)| (path.to_owned(), problem)).into());
    for link in refused.keys() {
        fs::remove_file(root.join(link)).unwrap();
    }
    let packed = packed(&root, &options);
    let (_guard, copy) = unpacked(&packed.bytes);
    assert!(fs::symlink_metadata(copy.join("good")).unwrap().is_file());
    assert_eq!(fs::read(copy.join("good")).unwrap(), b"inside");
}

#[test]
fn a_link_that_does_not_ship_is_in_nobodys_way() {
    let (_guard, root) = folder(&[(".skillignore", b"latest\n")]);
    symlink("/etc", root.join("latest")).unwrap();
    symlink("/usr", root.join("node_modules")).unwrap();
    let packed = packed(&root, &PackOptions::default());
    assert_eq!(paths(&packed), ["SKILL.md"]);
    assert_eq!(
        left(&packed),
        [(".skillignore", "ignore-file"), ("latest", "skillignore"), ("node_modules", "packages")]
    );
}

#[test]
fn what_a_reader_would_refuse_is_not_packed() {
    let check = |files: &[(&str, &[u8])], code: &str| {
        let (_guard, root) = folder(files);
        let error = try_pack(&root, &PackOptions::default()).expect_err(code);
        assert_eq!(error.rule().map(Rule::code), Some(code), "{error:?}");
        assert!(error.is_refusal() && error.help().is_some());
    };
    check(&[("a.md", b"x"), ("A.md", b"y")], "AR009");
    check(&[("caf\u{e9}.md", b"x"), ("cafe\u{301}.md", b"y")], "AR009");
    check(&[("con.md", b"x")], "AR005");
    check(&[("a:b.md", b"x")], "AR005");
    check(&[("back\\slash", b"x")], "AR005");
    check(&[("bell\x07.md", b"x")], "AR005");
    check(&[("exe.\u{202e}dm", b"x")], "AR005");
    check(&[("dot.", b"x")], "AR005");
    check(&[("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q.md", b"x")], "AR006");
    check(&[("references/other/SKILL.md", HEAD)], "SB005");
    let (_guard, root) = folder(&[]);
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let error = try_pack(&root, &PackOptions::default()).unwrap_err();
    assert!(
        matches!(&error, PackError::Entries { entries } if entries[0].problem == Unpackable::Special),
        "{error:?}"
    );
    fs::remove_file(root.join("socket")).unwrap();
    fs::remove_file(root.join("SKILL.md")).unwrap();
    let error = try_pack(&root, &PackOptions::default()).unwrap_err();
    assert!(matches!(error, PackError::Refused(BundleError::SkillFileMissing)), "{error:?}");
}

#[test]
fn every_limit_holds_before_anything_is_read() {
    let (_guard, root) = folder(&[("a", &[7; 1000]), ("b", &[8; 1000])]);
    let with = |limits: BundleLimits| pack(&root, &name(), &PackOptions::default(), &limits).unwrap_err();
    let limits = BundleLimits::default();
    let error = with(BundleLimits { max_file_bytes: 999, ..limits.clone() });
    assert!(
        matches!(error, PackError::Limits(FolderError::FileTooLarge { size: 1000, limit: 999, .. })),
        "{error:?}"
    );
    let error = with(BundleLimits { max_total_bytes: 2000, ..limits.clone() });
    assert!(matches!(error, PackError::Limits(FolderError::TooLarge { limit: 2000 })), "{error:?}");
    let error = with(BundleLimits { max_entries: 2, ..limits.clone() });
    assert!(matches!(error, PackError::Limits(FolderError::TooManyEntries { limit: 2 })), "{error:?}");
    let error = with(BundleLimits { max_bundle_bytes: 100, ..limits });
    assert_eq!(error.rule().map(Rule::code), Some("AR014"), "{error:?}");
}

#[test]
fn what_packs_too_well_is_stored_as_it_is() {
    let (_guard, root) = folder(&[("zeros", &[0; 3 << 20]), ("text", &[b'x'; 50])]);
    // A reader takes this for a bomb when it is compressed to a thousandth.
    let packed = packed(&root, &PackOptions::default());
    let mut zip = zip::ZipArchive::new(Cursor::new(&packed.bytes)).unwrap();
    let entry = zip.by_name("made/zeros").unwrap();
    assert_eq!((entry.size(), entry.compressed_size()), (3 << 20, 3 << 20));
}

#[test]
fn names_are_spelled_in_one_way() {
    let (_guard, root) = folder(&[("cafe\u{301}.md", b"x")]);
    let packed = packed(&root, &PackOptions::default());
    assert_eq!(paths(&packed), ["SKILL.md", "caf\u{e9}.md"]);
    assert!(Skill::from_bundle(Cursor::new(&packed.bytes), &BundleLimits::default()).is_ok());
}

#[test]
fn the_examples_come_out_as_they_went_in() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../skills-examples");
    let mut count = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let root = entry.unwrap().path();
        let skill = Skill::load(&root).unwrap();
        // Their tests are part of the folder, and of its digest.
        let options = PackOptions { tests: TestFiles::Include, ..PackOptions::default() };
        let pack = |root: &Path| super::pack(root, skill.name(), &options, &BundleLimits::default()).unwrap();
        let first = pack(&root);
        assert_eq!(first.digest, skill.digest().unwrap());
        let bundle = Skill::from_bundle(Cursor::new(&first.bytes), &BundleLimits::default()).unwrap();
        assert_eq!(bundle.digest().unwrap(), first.digest);
        assert_eq!(bundle.files().len(), skill.files().len());
        let (_guard, copy) = unpacked(&first.bytes);
        assert_eq!(pack(&copy).bytes, first.bytes, "{}", root.display());
        count += 1;
    }
    assert!(count >= 3);
}

/// Trees as people have them, and names of some oddity. Paths that collide are for the test above.
fn trees() -> impl Strategy<Value = BTreeMap<String, (Vec<u8>, bool)>> {
    let part = "[a-z0-9_é日 ]{0,6}[a-z0-9]";
    let path = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "[a-z \n]{0,400}".prop_map(String::into_bytes),
        Just(b"#!/usr/bin/env python3\nprint(1)\n".to_vec()),
        (0_usize..70_000).prop_map(|count| vec![b'x'; count]),
    ];
    proptest::collection::btree_map(path, (content, any::<bool>()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_out_as_it_went_in(tree in trees(), time in any::<u32>()) {
        let (_guard, root) = folder(&[]);
        for (path, (bytes, executable)) in &tree {
            let full = root.join(path);
            // A file that would be a directory for another one; the file system has it one way only.
            if full.ancestors().skip(1).any(Path::is_file) || full.is_dir() {
                continue;
            }
            put(&root, path, bytes);
            let mode = if *executable { 0o755 } else { 0o644 };
            fs::set_permissions(full, Permissions::from_mode(mode)).unwrap();
        }
        let options = PackOptions { time: time.into(), tests: TestFiles::Include, ..PackOptions::default() };
        match try_pack(&root, &options) {
            Ok(first) => {
                let (_guard, copy) = unpacked(&first.bytes);
                let second = packed(&copy, &options);
                prop_assert_eq!(&first.bytes, &second.bytes);
                prop_assert_eq!(first.digest, second.digest);
                let skill = Skill::from_directory(&copy, &BundleLimits::default().folder()).unwrap();
                prop_assert_eq!(skill.digest().unwrap(), first.digest);
                for file in &first.files {
                    let (mine, other) = (fs::read(root.join(&file.path)), fs::read(copy.join(&file.path)));
                    prop_assert_eq!(mine.unwrap(), other.unwrap());
                }
            }
            Err(error) => prop_assert!(error.is_refusal(), "{error:?}"),
        }
    }
}
