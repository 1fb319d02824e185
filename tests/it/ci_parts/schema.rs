//! The schema of the frontmatter, held to the same examples as `skillbox validate`.

use std::fs;

use serde_json::Value;
use serde_yaml as yaml;
use tempfile::TempDir;

use crate::support::skillbox::{repository, run_in};

fn schema() -> Value {
    serde_json::from_str(&super::file("docs/schema/skill.schema.json")).unwrap()
}

/// What must be said about a frontmatter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Both accept it.
    Good,
    /// Both refuse it.
    Bad,
    /// The schema refuses it; for the command it is no error, since many clients take it.
    Advice,
}

fn cases() -> Vec<(String, Verdict)> {
    use Verdict::{Advice, Bad, Good};
    let head = "name: a-skill\ndescription: Does things when asked.\n";
    let with = |more: &str| format!("{head}{more}");
    let named = |name: &str| format!("name: {name}\ndescription: Does things when asked.\n");
    let long = |count: usize| format!("name: a-skill\ndescription: {}\n", "é".repeat(count));
    vec![
        (head.to_owned(), Good),
        (named("a"), Good),
        (named("a1-b2-3"), Good),
        (named(&"x".repeat(64)), Good),
        (long(1024), Good),
        (with("license: MIT\n"), Good),
        (with("compatibility: Needs python3 and network\n"), Good),
        (with(&format!("compatibility: {}\n", "x".repeat(500))), Good),
        (with("metadata:\n  version: \"1.0\"\n  team: docs\n"), Good),
        (with("allowed-tools: Bash(git add:*) Read\n"), Good),
        (with("version: \"1.2.0\"\nauthor: Somebody\n"), Good),
        (with("version: 1.0\n"), Good),
        ("name: a-skill\n".to_owned(), Bad),
        ("description: Does things when asked.\n".to_owned(), Bad),
        ("name: a-skill\ndescription: \"  \"\n".to_owned(), Bad),
        ("name: a-skill\ndescription: [a, b]\n".to_owned(), Bad),
        (named("A-skill"), Bad),
        (named("a--b"), Bad),
        (named("-a"), Bad),
        (named("a-"), Bad),
        (named("my_skill"), Bad),
        (named("[a]"), Bad),
        (named("nul"), Bad),
        (named(&"x".repeat(65)), Bad),
        (named("技能"), Bad),
        (long(1025), Bad),
        (with("triggers: a\n"), Advice),
        (with("allowed_tools: Read\n"), Advice),
        (with("allowed-tools: [Read, Write]\n"), Advice),
        (with("allowed-tools: Read, Write\n"), Advice),
        (with("metadata: text\n"), Advice),
        (with("metadata:\n  list: [a]\n"), Advice),
        (with(&format!("compatibility: {}\n", "x".repeat(501))), Advice),
        (with("license: [MIT]\n"), Advice),
    ]
}

#[test]
fn the_schema_and_the_command_agree() {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for (frontmatter, verdict) in cases() {
        let data: Value = yaml::from_str(&frontmatter).unwrap();
        assert_eq!(validator.is_valid(&data), verdict == Verdict::Good, "{frontmatter}");
        let directory = TempDir::new().unwrap();
        let name = data["name"].as_str().filter(|name| !name.is_empty()).unwrap_or("a-skill").to_owned();
        let folder = directory.path().join(&name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("SKILL.md"), format!("---\n{frontmatter}---\n\nDo it.\n")).unwrap();
        let ran = run_in(directory.path(), &["validate", &format!("./{name}")]);
        match verdict {
            Verdict::Good => assert_eq!(ran.code(), 0, "{frontmatter}{}", ran.stdout),
            Verdict::Bad => assert_eq!(ran.code(), 1, "{frontmatter}{}", ran.stdout),
            Verdict::Advice => assert!(ran.code() <= 1, "{frontmatter}{}", ran.stderr),
        }
    }
}

#[test]
fn every_field_is_described() {
    let schema = schema();
    let fields = schema["properties"].as_object().unwrap();
    for (name, field) in fields {
        assert!(field["description"].as_str().is_some_and(|text| text.len() > 20), "{name}");
        for example in field["examples"].as_array().into_iter().flatten() {
            let mut schema = field.clone();
            schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
            assert!(jsonschema::draft202012::new(&schema).unwrap().is_valid(example), "{name}: {example}");
        }
    }
    // The fields of the examples are known, too.
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for name in ["qr-code", "data-analysis", "text-report"] {
        let text =
            fs::read_to_string(repository().join("skills-examples").join(name).join("SKILL.md")).unwrap();
        let head = text.split("---\n").nth(1).unwrap();
        let data: Value = yaml::from_str(head).unwrap();
        let errors: Vec<String> = validator.iter_errors(&data).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}
