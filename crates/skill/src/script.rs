//! Scripts: which files of a skill can be run, by what, and what they say they do.
//!
//! The interpreter follows from the extension, else from the shebang by an allow-list. Exec bits mean nothing, because
//! bundles lose them, and a shebang is never handed to the kernel: it only chooses among the languages that exist here.

mod usage;

use std::fmt;

use self::usage::usage;
use crate::{
    content::{Content, ReadError},
    diagnostic::{Diagnostic, Location},
    requirements::{self, Requirements, RequirementsFile},
    rule::Rule,
    skill::SkillFile,
};

/// How much of a script is read for its description and its inline metadata.
const SCRIPT_HEAD: u64 = 256 * 1024;
/// The most bytes of a `requirements.txt`.
const MAX_REQUIREMENTS: u64 = 256 * 1024;

/// A file of a skill that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Script {
    /// Path relative to the skill's root, with `/`.
    pub path: String,
    /// What runs it.
    pub language: Language,
    /// Bytes.
    pub size: u64,
    /// The first line of its docstring or leading comment.
    pub description: Option<String>,
    /// How it is called, as far as its text says; nothing is run to learn it.
    pub usage: Option<String>,
}

/// What runs a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// `python3`.
    Python,
    /// `bash`; also for `sh` scripts.
    Bash,
    /// `node`.
    Node,
    /// A script, but of no language that can be run here.
    Other,
}

impl Language {
    /// The name as tool results have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
            Self::Node => "node",
            Self::Other => "other",
        }
    }

    /// The language of a file called `path` that begins with `head`; `None` when it is no script.
    pub(crate) fn detect(path: &str, head: &[u8]) -> Option<Self> {
        Self::of_extension(path).or_else(|| Self::of_shebang(head))
    }

    fn of_extension(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        let (stem, extension) = name.rsplit_once('.')?;
        if stem.is_empty() {
            return None;
        }
        match extension.to_ascii_lowercase().as_str() {
            "py" => Some(Self::Python),
            "sh" | "bash" => Some(Self::Bash),
            "js" | "mjs" | "cjs" => Some(Self::Node),
            "ts" | "mts" | "rb" | "pl" | "php" | "lua" | "r" | "go" | "swift" | "ps1" | "bat" | "cmd"
            | "zsh" | "fish" | "awk" => Some(Self::Other),
            _ => None,
        }
    }

    fn of_shebang(head: &[u8]) -> Option<Self> {
        let line = head.strip_prefix(b"#!")?;
        let line = line.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split_ascii_whitespace();
        let file_name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let mut program = file_name(words.next()?);
        if program == "env" {
            // `env -S uv run --script` and `env VAR=1 python3` name the program after options and assignments.
            program = file_name(words.by_ref().find(|word| !word.starts_with('-') && !word.contains('='))?);
        }
        // `uv run` is how scripts with inline metadata start themselves; what it runs is Python.
        if program == "uv" {
            return Some(Self::Python);
        }
        let bare = program.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
        Some(match bare {
            "python" => Self::Python,
            "bash" | "sh" | "dash" => Self::Bash,
            "node" | "nodejs" => Self::Node,
            _ => Self::Other,
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why no script was chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// No script is called so.
    #[error("script `{name}` does not exist")]
    NotFound {
        /// What was asked for.
        name: String,
        /// The scripts that exist.
        scripts: Vec<String>,
    },
    /// The name fits several scripts.
    #[error("`{name}` fits several scripts: {}", .scripts.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The scripts that it fits.
        scripts: Vec<String>,
    },
    /// The file exists, but nothing can run it.
    #[error("`{path}` is not a script")]
    NotAScript {
        /// The file.
        path: String,
        /// The scripts that exist.
        scripts: Vec<String>,
    },
}

/// Finds the script that `name` means: its path, with or without `scripts/`, or a file name or stem that only one has.
///
/// `files` are all paths of the skill, `listed` the scripts that are shown, `hidden` the other files that could be run.
pub(crate) fn resolve<'script>(
    name: &str,
    listed: &'script [Script],
    hidden: &'script [Script],
    exists: impl Fn(&str) -> bool,
) -> Result<&'script Script, ScriptError> {
    let wanted = name.trim();
    let wanted = wanted.strip_prefix("./").unwrap_or(wanted);
    let all = || listed.iter().chain(hidden);
    let in_scripts = format!("scripts/{wanted}");
    if let Some(script) =
        all().find(|script| script.path == wanted).or_else(|| all().find(|s| s.path == in_scripts))
    {
        return Ok(script);
    }
    let paths = |scripts: &[&Script]| scripts.iter().map(|script| script.path.clone()).collect::<Vec<_>>();
    let known = || listed.iter().map(|script| script.path.clone()).collect::<Vec<_>>();
    for path in [wanted, in_scripts.as_str()] {
        if exists(path) {
            return Err(ScriptError::NotAScript { path: path.to_owned(), scripts: known() });
        }
    }
    // First without the extension at the same place, then the bare name at any place: the nearest meaning wins.
    let same_place = |script: &&Script| {
        let path = stem(&script.path);
        path == wanted || path == in_scripts
    };
    let any_place = |script: &&Script| {
        let file = script.path.rsplit('/').next().unwrap_or_default();
        file == wanted || stem(file) == wanted
    };
    let mut fitting: Vec<&Script> = listed.iter().filter(same_place).collect();
    if fitting.is_empty() {
        fitting = listed.iter().filter(any_place).collect();
    }
    match fitting.as_slice() {
        [script] => Ok(script),
        [] => Err(ScriptError::NotFound { name: name.to_owned(), scripts: known() }),
        several => Err(ScriptError::Ambiguous { name: name.to_owned(), scripts: paths(several) }),
    }
}

fn stem(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') && !stem.is_empty() => stem,
        _ => path,
    }
}

/// The first line of the docstring or of the comment that `text` starts with.
pub(crate) fn description(language: Language, text: &str) -> Option<String> {
    let line = match language {
        Language::Python => python_docstring(text).or_else(|| leading_comment(text, "#")),
        Language::Bash => leading_comment(text, "#"),
        Language::Node => leading_comment(text, "//"),
        Language::Other => leading_comment(text, "#").or_else(|| leading_comment(text, "//")),
    }?;
    let line: String = line.chars().filter(|character| !character.is_control()).take(200).collect();
    (!line.is_empty()).then_some(line)
}

fn python_docstring(text: &str) -> Option<&str> {
    let mut rest = text;
    // Only comments and blank lines may stand before a docstring.
    loop {
        let trimmed = rest.trim_start();
        match trimmed.strip_prefix('#') {
            Some(comment) => rest = comment.split_once('\n')?.1,
            None => break rest = trimmed,
        }
    }
    let rest = rest.trim_start_matches(['r', 'R', 'u', 'U']);
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        if let Some(content) = rest.strip_prefix(quote) {
            // An empty `""` is no docstring; a triple quote was looked for first.
            let content = content.split(quote).next().unwrap_or(content);
            return content.lines().map(str::trim).find(|line| !line.is_empty());
        }
    }
    None
}

fn leading_comment<'text>(text: &'text str, mark: &str) -> Option<&'text str> {
    let mut metadata_block = false;
    for line in text.lines() {
        let line = line.trim();
        let comment = if let Some(comment) = line.strip_prefix(mark) {
            comment.trim_start_matches(['#', '/', '!']).trim()
        } else if mark == "//" && (line.starts_with("/*") || line.starts_with('*')) {
            line.trim_start_matches(['/', '*']).trim_end_matches(['/', '*']).trim()
        } else if line.is_empty() || line.starts_with("#!") || is_prologue(line) {
            continue;
        } else {
            return None;
        };
        // The block with inline metadata is for tools, not for readers.
        if line.starts_with("# ///") {
            metadata_block = line != "# ///";
            continue;
        }
        if metadata_block || line.starts_with("#!") || is_tool_comment(comment) {
            continue;
        }
        return Some(comment);
    }
    None
}

fn is_prologue(line: &str) -> bool {
    line.starts_with("set ") || line.trim_end_matches(';').trim_matches(['"', '\'']) == "use strict"
}

fn is_tool_comment(comment: &str) -> bool {
    let lower = comment.to_ascii_lowercase();
    comment.chars().all(|character| !character.is_alphanumeric())
        || lower.starts_with("-*-")
        || ["spdx", "copyright", "(c)", "shellcheck", "eslint", "pylint", "ruff:", "type:", "noqa", "coding"]
            .iter()
            .any(|start| lower.starts_with(start))
}

/// The scripts of a skill, and what they need.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// What is shown and found by every clear name.
    pub(crate) listed: Vec<Script>,
    /// What can be run by its exact path only.
    pub(crate) hidden: Vec<Script>,
    pub(crate) requirements: Requirements,
}

/// Finds the scripts among `files`.
pub(crate) fn find(
    content: &Content,
    files: &[SkillFile],
    skill_file: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Scripts, ReadError> {
    let mut found = Scripts::default();
    for file in files {
        if matches!(file.path.as_str(), "requirements.txt" | "scripts/requirements.txt") {
            match requirements::decoded(content.head(&file.path, MAX_REQUIREMENTS)?) {
                Some(text) => {
                    found.requirements.files.push(RequirementsFile { path: file.path.clone(), text });
                }
                None => diagnostics.push(
                    Diagnostic::new(Rule::NOT_UTF8, Location::file(&file.path), "the file is not UTF-8")
                        .with_help("save the file as UTF-8"),
                ),
            }
        }
        let in_scripts = file.path.starts_with("scripts/");
        let listed = in_scripts || !file.path.contains('/');
        let name = file.path.rsplit('/').next().unwrap_or_default();
        // A package marker is never an entry point.
        if Some(file.path.as_str()) == skill_file || name == "__init__.py" {
            continue;
        }
        // Only where scripts are expected is it worth opening every file to look for a shebang.
        let head = if listed { content.head(&file.path, SCRIPT_HEAD)? } else { Vec::new() };
        let Some(language) = Language::detect(&file.path, &head) else { continue };
        let text = String::from_utf8_lossy(&head);
        if listed && language == Language::Python {
            match requirements::script_metadata(&file.path, &text) {
                Ok(metadata) => found.requirements.scripts.extend(metadata),
                Err(error) => diagnostics.push(Diagnostic::new(
                    Rule::SCRIPT_METADATA,
                    Location::file(&file.path),
                    error.to_string(),
                )),
            }
        }
        let script = Script {
            path: file.path.clone(),
            language,
            size: file.size,
            description: description(language, &text),
            usage: usage(language, name, &text),
        };
        if listed { &mut found.listed } else { &mut found.hidden }.push(script);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_and_else_the_shebang() {
        let check = |path: &str, head: &str, expected| {
            assert_eq!(Language::detect(path, head.as_bytes()), expected, "{path} {head:?}");
        };
        check("scripts/a.py", "#!/bin/bash", Some(Language::Python));
        check("a.sh", "", Some(Language::Bash));
        check("a.mjs", "", Some(Language::Node));
        check("a.rb", "", Some(Language::Other));
        check("a.json", "{}", None);
        check("run", "#!/usr/bin/env python3\n", Some(Language::Python));
        check("run", "#!/usr/bin/python3.11\r\n", Some(Language::Python));
        check("run", "#!/usr/bin/env -S uv run --script\n", Some(Language::Python));
        check("run", "#!/usr/bin/env -S PYTHONPATH=. python3\n", Some(Language::Python));
        check("run", "#!/bin/sh\n", Some(Language::Bash));
        check("run", "#! /usr/bin/env node\n", Some(Language::Node));
        check("run", "#!/usr/sbin/evil\n", Some(Language::Other));
        check("run", "#!\n", None);
        check("run", "#!/usr/bin/env\n", None);
        check("run", "plain", None);
        check(".py", "", None);
    }

    #[test]
    fn the_description_is_the_first_line_meant_for_readers() {
        let check = |language, text: &str, expected: Option<&str>| {
            assert_eq!(description(language, text).as_deref(), expected, "{text:?}");
        };
        check(
            Language::Python,
            "#!/usr/bin/env python3\n\"\"\"\nMakes codes.\n\nMore.\n\"\"\"\n",
            Some("Makes codes."),
        );
        check(Language::Python, "'''One.'''\nimport os", Some("One."));
        check(
            Language::Python,
            "# /// script\n# dependencies = []\n# ///\n# Draws a chart\nimport x",
            Some("Draws a chart"),
        );
        check(Language::Python, "# -*- coding: utf-8 -*-\n# Copyright A\nr\"\"\"Raw\"\"\"", Some("Raw"));
        check(Language::Python, "import os\n\"\"\"late\"\"\"", None);
        check(Language::Bash, "#!/bin/bash\nset -euo pipefail\n\n# Counts words\nwc", Some("Counts words"));
        check(Language::Bash, "#!/bin/bash\necho\n# late", None);
        check(Language::Node, "#!/usr/bin/env node\n'use strict';\n/**\n * Does it.\n */", Some("Does it."));
        check(Language::Python, "\"\"\"esc\u{1b}[31mape\"\"\"", Some("esc[31mape"));
        check(Language::Python, "", None);
    }

    #[test]
    fn a_script_is_found_by_every_clear_name() {
        let script = |path: &str| Script {
            path: path.to_owned(),
            language: Language::Python,
            size: 1,
            description: None,
            usage: None,
        };
        let listed = [
            script("scripts/generate.py"),
            script("scripts/lib/check.py"),
            script("scripts/twin.py"),
            script("scripts/twin.sh"),
        ];
        let hidden = [script("tools/x.py")];
        let exists = |path: &str| path == "scripts/requirements.txt";
        let find = |name: &str| resolve(name, &listed, &hidden, exists).map(|script| script.path.as_str());
        for name in
            ["generate.py", "scripts/generate.py", "./scripts/generate.py", "generate", "scripts/generate"]
        {
            assert_eq!(find(name), Ok("scripts/generate.py"), "{name}");
        }
        assert_eq!(find("lib/check"), Ok("scripts/lib/check.py"));
        assert_eq!(find("check.py"), Ok("scripts/lib/check.py"));
        assert_eq!(find("tools/x.py"), Ok("tools/x.py"));
        assert!(matches!(find("twin"), Err(ScriptError::Ambiguous { scripts, .. }) if scripts.len() == 2));
        assert_eq!(find("twin.sh"), Ok("scripts/twin.sh"));
        assert!(matches!(find("requirements.txt"), Err(ScriptError::NotAScript { .. })));
        for name in ["", "../generate.py", "/etc/passwd", "x", "scripts/../generate"] {
            assert!(
                matches!(find(name), Err(ScriptError::NotFound { scripts, .. }) if scripts.len() == 4),
                "{name}"
            );
        }
    }
}
