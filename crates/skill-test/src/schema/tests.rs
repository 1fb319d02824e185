//! The published schema and the parser say the same.

use std::{collections::BTreeSet, fs, path::Path};

use jsonschema::Validator;
use serde_json::Value as Json;

use super::SCHEMA;
use crate::{
    expect, format,
    problem::Problems,
    samples::{GOOD, Schema, bad},
    yaml,
};

fn validator() -> Validator {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

/// A file as an editor's checker sees it; keys that are there twice, anchors and the like are not for it to judge.
fn json(text: &str) -> Option<Json> {
    yaml::parse(text, &mut Problems::new("t.yaml")).map(|node| node.to_json())
}

#[test]
fn good_files_are_good_for_both() {
    for text in GOOD {
        let document = json(text).unwrap();
        let errors: Vec<String> = validator().iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{text}\n{errors:#?}");
    }
}

#[test]
fn bad_files_are_bad_for_both_as_far_as_a_schema_can_say() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (text, _, schema) in bad() {
        let Some(document) = json(&text) else { continue };
        let sees = !validator().is_valid(&document);
        seen += usize::from(sees);
        if sees != (schema == Schema::Sees) {
            wrong.push(format!("{text}  schema: {}", if sees { "sees a mistake" } else { "sees nothing" }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 40, "{seen}");
}

#[test]
fn the_examples_are_good_for_both() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../skills-examples");
    let mut seen = 0;
    for skill in fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(skill.join("tests")).unwrap().map(|entry| entry.unwrap().path()) {
            if !file.to_str().unwrap().ends_with(format::SUFFIX) {
                continue;
            }
            seen += 1;
            let text = fs::read_to_string(&file).unwrap();
            format::parse(file.to_str().unwrap(), &text, "x")
                .unwrap_or_else(|problems| panic!("{problems:?}"));
            let document = json(&text).unwrap();
            let errors: Vec<String> =
                validator().iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
        }
    }
    assert!(seen >= 3, "{seen}");
}

/// A key that one of the two does not know would be a key that authors cannot use.
#[test]
fn both_know_the_same_keys() {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let check = |pointer: &str, known: &[&str]| {
        let properties =
            schema.pointer(pointer).and_then(Json::as_object).unwrap_or_else(|| panic!("{pointer}"));
        let published: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(published, known.iter().copied().collect(), "{pointer}");
    };
    check("/properties", format::FILE);
    for (name, known) in [
        ("case", format::CASE),
        ("run", format::RUN),
        ("code", format::CODE),
        ("step", format::STEP),
        ("input", format::INPUT),
        ("limits", format::LIMITS),
        ("expect", expect::EXPECT),
        ("image", expect::IMAGE),
        ("csv", expect::CSV),
    ] {
        check(&format!("/$defs/{name}/properties"), known);
    }
    check("/$defs/text/anyOf/1/properties", expect::TEXT);
    check("/$defs/file/anyOf/1/properties", expect::FILE);
    check("/$defs/error/anyOf/3/properties", expect::ERROR);
    let codes: Vec<&str> = expect::CODES.iter().map(|code| code.as_str()).collect();
    assert_eq!(schema.pointer("/$defs/error_code/enum"), Some(&serde_json::json!(codes)));
}
