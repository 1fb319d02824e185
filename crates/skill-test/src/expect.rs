//! What a case expects, as its file says it. Nothing here looks at a result: that is [`crate::check`].

mod files;
mod text;

use std::time::Duration;

use serde_json::Value as Json;
use skill::Span;
use tool::ErrorCode;

pub use self::{
    files::{Bounds, CsvCheck, FileCheck, FileExpect, ImageCheck},
    text::TextCheck,
};

#[cfg(test)]
pub(crate) use self::{
    files::{CSV, FILE, IMAGE},
    text::TEXT,
};

use crate::{
    fields::{self, Fields, nearest},
    problem::{At, Problems},
    quantity::{self, Comparison},
    yaml::{Node, Value},
};

/// The keys of `expect`.
pub(crate) const EXPECT: &[&str] = &[
    "exit_code",
    "stdout",
    "stderr",
    "files",
    "no_other_files",
    "timed_out",
    "out_of_memory",
    "error",
    "max_duration",
    "result",
];
/// The keys of `error`, beside those of a text.
pub(crate) const ERROR: &[&str] = &["code", "equals", "contains", "not_contains", "matches"];

/// The codes of tool calls that a skill or its caller can bring about.
pub(crate) const CODES: [ErrorCode; 11] = [
    ErrorCode::SkillNotFound,
    ErrorCode::ScriptNotFound,
    ErrorCode::ScriptNotRunnable,
    ErrorCode::InvalidArguments,
    ErrorCode::FileNotFound,
    ErrorCode::NotAFile,
    ErrorCode::FileTooLarge,
    ErrorCode::NoSpace,
    ErrorCode::PermissionDenied,
    ErrorCode::PathNotAllowed,
    ErrorCode::DependenciesFailed,
];

/// What must be true of one tool call.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Of the program.
    pub exit_code: Option<At<Comparison>>,
    /// What it printed.
    pub stdout: Vec<At<TextCheck>>,
    /// What it printed to standard error.
    pub stderr: Vec<At<TextCheck>>,
    /// Output files of the call.
    pub files: Vec<FileExpect>,
    /// Whether there must be no file beside those.
    pub no_other_files: Option<Span>,
    /// Whether its time was over.
    pub timed_out: Option<At<bool>>,
    /// Whether it was killed for memory.
    pub out_of_memory: Option<At<bool>>,
    /// The call must be refused, and how.
    pub error: Option<At<ErrorExpect>>,
    /// The longest time that the program may take.
    pub max_duration: Option<At<Duration>>,
    /// Values in the tool result, by JSON pointer.
    pub result: Vec<At<PointerCheck>>,
}

/// How a refused call must be answered.
#[derive(Clone, Debug)]
pub struct ErrorExpect {
    /// The code.
    pub code: Option<ErrorCode>,
    /// The sentence for the model.
    pub message: Vec<At<TextCheck>>,
}

/// A value at a place of a JSON document.
#[derive(Clone, Debug, PartialEq)]
pub struct PointerCheck {
    /// A JSON pointer; the empty one is the whole document.
    pub pointer: String,
    /// What must be there.
    pub value: Json,
}

impl Expect {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { exit_code, stdout, stderr, files, no_other_files, .. } = self;
        let Self { timed_out, out_of_memory, error, max_duration, result, .. } = self;
        exit_code.is_none()
            && stdout.is_empty()
            && stderr.is_empty()
            && files.is_empty()
            && no_other_files.is_none()
            && timed_out.is_none()
            && out_of_memory.is_none()
            && error.is_none()
            && max_duration.is_none()
            && result.is_empty()
    }

    /// Where a check of a program stands, if there is one: such a check makes no sense where none runs.
    pub(crate) fn of_program(&self) -> Option<Span> {
        let texts = self.stdout.iter().chain(&self.stderr).map(|check| check.span);
        [
            self.exit_code.map(|at| at.span),
            self.timed_out.map(|at| at.span),
            self.out_of_memory.map(|at| at.span),
            self.max_duration.map(|at| at.span),
        ]
        .into_iter()
        .flatten()
        .chain(texts)
        .next()
    }
}

/// Reads an `expect`.
pub(crate) fn parse(node: &Node, problems: &mut Problems) -> Option<Expect> {
    let fields = Fields::of(node, "`expect`", EXPECT, problems)?;
    let texts = |key: &'static str, problems: &mut Problems| {
        fields.get(key).map(|node| text::parse(node, &format!("`{key}`"), problems)).unwrap_or_default()
    };
    let (stdout, stderr) = (texts("stdout", problems), texts("stderr", problems));
    let flag = |key: &'static str, problems: &mut Problems| {
        let node = fields.get(key)?;
        fields::boolean(node, &format!("`{key}`"), problems).map(|value| At::new(value, node.span))
    };
    let (timed_out, out_of_memory) = (flag("timed_out", problems), flag("out_of_memory", problems));
    let no_other_files = flag("no_other_files", problems).filter(|flag| flag.value).map(|flag| flag.span);
    let exit_code = fields.get("exit_code");
    let max_duration = fields.get("max_duration");
    let expect = Expect {
        exit_code: exit_code.and_then(|node| quantity::comparison(node, "`exit_code`", problems)),
        stdout,
        stderr,
        files: fields.get("files").map(|node| files::parse(node, problems)).unwrap_or_default(),
        no_other_files,
        timed_out,
        out_of_memory,
        error: fields.get("error").and_then(|node| error(node, problems)),
        max_duration: max_duration.and_then(|node| quantity::duration(node, "`max_duration`", problems)),
        result: fields.get("result").map(|node| pointers(node, "`result`", problems)).unwrap_or_default(),
    };
    if let Some(error) = &expect.error
        && let Some(other) = expect.of_program().or(expect.no_other_files)
    {
        problems
            .add(other, "a call that is refused runs nothing")
            .help(format!("remove it, or `error` in line {}", error.span.start.line));
    }
    Some(expect)
}

/// `error: SCRIPT_NOT_FOUND`, a part of the sentence, or a map.
fn error(node: &Node, problems: &mut Problems) -> Option<At<ErrorExpect>> {
    if let Value::Map(_) = node.value {
        let fields = Fields::of(node, "`error`", ERROR, problems)?;
        let code = match fields.get("code") {
            None => None,
            Some(node) => {
                let name = fields::name(node, "`code`", problems)?;
                let found = code_of(&name);
                if found.is_none() {
                    unknown_code(node, &name, problems);
                }
                Some(found?)
            }
        };
        let message = text::of_fields(&fields, problems);
        if fields.is_empty() {
            problems.add(node.span, "`error` says nothing").help(example_of_code());
        }
        return Some(At::new(ErrorExpect { code, message }, node.span));
    }
    let text = fields::name(node, "`error`", problems)?;
    let is_code = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let expect = match (is_code, code_of(&text)) {
        (true, None) => {
            unknown_code(node, &text, problems);
            return None;
        }
        (_, Some(code)) => ErrorExpect { code: Some(code), message: Vec::new() },
        (false, None) => {
            let message = vec![At::new(TextCheck::Contains(text), node.span)];
            ErrorExpect { code: None, message }
        }
    };
    Some(At::new(expect, node.span))
}

fn code_of(name: &str) -> Option<ErrorCode> {
    CODES.into_iter().find(|code| code.as_str() == name)
}

fn unknown_code(node: &Node, name: &str, problems: &mut Problems) {
    let names: Vec<&str> = CODES.iter().map(|code| code.as_str()).collect();
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let help = match nearest(name, &lower) {
        Some(near) => format!("did you mean `{}`?", near.to_uppercase()),
        None => format!("the codes are {}", fields::listed(&names)),
    };
    problems.add(node.span, format!("there is no error code `{}`", name.escape_debug())).help(help);
}

fn example_of_code() -> String {
    "for example `error: SCRIPT_NOT_FOUND`, or a part of the sentence that a model would get".to_owned()
}

/// A map of JSON pointers to values.
pub(crate) fn pointers(node: &Node, what: &str, problems: &mut Problems) -> Vec<At<PointerCheck>> {
    let mut checks = Vec::new();
    let pairs = fields::pairs(node, what, problems).unwrap_or_default();
    for (key, value) in pairs {
        if !key.value.is_empty() && !key.value.starts_with('/') {
            problems
                .add(key.span, format!("`{}` is no JSON pointer", key.value.escape_debug()))
                .help(format!("write `/{}`; the empty pointer `\"\"` is the whole document", key.value));
            continue;
        }
        let check = PointerCheck { pointer: key.value.clone(), value: value.to_json() };
        checks.push(At::new(check, value.span));
    }
    if matches!(node.value, Value::Map(_)) && pairs.is_empty() {
        problems.add(node.span, format!("{what} says nothing")).help("for example `{ \"/rows\": 12 }`");
    }
    checks
}
