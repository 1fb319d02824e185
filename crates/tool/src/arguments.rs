//! Arguments of the six tools: from any JSON to a type per tool, or to a sentence that shows the right form.
//!
//! Read by hand against the table of [`crate::parameters`], not by serde: its messages are not written for a model,
//! and all problems are to be named at once, so that one retry is enough. Liberal where the meaning is plain: `args`
//! may be one string (a JSON list as text, else split as a shell does), numbers and booleans in it become text, and a
//! `null` where a parameter is optional counts as absent, since some providers make models fill in every parameter.

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::{
    call::ToolCall,
    error::ToolError,
    name::{ToolName, ToolPrefix},
    parameters::{Kind, LANGUAGES, Parameter, Presence},
    show::{list, nearest, quoted},
};

/// Checked arguments of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Arguments {
    /// Of `skill_read`.
    SkillRead(SkillRead),
    /// Of `skill_list`.
    SkillList(SkillList),
    /// Of `skill_run`.
    SkillRun(SkillRun),
    /// Of `code_run`.
    CodeRun(CodeRun),
    /// Of `file_write`.
    FileWrite(FileWrite),
    /// Of `file_read`.
    FileRead(FileRead),
}

/// Arguments of `skill_read`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillRead {
    /// The slug, as given.
    pub skill: String,
    /// The file, relative to the skill's root; `None` for `SKILL.md`.
    pub path: Option<String>,
}

/// Arguments of `skill_list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillList {
    /// The slug, as given.
    pub skill: String,
}

/// Arguments of `skill_run`.
#[derive(Clone, Debug, PartialEq)]
pub struct SkillRun {
    /// The slug, as given.
    pub skill: String,
    /// The script, as given: with or without `scripts/` and extension.
    pub script: String,
    /// Command line arguments; none contains a NUL.
    pub args: Vec<String>,
    /// JSON for standard input; an object.
    pub input: Option<Value>,
    /// Length of the call that was asked for; at least a millisecond, at most 49 days.
    pub timeout: Option<Duration>,
}

/// Arguments of `code_run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRun {
    /// What the code is written in.
    pub language: Language,
    /// The code.
    pub code: String,
    /// Length of the call that was asked for; at least a millisecond, at most 49 days.
    pub timeout: Option<Duration>,
}

/// A language of `code_run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Python 3.
    Python,
    /// Bash.
    Bash,
}

/// Arguments of `file_write`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWrite {
    /// The path, as given.
    pub path: String,
    /// The bytes to write, decoded.
    pub content: Vec<u8>,
}

/// Arguments of `file_read`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// The path, as given.
    pub path: String,
    /// First byte to read.
    pub offset: u64,
    /// Most bytes to read.
    pub limit: Option<u64>,
}

impl Language {
    /// `python` or `bash`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
        }
    }
}

impl Arguments {
    /// Checks the arguments of a call.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOOL` for a name that is none of ours, `INVALID_ARGUMENTS` with every problem named.
    pub fn of_call(call: &ToolCall, prefix: &ToolPrefix) -> Result<Self, ToolError> {
        let tool =
            prefix.parse(&call.tool_name).ok_or_else(|| ToolError::unknown_tool(&call.tool_name, prefix))?;
        Self::parse(tool, &call.args, prefix)
    }

    /// Checks arguments for a tool.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENTS` with every problem named.
    pub fn parse(tool: ToolName, args: &Value, prefix: &ToolPrefix) -> Result<Self, ToolError> {
        let mut reader = Reader::new(tool, args);
        let arguments = reader.arguments(tool);
        match arguments {
            Some(arguments) if reader.problems.is_empty() => Ok(arguments),
            _ => Err(ToolError::invalid_arguments(&prefix.name(tool), &reader.problems)),
        }
    }

    /// Which tool they are for.
    #[must_use]
    pub fn tool(&self) -> ToolName {
        match self {
            Self::SkillRead(_) => ToolName::SkillRead,
            Self::SkillList(_) => ToolName::SkillList,
            Self::SkillRun(_) => ToolName::SkillRun,
            Self::CodeRun(_) => ToolName::CodeRun,
            Self::FileWrite(_) => ToolName::FileWrite,
            Self::FileRead(_) => ToolName::FileRead,
        }
    }
}

/// Takes members out of the arguments and collects what is wrong with them.
struct Reader<'a> {
    members: Option<&'a Map<String, Value>>,
    parameters: &'static [Parameter],
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(tool: ToolName, args: &'a Value) -> Self {
        let parameters = tool.parameters();
        let mut problems = Vec::new();
        let members = args.as_object();
        match members {
            Some(members) => unknown(members, parameters, &mut problems),
            None => {
                let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
                problems.push(format!("they must be a JSON object with the members {}", list(&names)));
            }
        }
        Self { members, parameters, problems }
    }

    /// `None` only where a problem was collected.
    fn arguments(&mut self, tool: ToolName) -> Option<Arguments> {
        self.members?;
        // Each member is read before the first `?`, so that all problems are collected.
        match tool {
            ToolName::SkillRead => {
                let (skill, path) = (self.name("skill"), self.name("path"));
                Some(Arguments::SkillRead(SkillRead { skill: skill?, path }))
            }
            ToolName::SkillList => {
                let skill = self.name("skill");
                Some(Arguments::SkillList(SkillList { skill: skill? }))
            }
            ToolName::SkillRun => {
                let (skill, script, args) = (self.name("skill"), self.name("script"), self.strings("args"));
                let (input, timeout) = (self.object("input"), self.timeout());
                Some(Arguments::SkillRun(SkillRun {
                    skill: skill?,
                    script: script?,
                    args: args.unwrap_or_default(),
                    input,
                    timeout,
                }))
            }
            ToolName::CodeRun => {
                let (language, code, timeout) = (self.word("language"), self.text("code"), self.timeout());
                let language = if language? == LANGUAGES[0] { Language::Python } else { Language::Bash };
                Some(Arguments::CodeRun(CodeRun { language, code: code?.to_owned(), timeout }))
            }
            ToolName::FileWrite => {
                let (path, content, encoding) =
                    (self.name("path"), self.text("content"), self.word("encoding"));
                let content = match encoding {
                    Some("base64") => self.base64(content?),
                    _ => Some(content?.as_bytes().to_vec()),
                };
                Some(Arguments::FileWrite(FileWrite { path: path?, content: content? }))
            }
            ToolName::FileRead => {
                let (path, offset, limit) =
                    (self.name("path"), self.integer("offset"), self.integer("limit"));
                Some(Arguments::FileRead(FileRead { path: path?, offset: offset.unwrap_or(0), limit }))
            }
        }
    }

    /// The member, unless it is absent; a missing required one is a problem.
    fn member(&mut self, name: &'static str) -> Option<(&'a Value, Kind)> {
        let parameter = self.parameters.iter().find(|parameter| parameter.name == name)?;
        match self.members?.get(name) {
            None | Some(Value::Null) => {
                if parameter.presence == Presence::Required {
                    self.problems.push(format!("{name} is missing; it must be {}", form(parameter.kind)));
                }
                None
            }
            Some(value) => Some((value, parameter.kind)),
        }
    }

    fn wrong<T>(&mut self, name: &str, kind: Kind) -> Option<T> {
        self.problems.push(format!("{name} must be {}", form(kind)));
        None
    }

    fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let (value, kind) = self.member(name)?;
        value.as_str().or_else(|| self.wrong(name, kind))
    }

    /// Text that names something: not empty, and without NUL, which no path can contain.
    fn name(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        if text.is_empty() {
            self.problems.push(format!("{name} must not be empty"));
            return None;
        }
        self.no_nul(name, text)?;
        Some(text.to_owned())
    }

    fn no_nul(&mut self, name: &str, text: &str) -> Option<()> {
        if text.contains('\0') {
            self.problems.push(format!("{name} must not contain NUL characters"));
            return None;
        }
        Some(())
    }

    fn word(&mut self, name: &'static str) -> Option<&'static str> {
        let (value, kind) = self.member(name)?;
        let found = match (value.as_str(), kind) {
            (Some(text), Kind::OneOf(words)) => words.iter().find(|word| **word == text),
            _ => None,
        };
        found.copied().or_else(|| self.wrong(name, kind))
    }

    fn strings(&mut self, name: &'static str) -> Option<Vec<String>> {
        let (value, kind) = self.member(name)?;
        // A list that was encoded twice is a list: split as a shell does, it would be brackets and commas.
        let twice = value.as_str().filter(|text| text.trim_start().starts_with('['));
        let twice = twice.and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        let strings = match value {
            Value::String(_) if twice.is_some() => texts(twice.unwrap_or_default().iter()),
            Value::String(line) => match shell_words::split(line) {
                Ok(words) => Some(words),
                Err(_) => {
                    self.problems.push(format!(
                        "{name} has a quote that is not closed; give an array of strings, for example [\"--size\", \"10\"]"
                    ));
                    return None;
                }
            },
            Value::Array(items) => texts(items.iter()),
            Value::Bool(_) | Value::Number(_) => texts(std::iter::once(value)),
            Value::Null | Value::Object(_) => None,
        };
        let Some(strings) = strings else { return self.wrong(name, kind) };
        for string in &strings {
            self.no_nul(name, string)?;
        }
        Some(strings)
    }

    fn object(&mut self, name: &'static str) -> Option<Value> {
        let (value, kind) = self.member(name)?;
        if value.is_object() { Some(value.clone()) } else { self.wrong(name, kind) }
    }

    fn integer(&mut self, name: &'static str) -> Option<u64> {
        let (value, kind) = self.member(name)?;
        let Kind::Integer(minimum) = kind else { return self.wrong(name, kind) };
        whole(value).filter(|number| *number >= minimum).or_else(|| self.wrong(name, kind))
    }

    fn timeout(&mut self) -> Option<Duration> {
        let milliseconds = self.integer("timeout")?;
        // More than any deadline, and small enough that adding it to an instant cannot overflow.
        Some(Duration::from_millis(milliseconds.min(u64::from(u32::MAX))))
    }

    fn base64(&mut self, text: &str) -> Option<Vec<u8>> {
        const ENGINE: GeneralPurpose = GeneralPurpose::new(
            &alphabet::STANDARD,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        // Line breaks are usual in base64.
        let bare: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        match ENGINE.decode(bare) {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                self.problems.push("content is not base64, as encoding says it is".to_owned());
                None
            }
        }
    }
}

/// Each value as one command line argument; `None` where one is a list, an object or null.
fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> Option<Vec<String>> {
    values
        .map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        })
        .collect()
}

fn unknown(members: &Map<String, Value>, parameters: &[Parameter], problems: &mut Vec<String>) {
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
    let mut unknown = members.keys().filter(|key| !names.contains(&key.as_str()));
    for key in unknown.by_ref().take(5) {
        let advice = match nearest(key, names.iter().copied().filter(|name| !members.contains_key(*name))) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the arguments are {}", list(&names)),
        };
        problems.push(format!("unknown argument {} ({advice})", quoted(key)));
    }
    let more = unknown.count();
    if more > 0 {
        problems.push(format!("{more} more unknown arguments"));
    }
}

/// What a value must be, as the end of "… must be".
fn form(kind: Kind) -> String {
    match kind {
        Kind::Slug => "the slug of a skill, a string".to_owned(),
        Kind::Text => "a string".to_owned(),
        Kind::OneOf(words) => format!("one of {}", list(words)),
        Kind::Strings => "an array of strings, for example [\"--size\", \"10\"]".to_owned(),
        Kind::Object => "a JSON object, for example {\"size\": 10}".to_owned(),
        Kind::Integer(minimum) => format!("a whole number, at least {minimum}"),
    }
}

/// JSON has one kind of number: 5000.0 is as whole as 5000.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked just before, and the fraction is zero"
)]
fn whole(value: &Value) -> Option<u64> {
    /// Up to here every whole number is exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
    })
}

#[cfg(test)]
mod tests;
