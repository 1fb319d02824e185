//! What the checks look at: a draft, and the texts in it, each read and taken apart at most once.
//!
//! Texts are bounded: a file beyond [`MAX_TEXT`], over the budget of its kind ([`budget`]), or not in UTF-8 is no text here. Places are found through an index of lines,
//! so that a thousand findings in a large file do not read it a thousand times.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use skill::{Diagnostic, Draft, Frontmatter, Location, Position, Rule, Span};

use crate::{budget, markdown::Markdown, scripts::ProgramCache};

/// The largest file that is looked at as text, in bytes.
pub(crate) const MAX_TEXT: u64 = 1024 * 1024;
/// The largest Markdown file that is taken apart, in bytes; some fifty times as much memory is needed at worst. A larger one is
/// far beyond what a model could read of it, which is reported.
const MAX_DOCUMENT: usize = 256 * 1024;
/// The most findings of one rule in one skill; more of the same teach nothing.
const MAX_FINDINGS: usize = 100;

/// Bytes between two counts of characters.
const BLOCK: usize = 1024;
/// How much of a long line [`Text::line_around`] gives to each side, in bytes.
const AROUND: usize = 300;

/// What programs find where a skill will run, beside what the skill itself brings or declares.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Names of Python packages, as their index has them. Empty where nothing is known.
    pub python_packages: Vec<String>,
    /// Names of npm packages.
    pub node_packages: Vec<String>,
    /// Names of programs beside those of a plain Debian with Python. Empty where nothing is known.
    pub programs: Vec<String>,
}

/// A skill as the checks see it.
#[derive(Debug)]
pub(crate) struct Subject<'draft> {
    pub(crate) draft: &'draft Draft,
    pub(crate) environment: &'draft Environment,
    texts: BTreeMap<&'draft str, OnceCell<Option<Text>>>,
    documents: BTreeMap<&'draft str, OnceCell<Option<Markdown>>>,
    pub(crate) parsed: ProgramCache,
    over: BTreeSet<&'draft str>,
}

/// A text file of the skill.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) content: String,
    /// Where each line begins.
    lines: Vec<usize>,
    /// How many characters there are before each [`BLOCK`] of bytes, so that a column of a very long line is counted quickly.
    characters: Vec<usize>,
}

impl<'draft> Subject<'draft> {
    pub(crate) fn new(draft: &'draft Draft, environment: &'draft Environment) -> Self {
        let over = budget::over(draft);
        let within = |path: &&str| !over.contains(path);
        let paths = || draft.files().iter().map(|file| file.path.as_str()).filter(within);
        let texts = paths().map(|path| (path, OnceCell::new())).collect();
        let documents =
            paths().filter(|path| is_markdown(path)).map(|path| (path, OnceCell::new())).collect();
        Self { draft, environment, texts, documents, parsed: ProgramCache::default(), over }
    }

    /// The files that are no texts here because there are too many.
    pub(crate) fn over(&self) -> &BTreeSet<&'draft str> {
        &self.over
    }

    /// The path of the file that describes the skill; what it should be where there is none.
    pub(crate) fn file(&self) -> &'draft str {
        self.draft.skill_file().unwrap_or("SKILL.md")
    }

    pub(crate) fn frontmatter(&self) -> Option<&'draft Frontmatter> {
        self.draft.frontmatter()
    }

    /// `SKILL.md` as a text, when it could be read.
    pub(crate) fn skill_text(&self) -> Option<&Text> {
        self.draft.source()?;
        self.text(self.file())
    }

    /// The instructions: `SKILL.md`, and the byte at which they begin in it.
    pub(crate) fn body(&self) -> Option<(&Text, usize)> {
        Some((self.skill_text()?, self.draft.body_start()?))
    }

    /// The file at `path`, when it is a text within the bounds.
    pub(crate) fn text(&self, path: &str) -> Option<&Text> {
        let (path, cell) = self.texts.get_key_value(path)?;
        cell.get_or_init(|| self.read(path)).as_ref()
    }

    /// The paths of all Markdown files, sorted; that they can be read is not said.
    pub(crate) fn documents(&self) -> impl Iterator<Item = &'draft str> + '_ {
        self.documents.keys().copied()
    }

    /// A Markdown file with its parts. The frontmatter of `SKILL.md` is none of them.
    pub(crate) fn markdown(&self, path: &str) -> Option<(&Text, &Markdown)> {
        let (path, cell) = self.documents.get_key_value(path)?;
        let text = self.text(path)?;
        let parse = || {
            if text.content.len() > MAX_DOCUMENT {
                return None;
            }
            let start = if *path == self.file() { self.draft.body_start()? } else { 0 };
            Some(Markdown::parse(&text.content, start))
        };
        Some((text, cell.get_or_init(parse).as_ref()?))
    }

    fn read(&self, path: &str) -> Option<Text> {
        let content = match self.draft.source() {
            Some(source) if path == self.file() => source.to_owned(),
            _ => {
                if self.draft.file(path)?.size > MAX_TEXT {
                    return None;
                }
                String::from_utf8(self.draft.read(path, MAX_TEXT).ok()?).ok()?
            }
        };
        Some(Text::new(path, content))
    }
}

/// Whether a file is called like Markdown.
pub(crate) fn is_markdown(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, extension)| {
        ["md", "markdown", "mdx"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

impl Text {
    pub(crate) fn new(path: &str, content: String) -> Self {
        let bytes = content.as_bytes();
        let mut lines = vec![0];
        lines.extend(memchr::memchr2_iter(b'\n', b'\r', bytes).filter_map(|at| {
            // `\r\n` ends one line, not two.
            let pair = bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
            (!pair).then_some(at + 1)
        }));
        let mut characters = vec![0];
        for block in bytes.chunks(BLOCK) {
            characters.push(characters.last().copied().unwrap_or_default() + count_characters(block));
        }
        Self { path: path.to_owned(), content, lines, characters }
    }

    /// How many characters begin before byte `offset`.
    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        let counted = self.characters.get(block).copied().unwrap_or_default();
        counted + count_characters(&self.content.as_bytes()[block * BLOCK..offset])
    }

    /// The line around byte `offset`, or what of it is near.
    pub(crate) fn line_around(&self, offset: usize) -> &str {
        let offset = self.content.floor_char_boundary(offset.min(self.content.len()));
        let from = self.content.floor_char_boundary(offset.saturating_sub(AROUND));
        let to = self.content.ceil_char_boundary((offset + AROUND).min(self.content.len()));
        let start = self.content[from..offset].rfind(['\n', '\r']).map_or(from, |at| from + at + 1);
        let end = self.content[offset..to].find(['\n', '\r']).map_or(to, |at| offset + at);
        &self.content[start..end]
    }

    /// The place of byte `offset`.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = self.content.floor_char_boundary(offset.min(self.content.len()));
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        let column = self.characters_before(offset) - self.characters_before(start) + 1;
        Position { offset, line, column }
    }

    /// The place of some bytes.
    pub(crate) fn at(&self, range: Range<usize>) -> Location {
        let span = Span { start: self.position(range.start), end: self.position(range.end) };
        Location::span(&self.path, span)
    }

    /// The bytes of line `number`, from 1, without its end.
    pub(crate) fn line(&self, number: usize) -> Option<Range<usize>> {
        let start = *self.lines.get(number.checked_sub(1)?)?;
        let next = self.lines.get(number).copied().unwrap_or(self.content.len());
        let line = self.content[start..next].trim_end_matches(['\n', '\r']);
        Some(start..start + line.len())
    }

    /// How many lines there are; an end of the last line begins none.
    pub(crate) fn line_count(&self) -> usize {
        match self.lines.last() {
            Some(last) if *last == self.content.len() && self.lines.len() > 1 => self.lines.len() - 1,
            _ => self.lines.len(),
        }
    }

    /// Every line with its bytes, without its end.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (Range<usize>, &str)> {
        (1..=self.line_count()).filter_map(|number| {
            let range = self.line(number)?;
            Some((range.clone(), &self.content[range]))
        })
    }
}

fn count_characters(bytes: &[u8]) -> usize {
    // Every byte but those that continue a character begins one.
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// How a finding that stands for all of its kind in a file says how many more there are.
pub(crate) fn more_in_file(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => " (and once more in this file)".to_owned(),
        more => format!(" (and {more} times more in this file)"),
    }
}

/// What the checks have found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Diagnostic>,
    counts: BTreeMap<Rule, usize>,
}

impl Findings {
    /// Adds one; beyond the hundredth of its rule it is dropped.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let count = self.counts.entry(diagnostic.rule).or_default();
        *count += 1;
        if *count <= MAX_FINDINGS {
            self.found.push(diagnostic);
        }
    }

    pub(crate) fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        diagnostics.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_agree_with_those_of_the_reader() {
        let content = "aé\r\n\r\nb\rc\n\nlast";
        let text = Text::new("a", content.to_owned());
        for offset in 0..=content.len() + 2 {
            assert_eq!(text.position(offset), Position::in_text(content, offset), "{offset}");
        }
        let lines: Vec<&str> = text.lines().map(|(_, line)| line).collect();
        assert_eq!(lines, ["aé", "", "b", "c", "", "last"]);
        assert_eq!(Text::new("a", "x\n".to_owned()).line_count(), 1);
        assert_eq!(Text::new("a", String::new()).line_count(), 1);
    }

    #[test]
    fn places_in_long_lines_are_right() {
        let content = "aé€😀".repeat(700);
        let text = Text::new("a", content.clone());
        for (index, (offset, _)) in content.char_indices().enumerate() {
            assert_eq!(text.position(offset).column, index + 1);
        }
        assert_eq!(text.position(content.len()).column, 2801);
        let around = text.line_around(3000);
        assert!((600..620).contains(&around.len()), "{}", around.len());
        let lines = Text::new("a", "ab\ncd\r\nef".to_owned());
        let around: Vec<&str> = (0..=9).map(|offset| lines.line_around(offset)).collect();
        assert_eq!(around, ["ab", "ab", "ab", "cd", "cd", "cd", "", "ef", "ef", "ef"]);
    }

    #[test]
    fn more_of_the_same_is_dropped() {
        let mut findings = Findings::default();
        for _ in 0..200 {
            findings.push(Diagnostic::new(Rule::EMPTY_BODY, Location::file("SKILL.md"), "x"));
        }
        findings.push(Diagnostic::new(Rule::NAME_MISSING, Location::file("SKILL.md"), "x"));
        assert_eq!(findings.into_vec().len(), MAX_FINDINGS + 1);
    }
}
