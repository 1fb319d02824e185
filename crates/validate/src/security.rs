//! What may harm whoever uses a skill. Heuristics: a skill without findings is not thereby safe.

mod commands;
mod contents;
mod context;
mod injection;
mod invisible;
mod lookalike;
mod packages;
mod secrets;

use std::ops::Range;

use crate::{
    Check,
    paths::{extension, name},
    subject::{Subject, Text},
};

pub(crate) const CHECKS: &[Check] = &[
    secrets::check,
    commands::check,
    invisible::check,
    injection::check,
    lookalike::check,
    contents::check,
    packages::check,
];

/// Whether a file is a program, or tells one what to run.
fn is_program(path: &str) -> bool {
    let name = name(path).to_ascii_lowercase();
    matches!(
        extension(path).as_str(),
        "py" | "pyw"
            | "sh"
            | "bash"
            | "zsh"
            | "fish"
            | "js"
            | "mjs"
            | "cjs"
            | "ts"
            | "mts"
            | "tsx"
            | "jsx"
            | "rb"
            | "pl"
            | "php"
            | "lua"
            | "r"
            | "go"
            | "swift"
            | "ps1"
            | "bat"
            | "cmd"
            | "awk"
            | "rs"
            | "service"
            | "plist"
    ) || matches!(
        name.as_str(),
        "makefile" | "dockerfile" | "justfile" | "package.json" | "setup.cfg" | "pyproject.toml"
    ) || name.ends_with(".yml") && path.starts_with(".github/")
}

/// The parts of a file that may be run: all of a program, the code in a document.
fn code<'a>(subject: &'a Subject<'_>, path: &str) -> Option<(&'a Text, Vec<Range<usize>>)> {
    if let Some((text, markdown)) = subject.markdown(path) {
        let blocks = markdown.code.iter().map(|block| block.range.clone());
        let mut ranges: Vec<Range<usize>> = blocks.chain(markdown.inline_code.iter().cloned()).collect();
        ranges.sort_by_key(|range| range.start);
        return Some((text, ranges));
    }
    let text = subject.text(path)?;
    let is_code = is_program(path) || extension(path).is_empty() && text.content.starts_with("#!");
    is_code.then(|| (text, Vec::from([Range { start: 0, end: text.content.len() }])))
}

#[cfg(test)]
mod tests {
    use skill::{Draft, Rule};

    use crate::{Options, check};

    /// What `rule` finds in a skill of these files, as messages with places.
    pub(super) fn found(files: &[(&str, &str)], rule: Rule) -> Vec<String> {
        let draft = Draft::from_files(files.iter().map(|(path, content)| (*path, *content)), None).unwrap();
        check(&draft, &Options::default())
            .into_iter()
            .filter(|diagnostic| diagnostic.rule == rule)
            .map(|diagnostic| diagnostic.to_string())
            .collect()
    }
}
