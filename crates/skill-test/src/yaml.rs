//! YAML to a small tree with places: the only file here that names the YAML crate.
//!
//! It is not the tree of `skill::yaml`, where every scalar is text: in a test `0` and `"0"` are different values, so
//! scalars have the types of YAML 1.2's core schema, and keep what the author wrote beside that. Anchors, aliases and tags are
//! refused: a test is read by people, and without them no document can grow. There is no recursion while reading.

use serde_json::{Map, Number, Value as Json};
use serde_yaml::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span as YamlSpan};
use skill::{Position, Span};

use crate::problem::{At, Problems};

/// The most values that a file may have.
const MAX_NODES: usize = 50_000;
/// The deepest nesting of lists and maps.
const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Anything that is one word or text: as it was written, and what it means.
    Scalar { text: String, json: Json },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text. No key occurs twice.
    Map(Vec<(At<String>, Node)>),
}

impl Node {
    /// The value as JSON.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar { json, .. } => json.clone(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(pairs) => {
                let members = pairs.iter().map(|(key, value)| (key.value.clone(), value.to_json()));
                Json::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { json: Json::Null, .. } => "empty",
            Value::Scalar { json: Json::Bool(_), .. } => "true or false",
            Value::Scalar { json: Json::Number(_), .. } => "a number",
            Value::Scalar { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Parses a file; `None` where it cannot be understood or is empty, and there is a problem then.
pub(crate) fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    options.set_emit_comments(false);
    let mut builder = Builder { open: Vec::new(), nodes: 0, root: None };
    for event in Parser::new_from_str_with_options(text, options) {
        let fed = match event {
            Ok((event, span)) => builder.event(event, span, problems),
            Err(error) => {
                problems.add(Span::at(position(error.marker())), error.info().replace('\n', " "));
                None
            }
        };
        fed?;
    }
    if builder.root.is_none() {
        problems.add(Span::at(Position::START), "the file is empty");
    }
    builder.root
}

#[derive(Debug)]
struct Builder {
    /// Open collections, outermost first.
    open: Vec<Open>,
    nodes: usize,
    root: Option<Node>,
}

#[derive(Debug)]
struct Open {
    start: Position,
    kind: OpenKind,
}

#[derive(Debug)]
enum OpenKind {
    List(Vec<Node>),
    Map { pairs: Vec<(At<String>, Node)>, key: Option<At<String>> },
}

impl Builder {
    /// `None` ends the reading; there is a problem then.
    fn event(&mut self, event: Event<'_>, span: YamlSpan, problems: &mut Problems) -> Option<()> {
        let span = Span { start: position(&span.start), end: position(&span.end) };
        let mut refuse = |what: &str| {
            problems.add(span, format!("{what} cannot be used in a test file")).help("write the value out");
            None
        };
        match event {
            Event::Scalar(_, _, anchor, tag) if anchor != 0 || tag.is_some() => refuse("an anchor or a tag"),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag)
                if anchor != 0 || tag.is_some() =>
            {
                refuse("an anchor or a tag")
            }
            Event::Alias(_) => refuse("an alias"),
            Event::DocumentStart(..) if self.root.is_some() => refuse("a second document"),
            Event::Scalar(text, style, ..) => {
                let json = match style {
                    ScalarStyle::Plain => meaning(&text),
                    _ => Json::from(text.as_ref()),
                };
                let value = Value::Scalar { text: text.into_owned(), json };
                self.place(Node { value, span }, problems)
            }
            Event::SequenceStart(..) => {
                self.open.push(Open { start: span.start, kind: OpenKind::List(Vec::new()) });
                Some(())
            }
            Event::MappingStart(..) => {
                let kind = OpenKind::Map { pairs: Vec::new(), key: None };
                self.open.push(Open { start: span.start, kind });
                Some(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let value = match open.kind {
                    OpenKind::List(items) => Value::List(items),
                    OpenKind::Map { pairs, .. } => Value::Map(pairs),
                };
                self.place(Node { value, span: Span { start: open.start, end: span.end } }, problems)
            }
            _ => Some(()),
        }
    }

    fn place(&mut self, node: Node, problems: &mut Problems) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            problems.add(node.span, format!("the file has more than {MAX_NODES} values"));
            return None;
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map { pairs, key }) => match key.take() {
                Some(name) if pairs.iter().any(|(known, _)| known.value == name.value) => {
                    // The first one counts, so that everything else that is wrong is found, too.
                    problems
                        .add(name.span, format!("`{}` is here twice", name.value))
                        .help("remove one of them");
                }
                Some(name) => pairs.push((name, node)),
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some(At { value: text, span: node.span }),
                    Value::List(_) | Value::Map(_) => {
                        problems.add(node.span, "a key must be text");
                        return None;
                    }
                },
            },
        }
        Some(())
    }
}

fn position(marker: &Marker) -> Position {
    Position {
        offset: marker.byte_offset().unwrap_or_default(),
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// What a plain scalar means in the core schema of YAML 1.2. `.inf` and `.nan`, which JSON does not have, stay text.
fn meaning(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let begins = digits.starts_with(|character: char| character.is_ascii_digit() || character == '.');
    let bare = |text: &str| text.strip_prefix('+').unwrap_or(text).to_owned();
    if begins && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(number) = bare(text).parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = bare(text).parse::<u64>() {
            return number.into();
        }
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(number) = text.strip_prefix(prefix).and_then(|rest| i64::from_str_radix(rest, radix).ok())
        {
            return number.into();
        }
    }
    let is_float =
        |character: char| character.is_ascii_digit() || matches!(character, '.' | 'e' | 'E' | '-' | '+');
    if begins && digits.chars().all(is_float) {
        let number = bare(text).parse::<f64>().ok().and_then(Number::from_f64);
        if let Some(number) = number {
            return number.into();
        }
    }
    Json::from(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Json, Vec<String>> {
        let mut problems = Problems::new("t.yaml");
        let node = parse(text, &mut problems);
        let found = problems.into_list();
        if found.is_empty() {
            Ok(node.unwrap().to_json())
        } else {
            Err(found.iter().map(ToString::to_string).collect())
        }
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        let text = "a: 0\nb: '0'\nc: 1.10\nd: no\ne: true\nf: ~\ng: -12\nh: 0x1f\ni: 1e3\nj: 1.2.3\nk: .inf\nl: \"x\\n\"\n";
        let expected = json!({"a": 0, "b": "0", "c": 1.1, "d": "no", "e": true, "f": null, "g": -12, "h": 31,
            "i": 1000.0, "j": "1.2.3", "k": ".inf", "l": "x\n"});
        assert_eq!(read(text), Ok(expected));
        assert_eq!(
            read("- 10.0.0.1\n- 2024-01-01\n- -x\n- 18446744073709551615\n- .\n- -\n"),
            Ok(json!(["10.0.0.1", "2024-01-01", "-x", u64::MAX, ".", [null]]))
        );
    }

    #[test]
    fn what_is_written_is_kept_beside_what_it_means() {
        let mut problems = Problems::new("t.yaml");
        let node = parse("x: 1.10\n", &mut problems).unwrap();
        let Value::Map(pairs) = node.value else { panic!("no map") };
        assert!(matches!(&pairs[0].1.value, Value::Scalar { text, .. } if text == "1.10"));
        assert_eq!((pairs[0].1.span.start.line, pairs[0].1.span.start.column), (1, 4));
    }

    #[test]
    fn mistakes_have_a_place() {
        let check = |text: &str, expected: &str| assert_eq!(read(text).unwrap_err(), [expected], "{text:?}");
        check("a: 1\nb: 2\na: 3\n", "t.yaml:3:1: `a` is here twice");
        check("a: &x 1\n", "t.yaml:1:7: an anchor or a tag cannot be used in a test file");
        check("a: !!str 1\n", "t.yaml:1:10: an anchor or a tag cannot be used in a test file");
        check("", "t.yaml:1:1: the file is empty");
        check("# only a comment\n", "t.yaml:1:1: the file is empty");
        check("[a]: 1\n", "t.yaml:1:1: a key must be text");
        check("a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document cannot be used in a test file");
        assert!(read("a: b: c\n").unwrap_err()[0].starts_with("t.yaml:1:"));
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&format!("[{}]", "1,".repeat(60_000))).unwrap_err()[0].contains("more than 50000"));
    }
}
