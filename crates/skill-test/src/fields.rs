//! Values of the tree taken as what a test file needs: text, numbers, lists, and maps whose keys are all known.
//!
//! Every function gives `None` where the value is not what it must be, and has added a problem then.

use serde_json::Value as Json;
use skill::Span;

use crate::{
    problem::{At, Problems},
    yaml::{Node, Value},
};

/// A map whose keys are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pairs: &'a [(At<String>, Node)],
    known: &'static [&'static str],
    /// Where the map stands.
    pub(crate) span: Span,
}

impl<'a> Fields<'a> {
    /// Takes a map; each key that is not in `known` is a problem. `what` is the map's name in messages.
    pub(crate) fn of(
        node: &'a Node,
        what: &str,
        known: &'static [&'static str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let Value::Map(pairs) = &node.value else {
            wrong(node, what, &format!("a map with keys such as `{}`", known[0]), problems);
            return None;
        };
        for (key, _) in pairs.iter().filter(|(key, _)| !known.contains(&key.value.as_str())) {
            unknown_key(key, what, known, problems);
        }
        Some(Self { pairs, known, span: node.span })
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Node> {
        debug_assert!(self.known.contains(&key), "{key}");
        self.pairs.iter().find(|(known, _)| known.value == key).map(|(_, node)| node)
    }

    /// Whether the map has no keys at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// A key with its value.
    pub(crate) fn entry(&self, key: &'static str) -> Option<(Span, &'a Node)> {
        self.pairs.iter().find(|(known, _)| known.value == key).map(|(key, node)| (key.span, node))
    }
}

fn unknown_key(key: &At<String>, what: &str, known: &[&str], problems: &mut Problems) {
    // What cannot be had is told with what does the same, and not as a misspelling.
    let instead = match key.value.as_str() {
        "network" => Some(
            "a sandbox does not report what a program tried to reach; check its exit code and what it says: \
             `exit_code: \"!=0\"` and `stderr: { contains: unreachable }`",
        ),
        "setup" | "before" => Some("use `steps`, or `input: { files: … }`"),
        _ => None,
    };
    let help = match (instead, nearest(&key.value, known)) {
        (Some(instead), _) => instead.to_owned(),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => format!("{what} has {}", listed(known)),
    };
    problems.add(key.span, format!("unknown key `{}` in {what}", key.value.escape_debug())).help(help);
}

/// The word that a misspelt one most likely stands for.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    if word.len() > 40 {
        return None;
    }
    let scored = known.iter().map(|known| (strsim::damerau_levenshtein(&word, known), *known));
    let near = |(distance, known): &(usize, &str)| {
        *distance <= known.len().max(3) / 3 || (word.len() >= 3 && known.starts_with(&word))
    };
    scored.filter(near).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Names in backticks with commas between.
pub(crate) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Says that a value is of the wrong kind.
pub(crate) fn wrong(node: &Node, what: &str, form: &str, problems: &mut Problems) {
    problems.add(node.span, format!("{what} must be {form}, but is {}", node.kind()));
}

/// Any scalar but an empty one, as it was written: `version: 1.10` is `1.10`.
pub(crate) fn text(node: &Node, what: &str, problems: &mut Problems) -> Option<String> {
    match &node.value {
        Value::Scalar { text, json } if !json.is_null() => Some(text.clone()),
        _ => {
            wrong(node, what, "text", problems);
            None
        }
    }
}

/// Text that is not empty.
pub(crate) fn name(node: &Node, what: &str, problems: &mut Problems) -> Option<String> {
    let text = text(node, what, problems)?;
    if text.trim().is_empty() {
        problems.add(node.span, format!("{what} must not be empty"));
        return None;
    }
    Some(text)
}

/// `true` or `false`.
pub(crate) fn boolean(node: &Node, what: &str, problems: &mut Problems) -> Option<bool> {
    match &node.value {
        Value::Scalar { json: Json::Bool(value), .. } => Some(*value),
        _ => {
            wrong(node, what, "`true` or `false`", problems);
            None
        }
    }
}

/// The items of a list.
pub(crate) fn list<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            wrong(node, what, "a list", problems);
            None
        }
    }
}

/// One text, or a list of them; with the place of each.
pub(crate) fn texts(node: &Node, what: &str, problems: &mut Problems) -> Vec<At<String>> {
    let one = |node: &Node, problems: &mut Problems| {
        text(node, what, problems).map(|text| At::new(text, node.span))
    };
    match &node.value {
        Value::List(items) => {
            if items.is_empty() {
                problems.add(node.span, format!("{what} must not be an empty list"));
            }
            items.iter().filter_map(|item| one(item, problems)).collect()
        }
        _ => one(node, problems).into_iter().collect(),
    }
}

/// The pairs of a map with free keys.
pub(crate) fn pairs<'a>(
    node: &'a Node,
    what: &str,
    problems: &mut Problems,
) -> Option<&'a [(At<String>, Node)]> {
    match &node.value {
        Value::Map(pairs) => Some(pairs),
        _ => {
            wrong(node, what, "a map", problems);
            None
        }
    }
}
