//! `SKILL.md` to frontmatter and body.
//!
//! Lenient where a wrong file still has one clear meaning, with a diagnostic each time: a byte order mark, any kind
//! of line end, values whose unquoted colon breaks YAML (a common slip in published skills). Spans always point into the
//! text as it is in the file.

use std::ops::Range;

use crate::{
    diagnostic::{Diagnostic, Edit, Location, Position, Span},
    rule::Rule,
    yaml::{self, Node, Value, YamlError},
};

/// The most bytes of a `SKILL.md`.
pub(crate) const MAX_SKILL_FILE: u64 = 1024 * 1024;
/// The most bytes of its frontmatter.
const MAX_FRONTMATTER: usize = 256 * 1024;

/// The fields at the top of a `SKILL.md`, with their places. Unknown fields are kept.
#[derive(Clone, Debug)]
pub struct Frontmatter {
    fields: Vec<Field>,
    span: Span,
}

/// One field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Field {
    /// Its name.
    pub key: String,
    /// Where the name stands.
    pub key_span: Span,
    /// Its value.
    pub value: Value,
    /// Where the value stands.
    pub value_span: Span,
}

impl Frontmatter {
    /// The fields that mean something here; `version` and `author` are ours, the others the standard's.
    pub const KNOWN: [&str; 8] =
        ["name", "description", "license", "compatibility", "metadata", "allowed-tools", "version", "author"];

    /// All fields in the order of the text.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field called `key`; of several the last, as common YAML readers do.
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().rfind(|field| field.key == key)
    }

    /// The fields that neither the standard nor this project knows.
    pub fn unknown(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !Self::KNOWN.contains(&field.key.as_str()))
    }

    /// Where the frontmatter stands, without its delimiters.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The skill's name as written.
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// What the skill does and when to use it, without white space around it.
    pub fn description(&self) -> Option<&str> {
        self.text("description")
    }

    /// The licence, or the file that has it.
    pub fn license(&self) -> Option<&str> {
        self.text("license")
    }

    /// What the skill needs from its surroundings.
    pub fn compatibility(&self) -> Option<&str> {
        self.text("compatibility")
    }

    /// The version: the field, or the entry in the metadata.
    pub fn version(&self) -> Option<&str> {
        self.text("version").or_else(|| self.metadata_text("version"))
    }

    /// The author: the field, or the entry in the metadata.
    pub fn author(&self) -> Option<&str> {
        self.text("author").or_else(|| self.metadata_text("author"))
    }

    /// The tools that the skill says it uses, from a space-separated text or, liberally, commas or a list.
    pub fn allowed_tools(&self) -> Vec<&str> {
        match self.field("allowed-tools").map(|field| &field.value) {
            Some(Value::Text(text)) => split_tools(text),
            Some(Value::List(items)) => items.iter().filter_map(|item| item.value.as_text()).collect(),
            Some(Value::Null | Value::Map(_)) | None => Vec::new(),
        }
    }

    /// The metadata whose values are text, in the order of the file.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = match self.field("metadata").map(|field| &field.value) {
            Some(Value::Map(pairs)) => pairs.as_slice(),
            _ => &[],
        };
        pairs.iter().filter_map(|(key, value)| Some((key.value.as_text()?, value.value.as_text()?)))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.field(key)?.value.as_text().map(str::trim).filter(|text| !text.is_empty())
    }

    fn metadata_text(&self, key: &str) -> Option<&str> {
        self.metadata().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Splits at spaces and commas that are not inside parentheses: `Bash(git add:*)` is one tool.
fn split_tools(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|character: char| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (character.is_whitespace() || character == ',')
    })
    .filter(|tool| !tool.is_empty())
    .collect()
}

/// A `SKILL.md` taken apart, as far as it can be.
#[derive(Debug, Default)]
pub(crate) struct SkillMarkdown {
    /// The fields; `None` when there are none that can be read, which is then an error among the diagnostics.
    pub(crate) frontmatter: Option<Frontmatter>,
    /// Where the body starts in the text; `None` when the frontmatter has no end.
    pub(crate) body: Option<usize>,
    /// What is wrong, and what was let pass.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Takes `text` apart; `file` is its name for diagnostics.
pub(crate) fn parse(file: &str, text: &str) -> SkillMarkdown {
    let mut markdown = SkillMarkdown::default();
    let start = if text.starts_with('\u{feff}') {
        let length = '\u{feff}'.len_utf8();
        markdown.diagnostics.push(
            Diagnostic::new(
                Rule::BYTE_ORDER_MARK,
                Location::span(file, Span::at(Position::START)),
                "a byte order mark stands before the frontmatter",
            )
            .with_help("save the file as UTF-8 without a byte order mark")
            .with_fix([Edit::Replace {
                file: file.to_owned(),
                range: 0..length,
                text: String::new(),
            }]),
        );
        length
    } else {
        0
    };
    let block = match split(text, start) {
        Ok(block) => block,
        Err((rule, position, message)) => {
            markdown.diagnostics.push(
                Diagnostic::new(rule, Location::span(file, Span::at(position)), message).with_help(
                    "put the fields between two lines that are exactly `---`, the first at the very start of the file",
                ),
            );
            return markdown;
        }
    };
    markdown.body = Some(block.body);
    let span = Span { start: block.start, end: block.end };
    let fields = document(file, text, span, &mut markdown.diagnostics)
        .and_then(|document| fields(file, document, span, &mut markdown.diagnostics));
    markdown.frontmatter = fields.map(|fields| Frontmatter { fields, span });
    markdown
}

/// Reads the YAML in `block`.
fn document(
    file: &str,
    text: &str,
    block: Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<yaml::Document> {
    let yaml_text = &text[block.start.offset..block.end.offset];
    if yaml_text.len() > MAX_FRONTMATTER {
        diagnostics.push(
            Diagnostic::new(
                Rule::TOO_LARGE,
                Location::span(file, block),
                format!("the frontmatter has {} bytes; at most {MAX_FRONTMATTER} are read", yaml_text.len()),
            )
            .with_help("move long text into the body"),
        );
        return None;
    }
    let error = match yaml::parse(yaml_text, block.start) {
        Ok(document) => {
            references(file, &document, diagnostics);
            return Some(document);
        }
        Err(error) => error,
    };
    let (rule, message, position) = match error {
        YamlError::Syntax { message, position } => (Rule::INVALID_YAML, message, position),
        YamlError::Budget { message, position } => (Rule::YAML_BUDGET, message, position),
    };
    let diagnostic =
        Diagnostic::new(rule, Location::span(file, Span::at(position)), format!("invalid YAML: {message}"));
    let quoted = (rule == Rule::INVALID_YAML).then(|| quote_plain_values(yaml_text)).flatten();
    let repaired = quoted.and_then(|(quoted, edits)| Some((yaml::parse(&quoted, block.start).ok()?, edits)));
    let Some((mut document, edits)) = repaired else {
        let is_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t');
        let help = if yaml_text.lines().any(is_tab) {
            "indent with spaces: YAML takes no tabs there"
        } else {
            "quote values that contain `: ` or ` #` or start with one of @ ` % & * ! { ["
        };
        diagnostics.push(diagnostic.with_help(help));
        return None;
    };
    let fix = edits.into_iter().map(|(range, text)| Edit::Replace {
        file: file.to_owned(),
        range: range.start + block.start.offset..range.end + block.start.offset,
        text,
    });
    diagnostics
        .push(diagnostic.with_help("put the value in quotes; it is read as if it were quoted").with_fix(fix));
    // The inserted quotes shifted what follows; the line did not change.
    let lines = Lines::new(text, block.start);
    if let Some(root) = &mut document.root {
        lines.restore(root);
    }
    Some(document)
}

/// Anchors, aliases and tags are YAML, but can make a short text mean a long one.
fn references(file: &str, document: &yaml::Document, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(reference) = document.references.first() {
        diagnostics.push(
            Diagnostic::new(
                Rule::YAML_REFERENCE,
                Location::span(file, *reference),
                "anchors, aliases and tags are not understood by every reader of skills",
            )
            .with_help("write the value out"),
        );
    }
}

/// The fields of a document that is a mapping.
fn fields(
    file: &str,
    document: yaml::Document,
    block: Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<Field>> {
    let pairs = match document.root.map(|node| node.value) {
        Some(Value::Map(pairs)) if !pairs.is_empty() => pairs,
        other => {
            let kind = other.as_ref().map_or("empty", Value::kind);
            diagnostics.push(
                Diagnostic::new(
                    Rule::FRONTMATTER_NOT_MAPPING,
                    Location::span(file, block),
                    format!("the frontmatter must be a mapping; it is {kind}"),
                )
                .with_help("write at least `name: …` and `description: …`"),
            );
            return None;
        }
    };
    let mut fields: Vec<Field> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let Some(name) = key.value.as_text() else {
            diagnostics.push(Diagnostic::new(
                Rule::UNKNOWN_FIELD,
                Location::span(file, key.span),
                format!("a field name must be text; this one is {}", key.value.kind()),
            ));
            continue;
        };
        if let Some(first) = fields.iter().find(|field| field.key == name) {
            diagnostics.push(
                Diagnostic::new(
                    Rule::DUPLICATE_KEY,
                    Location::span(file, key.span),
                    format!("`{name}` was already given in line {}", first.key_span.start.line),
                )
                .with_help("delete one of them; the last is used"),
            );
        }
        fields.push(Field {
            key: name.to_owned(),
            key_span: key.span,
            value: value.value,
            value_span: value.span,
        });
    }
    Some(fields)
}

/// Where the parts of a `SKILL.md` are.
struct Block {
    start: Position,
    end: Position,
    body: usize,
}

fn split(text: &str, start: usize) -> Result<Block, (Rule, Position, &'static str)> {
    let mut lines = lines(text, start);
    let position = |offset: usize, line: usize| Position { offset, line, column: 1 };
    match lines.next() {
        Some((_, line, _)) if line.trim_end() == "---" => {}
        _ => {
            return Err((
                Rule::FRONTMATTER_MISSING,
                position(start, 1),
                "SKILL.md must start with YAML frontmatter (---)",
            ));
        }
    }
    let mut yaml_start = None;
    for (number, (offset, line, next)) in (2..).zip(lines) {
        let from = *yaml_start.get_or_insert(offset);
        if line.trim_end() == "---" {
            return Ok(Block { start: position(from, 2), end: position(offset, number), body: next });
        }
    }
    Err((Rule::FRONTMATTER_UNCLOSED, position(start, 1), "the frontmatter is not closed by a line `---`"))
}

/// The lines of `text` from `start`: where each begins, its text without the line end, where the next begins.
fn lines(text: &str, start: usize) -> impl Iterator<Item = (usize, &str, usize)> {
    let mut offset = start;
    std::iter::from_fn(move || {
        let rest = &text[offset..];
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let ending = match &rest.as_bytes()[end..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let line = (offset, &rest[..end], offset + end + ending);
        offset = line.2;
        Some(line)
    })
}

/// A text with quotes put in, and which bytes of the original each of them replaced.
type Quoted = (String, Vec<(Range<usize>, String)>);

/// The text with plain values in single quotes where they contain what YAML would misread, and what was replaced by what;
/// `None` when there are none.
fn quote_plain_values(text: &str) -> Option<Quoted> {
    let all: Vec<(usize, &str, usize)> = lines(text, 0).collect();
    let mut out = String::with_capacity(text.len() + 64);
    let mut edits = Vec::new();
    let mut index = 0;
    while index < all.len() {
        let (offset, line, next) = all[index];
        index += 1;
        let Some((indent, value_at)) = plain_value(line) else {
            out.push_str(&text[offset..next]);
            continue;
        };
        // Lines indented deeper continue a plain value.
        let mut last = line;
        let mut last_offset = offset;
        while let Some((next_offset, next_line, _)) = all.get(index).copied() {
            let depth = next_line.len() - next_line.trim_start_matches(' ').len();
            if next_line.trim().is_empty() || depth <= indent {
                break;
            }
            (last, last_offset) = (next_line, next_offset);
            index += 1;
        }
        // Only what YAML takes for white space: a no-break space is text, and may be all of it.
        let end = last_offset + last.trim_end_matches([' ', '\t']).len();
        let value = &text[offset + value_at..end];
        let risky = value.contains(": ")
            || value.ends_with(':')
            || value.contains(":\n")
            || value.contains(":\r")
            || value.starts_with(['@', '`', '%', '&', '*', '!']);
        out.push_str(&text[offset..offset + value_at]);
        if risky {
            let quoted = format!("'{}'", value.replace('\'', "''"));
            out.push_str(&quoted);
            edits.push((offset + value_at..end, quoted));
        } else {
            out.push_str(value);
        }
        let line_end = all.get(index).map_or(text.len(), |(offset, ..)| *offset);
        out.push_str(&text[end..line_end]);
    }
    (!edits.is_empty()).then_some((out, edits))
}

/// For a line `key: value` with an unquoted value: the indentation and where the value starts.
fn plain_value(line: &str) -> Option<(usize, usize)> {
    let trimmed = line.trim_start_matches(' ');
    let indent = line.len() - trimmed.len();
    let colon = trimmed.find(':')?;
    let key = &trimmed[..colon];
    if key.is_empty()
        || !key.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character))
    {
        return None;
    }
    let rest = &trimmed[colon + 1..];
    let value = rest.trim_start_matches([' ', '\t']);
    let separated = value.len() < rest.len();
    let quoted = value.starts_with(['"', '\'', '|', '>', '[', '{', '#']);
    (separated && !value.is_empty() && !quoted).then(|| (indent, line.len() - value.len()))
}

/// The line starts of the original text, to bring the positions of a repaired text back.
struct Lines<'text> {
    text: &'text str,
    first: usize,
    starts: Vec<(usize, &'text str)>,
}

impl<'text> Lines<'text> {
    fn new(text: &'text str, block: Position) -> Self {
        let starts = lines(text, block.offset).map(|(offset, line, _)| (offset, line)).collect();
        Self { text, first: block.line, starts }
    }

    fn restore(&self, node: &mut Node) {
        node.span = Span { start: self.position(node.span.start), end: self.position(node.span.end) };
        match &mut node.value {
            Value::Null | Value::Text(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| self.restore(item)),
            Value::Map(pairs) => pairs.iter_mut().for_each(|(key, value)| {
                self.restore(key);
                self.restore(value);
            }),
        }
    }

    fn position(&self, position: Position) -> Position {
        let Some((offset, line)) = self.starts.get(position.line.saturating_sub(self.first)) else {
            return Position { offset: self.text.len(), ..position };
        };
        let mut before =
            line.char_indices().map(|(index, _)| index).chain([line.len()]).take(position.column);
        let column = line.chars().count().min(position.column - 1) + 1;
        let within = before.by_ref().last().unwrap_or_default();
        Position { offset: offset + within, line: position.line, column }
    }
}

#[cfg(test)]
mod tests;
