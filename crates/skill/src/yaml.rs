//! YAML to a small tree with spans: the only file that names the YAML crate.
//!
//! It reads events, not serde types, because the checks need what serde drops: where a value stands, whether a key
//! occurs twice, whether anchors were used; and because every scalar must stay the text the author wrote
//! (`version: 1.10` is not 1.1). Nesting, node count and alias expansion are bounded while reading; there is no
//! recursion, so depth cannot exhaust the stack.

use std::collections::HashMap;

use serde_yaml::granit_parser::{
    Event, Marker, Options, Parser, ScalarStyle, Span as YamlSpan, StructureStyle,
};

use crate::diagnostic::{Position, Span};

/// The most values (scalars, lists, maps and keys, aliases expanded) a document may have.
const MAX_NODES: usize = 1_000;
/// The deepest nesting of lists and maps.
const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands in `SKILL.md`.
    pub span: Span,
}

/// A YAML value; every scalar is the text that the author wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Any other scalar.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text; a key may occur twice.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// The text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// A parsed document.
#[derive(Debug)]
#[non_exhaustive]
pub struct Document {
    /// The value; `None` when there is nothing but comments.
    pub root: Option<Node>,
    /// Where anchors, aliases and tags stand.
    pub references: Vec<Span>,
    /// Where lists and maps in flow style begin and end, the outermost of each.
    pub flow: Vec<Span>,
}

/// Why a text is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// The text is not YAML.
    #[error("invalid YAML: {message}")]
    Syntax {
        /// What the parser says.
        message: String,
        /// Where.
        position: Position,
    },
    /// The text asks for more than is allowed.
    #[error("YAML beyond the limits: {message}")]
    Budget {
        /// Which limit.
        message: String,
        /// Where.
        position: Position,
    },
}

/// Parses one YAML document, whose first line is line `base.line` of the file and starts at byte `base.offset`. At most 1,000
/// values and 32 levels are read.
pub fn parse(text: &str, base: Position) -> Result<Document, YamlError> {
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    options.set_emit_comments(false);
    let mut builder = Builder { base, ..Builder::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let position = builder.position(error.marker());
            let message = error.info().replace('\n', " ");
            if message.contains("nest") || message.contains("recursion") {
                YamlError::Budget { message, position }
            } else {
                YamlError::Syntax { message, position }
            }
        })?;
        builder.event(event, span)?;
    }
    Ok(Document { root: builder.root, references: builder.references, flow: builder.flow })
}

#[derive(Debug)]
struct Builder {
    base: Position,
    /// Open collections, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    references: Vec<Span>,
    flow: Vec<Span>,
    nodes: usize,
    root: Option<Node>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            base: Position::START,
            open: Vec::new(),
            anchors: HashMap::new(),
            references: Vec::new(),
            flow: Vec::new(),
            nodes: 0,
            root: None,
        }
    }
}

#[derive(Debug)]
struct Open {
    start: Position,
    anchor: usize,
    flow: bool,
    kind: OpenKind,
}

#[derive(Debug)]
enum OpenKind {
    List(Vec<Node>),
    Map { pairs: Vec<(Node, Node)>, key: Option<Node> },
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: YamlSpan) -> Result<(), YamlError> {
        let span = Span { start: self.position(&span.start), end: self.position(&span.end) };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.reference(anchor != 0 || tag.is_some(), span);
                let null = style == ScalarStyle::Plain
                    && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                self.add(Node { value, span }, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.reference(anchor != 0 || tag.is_some(), span);
                self.open(span, anchor, style, OpenKind::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, tag) => {
                self.reference(anchor != 0 || tag.is_some(), span);
                self.open(span, anchor, style, OpenKind::Map { pairs: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            Event::Alias(anchor) => {
                self.reference(true, span);
                // An alias costs as much as what it stands for: ten lines of aliases to aliases would
                // otherwise become billions of values.
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(YamlError::Syntax {
                        message: "an alias refers to a value that contains it".to_owned(),
                        position: span.start,
                    });
                };
                self.spend(count(&node) - 1, span.start)?;
                self.add(Node { value: node.value, span }, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => Err(YamlError::Syntax {
                message: "a second document starts here".to_owned(),
                position: span.start,
            }),
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        span: Span,
        anchor: usize,
        style: StructureStyle,
        kind: OpenKind,
    ) -> Result<(), YamlError> {
        self.spend(1, span.start)?;
        self.open.push(Open { start: span.start, anchor, flow: style == StructureStyle::Flow, kind });
        Ok(())
    }

    fn close(&mut self, end: Position) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { pairs, .. } => Value::Map(pairs),
        };
        if open.flow && !self.open.iter().any(|outer| outer.flow) {
            self.flow.push(Span { start: open.start, end });
        }
        // Its place in the budget was paid when it was opened.
        self.place(Node { value, span: Span { start: open.start, end } }, open.anchor);
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.spend(1, node.span.start)?;
        self.place(node, anchor);
        Ok(())
    }

    fn place(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map { pairs, key }) => match key.take() {
                None => *key = Some(node),
                Some(name) => pairs.push((name, node)),
            },
        }
    }

    fn spend(&mut self, nodes: usize, position: Position) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(YamlError::Budget { message: format!("more than {MAX_NODES} values"), position });
        }
        Ok(())
    }

    fn reference(&mut self, used: bool, span: Span) {
        if used {
            self.references.push(span);
        }
    }

    fn position(&self, marker: &Marker) -> Position {
        Position {
            offset: self.base.offset + marker.byte_offset().unwrap_or_default(),
            line: self.base.line + marker.line().saturating_sub(1),
            column: marker.col() + 1,
        }
    }
}

/// How many values `node` holds, itself included. The depth is bounded, so recursion is too.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Text(_) => 0,
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| count(key) + count(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_here(text: &str) -> Result<Document, YamlError> {
        parse(text, Position { offset: 4, line: 2, column: 1 })
    }

    #[test]
    fn scalars_stay_what_the_author_wrote_and_know_their_place() {
        let document = parse_here("version: 1.10\nname: 'é x'\nempty:\n").unwrap();
        let Some(Node { value: Value::Map(pairs), .. }) = document.root else { panic!("not a map") };
        assert_eq!(pairs[0].1.value, Value::Text("1.10".to_owned()));
        assert_eq!(pairs[1].0.span.start, Position { offset: 18, line: 3, column: 1 });
        assert_eq!(pairs[1].1.span.start, Position { offset: 24, line: 3, column: 7 });
        assert_eq!(pairs[2].1.value, Value::Null);
        assert!(document.references.is_empty());
    }

    #[test]
    fn flow_style_is_found_at_its_outermost() {
        let text = "a: {b: [c], d: {}}\ne: []\nf:\n  - [g]\n";
        let document = parse(text, Position::START).unwrap();
        let found: Vec<&str> =
            document.flow.iter().map(|span| &text[span.start.offset..span.end.offset]).collect();
        assert_eq!(found, ["{b: [c], d: {}}", "[]", "[g]"]);
    }

    #[test]
    fn an_alias_bomb_is_refused_by_the_budget() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let alias = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        assert!(matches!(parse_here(&text), Err(YamlError::Budget { .. })));
    }

    #[test]
    fn deep_nesting_is_refused_by_the_budget() {
        for text in ["[".repeat(100_000), "- ".repeat(100_000)] {
            assert!(matches!(parse_here(&text), Err(YamlError::Budget { .. })), "{:?}", parse_here(&text));
        }
    }

    #[test]
    fn an_alias_into_itself_is_refused() {
        assert!(matches!(parse_here("a: &a [*a]\n"), Err(YamlError::Syntax { .. })));
    }

    #[test]
    fn a_syntax_error_has_line_and_column() {
        let Err(YamlError::Syntax { position, .. }) = parse_here("name: x\ndescription: a: b\n") else {
            panic!("accepted")
        };
        assert_eq!(position.line, 3);
    }
}
