//! For which Python a layer is made.
//!
//! Compiled wheels and byte code fit one minor version on one platform, so both are part of a layer's key. The
//! version of the embedded default is read from the link that `/usr/bin/python3` is, because starting an
//! interpreter only to ask it would cost every run 20 ms.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use crate::error::LayerError;

/// The Python inside the sandbox, and the interpreter of the host that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Version of the sandbox's Python.
    pub version: PythonVersion,
    /// An interpreter on the host with that version and platform: on the embedded default, the one that sandboxes
    /// see. Without one (the sandbox is an image), uv works from version and platform alone, and pip with any
    /// `pythonX.Y` of that version on the path.
    pub interpreter: Option<PathBuf>,
    /// Platform of the sandbox.
    pub platform: Platform,
}

impl Target {
    /// The target whose interpreter is an executable of this host, such as `/usr/bin/python3`.
    pub fn of_interpreter(interpreter: &Path) -> Result<Self, LayerError> {
        let version = version_in_name(interpreter).map_or_else(|| ask_version(interpreter), Ok)?;
        Ok(Self { version, interpreter: Some(interpreter.to_owned()), platform: Platform::host() })
    }
}

/// A platform that wheels are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Architecture as in `uname -m`.
    pub arch: String,
    /// C library.
    pub libc: Libc,
}

/// The C library of a Linux platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// glibc, as in Debian.
    Gnu,
    /// musl, as in Alpine.
    Musl,
}

impl Platform {
    /// This machine. With an interpreter at hand the tools ask it for what it really takes; this is the name for it.
    pub fn host() -> Self {
        Self { arch: std::env::consts::ARCH.to_owned(), libc: Libc::Gnu }
    }
}

/// The target triple, which is also how uv names platforms.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let libc = match self.libc {
            Libc::Gnu => "gnu",
            Libc::Musl => "musl",
        };
        write!(f, "{}-unknown-linux-{libc}", self.arch)
    }
}

/// A CPython version. The patch level may be unknown; nothing in a layer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonVersion {
    /// 3
    pub major: u32,
    /// 11
    pub minor: u32,
    /// 2, when known.
    pub patch: Option<u32>,
}

/// `3.11`: what byte code and wheels depend on.
impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is not a version such as `3.11` or `3.11.2`.
#[derive(Debug, thiserror::Error)]
#[error("not a Python version such as `3.11`")]
pub struct VersionError;

impl FromStr for PythonVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let parts = release(text).ok_or(VersionError)?;
        match parts[..] {
            [major, minor] => Ok(Self { major, minor, patch: None }),
            [major, minor, patch] => Ok(Self { major, minor, patch: Some(patch) }),
            _ => Err(VersionError),
        }
    }
}

impl PythonVersion {
    /// Whether a `requires-python` such as `>=3.9,<4,!=3.10.*` admits this version. An unknown patch level counts
    /// as one that would do; pre-releases count as their release.
    pub(crate) fn satisfies(self, requires: &str) -> Result<bool, LayerError> {
        let invalid = || LayerError::InvalidRequiresPython { text: crate::requirement::shorten(requires) };
        let mut all = true;
        for clause in requires.split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
            let end = clause.find(|c| !"=<>!~".contains(c)).ok_or_else(invalid)?;
            let (operator, version) = clause.split_at(end);
            all &= self.satisfies_clause(operator, version.trim()).ok_or_else(invalid)?;
        }
        Ok(all)
    }

    fn satisfies_clause(self, operator: &str, version: &str) -> Option<bool> {
        let (version, prefix) = match version.strip_suffix(".*") {
            Some(version) if matches!(operator, "==" | "!=") => (version, true),
            Some(_) => return None,
            None => (version, false),
        };
        let wanted = release(version.split_once(['a', 'b', 'r']).map_or(version, |(release, _)| release))?;
        let mut have = vec![self.major, self.minor];
        have.extend(self.patch);
        if self.patch.is_none() && wanted.len() > 2 && wanted[..2] == have[..2] {
            // Only the unknown patch level could decide, so the bundle gets the benefit of the doubt.
            return Some(true);
        }
        let starts_with = |prefix: &[u32]| {
            let mut padded = have.clone();
            padded.resize(have.len().max(prefix.len()), 0);
            padded.starts_with(prefix)
        };
        let length = have.len().max(wanted.len());
        let (mut left, mut right) = (have.clone(), wanted.clone());
        left.resize(length, 0);
        right.resize(length, 0);
        Some(match operator {
            "==" | "===" => {
                if prefix {
                    starts_with(&wanted)
                } else {
                    left == right
                }
            }
            "!=" => {
                if prefix {
                    !starts_with(&wanted)
                } else {
                    left != right
                }
            }
            ">=" => left >= right,
            "<=" => left <= right,
            ">" => left > right,
            "<" => left < right,
            "~=" => wanted.len() >= 2 && left >= right && starts_with(&wanted[..wanted.len() - 1]),
            _ => return None,
        })
    }
}

fn release(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

/// `python3` is a link to `python3.11` on Debian and most others: the name at the end of the links tells.
fn version_in_name(interpreter: &Path) -> Option<PythonVersion> {
    let file = fs::canonicalize(interpreter).ok()?;
    file.file_name()?.to_str()?.strip_prefix("python")?.parse().ok()
}

fn ask_version(interpreter: &Path) -> Result<PythonVersion, LayerError> {
    let failed = |reason: String| LayerError::Interpreter { path: interpreter.to_owned(), reason };
    let output = Command::new(interpreter)
        .args(["-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
        .env_clear()
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| failed(format!("it did not tell its version ({})", output.status)))
}

#[cfg(test)]
mod tests {
    //! Version ranges against known answers, and the interpreter of this machine.

    use super::*;

    #[test]
    fn requires_python_is_understood() {
        let check = |have: &str, requires: &str, expected: bool| {
            let version: PythonVersion = have.parse().unwrap();
            assert_eq!(version.satisfies(requires).unwrap(), expected, "{have} {requires}");
        };
        check("3.11.2", ">=3.9", true);
        check("3.11.2", ">= 3.9 , < 4", true);
        check("3.11.2", ">=3.12", false);
        check("3.11.2", "<3.11", false);
        check("3.11.2", ">3.11", true);
        check("3.11.0", ">3.11", false);
        check("3.11.2", "<=3.11", false);
        check("3.11.2", "==3.11.*", true);
        check("3.11.2", "==3.1.*", false);
        check("3.11.2", "!=3.11.*", false);
        check("3.11.2", "==3.11", false);
        check("3.11.2", "~=3.9", true);
        check("3.11.2", "~=3.11.1", true);
        check("3.11.2", "~=3.10.1", false);
        check("3.11.2", "~=4.0", false);
        check("3.11.2", ">=3.12.0b1", false);
        check("3.11", ">=3.11.4", true);
        check("3.11", ">=3.12.1", false);
        check("3.11", "", true);
    }

    #[test]
    fn nonsense_is_refused() {
        let version: PythonVersion = "3.11".parse().unwrap();
        for text in ["3.11", ">=x", "=>3", ">=3.*", ">=", "~3", ">=3; os.system('x')", ">=99999999999"] {
            assert!(version.satisfies(text).is_err(), "{text}");
        }
        assert!("3".parse::<PythonVersion>().is_err());
        assert!("3.11.2.1".parse::<PythonVersion>().is_err());
    }

    #[test]
    fn the_name_and_the_interpreter_agree() {
        let path = Path::new("/usr/bin/python3");
        let asked = ask_version(path).unwrap();
        let target = Target::of_interpreter(path).unwrap();
        assert_eq!(target.version.to_string(), asked.to_string());
        assert!(Target::of_interpreter(Path::new("/nowhere/python3")).is_err());
    }
}
