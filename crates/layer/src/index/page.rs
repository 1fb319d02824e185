//! A page of a simple index: which files a project has, in both forms that indexes speak.
//!
//! Only wheels are kept, with names that are sound as a path segment; nothing else could be installed. What is dropped is
//! counted, so that somebody can say that there are only source packages.

use std::collections::BTreeMap;

use reqwest::Url;
use serde::Deserialize;

/// What is asked for: JSON rather than HTML.
pub(crate) const ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// Bound on the files of one project.
const MAX_FILES: usize = 100_000;

/// One wheel that an index offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `kit-1.0-py3-none-any.whl`
    pub(crate) filename: String,
    /// Where it is, without a fragment.
    pub(crate) url: Url,
    /// By algorithm.
    pub(crate) hashes: BTreeMap<String, String>,
    pub(crate) requires_python: Option<String>,
    pub(crate) yanked: Option<String>,
    pub(crate) upload_time: Option<String>,
    /// Whether the index has its metadata as a file beside it.
    pub(crate) has_metadata: bool,
}

/// The wheels of a project.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Files that are no wheels.
    pub(crate) others: usize,
}

#[derive(Deserialize)]
struct JsonPage {
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile {
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    requires_python: Option<String>,
    yanked: Option<serde_json::Value>,
    upload_time: Option<String>,
    core_metadata: Option<serde_json::Value>,
    dist_info_metadata: Option<serde_json::Value>,
}

/// Reads a page that came from `base`.
pub(crate) fn read(body: &[u8], media_type: &str, base: &Url) -> Result<Page, &'static str> {
    let mut page = Page::default();
    if media_type.contains("json") {
        let json: JsonPage = serde_json::from_slice(body).map_err(|_| "a page that is no sound JSON")?;
        for file in json.files {
            let has = |value: &Option<serde_json::Value>| {
                value.as_ref().is_some_and(|value| {
                    !matches!(value, serde_json::Value::Bool(false) | serde_json::Value::Null)
                })
            };
            let yanked = file.yanked.and_then(|value| match value {
                serde_json::Value::Bool(true) => Some(String::new()),
                serde_json::Value::String(reason) => Some(reason),
                _ => None,
            });
            let has_metadata = has(&file.core_metadata) || has(&file.dist_info_metadata);
            page.add(&file.url, base, |entry| {
                entry.hashes.extend(file.hashes);
                entry.requires_python = file.requires_python;
                entry.yanked = yanked;
                entry.upload_time = file.upload_time;
                entry.has_metadata = has_metadata;
            })?;
        }
        return Ok(page);
    }
    let text = String::from_utf8_lossy(body);
    // A login page is HTML as well; a page of an index says so or has at least a link or the word.
    let lower = text.to_ascii_lowercase();
    if lower.contains("<form")
        || !(lower.contains("<a") || lower.contains("pypi:repository-version") || lower.contains("links for"))
    {
        return Err("a page that is none of an index");
    }
    let mut base = base.clone();
    for tag in tags(&text) {
        let attributes = attributes(tag.rest);
        let value =
            |name: &str| attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        if tag.name.eq_ignore_ascii_case("base") {
            if let Some(url) = value("href").and_then(|href| base.join(&href).ok()) {
                base = url;
            }
        } else if let Some(href) = value("href") {
            page.add(&href, &base, |entry| {
                entry.requires_python = value("data-requires-python");
                entry.yanked = value("data-yanked");
                entry.has_metadata = value("data-core-metadata")
                    .or_else(|| value("data-dist-info-metadata"))
                    .is_some_and(|value| value != "false");
            })?;
        }
    }
    Ok(page)
}

impl Page {
    fn add(&mut self, href: &str, base: &Url, fill: impl FnOnce(&mut Entry)) -> Result<(), &'static str> {
        if self.entries.len() + self.others >= MAX_FILES {
            return Err("a page with too many files");
        }
        // What cannot be a URL is no file.
        let Ok(mut url) = base.join(href.trim()) else { return Ok(()) };
        let fragment = url.fragment().map(str::to_owned);
        url.set_fragment(None);
        let filename = url
            .path()
            .rsplit('/')
            .next()
            .map(|last| percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned());
        let Some(filename) = filename.filter(|name| is_wheel(name)) else {
            self.others += 1;
            return Ok(());
        };
        let hashes = fragment.and_then(|fragment| {
            let (algorithm, digest) = fragment.split('&').next()?.split_once('=')?;
            Some((algorithm.to_ascii_lowercase(), digest.to_owned()))
        });
        let mut entry = Entry {
            filename,
            url,
            hashes: hashes.into_iter().collect(),
            requires_python: None,
            yanked: None,
            upload_time: None,
            has_metadata: false,
        };
        fill(&mut entry);
        // What is no hash would only confuse the tools.
        let known = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
        entry.hashes.retain(|algorithm, digest| {
            known.contains(&(algorithm.as_str(), digest.len()))
                && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        self.entries.push(entry);
        Ok(())
    }
}

/// `name-version(-build)-python-abi-platform.whl` in the characters that such names have.
pub(crate) fn is_wheel(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".whl") else { return false };
    (5..=6).contains(&stem.split('-').count())
        && name.len() <= 255
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+!".contains(&byte))
        && !stem.starts_with('.')
}

/// The project that a wheel belongs to.
pub(crate) fn project(filename: &str) -> String {
    crate::requirement::normalize(filename.split('-').next().unwrap_or_default())
}

struct Tag<'a> {
    name: &'a str,
    rest: &'a str,
}

/// The opening `a` and `base` tags of a text.
fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    text.split('<').skip(1).filter_map(|piece| {
        let end = piece.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        (name.eq_ignore_ascii_case("a") || name.eq_ignore_ascii_case("base")).then_some(Tag { name, rest })
    })
}

/// `name="value"` up to the end of the tag; a `>` in quotes is part of a value, as in `data-requires-python=">=3.8"`.
fn attributes(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        let end =
            rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return found;
        }
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            found.push((name.to_ascii_lowercase(), String::new()));
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.split_once(quote));
        let (value, after) = quoted.unwrap_or_else(|| {
            value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len()))
        });
        found.push((name.to_ascii_lowercase(), decode(value)));
        rest = after;
    }
}

/// The entities that indexes write.
fn decode(text: &str) -> String {
    let named = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#43;", "+"),
        ("&#x2B;", "+"),
        ("&amp;", "&"),
    ];
    named.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://index.example/simple/kit/").unwrap()
    }

    #[test]
    fn html_is_read() {
        let hash = "a".repeat(64);
        let text = format!(
            "<!DOCTYPE html><A class=x data-requires-python=\"&gt;=3.8, >2\" href='../../f/kit-1.0-py3-none-any.whl#sha256={hash}'>kit</A>\n\
             <a href=\"kit-1.0.tar.gz\">s</a><a data-yanked href=https://files.example/kit-2.0-py3-none-any.whl>x</a>\
             <a href=\"..%2f..%2fetc/p%2fkit-3.0-py3-none-any.whl\">x</a>"
        );
        let page = read(text.as_bytes(), "text/html", &base()).unwrap();
        assert_eq!(page.others, 2);
        let [first, second] = &page.entries[..] else { panic!("{page:?}") };
        assert_eq!(first.url.as_str(), "https://index.example/f/kit-1.0-py3-none-any.whl");
        assert_eq!(first.requires_python.as_deref(), Some(">=3.8, >2"));
        assert_eq!(first.hashes.get("sha256"), Some(&hash));
        assert_eq!((second.url.host_str(), second.yanked.as_deref()), (Some("files.example"), Some("")));
    }

    #[test]
    fn json_is_read() {
        let text = r#"{"meta":{},"files":[{"filename":"ignored","url":"kit-1.0-py3-none-any.whl","hashes":{"sha256":"zz"},
            "core-metadata":{"sha256":"x"},"yanked":false},{"url":"kit-1.0.zip","yanked":"why"}]}"#;
        let page = read(text.as_bytes(), "application/vnd.pypi.simple.v1+json", &base()).unwrap();
        assert_eq!((page.entries.len(), page.others), (1, 1));
        assert!(
            page.entries[0].hashes.is_empty()
                && page.entries[0].has_metadata
                && page.entries[0].yanked.is_none()
        );
        assert!(read(b"{", "application/json", &base()).is_err());
    }

    #[test]
    fn a_login_page_is_no_index() {
        assert!(read(b"<html><form action=/login><a href=x>y</a></form>", "text/html", &base()).is_err());
        assert!(read(b"hello", "text/plain", &base()).is_err());
        assert!(read(b"<html><body><h1>Links for kit</h1></body></html>", "text/html", &base()).is_ok());
    }

    #[test]
    fn names_of_wheels_are_segments() {
        assert!(is_wheel("a_b-1.0+x-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"));
        for bad in [
            "a.whl",
            "a-1-py3-none-any.tar.gz",
            "../a-1-py3-none-any.whl",
            "a-1-py3-none-a\nb.whl",
            ".a-1-py3-none-any.whl",
        ] {
            assert!(!is_wheel(bad), "{bad}");
        }
    }
}
