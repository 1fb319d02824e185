//! One bad and one good skill for every rule, with what is found in the bad one beside it; and its false friends: skills as
//! they are in the wild, that only look as if they broke it.
//!
//! A fixture is `fixtures/<CODE>.txt`. Lines `== bad DIRECTORY`, `== good DIRECTORY`, `== friend DIRECTORY` (of which there may
//! be several) and `== found` begin its parts, lines
//! `-- PATH --` the files of a skill; `-- PATH escaped --` reads Rust's escapes (`\n`, `\r`, `\t`, `\0`, `\\`, `\x7f`, `\u{fe}`)
//! and joins the lines, for bytes that editors would not keep. With `UPDATE_FIXTURES=1` the part `== found` is written anew.

use std::{collections::BTreeMap, fs, path::PathBuf};

use skill::{Diagnostic, Draft, Group, Profile, Rule, Severity};

use crate::{Environment, Options, check};

struct Case {
    directory: String,
    files: BTreeMap<String, Vec<u8>>,
}

struct Fixture {
    bad: Case,
    good: Case,
    /// Skills that only look as if the rule were broken in them.
    friends: Vec<Case>,
    found: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn parse(name: &str, text: &str) -> Fixture {
    let (mut bad, mut good, mut friends, mut found) = (None, None, Vec::new(), String::new());
    for part in format!("\n{text}").split("\n== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        let (kind, directory) = head.split_once(' ').unwrap_or((head, ""));
        match kind {
            "bad" => bad = Some(case(directory, body)),
            "good" => good = Some(case(directory, body)),
            "friend" => friends.push(case(directory, body)),
            "found" => found = body.trim().to_owned(),
            other => panic!("{name}: unknown part {other:?}"),
        }
    }
    let (bad, good) =
        (bad.unwrap_or_else(|| panic!("{name}: bad")), good.unwrap_or_else(|| panic!("{name}: good")));
    Fixture { bad, good, friends, found }
}

fn case(directory: &str, body: &str) -> Case {
    let mut files = BTreeMap::new();
    for part in format!("\n{body}").split("\n-- ").skip(1) {
        let (head, content) =
            part.split_once(" --\n").unwrap_or_else(|| panic!("no file begins with {part:?}"));
        let (path, bytes) = match head.strip_suffix(" escaped") {
            Some(path) => (path, unescape(&content.replace('\n', ""))),
            None => (head, format!("{}\n", content.trim_end_matches('\n')).into_bytes()),
        };
        files.insert(path.to_owned(), bytes);
    }
    Case { directory: directory.trim().to_owned(), files }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let used = match escape.as_bytes()[0] {
            b'n' => {
                bytes.push(b'\n');
                1
            }
            b'r' => {
                bytes.push(b'\r');
                1
            }
            b't' => {
                bytes.push(b'\t');
                1
            }
            b'0' => {
                bytes.push(0);
                1
            }
            b'\\' => {
                bytes.push(b'\\');
                1
            }
            b'x' => {
                bytes.push(u8::from_str_radix(&escape[1..3], 16).unwrap());
                3
            }
            b'u' => {
                let end = escape.find('}').unwrap();
                let character = char::from_u32(u32::from_str_radix(&escape[2..end], 16).unwrap()).unwrap();
                bytes.extend_from_slice(character.to_string().as_bytes());
                end + 1
            }
            other => panic!("unknown escape {:?}", char::from(other)),
        };
        rest = &escape[used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn found_in(case: &Case, profile: Profile) -> Vec<Diagnostic> {
    let directory = (!case.directory.is_empty()).then_some(case.directory.as_str());
    let draft = Draft::from_files(case.files.clone(), directory).unwrap();
    let environment = Environment { python_packages: vec!["numpy".to_owned()], ..Environment::default() };
    check(&draft, &Options { profile, environment, ..Options::default() })
}

/// The rules that no fixture can break; each has a test of its own, with real files or large ones.
fn has_its_own_test(rule: Rule) -> bool {
    let elsewhere = [
        Rule::TOO_LARGE,
        Rule::FOLDER_LIMITS,
        Rule::NOT_LOOKED_AT,
        Rule::FILE_LEFT_OUT,
        Rule::LINKED_SKILL,
        // Found by running scripts in a sandbox.
        Rule::SMOKE_TEST,
        Rule::NO_HELP,
        Rule::NAME_TAKEN,
        Rule::DESCRIPTION_OVERLAP,
        Rule::EMPTY_DIRECTORY,
    ];
    // Bundles are refused before there is a skill; their fixtures stand with their reader.
    elsewhere.contains(&rule) || rule.group() == Group::Archive && rule != Rule::ARCHIVE_NESTED
}

/// The default profile, or the first in which the rule is on.
fn profile_of(rule: Rule) -> Profile {
    Profile::ALL.into_iter().find(|profile| rule.severity(*profile).is_some()).unwrap_or_default()
}

#[test]
fn every_rule_finds_its_bad_skill_and_not_its_good_one() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut broken = Vec::new();
    for rule in Rule::all().filter(|rule| !has_its_own_test(*rule)) {
        let path = folder().join(format!("{}.txt", rule.code()));
        let Ok(text) = fs::read_to_string(&path) else {
            broken.push(format!("{rule:?} has no fixture"));
            continue;
        };
        let fixture = parse(rule.code(), &text);
        let profile = profile_of(rule);
        let found = found_in(&fixture.bad, profile);
        let shown = found.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n");
        if !found.iter().any(|diagnostic| diagnostic.rule == rule) {
            broken.push(format!("{rule:?} does not find its bad skill:\n{shown}"));
        }
        let good = found_in(&fixture.good, profile);
        if let Some(wrong) = good.iter().find(|found| found.rule == rule || found.severity == Severity::Error)
        {
            broken.push(format!("{rule:?}: its good skill has {wrong}"));
        }
        for friend in &fixture.friends {
            if let Some(wrong) = found_in(friend, profile).iter().find(|found| found.rule == rule) {
                broken.push(format!("{rule:?}: its false friend has {wrong}"));
            }
        }
        if shown != fixture.found {
            if update {
                let head = text.split("\n== found").next().unwrap().trim_end();
                fs::write(&path, format!("{head}\n\n== found\n{shown}\n")).unwrap();
            } else {
                broken.push(format!("{rule:?} finds\n{shown}\nand not\n{}", fixture.found));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    for (text, says) in [
        (format!("---\nname: a\ndescription: b\n---\n{}", "x".repeat(1 << 20)), "1048576"),
        (format!("---\nname: a\ncompatibility: {}\n---\n", "x".repeat(1 << 18)), "262144"),
    ] {
        let draft = Draft::from_files([("SKILL.md", text)], Some("a")).unwrap();
        for profile in Profile::ALL {
            let found = check(&draft, &Options { profile, ..Options::default() });
            let large = found.iter().find(|found| found.rule == Rule::TOO_LARGE).unwrap();
            assert!(large.severity == Severity::Error && large.message.contains(says), "{large}");
        }
    }
}

#[test]
fn fixes_mend_what_they_are_for_and_break_nothing() {
    for rule in Rule::all().filter(|rule| !has_its_own_test(*rule)) {
        let Ok(text) = fs::read_to_string(folder().join(format!("{}.txt", rule.code()))) else { continue };
        let mut case = parse(rule.code(), &text).bad;
        let directory = case.directory.clone();
        let profile = profile_of(rule);
        let before = found_in(&case, profile);
        // Renames and modes need a disk; here it is about texts.
        let mends = |diagnostic: &&Diagnostic| {
            let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits);
            diagnostic.rule == rule
                && edits.clone().count() > 0
                && edits.clone().all(|edit| matches!(edit, skill::Edit::Replace { .. }))
        };
        let ours: Vec<&Diagnostic> = before.iter().filter(mends).collect();
        if ours.is_empty() {
            continue;
        }
        let draft = Draft::from_files(case.files.clone(), Some(&directory)).unwrap();
        let fixed = crate::fix(&draft, ours.iter().copied()).unwrap();
        assert!(fixed.count > 0, "{rule:?}");
        for (file, (_, after)) in fixed.texts {
            case.files.insert(file, after.into_bytes());
        }
        let after = found_in(&case, profile);
        let count = |found: &[Diagnostic]| found.iter().filter(|found| found.rule == rule).count();
        assert_eq!(count(&after), count(&before) - fixed.count, "{rule:?}: {after:?}");
        let errors =
            |found: &[Diagnostic]| found.iter().filter(|found| found.severity == Severity::Error).count();
        assert!(errors(&after) <= errors(&before), "{rule:?}: {after:?}");
    }
}

#[test]
fn no_fixture_is_left_over() {
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let code = name.strip_suffix(".txt").unwrap_or_else(|| panic!("{name}"));
        assert!(Rule::find(code).is_some_and(|rule| rule.code() == code), "{name}");
    }
}
