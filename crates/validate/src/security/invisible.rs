//! Characters that people do not see.
//!
//! Each has an honest use: tags make the flags of England, Scotland and Wales, joiners make families of emoji and the letters of
//! Persian and Hindi, direction marks put Hebrew and English into one line. Only what has none of these is found.

use std::{collections::BTreeMap, ops::Range};

use skill::{Diagnostic, Edit, Rule};
use unicode_script::{Script, UnicodeScript as _};

use super::is_program;
use crate::{
    paths::extension,
    subject::{Findings, Subject, Text},
};

/// The most edits that one fix has.
const MAX_EDITS: usize = 500;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let known = matches!(
            extension(&file.path).as_str(),
            "md" | "mdx" | "markdown" | "txt" | "yaml" | "yml" | "toml" | "json" | ""
        );
        if !known && !is_program(&file.path) {
            continue;
        }
        let Some(text) = subject.text(&file.path) else { continue };
        if text.content.is_ascii() {
            continue;
        }
        tags(text, findings);
        directions(text, findings);
        zero_width(text, findings);
    }
}

fn is_tag(character: char) -> bool {
    ('\u{e0000}'..='\u{e007f}').contains(&character)
}

fn tags(text: &Text, findings: &mut Findings) {
    let content = &text.content;
    let mut rest = 0;
    while let Some(at) = content[rest..].find(is_tag) {
        let start = rest + at;
        let length = content[start..].find(|character| !is_tag(character)).unwrap_or(content.len() - start);
        rest = start + length;
        // Flags of regions are a black flag, their code in tags, and the tag that ends it.
        let run = &content[start..rest];
        if content[..start].ends_with('\u{1f3f4}') && run.ends_with('\u{e007f}') && run.chars().count() <= 7 {
            continue;
        }
        let hidden: String = run
            .chars()
            .filter_map(|tag| char::from_u32(u32::from(tag) - 0xe_0000))
            .filter(|character| !character.is_control())
            .take(40)
            .collect();
        let count = run.chars().count();
        let message = match hidden.is_empty() {
            true => format!("{count} invisible tag characters stand here"),
            false => format!("{count} invisible tag characters spell `{}`", hidden.escape_debug()),
        };
        findings.push(
            Diagnostic::new(Rule::UNICODE_TAGS, text.at(start..rest), message)
                .with_help("remove them, and find out who put them there")
                .with_fix([Edit::Replace {
                    file: text.path.clone(),
                    range: start..rest,
                    text: String::new(),
                }]),
        );
    }
}

/// Whether a text is written from right to left in part.
fn has_right_to_left(text: &str) -> bool {
    text.chars().any(|character| {
        !character.is_ascii()
            && matches!(
                character.script(),
                Script::Arabic
                    | Script::Hebrew
                    | Script::Syriac
                    | Script::Thaana
                    | Script::Nko
                    | Script::Adlam
            )
    })
}

fn directions(text: &Text, findings: &mut Findings) {
    for (start, found) in text
        .content
        .match_indices(|character| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    {
        let character = found.chars().next().unwrap_or_default();
        let is_override = matches!(character, '\u{202d}' | '\u{202e}');
        if !is_override && has_right_to_left(text.line_around(start)) {
            continue;
        }
        let message = format!("this is an invisible U+{:04X} ({})", u32::from(character), called(character));
        findings.push(
            Diagnostic::new(Rule::BIDI_CONTROLS, text.at(start..start + found.len()), message)
                .with_help("remove it; text is shown in another order than it is read"),
        );
    }
}

fn called(character: char) -> &'static str {
    match character {
        '\u{ad}' => "soft hyphen",
        '\u{200b}' => "zero-width space",
        '\u{200c}' => "zero-width non-joiner",
        '\u{200d}' => "zero-width joiner",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{202a}' => "left-to-right embedding",
        '\u{202b}' => "right-to-left embedding",
        '\u{202c}' => "end of a direction",
        '\u{202d}' => "left-to-right override",
        '\u{202e}' => "right-to-left override",
        '\u{2060}' => "word joiner",
        '\u{2066}' => "left-to-right isolate",
        '\u{2067}' => "right-to-left isolate",
        '\u{2068}' => "isolate",
        '\u{2069}' => "end of an isolate",
        '\u{feff}' => "zero-width no-break space",
        _ => "invisible operator",
    }
}

fn zero_width(text: &Text, findings: &mut Findings) {
    let mut found: BTreeMap<char, Vec<Range<usize>>> = BTreeMap::new();
    let mut before: Option<char> = None;
    let mut characters = text.content.char_indices().peekable();
    while let Some((start, character)) = characters.next() {
        let after = characters.peek().map(|(_, after)| *after);
        let is_found = match character {
            '\u{feff}' => start > 0,
            '\u{200b}' => !needs_spaces(before) && !needs_spaces(after),
            '\u{200c}' | '\u{200d}' => !(joins(before, after) || is_emoji(before) && is_emoji(after)),
            '\u{200e}' | '\u{200f}' => !has_right_to_left(text.line_around(start)),
            '\u{2060}'..='\u{2064}' => true,
            _ => false,
        };
        if is_found {
            let places = found.entry(character).or_default();
            if places.len() <= MAX_EDITS {
                places.push(start..start + character.len_utf8());
            }
        }
        before = Some(character);
    }
    for (character, places) in found {
        let Some(first) = places.first().cloned() else { continue };
        let times = match places.len() {
            1 => String::new(),
            2 => " (and once more in this file)".to_owned(),
            more if more > MAX_EDITS => " (and very often more in this file)".to_owned(),
            more => format!(" (and {} times more in this file)", more - 1),
        };
        let message =
            format!("this is an invisible U+{:04X} ({}){times}", u32::from(character), called(character));
        let edits = places.into_iter().take(MAX_EDITS).map(|range| Edit::Replace {
            file: text.path.clone(),
            range,
            text: String::new(),
        });
        findings.push(
            Diagnostic::new(Rule::ZERO_WIDTH, text.at(first), message).with_help("remove it").with_fix(edits),
        );
    }
}

/// Whether the letters beside a joiner are of a script that is written with joiners.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    let needs = |character: char| {
        !matches!(
            character.script(),
            Script::Latin
                | Script::Greek
                | Script::Cyrillic
                | Script::Common
                | Script::Han
                | Script::Hiragana
                | Script::Katakana
                | Script::Hangul
                | Script::Armenian
                | Script::Georgian
                | Script::Unknown
        ) && !character.is_ascii()
    };
    // A mark that joins to the letter before it has the script of that letter only in context.
    before.is_some_and(|before| needs(before) && before.script() != Script::Inherited)
        || after.is_some_and(|after| needs(after) && after.script() != Script::Inherited)
}

/// Whether a script marks the ends of words with invisible spaces.
fn needs_spaces(character: Option<char>) -> bool {
    character.is_some_and(|character| {
        matches!(
            character.script(),
            Script::Thai | Script::Lao | Script::Khmer | Script::Myanmar | Script::Tibetan
        )
    })
}

/// Whether a character is a part of an emoji: a picture, its colour, or the sign that it is shown in colours.
fn is_emoji(character: Option<char>) -> bool {
    character.is_some_and(|character| {
        matches!(
            u32::from(character),
            0xfe0f | 0x200d | 0x2190..=0x21ff | 0x2300..=0x23ff | 0x2600..=0x27bf | 0x2b00..=0x2bff | 0x1f000..=0x1faff
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    fn rules(content: &str) -> Vec<String> {
        [Rule::UNICODE_TAGS, Rule::BIDI_CONTROLS, Rule::ZERO_WIDTH]
            .into_iter()
            .flat_map(|rule| found(&[("a.md", content)], rule))
            .collect()
    }

    #[test]
    fn honest_uses_are_good() {
        for content in [
            "👩\u{200d}👩\u{200d}👧 🏳\u{fe0f}\u{200d}🌈 👩🏽\u{200d}💻 ❤\u{fe0f}\u{200d}🔥",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "می\u{200c}خواهم क\u{94d}\u{200d}ष",
            "ภาษา\u{200b}ไทย",
            "שלום\u{200f} (a)",
            "\u{feff}# Title",
            "“quotes” – dashes… and\u{a0}spaces",
        ] {
            assert_eq!(rules(content), [""; 0], "{content:?}");
        }
    }

    #[test]
    fn what_hides_is_found() {
        assert_eq!(
            rules("é\u{e0048}\u{e0069}x"),
            ["a.md:1:2: error[SB306]: 2 invisible tag characters spell `Hi`"]
        );
        assert_eq!(
            rules("a\r\nb\u{202e}c"),
            ["a.md:2:2: error[SB307]: this is an invisible U+202E (right-to-left override)"]
        );
        assert_eq!(
            rules("pa\u{200b}ss wo\u{200b}rd \u{200b}"),
            [
                "a.md:1:3: warning[SB308]: this is an invisible U+200B (zero-width space) (and 2 times more in this file)"
            ]
        );
        assert_eq!(rules("a\u{200d}b").len(), 1);
        assert_eq!(rules("a\u{feff}b").len(), 1);
    }

    #[test]
    fn the_fix_removes_all_of_a_kind() {
        let draft =
            skill::Draft::from_files([("SKILL.md", "a\u{200b}b\u{200b}\u{200b}c\u{2060}")], None).unwrap();
        let found = crate::check(&draft, &crate::Options::default());
        let found = found.iter().filter(|diagnostic| diagnostic.rule == Rule::ZERO_WIDTH);
        let fixed = crate::fix(&draft, found).unwrap();
        assert_eq!(fixed.texts["SKILL.md"].1, "abc");
    }
}
