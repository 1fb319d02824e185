//! Addresses and commands that are not what they look like.

use std::sync::LazyLock;

use regex::Regex;
use skill::{Diagnostic, Rule};
use unicode_script::{Script, UnicodeScript as _};

use super::code;
use crate::{
    pattern::pattern,
    subject::{Findings, Subject},
};

static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)\bhttps?://(?:[^\s/@"'<>`]*@)?([^\s/:?#"'<>`()\[\]{}]+)"#));
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[\p{L}_][\p{L}\p{N}_-]*"));

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let path = file.path.as_str();
        let Some(text) = subject.text(path) else { continue };
        if text.content.is_ascii() {
            continue;
        }
        for found in ADDRESS.captures_iter(&text.content) {
            let Some(host) = found.get(1).filter(|host| !host.as_str().is_ascii()) else { continue };
            if host.as_str().split('.').any(is_mixed) {
                let message = format!("the host is written {}", spelled(host.as_str()));
                findings.push(
                    Diagnostic::new(Rule::LOOKALIKE_LETTERS, text.at(host.range()), message)
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
            for word in WORD.find_iter(part).filter(|word| is_mixed(word.as_str())) {
                let at = range.start + word.start()..range.start + word.end();
                let message = format!("this word is written {}", spelled(word.as_str()));
                findings.push(
                    Diagnostic::new(Rule::LOOKALIKE_LETTERS, text.at(at), message)
                        .with_help("write it in letters of one alphabet"),
                );
            }
        }
    }
}

/// Whether a word has Latin letters, and others that look like Latin ones.
fn is_mixed(word: &str) -> bool {
    !word.is_ascii()
        && word.chars().any(|character| character.script() == Script::Latin)
        && word.chars().any(looks_latin)
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
