//! Regular expressions of the checks: searched in time linear in the text, and compiled only when a text may match.
//!
//! Whoever validates one skill starts a process for it, and compiling all patterns takes ten times as long as the rest of its work.
//! So each pattern says which words a match cannot do without, and a text without them is not searched. The tests prove of every
//! pattern that its words are needed.
//!
//! Classes and word boundaries mean ASCII here. What is looked for is ASCII, and with Unicode's boundaries the fast engines of the
//! `regex` crate give up at the first `é`.

use std::{borrow::Cow, sync::OnceLock};

use memchr::memmem;
use regex::{Captures, Match, Regex};

/// A pattern that stands in the source.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: &'static str,
    needs: &'static [&'static [&'static str]],
    regex: OnceLock<Regex>,
}

impl Pattern {
    /// The pattern `text`. Of each of `needs`, every match has one word in it; in lowercase where the pattern ignores case. A word
    /// may have `\b` at its ends, as in patterns.
    pub(crate) const fn new(text: &'static str, needs: &'static [&'static [&'static str]]) -> Self {
        Self { text, needs, regex: OnceLock::new() }
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex_for(text).is_some_and(|regex| regex.is_match(text))
    }

    pub(crate) fn find<'text>(&self, text: &'text str) -> Option<Match<'text>> {
        self.regex_for(text)?.find(text)
    }

    pub(crate) fn find_iter<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Match<'a>> {
        self.regex_for(text).into_iter().flat_map(|regex| regex.find_iter(text))
    }

    pub(crate) fn captures_iter<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Captures<'a>> {
        self.regex_for(text).into_iter().flat_map(|regex| regex.captures_iter(text))
    }

    /// Whether `text` has the words that a match needs.
    pub(crate) fn may_match(&self, text: &str) -> bool {
        let text = if self.ignores_case() { Cow::Owned(folded(text)) } else { Cow::Borrowed(text) };
        self.needs.iter().all(|words| words.iter().any(|word| has(text.as_bytes(), word)))
    }

    fn ignores_case(&self) -> bool {
        self.text.contains("(?i")
    }

    /// Panics unless every match has the words that are said to be needed.
    #[cfg(test)]
    pub(crate) fn prove(&self) {
        needed::assert_all(&ascii(self.text), self.ignores_case(), self.needs);
    }

    fn regex_for(&self, text: &str) -> Option<&Regex> {
        self.may_match(text).then(|| self.regex.get_or_init(|| self.compile()))
    }

    fn compile(&self) -> Regex {
        #[cfg(test)]
        self.prove();
        Regex::new(&ascii(self.text)).expect("the patterns of the checks are valid")
    }
}

/// `text` in lowercase, as patterns that ignore case see it: Unicode has two letters beside those of ASCII that count as `s` and `k`
/// (CaseFolding.txt), and a word written with them is the same word to a model.
fn folded(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if lower.is_ascii() { lower } else { lower.replace('\u{17f}', "s").replace('\u{212a}', "k") }
}

/// Whether `text` has `word`, as a word of its own to the sides where that has `\b`.
fn has(text: &[u8], word: &str) -> bool {
    let (begins, bare) = word.strip_prefix(r"\b").map_or((false, word), |bare| (true, bare));
    let (ends, bare) = bare.strip_suffix(r"\b").map_or((false, bare), |bare| (true, bare));
    let is_word = |at: usize| text.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    memmem::find_iter(text, bare)
        .any(|at| !(begins && at.checked_sub(1).is_some_and(is_word) || ends && is_word(at + bare.len())))
}

/// `text` with `\b`, `\w`, `\d` and `\s` for ASCII only.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut in_class = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '[' if !in_class => in_class = true,
            ']' => in_class = false,
            '\\' => {
                let escaped = characters.next().unwrap_or('\\');
                let members = match escaped {
                    'w' => "0-9A-Za-z_",
                    'd' => "0-9",
                    's' => r"\t\n\x0b\x0c\r\x20",
                    'b' => {
                        out.push_str(r"(?-u:\b)");
                        continue;
                    }
                    other => {
                        out.extend(['\\', other]);
                        continue;
                    }
                };
                if in_class {
                    out.push_str(members);
                } else {
                    out.extend(["[", members, "]"]);
                }
                continue;
            }
            _ => {}
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod needed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_of_ascii() {
        assert_eq!(ascii(r"\bé[\w.]\d\\b\[\s"), r"(?-u:\b)é[0-9A-Za-z_.][0-9]\\b\[[\t\n\x0b\x0c\r\x20]");
        let matches = |pattern, text| Pattern::new(pattern, &[]).is_match(text);
        assert!(matches(r"^\w+$", "aZ_9") && !matches(r"^\w+$", "é"));
        assert!(matches(r"\bx\b", "éxé"));
    }

    #[test]
    fn letters_that_only_look_like_others_do_not_hide_a_word() {
        let pattern = Pattern::new(r"(?i)\bask\s+him", &[&[r"\bask"]]);
        for text in ["ASK him", "a\u{17f}k him", "as\u{212a} him", "\u{e9} A\u{17f}\u{212a} him"] {
            assert!(pattern.is_match(text), "{text}");
        }
    }

    #[test]
    fn a_text_without_the_words_is_not_searched() {
        let pattern = Pattern::new(r"(?i)\b(?:nc|curl)\b.*\bsh", &[&[r"\bnc\b", "curl"], &[r"\bsh"]]);
        for text in ["", "nc", "sync | sh", "nc | flash", "nca sh"] {
            assert!(!pattern.is_match(text) && pattern.regex.get().is_none(), "{text}");
        }
        assert!(!pattern.is_match("sh | nc") && pattern.regex.get().is_some());
        assert!(pattern.is_match("NC | SH") && pattern.is_match("[curl]sh"));
    }
}
