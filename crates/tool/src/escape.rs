//! Text of others made harmless for whoever looks at it: a terminal, the line of a log, a viewer of JSON.
//!
//! The one place that says which characters those are. Programs, models and authors of skills choose what they print
//! and how they name things, and so could retitle a window, write to the clipboard, turn the order of what is read, end a
//! line where none ends, or hide words from people that a model reads. JSON that we print or send has such characters as
//! `\u` escapes, which every reader takes back to the very same text; a terminal gets them by name.

use std::fmt::Write as _;

/// Whether a character does something to the display rather than be shown there: control characters of both sets, marks
/// and overrides of direction, separators of lines and paragraphs, the byte order mark, and the invisible tags that repeat
/// ASCII.
#[must_use]
pub fn changes_the_display(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A JSON document as it may be printed or sent: the same document, each such character as an escape of JSON.
///
/// In a document that a serializer made they are nowhere but in strings, apart from the white space of one that is
/// indented, which stays.
#[must_use]
pub fn json(document: String) -> String {
    let unsafe_in_json = |character: char| !character.is_ascii_whitespace() && changes_the_display(character);
    // All but one of them are beyond ASCII, and most documents are within it.
    let Some(first) = document.find(unsafe_in_json) else { return document };
    let mut escaped = String::with_capacity(document.len() + 64);
    escaped.push_str(&document[..first]);
    for character in document[first..].chars() {
        if unsafe_in_json(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A text that has one line: the escape of every such character, line feeds and tabs among them.
#[must_use]
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut out, character);
    }
    out
}

/// Appends a character, by name where it changes the display.
pub fn push(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{1b}' => out.push_str("\\e"),
        other if !changes_the_display(other) => out.push(other),
        other => {
            // Writing to a string cannot fail.
            _ = match u32::from(other) {
                code @ 0..0x100 => write!(out, "\\x{code:02x}"),
                code => write!(out, "\\u{{{code:x}}}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn documents_stay_what_they_are_and_cannot_harm() {
        let text =
            "a\u{9b}31m\u{7f}\u{202e}gnp.\u{2028}\u{2029}\u{feff}\u{e0041} grüße 日本 \u{200d}\t\n\u{1b}";
        let value = Value::from(text);
        let written = json(value.to_string());
        assert_eq!(
            written,
            "\"a\\u009b31m\\u007f\\u202egnp.\\u2028\\u2029\\ufeff\\udb40\\udc41 grüße 日本 \u{200d}\\t\\n\\u001b\""
        );
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
        let indented = "{\n  \"a\": 1\n}\n".to_owned();
        assert_eq!(json(indented.clone()), indented);
    }

    #[test]
    fn a_line_names_what_it_does_not_show() {
        assert_eq!(
            line("a\nb\r\t\x1b[2J\u{9b}\u{202e}\u{e0041}ü"),
            "a\\nb\\r\\t\\e[2J\\x9b\\u{202e}\\u{e0041}ü"
        );
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>(), key in any::<String>()) {
            let value = serde_json::json!({key: [text]});
            for written in [json(value.to_string()), json(format!("{value:#}"))] {
                prop_assert!(!written.chars().any(|c| changes_the_display(c) && c != '\n'));
                prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value.clone());
            }
        }
    }
}
