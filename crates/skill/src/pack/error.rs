//! Why a folder is not packed. The texts go to its author, and name every file that is in the way, not only the first.

use std::{fmt, io, path::PathBuf};

use crate::{bundle::BundleError, content::ReadError, folder::FolderError, rule::Rule};

/// Why a folder is not packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A file or directory cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the skill cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file that says what does not ship cannot be understood.
    #[error("`{file}`, line {line}: {message}")]
    Ignore {
        /// Which file.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// There are things that a bundle cannot hold.
    #[error("{}", list(.entries))]
    Entries {
        /// All of them, sorted by path.
        entries: Vec<UnpackableEntry>,
    },
    /// There are too many files, or they are too large: the limits of every skill's folder.
    #[error(transparent)]
    Limits(FolderError),
    /// A file was changed while it was packed.
    #[error("`{path}` was changed while it was packed")]
    Changed {
        /// Path relative to the folder.
        path: String,
    },
    /// The bundle would be refused by those who read it.
    #[error("the bundle would be refused: {0}")]
    Refused(BundleError),
    /// The bundle cannot be made.
    #[error("cannot make the bundle")]
    Zip(#[source] io::Error),
}

impl From<BundleError> for PackError {
    fn from(error: BundleError) -> Self {
        Self::Refused(error)
    }
}

impl PackError {
    /// The rule of the reader that the bundle would break, where it is that.
    pub fn rule(&self) -> Option<Rule> {
        match self {
            Self::Refused(error) => error.rule(),
            _ => None,
        }
    }

    /// Whether it is the folder that is to blame, and not the machine.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Read(_) | Self::Zip(_) | Self::Changed { .. })
    }

    /// What the author can do.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Entries { entries } => {
                let links = |entry: &UnpackableEntry| matches!(entry.problem, Unpackable::Link { .. });
                if entries.iter().any(links) {
                    "replace links by copies of the files"
                } else {
                    "remove them, or name them in `.skillignore`"
                }
            }
            Self::Limits(_) => "name in `.skillignore` what the skill does not need",
            Self::Ignore { .. } => "each line is a pattern as in `.gitignore`",
            Self::Changed { .. } => "pack again when nothing writes there",
            Self::Refused(error) => match error {
                BundleError::SeveralSkillFiles { .. } => {
                    "a bundle is one skill: pack each on its own, or name the others in `.skillignore`"
                }
                BundleError::Path { .. }
                | BundleError::PathTooLong { .. }
                | BundleError::Collision { .. } => "rename the file, so that every system can unpack it",
                BundleError::SkillFileMissing => "a skill has a SKILL.md",
                _ => "name in `.skillignore` what the skill does not need",
            },
            Self::Io { .. } | Self::Read(_) | Self::Zip(_) => return None,
        })
    }
}

/// Something that a bundle cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct UnpackableEntry {
    /// Path relative to the folder.
    pub path: String,
    /// Why not.
    pub problem: Unpackable,
}

/// Why a bundle cannot hold something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unpackable {
    /// It is a link, and links are not followed.
    Link {
        /// Where it leads, as written in it.
        target: String,
    },
    /// It is a link that leads out of the skill.
    LinkOutside {
        /// Where it leads, as written in it.
        target: String,
    },
    /// It is a link to nothing.
    LinkToNothing {
        /// Where it leads, as written in it.
        target: String,
    },
    /// It is a link to a directory.
    LinkToDirectory {
        /// Where it leads, as written in it.
        target: String,
    },
    /// It is a link to a file that does not ship, and would give that away under another name.
    LinkToLeftOut {
        /// Where it leads, as written in it.
        target: String,
    },
    /// It is a device, FIFO or socket.
    Special,
    /// Its name is not UTF-8.
    Name,
}

impl fmt::Display for Unpackable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = |formatter: &mut fmt::Formatter<'_>, what: &str, target: &str| {
            write!(formatter, "{what} (`{}`)", target.escape_debug())
        };
        match self {
            Self::Link { target } => link(formatter, "a symbolic link", target),
            Self::LinkOutside { target } => link(formatter, "a link that leads out of the skill", target),
            Self::LinkToNothing { target } => link(formatter, "a link to nothing", target),
            Self::LinkToDirectory { target } => link(formatter, "a link to a directory", target),
            Self::LinkToLeftOut { target } => link(formatter, "a link to a file that is left out", target),
            Self::Special => formatter.write_str("a device, FIFO or socket"),
            Self::Name => formatter.write_str("its name is not UTF-8"),
        }
    }
}

/// The first few of them; a folder of ten thousand links shall not fill the screen.
fn list(entries: &[UnpackableEntry]) -> String {
    const SHOWN: usize = 10;
    let mut parts: Vec<String> = entries
        .iter()
        .take(SHOWN)
        .map(|entry| format!("`{}` is not packed: {}", entry.path.escape_debug(), entry.problem))
        .collect();
    if entries.len() > SHOWN {
        parts.push(format!("and {} more", entries.len() - SHOWN));
    }
    parts.join("; ")
}
