//! Which file of a skill a text means when it writes a path.
//!
//! Authors write paths relative to the file they are in or to the skill's root; both are taken. What is not there exactly
//! may still be there in other letters, without its extension or in another directory, and then the right path is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use percent_encoding::percent_decode_str;
use skill::{Draft, Rule};

/// The longest reference that is looked at, in bytes; a path of a skill is never longer.
const MAX_REFERENCE: usize = 1024;

/// The paths of a skill.
#[derive(Debug)]
pub(crate) struct Paths<'draft> {
    files: BTreeSet<&'draft str>,
    directories: BTreeSet<&'draft str>,
    /// Files and directories in lowercase.
    folded: BTreeMap<String, &'draft str>,
    /// Files in lowercase without their extension, with all that are called so.
    stems: BTreeMap<String, Vec<&'draft str>>,
    /// Files by the last component in lowercase.
    names: BTreeMap<String, Vec<&'draft str>>,
    /// What was there but is no part of the skill, which has its own diagnostics.
    left_out: Vec<&'draft str>,
}

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target<'draft> {
    /// A file.
    File(&'draft str),
    /// A directory, without `/` at its end; the root is empty.
    Directory(&'draft str),
    /// Nothing, but this path differs in the case of its letters only.
    OtherCase(&'draft str),
    /// Nothing, but this file has an extension behind what was written.
    Extension(&'draft str),
    /// Nothing, although something was there when the skill was read.
    LeftOut,
    /// Nothing that stands within the skill.
    Missing,
    /// A place out of the skill.
    Outside,
}

impl<'draft> Paths<'draft> {
    pub(crate) fn new(draft: &'draft Draft) -> Self {
        let files: BTreeSet<&str> = draft.files().iter().map(|file| file.path.as_str()).collect();
        let mut directories = BTreeSet::from([""]);
        let (mut folded, mut stems, mut names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for path in &files {
            for (at, _) in path.match_indices('/') {
                directories.insert(&path[..at]);
            }
            folded.insert(path.to_lowercase(), *path);
            let stem = without_extension(path).to_lowercase();
            stems.entry(stem).or_insert_with(Vec::new).push(*path);
            names.entry(name(path).to_lowercase()).or_insert_with(Vec::new).push(*path);
        }
        for path in &directories {
            folded.entry(path.to_lowercase()).or_insert(*path);
        }
        let left_out = draft
            .diagnostics()
            .iter()
            .filter(|diagnostic| diagnostic.rule == Rule::FILE_LEFT_OUT)
            .map(|diagnostic| diagnostic.location.file.as_str())
            .chain(draft.ignored().iter().map(|path| path.trim_end_matches('/')))
            .collect();
        Self { files, directories, folded, stems, names, left_out }
    }

    /// Where `reference`, written in a file in `folder`, leads.
    pub(crate) fn resolve(&self, folder: &str, reference: &str) -> Target<'draft> {
        if reference.len() > MAX_REFERENCE {
            return Target::Missing;
        }
        let candidates: Vec<String> =
            [folder, ""].into_iter().filter_map(|base| join(base, reference)).collect();
        if candidates.is_empty() {
            return Target::Outside;
        }
        for path in &candidates {
            if let Some(file) = self.files.get(path.as_str()) {
                return Target::File(file);
            }
            if let Some(directory) = self.directories.get(path.as_str()) {
                return Target::Directory(directory);
            }
        }
        let is_left_out = |path: &String| {
            self.left_out.iter().any(|left| {
                path.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        if candidates.iter().any(is_left_out) {
            return Target::LeftOut;
        }
        for path in candidates.iter().map(|path| path.to_lowercase()) {
            if let Some(other) = self.folded.get(&path) {
                return Target::OtherCase(other);
            }
            if let Some([file]) = self.stems.get(&path).map(Vec::as_slice) {
                return Target::Extension(file);
            }
        }
        Target::Missing
    }

    /// A file that was probably meant by a path that leads nowhere.
    pub(crate) fn similar(&self, reference: &str) -> Option<&'draft str> {
        let wanted = name(reference.trim_end_matches('/')).to_lowercase();
        if wanted.is_empty() || wanted.len() > 255 {
            return None;
        }
        if let Some(files) = self.names.get(&wanted) {
            return files.first().copied();
        }
        let near = |name: &&String| wanted.chars().count() > 4 && is_one_edit_away(&wanted, name);
        let found = self.names.keys().find(near)?;
        self.names.get(found)?.first().copied()
    }

    /// All directories, sorted; the root is empty.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &'draft str> + '_ {
        self.directories.iter().copied()
    }

    /// Whether there is a directory of exactly this path.
    pub(crate) fn has_directory(&self, path: &str) -> bool {
        self.directories.contains(path)
    }

    /// The files below a directory.
    pub(crate) fn below(&self, directory: &str) -> impl Iterator<Item = &'draft str> + '_ {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let from = self.files.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        from.copied().take_while(move |path| path.starts_with(&prefix))
    }
}

/// The directory of a path; empty at the root.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last component of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The extension in lowercase; empty when there is none.
pub(crate) fn extension(path: &str) -> String {
    let name = name(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension.to_ascii_lowercase(),
        _ => String::new(),
    }
}

/// The path without its extension.
pub(crate) fn without_extension(path: &str) -> &str {
    match extension(path).len() {
        0 => path,
        length => &path[..path.len() - length - 1],
    }
}

/// `reference` below `base` without `.` and `..`; `None` when it leads out.
fn join(base: &str, reference: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in reference.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// `text` with `%20` and the like as the characters they stand for; unchanged when that is no text.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Into::into)
}

/// Whether a reference names no one file, but shows how names are made.
pub(crate) fn is_placeholder(reference: &str) -> bool {
    if reference.contains(['<', '>', '{', '}', '$', '*', '[', ']', '|', '…', '?'])
        || reference.contains("...")
    {
        return true;
    }
    let words = reference.split(['/', '.', '-', '_', ' ']).map(str::to_ascii_lowercase);
    let mut any = false;
    for word in words {
        any |= matches!(
            word.as_str(),
            "foo"
                | "bar"
                | "baz"
                | "your"
                | "my"
                | "example"
                | "placeholder"
                | "path"
                | "xxx"
                | "xx"
                | "yyy"
                | "nnn"
                | "nn"
                | "yyyy"
                | "mm"
                | "dd"
                | "yourfile"
                | "myfile"
                | "filename"
                | "todo"
                | "url"
                | "name"
                | "some"
        );
    }
    any
}

/// Whether one insertion, deletion, replacement or swap of neighbours makes one of the other.
pub(crate) fn is_one_edit_away(left: &str, right: &str) -> bool {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    if long.len() - short.len() > 1 || short == long {
        return false;
    }
    let head = short.iter().zip(&long).take_while(|(a, b)| a == b).count();
    let (short, long) = (&short[head..], &long[head..]);
    if short.len() < long.len() {
        return *short == long[1..];
    }
    match (short, long) {
        ([_, short @ ..], [_, long @ ..]) if short == long => true,
        ([a, b, short @ ..], [c, d, long @ ..]) => a == d && b == c && short == long,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_from_its_file_and_from_the_root() {
        let draft = Draft::from_files(
            [
                ("SKILL.md", ""),
                ("references/a b.md", ""),
                ("references/Deep/c.md", ""),
                ("scripts/run.py", ""),
                ("scripts/two.py", ""),
                ("scripts/two.sh", ""),
            ],
            None,
        )
        .unwrap();
        let paths = Paths::new(&draft);
        for (folder, reference, wanted) in [
            ("", "scripts/run.py", Target::File("scripts/run.py")),
            ("", "./scripts//run.py", Target::File("scripts/run.py")),
            ("references", "../scripts/run.py", Target::File("scripts/run.py")),
            ("references", "scripts/run.py", Target::File("scripts/run.py")),
            ("references", "a b.md", Target::File("references/a b.md")),
            ("references/Deep", "../a b.md", Target::File("references/a b.md")),
            ("", "references/Deep/", Target::Directory("references/Deep")),
            ("references", "..", Target::Directory("")),
            ("", "Scripts/Run.py", Target::OtherCase("scripts/run.py")),
            ("", "references/deep", Target::OtherCase("references/Deep")),
            ("", "scripts/run", Target::Extension("scripts/run.py")),
            ("", "scripts/two", Target::Missing),
            ("", "scripts/three.py", Target::Missing),
            ("", "../x", Target::Outside),
            ("references", "../../x", Target::Outside),
        ] {
            assert_eq!(paths.resolve(folder, reference), wanted, "{folder} {reference}");
        }
        assert_eq!(paths.similar("lib/run.py"), Some("scripts/run.py"));
        assert_eq!(paths.similar("scripts/rum.py"), Some("scripts/run.py"));
        assert_eq!(paths.similar("scripts/other.py"), None);
        assert_eq!(paths.below("scripts").count(), 3);
    }

    #[test]
    fn one_edit_is_one_edit() {
        for (left, right, wanted) in [
            ("requests", "request", true),
            ("requests", "reqeusts", true),
            ("requests", "requestz", true),
            ("requests", "requests", false),
            ("requests", "requestss", true),
            ("abc", "cba", false),
            ("a", "", true),
            ("ab", "ba", true),
            ("é", "e", true),
        ] {
            assert_eq!(is_one_edit_away(left, right), wanted, "{left} {right}");
            assert_eq!(is_one_edit_away(right, left), wanted, "{right} {left}");
        }
    }

    #[test]
    fn escapes_of_links_are_read() {
        assert_eq!(decoded("a%20b.md"), "a b.md");
        assert_eq!(decoded("100%.md"), "100%.md");
        assert_eq!(decoded("%ff"), "%ff");
    }
}
