//! Which of the entries in `/output` become output files, and why the others do not.
//!
//! Decided from a listing, before a byte is read. The listing comes from inside the sandbox, so it is data: it may name
//! anything, lie about sizes (readers enforce them again), and be long. Nothing is left out without a reason that people
//! understand, and the reasons themselves are bounded.

use std::fmt;

use crate::name::display_name;

/// How much a call may put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Files of one call.
    pub files: usize,
    /// Bytes of one call.
    pub total_bytes: u64,
    /// Left-out entries of one call that are listed one by one; the rest is only counted.
    pub listed_left_out: usize,
}

impl OutputLimits {
    /// 10 MB a file, 20 files and 50 MB a call. A megabyte has 1,048,576 bytes here.
    pub const DEFAULT: Self =
        Self { file_bytes: 10 << 20, files: 20, total_bytes: 50 << 20, listed_left_out: 20 };
}

/// One entry below `/output`, as a listing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputEntry {
    /// Path relative to `/output`; any bytes.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: OutputEntryKind,
    /// In bytes. A sparse file counts in full, since it is full when it is read.
    pub size: u64,
    /// Hard links.
    pub links: u32,
}

/// What kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputEntryKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device.
    Special,
    /// A directory that could not be entered.
    UnreadableDirectory,
}

/// What to do with the entries of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// In the order of their paths' bytes.
    pub choices: Vec<Choice>,
    /// Left-out entries that are not in `choices`, as there are too many.
    pub unlisted: u64,
}

/// What to do with one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Fetch and store it.
    Take(Selected),
    /// Only tell about it.
    LeaveOut(LeftOut),
}

/// A file to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Path relative to `/output`, as the listing had it.
    pub path: Vec<u8>,
    /// The same, safe to show.
    pub name: String,
    /// In bytes, as the listing had it.
    pub size: u64,
}

/// An entry that is not fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Path relative to `/output`, safe to show.
    pub name: String,
    /// In bytes, as the listing had it.
    pub size: u64,
    /// Why; its `Display` is for people.
    pub reason: Reason,
}

/// Why an entry is not fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Following it could lead anywhere.
    Symlink,
    /// Reading it could block, or do anything.
    Special,
    /// Its other name may be a file that is none of the call's business.
    HardLink,
    /// A directory that could not be entered.
    UnreadableDirectory,
    /// Not a path below `/output`.
    InvalidName,
    /// Larger than this.
    TooLarge(u64),
    /// More files than this.
    TooMany(usize),
    /// More bytes in all than this.
    TotalTooLarge(u64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink => f.write_str("Symbolic links are not delivered; save a regular file"),
            Self::Special => f.write_str("Pipes, sockets and devices are not delivered; save a regular file"),
            Self::HardLink => f.write_str("Files with several hard links are not delivered; save a copy"),
            Self::UnreadableDirectory => f.write_str("The directory could not be read"),
            Self::InvalidName => f.write_str("The name is not valid"),
            Self::TooLarge(limit) => write!(f, "File is larger than the limit of {}", megabytes(*limit)),
            Self::TooMany(limit) => write!(f, "More files than the limit of {limit} a call"),
            Self::TotalTooLarge(limit) => {
                write!(
                    f,
                    "The files of this call are larger than the limit of {} together",
                    megabytes(*limit)
                )
            }
        }
    }
}

impl Selection {
    /// A sentence about the entries that are not listed, if there are any.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        match self.unlisted {
            0 => None,
            1 => Some("1 more entry of /output was left out.".to_owned()),
            more => Some(format!("{more} more entries of /output were left out.")),
        }
    }
}

/// Chooses from the new or changed entries of one call. The same entries in any order give the same choice.
#[must_use]
pub fn select(mut entries: Vec<OutputEntry>, limits: &OutputLimits) -> Selection {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut selection = Selection { choices: Vec::new(), unlisted: 0 };
    let (mut files, mut bytes, mut left_out) = (0_usize, 0_u64, 0_usize);
    for entry in entries {
        let reason = refusal(&entry, limits).or_else(|| {
            if files >= limits.files {
                Some(Reason::TooMany(limits.files))
            } else if bytes.saturating_add(entry.size) > limits.total_bytes {
                Some(Reason::TotalTooLarge(limits.total_bytes))
            } else {
                None
            }
        });
        match reason {
            None => {
                files += 1;
                bytes += entry.size;
                let name = display_name(&entry.path);
                selection.choices.push(Choice::Take(Selected { path: entry.path, name, size: entry.size }));
            }
            Some(reason) if left_out < limits.listed_left_out => {
                left_out += 1;
                let name = display_name(&entry.path);
                selection.choices.push(Choice::LeaveOut(LeftOut { name, size: entry.size, reason }));
            }
            Some(_) => selection.unlisted += 1,
        }
    }
    selection
}

/// Why this entry cannot be taken whatever else there is.
fn refusal(entry: &OutputEntry, limits: &OutputLimits) -> Option<Reason> {
    if !is_below(&entry.path) {
        return Some(Reason::InvalidName);
    }
    match entry.kind {
        OutputEntryKind::Symlink => Some(Reason::Symlink),
        OutputEntryKind::Special => Some(Reason::Special),
        OutputEntryKind::UnreadableDirectory => Some(Reason::UnreadableDirectory),
        // A hard link can give a name in /output to a file that was written elsewhere.
        OutputEntryKind::File if entry.links > 1 => Some(Reason::HardLink),
        OutputEntryKind::File if entry.size > limits.file_bytes => Some(Reason::TooLarge(limits.file_bytes)),
        OutputEntryKind::File => None,
    }
}

/// Whether a path stays below the directory that it is relative to.
fn is_below(path: &[u8]) -> bool {
    !path.contains(&0)
        && path.split(|byte| *byte == b'/').all(|component| !matches!(component, b"" | b"." | b".."))
}

fn megabytes(bytes: u64) -> String {
    const MB: u64 = 1 << 20;
    if bytes >= MB && bytes.is_multiple_of(MB) {
        format!("{} MB", bytes / MB)
    } else {
        format!("{bytes} bytes")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MB: u64 = 1 << 20;

    fn file(path: &str, size: u64) -> OutputEntry {
        OutputEntry { path: path.into(), kind: OutputEntryKind::File, size, links: 1 }
    }

    /// Each choice as `name`, or `name: reason`.
    fn shown(entries: Vec<OutputEntry>) -> Vec<String> {
        select(entries, &OutputLimits::DEFAULT)
            .choices
            .into_iter()
            .map(|choice| match choice {
                Choice::Take(selected) => selected.name,
                Choice::LeaveOut(left) => format!("{}: {}", left.name, left.reason),
            })
            .collect()
    }

    #[test]
    fn hidden_empty_and_nested_files_count() {
        assert_eq!(
            shown(vec![file("b/c.png", 1), file(".hidden", 0), file("a", 10 * MB)]),
            [".hidden", "a", "b/c.png"]
        );
    }

    #[test]
    fn what_is_not_a_file_of_its_own_is_left_out_with_a_reason() {
        let entry = |path: &str, kind, links| OutputEntry { path: path.into(), kind, size: 1, links };
        assert_eq!(
            shown(vec![
                entry("link", OutputEntryKind::Symlink, 1),
                entry("fifo", OutputEntryKind::Special, 1),
                entry("hard", OutputEntryKind::File, 2),
                entry("dir", OutputEntryKind::UnreadableDirectory, 2),
            ]),
            [
                "dir: The directory could not be read",
                "fifo: Pipes, sockets and devices are not delivered; save a regular file",
                "hard: Files with several hard links are not delivered; save a copy",
                "link: Symbolic links are not delivered; save a regular file",
            ]
        );
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for path in ["", "..", "../a", "a/../b", "/etc/passwd", "a//b", "./a", "a/", "a\0b"] {
            let left = shown(vec![file(path, 1)]);
            assert!(left[0].ends_with(": The name is not valid"), "{path:?}: {left:?}");
        }
    }

    #[test]
    fn each_limit_is_hit_one_above_it_and_not_at_it() {
        assert_eq!(
            shown(vec![file("a", 10 * MB), file("b", 10 * MB + 1)]),
            ["a", "b: File is larger than the limit of 10 MB"]
        );
        let many = shown((0..21).map(|n| file(&format!("{n:02}"), 1)).collect());
        assert_eq!(many[19..], ["19", "20: More files than the limit of 20 a call"]);
        let mut total: Vec<OutputEntry> = (0..5).map(|n| file(&n.to_string(), 10 * MB)).collect();
        total.extend([file("5", 1), file("6", 0)]);
        assert_eq!(
            shown(total)[4..],
            ["4", "5: The files of this call are larger than the limit of 50 MB together", "6"]
        );
    }

    #[test]
    fn sizes_cannot_overflow() {
        let limits =
            OutputLimits { file_bytes: u64::MAX, total_bytes: u64::MAX - 1, ..OutputLimits::DEFAULT };
        let selection = select(vec![file("a", u64::MAX - 1), file("b", u64::MAX)], &limits);
        assert!(
            matches!(&selection.choices[1], Choice::LeaveOut(left) if left.reason == Reason::TotalTooLarge(u64::MAX - 1))
        );
    }

    #[test]
    fn a_flood_of_entries_is_counted_and_not_listed() {
        let selection =
            select((0..10_000).map(|n| file(&format!("{n:05}"), 1)).collect(), &OutputLimits::DEFAULT);
        assert_eq!((selection.choices.len(), selection.unlisted), (40, 9_960));
        assert_eq!(selection.note().unwrap(), "9960 more entries of /output were left out.");
    }

    #[test]
    fn the_choice_keeps_the_limits_and_does_not_depend_on_order() {
        let entry = ("[a-c./]{0,4}", 0_u64..20 * MB, 1_u32..3)
            .prop_map(|(path, size, links)| OutputEntry { links, ..file(&path, size) });
        proptest!(|(entries in prop::collection::vec(entry, 0..60))| {
            let selection = select(entries.clone(), &OutputLimits::DEFAULT);
            let taken: Vec<&Selected> = selection.choices.iter().filter_map(|choice| match choice {
                Choice::Take(selected) => Some(selected),
                Choice::LeaveOut(_) => None,
            }).collect();
            prop_assert!(taken.len() <= 20 && taken.iter().map(|file| file.size).sum::<u64>() <= 50 * MB);
            prop_assert_eq!(selection.choices.len() as u64 + selection.unlisted, entries.len() as u64);
            let mut names: Vec<&[u8]> = entries.iter().map(|entry| entry.path.as_slice()).collect();
            names.sort_unstable();
            names.dedup();
            if names.len() == entries.len() {
                let reversed = entries.into_iter().rev().collect();
                prop_assert_eq!(select(reversed, &OutputLimits::DEFAULT), selection);
            }
        });
    }
}
