//! What the tools take, what they refuse, and the exact words of each refusal.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::ErrorCode;

fn parse(tool: ToolName, args: &Value) -> Result<Arguments, String> {
    Arguments::parse(tool, args, &ToolPrefix::default()).map_err(|error| {
        assert_eq!(error.code(), ErrorCode::InvalidArguments);
        error.message().to_owned()
    })
}

fn refused(tool: ToolName, args: &Value, problem: &str) {
    let expected = format!("Invalid arguments for {}: {problem}", ToolPrefix::default().name(tool));
    assert_eq!(parse(tool, args), Err(expected), "{args}");
}

#[test]
fn each_tool_takes_its_arguments() {
    let skill = || "qr-code".to_owned();
    let cases = [
        (
            ToolName::SkillRead,
            json!({"skill": "qr-code", "path": "references/a.md"}),
            Arguments::SkillRead(SkillRead { skill: skill(), path: Some("references/a.md".into()) }),
        ),
        (
            ToolName::SkillList,
            json!({"skill": "qr-code"}),
            Arguments::SkillList(SkillList { skill: skill() }),
        ),
        (
            ToolName::SkillRun,
            json!({"skill": "qr-code", "script": "generate", "args": ["--data", ""], "input": {"a": [1]}, "timeout": 5000}),
            Arguments::SkillRun(SkillRun {
                skill: skill(),
                script: "generate".into(),
                args: vec!["--data".into(), String::new()],
                input: Some(json!({"a": [1]})),
                timeout: Some(Duration::from_secs(5)),
            }),
        ),
        (
            ToolName::CodeRun,
            json!({"language": "bash", "code": ""}),
            Arguments::CodeRun(CodeRun { language: Language::Bash, code: String::new(), timeout: None }),
        ),
        (
            ToolName::FileWrite,
            json!({"path": "a.txt", "content": "é"}),
            Arguments::FileWrite(FileWrite { path: "a.txt".into(), content: vec![0xC3, 0xA9] }),
        ),
        (
            ToolName::FileRead,
            json!({"path": "a.txt", "offset": 3}),
            Arguments::FileRead(FileRead { path: "a.txt".into(), offset: 3, limit: None }),
        ),
    ];
    for (tool, args, expected) in cases {
        assert_eq!(expected.tool(), tool);
        assert_eq!(parse(tool, &args), Ok(expected));
    }
}

#[test]
fn a_word_that_is_not_in_the_list() {
    for language in [json!("ruby"), json!("Python"), json!(3), json!([]), json!("")] {
        refused(
            ToolName::CodeRun,
            &json!({"language": language, "code": "1"}),
            "language must be one of python, bash",
        );
    }
}

#[test]
fn what_is_missing_is_named_with_its_form_all_at_once() {
    refused(
        ToolName::CodeRun,
        &json!({}),
        "language is missing; it must be one of python, bash; code is missing; it must be a string",
    );
    refused(
        ToolName::SkillList,
        &json!({"skill": null}),
        "skill is missing; it must be the slug of a skill, a string",
    );
}

#[test]
fn wrong_types_are_named_with_the_right_one() {
    refused(ToolName::FileRead, &json!({"path": ["a"]}), "path must be a string");
    refused(ToolName::FileWrite, &json!({"path": "a", "content": {"a": 1}}), "content must be a string");
    refused(
        ToolName::SkillRun,
        &json!({"skill": "a", "script": "b", "args": ["--n", [1]], "input": "text"}),
        "args must be an array of strings, for example [\"--size\", \"10\"]; \
         input must be a JSON object, for example {\"size\": 10}",
    );
    for args in [json!(null), json!([]), json!("{\"skill\": \"a\"}"), json!(1)] {
        refused(ToolName::SkillList, &args, "they must be a JSON object with the members skill");
    }
}

#[test]
fn arguments_are_what_was_meant_however_they_were_encoded() {
    let check = |args: Value, expected: &[&str]| match parse(
        ToolName::SkillRun,
        &json!({"skill": "a", "script": "b", "args": args}),
    ) {
        Ok(Arguments::SkillRun(run)) => assert_eq!(run.args, expected, "{args}"),
        other => panic!("{args}: {other:?}"),
    };
    check(json!(["--size", 10, true, -2.5]), &["--size", "10", "true", "-2.5"]);
    check(json!(r#"["--size","10","a b"]"#), &["--size", "10", "a b"]);
    check(json!(" [\"--size\", 10]\n"), &["--size", "10"]);
    check(json!("[]"), &[]);
    check(json!(7), &["7"]);
    // Not JSON: a pattern of a shell.
    check(json!("[a-z]* 'x y'"), &["[a-z]*", "x y"]);
    for args in [json!(["a", null]), json!("[[1]]"), json!({"size": 10})] {
        refused(
            ToolName::SkillRun,
            &json!({"skill": "a", "script": "b", "args": args}),
            r#"args must be an array of strings, for example ["--size", "10"]"#,
        );
    }
}

#[test]
fn unknown_arguments_are_refused_with_what_was_meant() {
    let code = |extra: &str| {
        let mut args = json!({"language": "bash", "code": "1"});
        args[extra] = json!("x");
        args
    };
    refused(ToolName::CodeRun, &code("timeuot"), r#"unknown argument "timeuot" (did you mean timeout?)"#);
    refused(
        ToolName::CodeRun,
        &code("a\nb"),
        r#"unknown argument "a\nb" (the arguments are language, code, timeout)"#,
    );
    refused(
        ToolName::CodeRun,
        &json!({"lang": "bash", "code": "1"}),
        r#"unknown argument "lang" (did you mean language?); language is missing; it must be one of python, bash"#,
    );
}

#[test]
fn numbers_must_be_whole_and_in_range() {
    let timeout = |value: Value| json!({"language": "bash", "code": "1", "timeout": value});
    for value in [json!(0), json!(-1), json!(1.5), json!("5000"), json!(true), json!(1e300)] {
        refused(ToolName::CodeRun, &timeout(value), "timeout must be a whole number, at least 1");
    }
    for (value, expected) in [(json!(1), 1), (json!(5000.0), 5000), (json!(u64::MAX), u64::from(u32::MAX))] {
        let Ok(Arguments::CodeRun(code)) = parse(ToolName::CodeRun, &timeout(value)) else { panic!() };
        assert_eq!(code.timeout, Some(Duration::from_millis(expected)));
    }
    refused(
        ToolName::FileRead,
        &json!({"path": "a", "limit": 0}),
        "limit must be a whole number, at least 1",
    );
}

#[test]
fn args_may_be_one_string() {
    let args = |line: &str| json!({"skill": "a", "script": "b", "args": line});
    for (line, expected) in [
        ("--data 'two words' \"\"", vec!["--data", "two words", ""]),
        ("", vec![]),
        (r"a\ b $HOME `x` *", vec!["a b", "$HOME", "`x`", "*"]),
    ] {
        let Ok(Arguments::SkillRun(run)) = parse(ToolName::SkillRun, &args(line)) else { panic!("{line}") };
        assert_eq!(run.args, expected);
    }
    refused(
        ToolName::SkillRun,
        &args("--data 'open"),
        "args has a quote that is not closed; give an array of strings, for example [\"--size\", \"10\"]",
    );
}

#[test]
fn names_are_not_empty_and_have_no_nul() {
    refused(ToolName::FileRead, &json!({"path": ""}), "path must not be empty");
    refused(ToolName::FileRead, &json!({"path": "a\0b"}), "path must not contain NUL characters");
    refused(
        ToolName::SkillRun,
        &json!({"skill": "a", "script": "b", "args": ["\0"]}),
        "args must not contain NUL characters",
    );
}

#[test]
fn base64_is_decoded_with_line_breaks_and_without_padding() {
    let write = |content: &str| json!({"path": "a", "content": content, "encoding": "base64"});
    for content in ["aGk=", "aGk", "aG\nk="] {
        let Ok(Arguments::FileWrite(file)) = parse(ToolName::FileWrite, &write(content)) else { panic!() };
        assert_eq!(file.content, b"hi");
    }
    refused(ToolName::FileWrite, &write("h*i"), "content is not base64, as encoding says it is");
    refused(
        ToolName::FileWrite,
        &json!({"path": "a", "content": "", "encoding": "latin-1"}),
        "encoding must be one of utf-8, base64",
    );
}

#[test]
fn null_for_an_optional_argument_is_absent() {
    let args = json!({"language": "python", "code": "1", "timeout": null});
    assert!(parse(ToolName::CodeRun, &args).is_ok());
}

#[test]
fn an_unknown_tool_lists_the_tools_with_their_prefix() {
    let call = ToolCall {
        tool_call_id: "c".into(),
        tool_name: "octavus_code_run".into(),
        args: json!({"language": "python", "code": "1"}),
        source: None,
        output_variable: None,
        block_index: None,
    };
    assert!(Arguments::of_call(&call, &ToolPrefix::default()).is_ok());
    let error = Arguments::of_call(&call, &ToolPrefix::new("x_").unwrap()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTool);
    assert_eq!(
        error.message(),
        "Unknown tool: \"octavus_code_run\". Tools: x_skill_read, x_skill_list, x_skill_run, x_code_run, x_file_write, \
         x_file_read"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\\\\'\" a-z$\0]{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "skill", "path", "script", "args", "input", "timeout", "language", "code", "content", "encoding",
            "offset", "limit",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    leaf.prop_recursive(3, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn any_json_is_taken_or_refused_with_one_bounded_line() {
    proptest!(ProptestConfig::with_cases(2000), |(args in any_json())| {
        for tool in ToolName::ALL {
            if let Err(message) = parse(tool, &args) {
                prop_assert!(message.len() < 20_000 && !message.chars().any(char::is_control), "{:?}", message);
            }
        }
    });
}

/// What the definitions promise, the parser takes: each example below fills every property of its tool.
#[test]
fn every_defined_property_is_read() {
    for tool in ToolName::ALL {
        let members: Map<String, Value> = tool
            .parameters()
            .iter()
            .map(|parameter| {
                let value = match parameter.kind {
                    Kind::Slug | Kind::Text => json!("abcd"),
                    Kind::OneOf(words) => json!(words[words.len() - 1]),
                    Kind::Strings => json!(["a"]),
                    Kind::Object => json!({}),
                    Kind::Integer(minimum) => json!(minimum),
                };
                (parameter.name.to_owned(), value)
            })
            .collect();
        assert!(parse(tool, &Value::Object(members.clone())).is_ok(), "{tool:?}");
        // A wrong type for any one of them is noticed, so none is ignored.
        for parameter in tool.parameters() {
            let mut broken = members.clone();
            broken[parameter.name] = json!([[1]]);
            let message = parse(tool, &Value::Object(broken)).unwrap_err();
            assert!(message.contains(&format!("{} must be", parameter.name)), "{message}");
        }
    }
}
