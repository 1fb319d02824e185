//! Every way in which a bundle can lie, as a type.
//!
//! The texts go to the person who uploaded the bundle, so each names the entry and what is wrong with it. Names from a bundle
//! are shown escaped: they may hold terminal sequences.

use std::{fmt, io};

use crate::rule::Rule;

/// Why a bundle is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The bundle cannot be read.
    #[error("cannot read the bundle")]
    Read(#[source] io::Error),
    /// What was in the bundle cannot be written. The bundle itself is good.
    #[error("cannot write `{path}`")]
    Write {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no directory of a ZIP at the end.
    #[error("the file is not a ZIP, or it is cut off")]
    NotAZip,
    /// A part lies beyond the end of the file or of its place.
    #[error("the bundle is damaged: {what} is cut off")]
    Truncated {
        /// Which part.
        what: &'static str,
    },
    /// A part is not what it must be.
    #[error("the bundle is damaged: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// More than one place could be the end of the directory.
    #[error("the bundle has more than one end record, so that readers may see different contents")]
    SeveralEnds,
    /// Something stands before the first entry.
    #[error("{bytes} bytes stand before the first entry")]
    PrependedData {
        /// How many.
        bytes: u64,
    },
    /// Something stands behind the end.
    #[error("{bytes} bytes stand behind the end of the ZIP")]
    TrailingData {
        /// How many.
        bytes: u64,
    },
    /// Something between the entries belongs to none.
    #[error("{bytes} bytes at offset {offset} belong to no entry")]
    HiddenData {
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// The number of entries is not what the end record says.
    #[error("the bundle says it has {declared} entries, but has {found}")]
    EntryCount {
        /// What it says.
        declared: u64,
        /// What is there.
        found: u64,
    },
    /// The two descriptions of an entry disagree.
    #[error("`{name}`: the {field} in its header is not that in the directory")]
    HeaderMismatch {
        /// The entry.
        name: EntryName,
        /// What differs.
        field: HeaderField,
    },
    /// The bundle is one part of several.
    #[error("the bundle is split over several disks")]
    MultiDisk,
    /// The 64-bit extension is used in a way that readers understand differently.
    #[error("the 64-bit fields contradict the others: {what}")]
    Zip64 {
        /// What is wrong.
        what: &'static str,
    },
    /// An entry is encrypted.
    #[error("`{name}` is encrypted")]
    Encrypted {
        /// The entry.
        name: EntryName,
    },
    /// An entry is compressed by a method that is not read.
    #[error("`{name}` is compressed by method {method}; only stored (0) and deflate (8) are read")]
    Method {
        /// The entry.
        name: EntryName,
        /// The number of the method.
        method: u16,
    },
    /// A path could mean something outside the skill, or differs by system.
    #[error("the path `{name}` {problem}")]
    Path {
        /// The entry.
        name: EntryName,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// A path is too long or too deep.
    #[error("the path `{name}` is too long: {what} is over {limit}")]
    PathTooLong {
        /// The entry.
        name: EntryName,
        /// What is over the limit.
        what: &'static str,
        /// The most allowed.
        limit: usize,
    },
    /// The name is not UTF-8, or its two forms disagree.
    #[error("the name `{name}` is not UTF-8, so readers may see different names")]
    NameEncoding {
        /// The entry, as far as it can be read.
        name: EntryName,
    },
    /// A path occurs twice.
    #[error("`{name}` occurs twice")]
    Duplicate {
        /// The entry.
        name: EntryName,
    },
    /// Two paths are the same file on systems that fold case or normalise Unicode.
    #[error("`{first}` and `{second}` are the same file on some systems")]
    Collision {
        /// The one.
        first: EntryName,
        /// The other.
        second: EntryName,
    },
    /// A path is a file and also the directory of another.
    #[error("`{name}` is a file and also a directory")]
    FileAsDirectory {
        /// The path.
        name: EntryName,
    },
    /// An entry is neither a regular file nor a directory.
    #[error("`{name}` is {kind}; a skill has regular files only")]
    NotRegular {
        /// The entry.
        name: EntryName,
        /// What it is.
        kind: NotRegular,
    },
    /// The bundle is too large.
    #[error("the bundle has {size} bytes; at most {limit} are allowed")]
    BundleTooLarge {
        /// Its size.
        size: u64,
        /// The most allowed.
        limit: u64,
    },
    /// There are too many entries.
    #[error("the bundle has {count} entries; at most {limit} are allowed")]
    TooManyEntries {
        /// How many.
        count: u64,
        /// The most allowed.
        limit: usize,
    },
    /// A file is too large.
    #[error("`{name}` has {size} bytes; at most {limit} are allowed")]
    FileTooLarge {
        /// The entry.
        name: EntryName,
        /// Its size.
        size: u64,
        /// The most allowed.
        limit: u64,
    },
    /// All files together are too large.
    #[error("the files have {size} bytes together; at most {limit} are allowed")]
    TotalTooLarge {
        /// Their size.
        size: u64,
        /// The most allowed.
        limit: u64,
    },
    /// Something is compressed so well that it must be a decompression bomb.
    #[error("{what} grows more than {limit} times when unpacked")]
    Ratio {
        /// The entry or the bundle.
        what: EntryName,
        /// The most allowed.
        limit: u64,
    },
    /// Two entries use the same bytes.
    #[error("`{first}` and `{second}` use the same bytes of the bundle")]
    Overlap {
        /// The one.
        first: EntryName,
        /// The other.
        second: EntryName,
    },
    /// The checksum of the content is wrong.
    #[error("`{name}` is damaged: its checksum is wrong")]
    Checksum {
        /// The entry.
        name: EntryName,
    },
    /// The content has another size than declared.
    #[error("`{name}` does not have the size that the bundle says")]
    Size {
        /// The entry.
        name: EntryName,
    },
    /// The compressed data cannot be decompressed.
    #[error("`{name}` is damaged: its data cannot be decompressed")]
    Data {
        /// The entry.
        name: EntryName,
    },
    /// What stands behind the content is not the descriptor of this entry.
    #[error("`{name}`: its data descriptor is not what the directory says")]
    Descriptor {
        /// The entry.
        name: EntryName,
    },
    /// Checking took too long.
    #[error("checking the bundle took too long")]
    Time,
    /// A comment is too long.
    #[error("a comment has {size} bytes; at most {limit} are allowed")]
    CommentTooLong {
        /// Its size.
        size: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The extra fields of an entry are too long.
    #[error("the extra fields of an entry have {size} bytes; at most {limit} are allowed")]
    ExtraTooLong {
        /// Their size.
        size: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The directory at the end is too large.
    #[error("the directory of the bundle has {size} bytes; at most {limit} are allowed")]
    DirectoryTooLarge {
        /// Its size.
        size: u64,
        /// The most allowed.
        limit: u64,
    },
    /// There is no `SKILL.md` at all.
    #[error("the bundle has no SKILL.md")]
    SkillFileMissing,
    /// `SKILL.md` is neither at the root nor in the only top folder.
    #[error("`{path}` must be at the root of the bundle or in its only top folder")]
    SkillFileNested {
        /// Where it is.
        path: EntryName,
    },
    /// There are several `SKILL.md`.
    #[error("the bundle has more than one SKILL.md: {}", .paths.iter().map(EntryName::to_string).collect::<Vec<_>>().join(", "))]
    SeveralSkillFiles {
        /// Where they are.
        paths: Vec<EntryName>,
    },
}

impl BundleError {
    /// The rule that the bundle breaks; `None` when the bundle is not to blame.
    pub fn rule(&self) -> Option<Rule> {
        Some(match self {
            Self::Read(_) | Self::Write { .. } => return None,
            Self::NotAZip
            | Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::SeveralEnds
            | Self::PrependedData { .. }
            | Self::TrailingData { .. }
            | Self::HiddenData { .. }
            | Self::EntryCount { .. }
            | Self::HeaderMismatch { .. } => Rule::ARCHIVE_STRUCTURE,
            Self::MultiDisk | Self::Zip64 { .. } => Rule::ARCHIVE_SIXTY_FOUR_BIT,
            Self::Encrypted { .. } => Rule::ARCHIVE_ENCRYPTED,
            Self::Method { .. } => Rule::ARCHIVE_METHOD,
            Self::Path { .. } => Rule::ARCHIVE_PATH,
            Self::PathTooLong { .. } => Rule::ARCHIVE_PATH_LENGTH,
            Self::NameEncoding { .. } => Rule::ARCHIVE_NAME_ENCODING,
            Self::Duplicate { .. } => Rule::ARCHIVE_DUPLICATE,
            Self::Collision { .. } => Rule::ARCHIVE_COLLISION,
            Self::FileAsDirectory { .. } => Rule::ARCHIVE_FILE_AS_DIRECTORY,
            Self::NotRegular { .. } => Rule::ARCHIVE_NOT_REGULAR,
            Self::BundleTooLarge { .. }
            | Self::TooManyEntries { .. }
            | Self::FileTooLarge { .. }
            | Self::TotalTooLarge { .. }
            | Self::Ratio { .. }
            | Self::Overlap { .. } => Rule::ARCHIVE_LIMITS,
            Self::Checksum { .. } | Self::Size { .. } | Self::Data { .. } | Self::Descriptor { .. } => {
                Rule::ARCHIVE_CHECKSUM
            }
            Self::Time => Rule::ARCHIVE_TIME,
            Self::CommentTooLong { .. } | Self::ExtraTooLong { .. } | Self::DirectoryTooLarge { .. } => {
                Rule::ARCHIVE_EXTRAS
            }
            Self::SkillFileMissing | Self::SkillFileNested { .. } => Rule::SKILL_FILE_MISSING,
            Self::SeveralSkillFiles { .. } => Rule::SKILL_FILE_SEVERAL,
        })
    }

    /// What the author of the bundle can do.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Read(_) | Self::Write { .. } => return None,
            Self::SkillFileMissing | Self::SkillFileNested { .. } => {
                "pack the skill's own folder, so that SKILL.md is at the root or in the one top folder"
            }
            Self::SeveralSkillFiles { .. } => {
                "pack each skill on its own; this looks like a collection or a plugin"
            }
            Self::NameEncoding { .. } => "pack the folder with `skillbox pack`, which writes names as UTF-8",
            Self::NotRegular { .. } => "replace links by copies of the files",
            Self::Encrypted { .. } => "pack without a password",
            _ => "pack the skill's folder again with a common ZIP tool",
        })
    }
}

/// The name of an entry, shown escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName(String);

impl EntryName {
    pub(super) fn new(raw: &[u8]) -> Self {
        Self(String::from_utf8_lossy(raw).into_owned())
    }

    /// The name as it is in the bundle, with replacement characters for what is not UTF-8.
    pub fn as_raw(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EntryName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Long names are cut: the message must stay a message.
        let shown: String = self.0.chars().take(200).flat_map(char::escape_debug).collect();
        formatter.write_str(&shown)
    }
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// It is empty, or a component of it is.
    #[error("has an empty part")]
    Empty,
    /// It has `.` or `..`.
    #[error("has a `.` or `..` part")]
    Dots,
    /// It starts with `/`.
    #[error("is absolute")]
    Absolute,
    /// It has a backslash.
    #[error("has a backslash")]
    Backslash,
    /// It has a colon: a drive or an alternate data stream.
    #[error("has a colon, which names a drive or a hidden stream on Windows")]
    Colon,
    /// It has a control character.
    #[error("has a control character or one that reverses the direction of text")]
    Control,
    /// A component ends in a dot or a space.
    #[error("has a part that ends in a dot or a space")]
    TrailingDotOrSpace,
    /// A component is a device on Windows.
    #[error("has a part that is a device name on Windows")]
    Device,
}

/// What an entry is instead of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRegular {
    /// A symbolic link.
    #[error("a symbolic link")]
    Symlink,
    /// A device, FIFO or socket.
    #[error("a device, FIFO or socket")]
    Special,
    /// A file by its name and a directory by its attributes, or the other way round.
    #[error("a file by its name and a directory by its attributes, or the other way round")]
    Ambiguous,
    /// A directory with content.
    #[error("a directory with content")]
    DirectoryWithContent,
}

/// A field that stands in both headers of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderField {
    /// The name.
    #[error("name")]
    Name,
    /// The flags.
    #[error("flags field")]
    Flags,
    /// The compression method.
    #[error("compression method")]
    Method,
    /// The checksum.
    #[error("checksum")]
    Checksum,
    /// The compressed size.
    #[error("compressed size")]
    CompressedSize,
    /// The size.
    #[error("size")]
    Size,
}
