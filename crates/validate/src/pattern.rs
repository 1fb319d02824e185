//! Regular expressions of the checks: each compiled once, searched in time linear in the text.
//!
//! Classes and word boundaries mean ASCII here. What is looked for is ASCII, and with Unicode's boundaries the fast engines of the
//! `regex` crate give up at the first `é`.

use regex::{Regex, RegexSet};

/// A pattern that stands in the source. The tests compile every one, as each belongs to a rule with a fixture.
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(&ascii(text)).expect("the patterns of the checks are valid")
}

/// Several of them, to learn which ones a text has at all.
pub(crate) fn patterns<'text>(texts: impl IntoIterator<Item = &'text str>) -> RegexSet {
    RegexSet::new(texts.into_iter().map(ascii)).expect("the patterns of the checks are valid")
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
mod tests {
    use super::*;

    #[test]
    fn classes_are_of_ascii() {
        assert_eq!(ascii(r"\bé[\w.]\d\\b\[\s"), r"(?-u:\b)é[0-9A-Za-z_.][0-9]\\b\[[\t\n\x0b\x0c\r\x20]");
        assert!(pattern(r"^\w+$").is_match("aZ_9") && !pattern(r"^\w+$").is_match("é"));
        assert!(pattern(r"\bx\b").is_match("éxé"));
        assert_eq!(patterns(["a", r"\d"]).matches("b7").into_iter().collect::<Vec<_>>(), [1]);
    }
}
