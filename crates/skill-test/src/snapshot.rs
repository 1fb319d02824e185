//! Snapshots: a text in a file beside the test, in which `[..]` stands for any part of a line.
//!
//! Compared line by line, so that the kind of line ends and a last one that is missing do not matter. A line with `[..]`
//! that still fits is kept when a snapshot is rewritten.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use skill::Skill;

/// What stands for any part of a line.
const ANY: &str = "[..]";
/// The most cells of the table that lines are matched with; beyond that only equal lines match.
const CELLS: usize = 4_000_000;

/// The actual text in the words of the snapshot: each line that a line of the snapshot fits is replaced by that.
/// Equal to the snapshot's own lines if and only if the text is as expected.
pub(crate) fn normalize(snapshot: &str, actual: &str) -> String {
    let (wanted, got): (Vec<&str>, Vec<&str>) = (snapshot.lines().collect(), actual.lines().collect());
    let mut lines = got.clone();
    if wanted.iter().any(|line| line.contains(ANY)) && (wanted.len() + 1) * (got.len() + 1) <= CELLS {
        for (from, to) in align(&wanted, &got) {
            lines[to] = wanted[from];
        }
    }
    joined(&lines)
}

/// Lines with a line feed after each.
pub(crate) fn joined<S: AsRef<str>>(lines: &[S]) -> String {
    lines.iter().flat_map(|line| [line.as_ref(), "\n"]).collect()
}

/// The longest common subsequence: pairs of lines that fit, in order.
fn align(wanted: &[&str], got: &[&str]) -> Vec<(usize, usize)> {
    let width = got.len() + 1;
    let mut longest = vec![0_u32; (wanted.len() + 1) * width];
    for (row, pattern) in wanted.iter().enumerate().rev() {
        for (column, line) in got.iter().enumerate().rev() {
            let at = row * width + column;
            longest[at] = if fits(pattern, line) {
                longest[at + width + 1] + 1
            } else {
                longest[at + width].max(longest[at + 1])
            };
        }
    }
    let mut pairs = Vec::new();
    let (mut row, mut column) = (0, 0);
    while row < wanted.len() && column < got.len() {
        let at = row * width + column;
        if fits(wanted[row], got[column]) && longest[at] == longest[at + width + 1] + 1 {
            pairs.push((row, column));
            (row, column) = (row + 1, column + 1);
        } else if longest[at + width] >= longest[at + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    pairs
}

/// Whether a line is as the pattern says. The parts are looked for from the left; that finds a fit whenever there is one.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split(ANY);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What is in a snapshot; `None` where there is none yet.
pub(crate) fn read(skill: &Skill, path: &str) -> Result<Option<String>, String> {
    match skill.read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(skill::ReadError::NotFound { .. }) => {
            // It may have been written since the skill was loaded.
            let Some(root) = skill.root() else { return Ok(None) };
            match inside(root, &root.join(path)).and_then(fs::read_to_string) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Writes a snapshot, whole or not at all, and the folder for it.
pub(crate) fn write(root: &Path, path: &str, text: &str) -> io::Result<()> {
    let file = root.join(path);
    let folder = file.parent().unwrap_or(root);
    // What is there of the folder decides where the rest of it would be made.
    let there = folder.ancestors().find(|place| place.exists()).unwrap_or(root);
    inside(root, there)?;
    fs::create_dir_all(folder)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = folder.join(name);
    // A link of this name is removed, and never written through.
    _ = fs::remove_file(&temporary);
    fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?.write_all(text.as_bytes())?;
    fs::rename(&temporary, &file).inspect_err(|_| _ = fs::remove_file(&temporary))
}

/// The real place of a path, if no link on the way leads out of the skill.
fn inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let real = fs::canonicalize(path)?;
    if !real.starts_with(fs::canonicalize(root)?) {
        return Err(io::Error::other("a link on the way leads out of the skill"));
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_any_part_of_one_line() {
        let check = |pattern: &str, line: &str, expected: bool| {
            assert_eq!(fits(pattern, line), expected, "{pattern:?} {line:?}");
        };
        check("took [..] ms", "took 12 ms", true);
        check("took [..] ms", "took  ms", true);
        check("took [..] ms", "took 12 s", false);
        check("[..]", "", true);
        check("[..]a[..]a", "xa a", true);
        check("[..]a[..]a", "xa", false);
        check("a[..]", "ab", true);
        check("a", "ab", false);
        check("[..]ab", "aab", true);
        check("a[..]a", "a", false);
    }

    #[test]
    fn lines_that_fit_become_the_snapshots() {
        let snapshot = "begin\ntook [..] ms\nend\n";
        assert_eq!(normalize(snapshot, "begin\ntook 7 ms\nend"), snapshot);
        assert_eq!(normalize(snapshot, "begin\nmore\ntook 7 ms\nend\n"), "begin\nmore\ntook [..] ms\nend\n");
        assert_eq!(normalize(snapshot, "took 7 s\n"), "took 7 s\n");
        assert_eq!(normalize("a\r\nb\r\n", "a\nb\n"), "a\nb\n");
        assert_eq!(normalize("", ""), "");
    }

    #[test]
    fn a_snapshot_is_written_inside_only() {
        let top = tempfile::tempdir().unwrap();
        let (root, outside) = (top.path().join("skill"), top.path().join("outside"));
        fs::create_dir_all(root.join("tests")).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("tests/link")).unwrap();
        write(&root, "tests/new/a.txt", "x\n").unwrap();
        assert_eq!(fs::read_to_string(root.join("tests/new/a.txt")).unwrap(), "x\n");
        write(&root, "tests/new/a.txt", "y\n").unwrap();
        assert_eq!(fs::read_dir(root.join("tests/new")).unwrap().count(), 1);
        for path in ["tests/link/a.txt", "tests/link/new/a.txt"] {
            assert!(write(&root, path, "x").is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_the_temporary_file_is_not_written_through() {
        let place = tempfile::tempdir().unwrap();
        let (root, outside) = (place.path().join("skill"), place.path().join("outside"));
        fs::create_dir_all(root.join("tests")).unwrap();
        fs::write(&outside, "mine").unwrap();
        let planted = root.join(format!("tests/a.txt.{}.part", std::process::id()));
        std::os::unix::fs::symlink(&outside, planted).unwrap();
        write(&root, "tests/a.txt", "new").unwrap();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "mine");
        assert_eq!(fs::read_to_string(root.join("tests/a.txt")).unwrap(), "new");
    }
}
