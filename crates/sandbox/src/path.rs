//! Paths inside a sandbox, as tool calls name them.
//!
//! Only the words are checked here: absolute or taken from `/workspace`, no way out by `..`, below one of the
//! allowed directories. What the path really leads to (links!) is decided by init, with the kernel's help, when
//! it opens the file.

use std::fmt;

use crate::layout;

/// An absolute, normalized path below `/workspace`, `/output` or `/skills`, or one that the runner itself chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SandboxPath(String);

/// Why a text is not a usable path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is empty, too long, or has a NUL in it.
    #[error("malformed path")]
    Malformed,
    /// It leaves the readable directories.
    #[error("path is outside of the readable directories")]
    Outside,
    /// It is readable, not writable.
    #[error("path is not writable")]
    NotWritable,
}

/// Longest path that Linux takes, in bytes, less its NUL.
const PATH_MAX: usize = 4095;

impl SandboxPath {
    /// A path to read.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn readable(text: &str) -> Result<Self, PathError> {
        let path = normalize(text)?;
        if layout::READABLE.iter().any(|root| is_below(&path, root)) {
            Ok(Self(path))
        } else {
            Err(PathError::Outside)
        }
    }

    /// A path to write.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn writable(text: &str) -> Result<Self, PathError> {
        let path = Self::readable(text)?;
        if layout::WRITABLE.iter().any(|root| is_below(path.as_str(), root)) {
            Ok(path)
        } else {
            Err(PathError::NotWritable)
        }
    }

    /// Where the code of a call is kept while it runs, so that a traceback can show its lines: outside of the
    /// workspace, so that programs do not stumble over it.
    #[must_use]
    pub fn code_file(number: u64, extension: &str) -> Self {
        Self(format!("{}/code/{number}.{extension}", layout::TMP))
    }

    /// A file that leads Python's search from the user base [`layout::UNITED`] to several layers; `site` is where packages
    /// are in a user base.
    #[must_use]
    pub fn united(site: &str) -> Self {
        Self(format!("{}/{site}/layers.pth", layout::UNITED))
    }

    /// The list of packages that an image has, where it has one.
    #[must_use]
    pub fn packages() -> Self {
        Self(format!("{}/packages.json", layout::SHARE))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a file here is captured.
    #[must_use]
    pub fn is_output(&self) -> bool {
        is_below(&self.0, layout::OUTPUT)
    }
}

impl fmt::Display for SandboxPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn normalize(text: &str) -> Result<String, PathError> {
    if text.is_empty() || text.len() > PATH_MAX || text.contains('\0') {
        return Err(PathError::Malformed);
    }
    let absolute =
        if text.starts_with('/') { text.to_owned() } else { format!("{}/{text}", layout::WORKSPACE) };
    let mut parts: Vec<&str> = Vec::new();
    for part in absolute.split('/') {
        match part {
            "" | "." => {}
            // Above the root is still the root, as in the kernel; the check for allowed directories follows.
            ".." => {
                let _ = parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, PathError>) {
        assert_eq!(
            SandboxPath::readable(text).as_ref().map(SandboxPath::as_str),
            expected.as_ref().copied(),
            "{text}"
        );
    }

    #[test]
    fn paths_are_normalized_and_kept_inside() {
        check("a.csv", Ok("/workspace/a.csv"));
        check("./a//b/", Ok("/workspace/a/b"));
        check("/output/../workspace/x", Ok("/workspace/x"));
        check("/skills/qr/SKILL.md", Ok("/skills/qr/SKILL.md"));
        check("../output/x", Ok("/output/x"));
        check("/etc/shadow", Err(PathError::Outside));
        check("../../etc/shadow", Err(PathError::Outside));
        check("/outputs/x", Err(PathError::Outside));
        check("/proc/1/mem", Err(PathError::Outside));
        check("", Err(PathError::Malformed));
        check("a\0b", Err(PathError::Malformed));
    }

    #[test]
    fn skills_are_not_writable() {
        assert_eq!(SandboxPath::writable("/skills/a/x"), Err(PathError::NotWritable));
        assert_eq!(SandboxPath::writable("/tmp/x"), Err(PathError::Outside));
        assert!(SandboxPath::writable("/output/x").is_ok_and(|path| path.is_output()));
    }
}
