//! The verdict of `skills-ref`, the reference library of the Agent Skills standard, followed step by step.
//!
//! Read from its source (0.1.1) and measured on it. What makes it differ from other readers, and must be kept:
//!
//! - the frontmatter is what stands between the first two `---`, wherever they are, also inside a line or a value;
//! - its YAML (`strictyaml`) has only text: no flow style, anchors, tags or duplicate keys at any depth, and `~` or `123` are
//!   text like any other;
//! - names are compared after NFKC, with Python's `isalnum` (categories L, Nd, Nl, No: not the combining marks that Rust's
//!   `is_alphanumeric` takes) and full lowercase;
//! - lengths are counted in code points, of descriptions before white space is stripped.
//!
//! Messages are the library's own words, so that reports can be compared; where it crashes (control characters, bytes that
//! are not UTF-8) there is an error of ours. Files beyond the limits of this project's reader are refused unread.

use std::ops::Range;

use skill::{Diagnostic, Location, Node, Position, Rule, Span, Value, YamlError, parse_yaml};
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::subject::{Subject, Text};

const ALLOWED: [&str; 6] = ["allowed-tools", "compatibility", "description", "license", "metadata", "name"];
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 1024;
const MAX_COMPATIBILITY: usize = 500;

/// What the reference library refuses; `ours` is what our own checks found of the same rules, for its help and fixes.
pub(crate) fn check(subject: &Subject<'_>, ours: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // Whether there is a file, and whether it can be read, was seen when the draft was made.
    let unread = [Rule::SKILL_FILE_MISSING, Rule::SKILL_FILE_CASE, Rule::NOT_UTF8, Rule::TOO_LARGE];
    let about_the_file = |diagnostic: &&Diagnostic| {
        unread.contains(&diagnostic.rule) && diagnostic.location.file == subject.file()
    };
    let before: Vec<Diagnostic> =
        subject.draft.diagnostics().iter().filter(about_the_file).cloned().collect();
    let readable = before.is_empty();
    found.extend(before);
    if let (true, Some(text)) = (readable, subject.skill_text()) {
        Verdict { text, newlines: normalise(&text.content), found: &mut found }
            .document(subject.draft.directory());
    }
    for diagnostic in &mut found {
        adopt(diagnostic, &ours);
    }
    found
}

/// Takes over what we know about the same thing: what to do, and how to mend it.
fn adopt(theirs: &mut Diagnostic, ours: &[Diagnostic]) {
    let start = |diagnostic: &Diagnostic| diagnostic.location.span.map(|span| span.start);
    // The library has one word for a field that is unknown; we know several kinds.
    let same = |our: &&Diagnostic| {
        our.rule == theirs.rule
            || theirs.rule == Rule::UNKNOWN_FIELD
                && start(our) == start(theirs)
                && our.location.file == theirs.location.file
    };
    let Some(our) = ours.iter().filter(same).min_by_key(|our| start(our) != start(theirs)) else { return };
    theirs.rule = our.rule;
    theirs.help.clone_from(&our.help);
    theirs.fix.clone_from(&our.fix);
}

/// Line ends as Python's text files have them. Lines of nothing but Unicode's own line ends, which YAML 1.1 takes for blank
/// ones, become blank; every character keeps its line and column.
fn normalise(text: &str) -> String {
    const BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    if !text.contains(BREAKS) {
        return text;
    }
    let blank = |line: &str| line.chars().all(|character| character == ' ' || BREAKS.contains(&character));
    let lines =
        text.split('\n').map(|line| if blank(line) { line.replace(BREAKS, " ") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}

struct Verdict<'text, 'found> {
    text: &'text Text,
    /// The text that the library sees; lines and columns are those of the file.
    newlines: String,
    found: &'found mut Vec<Diagnostic>,
}

impl Verdict<'_, '_> {
    fn document(mut self, directory: Option<&str>) {
        let newlines = std::mem::take(&mut self.newlines);
        if !newlines.starts_with("---") {
            self.whole(Rule::FRONTMATTER_MISSING, "SKILL.md must start with YAML frontmatter (---)");
            return;
        }
        let Some(length) = newlines[3..].find("---") else {
            self.whole(Rule::FRONTMATTER_UNCLOSED, "SKILL.md frontmatter not properly closed with ---");
            return;
        };
        let yaml = &newlines[3..3 + length];
        if let Some(at) = yaml.find(|character| !is_printable(character)) {
            let position = Position::in_text(&newlines, 3 + at);
            let character = yaml[at..].chars().next().unwrap_or_default();
            let message = format!("control character U+{:04X} in the frontmatter", u32::from(character));
            self.push(Rule::CONTROL_CHARACTER, Span::at(position), message);
            return;
        }
        let base = Position { offset: 3, line: 1, column: 4 };
        let document = match parse_yaml(yaml, base) {
            Ok(document) => document,
            Err(error) => {
                let (rule, position) = match &error {
                    YamlError::Budget { position, .. } => (Rule::YAML_BUDGET, *position),
                    YamlError::Syntax { position, .. } => (Rule::INVALID_YAML, *position),
                    _ => (Rule::INVALID_YAML, base),
                };
                let message = error.to_string();
                let message = message.strip_prefix("invalid YAML: ").unwrap_or(&message);
                self.push(rule, Span::at(position), format!("Invalid YAML in frontmatter: {message}"));
                return;
            }
        };
        let strict = [
            (Rule::FLOW_STYLE, document.flow.first(), "flow style is not allowed"),
            (Rule::YAML_REFERENCE, document.references.first(), "anchors, aliases and tags are not allowed"),
        ];
        let mut readable = true;
        for (rule, span, what) in strict {
            if let Some(span) = span {
                self.push(rule, *span, format!("Invalid YAML in frontmatter: {what}"));
                readable = false;
            }
        }
        if let Some(at) = stray_tab(yaml, 3, document.root.as_ref()) {
            let span = Span::at(Position::in_text(&newlines, 3 + at));
            let message = "Invalid YAML in frontmatter: found character '\\t' that cannot start any token";
            self.push(Rule::INVALID_YAML, span, message);
            readable = false;
        }
        if begins_with_an_end(yaml) {
            let message =
                "Invalid YAML in frontmatter: expected the node content, but found '<document end>'";
            self.push(Rule::INVALID_YAML, Span::at(base), message);
            readable = false;
        }
        if let Some(key) = document.root.as_ref().and_then(|root| bad_merge(root, &newlines)) {
            let message = "Invalid YAML in frontmatter: expected a mapping or list of mappings for merging";
            self.push(Rule::INVALID_YAML, key.span, message);
            readable = false;
        }
        if let Some(key) = document.root.as_ref().and_then(duplicate) {
            let message = format!("Invalid YAML in frontmatter: duplicate key {:?}", scalar(key, &newlines));
            self.push(Rule::DUPLICATE_KEY, key.span, message);
            readable = false;
        }
        if !readable {
            return;
        }
        match document.root {
            Some(Node { value: Value::Map(pairs), .. }) => self.fields(&pairs, &newlines, directory),
            _ => self.whole(Rule::FRONTMATTER_NOT_MAPPING, "SKILL.md frontmatter must be a YAML mapping"),
        }
    }

    fn fields(&mut self, pairs: &[(Node, Node)], newlines: &str, directory: Option<&str>) {
        let unexpected: Vec<(&str, Span)> = pairs
            .iter()
            .map(|(key, _)| (scalar(key, newlines).unwrap_or_default(), key.span))
            .filter(|(key, _)| !ALLOWED.contains(key))
            .collect();
        let mut keys: Vec<&str> = unexpected.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        let allowed: Vec<String> = ALLOWED.iter().map(|field| format!("'{field}'")).collect();
        for (_, span) in unexpected {
            let message = format!(
                "Unexpected fields in frontmatter: {}. Only [{}] are allowed.",
                keys.join(", "),
                allowed.join(", ")
            );
            self.push(Rule::UNKNOWN_FIELD, span, message);
        }
        let field = |name: &str| {
            let (_, value) = pairs.iter().find(|(key, _)| scalar(key, newlines) == Some(name))?;
            Some((scalar(value, newlines), value.span))
        };
        match field("name") {
            None => {
                self.whole(Rule::NAME_MISSING, "Missing required field in frontmatter: name");
            }
            Some((name, span)) => self.name(name, span, directory),
        }
        match field("description") {
            None => {
                self.whole(Rule::DESCRIPTION_MISSING, "Missing required field in frontmatter: description");
            }
            Some((description, span)) => self.description(description, span),
        }
        match field("compatibility") {
            None => {}
            Some((None, span)) => {
                self.push(Rule::COMPATIBILITY_NOT_STRING, span, "Field 'compatibility' must be a string");
            }
            Some((Some(text), span)) => {
                let count = text.chars().count();
                if count > MAX_COMPATIBILITY {
                    let message =
                        format!("Compatibility exceeds {MAX_COMPATIBILITY} character limit ({count} chars)");
                    self.push(Rule::COMPATIBILITY_TOO_LONG, span, message);
                }
            }
        }
    }

    fn name(&mut self, name: Option<&str>, span: Span, directory: Option<&str>) {
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
            self.push(Rule::NAME_NOT_STRING, span, "Field 'name' must be a non-empty string");
            return;
        };
        let name: String = name.nfkc().collect();
        let count = name.chars().count();
        if count > MAX_NAME {
            let message = format!("Skill name '{name}' exceeds {MAX_NAME} character limit ({count} chars)");
            self.push(Rule::NAME_TOO_LONG, span, message);
        }
        if name != name.to_lowercase() {
            self.push(Rule::NAME_UPPERCASE, span, format!("Skill name '{name}' must be lowercase"));
        }
        if name.starts_with('-') || name.ends_with('-') {
            self.push(Rule::NAME_OUTER_HYPHEN, span, "Skill name cannot start or end with a hyphen");
        }
        if name.contains("--") {
            self.push(Rule::NAME_DOUBLE_HYPHEN, span, "Skill name cannot contain consecutive hyphens");
        }
        if !name.chars().all(|character| character == '-' || is_python_alnum(character)) {
            let message = format!(
                "Skill name '{name}' contains invalid characters. Only letters, digits, and hyphens are allowed."
            );
            self.push(Rule::NAME_CHARACTER, span, message);
        }
        if let Some(directory) = directory
            && directory.nfkc().collect::<String>() != name
        {
            let message = format!("Directory name '{directory}' must match skill name '{name}'");
            self.push(Rule::DIRECTORY_NAME, span, message);
        }
    }

    fn description(&mut self, description: Option<&str>, span: Span) {
        let Some(description) = description.filter(|text| !text.trim().is_empty()) else {
            self.push(Rule::DESCRIPTION_MISSING, span, "Field 'description' must be a non-empty string");
            return;
        };
        let count = description.chars().count();
        if count > MAX_DESCRIPTION {
            let message = format!("Description exceeds {MAX_DESCRIPTION} character limit ({count} chars)");
            self.push(Rule::DESCRIPTION_TOO_LONG, span, message);
        }
    }

    /// A finding about the frontmatter as a whole.
    fn whole(&mut self, rule: Rule, message: &str) {
        self.push(rule, Span::at(Position::START), message);
    }

    /// A finding at a place in the text with normalised line ends.
    fn push(&mut self, rule: Rule, span: Span, message: impl Into<String>) {
        let place = |position: Position| {
            let line = self.text.line(position.line).unwrap_or_default();
            let mut columns = self.text.content[line.clone()].char_indices().map(|(index, _)| index);
            let within = columns.nth(position.column.saturating_sub(1)).unwrap_or(line.len());
            self.text.position(line.start + within)
        };
        let span = Span { start: place(span.start), end: place(span.end) };
        self.found.push(Diagnostic::new(rule, Location::span(&self.text.path, span), message));
    }
}

/// The text of a scalar as strict YAML has it: nothing is null, `~` is a tilde.
fn scalar<'node>(node: &'node Node, newlines: &'node str) -> Option<&'node str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Null => Some(newlines.get(node.span.start.offset..node.span.end.offset).unwrap_or_default()),
        _ => None,
    }
}

/// The first key that occurs twice in its map, at any depth. The depth is bounded by the reader.
fn duplicate(node: &Node) -> Option<&Node> {
    match &node.value {
        Value::Map(pairs) => pairs.iter().enumerate().find_map(|(index, (key, value))| {
            let before = &pairs[..index];
            if before.iter().any(|(other, _)| other.value == key.value) {
                return Some(key);
            }
            duplicate(value)
        }),
        Value::List(items) => items.iter().find_map(duplicate),
        _ => None,
    }
}

/// The first tab that is neither in quotes, nor in a block, nor in a comment: YAML 1.1 readers take none as white space.
/// `base` is where `yaml` begins in the text that the spans of `root` are about.
fn stray_tab(yaml: &str, base: usize, root: Option<&Node>) -> Option<usize> {
    let mut texts = Vec::new();
    if let Some(root) = root {
        quoted(yaml, base, root, &mut texts);
    }
    let within = |at: usize| texts.iter().find(|range| range.contains(&at)).map(|range| range.end);
    let bytes = yaml.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(end) = within(at) {
            at = end;
            continue;
        }
        match bytes[at] {
            b'#' if at == 0 || matches!(bytes[at - 1], b' ' | b'\t' | b'\n') => {
                at += yaml[at..].find('\n').unwrap_or(yaml.len() - at);
            }
            b'\t' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// Where scalars in quotes and blocks stand in `yaml`.
fn quoted(yaml: &str, base: usize, node: &Node, found: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            quoted(yaml, base, key, found);
            quoted(yaml, base, value, found);
        }),
        Value::List(items) => items.iter().for_each(|item| quoted(yaml, base, item, found)),
        _ => {
            let range =
                node.span.start.offset.saturating_sub(base)..node.span.end.offset.saturating_sub(base);
            let written = yaml.get(range.clone()).unwrap_or_default();
            if written.starts_with(['"', '\'', '|', '>']) {
                found.push(range);
            }
        }
    }
}

/// Whether the mark of a document's end stands before any content.
fn begins_with_an_end(yaml: &str) -> bool {
    let mut lines = yaml.lines().map(|line| line.trim_matches(' '));
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| line == "..." || line.starts_with("... "))
}

/// A plain key `<<`, which YAML 1.1 readers take for an order to merge, whose value cannot be merged.
fn bad_merge<'node>(node: &'node Node, newlines: &str) -> Option<&'node Node> {
    match &node.value {
        Value::Map(pairs) => pairs.iter().find_map(|(key, value)| {
            // In quotes it is a key like any other, and its span begins with the quote.
            let plain = newlines.get(key.span.start.offset..key.span.end.offset) == Some("<<");
            let mergeable = match &value.value {
                Value::Map(_) => true,
                Value::List(items) => items.iter().all(|item| matches!(item.value, Value::Map(_))),
                _ => false,
            };
            if plain && !mergeable { Some(key) } else { bad_merge(value, newlines) }
        }),
        Value::List(items) => items.iter().find_map(|item| bad_merge(item, newlines)),
        _ => None,
    }
}

/// What YAML 1.1 readers take (`ruamel.yaml`'s reader).
fn is_printable(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        | '\u{10000}'..='\u{10ffff}')
}

/// Python's `str.isalnum` for one character. Checked against CPython 3.11 over all code points.
fn is_python_alnum(character: char) -> bool {
    character.general_category_group() == GeneralCategoryGroup::Letter
        || matches!(
            character.general_category(),
            GeneralCategory::DecimalNumber | GeneralCategory::LetterNumber | GeneralCategory::OtherNumber
        )
}

#[cfg(test)]
mod tests;
