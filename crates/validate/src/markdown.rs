//! A Markdown file taken apart: links, code, headings and comments, each with its bytes.
//!
//! CommonMark with tables, as most readers of skills have it. What is kept are places and targets; nothing is rendered.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use crate::pattern::Pattern;

/// The parts of a document. All ranges are bytes of the whole file.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    /// Links, images, definitions of link labels and links in HTML, sorted by their place.
    pub(crate) links: Vec<Link>,
    /// Blocks of code.
    pub(crate) code: Vec<CodeBlock>,
    /// Code within lines, without the backticks.
    pub(crate) inline_code: Vec<Range<usize>>,
    /// What a fragment of a link can name: headings as GitHub has them, and identifiers in HTML.
    pub(crate) anchors: BTreeSet<String>,
    /// The same without everything but letters and digits.
    bare_anchors: BTreeSet<String>,
    /// HTML comments, with their delimiters.
    pub(crate) comments: Vec<Range<usize>>,
    /// Text that is neither code nor markup.
    pub(crate) prose: Vec<Range<usize>>,
}

/// Something that points elsewhere.
#[derive(Debug)]
pub(crate) struct Link {
    /// All of it.
    pub(crate) range: Range<usize>,
    /// Where the target is written.
    pub(crate) target: Range<usize>,
    /// The target without Markdown's escapes.
    pub(crate) destination: String,
}

/// A block of code.
#[derive(Debug)]
pub(crate) struct CodeBlock {
    /// All of it, with the fences.
    pub(crate) range: Range<usize>,
    /// What stands behind the opening fence; empty for indented code.
    pub(crate) info: String,
    /// Whether it has its closing fence. A block within a list or a quotation ends with that at the latest, and counts as closed.
    pub(crate) is_closed: bool,
}

static HTML_TARGET: Pattern =
    Pattern::new(r#"(?i)\b(?:src|href)\s*=\s*["']([^"'<>]*)["']"#, &[&["src", "href"], &["="]]);
static HTML_IDENTIFIER: Pattern =
    Pattern::new(r#"(?i)\b(?:id|name)\s*=\s*["']([^"'<>]*)["']"#, &[&[r"\bid", r"\bname"], &["="]]);

impl Markdown {
    /// Takes `content` apart from byte `start` on.
    pub(crate) fn parse(content: &str, start: usize) -> Self {
        let start = content.ceil_char_boundary(start.min(content.len()));
        let mut options = Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES;
        if start == 0 {
            options |= Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
        }
        let mut reader = Reader { source: &content[start..], shift: start, ..Reader::default() };
        reader.read(options);
        let mut markdown = reader.markdown;
        markdown.bare_anchors = markdown.anchors.iter().map(|anchor| bare(anchor)).collect();
        markdown.links.sort_by_key(|link| link.target.start);
        markdown
    }

    /// Whether a heading can be meant by `anchor`, which is in lowercase. Renderers differ in the hyphens they keep, and a reader
    /// finds the heading all the same.
    pub(crate) fn has_anchor(&self, anchor: &str) -> bool {
        self.anchors.contains(anchor) || self.bare_anchors.contains(&bare(anchor))
    }

    /// The link around byte `offset`.
    pub(crate) fn link_at(&self, offset: usize) -> Option<&Link> {
        let index = self.links.partition_point(|link| link.range.start <= offset);
        // Links nest at most as an image in a link, so the two before are enough.
        self.links[index.saturating_sub(2)..index].iter().find(|link| link.range.contains(&offset))
    }

    /// Whether byte `offset` is in a comment.
    pub(crate) fn is_comment(&self, offset: usize) -> bool {
        contains(&self.comments, offset)
    }

    /// The block of code around byte `offset`.
    pub(crate) fn code_at(&self, offset: usize) -> Option<&CodeBlock> {
        let index = self.code.partition_point(|block| block.range.start <= offset);
        self.code.get(index.checked_sub(1)?).filter(|block| block.range.contains(&offset))
    }

    /// Whether byte `offset` is in code of either kind.
    pub(crate) fn is_code(&self, offset: usize) -> bool {
        self.code_at(offset).is_some() || contains(&self.inline_code, offset)
    }
}

/// Whether one of `ranges`, which are sorted, has `offset`.
fn contains(ranges: &[Range<usize>], offset: usize) -> bool {
    let index = ranges.partition_point(|range| range.start <= offset);
    index.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|range| range.contains(&offset))
}

/// What is open while the events go by.
#[derive(Debug, Default)]
struct Reader<'source> {
    source: &'source str,
    shift: usize,
    markdown: Markdown,
    /// Links and images that are open, and where the last thing in each ended.
    open: Vec<(Range<usize>, LinkType, String, usize)>,
    /// The text of the heading that is open.
    heading: Option<String>,
    /// How often each anchor was made.
    slugs: BTreeMap<String, usize>,
    /// How many lists, items, quotations and footnotes are open.
    containers: usize,
    is_code: bool,
    is_metadata: bool,
}

impl<'source> Reader<'source> {
    fn read(&mut self, options: Options) {
        let mut events = Parser::new_ext(self.source, options).into_offset_iter();
        for (event, range) in events.by_ref() {
            self.event(&event, &range);
        }
        for (_, definition) in events.reference_definitions().iter() {
            let written = &self.source[definition.span.clone()];
            let Some(at) = written.find("]:") else { continue };
            let target = target(self.source, definition.span.start + at + 2..definition.span.end);
            self.link(definition.span.clone(), target, &definition.dest);
        }
    }

    fn event(&mut self, event: &Event<'source>, range: &Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.end(*tag),
            Event::Text(text) if !self.is_metadata => {
                if let Some(heading) = &mut self.heading {
                    heading.push_str(text);
                }
                if !self.is_code {
                    self.markdown.prose.push(self.shifted(range));
                }
            }
            Event::Code(code) => {
                if let Some(heading) = &mut self.heading {
                    heading.push_str(code);
                }
                let ticks = self.source[range.clone()].bytes().take_while(|byte| *byte == b'`').count();
                let inner = range.start + ticks..(range.end.saturating_sub(ticks)).max(range.start + ticks);
                self.markdown.inline_code.push(self.shifted(&inner));
            }
            Event::InlineHtml(_) => self.html(range),
            _ => {}
        }
        if !matches!(event, Event::Start(_)) {
            // What ends within an image in a link ends the image first, whose own end counts for the link.
            if let Some((_, _, _, end)) = self.open.last_mut() {
                *end = (*end).max(range.end);
            }
        }
    }

    fn start(&mut self, tag: &Tag<'source>, range: &Range<usize>) {
        match tag {
            Tag::Link { link_type, dest_url, .. } | Tag::Image { link_type, dest_url, .. } => {
                self.open.push((range.clone(), *link_type, dest_url.to_string(), range.start));
            }
            Tag::Heading { id, .. } => {
                self.heading = Some(String::new());
                self.markdown.anchors.extend(id.as_ref().map(|id| id.to_lowercase()));
            }
            Tag::CodeBlock(kind) => self.code(kind, range),
            Tag::HtmlBlock => self.html(range),
            Tag::MetadataBlock(_) => self.is_metadata = true,
            Tag::List(_) | Tag::Item | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_) => {
                self.containers += 1;
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Link | TagEnd::Image => {
                let Some((whole, kind, destination, inner)) = self.open.pop() else { return };
                let place = match kind {
                    LinkType::Inline => {
                        // The closing bracket comes after everything that stands in the link.
                        let Some(at) = self.source[inner..whole.end].find("](") else { return };
                        target(self.source, inner + at + 2..whole.end)
                    }
                    LinkType::Autolink => whole.start + 1..whole.end - 1,
                    // What a label means is written at its definition, and an address of a person is no file.
                    _ => return,
                };
                self.link(whole, place, &destination);
            }
            TagEnd::Heading(_) => {
                if let Some(heading) = self.heading.take() {
                    let slug = slug(&heading);
                    let count = self.slugs.entry(slug.clone()).or_default();
                    let anchor = if *count == 0 { slug } else { format!("{slug}-{count}") };
                    *count += 1;
                    self.markdown.anchors.insert(anchor);
                }
            }
            TagEnd::CodeBlock => self.is_code = false,
            TagEnd::MetadataBlock(_) => self.is_metadata = false,
            TagEnd::List(_) | TagEnd::Item | TagEnd::BlockQuote(_) | TagEnd::FootnoteDefinition => {
                self.containers = self.containers.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn code(&mut self, kind: &CodeBlockKind<'source>, range: &Range<usize>) {
        self.is_code = true;
        let (info, is_closed) = match kind {
            CodeBlockKind::Indented => (String::new(), true),
            CodeBlockKind::Fenced(info) => {
                (info.to_string(), self.containers > 0 || is_closed(&self.source[range.clone()]))
            }
        };
        self.markdown.code.push(CodeBlock { range: self.shifted(range), info, is_closed });
    }

    fn html(&mut self, range: &Range<usize>) {
        let html = &self.source[range.clone()];
        let mut at = 0;
        while let Some(opening) = html[at..].find("<!--") {
            self.tags(range.start + at..range.start + at + opening);
            let start = at + opening;
            let end = html[start + 4..].find("-->").map_or(html.len(), |end| start + 4 + end + 3);
            self.markdown.comments.push(self.shifted(&(range.start + start..range.start + end)));
            at = end;
        }
        self.tags(range.start + at..range.end);
    }

    /// Links and identifiers in HTML that is no comment.
    fn tags(&mut self, range: Range<usize>) {
        let html = &self.source[range.clone()];
        for found in HTML_TARGET.captures_iter(html) {
            let Some(target) = found.get(1) else { continue };
            let place = range.start + target.start()..range.start + target.end();
            self.link(place.clone(), place, &CowStr::from(target.as_str()));
        }
        for found in HTML_IDENTIFIER.captures_iter(html) {
            self.markdown.anchors.extend(found.get(1).map(|id| id.as_str().to_lowercase()));
        }
    }

    fn link(&mut self, range: Range<usize>, target: Range<usize>, destination: &str) {
        let (range, target) = (self.shifted(&range), self.shifted(&target));
        self.markdown.links.push(Link { range, target, destination: destination.to_owned() });
    }

    fn shifted(&self, range: &Range<usize>) -> Range<usize> {
        range.start + self.shift..range.end + self.shift
    }
}

/// Where the target of a link is written within `range`, which begins behind the bracket or colon before it.
fn target(source: &str, range: Range<usize>) -> Range<usize> {
    let written = &source[range.clone()];
    let start = written.len() - written.trim_start().len();
    if let Some(quoted) = written[start..].strip_prefix('<') {
        let end = quoted.find('>').unwrap_or(quoted.len());
        return range.start + start + 1..range.start + start + 1 + end;
    }
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, character) in written[start..].char_indices() {
        let end = range.start + start..range.start + start + at;
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth == 0 => return end,
            ')' => depth -= 1,
            _ if character.is_whitespace() => return end,
            _ => {}
        }
    }
    range.start + start..range.end
}

/// Whether the last line of a fenced block closes its first.
fn is_closed(block: &str) -> bool {
    let block = block.trim_end_matches(['\n', '\r']);
    let opening = block.trim_start_matches(' ');
    let Some(mark) = opening.chars().next() else { return false };
    let length = opening.chars().take_while(|character| *character == mark).count();
    let Some(end) = block.rfind(['\n', '\r']) else { return false };
    let closing = block[end + 1..].trim();
    closing.chars().all(|character| character == mark) && closing.chars().count() >= length
}

/// An anchor without what renderers treat differently.
fn bare(anchor: &str) -> String {
    anchor.chars().filter(|character| character.is_alphanumeric()).collect()
}

/// The anchor that GitHub makes of a heading.
fn slug(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            _ if character.is_alphanumeric() => Some(character),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(source: &str) -> Vec<(&str, String)> {
        let markdown = Markdown::parse(source, 0);
        markdown.links.iter().map(|link| (&source[link.target.clone()], link.destination.clone())).collect()
    }

    #[test]
    fn a_target_is_found_where_it_is_written() {
        for (source, wanted) in [
            ("é [a](b.md)\r\n", vec!["b.md"]),
            ("[a]( b.md \"title\")", vec!["b.md"]),
            ("[a](<b c.md>)", vec!["b c.md"]),
            ("[a](b(1).md)", vec!["b(1).md"]),
            ("[![i](p.png)](b.md)", vec!["p.png", "b.md"]),
            ("[`](`](b.md)", vec!["b.md"]),
            ("[](b.md)", vec!["b.md"]),
            ("[a][l]\n\n[l]: b.md \"x\"\n", vec!["b.md"]),
            ("<https://a.b>", vec!["https://a.b"]),
            ("<img src=\"p.png\"> and <a href='b.md'>", vec!["p.png", "b.md"]),
            ("`[a](b.md)`\n\n```\n[a](b.md)\n```\n<!-- [a](b.md) -->", vec![]),
        ] {
            assert_eq!(targets(source).iter().map(|(raw, _)| *raw).collect::<Vec<_>>(), wanted, "{source:?}");
        }
        assert_eq!(targets("[a](b\\_c.md)"), [("b\\_c.md", "b_c.md".to_owned())]);
    }

    #[test]
    fn a_fence_that_is_never_closed_is_seen() {
        let closed = |source: &str| Markdown::parse(source, 0).code.iter().all(|block| block.is_closed);
        for source in [
            "```\nx\n```\n",
            "```\r\nx\r\n```",
            "~~~~\n~~~\n~~~~~  \n",
            "````md\n```sh\nx\n```\n````\n",
            "- a\n  ```\n  x\n\nb\n",
            "> ```\n> x\n\nb\n",
            "    ```\n",
            "text ``` text",
        ] {
            assert!(closed(source), "{source:?}");
        }
        for source in ["```\nx\n", "```", "```sh\nx\n``\n", "````\nx\n```\n", "~~~\n```\n"] {
            assert!(!closed(source), "{source:?}");
        }
    }

    #[test]
    fn anchors_are_those_of_github() {
        let source = "# Héllo, `World` & Co.\n\n## A_b\n\n## A_b\n\n## X {#own}\n\n<a id=\"Here\"></a>\n";
        let anchors = Markdown::parse(source, 0).anchors;
        let wanted = ["a_b", "a_b-1", "here", "héllo-world--co", "own", "x"];
        assert_eq!(anchors.into_iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn code_and_comments_have_their_places() {
        let source = "---\nx: [a](b)\n---\na ``c`d`` e <!-- f\n\ng --> h\n\n```sh\ncode\n```\n";
        let markdown = Markdown::parse(source, 0);
        assert!(markdown.links.is_empty());
        assert_eq!(&source[markdown.inline_code[0].clone()], "c`d");
        assert_eq!(markdown.code[0].info, "sh");
        assert!(
            markdown.is_code(source.find("code").unwrap()) && !markdown.is_code(source.find(" e ").unwrap())
        );
        let block = "<!-- f\n\ng -->\n";
        assert_eq!(Markdown::parse(block, 0).comments.first(), Some(&(0..block.len() - 1)));
        // From a later start, ranges are still those of the file.
        let later = Markdown::parse("[a](b)\n[c](d)\n", 7);
        assert_eq!(later.links.len(), 1);
        assert_eq!(later.links[0].target, 11..12);
    }
}
