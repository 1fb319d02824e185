//! The proof that a pattern cannot match without its words.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// A boundary between a word and what is none, in the strings that are compared.
const BOUNDARY: char = '\u{7}';
/// How many strings are followed through an expression.
const MAX_STRINGS: usize = 512;

/// Panics unless every match of `pattern` has one word of each of `needs`.
pub(super) fn assert_all(pattern: &str, ignores_case: bool, needs: &[&[&str]]) {
    let hir = regex_syntax::parse(pattern).expect("the patterns of the checks are valid");
    let proof = Proof { ignores_case };
    for words in needs {
        assert!(proof.is_needed(&hir, words), "{pattern} can match without any of {words:?}");
    }
}

struct Proof {
    ignores_case: bool,
}

impl Proof {
    /// A letter as it is in the text in which words are looked for.
    fn folded(&self, character: char) -> char {
        match character {
            _ if !self.ignores_case => character,
            '\u{212a}' => 'k',
            '\u{17f}' => 's',
            character => character.to_ascii_lowercase(),
        }
    }

    fn is_needed(&self, hir: &Hir, words: &[&str]) -> bool {
        if self.strings(hir).is_some_and(|strings| all_have(&strings, words)) {
            return true;
        }
        match hir.kind() {
            HirKind::Capture(capture) => self.is_needed(&capture.sub, words),
            HirKind::Repetition(repetition) => repetition.min > 0 && self.is_needed(&repetition.sub, words),
            HirKind::Alternation(branches) => branches.iter().all(|branch| self.is_needed(branch, words)),
            HirKind::Concat(parts) => {
                parts.iter().any(|part| self.is_needed(part, words)) || self.runs(parts, words)
            }
            _ => false,
        }
    }

    /// Whether some neighbours in a sequence together always have one of `words`.
    fn runs(&self, parts: &[Hir], words: &[&str]) -> bool {
        (0..parts.len()).any(|start| {
            let mut run = BTreeSet::from([String::new()]);
            for (index, part) in parts[start..].iter().enumerate() {
                let whole = self.strings(part);
                let is_last = whole.is_none() && index > 0;
                let part = match part.kind() {
                    _ if whole.is_some() => whole,
                    // The last round of a repetition belongs to what follows.
                    HirKind::Repetition(repetition) if index == 0 && repetition.min > 0 => {
                        self.strings(&repetition.sub)
                    }
                    _ => self.beginnings(part),
                };
                let Some(next) = part.and_then(|part| product(&run, &part)) else { break };
                run = next;
                if all_have(&run, words) {
                    return true;
                }
                if is_last {
                    break;
                }
            }
            false
        })
    }

    /// What every match of an expression begins with.
    fn beginnings(&self, hir: &Hir) -> Option<BTreeSet<String>> {
        self.strings(hir).or_else(|| match hir.kind() {
            HirKind::Capture(capture) => self.beginnings(&capture.sub),
            HirKind::Repetition(repetition) if repetition.min > 0 => self.beginnings(&repetition.sub),
            HirKind::Alternation(branches) => {
                let mut all = BTreeSet::new();
                for branch in branches {
                    all.extend(self.beginnings(branch)?);
                }
                Some(all)
            }
            HirKind::Concat(parts) => {
                let mut begun = BTreeSet::from([String::new()]);
                for part in parts {
                    let Some(next) = self.beginnings(part).and_then(|next| product(&begun, &next)) else {
                        break;
                    };
                    begun = next;
                    if self.strings(part).is_none() {
                        break;
                    }
                }
                Some(begun)
            }
            _ => None,
        })
    }

    /// Everything that an expression matches, in lowercase; `None` when that is too much.
    fn strings(&self, hir: &Hir) -> Option<BTreeSet<String>> {
        let one = |text: String| Some(BTreeSet::from([text]));
        match hir.kind() {
            HirKind::Empty => one(String::new()),
            HirKind::Look(Look::WordAscii) => one(BOUNDARY.to_string()),
            HirKind::Look(_) => one(String::new()),
            HirKind::Literal(literal) => one(str::from_utf8(&literal.0)
                .ok()?
                .chars()
                .map(|character| self.folded(character))
                .collect()),
            HirKind::Class(Class::Unicode(class)) => {
                let count: u32 =
                    class.ranges().iter().map(|range| range.end() as u32 - range.start() as u32 + 1).sum();
                (count <= 8).then(|| {
                    let characters = class.ranges().iter().flat_map(|range| range.start()..=range.end());
                    characters.map(|character| self.folded(character).to_string()).collect()
                })
            }
            HirKind::Class(Class::Bytes(_)) => None,
            HirKind::Capture(capture) => self.strings(&capture.sub),
            HirKind::Repetition(repetition) if repetition.max.is_some_and(|max| max <= 2) => {
                let sub = self.strings(&repetition.sub)?;
                let mut all = BTreeSet::new();
                let mut times = BTreeSet::from([String::new()]);
                for count in 0..=repetition.max? {
                    if count >= repetition.min {
                        all.extend(times.iter().cloned());
                    }
                    times = product(&times, &sub)?;
                }
                Some(all)
            }
            HirKind::Repetition(_) => None,
            HirKind::Concat(parts) => {
                parts.iter().try_fold(BTreeSet::from([String::new()]), |before, part| {
                    product(&before, &self.strings(part)?)
                })
            }
            HirKind::Alternation(branches) => {
                let mut all = BTreeSet::new();
                for branch in branches {
                    all.extend(self.strings(branch)?);
                }
                Some(all)
            }
        }
    }
}

fn all_have(strings: &BTreeSet<String>, words: &[&str]) -> bool {
    strings.iter().all(|string| {
        let string = with_boundaries(string);
        words.iter().any(|word| string.contains(&with_boundaries(&word.replace(r"\b", "\u{7}"))))
    })
}

/// `text` with every boundary within it marked; those at its ends are where it says so.
fn with_boundaries(text: &str) -> String {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut marked = String::new();
    let mut last = None;
    for character in text.chars() {
        let changes = last.is_some_and(|last| is_word(last) != is_word(character));
        if (changes || character == BOUNDARY) && !marked.ends_with(BOUNDARY) {
            marked.push(BOUNDARY);
        }
        if character != BOUNDARY {
            marked.push(character);
            last = Some(character);
        }
    }
    marked
}

fn product(left: &BTreeSet<String>, right: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    (left.len() * right.len() <= MAX_STRINGS).then(|| {
        left.iter().flat_map(|left| right.iter().map(move |right| format!("{left}{right}"))).collect()
    })
}

#[test]
fn what_is_needed_is_told_from_what_is_not() {
    let needed = |pattern: &str, words: &[&str]| {
        let proof = Proof { ignores_case: pattern.starts_with("(?i)") };
        proof.is_needed(&regex_syntax::parse(pattern).unwrap(), words)
    };
    let boundary = r"(?-u:\b)";
    for (pattern, words) in [
        ("curl", &["curl"][..]),
        ("(?:curl|wget) .*", &["curl", "wget"]),
        ("gh[ps]_[a-z]+", &["ghp_", "ghs_"]),
        ("a?bcd", &["bcd"]),
        ("x*(?:a|b)+cd", &["acd", "bcd"]),
        (" +all", &[r"\ball"]),
        ("-(sk(?:a|b[0-9]+)c)", &["-ska", "-skb"]),
        ("rm +-", &["rm "]),
        ("(?:ab){2,}", &["ab"]),
        ("(?i)Disk:", &["disk"]),
        (&format!("{boundary}nc{boundary}"), &[r"\bnc\b"]),
    ] {
        assert!(needed(pattern, words), "{pattern} {words:?}");
    }
    for (pattern, words) in [
        ("curl|wget", &["curl"][..]),
        ("a*b", &["a"]),
        ("(?:ab)?", &["ab"]),
        ("[a-z]+", &["a"]),
        ("rm *-", &["rm-"]),
        ("ab+c", &["abbc"]),
        ("nc", &[r"\bnc\b"]),
        ("[cC]:", &["c:"]),
        ("-?nc", &[r"\bnc"]),
    ] {
        assert!(!needed(pattern, words), "{pattern} {words:?}");
    }
}
