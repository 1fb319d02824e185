//! Markdown that does not mean what its author thought.

use skill::{Diagnostic, Rule};

use super::is_material;
use crate::{
    paths::Paths,
    paths::Target,
    pattern::Pattern,
    subject::{Findings, Subject},
};

/// Blocks of code that have no end.
pub(super) fn check_fences(subject: &Subject<'_>, findings: &mut Findings) {
    for path in subject.documents() {
        let Some((text, markdown)) = subject.markdown(path) else { continue };
        for block in markdown.code.iter().filter(|block| !block.is_closed) {
            let start = block.range.start;
            let line = text.position(start).line;
            let end = text.line(line).map_or(block.range.end, |line| line.end);
            // A fence with a language in a block that is open is not the end of that block, but was meant as a beginning.
            let inner = text.content[start..block.range.end].lines().skip(1).position(|line| {
                let fence = line.trim_start();
                fence.starts_with("```") && !fence.trim_end().ends_with("```")
            });
            let help = match inner {
                Some(at) => format!(
                    "close it before line {}, where the next block seems to begin; a block that shows fences needs more \
                     backticks than they have",
                    line + at + 1
                ),
                None => "close it; a block that shows fences needs more backticks than they have".to_owned(),
            };
            findings.push(
                Diagnostic::new(
                    Rule::FENCE_UNCLOSED,
                    text.at(start..end),
                    "this block of code is never closed",
                )
                .with_help(help),
            );
        }
    }
}

static COMMAND: Pattern = Pattern::new(r"(?m)(?:^|\s)(!`[^`\n]+`)", &[&["!`"]]);
static ARGUMENTS: Pattern =
    Pattern::new(r"\$ARGUMENTS\b(?:\[\d+\])?|\$\{ARGUMENTS\}", &[&["$ARGUMENTS", "${ARGUMENTS}"]]);
static INCLUDE: Pattern =
    Pattern::new(r"(?m)(?:^|[\s(])(@(?:\./|~/)?[\w.-]+(?:/[\w.-]+)*\.[A-Za-z0-9]+)", &[&["@"]]);

/// What Claude Code fills in before a model reads the instructions.
pub(super) fn check_dynamic_context(subject: &Subject<'_>, findings: &mut Findings) {
    let path = subject.file();
    if is_material(path) {
        return;
    }
    let Some((text, markdown)) = subject.markdown(path) else { return };
    let Some((_, start)) = subject.body() else { return };
    let body = &text.content[start..];
    let mut push = |place: std::ops::Range<usize>, message: &str, help: &str| {
        let at = text.at(start + place.start..start + place.end);
        findings.push(Diagnostic::new(Rule::DYNAMIC_CONTEXT, at, message).with_help(help));
    };
    for command in COMMAND.captures_iter(body).filter_map(|found| found.get(1)) {
        if markdown.code_at(start + command.start()).is_none() && !markdown.is_code(start + command.start()) {
            push(
                command.range(),
                "only Claude Code runs this command and puts its output here",
                "tell the model to run the command itself",
            );
        }
    }
    if let Some(argument) = ARGUMENTS.find(body) {
        push(
            argument.range(),
            "only Claude Code puts arguments in the place of `$ARGUMENTS`",
            "say in words what the model takes from the request",
        );
    }
    let paths = Paths::new(subject.draft);
    for include in INCLUDE.captures_iter(body).filter_map(|found| found.get(1)) {
        let target = include.as_str().trim_start_matches('@');
        let exists = matches!(paths.resolve("", target), Target::File(_));
        if exists && !markdown.is_code(start + include.start()) {
            push(
                include.range(),
                "only Claude Code puts this file here",
                "name the file without `@`, and say when to read it",
            );
        }
    }
}
