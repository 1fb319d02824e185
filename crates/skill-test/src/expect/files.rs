//! What is expected of output files.

use globset::{GlobBuilder, GlobMatcher};
use skill::Span;

use crate::{
    expect::{PointerCheck, TextCheck, pointers, text},
    fields::{self, Fields, listed},
    problem::{At, Problems},
    quantity::{self, Comparison},
    yaml::{Node, Value},
};

/// The keys of an entry of `files`.
pub(crate) const FILE: &[&str] =
    &["path", "count", "media_type", "size", "sha256", "image", "json", "csv", "text"];
/// The keys of `image`.
pub(crate) const IMAGE: &[&str] =
    &["format", "width", "height", "min_width", "max_width", "min_height", "max_height"];
/// The formats of images that providers take, and those that skills make beside them.
pub(crate) const FORMATS: &[&str] = &["png", "jpeg", "gif", "webp", "bmp", "tiff", "ico", "avif", "heif"];
/// The keys of `csv`.
pub(crate) const CSV: &[&str] = &["rows", "columns", "contains", "delimiter"];

/// What must be true of the output files that a pattern means.
#[derive(Clone, Debug)]
pub struct FileExpect {
    /// The pattern, relative to `/output`.
    pub path: String,
    /// Where it stands.
    pub span: Span,
    /// The same, to look for files with.
    pub glob: GlobMatcher,
    /// How many there must be; at least one where this is not said.
    pub count: Option<At<Comparison>>,
    /// What must be true of each.
    pub checks: Vec<At<FileCheck>>,
}

/// One thing that must be true of a file.
#[derive(Clone, Debug)]
pub enum FileCheck {
    /// The media type that the file part has.
    MediaType(String),
    /// Its size in bytes.
    Size(Comparison),
    /// Its checksum, in lower case.
    Sha256(String),
    /// What kind of image it is.
    Image(ImageCheck),
    /// It is JSON with a value at a place.
    Json(PointerCheck),
    /// What kind of table it is.
    Csv(CsvCheck),
    /// What is in it.
    Text(TextCheck),
}

/// What is expected of an image; pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageCheck {
    /// One of a few names.
    pub format: Option<&'static str>,
    /// Bounds of the width.
    pub width: Bounds,
    /// Bounds of the height.
    pub height: Bounds,
}

/// What a length in pixels must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Exactly, or compared.
    pub is: Option<Comparison>,
    /// Not below.
    pub least: Option<u64>,
    /// Not above.
    pub most: Option<u64>,
}

/// What is expected of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvCheck {
    /// Rows without the header.
    pub rows: Option<Comparison>,
    /// The header.
    pub columns: Option<Vec<String>>,
    /// Rows that must be there: values by column.
    pub contains: Vec<Vec<(String, String)>>,
    /// What stands between two values.
    pub delimiter: u8,
}

/// Reads `files`.
pub(crate) fn parse(node: &Node, problems: &mut Problems) -> Vec<FileExpect> {
    let Some(items) = fields::list(node, "`files`", problems) else { return Vec::new() };
    if items.is_empty() {
        problems
            .add(node.span, "`files` must not be an empty list")
            .help("to say that there are none, write `no_other_files: true` without `files`");
    }
    items.iter().filter_map(|item| file(item, problems)).collect()
}

fn file(node: &Node, problems: &mut Problems) -> Option<FileExpect> {
    if let Value::Scalar { .. } = node.value {
        // `- report.md` says that it is there.
        let path = fields::name(node, "a file", problems)?;
        let (path, glob) = pattern(node, &path, problems)?;
        return Some(FileExpect { path, span: node.span, glob, count: None, checks: Vec::new() });
    }
    let fields = Fields::of(node, "an entry of `files`", FILE, problems)?;
    let Some(place) = fields.get("path") else {
        problems.add(node.span, "an entry of `files` needs a `path`").help("for example `path: chart.png`");
        return None;
    };
    let path = fields::name(place, "`path`", problems);
    let found = path.and_then(|path| pattern(place, &path, problems));
    let count = fields.get("count").and_then(|node| quantity::comparison(node, "`count`", problems));
    let checks = checks(&fields, problems);
    if count.is_some_and(|count| count.value.holds(0) && !count.value.holds(1)) && !checks.is_empty() {
        problems.add(node.span, "there is nothing to check in files that must not be there");
    }
    let (path, glob) = found?;
    Some(FileExpect { path, span: place.span, glob, count, checks })
}

/// A pattern of paths. The directory of output files may stand before it, as programs write it.
fn pattern(node: &Node, path: &str, problems: &mut Problems) -> Option<(String, GlobMatcher)> {
    let inner = path.strip_prefix("/output/").unwrap_or(path);
    if inner.starts_with('/') || inner.split('/').any(|part| part == "..") {
        problems
            .add(node.span, format!("`{}` is not below /output", path.escape_debug()))
            .help("only what is saved in /output comes out; paths are relative to it");
        return None;
    }
    match GlobBuilder::new(inner).literal_separator(true).build() {
        Ok(glob) => Some((inner.to_owned(), glob.compile_matcher())),
        Err(error) => {
            problems.add(node.span, format!("invalid pattern: {}", error.kind()));
            None
        }
    }
}

fn checks(fields: &Fields<'_>, problems: &mut Problems) -> Vec<At<FileCheck>> {
    let mut checks = Vec::new();
    if let Some(node) = fields.get("media_type")
        && let Some(name) = fields::name(node, "`media_type`", problems)
    {
        if name.split_once('/').is_none_or(|(before, after)| before.is_empty() || after.is_empty()) {
            problems
                .add(node.span, format!("`{}` is no media type", name.escape_debug()))
                .help("for example `image/png`");
        }
        checks.push(At::new(FileCheck::MediaType(name), node.span));
    }
    if let Some(size) = fields.get("size").and_then(|node| quantity::comparison(node, "`size`", problems)) {
        checks.push(At::new(FileCheck::Size(size.value), size.span));
    }
    if let Some(node) = fields.get("sha256")
        && let Some(sum) = fields::name(node, "`sha256`", problems)
    {
        let sum = sum.strip_prefix("sha256:").unwrap_or(&sum).to_lowercase();
        if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            problems.add(node.span, "`sha256` must have 64 hexadecimal digits");
        }
        checks.push(At::new(FileCheck::Sha256(sum), node.span));
    }
    if let Some(node) = fields.get("image")
        && let Some(check) = image(node, problems)
    {
        checks.push(At::new(FileCheck::Image(check), node.span));
    }
    if let Some(node) = fields.get("json") {
        let wanted = pointers(node, "`json`", problems).into_iter();
        checks.extend(wanted.map(|check| At::new(FileCheck::Json(check.value), check.span)));
    }
    if let Some(node) = fields.get("csv")
        && let Some(check) = csv(node, problems)
    {
        checks.push(At::new(FileCheck::Csv(check), node.span));
    }
    if let Some(node) = fields.get("text") {
        let wanted = text::parse(node, "`text`", problems).into_iter();
        checks.extend(wanted.map(|check| At::new(FileCheck::Text(check.value), check.span)));
    }
    checks
}

fn image(node: &Node, problems: &mut Problems) -> Option<ImageCheck> {
    let fields = Fields::of(node, "`image`", IMAGE, problems)?;
    let format = match fields.get("format") {
        None => None,
        Some(node) => {
            let name = fields::name(node, "`format`", problems)?;
            let same = if name == "jpg" { "jpeg" } else { &name };
            let found = FORMATS.iter().copied().find(|format| *format == same);
            if found.is_none() {
                problems
                    .add(
                        node.span,
                        format!("`{}` is no image format that is known here", name.escape_debug()),
                    )
                    .help(format!("the formats are {}", listed(FORMATS)));
            }
            found
        }
    };
    let mut bounds = |is: &'static str, least: &'static str, most: &'static str| {
        let mut number =
            |key| fields.get(key).and_then(|node| quantity::whole(node, &format!("`{key}`"), problems));
        let (least, most) = (number(least), number(most));
        let is = fields.get(is).and_then(|node| quantity::comparison(node, &format!("`{is}`"), problems));
        Bounds { is: is.map(|is| is.value), least, most }
    };
    let width = bounds("width", "min_width", "max_width");
    let height = bounds("height", "min_height", "max_height");
    let check = ImageCheck { format, width, height };
    if fields.is_empty() {
        problems.add(node.span, "`image` says nothing").help("for example `{ format: png, min_width: 100 }`");
    }
    Some(check)
}

fn csv(node: &Node, problems: &mut Problems) -> Option<CsvCheck> {
    let fields = Fields::of(node, "`csv`", CSV, problems)?;
    let rows = fields.get("rows").and_then(|node| quantity::comparison(node, "`rows`", problems));
    let columns = fields.get("columns").map(|node| {
        let names = fields::texts(node, "`columns`", problems);
        names.into_iter().map(|name| name.value).collect::<Vec<_>>()
    });
    let mut contains = Vec::new();
    if let Some(node) = fields.get("contains") {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                problems.add(node.span, "`contains` must not be an empty list");
            }
            Value::List(items) => contains.extend(items.iter().filter_map(|item| row(item, problems))),
            _ => contains.extend(row(node, problems)),
        }
    }
    let delimiter = match fields.get("delimiter") {
        None => b',',
        Some(node) => {
            let text = fields::text(node, "`delimiter`", problems)?;
            match text.as_bytes() {
                [one] if one.is_ascii() => *one,
                _ if text == "\\t" || text == "tab" => b'\t',
                _ => {
                    problems
                        .add(node.span, "`delimiter` must be one character")
                        .help("for example `\";\"`, or `tab`");
                    return None;
                }
            }
        }
    };
    if ["rows", "columns", "contains"].iter().all(|key| fields.get(key).is_none()) {
        problems
            .add(node.span, "`csv` says nothing")
            .help("for example `{ rows: 12, columns: [month, revenue] }`");
    }
    Some(CsvCheck { rows: rows.map(|rows| rows.value), columns, contains, delimiter })
}

/// A row of a table: values by column.
fn row(node: &Node, problems: &mut Problems) -> Option<Vec<(String, String)>> {
    let pairs = fields::pairs(node, "a row in `contains`", problems)?;
    if pairs.is_empty() {
        problems.add(node.span, "a row in `contains` needs a column");
        return None;
    }
    let value = |(key, node): &(At<String>, Node), problems: &mut Problems| {
        Some((key.value.clone(), fields::text(node, "a value in `contains`", problems)?))
    };
    pairs.iter().map(|pair| value(pair, problems)).collect()
}
