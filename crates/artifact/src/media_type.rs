//! The media type of a file: what its first bytes say, refined by its extension.
//!
//! Model providers refuse a whole request for one part that says `image/png` and is none, so `image/*` is only ever one of
//! the four formats that they take, and only when the magic bytes are there. Other binary types need their magic bytes too.
//! Text cannot be told from its bytes, so there the extension decides, once the bytes really are text.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// How many of a file's first bytes [`MediaType::detect`] wants to see; fewer where the file is shorter.
pub const HEAD_BYTES: usize = 8 * 1024;

/// A media type, such as `image/png`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    /// For everything that is nothing else.
    pub const OCTET_STREAM: Self = Self(Cow::Borrowed("application/octet-stream"));
    /// For text that is nothing else.
    pub const PLAIN_TEXT: Self = Self(Cow::Borrowed("text/plain"));

    /// The type of a file with these first bytes (at least [`HEAD_BYTES`] of them, or all) and this name.
    #[must_use]
    pub fn detect(head: &[u8], name: &str) -> Self {
        let extension = extension(name);
        if head.is_empty() {
            return text_type(&extension).map_or(Self::OCTET_STREAM, Self::borrowed);
        }
        if let Some(image) = image_type(head) {
            return Self::borrowed(image);
        }
        if head.starts_with(b"%PDF-") {
            return Self::borrowed("application/pdf");
        }
        // Text before the other magic bytes: some are so short that a text can begin with them ("BM" is a bitmap).
        if is_text(head) {
            return text_type(&extension).map_or(Self::PLAIN_TEXT, Self::borrowed);
        }
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            return Self::borrowed(zip_type(&extension));
        }
        if head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
            return Self::borrowed(compound_type(&extension));
        }
        if head.starts_with(b"PAR1") {
            return Self::borrowed("application/vnd.apache.parquet");
        }
        match infer::get(head) {
            Some(kind) if !is_forbidden(kind.mime_type()) => Self::borrowed(kind.mime_type()),
            _ => Self::OCTET_STREAM,
        }
    }

    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn borrowed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Magic bytes say nothing certain about text, and of images only the four above are wanted.
fn is_forbidden(media_type: &str) -> bool {
    media_type.starts_with("image/") || media_type.starts_with("text/")
}

fn image_type(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if head.starts_with(b"\xFF\xD8\xFF") {
        Some("image/jpeg")
    } else if (head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")) && !is_text(head) {
        Some("image/gif")
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else {
        None
    }
}

/// Lower case, without the dot; empty where there is none.
fn extension(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// UTF-8 without control characters that no text has. The last character may be cut off.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && head.len() >= HEAD_BYTES => {
            match std::str::from_utf8(&head[..error.valid_up_to()]) {
                Ok(text) => text,
                Err(_) => return false,
            }
        }
        Err(_) => return false,
    };
    // Escape begins terminal colours, form feed a page: both are in texts.
    !text
        .chars()
        .any(|c| (c < ' ' && !matches!(c, '\t' | '\n' | '\r' | '\u{0c}' | '\u{1b}')) || c == '\u{7f}')
}

/// The type of a text with this extension; `None` where it is nothing special.
fn text_type(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "" => return None,
        "csv" => "text/csv",
        "tsv" | "tab" => "text/tab-separated-values",
        "txt" | "log" | "text" => "text/plain",
        "md" | "markdown" => "text/markdown",
        "json" | "ipynb" => "application/json",
        "geojson" => "application/geo+json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "html" | "htm" => "text/html",
        "xhtml" => "application/xhtml+xml",
        // An SVG image is text, and providers take no image/svg+xml: it goes out as the XML that it is.
        "xml" | "svg" | "xsl" | "rss" | "kml" | "gpx" => "application/xml",
        "css" => "text/css",
        "js" | "mjs" => "text/javascript",
        "py" => "text/x-python",
        "sh" | "bash" => "application/x-sh",
        "sql" => "application/sql",
        "tex" => "application/x-tex",
        "rtf" => "application/rtf",
        "ics" => "text/calendar",
        "vcf" => "text/vcard",
        "eml" => "message/rfc822",
        "ps" | "eps" => "application/postscript",
        other => return mime_guess::from_ext(other).first_raw().filter(|guess| guess.starts_with("text/")),
    })
}

/// The type of a ZIP with this extension: most office formats are one.
fn zip_type(extension: &str) -> &'static str {
    match extension {
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "dotx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xltx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
        "xlsm" => "application/vnd.ms-excel.sheet.macroenabled.12",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "potx" => "application/vnd.openxmlformats-officedocument.presentationml.template",
        "ppsx" => "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "odp" => "application/vnd.oasis.opendocument.presentation",
        "odg" => "application/vnd.oasis.opendocument.graphics",
        "epub" => "application/epub+zip",
        "jar" => "application/java-archive",
        "kmz" => "application/vnd.google-earth.kmz",
        _ => "application/zip",
    }
}

/// The type of an OLE compound file with this extension: the older office formats.
fn compound_type(extension: &str) -> &'static str {
    match extension {
        "doc" => "application/msword",
        "xls" => "application/vnd.ms-excel",
        "ppt" => "application/vnd.ms-powerpoint",
        "msg" => "application/vnd.ms-outlook",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";
    const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";

    /// As long as the header of one, and no more.
    const ELF: [u8; 64] = {
        let mut header = [0; 64];
        (header[0], header[1], header[2], header[3]) = (0x7F, b'E', b'L', b'F');
        header
    };

    #[test]
    fn content_decides_and_the_extension_refines() {
        let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        let xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
        let pptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
        let cases: [(&[u8], &str, &str); 50] = [
            // The four images, whatever they are called.
            (PNG, "a.png", "image/png"),
            (PNG, "a.jpg", "image/png"),
            (PNG, "a", "image/png"),
            (PNG, "a.svg", "image/png"),
            (b"\xFF\xD8\xFF\xE0\0\x10JFIF", "a.JPEG", "image/jpeg"),
            (b"GIF89a\x01\0\x01\0\x80\0\0", "a.gif", "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "a.webp", "image/webp"),
            // Called an image, but none of the four.
            (b"no image", "a.png", "text/plain"),
            (b"\x89PNG", "a.png", "application/octet-stream"),
            (b"\0\x01\x02\x03", "a.jpg", "application/octet-stream"),
            (b"GIF89a is how a GIF begins", "a.gif", "text/plain"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "a.webp", "audio/x-wav"),
            (b"BM\x36\0\0\0\0\0\0\0", "a.bmp", "application/octet-stream"),
            (b"II*\0\x08\0\0\0", "a.tiff", "application/octet-stream"),
            (b"\0\0\x01\0\x01\0", "a.ico", "application/octet-stream"),
            (SVG, "a.svg", "application/xml"),
            // Text by extension.
            (b"a,b\n1,2\n", "a.csv", "text/csv"),
            (b"a\tb\n", "a.tsv", "text/tab-separated-values"),
            (b"{\"a\": 1}", "a.json", "application/json"),
            (b"{}\n{}\n", "a.jsonl", "application/x-ndjson"),
            (b"# Title", "charts/a.MD", "text/markdown"),
            ("größe".as_bytes(), "a.txt", "text/plain"),
            (b"plain", "README", "text/plain"),
            (b"plain", "archive.zip", "text/plain"),
            (b"a: 1", "a.yaml", "application/yaml"),
            (b"<html></html>", "a.html", "text/html"),
            (b"<html></html>", "a.txt", "text/plain"),
            (b"<?xml version=\"1.0\"?>", "a.xml", "application/xml"),
            (b"alert(1)", "a.js", "text/javascript"),
            (b"print(1)", "a.py", "text/x-python"),
            (b"\x1b[31mred\x1b[0m", "a.log", "text/plain"),
            (b"BMW,3\n", "cars.csv", "text/csv"),
            (b"\xEF\xBB\xBFa,b\n", "excel.csv", "text/csv"),
            // Called text, but none.
            (b"\xFF\xFEa\0", "a.csv", "application/octet-stream"),
            (b"a\0b", "a.json", "application/octet-stream"),
            (b"{\"a\": \"\xE9\"}", "a.json", "application/octet-stream"),
            // ZIP and OLE by extension.
            (ZIP, "a.docx", docx),
            (ZIP, "a.xlsx", xlsx),
            (ZIP, "a.PPTX", pptx),
            (ZIP, "a.odt", "application/vnd.oasis.opendocument.text"),
            (ZIP, "a.png", "application/zip"),
            (ZIP, "skill.skill", "application/zip"),
            (OLE, "a.xls", "application/vnd.ms-excel"),
            (OLE, "a.png", "application/octet-stream"),
            // Others by magic only.
            (b"%PDF-1.7\n%\xE2\xE3\xCF\xD3", "a.csv", "application/pdf"),
            (b"\0garbage", "a.pdf", "application/octet-stream"),
            (b"\x1F\x8B\x08\0\0\0\0\0", "a.csv.gz", "application/gzip"),
            (b"SQLite format 3\0", "a.db", "application/vnd.sqlite3"),
            (b"PAR1\x15\0\x15", "a.parquet", "application/vnd.apache.parquet"),
            (&ELF, "a.out", "application/x-executable"),
        ];
        for (head, name, expected) in cases {
            assert_eq!(MediaType::detect(head, name).as_str(), expected, "{name}: {:?}", head.escape_ascii());
        }
    }

    #[test]
    fn an_empty_file_is_what_its_text_extension_says() {
        for (name, expected) in
            [("a.csv", "text/csv"), ("a.png", "application/octet-stream"), ("a", "application/octet-stream")]
        {
            assert_eq!(MediaType::detect(b"", name).as_str(), expected, "{name}");
        }
    }

    #[test]
    fn a_character_cut_off_at_the_end_of_the_head_is_still_text() {
        let mut head = vec![b'a'; HEAD_BYTES - 1];
        head.push(0xC3);
        assert_eq!(MediaType::detect(&head, "a.csv").as_str(), "text/csv");
        // But not where the file ends with it.
        assert_eq!(MediaType::detect(b"a\xC3", "a.csv").as_str(), "application/octet-stream");
    }

    #[test]
    fn no_bytes_and_no_name_make_an_image_of_what_is_none() {
        proptest!(|(head in prop::collection::vec(any::<u8>(), 0..64), extension in "(png|jpe?g|gif|webp|svg|bmp|ico|avif|[a-z]{0,5})")| {
            let detected = MediaType::detect(&head, &format!("a.{extension}"));
            prop_assert!(!detected.as_str().starts_with("image/") || image_type(&head).is_some(), "{}", detected);
            prop_assert!(detected.as_str().contains('/'));
        });
    }
}
