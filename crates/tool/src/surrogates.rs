//! Halves of characters in JSON, made harmless before it is parsed.
//!
//! Characters beyond the first 65,536 are two escapes in JSON. A model that is cut off, or a program that cuts its text, leaves
//! one of the two; such a document is JSON by its grammar, and no Unicode text has what it says. Refusing it would refuse
//! everything in the document for one broken character, so that character becomes the replacement character.

/// Replaces each `\u` escape that is half of a character by the one of U+FFFD. The length stays, so places in messages of a
/// parser stay right.
pub fn replace_lone_surrogates(json: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        match escape(json, at) {
            // Another escape of two bytes, of which the second may be a backslash.
            None => at += 2,
            Some(0xd800..0xdc00) if matches!(escape(json, at + 6), Some(0xdc00..0xe000)) => at += 12,
            Some(0xd800..0xe000) => {
                json[at + 2..at + 6].copy_from_slice(b"fffd");
                at += 6;
            }
            Some(_) => at += 6,
        }
        if at >= json.len() {
            return;
        }
    }
}

/// The number of the `\u` escape that begins here.
fn escape(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let text = std::str::from_utf8(digits).ok()?;
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn check(json: &str, expected: &str) {
        let mut bytes = json.as_bytes().to_vec();
        replace_lone_surrogates(&mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn halves_are_replaced_and_everything_else_stays() {
        check(r#"["\ud83d"]"#, r#"["\ufffd"]"#);
        check(r#"["\uD83D\uDE00"]"#, r#"["\uD83D\uDE00"]"#);
        check(r#"["\ude00\ud83d"]"#, r#"["\ufffd\ufffd"]"#);
        check(r#"["\ud83d\ud83d\ude00"]"#, r#"["\ufffd\ud83d\ude00"]"#);
        check(r#"["\ud83d\n"]"#, r#"["\ufffd\n"]"#);
        // A backslash that is text, and not the beginning of an escape.
        check(r#"["\\ud83d"]"#, r#"["\\ud83d"]"#);
        check(r#"["\\\ud83d"]"#, r#"["\\\ufffd"]"#);
        check(r#"["\u00e9 \u"]"#, r#"["\u00e9 \u"]"#);
        for cut in ["\\", "\\u", "\\ud83", "a\\ud83d\\", "\\ud83d\\u"] {
            replace_lone_surrogates(&mut cut.as_bytes().to_vec());
        }
    }

    proptest! {
        #[test]
        fn whole_documents_do_not_change(text in any::<String>()) {
            let document = Value::from(text).to_string();
            let mut bytes = document.clone().into_bytes();
            replace_lone_surrogates(&mut bytes);
            prop_assert_eq!(bytes, document.into_bytes());
        }

        #[test]
        fn any_row_of_escapes_can_be_parsed(units in proptest::collection::vec(any::<u16>(), 0..8)) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let mut bytes = format!("\"{escapes}\"").into_bytes();
            replace_lone_surrogates(&mut bytes);
            let parsed: String = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(parsed, String::from_utf16_lossy(&units));
        }
    }
}
