//! What a skill's Python scripts need: `requirements.txt` as text, and inline script metadata (PEP 723) parsed.
//!
//! Nothing is resolved or installed here; whoever does that gets exactly what the author wrote.

use serde::Deserialize;

/// Everything that a skill says about Python packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// `requirements.txt` at the root and in `scripts/`.
    pub files: Vec<RequirementsFile>,
    /// The scripts that carry inline metadata.
    pub scripts: Vec<ScriptRequirements>,
}

impl Requirements {
    /// Whether the skill needs nothing but the standard library, as far as it says.
    pub fn is_empty(&self) -> bool {
        self.files.iter().all(|file| file.lines().next().is_none())
            && self.scripts.iter().all(|script| script.dependencies.is_empty())
    }
}

/// A `requirements.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequirementsFile {
    /// Path relative to the skill's root.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl RequirementsFile {
    /// The lines that are neither blank nor comments; continued lines are not joined.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }
}

/// The text of a `requirements.txt`: UTF-8, UTF-16 with its mark as some editors write it, or ASCII whose comments are in Latin-1.
/// `None` for anything else: which package is meant must not be a guess.
pub(crate) fn decoded(bytes: Vec<u8>) -> Option<String> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let text = String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<u16>>());
        text.ok().filter(|_| odd.is_empty())
    };
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        return utf16(rest, u16::from_le_bytes);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        return utf16(rest, u16::from_be_bytes);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let bytes = error.into_bytes();
            let is_plain = |line: &[u8]| {
                let comment = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
                line[..comment].is_ascii()
            };
            let latin = || bytes.iter().map(|byte| char::from(*byte)).collect();
            bytes.split(|byte| *byte == b'\n').all(is_plain).then(latin)
        }
    }
}

/// The inline metadata of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScriptRequirements {
    /// Path of the script relative to the skill's root.
    pub path: String,
    /// The block as TOML, without the comment marks.
    pub text: String,
    /// Requirement specifiers (PEP 508).
    pub dependencies: Vec<String>,
    /// Version specifier of Python.
    pub requires_python: Option<String>,
}

/// Why inline metadata cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("more than one `# /// script` block")]
    Twice,
    #[error("the `# /// script` block is not valid: {0}")]
    Toml(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    dependencies: Vec<String>,
    requires_python: Option<String>,
}

/// Reads the inline metadata of the script `path`; `None` when it has none.
pub(crate) fn script_metadata(path: &str, source: &str) -> Result<Option<ScriptRequirements>, MetadataError> {
    let mut blocks = blocks(source);
    let Some(text) = blocks.next() else { return Ok(None) };
    if blocks.next().is_some() {
        return Err(MetadataError::Twice);
    }
    let metadata: Metadata =
        toml::from_str(&text).map_err(|error| MetadataError::Toml(error.message().replace('\n', " ")))?;
    Ok(Some(ScriptRequirements {
        path: path.to_owned(),
        text,
        dependencies: metadata.dependencies,
        requires_python: metadata.requires_python,
    }))
}

/// The contents of all closed `# /// script` blocks.
fn blocks(source: &str) -> impl Iterator<Item = String> {
    let mut lines = source.lines().map(str::trim_end).peekable();
    std::iter::from_fn(move || {
        loop {
            if lines.next()? != "# /// script" {
                continue;
            }
            let mut content = Vec::new();
            let mut closed_at = None;
            while let Some(line) = lines.next_if(|line| *line == "#" || line.starts_with("# ")) {
                if line == "# /// script" {
                    // A block inside a block: what the first one means is open, so both are seen.
                    break;
                }
                // The last closing mark of the run ends the block, as the standard's expression is greedy.
                if line == "# ///" {
                    closed_at = Some(content.len());
                }
                content.push(line.strip_prefix("# ").unwrap_or_default());
            }
            // A block that is never closed is an ordinary comment.
            if let Some(end) = closed_at {
                content.truncate(end);
                return Some(content.iter().flat_map(|line| [line, "\n"]).collect());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_in_the_encodings_that_editors_write() {
        let text = "qrcode==8.2 # c\u{f3}digos\r\n";
        let units = |unit: fn(u16) -> [u8; 2], mark: &[u8]| {
            [mark, &text.encode_utf16().flat_map(unit).collect::<Vec<u8>>()].concat()
        };
        assert_eq!(decoded(text.as_bytes().to_vec()).as_deref(), Some(text));
        assert_eq!(decoded([b"\xef\xbb\xbf", text.as_bytes()].concat()).as_deref(), Some(text));
        assert_eq!(decoded(units(u16::to_le_bytes, b"\xff\xfe")).as_deref(), Some(text));
        assert_eq!(decoded(units(u16::to_be_bytes, b"\xfe\xff")).as_deref(), Some(text));
        assert_eq!(decoded(b"qrcode==8.2 # c\xf3digos\r\n".to_vec()).as_deref(), Some(text));
        // A name that is a guess, and half a character.
        assert_eq!(decoded(b"qrc\xf3de==8.2\n".to_vec()), None);
        assert_eq!(decoded(b"\xff\xfea".to_vec()), None);
    }

    #[test]
    fn a_block_is_read() {
        let source = "#!/usr/bin/env -S uv run --script\r\n# /// script\r\n# requires-python = \">=3.11\"\r\n# dependencies = [\r\n\
            #   \"qrcode[pil]>=7\", # codes\r\n#\r\n#   'rich',\r\n# ]\r\n# [tool.uv]\r\n# x = 1\r\n# ///\r\nimport qrcode\r\n";
        let found = script_metadata("scripts/a.py", source).unwrap().unwrap();
        assert_eq!(found.dependencies, ["qrcode[pil]>=7", "rich"]);
        assert_eq!(found.requires_python.as_deref(), Some(">=3.11"));
        assert!(found.text.starts_with("requires-python = \">=3.11\"\n"));
    }

    #[test]
    fn what_is_no_block_is_left_alone() {
        for source in [
            "",
            "# /// script\n# dependencies = []\nimport x\n# ///\n",
            "# /// other\n# x = 1\n# ///\n",
            " # /// script\n # ///",
        ] {
            assert_eq!(script_metadata("a.py", source), Ok(None), "{source:?}");
        }
    }

    #[test]
    fn broken_blocks_are_reported() {
        let twice = "# /// script\n# ///\n\n# /// script\n# ///\n";
        assert_eq!(script_metadata("a.py", twice), Err(MetadataError::Twice));
        let number = "# /// script\n# dependencies = 3\n# ///\n";
        assert!(matches!(script_metadata("a.py", number), Err(MetadataError::Toml(_))));
    }

    #[test]
    fn only_comments_need_nothing() {
        let file = |text: &str| Requirements {
            files: vec![RequirementsFile { path: "requirements.txt".to_owned(), text: text.to_owned() }],
            scripts: Vec::new(),
        };
        assert!(Requirements::default().is_empty());
        assert!(file("# nothing\n\n").is_empty());
        assert!(!file("# something\nqrcode[pil]\n").is_empty());
    }
}
