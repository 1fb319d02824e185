//! Test files: good ones, and every mistake with its place.

use serde_json::json;

use super::*;
use crate::{
    expect::{FileCheck, TextCheck},
    samples::{GOOD, bad},
};

#[test]
fn good_files_are_read() {
    for text in GOOD {
        parse("tests/a.test.yaml", text, "qr").unwrap_or_else(|problems| panic!("{problems:?}"));
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let mut wrong = Vec::new();
    for (text, said, _) in bad() {
        let mut expected: Vec<String> = said.iter().map(|said| format!("t.yaml:{said}")).collect();
        let mut got: Vec<String> = match parse("t.yaml", &text, "qr") {
            Ok(_) => vec!["nothing".to_owned()],
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        (expected.sort(), got.sort());
        if got != expected {
            wrong.push(format!("{text}\n  expected {expected:#?}\n  got {got:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn help_of(text: &str) -> String {
    let problems = parse("t.yaml", text, "qr").unwrap_err();
    problems.into_iter().find_map(|problem| problem.help).unwrap_or_default()
}

#[test]
fn misspelt_words_are_known_again() {
    let check = |inside: &str, expected: &str| {
        let text =
            crate::samples::case(&format!("run: {{ script: a }}\nexpect: {{ exit_code: 0, {inside} }}"));
        let help = help_of(&text);
        assert!(help.contains(expected), "{inside}: {help}");
    };
    check("stdot: x", "did you mean `stdout`?");
    check("no-other-files: true", "did you mean `no_other_files`?");
    check("xyz: 1", "`expect` has `exit_code`, `stdout`");
    check("network: none", "exit_code: \"!=0\"");
    let text = crate::samples::case("steps: [{ file_write: {} }]");
    assert!(help_of(&text).contains("did you mean `octavus_file_write`?"), "{}", help_of(&text));
    let text =
        crate::samples::case("steps: [{ octavus_skill_list: {}, expect: { error: SCRIPT_NOT_FOUNT } }]");
    assert!(help_of(&text).contains("did you mean `SCRIPT_NOT_FOUND`?"), "{}", help_of(&text));
}

#[test]
fn short_forms_come_to_one_step() {
    let file = parse("t.yaml", GOOD[1], "qr").unwrap();
    let [everything, slow, from_file, steps] = file.cases.as_slice() else { panic!("{:?}", file.cases) };
    let step = &everything.steps[0];
    assert_eq!(
        step.args,
        json!({"skill": "qr", "script": "scripts/a.py", "args": ["--size", "10", "true"],
        "input": {"a": [1, {"b": null}]}})
    );
    assert_eq!(everything.env[1].value, ("N".to_owned(), "1".to_owned()));
    assert_eq!(
        (everything.timeout, everything.memory.unwrap().value),
        (Some(Duration::from_secs(90)), 256 << 20)
    );
    assert_eq!((step.expect.stdout.len(), step.expect.stderr.len(), step.expect.files.len()), (9, 1, 7));
    assert!(matches!(&step.expect.files[4].checks[0].value, FileCheck::Json(check) if check.value == 1));
    assert!(matches!(&step.expect.stderr[0].value, TextCheck::Equals(text) if text.is_empty()));
    assert_eq!(slow.skip.as_deref(), Some("needs a newer Python"));
    assert_eq!(slow.stdin.as_deref(), Some(""));
    assert_eq!(from_file.steps[0].args["language"], "python");
    // The skill of the file where none is named, and another one where it is.
    let skills: Vec<_> = steps.steps.iter().map(|step| step.args.get("skill").cloned()).collect();
    assert_eq!(skills, [None, Some(json!("qr")), Some(json!("qr")), None, Some(json!("other")), None]);
}
