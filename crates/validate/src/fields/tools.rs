//! `allowed-tools`: which tools the skill may use without asking, where the client has such a thing.

use skill::{Diagnostic, Rule, Value};

use super::{replace, value};
use crate::{
    frontmatter::is_near,
    subject::{Findings, Subject},
};

/// Tools of common clients, for slips of the pen only.
const KNOWN: [&str; 24] = [
    "Bash",
    "BashOutput",
    "Edit",
    "Glob",
    "Grep",
    "KillShell",
    "LS",
    "MultiEdit",
    "NotebookEdit",
    "NotebookRead",
    "Read",
    "Skill",
    "Task",
    "TodoRead",
    "TodoWrite",
    "WebFetch",
    "WebSearch",
    "Write",
    "AskUserQuestion",
    "ExitPlanMode",
    "SlashCommand",
    "Agent",
    "Monitor",
    "ToolSearch",
];
/// Programs that run anything.
const INTERPRETERS: [&str; 12] =
    ["sh", "bash", "zsh", "python", "python3", "node", "ruby", "perl", "eval", "sudo", "env", "xargs"];

pub(super) fn check(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let Some(field) = frontmatter.field("allowed-tools") else { return };
    let tools = frontmatter.allowed_tools();
    let form = match &field.value {
        Value::Text(content) if !has_separating_comma(content) => None,
        Value::Text(_) => Some("separated by commas"),
        other => Some(other.kind()),
    };
    if let Some(form) = form {
        let diagnostic = Diagnostic::new(
            Rule::ALLOWED_TOOLS_FORM,
            value(text, field),
            format!("the allowed tools must be text separated by spaces; they are {form}"),
        )
        .with_help(format!("write `allowed-tools: {}`", tools.join(" ").escape_debug()));
        // A tool with a space in it (`Bash(git add:*)`) stays one; what would need quotes is left to a person.
        let plain = !tools.is_empty()
            && tools.iter().all(|tool| {
                tool.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:*() /".contains(&byte))
                    && !tool.contains(": ")
                    && tool.starts_with(|first: char| first.is_ascii_alphabetic())
            });
        let block = written_on_one_line(text, field);
        found.push(if plain && block {
            diagnostic.with_fix([replace(text, field, tools.join(" "))])
        } else {
            diagnostic
        });
    }
    for tool in tools {
        let (name, inside) = match tool.split_once('(') {
            Some((name, rest)) => (name, Some(rest.trim_end_matches(')').trim())),
            None => (tool, None),
        };
        let at = position(text, field, tool);
        let wide = match inside {
            Some("" | "*" | ":*" | "*:*") => true,
            Some(inside) if name == "Bash" => {
                let command = inside.split([' ', ':']).next().unwrap_or_default();
                INTERPRETERS.contains(&command.rsplit('/').next().unwrap_or_default())
                    && inside.trim_start_matches(command).trim_start_matches([' ', ':']) == "*"
            }
            Some(_) => false,
            None => matches!(name, "*" | "all" | "All"),
        };
        if wide {
            found.push(
                Diagnostic::new(
                    Rule::ALLOWED_TOOLS_WIDE,
                    at,
                    format!("`{}` permits every command", tool.escape_debug()),
                )
                .with_help("name the commands that the skill really needs"),
            );
        } else if let Some(known) = KNOWN.iter().find(|known| is_near(known, name)) {
            found.push(
                Diagnostic::new(
                    Rule::ALLOWED_TOOLS_UNKNOWN,
                    at,
                    format!("no common client has a tool `{}`", name.escape_debug()),
                )
                .with_help(format!("did you mean `{known}`?")),
            );
        }
    }
}

fn has_separating_comma(text: &str) -> bool {
    let mut depth = 0_usize;
    text.chars().any(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
}

fn written_on_one_line(text: &crate::subject::Text, field: &skill::Field) -> bool {
    let (start, end) = (field.value_span.start, field.value_span.end);
    start.line == end.line
        && start.line == field.key_span.start.line
        && text
            .content
            .get(start.offset..end.offset)
            .is_some_and(|written| !written.starts_with(['"', '\'', '|', '>']))
}

/// Where `tool` stands in the value.
fn position(text: &crate::subject::Text, field: &skill::Field, tool: &str) -> skill::Location {
    let (start, end) = (field.value_span.start.offset, field.value_span.end.offset);
    match text.content.get(start..end).and_then(|written| written.find(tool)) {
        Some(at) => text.at(start + at..start + at + tool.len()),
        None => value(text, field),
    }
}
