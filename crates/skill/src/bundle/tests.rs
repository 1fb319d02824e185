//! One hostile bundle for each check, and honest ones from other writers.

mod builder;
mod damage;

use std::{
    fs,
    io::{Cursor, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use self::builder::{Item, Zip, deflate};
use super::*;

const SKILL: &[u8] = b"---\nname: qr-code\ndescription: Makes codes\n---\nBody\n";

/// A good bundle with one more entry.
fn with(item: Item) -> Zip {
    Zip::new([Item::file("SKILL.md", SKILL), item])
}

fn unpack_into(bytes: &[u8], parent: &Path, limits: &BundleLimits) -> Result<UnpackedBundle, BundleError> {
    unpack_bundle(Cursor::new(bytes), parent, limits)
}

/// The bundle is refused with `code` and an error of the given shape, before anything is written.
#[track_caller]
fn refused_with(bytes: &[u8], limits: &BundleLimits, code: &str, is: impl Fn(&BundleError) -> bool) {
    let parent = tempfile::tempdir().unwrap();
    let error = unpack_into(bytes, parent.path(), limits).map(|bundle| bundle.root()).expect_err("accepted");
    assert_eq!(error.rule().map(crate::rule::Rule::code), Some(code), "{error:?}");
    assert!(is(&error), "{error:?}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "something was left behind");
    // Where nothing can be written, an attempt to write would be the error.
    let nowhere = parent.path().join("missing");
    let error = unpack_into(bytes, &nowhere, limits).map(|bundle| bundle.root()).expect_err("accepted");
    assert!(is(&error), "it was written before it was refused: {error:?}");
    assert!(!error.to_string().chars().any(char::is_control), "{error}");
}

#[track_caller]
fn refused(zip: &Zip, code: &str, is: impl Fn(&BundleError) -> bool) {
    refused_with(&zip.build(), &BundleLimits::default(), code, is);
}

#[track_caller]
fn accepted(bytes: &[u8]) -> (tempfile::TempDir, UnpackedBundle) {
    let parent = tempfile::tempdir().unwrap();
    let unpacked = unpack_into(bytes, parent.path(), &BundleLimits::default()).expect("refused");
    (parent, unpacked)
}

#[test]
fn an_honest_bundle_is_unpacked_with_safe_modes() {
    let zip = Zip::new([
        Item::directory("qr-code/"),
        Item::file("qr-code/SKILL.md", SKILL),
        Item::file("qr-code/scripts/run.sh", b"#!/bin/sh\n").mode(0o104_777),
        Item::file("qr-code/assets/a.txt", &[b'x'; 5_000]).deflated().mode(0o100_600),
        Item::file("__MACOSX/qr-code/._SKILL.md", b"junk"),
        Item::file("qr-code/.DS_Store", b"junk"),
        Item::directory("qr-code/empty/"),
    ]);
    let (parent, unpacked) = accepted(&zip.build());
    assert_eq!(unpacked.top(), Some("qr-code"));
    let root = unpacked.root();
    assert_eq!(fs::read(root.join("SKILL.md")).unwrap(), SKILL);
    assert_eq!(fs::read(root.join("assets/a.txt")).unwrap(), [b'x'; 5_000]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&root.join("scripts/run.sh")), 0o755, "the set-user-id bit is gone");
    assert_eq!(mode(&root.join("assets/a.txt")), 0o644);
    assert_eq!(mode(&root.join("scripts")), 0o755);
    assert_eq!(mode(root.parent().unwrap()), 0o700);
    assert!(root.join("empty").is_dir());
    assert!(!root.join(".DS_Store").exists() && !root.join("__MACOSX").exists());
    drop(unpacked);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "dropping removes it");
}

#[test]
fn bundles_of_another_writer_are_accepted() {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.add_directory("qr-code", options).unwrap();
    writer.start_file("qr-code/SKILL.md", options).unwrap();
    writer.write_all(SKILL).unwrap();
    writer.start_file("qr-code/résumé.txt", options.unix_permissions(0o755)).unwrap();
    writer.write_all(&b"text ".repeat(1_000)).unwrap();
    let (_parent, unpacked) = accepted(&writer.finish().unwrap().into_inner());
    assert_eq!(fs::read(unpacked.root().join("résumé.txt")).unwrap().len(), 5_000);

    // Writers to a pipe know sizes only afterwards; some put 64-bit room there.
    let mut writer = zip::ZipWriter::new_stream(Vec::new());
    writer.start_file("SKILL.md", options).unwrap();
    writer.write_all(SKILL).unwrap();
    let (_parent, unpacked) = accepted(&writer.finish().unwrap().into_inner());
    assert_eq!(unpacked.top(), None);
    assert_eq!(fs::read(unpacked.root().join("SKILL.md")).unwrap(), SKILL);
}

#[test]
fn every_form_of_descriptor_is_understood() {
    for (signature, wide) in [(false, false), (true, false), (false, true), (true, true)] {
        let item = Item::file("SKILL.md", SKILL).deflated().streamed(signature, wide);
        let (_parent, unpacked) = accepted(&Zip::new([item]).build());
        assert_eq!(fs::read(unpacked.root().join("SKILL.md")).unwrap(), SKILL);
    }
}

#[test]
fn a_consistent_64_bit_end_is_accepted() {
    let mut zip = Zip::new([Item::file("SKILL.md", SKILL)]);
    zip.end64 = true;
    accepted(&zip.build());
    zip.entries = Some(7);
    refused(&zip, "AR002", |error| matches!(error, BundleError::Zip64 { .. }));
}

#[test]
fn ar001_what_is_no_zip_or_cut_off() {
    let check = |bytes: &[u8], is: fn(&BundleError) -> bool| {
        refused_with(bytes, &BundleLimits::default(), "AR001", is);
    };
    check(b"", |error| matches!(error, BundleError::NotAZip));
    check(b"#!/bin/sh\n", |error| matches!(error, BundleError::NotAZip));
    let good = Zip::new([Item::file("SKILL.md", SKILL)]).build();
    for cut in 0..good.len() {
        check(&good[..cut], |_| true);
    }
    check(&good[10..], |_| true);
}

#[test]
fn ar001_something_before_or_behind() {
    // An executable that is also a bundle.
    let mut zip = with(Item::file("a", b"a"));
    zip.prefix = b"#!/bin/sh\nexit\n".to_vec();
    refused(&zip, "AR001", |error| matches!(error, BundleError::PrependedData { bytes: 15 }));
    // The same with offsets that were corrected, as self-extractors do.
    zip.shift_offsets = true;
    refused(&zip, "AR001", |error| matches!(error, BundleError::PrependedData { bytes: 15 }));
    let mut bytes = with(Item::file("a", b"a")).build();
    bytes.extend_from_slice(b"tail");
    refused_with(&bytes, &BundleLimits::default(), "AR001", |error| {
        matches!(error, BundleError::TrailingData { bytes: 4 })
    });
}

#[test]
fn ar001_two_ends() {
    // One bundle in the comment of another: readers from the front see one, readers from the back the other.
    let mut zip = with(Item::file("a", b"a"));
    zip.comment = Zip::new([Item::file("SKILL.md", b"other")]).build();
    refused(&zip, "AR001", |error| matches!(error, BundleError::SeveralEnds));
    // An end record in a comment that does not fit is hidden as well.
    zip.comment = b"PK\x05\x06 and more".to_vec();
    refused(&zip, "AR001", |error| matches!(error, BundleError::SeveralEnds));
    // Two bundles one after the other.
    let bytes = [with(Item::file("a", b"a")).build(), with(Item::file("a", b"b")).build()].concat();
    refused_with(&bytes, &BundleLimits::default(), "AR001", |_| true);
}

#[test]
fn ar001_entries_that_the_directory_hides() {
    let hidden = Item::file("scripts/evil.py", b"import os");
    // Not in the directory, but readers that stream find it.
    let mut zip = Zip::new([Item::file("SKILL.md", SKILL), hidden.unlisted(), Item::file("z", b"z")]);
    refused(&zip, "AR001", |error| matches!(error, BundleError::HiddenData { .. }));
    // The same at the very end and at the very start.
    zip = Zip::new([Item::file("SKILL.md", SKILL), Item::file("evil", b"x").unlisted()]);
    refused(&zip, "AR001", |error| matches!(error, BundleError::HiddenData { .. }));
    zip = Zip::new([Item::file("evil", b"x").unlisted(), Item::file("SKILL.md", SKILL)]);
    refused(&zip, "AR001", |error| matches!(error, BundleError::PrependedData { .. }));
    // More or fewer than the end record says.
    zip = with(Item::file("a", b"a"));
    zip.entries = Some(1);
    refused(&zip, "AR001", |error| matches!(error, BundleError::EntryCount { declared: 1, found: 2 }));
    zip.entries = Some(3);
    refused(&zip, "AR001", |error| matches!(error, BundleError::EntryCount { declared: 3, found: 2 }));
    // Bytes behind the last entry of the directory.
    zip = with(Item::file("a", b"a"));
    zip.directory_tail = b"signature".to_vec();
    refused(&zip, "AR001", |error| matches!(error, BundleError::Truncated { .. }));
    zip.directory_tail = vec![0; 60];
    refused(&zip, "AR001", |error| matches!(error, BundleError::Malformed { .. }));
}

#[test]
fn ar001_headers_that_disagree() {
    let check = |change: fn(&mut Item), field: HeaderField| {
        let mut item = Item::file("scripts/a.py", b"print(1)");
        change(&mut item);
        refused(
            &with(item),
            "AR001",
            |error| matches!(error, BundleError::HeaderMismatch { field: found, .. } if *found == field),
        );
    };
    // The scanner sees a picture, the runtime a script.
    check(|item| item.local.name = b"scripts/a.md".to_vec(), HeaderField::Name);
    check(|item| item.local.name = b"../../etc/cron".to_vec(), HeaderField::Name);
    check(|item| item.local.flags ^= 1 << 11, HeaderField::Flags);
    check(|item| item.local.flags |= 1, HeaderField::Flags);
    check(|item| item.local.method = 8, HeaderField::Method);
    check(|item| item.local.crc ^= 1, HeaderField::Checksum);
    check(|item| item.local.compressed -= 1, HeaderField::CompressedSize);
    check(|item| item.local.size += 1, HeaderField::Size);
    // Also where a descriptor follows: what is said early must be true.
    let mut item = Item::file("a", b"abc").streamed(true, false);
    item.local.size = 2;
    refused(&with(item), "AR001", |error| {
        matches!(error, BundleError::HeaderMismatch { field: HeaderField::Size, .. })
    });
    // The hints for the compressor may differ.
    let mut item = Item::file("a", b"abc").deflated();
    item.local.flags |= 0b10;
    accepted(&with(item).build());
}

#[test]
fn ar001_extra_fields_that_are_broken() {
    let mut item = Item::file("a", b"a");
    item.central.extra = vec![1, 0, 200, 0];
    refused(&with(item), "AR001", |error| matches!(error, BundleError::Malformed { .. }));
    let mut item = Item::file("a", b"a");
    item.central.extra = [[0x75, 0x70, 0, 0], [0x75, 0x70, 0, 0]].concat();
    refused(&with(item), "AR001", |error| matches!(error, BundleError::Malformed { .. }));
}

#[test]
fn ar002_several_disks_and_64_bit_tricks() {
    let mut zip = with(Item::file("a", b"a"));
    zip.disk = 1;
    refused(&zip, "AR002", |error| matches!(error, BundleError::MultiDisk));
    let mut item = Item::file("a", b"a");
    item.disk = 1;
    refused(&with(item), "AR002", |error| matches!(error, BundleError::MultiDisk));
    let wide = |value: u64| [&[1, 0, 8, 0][..], &value.to_le_bytes()].concat();
    // A marker without the number, a number without the marker.
    let mut item = Item::file("a", b"a");
    item.central.size = u32::MAX;
    refused(&with(item), "AR002", |error| matches!(error, BundleError::Zip64 { .. }));
    let mut item = Item::file("a", b"a");
    item.central.extra = wide(5_000_000_000);
    refused(&with(item), "AR002", |error| matches!(error, BundleError::Zip64 { .. }));
    let mut item = Item::file("a", b"a");
    item.local.extra = wide(5_000_000_000);
    refused(&with(item), "AR002", |error| matches!(error, BundleError::Zip64 { .. }));
    // A true number is fine, an enormous one is not.
    let mut item = Item::file("a", b"a");
    (item.central.size, item.central.extra) = (u32::MAX, wide(1));
    accepted(&with(item).build());
    let mut item = Item::file("a", b"a");
    (item.central.compressed, item.central.extra) = (u32::MAX, wide(u64::MAX));
    refused(&with(item), "AR001", |error| matches!(error, BundleError::Truncated { .. }));
    let mut zip = with(Item::file("a", b"a"));
    zip.entries = Some(u16::MAX);
    refused(&zip, "AR002", |error| matches!(error, BundleError::Zip64 { .. }));
}

#[test]
fn ar003_encryption() {
    for flag in [1, 1 << 6, 1 << 13] {
        let mut item = Item::file("a", b"a");
        item.local.flags |= flag;
        item.central.flags |= flag;
        refused(&with(item), "AR003", |error| matches!(error, BundleError::Encrypted { .. }));
    }
    let mut item = Item::file("a", b"a");
    (item.local.method, item.central.method) = (99, 99);
    refused(&with(item), "AR003", |error| matches!(error, BundleError::Encrypted { .. }));
    let mut item = Item::file("a", b"a");
    item.local.extra = vec![0x01, 0x99, 0, 0];
    refused(&with(item), "AR003", |error| matches!(error, BundleError::Encrypted { .. }));
}

#[test]
fn ar004_other_compression() {
    for method in [1, 9, 12, 14, 93, 95, 0xffff] {
        let mut item = Item::file("a", b"a");
        (item.local.method, item.central.method) = (method, method);
        refused(
            &with(item),
            "AR004",
            |error| matches!(error, BundleError::Method { method: found, .. } if *found == method),
        );
    }
}

#[test]
fn ar005_paths_that_lead_elsewhere() {
    let check = |name: &str, expected: PathProblem| {
        refused(
            &with(Item::file(name, b"x")),
            "AR005",
            |error| matches!(error, BundleError::Path { problem, .. } if *problem == expected),
        );
    };
    check("", PathProblem::Empty);
    check("a//b", PathProblem::Empty);
    for name in ["../x", "a/../../x", "..", "./x", "a/./b", "a/.."] {
        check(name, PathProblem::Dots);
    }
    for name in ["/etc/passwd", "//host/share/x", "/"] {
        check(name, PathProblem::Absolute);
    }
    for name in ["..\\x", "a\\b", "\\\\host\\share"] {
        check(name, PathProblem::Backslash);
    }
    for name in ["C:x", "c:/x", "a.txt:stream"] {
        check(name, PathProblem::Colon);
    }
    for name in ["a\0b", "a\nb", "\u{1b}[2J", "a\u{7f}", "a\u{85}b", "a\u{202e}dm.exe", "a\u{2066}b"] {
        check(name, PathProblem::Control);
    }
    for name in ["a.", "a ", "a./b", "a /b", "...", "scripts/x.py."] {
        check(name, PathProblem::TrailingDotOrSpace);
    }
    for name in ["con", "NUL", "aux.md", "a/com1.txt", "LPT9", "com¹", "conin$"] {
        check(name, PathProblem::Device);
    }
    refused(&with(Item::directory("../out/")), "AR005", |error| matches!(error, BundleError::Path { .. }));
    // What is ignored is judged as well: another reader will not ignore it.
    refused(&with(Item::file("__MACOSX/../../x", b"x")), "AR005", |error| {
        matches!(error, BundleError::Path { .. })
    });
}

#[test]
fn ar006_paths_that_are_too_long() {
    let check = |name: &str| {
        refused(&with(Item::file(name, b"x")), "AR006", |error| {
            matches!(error, BundleError::PathTooLong { .. })
        });
    };
    check(&"a".repeat(256));
    check(&format!("{}x", "abcdefghi/".repeat(103)));
    check(&format!("{}x", "a/".repeat(16)));
    accepted(&with(Item::file(&format!("{}{}", "a/".repeat(15), "é".repeat(127)), b"x")).build());
}

#[test]
fn ar007_names_that_readers_decode_differently() {
    let mut item = Item::file("x", b"x");
    for header in [&mut item.local, &mut item.central] {
        (header.name, header.flags) = (b"r\x82sum\x82".to_vec(), 0);
    }
    refused(&with(item), "AR007", |error| matches!(error, BundleError::NameEncoding { .. }));
    // Marked as UTF-8, but not.
    let mut item = Item::file("x", b"x");
    for header in [&mut item.local, &mut item.central] {
        header.name = b"a\xff".to_vec();
    }
    refused(&with(item), "AR007", |error| matches!(error, BundleError::NameEncoding { .. }));
    // UTF-8, but not marked, as `zip -r` on Linux writes it.
    for name in ["é", "報告.md"] {
        let mut item = Item::file(name, b"x");
        (item.local.flags, item.central.flags) = (0, 0);
        let (_parent, unpacked) = accepted(&with(item).build());
        assert!(unpacked.files().iter().any(|file| file.path == name), "{name}");
    }
    // A second name in an extra field, in either header.
    let field = |name: &[u8], other: &[u8]| {
        let content = [&[1][..], &crc32fast::hash(name).to_le_bytes(), other].concat();
        [&0x7075_u16.to_le_bytes()[..], &u16::try_from(content.len()).unwrap().to_le_bytes(), &content]
            .concat()
    };
    for local in [true, false] {
        let mut item = Item::file("a.md", b"x");
        let header = if local { &mut item.local } else { &mut item.central };
        header.extra = field(b"a.md", b"../a.py");
        refused(&with(item), "AR007", |error| matches!(error, BundleError::NameEncoding { .. }));
    }
    let mut item = Item::file("a.md", b"x");
    item.local.extra = field(b"a.md", b"a.md");
    item.central.extra = field(b"a.md", b"a.md");
    accepted(&with(item).build());
}

#[test]
fn ar008_ar009_ar010_names_that_meet() {
    refused(&with(Item::file("SKILL.md", b"other")), "AR008", |error| {
        matches!(error, BundleError::Duplicate { .. })
    });
    let pair = |first: &str, second: &str| {
        let item =
            |name: &str| if name.ends_with('/') { Item::directory(name) } else { Item::file(name, b"x") };
        Zip::new([Item::file("SKILL.md", SKILL), item(first), item(second)])
    };
    refused(&pair("d/", "d/"), "AR008", |error| matches!(error, BundleError::Duplicate { .. }));
    for (first, second) in [
        ("a.md", "A.md"),
        ("caf\u{e9}", "cafe\u{301}"),
        ("\u{fb01}le", "file"),
        ("stra\u{df}e", "STRASSE"),
        ("\u{212a}elvin", "kelvin"),
        ("d/x", "D/y"),
        ("d/", "D/x"),
    ] {
        refused(&pair(first, second), "AR009", |error| matches!(error, BundleError::Collision { .. }));
    }
    for (first, second) in [("a", "a/b"), ("a/b", "a"), ("a", "a/"), ("a/b/c", "a/b")] {
        refused(&pair(first, second), "AR010", |error| matches!(error, BundleError::FileAsDirectory { .. }));
    }
    accepted(&pair("a/", "a/b").build());
    accepted(&pair("a/b", "a/").build());
}

#[test]
fn ar011_what_is_no_file() {
    let check = |item: Item, expected: NotRegular| {
        refused(
            &with(item),
            "AR011",
            |error| matches!(error, BundleError::NotRegular { kind, .. } if *kind == expected),
        );
    };
    check(Item::file("link", b"/etc/passwd").mode(0o120_777), NotRegular::Symlink);
    check(Item::file("link", b"..").mode(0o120_777).made_by(0), NotRegular::Symlink);
    check(Item::directory("link/").mode(0o120_777), NotRegular::Symlink);
    for mode in [0o010_644, 0o020_644, 0o060_644, 0o140_644, 0o170_000] {
        check(Item::file("special", b"").mode(mode), NotRegular::Special);
    }
    check(Item::file("d", b"").mode(0o040_755), NotRegular::Ambiguous);
    check(Item::directory("d/").mode(0o100_644), NotRegular::Ambiguous);
    check(Item::file("d/", b"content").mode(0), NotRegular::DirectoryWithContent);
    let mut item = Item::file("d", b"x");
    item.attributes = 0x10;
    check(item, NotRegular::Ambiguous);
    let mut item = Item::file("junction", b"x");
    item.attributes = 0x400;
    check(item, NotRegular::Symlink);
}

#[test]
fn ar014_limits() {
    let limits = BundleLimits {
        max_bundle_bytes: 2_000,
        max_entries: 3,
        max_file_bytes: 300,
        max_total_bytes: 500,
        max_ratio: 10,
        ratio_floor: 100,
        ..BundleLimits::default()
    };
    let check = |zip: &Zip, is: fn(&BundleError) -> bool| refused_with(&zip.build(), &limits, "AR014", is);
    check(&with(Item::file("a", &[0; 2_000])), |error| matches!(error, BundleError::BundleTooLarge { .. }));
    check(&Zip::new(["SKILL.md", "a", "b", "c"].map(|name| Item::file(name, b""))), |error| {
        matches!(error, BundleError::TooManyEntries { count: 4, limit: 3 })
    });
    check(&with(Item::file("a", &[0; 301])), |error| {
        matches!(error, BundleError::FileTooLarge { size: 301, .. })
    });
    let noise: Vec<u8> = (0..230_u8).collect();
    check(
        &Zip::new([Item::file("SKILL.md", SKILL), Item::file("a", &noise), Item::file("b", &noise)]),
        |error| matches!(error, BundleError::TotalTooLarge { .. }),
    );
    check(&with(Item::file("a", &[0; 300]).deflated()), |error| matches!(error, BundleError::Ratio { .. }));
    // Each below the floor, together a bomb.
    let zeros = |name| Item::file(name, &[0; 100]).deflated();
    let strict = BundleLimits { max_ratio: 2, ..limits.clone() };
    let zip = Zip::new([Item::file("SKILL.md", b""), zeros("a"), zeros("b")]);
    refused_with(&zip.build(), &strict, "AR014", |error| matches!(error, BundleError::Ratio { .. }));
    // A small file may be compressed as well as it can be.
    let parent = tempfile::tempdir().unwrap();
    assert!(unpack_into(&with(zeros("a")).build(), parent.path(), &limits).is_ok());
}

#[test]
fn ar014_bombs_are_stopped_by_real_bytes() {
    // Declares little, gives much.
    let mut item = Item::file("a", &vec![0; 4 << 20]).deflated();
    (item.local.size, item.central.size) = (1_000, 1_000);
    refused(&with(item), "AR015", |error| matches!(error, BundleError::Size { .. }));
    // The greatest honest declaration within all limits but the ratio.
    let bomb = Item::file("a", &vec![0; 31 << 20]).deflated();
    refused(&with(bomb), "AR014", |error| matches!(error, BundleError::Ratio { .. }));
    // Overlapping entries: one kernel of data for all of them.
    let mut zip = Zip::new([Item::file("SKILL.md", SKILL), Item::file("a", &[0; 1000]).deflated()]);
    zip.items.push(zip.items[1].clone().at_same_place_as(1));
    refused(&zip, "AR014", |error| matches!(error, BundleError::Overlap { .. }));
    // The better form quotes the next header as data.
    let mut item = Item::file("a", b"aaaa");
    (item.local.compressed, item.central.compressed) = (40, 40);
    (item.local.size, item.central.size) = (40, 40);
    let zip = Zip::new([item, Item::file("SKILL.md", SKILL)]);
    refused(&zip, "AR014", |error| matches!(error, BundleError::Overlap { .. }));
}

#[test]
fn ar015_content_that_is_not_as_declared() {
    let mut item = Item::file("a", b"abc");
    (item.local.crc, item.central.crc) = (1, 1);
    refused(&with(item), "AR015", |error| matches!(error, BundleError::Checksum { .. }));
    let mut item = Item::file("a", b"abc").deflated();
    (item.local.size, item.central.size) = (4, 4);
    refused(&with(item), "AR015", |error| matches!(error, BundleError::Size { .. }));
    let mut item = Item::file("a", b"abc");
    (item.local.size, item.central.size) = (2, 2);
    refused(&with(item), "AR015", |error| matches!(error, BundleError::Size { .. }));
    // Something hidden behind the end of the compressed stream.
    let data = [deflate(b"abc"), b"hidden".to_vec()].concat();
    refused(&with(Item::raw("a", data, b"abc")), "AR015", |error| matches!(error, BundleError::Size { .. }));
    // Data that is no deflate stream, or is cut off.
    refused(&with(Item::raw("a", vec![0xff; 20], b"abc")), "AR015", |error| {
        matches!(error, BundleError::Data { .. })
    });
    let cut = deflate(&(0..=255).collect::<Vec<u8>>())[..100].to_vec();
    refused(&with(Item::raw("a", cut, &[0; 256])), "AR015", |error| {
        matches!(error, BundleError::Data { .. } | BundleError::Size { .. })
    });
    // A descriptor that says something else, or is missing.
    let mut item = Item::file("a", b"abc").streamed(true, false);
    item.descriptor[5] ^= 1;
    refused(&with(item), "AR015", |error| matches!(error, BundleError::Descriptor { .. }));
    let mut item = Item::file("a", b"abc").streamed(true, false);
    item.descriptor.clear();
    refused(&with(item), "AR015", |error| matches!(error, BundleError::Descriptor { .. }));
}

#[test]
fn ar016_an_archive_inside_stays_a_file() {
    let inner = Zip::new([Item::file("../../evil", b"x")]).build();
    let (_parent, unpacked) = accepted(&with(Item::file("assets/inner.zip", &inner)).build());
    assert_eq!(fs::read(unpacked.root().join("assets/inner.zip")).unwrap(), inner);
}

#[test]
fn ar019_time_is_bounded() {
    let limits = BundleLimits { max_duration: Duration::ZERO, ..BundleLimits::default() };
    refused_with(&with(Item::file("a", b"a")).build(), &limits, "AR019", |error| {
        matches!(error, BundleError::Time)
    });
}

#[test]
fn ar021_comments_and_extra_fields_are_bounded() {
    let mut zip = with(Item::file("a", b"a"));
    zip.comment = vec![b'c'; 1_025];
    refused(&zip, "AR021", |error| matches!(error, BundleError::CommentTooLong { size: 1_025, .. }));
    zip.comment.pop();
    accepted(&zip.build());
    let mut item = Item::file("a", b"a");
    item.comment = vec![b'c'; 1_025];
    refused(&with(item), "AR021", |error| matches!(error, BundleError::CommentTooLong { .. }));
    let filler = [&[0xfe, 0xca, 0xfc, 0x0f][..], &[0; 4_092 + 1]].concat();
    for local in [true, false] {
        let mut item = Item::file("a", b"a");
        let header = if local { &mut item.local } else { &mut item.central };
        header.extra = filler.clone();
        refused(&with(item), "AR021", |error| matches!(error, BundleError::ExtraTooLong { size: 4_097, .. }));
    }
    let limits = BundleLimits { max_directory_bytes: 50, ..BundleLimits::default() };
    refused_with(&with(Item::file("a", b"a")).build(), &limits, "AR021", |error| {
        matches!(error, BundleError::DirectoryTooLarge { .. })
    });
}

#[test]
fn the_place_of_skill_md_is_clear() {
    let names = |names: &[&str]| Zip::new(names.iter().map(|name| Item::file(name, SKILL)));
    refused(&names(&["README.md"]), "SB001", |error| matches!(error, BundleError::SkillFileMissing));
    refused(&names(&[]), "SB001", |error| matches!(error, BundleError::SkillFileMissing));
    refused(&names(&["repo-1/skills/a/SKILL.md"]), "SB001", |error| {
        matches!(error, BundleError::SkillFileNested { .. })
    });
    refused(&names(&["a/SKILL.md", "b/x"]), "SB001", |error| {
        matches!(error, BundleError::SkillFileNested { .. })
    });
    refused(&names(&["a/SKILL.md", "x"]), "SB001", |error| {
        matches!(error, BundleError::SkillFileNested { .. })
    });
    refused(
        &names(&["a/SKILL.md", "b/SKILL.md"]),
        "SB005",
        |error| matches!(error, BundleError::SeveralSkillFiles { paths } if paths.len() == 2),
    );
    for several in [
        &["SKILL.md", "sub/SKILL.md"][..],
        &["a/SKILL.md", "a/references/other/SKILL.md"],
        &["a/SKILL.md", "assets/b/SKILL.md"],
    ] {
        refused(&names(several), "SB005", |error| matches!(error, BundleError::SeveralSkillFiles { .. }));
    }
    // A sample of a skill is a file like any other.
    let samples = names(&["a/SKILL.md", "a/assets/b/SKILL.md", "a/references/examples/skill.md"]).build();
    let (_parent, unpacked) = accepted(&samples);
    assert_eq!(unpacked.top(), Some("a"));
    assert!(unpacked.root().join("assets/b/SKILL.md").is_file());
    let (_parent, unpacked) = accepted(&names(&["a/SKILL.md", "a/b/c", "__MACOSX/x", "._a"]).build());
    assert_eq!(unpacked.top(), Some("a"));
    assert!(unpacked.root().join("b/c").is_file());
}

#[test]
fn what_never_belongs_to_a_skill_can_be_removed() {
    let zip = Zip::new([
        Item::file("qr-code/SKILL.md", SKILL),
        Item::file("qr-code/scripts/run.sh", b"#!/bin/sh\n").mode(0o100_755),
        Item::file("qr-code/.git/hooks/post-checkout", b"#!/bin/sh\n").mode(0o100_755),
        Item::directory("qr-code/assets/.git/"),
        Item::file("qr-code/.env", b"LD_PRELOAD=x\n"),
    ]);
    let (_parent, mut unpacked) = accepted(&zip.build());
    let files: Vec<_> = unpacked.files().iter().map(|file| (file.path.as_str(), file.executable)).collect();
    assert_eq!(files, [("SKILL.md", false), ("scripts/run.sh", true)]);
    let removed: Vec<String> = unpacked.remove_foreign().unwrap().into_iter().map(|(path, _)| path).collect();
    assert_eq!(removed, [".env", ".git", "assets/.git"]);
    let root = unpacked.root();
    assert!(!root.join(".git").exists() && !root.join(".env").exists() && root.join("assets").is_dir());
    assert!(root.join("scripts/run.sh").exists());
}
