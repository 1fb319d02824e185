//! Files that are not what their names say: other contents, macros, programs with hidden names. Only their heads are read.

use infer::MatcherType;
use skill::{Diagnostic, Location, Rule};

use crate::{
    paths::{extension, name},
    subject::{Findings, Subject},
};

/// How much of a file is looked at, in bytes.
const HEAD: u64 = 64 * 1024;
/// How an OLE file, the container of old office documents, begins.
const OLE: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let path = file.path.as_str();
        let Ok(head) = subject.draft.read(path, HEAD) else { continue };
        if let Some(diagnostic) = mismatch(path, &head).or_else(|| macros(path, &head)) {
            findings.push(diagnostic);
        }
        if is_hidden(path) && is_runnable(path, &head, file.executable) {
            findings.push(
                Diagnostic::new(
                    Rule::HIDDEN_PROGRAM,
                    Location::file(path),
                    "this program is hidden from listings",
                )
                .with_help("give it a name without a dot at its beginning, or remove it"),
            );
        }
    }
}

/// What a file is, for comparison: kinds that are often taken for another on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    Archive,
    Image(&'static str),
    Document,
    Font,
    Media,
    Text,
}

fn of_content(head: &[u8]) -> Option<(Kind, &'static str)> {
    let kind = infer::get(head)?;
    let what = match (kind.matcher_type(), kind.extension()) {
        (MatcherType::App, "elf" | "exe" | "dll" | "mach" | "wasm" | "class" | "dex" | "dey" | "com") => {
            Kind::Program
        }
        (MatcherType::Archive, "pdf" | "rtf" | "epub") | (MatcherType::Doc, _) => Kind::Document,
        (
            MatcherType::Archive,
            "zip" | "gz" | "7z" | "rar" | "xz" | "bz2" | "zst" | "deb" | "rpm" | "cab",
        ) => Kind::Archive,
        (MatcherType::Image, "jpg" | "png" | "gif" | "webp") => Kind::Image(kind.extension()),
        (MatcherType::Audio | MatcherType::Video, _) => Kind::Media,
        (MatcherType::Font, _) => Kind::Font,
        _ => return None,
    };
    Some((what, kind.mime_type()))
}

fn of_name(path: &str) -> Option<Kind> {
    Some(match extension(path).as_str() {
        "jpg" | "jpeg" | "jpe" | "jfif" => Kind::Image("jpg"),
        "png" | "apng" => Kind::Image("png"),
        "gif" => Kind::Image("gif"),
        "webp" => Kind::Image("webp"),
        "pdf" => Kind::Document,
        "zip" | "gz" | "tgz" | "7z" | "rar" | "xz" | "bz2" | "zst" => Kind::Archive,
        "ttf" | "otf" | "woff" | "woff2" => Kind::Font,
        "mp3" | "mp4" | "wav" | "ogg" | "mov" | "webm" | "flac" | "m4a" | "avi" => Kind::Media,
        "md" | "txt" | "py" | "sh" | "bash" | "js" | "mjs" | "cjs" | "ts" | "json" | "yaml" | "yml"
        | "toml" | "csv" | "html" | "css" | "xml" | "svg" | "tex" => Kind::Text,
        _ => return None,
    })
}

fn mismatch(path: &str, head: &[u8]) -> Option<Diagnostic> {
    let (found, media_type) = of_content(head)?;
    let said = of_name(path)?;
    // Some text begins like a binary file by chance.
    let is_text = !head.contains(&0);
    if found == said || said == Kind::Text && is_text {
        return None;
    }
    let message = match found {
        Kind::Program => format!("this is a program ({media_type}), not what its name says"),
        _ => format!("the content is {media_type}, not what the name says"),
    };
    Some(
        Diagnostic::new(Rule::CONTENT_MISMATCH, Location::file(path), message)
            .with_help("give it the name of what it is, or remove it"),
    )
}

fn macros(path: &str, head: &[u8]) -> Option<Diagnostic> {
    let by_name = matches!(
        extension(path).as_str(),
        "docm" | "dotm" | "xlsm" | "xltm" | "xlam" | "pptm" | "potm" | "ppsm" | "ppam"
    );
    let is_zip = head.starts_with(b"PK\x03\x04");
    let has = |needle: &[u8]| memchr::memmem::find(head, needle).is_some();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let in_zip = is_zip && has(b"vbaProject.bin");
    let in_ole = head.starts_with(OLE) && (has(&wide("_VBA_PROJECT")) || has(&wide("Macros")));
    (by_name && (is_zip || head.starts_with(OLE)) || in_zip || in_ole).then(|| {
        Diagnostic::new(Rule::CONTENT_MISMATCH, Location::file(path), "this document may run macros")
            .with_help("save it in a format without macros")
    })
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.') && part.len() > 1)
        // Hooks and workflows of repositories have their places.
        && ![".github/", ".husky/", ".devcontainer/", ".claude/", ".claude-plugin/", ".storybook/"]
            .iter()
            .any(|known| path.starts_with(known) || path.contains(&format!("/{known}")))
}

fn is_runnable(path: &str, head: &[u8], executable: bool) -> bool {
    let program = matches!(
        extension(path).as_str(),
        "py" | "sh" | "bash" | "zsh" | "rb" | "pl" | "ps1" | "bat" | "cmd" | "exe" | "js" | "mjs" | "cjs"
    );
    // `.eslintrc.js` and its like configure tools.
    let configures = name(path).contains("rc.") || name(path).contains(".config.");
    executable
        || head.starts_with(b"#!")
        || program && !configures
        || matches!(of_content(head), Some((Kind::Program, _)))
}

#[cfg(test)]
mod tests {
    use skill::Draft;

    use super::*;
    use crate::{Options, check};

    fn found(path: &str, bytes: &[u8]) -> Vec<String> {
        let draft = Draft::from_files([(path, bytes)], None).unwrap();
        check(&draft, &Options::default())
            .into_iter()
            .filter(|diagnostic| [Rule::CONTENT_MISMATCH, Rule::HIDDEN_PROGRAM].contains(&diagnostic.rule))
            .map(|diagnostic| diagnostic.message)
            .collect()
    }

    const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

    #[test]
    fn contents_are_compared_with_names() {
        assert_eq!(
            found("a.png", ELF),
            ["this is a program (application/x-executable), not what its name says"]
        );
        assert_eq!(found("a.jpg", PNG), ["the content is image/png, not what the name says"]);
        assert_eq!(found("a.md", ELF).len(), 1);
        assert_eq!(
            found("a.docx", b"PK\x03\x04................word/vbaProject.bin"),
            ["this document may run macros"]
        );
        for (path, bytes) in [
            ("a.png", PNG),
            ("a", ELF),
            ("a.so", ELF),
            ("a.txt", b"MZ is a text"),
            ("a.md", b"BM is one, too"),
        ] {
            assert_eq!(found(path, bytes), [""; 0], "{path}");
        }
    }

    #[test]
    fn hidden_programs_are_found() {
        for (path, bytes) in [("scripts/.x.sh", &b"echo"[..]), (".cache/x", b"#!/bin/sh"), (".x", ELF)] {
            assert_eq!(found(path, bytes), ["this program is hidden from listings"], "{path}");
        }
        for (path, bytes) in
            [(".gitignore", &b"x"[..]), (".eslintrc.js", b"x"), ("scripts/x.sh", b"#!/bin/sh")]
        {
            assert_eq!(found(path, bytes), [""; 0], "{path}");
        }
    }
}
