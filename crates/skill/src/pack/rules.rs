//! What does not ship, and why: the list of what never belongs to a skill, what is for authors only, and what the author
//! names in `.skillignore` and, if asked for, in `.gitignore`.
//!
//! `SKILL.md` always ships, whatever a pattern says: without it there is no skill.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::{GitIgnore, PackError, PackOptions, TestFiles};
use crate::{content::Content, ignored, ignored::Foreign};

/// The file with the author's own patterns.
const SKILLIGNORE: &str = ".skillignore";
/// The most bytes of a file with patterns.
const MAX_PATTERNS: u64 = 256 * 1024;

/// Why something does not ship.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// It never belongs to a skill.
    Foreign(Foreign),
    /// It is the skill's tests.
    Tests,
    /// It is `evals/`, which other packers of skills leave out as well.
    Evals,
    /// It is `output/`, where results of a run in the folder go when nothing else is said.
    Results,
    /// It is the list of what does not ship.
    IgnoreFile,
    /// A line of `.skillignore` names it.
    SkillIgnore {
        /// The pattern.
        pattern: String,
    },
    /// A line of a `.gitignore` names it.
    GitIgnore {
        /// The pattern.
        pattern: String,
    },
    /// It is where the bundle goes.
    Output,
    /// It is a directory with nothing in it; a bundle has files only.
    EmptyDirectory,
}

impl Reason {
    /// One word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign(foreign) => foreign.code(),
            Self::Tests => "tests",
            Self::Evals => "evals",
            Self::Results => "results",
            Self::IgnoreFile => "ignore-file",
            Self::SkillIgnore { .. } => "skillignore",
            Self::GitIgnore { .. } => "gitignore",
            Self::Output => "output",
            Self::EmptyDirectory => "empty-directory",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(foreign) => foreign.fmt(formatter),
            Self::Tests => formatter.write_str("tests are for authors"),
            Self::Evals => formatter.write_str("evaluations are for authors"),
            Self::Results => {
                formatter.write_str("results of a run; `!output/` in .skillignore takes them along")
            }
            Self::IgnoreFile => formatter.write_str("says what does not ship"),
            Self::SkillIgnore { pattern } => {
                write!(formatter, "`{}` in .skillignore", pattern.escape_debug())
            }
            Self::GitIgnore { pattern } => write!(formatter, "`{}` in .gitignore", pattern.escape_debug()),
            Self::Output => formatter.write_str("is where the bundle goes"),
            Self::EmptyDirectory => formatter.write_str("an empty directory"),
        }
    }
}

/// The rules of one packing.
pub(super) struct Rules<'options> {
    root: &'options Path,
    options: &'options PackOptions,
    /// Canonical, so that it is recognised however it was written.
    output: Option<PathBuf>,
    skillignore: Gitignore,
    /// Those above the folder, the nearest first.
    above: Vec<Gitignore>,
    /// Those in the folder, by their directory; read when something there is judged.
    inside: BTreeMap<String, Gitignore>,
}

impl<'options> Rules<'options> {
    /// The rules for the canonical folder `root`.
    pub(super) fn read(root: &'options Path, options: &'options PackOptions) -> Result<Self, PackError> {
        let skillignore = patterns(root, SKILLIGNORE, Errors::Refuse)?.unwrap_or_else(Gitignore::empty);
        let above = match options.gitignore {
            GitIgnore::Disregard => Vec::new(),
            GitIgnore::Obey => above(root)?,
        };
        let output = options.output.as_deref().and_then(place);
        Ok(Self { root, options, output, skillignore, above, inside: BTreeMap::new() })
    }

    /// Why the file or directory at `path` does not ship; its parents are taken to have been judged before.
    pub(super) fn reason(&mut self, path: &str, is_directory: bool) -> Result<Option<Reason>, PackError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let at_root = parent.is_empty();
        if self.output.as_deref() == Some(&self.root.join(path)) {
            return Ok(Some(Reason::Output));
        }
        if let Some(foreign) = ignored::foreign(name, is_directory, at_root) {
            return Ok(Some(Reason::Foreign(foreign)));
        }
        if at_root {
            match name {
                "SKILL.md" | "skill.md" if !is_directory => return Ok(None),
                SKILLIGNORE => return Ok(Some(Reason::IgnoreFile)),
                "evals" if is_directory => return Ok(Some(Reason::Evals)),
                "tests" if is_directory && self.options.tests == TestFiles::LeaveOut => {
                    return Ok(Some(Reason::Tests));
                }
                _ => {}
            }
        }
        match self.skillignore.matched(path, is_directory) {
            Match::Ignore(glob) => {
                return Ok(Some(Reason::SkillIgnore { pattern: glob.original().to_owned() }));
            }
            // What the author asks for here wins over what git does not keep.
            Match::Whitelist(_) => return Ok(None),
            Match::None if path == "output" && is_directory => return Ok(Some(Reason::Results)),
            Match::None => {}
        }
        match self.options.gitignore {
            GitIgnore::Disregard => Ok(None),
            GitIgnore::Obey => self.gitignored(path, parent, is_directory),
        }
    }

    /// The same for a link, which also does not ship where a directory of its name would not: `node_modules` may be one.
    pub(super) fn reason_of_link(&mut self, path: &str) -> Result<Option<Reason>, PackError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match ignored::foreign(name, true, parent.is_empty()) {
            Some(foreign) => Ok(Some(Reason::Foreign(foreign))),
            None => self.reason(path, false),
        }
    }

    /// Judges a path and all directories above it, as for the target of a link.
    pub(super) fn reason_of_any_part(&mut self, path: &str) -> Result<Option<Reason>, PackError> {
        for (end, _) in path.match_indices('/') {
            if let Some(reason) = self.reason(&path[..end], true)? {
                return Ok(Some(reason));
            }
        }
        self.reason(path, false)
    }

    /// The nearest `.gitignore` that has something to say decides, as in git.
    fn gitignored(
        &mut self,
        path: &str,
        parent: &str,
        is_directory: bool,
    ) -> Result<Option<Reason>, PackError> {
        let full = self.root.join(path);
        let parents = parent.match_indices('/').map(|(end, _)| &parent[..end]);
        let mut directories: Vec<&str> = std::iter::once("").chain(parents).collect();
        if !parent.is_empty() {
            directories.push(parent);
        }
        for directory in directories.into_iter().rev() {
            if !self.inside.contains_key(directory) {
                let found = patterns(&self.root.join(directory), ".gitignore", Errors::Skip)?;
                self.inside.insert(directory.to_owned(), found.unwrap_or_else(Gitignore::empty));
            }
            if let Some(decided) =
                self.inside.get(directory).and_then(|list| decision(list, &full, is_directory))
            {
                return Ok(decided);
            }
        }
        Ok(self.above.iter().find_map(|list| decision(list, &full, is_directory)).unwrap_or_default())
    }
}

/// What a list says; `None` where it says nothing.
fn decision(list: &Gitignore, full: &Path, is_directory: bool) -> Option<Option<Reason>> {
    match list.matched(full, is_directory) {
        Match::Ignore(glob) => Some(Some(Reason::GitIgnore { pattern: glob.original().to_owned() })),
        Match::Whitelist(_) => Some(None),
        Match::None => None,
    }
}

/// The `.gitignore` files above `root`, up to the top of its repository; none where it is in none.
fn above(root: &Path) -> Result<Vec<Gitignore>, PackError> {
    let mut lists = Vec::new();
    if is_top(root) {
        return Ok(lists);
    }
    for directory in root.ancestors().skip(1) {
        lists.extend(patterns(directory, ".gitignore", Errors::Skip)?);
        if is_top(directory) {
            return Ok(lists);
        }
    }
    Ok(Vec::new())
}

fn is_top(directory: &Path) -> bool {
    directory.join(".git").exists()
}

/// What becomes of a line that is no pattern.
enum Errors {
    Refuse,
    /// As git does.
    Skip,
}

/// The patterns in `directory`; `None` where there is no such file.
fn patterns(directory: &Path, name: &'static str, errors: Errors) -> Result<Option<Gitignore>, PackError> {
    let path = directory.join(name);
    let unreadable = |source| PackError::Io { path: path.clone(), source };
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        // As for git, a link there has no meaning; nor has a directory.
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    }
    let broken = |line, message: String| PackError::Ignore { file: name.to_owned(), line, message };
    let folder = fs::canonicalize(directory).map_err(unreadable)?;
    let content = Content::Folder {
        folder: std::sync::Arc::new(crate::content::Folder::borrowed(folder)),
        max_file_bytes: MAX_PATTERNS + 1,
    };
    let bytes = content.head(name, u64::MAX)?;
    if bytes.len() as u64 > MAX_PATTERNS {
        return Err(broken(1, format!("more than {MAX_PATTERNS} bytes")));
    }
    let text = match (String::from_utf8(bytes), &errors) {
        (Ok(text), _) => text,
        (Err(error), Errors::Skip) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        (Err(_), Errors::Refuse) => return Err(broken(1, "the file is not UTF-8".to_owned())),
    };
    // Paths are given relative to the folder for the author's own list, and in full for git's.
    let base = match errors {
        Errors::Refuse => PathBuf::new(),
        Errors::Skip => directory.to_path_buf(),
    };
    let mut builder = GitignoreBuilder::new(base);
    for (line, pattern) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        if let (Err(error), Errors::Refuse) = (builder.add_line(None, pattern), &errors) {
            return Err(broken(line, error.to_string()));
        }
    }
    builder.build().map(Some).map_err(|error| broken(1, error.to_string()))
}

/// The canonical form of a path of which the last part need not exist.
fn place(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs::canonicalize(parent).ok()?.join(path.file_name()?))
}
