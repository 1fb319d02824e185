//! Two texts compared line by line.

use std::time::Duration;

use similar::{Algorithm, ChangeTag, TextDiff};

/// Larger files are compared by their digests only.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;
/// After this time a longer way from one text to the other will do.
const TIME: Duration = Duration::from_secs(2);
/// Equal lines around a difference.
const CONTEXT: usize = 3;

/// What the comparison of two contents gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Nobody looked.
    Unseen,
    /// One of them is no text.
    Binary,
    /// One of them is too large.
    TooLarge,
    /// They are texts.
    Lines(Lines),
}

/// The differences between two texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) hunks: Vec<Hunk>,
}

/// Differences that are near each other, with the lines around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    /// `@@ -1,4 +1,5 @@`.
    pub(super) header: String,
    pub(super) lines: Vec<Line>,
}

/// A line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `-`, `+` or a space.
    pub(super) mark: char,
    pub(super) text: String,
    /// Whether it ends with a line feed.
    pub(super) ends: bool,
}

impl Hunk {
    /// The text of the hunk as it is.
    pub(super) fn raw(&self) -> String {
        let mut out = format!("{}\n", self.header);
        for line in &self.lines {
            out.push(line.mark);
            out.push_str(&line.text);
            out.push_str(if line.ends { "\n" } else { "\n\\ No newline at end of file\n" });
        }
        out
    }
}

/// Compares two contents; `None` is one that is too large.
pub(super) fn compare(before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Text {
    let (Some(before), Some(after)) = (before, after) else { return Text::TooLarge };
    let (Some(before), Some(after)) = (text(before), text(after)) else { return Text::Binary };
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).timeout(TIME).diff_lines(&before, &after);
    let count = |wanted| diff.iter_all_changes().filter(|change| change.tag() == wanted).count();
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    let mut unified = diff.unified_diff();
    let hunks = unified
        .context_radius(CONTEXT)
        .iter_hunks()
        .map(|hunk| Hunk {
            header: hunk.header().to_string(),
            lines: hunk
                .iter_changes()
                .map(|change| {
                    let value = change.value();
                    let text = value.strip_suffix('\n').unwrap_or(value);
                    Line {
                        mark: match change.tag() {
                            ChangeTag::Delete => '-',
                            ChangeTag::Insert => '+',
                            ChangeTag::Equal => ' ',
                        },
                        text: text.to_owned(),
                        ends: text.len() < value.len(),
                    }
                })
                .collect(),
        })
        .collect();
    Text::Lines(Lines { added, removed, hunks })
}

/// The content as text, if it is one.
fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(before: &str, after: &str) -> Lines {
        match compare(Some(before.into()), Some(after.into())) {
            Text::Lines(lines) => lines,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn differences_come_with_what_is_around_them() {
        let found = lines("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n");
        assert_eq!((found.added, found.removed), (1, 1));
        assert_eq!(
            found.hunks.iter().map(Hunk::raw).collect::<String>(),
            "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        );
    }

    #[test]
    fn a_missing_line_feed_is_a_difference() {
        let found = lines("a\n", "a");
        assert_eq!(found.hunks[0].raw(), "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
        assert_eq!(lines("a\r\n", "a\n").added, 1);
    }

    #[test]
    fn what_is_no_text_is_not_shown() {
        assert_eq!(compare(Some(vec![0xff]), Some(vec![])), Text::Binary);
        assert_eq!(compare(Some(b"a\0b".to_vec()), Some(vec![])), Text::Binary);
        assert_eq!(compare(None, Some(vec![])), Text::TooLarge);
    }

    #[test]
    fn a_hard_pair_of_texts_ends_in_time() {
        let text = |step: usize| (0..60_000).map(|n| format!("{}\n", n * step % 7919)).collect::<String>();
        let (before, after) = (text(3), text(5));
        let start = std::time::Instant::now();
        assert!(lines(&before, &after).added > 0);
        assert!(start.elapsed() < TIME * 10);
    }
}
