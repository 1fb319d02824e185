//! The frontmatter beyond its YAML: the lines around it, and which fields there are.

use skill::{Diagnostic, Edit, Field, Frontmatter, Node, Position, Rule, Value};

use crate::{
    Check,
    subject::{Findings, Subject, Text},
};

pub(crate) const CHECKS: &[Check] = &[delimiters, dashes, flow_style, fields];

/// Fields that Claude Code acts on, beside the standard's.
const CLIENT_FIELDS: [&str; 13] = [
    "when_to_use",
    "disallowed-tools",
    "arguments",
    "argument-hint",
    "user-invocable",
    "disable-model-invocation",
    "model",
    "hooks",
    "context",
    "agent",
    "effort",
    "paths",
    "shell",
];

fn delimiters(subject: &Subject<'_>, found: &mut Findings) {
    let (Some((text, body)), Some(_)) = (subject.body(), subject.frontmatter()) else { return };
    // The line before the body closes; the first one opens.
    let closing = text.position(body).line;
    let closing = if text.content[..body].ends_with(['\n', '\r']) { closing - 1 } else { closing };
    for number in [1, closing] {
        let Some(range) = text.line(number) else { continue };
        let line = text.content[range.clone()].trim_start_matches('\u{feff}');
        if line == "---" || line.trim() != "---" {
            continue;
        }
        let start = range.end - line.len();
        found.push(
            Diagnostic::new(
                Rule::DELIMITER,
                text.at(start..range.end),
                "white space stands beside the three dashes",
            )
            .with_help("write exactly `---`")
            .with_fix([Edit::Replace {
                file: text.path.clone(),
                range: start..range.end,
                text: "---".to_owned(),
            }]),
        );
    }
}

fn dashes(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let span = frontmatter.span();
    let block = text.content.get(span.start.offset..span.end.offset).unwrap_or_default();
    if let Some(at) = block.find("---") {
        let start = span.start.offset + at;
        found.push(
            Diagnostic::new(
                Rule::DASHES_IN_VALUE,
                text.at(start..start + 3),
                "some readers take these dashes for the end of the frontmatter",
            )
            .with_help("use a dash (—), a comma or a colon in quotes"),
        );
    }
}

fn flow_style(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    for field in frontmatter.fields() {
        let node = Node { value: field.value.clone(), span: field.value_span };
        let mut flow = Vec::new();
        outermost_flow(text, &node, &mut flow);
        for part in flow {
            let range = part.span.start.offset..part.span.end.offset;
            let diagnostic = Diagnostic::new(
                Rule::FLOW_STYLE,
                text.at(range.clone()),
                "lists and maps in `[…]` and `{…}` are not understood by every reader of skills",
            )
            .with_help("write each entry on a line of its own");
            // Only where the whole value of a field is in flow style it is clear how deep its lines are to be indented.
            let block = (part.span == node.span && field.key_span.start.column == 1)
                .then(|| block_style(text, part, 2))
                .flatten();
            found.push(match block {
                Some(block) => {
                    // The white space behind the colon goes, too.
                    let before = text.content[..range.start].trim_end_matches([' ', '\t']).len();
                    let range = before..range.end;
                    diagnostic.with_fix([Edit::Replace { file: text.path.clone(), range, text: block }])
                }
                None => diagnostic,
            });
        }
    }
}

/// The lists and maps in flow style that stand in no other.
fn outermost_flow<'node>(text: &Text, node: &'node Node, found: &mut Vec<&'node Node>) {
    let start = text.content.as_bytes().get(node.span.start.offset);
    match &node.value {
        Value::List(_) | Value::Map(_) if matches!(start, Some(b'[' | b'{')) => found.push(node),
        Value::List(items) => items.iter().for_each(|item| outermost_flow(text, item, found)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| outermost_flow(text, value, found)),
        _ => {}
    }
}

/// The same value in block style, to stand behind `key:`; scalars stay as they are written.
fn block_style(text: &Text, node: &Node, indent: usize) -> Option<String> {
    let margin = " ".repeat(indent);
    let scalar = |node: &Node| {
        let written = text.content.get(node.span.start.offset..node.span.end.offset)?;
        (!written.is_empty() && !written.contains(['\n', '\r'])).then_some(written)
    };
    let mut block = String::new();
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            for item in items {
                block.push_str(&format!("\n{margin}- {}", scalar(item)?));
            }
        }
        Value::Map(pairs) if !pairs.is_empty() => {
            for (key, value) in pairs {
                let value = match &value.value {
                    Value::List(_) | Value::Map(_) => block_style(text, value, indent + 2)?,
                    Value::Null => String::new(),
                    _ => format!(" {}", scalar(value)?),
                };
                block.push_str(&format!("\n{margin}{}:{value}", scalar(key)?));
            }
        }
        _ => return None,
    }
    Some(block)
}

fn fields(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    for field in frontmatter.fields() {
        match field.key.as_str() {
            "version" | "author" => {
                let message = format!("`{}` at the top level is this platform's own", field.key);
                let diagnostic = Diagnostic::new(Rule::PLATFORM_FIELD, key(text, field), message)
                    .with_help("for other clients put it below `metadata`");
                found.push(match into_metadata(text, frontmatter, field) {
                    // Here it is fine where it is; where it is an error, moving it is what mends it.
                    Some(edits) => diagnostic.with_fix(edits),
                    None => diagnostic,
                });
            }
            known if Frontmatter::KNOWN.contains(&known) => {}
            client if CLIENT_FIELDS.contains(&client) => {
                let message = format!("only Claude Code knows the field `{client}`");
                found.push(
                    Diagnostic::new(Rule::CLIENT_FIELD, key(text, field), message)
                        .with_help("other clients ignore or refuse it; say in the body what it means"),
                );
            }
            _ => found.push(unknown(text, frontmatter, field)),
        }
    }
}

fn unknown(text: &Text, frontmatter: &Frontmatter, field: &Field) -> Diagnostic {
    let shown = field.key.escape_debug();
    let normal = field.key.to_ascii_lowercase().replace('_', "-");
    if Frontmatter::KNOWN.contains(&normal.as_str()) || CLIENT_FIELDS.contains(&normal.as_str()) {
        let diagnostic = Diagnostic::new(
            Rule::FIELD_SPELLING,
            key(text, field),
            format!("the field `{shown}` is spelt `{normal}`"),
        )
        .with_help(format!("write `{normal}`"));
        let range = field.key_span.start.offset..field.key_span.end.offset;
        // Only where the word itself stands there, and where it would not be there twice.
        let plain = text.content.get(range.clone()) == Some(field.key.as_str());
        return if plain && frontmatter.field(&normal).is_none() {
            diagnostic.with_fix([Edit::Replace { file: text.path.clone(), range, text: normal }])
        } else {
            diagnostic
        };
    }
    let near = Frontmatter::KNOWN.into_iter().find(|known| is_near(known, &normal));
    let diagnostic =
        Diagnostic::new(Rule::UNKNOWN_FIELD, key(text, field), format!("unknown field `{shown}`"));
    if let Some(near) = near {
        return diagnostic.with_help(format!("did you mean `{near}`?"));
    }
    let help = format!("move it below `metadata`; known fields: {}", Frontmatter::KNOWN.join(", "));
    let diagnostic = diagnostic.with_help(help);
    match into_metadata(text, frontmatter, field) {
        Some(edits) => diagnostic.with_fix(edits),
        None => diagnostic,
    }
}

fn key(text: &Text, field: &Field) -> skill::Location {
    text.at(field.key_span.start.offset..field.key_span.end.offset)
}

/// The edits that put a field of one line below `metadata`; `None` where that could change what it means.
fn into_metadata(text: &Text, frontmatter: &Frontmatter, field: &Field) -> Option<Vec<Edit>> {
    let value = field.value.as_text()?;
    let line = text.line(field.key_span.start.line)?;
    let one_line = field.value_span.end.line == field.key_span.start.line && !value.contains(['\n', '\r']);
    let written = text.content.get(line.clone())?;
    let plain_key = written.starts_with(&field.key) && field.key_span.start.column == 1;
    let twice = frontmatter.fields().iter().filter(|other| other.key == field.key).count() > 1;
    if !one_line || !plain_key || twice {
        return None;
    }
    let replace = |range, text_: String| Edit::Replace { file: text.path.clone(), range, text: text_ };
    let next = text.line(field.key_span.start.line + 1).map_or(text.content.len(), |next| next.start);
    let end_of_line = &text.content[line.end..next];
    match frontmatter.field("metadata") {
        // One edit in place: the line becomes the map.
        None => Some(vec![replace(line.start..line.end, format!("metadata:{end_of_line}  {written}"))]),
        Some(metadata) => {
            let Value::Map(pairs) = &metadata.value else { return None };
            let (first, _) = pairs.first()?;
            if pairs.iter().any(|(key, _)| key.value.as_text() == Some(&field.key)) {
                return None;
            }
            // Only a map in block style has its first key on a line of its own.
            let start: Position = first.span.start;
            let indent = text.line(start.line)?.start;
            let blank = text.content.get(indent..start.offset)?;
            if blank.is_empty() || !blank.bytes().all(|byte| byte == b' ') {
                return None;
            }
            Some(vec![
                replace(line.start..next, String::new()),
                replace(indent..indent, format!("{blank}{written}{end_of_line}")),
            ])
        }
    }
}

/// Whether one letter was added, lost, changed, or two were swapped.
pub(crate) fn is_near(known: &str, written: &str) -> bool {
    let (known, written): (Vec<char>, Vec<char>) = (known.chars().collect(), written.chars().collect());
    let start = known.iter().zip(&written).take_while(|(left, right)| left == right).count();
    let (left, right) = (&known[start..], &written[start..]);
    match (left, right) {
        ([], []) => false,
        ([_, left @ ..], [_, right @ ..]) if left == right => true,
        ([a, b, left @ ..], [c, d, right @ ..]) if a == d && b == c && left == right => true,
        ([_, left @ ..], right) if left == right => true,
        (left, [_, right @ ..]) if left == right => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_near_and_two_are_not() {
        for near in ["licence", "lisense", "licens", "licennse", "liecnse"] {
            assert!(is_near("license", near), "{near}");
        }
        for far in ["license", "lic", "permission", "lycencse"] {
            assert!(!is_near("license", far), "{far}");
        }
    }
}
