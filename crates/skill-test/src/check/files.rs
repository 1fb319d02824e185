//! Output files: which there are, and what is in them.

use std::collections::HashMap;

use artifact::{ArtifactId, Sha256Digest};
use bytes::Bytes;
use imagesize::{ImageType, blob_size, image_type};
use skill::Span;
use tokio::io::AsyncReadExt as _;
use tool::{OutputFile, OutputFileState};

use crate::{
    check::{Checker, Named, json},
    expect::{Bounds, CsvCheck, Expect, FileCheck, FileExpect, ImageCheck},
    failure::{Failure, Subject},
};

/// The most bytes of a file that are looked into.
const MAX_BYTES: u64 = 64 << 20;
/// Most names in a message.
const NAMES: usize = 10;

/// Contents of files that were read already, or why they cannot be.
type Contents = HashMap<String, Result<Bytes, String>>;

impl Checker<'_> {
    /// Checks the output files of one call.
    pub(crate) async fn files(&mut self, expect: &Expect, files: &[OutputFile]) {
        let mut contents = Contents::new();
        for wanted in &expect.files {
            let matching: Vec<&OutputFile> =
                files.iter().filter(|file| wanted.glob.is_match(&file.name)).collect();
            self.presence(wanted, matching.len(), files);
            for file in matching {
                self.state(wanted, file);
                for check in &wanted.checks {
                    self.file(&check.value, check.span, file, &mut contents).await;
                }
            }
        }
        if let Some(span) = expect.no_other_files {
            let is_wanted =
                |file: &&OutputFile| expect.files.iter().any(|wanted| wanted.glob.is_match(&file.name));
            let others: Vec<&OutputFile> = files.iter().filter(|file| !is_wanted(file)).collect();
            if !others.is_empty() {
                let other = if expect.files.is_empty() { "no" } else { "no other" };
                let message = format!("expected {other} output files, but there are {}", names(&others));
                self.failures.push(Failure::new(Subject::Files, span, message));
            }
        }
    }

    fn presence(&mut self, wanted: &FileExpect, found: usize, files: &[OutputFile]) {
        let all: Vec<&OutputFile> = files.iter().collect();
        let message = match wanted.count {
            Some(count) => {
                let number = i64::try_from(found).unwrap_or(i64::MAX);
                if count.value.holds(number) {
                    return;
                }
                format!("expected {} output files `{}`, got {found}", count.value, wanted.path)
            }
            None if found > 0 => return,
            None if files.is_empty() => {
                format!("expected an output file `{}`, but there is none at all", wanted.path)
            }
            None => format!("expected an output file `{}`, but there are only {}", wanted.path, names(&all)),
        };
        self.failures.push(Failure::new(Subject::Files, wanted.span, message));
    }

    /// A file that was left out is no output that anybody would get.
    fn state(&mut self, wanted: &FileExpect, file: &OutputFile) {
        let (OutputFileState::Failed { error } | OutputFileState::Deferred { error, .. }) = &file.state
        else {
            return;
        };
        let message = format!("the output file `{}` was left out: {error}", file.name);
        self.failures.push(Failure::new(Subject::Files, wanted.span, message));
    }

    async fn file(&mut self, check: &FileCheck, span: Span, file: &OutputFile, contents: &mut Contents) {
        let name = format!("`{}`", file.name);
        let fail = |message: String| Failure::new(Subject::Files, span, message);
        let failure = match check {
            FileCheck::MediaType(wanted) if *wanted == file.media_type => return,
            FileCheck::MediaType(wanted) => {
                fail(format!("expected {name} to be {wanted}, got {}", file.media_type))
            }
            FileCheck::Size(wanted) if i64::try_from(file.size).is_ok_and(|size| wanted.holds(size)) => {
                return;
            }
            FileCheck::Size(wanted) => {
                fail(format!("expected {name} to have {wanted} bytes, got {}", file.size))
            }
            FileCheck::Sha256(_)
            | FileCheck::Image(_)
            | FileCheck::Json(_)
            | FileCheck::Csv(_)
            | FileCheck::Text(_) => {
                // That it was left out is said already.
                let OutputFileState::Stored { id, .. } = &file.state else { return };
                if !contents.contains_key(&file.name) {
                    contents.insert(file.name.clone(), self.read(id).await);
                }
                let bytes = match contents.get(&file.name) {
                    Some(Ok(bytes)) => bytes.clone(),
                    Some(Err(error)) => {
                        self.failures.push(fail(format!("{name} cannot be looked into: {error}")));
                        return;
                    }
                    None => return,
                };
                match content(check, &bytes, &name) {
                    Content::Fits => return,
                    Content::Differs(message) => fail(message),
                    Content::Text(text) => {
                        if let FileCheck::Text(check) = check {
                            self.text(check, span, text, &Named { subject: Subject::Files, name: &name });
                        }
                        return;
                    }
                }
            }
        };
        self.failures.push(failure);
    }

    async fn read(&self, id: &str) -> Result<Bytes, String> {
        let id: ArtifactId =
            id.parse().map_err(|_| "the store gave an id that it does not know".to_owned())?;
        let content = self.store.open(&id).await.map_err(|error| error.to_string())?;
        let content = content.ok_or("the store does not hand out its files")?;
        let mut bytes = Vec::new();
        let mut body = content.body.take(MAX_BYTES + 1);
        body.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("it has more than {MAX_BYTES} bytes"));
        }
        Ok(bytes.into())
    }
}

/// What a look into a file gave.
enum Content<'a> {
    Fits,
    Differs(String),
    /// It is text, whose checks are those of every text.
    Text(&'a str),
}

fn content<'a>(check: &FileCheck, bytes: &'a [u8], name: &str) -> Content<'a> {
    let outcome = match check {
        FileCheck::Sha256(wanted) => {
            let sum = Sha256Digest::of(bytes).to_string();
            if sum == *wanted {
                Ok(())
            } else {
                Err(format!("expected {name} to have the checksum {wanted}, got {sum}"))
            }
        }
        FileCheck::Image(wanted) => image(wanted, bytes, name),
        FileCheck::Csv(wanted) => csv(wanted, bytes, name),
        FileCheck::Json(wanted) => match std::str::from_utf8(bytes) {
            Ok(text) => json::check_text(text, wanted, name),
            Err(_) => Err(format!("{name} is not JSON: it is not UTF-8")),
        },
        FileCheck::Text(_) => match std::str::from_utf8(bytes) {
            Ok(text) => return Content::Text(text),
            Err(_) => Err(format!("{name} is not text: it is not UTF-8")),
        },
        FileCheck::MediaType(_) | FileCheck::Size(_) => Ok(()),
    };
    match outcome {
        Ok(()) => Content::Fits,
        Err(message) => Content::Differs(message),
    }
}

fn image(wanted: &ImageCheck, bytes: &[u8], name: &str) -> Result<(), String> {
    let kind = image_type(bytes).map_err(|_| format!("{name} is no image that is known here"))?;
    let format = format_of(kind);
    if let Some(wanted) = wanted.format
        && wanted != format
    {
        return Err(format!("expected {name} to be a {wanted} image, got {format}"));
    }
    let size = blob_size(bytes).map_err(|error| format!("the size of {name} cannot be read: {error}"))?;
    for (what, bounds, pixels) in [("wide", wanted.width, size.width), ("high", wanted.height, size.height)] {
        within(bounds, pixels as u64).map_err(|wanted| {
            format!("expected {name} to be {wanted} pixels {what}, got {} × {}", size.width, size.height)
        })?;
    }
    Ok(())
}

fn within(bounds: Bounds, pixels: u64) -> Result<(), String> {
    if let Some(is) = bounds.is
        && !i64::try_from(pixels).is_ok_and(|pixels| is.holds(pixels))
    {
        return Err(is.to_string());
    }
    if let Some(least) = bounds.least.filter(|least| pixels < *least) {
        return Err(format!("at least {least}"));
    }
    match bounds.most.filter(|most| pixels > *most) {
        Some(most) => Err(format!("at most {most}")),
        None => Ok(()),
    }
}

fn format_of(kind: ImageType) -> &'static str {
    match kind {
        ImageType::Png => "png",
        ImageType::Jpeg => "jpeg",
        ImageType::Gif => "gif",
        ImageType::Webp => "webp",
        ImageType::Bmp => "bmp",
        ImageType::Tiff => "tiff",
        ImageType::Ico => "ico",
        ImageType::Heif(imagesize::Compression::Av1) => "avif",
        ImageType::Heif(_) => "heif",
        _ => "another",
    }
}

fn csv(wanted: &CsvCheck, bytes: &[u8], name: &str) -> Result<(), String> {
    let broken = |error: csv::Error| format!("{name} is no table: {error}");
    let mut reader = csv::ReaderBuilder::new().delimiter(wanted.delimiter).from_reader(bytes);
    let header: Vec<String> = reader.headers().map_err(broken)?.iter().map(str::to_owned).collect();
    if let Some(columns) = &wanted.columns
        && *columns != header
    {
        return Err(format!(
            "expected {name} to have the columns {}, got {}",
            columns.join(", "),
            header.join(", ")
        ));
    }
    // Where each value of a wanted row would be.
    let mut missing = Vec::new();
    for row in &wanted.contains {
        let mut places = Vec::new();
        for (column, value) in row {
            let place = header.iter().position(|name| name == column).ok_or_else(|| {
                format!("expected {name} to have a column {column:?}; it has {}", header.join(", "))
            })?;
            places.push((place, value));
        }
        missing.push((row, places));
    }
    let mut rows = 0_i64;
    for record in reader.records() {
        let record = record.map_err(broken)?;
        rows += 1;
        missing.retain(|(_, places)| !places.iter().all(|(place, value)| record.get(*place) == Some(value)));
    }
    if let Some(count) = wanted.rows.filter(|count| !count.holds(rows)) {
        return Err(format!("expected {name} to have {count} rows, got {rows}"));
    }
    match missing.first() {
        None => Ok(()),
        Some((row, _)) => {
            let shown: Vec<String> = row.iter().map(|(column, value)| format!("{column}: {value}")).collect();
            Err(format!(
                "expected {name} to have a row with {}, but none of its {rows} rows is",
                shown.join(", ")
            ))
        }
    }
}

fn names(files: &[&OutputFile]) -> String {
    let mut shown: Vec<String> = files.iter().take(NAMES).map(|file| format!("`{}`", file.name)).collect();
    if files.len() > NAMES {
        shown.push(format!("{} more", files.len() - NAMES));
    }
    shown.join(", ")
}
