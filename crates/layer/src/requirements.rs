//! What a skill asks for: the texts of its requirement files, and the requirements in them.
//!
//! [`Requirements`] is what another crate read out of a bundle, unchecked. [`parse`] turns it into the sorted set
//! that the key of a layer is made of. The size of the input is bounded before anything is looked at.

use crate::{
    error::LayerError,
    requirement::{Requirement, shorten},
};

/// Bound on the text of one source; real ones, with hashes, stay below a tenth of this.
const MAX_TEXT: usize = 1024 * 1024;

/// Bound on the number of requirements of one skill.
const MAX_REQUIREMENTS: usize = 1_000;

/// The dependencies that a skill declares, as they stand in its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Where requirements stand, in the order of reading.
    pub sources: Vec<Source>,
    /// `requires-python` of PEP 723 blocks, several joined by commas, as in `>=3.10,<4`.
    pub requires_python: Option<String>,
}

/// One file of a skill with requirements in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path in the skill, for messages: `requirements.txt`, `scripts/generate.py`.
    pub name: String,
    /// The form of `requirements.txt`. The `dependencies` of a PEP 723 block have it too, one on each line.
    pub text: String,
}

/// The set of requirements: sorted, without repetition, all of them safe to hand to a tool.
pub(crate) fn parse(requirements: &Requirements) -> Result<Vec<Requirement>, LayerError> {
    let mut parsed = Vec::new();
    for source in &requirements.sources {
        let refused = |line: usize, text: &str, reason: String| LayerError::Refused {
            source_name: source.name.clone(),
            line,
            text: shorten(text),
            reason,
        };
        if source.text.len() > MAX_TEXT {
            return Err(refused(1, "", format!("the file is larger than {MAX_TEXT} bytes")));
        }
        for (line, text) in logical_lines(&source.text) {
            parsed.push(Requirement::parse(&text).map_err(|reason| refused(line, &text, reason))?);
            if parsed.len() > MAX_REQUIREMENTS {
                return Err(refused(
                    line,
                    &text,
                    format!("there are more than {MAX_REQUIREMENTS} requirements"),
                ));
            }
        }
    }
    parsed.sort();
    parsed.dedup();
    Ok(parsed)
}

/// Lines with continuations joined and comments removed, each with the number of its first physical line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, physical) in text.trim_start_matches('\u{feff}').split('\n').enumerate() {
        let physical = physical.strip_suffix('\r').unwrap_or(physical);
        let (first, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        // A comment ends at the end of its own line, also when that line would be continued.
        let (physical, comment) = match comment_start(physical) {
            Some(start) => (&physical[..start], true),
            None => (physical, false),
        };
        match physical.strip_suffix('\\') {
            Some(start) if !comment => {
                joined.push_str(start);
                open = Some((first, joined));
            }
            _ => {
                joined.push_str(physical);
                lines.push((first, joined));
            }
        }
    }
    lines.extend(open);
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

/// A comment starts at a `#` at the start of a line or after a space.
fn comment_start(line: &str) -> Option<usize> {
    line.char_indices()
        .find(|(at, c)| {
            *c == '#' && line[..*at].chars().next_back().is_none_or(|before| before.is_ascii_whitespace())
        })
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    //! Lines, comments and continuations; the grammar of one line is tested beside it.

    use super::*;

    fn of(text: &str) -> Requirements {
        let source = Source { name: "requirements.txt".to_owned(), text: text.to_owned() };
        Requirements { sources: vec![source], requires_python: None }
    }

    fn lines(text: &str) -> Vec<String> {
        parse(&of(text)).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn comments_blank_lines_and_continuations_are_read() {
        let hash = "0".repeat(64);
        let text = format!(
            "\u{feff}# head\r\n\r\nsix>=1.16 # why\r\n\tnumpy \\\n  >=1, \\\n  <3\n\n\nattrs==24.1 \\\n    --hash=sha256:{hash}\n   # -r evil.txt\n"
        );
        assert_eq!(lines(&text), ["attrs==24.1", "numpy<3,>=1", "six>=1.16"]);
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        assert_eq!(parse(&of("b\na>=1\nB\n")).unwrap(), parse(&of("A >=1\nb")).unwrap());
        assert_eq!(lines(""), Vec::<String>::new());
        assert_eq!(lines("# nothing\n\n \\\n"), Vec::<String>::new());
    }

    #[test]
    fn a_continuation_hides_nothing() {
        let error = parse(&of("six\n\nattrs \\\n--index-url example\n")).unwrap_err();
        let LayerError::Refused { source_name, line, reason, .. } = error else { panic!("{error}") };
        assert_eq!((source_name.as_str(), line), ("requirements.txt", 3));
        assert!(reason.contains("`--index-url` is not allowed"), "{reason}");
        assert!(parse(&of("# comment \\\n-r evil.txt")).is_err(), "a comment swallowed the next line");
        assert!(parse(&of("six #x\n-e .")).is_err());
    }

    #[test]
    fn floods_are_refused() {
        assert!(parse(&of(&"#".repeat(MAX_TEXT + 1))).is_err());
        let many: String = (0..=MAX_REQUIREMENTS).map(|n| format!("p{n}\n")).collect();
        assert!(parse(&of(&many)).is_err());
    }
}
