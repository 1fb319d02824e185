//! Names of output files, made safe to show: any bytes in, printable UTF-8 out.
//!
//! A file name can hold line breaks, terminal sequences, or characters that turn the text around (`gnp.exe` shown as
//! `exe.png`). Such characters are shown as escapes. The display name is for people and JSON; it never becomes a path.

use std::fmt::Write as _;

/// Longest display name, in characters; more is cut in the middle, since an extension matters.
const LONGEST: usize = 512;

/// The name as it may be shown: invalid bytes as `\xff`, control, bidirectional and invisible characters as `\u{202e}`, a
/// backslash doubled, so that two names never look the same. Letters are not normalized, and joiners stay where a script or
/// an emoji is written with them.
#[must_use]
pub fn display_name(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        let (mut before, mut rest) = (None, chunk.valid().chars());
        while let Some(character) = rest.next() {
            let joins = joins(before, character, rest.clone().next());
            before = Some(character);
            match character {
                joiner if joins => out.push(joiner),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                hidden if is_hidden(hidden) => {
                    write!(out, "\\u{{{:x}}}", u32::from(hidden)).expect("writing to a String cannot fail");
                }
                shown => out.push(shown),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    shorten(out)
}

/// The last component of a display name, as a name for a download: no separators of any system, no quotes.
#[must_use]
pub fn file_name(display_name: &str) -> String {
    let last = display_name.rsplit('/').next().unwrap_or_default();
    let (mut before, mut rest, mut clean) = (None, last.chars(), String::with_capacity(last.len()));
    while let Some(character) = rest.next() {
        let joins = joins(before, character, rest.clone().next());
        before = Some(character);
        clean.push(match character {
            '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            hidden if is_hidden(hidden) && !joins => '_',
            shown => shown,
        });
    }
    // A leading dot would hide the file, a name of dots only would be a directory.
    let clean = clean.trim_start_matches('.').trim();
    if clean.is_empty() { "file".to_owned() } else { shorten_to(clean.to_owned(), 120) }
}

/// Whether this is a joiner or non-joiner between two characters that are written with one: Persian words, Sinhala and other
/// Indic letters, families of emoji. Between others it would only make two names look the same.
fn joins(before: Option<char>, character: char, after: Option<char>) -> bool {
    let is_joined = |side: Option<char>| {
        side.is_some_and(|side| {
            matches!(
                side,
                '\u{600}'..='\u{8ff}'         // Arabic, Syriac, N'Ko and their like
                | '\u{900}'..='\u{dff}'       // Indic scripts, Sinhala
                | '\u{1000}'..='\u{109f}'     // Myanmar
                | '\u{1780}'..='\u{17ff}'     // Khmer
                | '\u{1820}'..='\u{18aa}'     // Mongolian
                | '\u{2190}'..='\u{2bff}'     // arrows, signs, older emoji
                | '\u{fe0f}'                  // the emoji form of the character before
                | '\u{fb50}'..='\u{fdff}'
                | '\u{fe70}'..='\u{fefc}'
                | '\u{1f000}'..='\u{1faff}'   // emoji
            ) && !is_hidden(side)
        })
    };
    matches!(character, '\u{200c}' | '\u{200d}') && is_joined(before) && is_joined(after)
}

/// Characters that show nothing, or change how others are shown.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'                        // soft hyphen
            | '\u{61c}'                     // Arabic letter mark
            | '\u{115f}'..='\u{1160}'       // Hangul fillers
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'       // zero width, marks of direction
            | '\u{2028}'..='\u{202e}'       // line and paragraph separator, embeddings and overrides
            | '\u{2060}'..='\u{206f}'       // word joiner, isolates
            | '\u{3164}' | '\u{ffa0}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'     // tags
        )
}

fn shorten(text: String) -> String {
    shorten_to(text, LONGEST)
}

fn shorten_to(text: String, longest: usize) -> String {
    let count = text.chars().count();
    if count <= longest {
        return text;
    }
    let tail = longest / 4;
    let head: String = text.chars().take(longest - tail - 1).collect();
    let tail: String = text.chars().skip(count - tail).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in
            ["qr.png", ".hidden", "charts/größe 1.png", "图表.png", "e\u{301}.txt", "a'b\"c.txt", "🎉.png"]
        {
            assert_eq!(display_name(name.as_bytes()), name);
        }
    }

    #[test]
    fn names_that_are_written_with_joiners_stay() {
        for name in [
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}.txt",
            "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}.png",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}.png",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}.png",
        ] {
            assert_eq!((display_name(name.as_bytes()).as_str(), file_name(name).as_str()), (name, name));
        }
    }

    #[test]
    fn tricks_become_visible() {
        let cases: [(&[u8], &str); 10] = [
            ("a\u{200d}b".as_bytes(), r"a\u{200d}b"),
            ("\u{645}\u{200c}".as_bytes(), "\u{645}\\u{200c}"),
            ("\u{645}\u{200c}\u{200c}\u{645}".as_bytes(), "\u{645}\\u{200c}\\u{200c}\u{645}"),
            (b"a\nb\x1b[31m.txt", r"a\nb\u{1b}[31m.txt"),
            ("photo\u{202e}gnp.exe".as_bytes(), r"photo\u{202e}gnp.exe"),
            ("a\u{200b}b".as_bytes(), r"a\u{200b}b"),
            ("a\u{e0041}".as_bytes(), r"a\u{e0041}"),
            (b"\xff\xfe.bin", r"\xff\xfe.bin"),
            (b"\\xff", r"\\xff"),
            (b"a\xc3", r"a\xc3"),
        ];
        for (name, shown) in cases {
            assert_eq!(display_name(name), shown);
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = display_name(format!("{}.png", "x".repeat(4000)).as_bytes());
        assert_eq!(name.chars().count(), LONGEST);
        assert!(name.ends_with(".png") && name.contains('…'));
    }

    #[test]
    fn download_names_have_no_separators() {
        for (name, expected) in [
            ("charts/a.png", "a.png"),
            ("a\\..\\b.exe", "a_.._b.exe"),
            ("../..", "file"),
            (".bashrc", "bashrc"),
            ("", "file"),
            ("C:\"x\".txt", "C__x_.txt"),
        ] {
            assert_eq!(file_name(name), expected, "{name}");
        }
    }

    #[test]
    fn any_bytes_give_a_printable_name_and_different_bytes_different_ones() {
        let bytes =
            || prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'f')], 0..24);
        proptest!(|(a in bytes(), b in bytes())| {
            let (shown_a, shown_b) = (display_name(&a), display_name(&b));
            let is_trick = |shown| is_hidden(shown) && !matches!(shown, '\u{200c}' | '\u{200d}');
            prop_assert!(!shown_a.chars().any(is_trick));
            prop_assert_eq!(a == b, shown_a == shown_b);
            let download = file_name(&shown_a);
            prop_assert!(!download.contains(['/', '\\', '"']) && !download.is_empty());
        });
    }
}
