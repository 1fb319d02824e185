//! The response headers that content must be served with.
//!
//! Content is written by untrusted code. It is always an attachment, its declared type is never one that a browser
//! would run, the browser may not guess another, and should it be shown all the same, then in an empty sandbox.

use std::fmt::Write as _;

use crate::{name::file_name, store::ArtifactMetadata};

/// All headers for a response with the whole content, `Content-Length` included.
#[must_use]
pub fn content_headers(metadata: &ArtifactMetadata) -> Vec<(&'static str, String)> {
    vec![
        ("Content-Type", served_type(metadata.media_type.as_str()).to_owned()),
        ("Content-Length", metadata.size.to_string()),
        ("Content-Disposition", disposition(&file_name(&metadata.file_name))),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Content-Security-Policy", "default-src 'none'; sandbox".to_owned()),
        ("Referrer-Policy", "no-referrer".to_owned()),
        ("Cache-Control", "private, max-age=3600".to_owned()),
        ("ETag", format!("\"{}\"", metadata.sha256)),
    ]
}

/// Types that are served as they are. All others are served as plain text or as bytes: a list of what is safe stays
/// safe when a new active type comes up.
fn served_type(media_type: &str) -> &str {
    match media_type {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "application/pdf" | "application/json"
        | "application/zip" | "application/gzip" => media_type,
        "text/csv" => "text/csv; charset=utf-8",
        "text/markdown" => "text/markdown; charset=utf-8",
        // A browser would show it as a page; as bytes it can only be saved.
        "text/html" => "application/octet-stream",
        audio if audio.starts_with("audio/") || audio.starts_with("video/") => audio,
        office if office.starts_with("application/vnd.openxmlformats-officedocument.") => office,
        office if office.starts_with("application/vnd.oasis.opendocument.") => office,
        text if text.starts_with("text/") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// RFC 6266: a plain name for old clients, and the real one in the encoding of RFC 8187.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|character| match character {
            // What would end the quoted string, or what some clients decode inside it.
            '"' | '\\' | '%' => '_',
            shown if shown.is_ascii_graphic() || shown == ' ' => shown,
            _ => '_',
        })
        .collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    value.push(char::from(byte));
                }
                other => write!(value, "%{other:02X}").expect("writing to a String cannot fail"),
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{media_type::MediaType, name::display_name, store::Sha256Digest};

    fn header(file_name: &str, media_type: &MediaType, name: &str) -> String {
        let metadata = ArtifactMetadata {
            file_name: file_name.to_owned(),
            media_type: media_type.clone(),
            size: 3,
            sha256: Sha256Digest::of(b"abc"),
            trigger: "t".to_owned(),
            created: 0,
        };
        content_headers(&metadata).into_iter().find(|(key, _)| *key == name).unwrap().1
    }

    #[test]
    fn what_a_browser_would_run_is_served_as_text_or_bytes() {
        for (content, name, served) in [
            (&b"<script>alert(1)</script>"[..], "a.html", "application/octet-stream"),
            (b"<svg onload='alert(1)'/>", "a.svg", "application/octet-stream"),
            (b"<a/>", "a.xml", "application/octet-stream"),
            (b"<html/>", "a.xhtml", "application/octet-stream"),
            (b"alert(1)", "a.js", "text/plain; charset=utf-8"),
            (b"a {}", "a.css", "text/plain; charset=utf-8"),
            (b"a,b", "a.csv", "text/csv; charset=utf-8"),
            (b"\x89PNG\r\n\x1a\n", "a.png", "image/png"),
            (b"\0", "a.swf", "application/octet-stream"),
        ] {
            let media_type = MediaType::detect(content, name);
            assert_eq!(header(name, &media_type, "Content-Type"), served, "{name}");
            assert!(header(name, &media_type, "Content-Disposition").starts_with("attachment"));
        }
    }

    #[test]
    fn the_fixed_walls_are_there() {
        let of = |name| header("a.txt", &MediaType::PLAIN_TEXT, name);
        assert_eq!(of("X-Content-Type-Options"), "nosniff");
        assert!(of("Content-Security-Policy").contains("sandbox"));
        assert!(of("Cache-Control").starts_with("private"));
        assert_eq!(of("Content-Length"), "3");
        assert_eq!(of("ETag").len(), 66);
    }

    #[test]
    fn names_are_given_in_both_forms() {
        let of = |name| header(name, &MediaType::PLAIN_TEXT, "Content-Disposition");
        assert_eq!(of("charts/qr.png"), "attachment; filename=\"qr.png\"");
        assert_eq!(
            of("größe 1.txt"),
            "attachment; filename=\"gr__e 1.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.txt"
        );
        assert_eq!(of("50%.txt"), "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt");
        assert_eq!(of("a\"; filename=\"b.exe"), "attachment; filename=\"a_; filename=_b.exe\"");
    }

    /// Header injection: whatever the file is called, one line of visible ASCII comes out.
    #[test]
    fn any_name_gives_one_valid_header_line() {
        proptest!(|(name in prop::collection::vec(any::<u8>(), 0..60), raw in any::<String>())| {
            for name in [display_name(&name), raw] {
                let value = header(&name, &MediaType::PLAIN_TEXT, "Content-Disposition");
                prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{:?}", value);
                prop_assert_eq!(value.matches('"').count(), 2);
            }
        });
    }
}
