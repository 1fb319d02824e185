//! The parameters of the six tools: the one table that definitions are printed from and arguments are checked against.

use crate::name::ToolName;

/// What a parameter takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// The slug of an enabled skill.
    Slug,
    /// Any text.
    Text,
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// A list of strings.
    Strings,
    /// Any JSON object.
    Object,
    /// A whole number, not below this.
    Integer(u64),
}

/// Whether a parameter may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// For the model; `{prefix}` stands for the tool prefix.
    pub(crate) description: &'static str,
}

pub(crate) const LANGUAGES: &[&str] = &["python", "bash"];
pub(crate) const ENCODINGS: &[&str] = &["utf-8", "base64"];

const SKILL: Parameter = required("skill", Kind::Slug, "Slug of the skill");
const TIMEOUT: Parameter = optional(
    "timeout",
    Kind::Integer(1),
    "Limit in milliseconds; never more than what is left of the sandbox's time",
);

const SKILL_READ: &[Parameter] = &[
    SKILL,
    optional(
        "path",
        Kind::Text,
        "File inside the skill, relative to its root, for example references/formats.md. Omit to read SKILL.md.",
    ),
];
const SKILL_LIST: &[Parameter] = &[SKILL];
const SKILL_RUN: &[Parameter] = &[
    SKILL,
    required(
        "script",
        Kind::Text,
        "Script to run, as {prefix}skill_list names it, for example scripts/generate.py",
    ),
    optional("args", Kind::Strings, "Command line arguments"),
    optional("input", Kind::Object, "Passed to the script as JSON on standard input"),
    TIMEOUT,
];
const CODE_RUN: &[Parameter] = &[
    required("language", Kind::OneOf(LANGUAGES), "Language of the code"),
    required("code", Kind::Text, "The code to run"),
    TIMEOUT,
];
const FILE_WRITE: &[Parameter] = &[
    required("path", Kind::Text, "Where to write"),
    required("content", Kind::Text, "Content of the file"),
    optional("encoding", Kind::OneOf(ENCODINGS), "How content is encoded (default utf-8)"),
];
const FILE_READ: &[Parameter] = &[
    required("path", Kind::Text, "What to read"),
    optional("offset", Kind::Integer(0), "First byte to read (default 0)"),
    optional("limit", Kind::Integer(1), "Bytes to read at most"),
];

impl ToolName {
    pub(crate) fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::SkillRead => SKILL_READ,
            Self::SkillList => SKILL_LIST,
            Self::SkillRun => SKILL_RUN,
            Self::CodeRun => CODE_RUN,
            Self::FileWrite => FILE_WRITE,
            Self::FileRead => FILE_READ,
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::SkillRead => {
                "Read the documentation of a skill (SKILL.md), or one of its bundled text files. Call this before using a \
                 skill for the first time."
            }
            Self::SkillList => "List the scripts of a skill and its other bundled files.",
            Self::SkillRun => {
                "Run a script that is part of a skill. It runs in /workspace, so a relative path among its arguments is a \
                 file there; the skill's own files are in /skills/<slug>. Files that the script saves in /output/ are \
                 given to the user."
            }
            Self::CodeRun => {
                "Run Python or Bash code in the sandbox. The sandbox keeps its files between calls; there is no network. \
                 Save the files that the user should get in /output/."
            }
            Self::FileWrite => {
                "Create or replace a file in the sandbox. A relative path is taken from /workspace. A file written under \
                 /output/ is given to the user."
            }
            Self::FileRead => "Read a file from the sandbox. A relative path is taken from /workspace.",
        }
    }
}

const fn required(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
    Parameter { name, kind, presence: Presence::Required, description }
}

const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
    Parameter { name, kind, presence: Presence::Optional, description }
}
