//! Addresses and commands that are not what they look like.

use std::ops::Range;

use skill::{Diagnostic, Rule};
use unicode_script::{Script, UnicodeScript as _};

use super::code;
use crate::subject::{Findings, Subject};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let path = file.path.as_str();
        let Some(text) = subject.text(path) else { continue };
        if text.content.is_ascii() {
            continue;
        }
        for range in hosts(&text.content) {
            let host = &text.content[range.clone()];
            if host.split('.').any(is_mixed) {
                let message = format!("the host is written {}", spelled(host));
                findings.push(
                    Diagnostic::new(Rule::LOOKALIKE_LETTERS, text.at(range), message)
                        .with_help("write it in letters of one alphabet"),
                );
            }
        }
        let Some((_, ranges)) = code(subject, path) else { continue };
        for range in ranges {
            let part = &text.content[range.clone()];
            if part.is_ascii() {
                continue;
            }
            for (start, word) in words(part).filter(|(_, word)| is_mixed(word)) {
                let at = range.start + start..range.start + start + word.len();
                let message = format!("this word is written {}", spelled(word));
                findings.push(
                    Diagnostic::new(Rule::LOOKALIKE_LETTERS, text.at(at), message)
                        .with_help("write it in letters of one alphabet"),
                );
            }
        }
    }
}

/// The hosts of the addresses in a text.
fn hosts(content: &str) -> impl Iterator<Item = Range<usize>> {
    content.match_indices("://").filter_map(|(at, mark)| {
        let scheme = content[..at].rsplit(|character: char| !character.is_ascii_alphanumeric()).next()?;
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let ends = |character: char| character.is_whitespace() || "/?#\"'<>`()[]{}".contains(character);
        let start = at + mark.len();
        let rest = &content[start..];
        let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let start = start + authority.rfind('@').map_or(0, |at| at + 1);
        let host = authority.rsplit('@').next()?.split(':').next()?;
        Some(start..start + host.len())
    })
}

/// The words of a text, with where they begin.
fn words(content: &str) -> impl Iterator<Item = (usize, &str)> {
    let separates = |character: char| !character.is_alphanumeric() && !"_-".contains(character);
    let mut end = 0;
    content.split_inclusive(separates).filter_map(move |piece| {
        let start = end;
        end += piece.len();
        let word = piece.strip_suffix(separates).unwrap_or(piece);
        (!word.is_empty()).then_some((start, word))
    })
}

/// Whether one part of a word has Latin letters, and others that all look like Latin ones. A part with a letter that is plainly
/// of another alphabet is a word of that alphabet, as in `API-ключ` or `JSONом`.
fn is_mixed(word: &str) -> bool {
    !word.is_ascii()
        && word.split(['-', '_']).any(|part| {
            let mut foreign = part
                .chars()
                .filter(|character| character.is_alphabetic() && character.script() != Script::Latin);
            let first = foreign.next();
            part.chars().any(|character| character.script() == Script::Latin)
                && first.is_some_and(looks_latin)
                && foreign.all(looks_latin)
        })
}

/// Letters of other alphabets that nobody can tell from Latin ones. Greek stands beside Latin in formulas; only those of its letters
/// are here that are no symbols of their own.
fn looks_latin(character: char) -> bool {
    "асеіјорѕухһԁԛԝѵӏАВЕЅІЈКМНОРСТУХԌοιΑΒΕΖΗΙΚΜΝΟΡΤΥΧաօսոҽ".contains(character)
}

/// A word with what is not Latin in it spelled out.
fn spelled(word: &str) -> String {
    let mut text = String::from("`");
    for character in word.chars().take(60) {
        if character.is_ascii() {
            text.push(character);
        } else {
            text.push_str(&format!("[U+{:04X}]", u32::from(character)));
        }
    }
    text.push('`');
    text
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    #[test]
    fn mixed_words_are_found() {
        assert_eq!(
            found(&[("a.md", "é https://g\u{456}thub.com/a")], Rule::LOOKALIKE_LETTERS),
            ["a.md:1:11: warning[SB311]: the host is written `g[U+0456]thub.com`"]
        );
        assert_eq!(
            found(&[("a.sh", "s\u{435}d x")], Rule::LOOKALIKE_LETTERS),
            ["a.sh:1:1: warning[SB311]: this word is written `s[U+0435]d`"]
        );
    }

    #[test]
    fn words_of_one_alphabet_are_good() {
        for content in
            ["https://пример.рф/a https://münchen.de", "`привет` `μm` `Δx` `λ_max`", "s\u{435}d in prose"]
        {
            assert_eq!(found(&[("a.md", content)], Rule::LOOKALIKE_LETTERS), [""; 0], "{content}");
        }
    }
}
