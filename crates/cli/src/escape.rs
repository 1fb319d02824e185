//! Text from a sandbox made harmless for a terminal.
//!
//! A program's output can carry sequences that retitle a window, write to the clipboard, hide or turn text around, or
//! answer on the keyboard's behalf. Where a stream is a terminal, such characters are shown as escapes and not sent.
//! Line feeds and tabs stay, and a carriage return that is part of a line's end. Which characters those are says
//! [`tool::escape`].

use tool::escape::push;
pub(crate) use tool::escape::{json, line};

/// Escapes a stream that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Escaper {
    /// A carriage return was the last character; what it is depends on the next.
    carriage_return: bool,
}

impl Escaper {
    /// The next piece, escaped.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            if std::mem::take(&mut self.carriage_return) {
                out.push_str(if character == '\n' { "\r" } else { "\\r" });
            }
            match character {
                '\n' | '\t' => out.push(character),
                '\r' => self.carriage_return = true,
                other => push(&mut out, other),
            }
        }
        out
    }

    /// What is left at the end of the stream.
    pub(crate) fn finish(&mut self) -> &'static str {
        if std::mem::take(&mut self.carriage_return) { "\\r" } else { "" }
    }
}

/// A text that may have several lines.
pub(crate) fn text(text: &str) -> String {
    let mut escaper = Escaper::default();
    let mut out = escaper.push(text);
    out.push_str(escaper.finish());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expected: &str) {
        let mut escaper = Escaper::default();
        let mut out: String = pieces.iter().map(|piece| escaper.push(piece)).collect();
        out.push_str(escaper.finish());
        assert_eq!(out, expected, "{pieces:?}");
    }

    #[test]
    fn ordinary_text_stays() {
        check(&["a\tb\r\nc\n", "grüße 日本 🎉"], "a\tb\r\nc\ngrüße 日本 🎉");
    }

    #[test]
    fn sequences_for_the_terminal_are_shown_and_not_sent() {
        check(&["\x1b]0;title\x07"], "\\e]0;title\\x07");
        check(&["\x1b]52;c;aGk=\x1b\\"], "\\e]52;c;aGk=\\e\\");
        check(&["\u{9b}31m"], "\\x9b31m");
        check(&["a\x08b\0c\x7f"], "a\\x08b\\x00c\\x7f");
        check(&["exe.\u{202e}gnp"], "exe.\\u{202e}gnp");
    }

    #[test]
    fn a_carriage_return_alone_cannot_overwrite_a_line() {
        check(&["password ok\rharmless"], "password ok\\rharmless");
        check(&["a\r", "\nb"], "a\r\nb");
        check(&["a\r", "b"], "a\\rb");
        check(&["a\r\r\n"], "a\\r\r\n");
        check(&["a\r"], "a\\r");
    }

    #[test]
    fn names_have_one_line() {
        assert_eq!(line("a\nb\r\x1b[2J.png"), "a\\nb\\r\\e[2J.png");
        assert_eq!(text("a\nb\x1b[2J"), "a\nb\\e[2J");
    }
}
