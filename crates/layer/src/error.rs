//! The ways in which a layer cannot be had.
//!
//! Each variant tells whose turn it is: [`LayerError::is_fault_of_skill`] is for the author of the skill, the rest
//! is for who runs the machine. [`LayerError::hint`] says what to do next, [`LayerError::detail`] keeps the full
//! output of pip or uv for those who want to read it.

use std::{io, path::PathBuf, time::Duration};

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// A line of a requirement file is not a plain requirement. Nothing was started.
    #[error("`{text}` in {source_name} line {line} is refused: {reason}")]
    Refused {
        /// The file in the skill.
        source_name: String,
        /// Its line, from 1.
        line: usize,
        /// The line, shortened and escaped.
        text: String,
        /// Why.
        reason: String,
    },
    /// `requires-python` is not a list of version ranges.
    #[error("`{text}` is not a valid requires-python")]
    InvalidRequiresPython {
        /// The value, shortened and escaped.
        text: String,
    },
    /// The sandbox has a Python that the skill does not want.
    #[error("the skill needs Python {requires}, the sandbox has {have}")]
    PythonMismatch {
        /// `requires-python` of the skill.
        requires: String,
        /// The sandbox's version.
        have: String,
    },
    /// The cache alone may be used, and the layer is not in it.
    #[error("the dependencies {} are not in the cache", list(missing))]
    NotCached {
        /// What would have to be installed.
        missing: Vec<String>,
    },
    /// Neither uv nor a usable pip was found.
    #[error("there is no uv and no usable pip to install {}", list(wanted))]
    NoTool {
        /// What would have to be installed.
        wanted: Vec<String>,
        /// What was tried, and why it does not do.
        tried: Vec<String>,
    },
    /// The tool could not resolve or install.
    #[error("{}", failed(package.as_deref(), reason))]
    Failed {
        /// The package at fault, when the tool tells.
        package: Option<String>,
        /// One short sentence.
        reason: String,
        /// `uv 0.13.8`
        tool: String,
        /// All that the tool printed, without credentials.
        detail: String,
    },
    /// The author's hashes do not admit what the index has.
    #[error("cannot install `{package}`: no file of version {version} has a hash that the skill lists")]
    HashMismatch {
        /// The package.
        package: String,
        /// The version that was chosen.
        version: String,
    },
    /// It took too long.
    #[error("the dependencies were not ready after {} s{}", after.as_secs(), waited(package.as_deref()))]
    TimedOut {
        /// The limit.
        after: Duration,
        /// What the index was being waited for.
        package: Option<String>,
    },
    /// The index, or a host that its page names, did not give what was asked for.
    #[error("cannot get `{package}`: {reason}")]
    Index {
        /// What was asked for.
        package: String,
        /// What came instead.
        reason: String,
    },
    /// No room can be made in which pip or uv could run without harm.
    #[error("there is no safe place to run a package tool: {reason}")]
    Wall {
        /// What this machine does not give.
        reason: String,
    },
    /// The operator's settings for the index cannot be used.
    #[error("the settings for the package index cannot be used: {reason}")]
    Settings {
        /// Why.
        reason: String,
    },
    /// The layer would be larger than the limit.
    #[error("the dependencies are larger than the limit of {} MiB", limit / (1024 * 1024))]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// A wheel brought something that a layer may not hold.
    #[error("`{path}` in the dependencies is refused: {reason}")]
    Content {
        /// Path in the layer.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The cache could be written by others, who could put code into it.
    #[error("the cache directory `{}` can be written by other users", path.display())]
    UnsafeCache {
        /// The directory.
        path: PathBuf,
    },
    /// The interpreter that stands for the sandbox's Python does not work.
    #[error("`{}` is not a usable Python: {reason}", path.display())]
    Interpreter {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No byte code could be made, for a reason that is not in the packages.
    #[error("the dependencies cannot be compiled")]
    Compile {
        /// Why.
        #[source]
        source: crate::compile::CompileError,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl LayerError {
    /// What to do next, as a full sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { .. } => Some(
                "List packages by name with optional extras, versions and markers, as in `qrcode[pil]>=8,<9`.".to_owned(),
            ),
            Self::NotCached { .. } => {
                Some("Run the same command once without `--offline`; after that the cache has them.".to_owned())
            }
            Self::NoTool { tried, .. } => Some(format!(
                "Install one, for example with `apt-get install python3-pip` or `pip install uv`. Tried: {}.",
                if tried.is_empty() { "nothing on the path".to_owned() } else { tried.join("; ") }
            )),
            Self::HashMismatch { .. } => {
                Some("Correct the `--hash` options, or remove them: the layer is locked with hashes anyway.".to_owned())
            }
            Self::TooLarge { .. } => Some("Require fewer or smaller packages, or raise the limit.".to_owned()),
            Self::UnsafeCache { path } => Some(format!("Run `chmod go-w {}`, or name another cache.", path.display())),
            Self::Index { .. } => Some("Try again later, or ask who runs the index.".to_owned()),
            Self::TimedOut { .. } => Some("Try again later, or raise the time limit for dependencies.".to_owned()),
            Self::Wall { .. } => Some(
                "The runner needs namespaces or Landlock of kernel 6.7 for this; `skillbox doctor` says what is missing."
                    .to_owned(),
            ),
            Self::PythonMismatch { .. } => {
                Some("Widen requires-python, or use a sandbox with another Python.".to_owned())
            }
            _ => None,
        }
    }

    /// The full output of the tool that failed.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Failed { detail, .. } => Some(detail),
            _ => None,
        }
    }

    /// True when the skill has to be changed, false when the machine, the index or the network is at fault.
    pub fn is_fault_of_skill(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::InvalidRequiresPython { .. }
            | Self::PythonMismatch { .. }
            | Self::HashMismatch { .. }
            | Self::TooLarge { .. }
            | Self::Content { .. } => true,
            Self::Failed { package, .. } => package.is_some(),
            _ => false,
        }
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn waited(package: Option<&str>) -> String {
    package.map_or_else(String::new, |package| format!("; the index still had to send `{package}`"))
}

fn failed(package: Option<&str>, reason: &str) -> String {
    match package {
        Some(package) => format!("cannot install `{package}`: {reason}"),
        None => format!("cannot install the dependencies: {reason}"),
    }
}
