//! One bad and one good skill for every rule, with what is found in the bad one beside it.
//!
//! A fixture is `fixtures/<CODE>.txt`. Lines `== bad DIRECTORY`, `== good DIRECTORY` and `== found` begin its parts, lines
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
    found: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn parse(name: &str, text: &str) -> Fixture {
    let (mut bad, mut good, mut found) = (None, None, String::new());
    for part in format!("\n{text}").split("\n== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        let (kind, directory) = head.split_once(' ').unwrap_or((head, ""));
        match kind {
            "bad" => bad = Some(case(directory, body)),
            "good" => good = Some(case(directory, body)),
            "found" => found = body.trim().to_owned(),
            other => panic!("{name}: unknown part {other:?}"),
        }
    }
    let (bad, good) =
        (bad.unwrap_or_else(|| panic!("{name}: bad")), good.unwrap_or_else(|| panic!("{name}: good")));
    Fixture { bad, good, found }
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

/// The rules that a skill in memory cannot break; each has its own test with real files.
fn needs_a_disk(rule: Rule) -> bool {
    let on_disk = [
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
    on_disk.contains(&rule) || rule.group() == Group::Archive && rule != Rule::ARCHIVE_NESTED
}

/// The profile in which the rule says most.
fn profile_of(rule: Rule) -> Profile {
    Profile::ALL
        .into_iter()
        .max_by_key(|profile| (rule.severity(*profile), *profile == Profile::Octavus))
        .unwrap_or_default()
}

#[test]
fn every_rule_finds_its_bad_skill_and_not_its_good_one() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut broken = Vec::new();
    for rule in Rule::all().filter(|rule| !needs_a_disk(*rule)) {
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
fn no_fixture_is_left_over() {
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let code = name.strip_suffix(".txt").unwrap_or_else(|| panic!("{name}"));
        assert!(Rule::find(code).is_some_and(|rule| rule.code() == code), "{name}");
    }
}
