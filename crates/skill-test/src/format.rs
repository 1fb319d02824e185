//! A test file, `tests/*.test.yaml`: what it may say, and what it comes to.
//!
//! `run` and `code` are shorter ways to write one step. Everything that can be wrong without looking at the skill's other
//! files is found here, all at once, each with its place.

use std::time::Duration;

use serde_json::{Value as Json, json};
use skill::Span;
use tool::{Arguments, ToolName, ToolPrefix};

use crate::{
    expect::{self, Expect},
    fields::{self, Fields, listed, nearest, wrong},
    problem::{At, Problem, Problems},
    quantity,
    yaml::{self, Node, Value},
};

/// The end of a test file's name.
pub const SUFFIX: &str = ".test.yaml";
/// The keys of a file.
pub(crate) const FILE: &[&str] = &["version", "cases"];
/// The keys of a case.
pub(crate) const CASE: &[&str] = &["name", "skip", "run", "code", "steps", "input", "limits", "expect"];
/// The keys of `run`.
pub(crate) const RUN: &[&str] = &["script", "args", "input"];
/// The keys of `code`.
pub(crate) const CODE: &[&str] = &["language", "source", "file"];
/// The keys of `input`.
pub(crate) const INPUT: &[&str] = &["files", "stdin", "env"];
/// The keys of `limits`.
pub(crate) const LIMITS: &[&str] = &["timeout", "memory"];
/// The keys of a step: one of the six tools, and what is expected.
pub(crate) const STEP: &[&str] = &[
    "octavus_skill_read",
    "octavus_skill_list",
    "octavus_skill_run",
    "octavus_code_run",
    "octavus_file_write",
    "octavus_file_read",
    "expect",
];
/// Longest name of a case, in characters.
const NAME: usize = 200;

/// A test file.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Its path relative to the skill's root.
    pub path: String,
    /// Its cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called; unique in its skill.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Why it is not run.
    pub skip: Option<String>,
    /// Files that the sandbox starts with.
    pub inputs: Vec<Input>,
    /// What the program reads from standard input.
    pub stdin: Option<String>,
    /// Variables for programs.
    pub env: Vec<At<(String, String)>>,
    /// How long a program may run, where the case says so.
    pub timeout: Option<Duration>,
    /// Memory of the sandbox in bytes, where the case says so.
    pub memory: Option<At<u64>>,
    /// The tool calls, in order; at least one.
    pub steps: Vec<Step>,
}

/// A file that the sandbox starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it goes in the sandbox.
    pub destination: At<String>,
    /// The file of the skill, relative to the folder of the test file.
    pub fixture: At<String>,
}

/// One tool call, and what is expected of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The tool.
    pub tool: ToolName,
    /// Its arguments, without those that are known only when it is run.
    pub args: Json,
    /// The file with the code, relative to the folder of the test file, where the code is in a file.
    pub code_file: Option<At<String>>,
    /// Where it stands.
    pub span: Span,
    /// What must be true of it.
    pub expect: Expect,
}

impl Step {
    /// Whether it runs a program.
    #[must_use]
    pub fn is_program(&self) -> bool {
        matches!(self.tool, ToolName::SkillRun | ToolName::CodeRun)
    }
}

/// Reads a test file of the skill `slug`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(path: &str, text: &str, slug: &str) -> Result<TestFile, Vec<Problem>> {
    let mut problems = Problems::new(path);
    let cases = yaml::parse(text, &mut problems).map(|root| file(&root, slug, &mut problems));
    match (cases, problems.len()) {
        (Some(cases), 0) => Ok(TestFile { path: path.to_owned(), cases }),
        _ => Err(problems.into_list()),
    }
}

fn file(root: &Node, slug: &str, problems: &mut Problems) -> Vec<Case> {
    let Some(fields) = Fields::of(root, "a test file", FILE, problems) else { return Vec::new() };
    let begin = Span::at(root.span.start);
    match fields.get("version").map(|node| (node, node.to_json())) {
        Some((_, version)) if version == json!(1) => {}
        Some((node, _)) => {
            problems.add(node.span, "only version 1 of test files is known").help("write `version: 1`");
        }
        None => problems.add(begin, "`version` is missing").help("begin the file with `version: 1`"),
    }
    let Some(list) = fields.get("cases") else {
        problems.add(begin, "`cases` is missing").help("a test file has a list of `cases`");
        return Vec::new();
    };
    let items = fields::list(list, "`cases`", problems).unwrap_or_default();
    if items.is_empty() && matches!(list.value, Value::List(_)) {
        problems.add(list.span, "there are no cases");
    }
    let mut cases: Vec<Case> = Vec::new();
    for item in items {
        let Some(case) = case(item, slug, problems) else { continue };
        if let Some(first) = cases.iter().find(|other| other.name == case.name) {
            let line = first.span.start.line;
            problems.add(case.span, format!("another case in line {line} has the same name"));
        }
        cases.push(case);
    }
    cases
}

/// `None` only where there is a problem.
fn case(node: &Node, slug: &str, problems: &mut Problems) -> Option<Case> {
    let fields = Fields::of(node, "a case", CASE, problems)?;
    let named = fields.get("name");
    if named.is_none() {
        problems.add(Span::at(node.span.start), "a case needs a `name`");
    }
    let name = named.and_then(|node| fields::name(node, "`name`", problems));
    if let (Some(named), Some(name)) = (named, &name)
        && (name.chars().count() > NAME || name.chars().any(char::is_control))
    {
        problems.add(named.span, format!("a name has one line of at most {NAME} characters"));
    }
    let skip = fields.get("skip").and_then(|node| match &node.value {
        Value::Scalar { json: Json::Bool(_), .. } => {
            problems.add(node.span, "`skip` must say why").help("for example `skip: needs a newer Python`");
            None
        }
        _ => fields::name(node, "`skip`", problems),
    });
    let limits = fields.get("limits").and_then(|node| limits(node, problems)).unwrap_or_default();
    let input = fields.get("input").and_then(|node| input(node, problems)).unwrap_or_default();
    let steps = actions(&fields, slug, problems);
    if let (Some(stdin), Some(steps)) = (&input.stdin, &steps) {
        if fields.get("steps").is_some() {
            problems
                .add(stdin.span, "`stdin` is for `run` and `code`")
                .help("a step of `octavus_skill_run` gets standard input by its `input`");
        } else if steps.iter().any(|step| step.args.get("input").is_some()) {
            problems
                .add(stdin.span, "`stdin` and the `input` of `run` are both standard input")
                .help("remove one of them");
        }
    }
    Some(Case {
        name: name?,
        span: named?.span,
        skip,
        inputs: input.files,
        stdin: input.stdin.map(|stdin| stdin.value),
        env: input.env,
        timeout: limits.timeout,
        memory: limits.memory,
        steps: steps?,
    })
}

/// What a case does.
fn actions(case: &Fields<'_>, slug: &str, problems: &mut Problems) -> Option<Vec<Step>> {
    const WAYS: [&str; 3] = ["run", "code", "steps"];
    let given: Vec<(&str, Span)> = WAYS.iter().filter_map(|way| Some((*way, case.entry(way)?.0))).collect();
    let begin = Span::at(case.span.start);
    match given.as_slice() {
        [] => {
            problems.add(begin, "a case needs one of `run`, `code` and `steps`");
            return None;
        }
        [_] => {}
        [(first, _), (second, span), ..] => {
            problems.add(*span, format!("a case has either `{first}` or `{second}`")).help("make two cases");
            return None;
        }
    }
    let expected = case.entry("expect");
    if let Some(node) = case.get("steps") {
        if let Some((span, _)) = expected {
            problems
                .add(span, "in a case with `steps`, each step has its own `expect`")
                .help("move it to the step that it is about");
        }
        return steps(node, slug, problems);
    }
    let (tool, args, code_file, span) = match (case.get("run"), case.get("code")) {
        (Some(node), _) => (ToolName::SkillRun, run(node, slug, problems)?, None, node.span),
        (None, Some(node)) => {
            let (args, file) = code(node, problems)?;
            (ToolName::CodeRun, args, file, node.span)
        }
        (None, None) => return None,
    };
    let before = problems.len();
    let expect = expected.and_then(|(_, node)| expect::parse(node, problems));
    // Where something is wrong with it, that says enough.
    if problems.len() == before && expect.as_ref().is_none_or(Expect::is_empty) {
        let span = expected.map_or(begin, |(span, _)| span);
        problems
            .add(span, "the case expects nothing, so it could never fail")
            .help("add what must come of it, for example `expect: { exit_code: 0 }`");
    }
    let step = Step { tool, args, code_file, span, expect: expect.unwrap_or_default() };
    check_args(&step, problems);
    Some(vec![step])
}

fn run(node: &Node, slug: &str, problems: &mut Problems) -> Option<Json> {
    let fields = Fields::of(node, "`run`", RUN, problems)?;
    let mut args = json!({"skill": slug});
    match fields.get("script") {
        Some(node) => args["script"] = fields::name(node, "`script`", problems)?.into(),
        None => {
            problems
                .add(Span::at(node.span.start), "`run` needs a `script`")
                .help("for example `script: generate.py`");
            return None;
        }
    }
    if let Some(node) = fields.get("args") {
        let words = fields::list(node, "`args`", problems)?;
        let words: Vec<Option<String>> =
            words.iter().map(|word| fields::text(word, "an argument", problems)).collect();
        args["args"] = words.into_iter().collect::<Option<Vec<_>>>()?.into();
    }
    if let Some(node) = fields.get("input") {
        args["input"] = node.to_json();
    }
    Some(args)
}

fn code(node: &Node, problems: &mut Problems) -> Option<(Json, Option<At<String>>)> {
    let fields = Fields::of(node, "`code`", CODE, problems)?;
    let begin = Span::at(node.span.start);
    let (source, file) = (fields.get("source"), fields.entry("file"));
    let (code, file) = match (source, file) {
        (Some(node), None) => (fields::text(node, "`source`", problems)?, None),
        (None, Some((_, node))) => {
            (String::new(), Some(At::new(fields::name(node, "`file`", problems)?, node.span)))
        }
        (Some(_), Some((span, _))) => {
            problems.add(span, "`code` has either `source` or `file`");
            return None;
        }
        (None, None) => {
            problems.add(begin, "`code` needs `source` or `file`").help("for example `source: \"print(1)\"`");
            return None;
        }
    };
    let by_name = file.as_ref().and_then(|file| match file.value.rsplit_once('.')?.1 {
        "py" => Some("python".to_owned()),
        "sh" | "bash" => Some("bash".to_owned()),
        _ => None,
    });
    let language = match fields.get("language") {
        Some(node) => Some(fields::name(node, "`language`", problems)?),
        None => by_name,
    };
    let Some(language) = language else {
        problems.add(begin, "`code` needs a `language`").help("`python` or `bash`");
        return None;
    };
    Some((json!({"language": language, "code": code}), file))
}

fn steps(node: &Node, slug: &str, problems: &mut Problems) -> Option<Vec<Step>> {
    let items = fields::list(node, "`steps`", problems)?;
    if items.is_empty() {
        problems.add(node.span, "there are no steps");
        return None;
    }
    let before = problems.len();
    let steps: Vec<Step> = items.iter().filter_map(|item| step(item, slug, problems)).collect();
    // What is wrong with a step may be its `expect`, so nothing is said on top of that.
    if problems.len() == before && steps.iter().all(|step| step.expect.is_empty()) {
        problems
            .add(node.span, "no step expects anything, so the case could never fail")
            .help("add an `expect` to at least one step");
    }
    Some(steps)
}

fn step(node: &Node, slug: &str, problems: &mut Problems) -> Option<Step> {
    let Value::Map(pairs) = &node.value else {
        wrong(node, "a step", "a map with one of the six tools", problems);
        return None;
    };
    let prefix = ToolPrefix::default();
    let mut calls = Vec::new();
    for (key, arguments) in pairs.iter().filter(|(key, _)| key.value != "expect") {
        match prefix.parse(&key.value) {
            Some(tool) => calls.push((tool, key, arguments)),
            None => {
                let tools = &STEP[..STEP.len() - 1];
                let with_prefix = format!("{prefix}{}", key.value);
                let near = nearest(&key.value, STEP).or_else(|| nearest(&with_prefix, tools));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the tools are {}", listed(tools)),
                };
                problems
                    .add(key.span, format!("unknown key `{}` in a step", key.value.escape_debug()))
                    .help(help);
                return None;
            }
        }
    }
    let (tool, key, arguments) = match calls.as_slice() {
        [one] => *one,
        [] => {
            problems.add(Span::at(node.span.start), "a step needs one of the six tools");
            return None;
        }
        [_, (_, second, _), ..] => {
            problems.add(second.span, "a step has one tool only").help("make two steps");
            return None;
        }
    };
    let expected = pairs.iter().find(|(key, _)| key.value == "expect");
    let expect = match expected {
        None => Expect::default(),
        Some((key, node)) => {
            let before = problems.len();
            let expect = expect::parse(node, problems)?;
            if problems.len() == before && expect.is_empty() {
                problems
                    .add(key.span, "`expect` says nothing")
                    .help("remove it, or say what must come of the step");
            }
            expect
        }
    };
    let mut args = arguments.to_json();
    // The skill of the file is meant where none is named; another name is kept, since it may be wrong on purpose.
    let takes_skill = matches!(tool, ToolName::SkillRead | ToolName::SkillList | ToolName::SkillRun);
    if args.is_null() {
        args = json!({});
    }
    if let Json::Object(members) = &mut args
        && takes_skill
        && !members.contains_key("skill")
    {
        members.insert("skill".to_owned(), slug.into());
    }
    let step = Step { tool, args, code_file: None, span: key.span, expect };
    if !step.is_program()
        && let Some(span) = step.expect.of_program()
    {
        problems
            .add(span, format!("{} runs no program", key.value))
            .help("use `result`, `files` or `error` here");
    }
    check_args(&step, problems);
    Some(step)
}

/// What the tool itself would say of the arguments, unless the case wants to see it refuse.
fn check_args(step: &Step, problems: &mut Problems) {
    if step.expect.error.is_some() {
        return;
    }
    if let Err(error) = Arguments::parse(step.tool, &step.args, &ToolPrefix::default()) {
        problems.add(step.span, error.message());
    }
}

#[derive(Debug, Default)]
struct CaseLimits {
    timeout: Option<Duration>,
    memory: Option<At<u64>>,
}

fn limits(node: &Node, problems: &mut Problems) -> Option<CaseLimits> {
    let fields = Fields::of(node, "`limits`", LIMITS, problems)?;
    let timeout = fields.get("timeout").and_then(|node| quantity::duration(node, "`timeout`", problems));
    let memory = fields.get("memory").and_then(|node| quantity::bytes(node, "`memory`", problems));
    Some(CaseLimits { timeout: timeout.map(|timeout| timeout.value), memory })
}

#[derive(Debug, Default)]
struct CaseInput {
    files: Vec<Input>,
    stdin: Option<At<String>>,
    env: Vec<At<(String, String)>>,
}

fn input(node: &Node, problems: &mut Problems) -> Option<CaseInput> {
    let fields = Fields::of(node, "`input`", INPUT, problems)?;
    let mut input = CaseInput::default();
    for (destination, fixture) in
        fields.get("files").and_then(|node| fields::pairs(node, "`files`", problems)).unwrap_or_default()
    {
        if let Some(path) = fields::name(fixture, "a fixture", problems) {
            input
                .files
                .push(Input { destination: destination.clone(), fixture: At::new(path, fixture.span) });
        }
    }
    if let Some(node) = fields.get("stdin") {
        input.stdin = fields::text(node, "`stdin`", problems).map(|text| At::new(text, node.span));
    }
    for (name, value) in
        fields.get("env").and_then(|node| fields::pairs(node, "`env`", problems)).unwrap_or_default()
    {
        if let Some(value) = fields::text(value, "a variable", problems) {
            input.env.push(At::new((name.value.clone(), value), name.span));
        }
    }
    Some(input)
}

#[cfg(test)]
mod tests;
