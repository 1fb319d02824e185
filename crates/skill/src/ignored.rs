//! What never belongs to a skill, whatever its author says: one list, for the loader and for the packer.
//!
//! Version control, caches, environments and the settings of editors are of the author's machine. So are secrets in
//! `.env`: a skill gets its environment from its caller. As both use this list, a folder and the bundle made of it are the
//! same skill.

use std::fmt;

/// Why a file or directory never belongs to a skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Foreign {
    /// The history of a version control system.
    VersionControl,
    /// A virtual environment, or installed packages.
    Packages,
    /// What a program makes again when it is missing.
    Cache,
    /// Settings of an editor.
    Editor,
    /// What an operating system adds without being asked.
    System,
    /// Variables of the author's machine, which are where secrets end up.
    Secrets,
    /// A bundle beside `SKILL.md`: the output of an earlier packing.
    Bundle,
}

impl Foreign {
    /// One word for scripts.
    pub const fn code(self) -> &'static str {
        match self {
            Self::VersionControl => "version-control",
            Self::Packages => "packages",
            Self::Cache => "cache",
            Self::Editor => "editor",
            Self::System => "system",
            Self::Secrets => "secrets",
            Self::Bundle => "bundle",
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::VersionControl => "version control",
            Self::Packages => "packages that were installed on this machine",
            Self::Cache => "a cache",
            Self::Editor => "settings of an editor",
            Self::System => "added by an operating system",
            Self::Secrets => "may hold secrets of this machine",
            Self::Bundle => "a bundle that was packed before",
        })
    }
}

/// Folders of samples: what is in them is shown, copied or tested with.
const OF_SAMPLES: [&str; 11] = [
    "assets",
    "evals",
    "example",
    "examples",
    "fixtures",
    "sample",
    "samples",
    "template",
    "templates",
    "test",
    "tests",
];

/// Whether a `SKILL.md` at `path` below a skill's root is a sample, and not a second skill in the place of one.
pub fn is_sample(path: &str) -> bool {
    path.rsplit('/').skip(1).any(|folder| OF_SAMPLES.contains(&folder.to_ascii_lowercase().as_str()))
}

/// Whether a file or directory called `name` never belongs to a skill, and why. `at_root` says that it is beside `SKILL.md`.
pub(crate) fn foreign(name: &str, is_directory: bool, at_root: bool) -> Option<Foreign> {
    if is_directory {
        return Some(match name {
            ".git" | ".svn" | ".hg" => Foreign::VersionControl,
            ".venv" | "venv" | "node_modules" => Foreign::Packages,
            "__pycache__" | ".pytest_cache" | ".mypy_cache" | ".ruff_cache" => Foreign::Cache,
            ".idea" | ".vscode" => Foreign::Editor,
            "__MACOSX" => Foreign::System,
            _ => return None,
        });
    }
    Some(match name {
        // In a linked working tree, `.git` is a file.
        ".git" => Foreign::VersionControl,
        ".DS_Store" | "Thumbs.db" | "desktop.ini" => Foreign::System,
        ".env" | ".envrc" => Foreign::Secrets,
        _ if name.starts_with("._") => Foreign::System,
        _ if name.starts_with(".env.") => Foreign::Secrets,
        _ if name.ends_with(".pyc") || name.ends_with(".pyo") => Foreign::Cache,
        _ if at_root && name.ends_with(".skill") => Foreign::Bundle,
        _ => return None,
    })
}

/// The same for a whole path below a skill's root: the topmost part of it that never belongs to a skill.
pub(crate) fn foreign_part(path: &str, is_directory: bool) -> Option<(&str, Foreign)> {
    let ends = path.match_indices('/').map(|(end, _)| (end, true)).chain([(path.len(), is_directory)]);
    let mut start = 0;
    for (end, is_directory) in ends {
        if let Some(foreign) = foreign(&path[start..end], is_directory, start == 0) {
            return Some((&path[..end], foreign));
        }
        start = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_judged_by_every_part() {
        let check = |path: &str, expected| assert_eq!(foreign_part(path, false), expected, "{path}");
        for path in
            ["scripts/lib/__init__.py", "SKILL.md", ".gitignore", "assets/env", "assets/sample.skill", "venv"]
        {
            check(path, None);
        }
        check(".git/hooks/post-checkout", Some((".git", Foreign::VersionControl)));
        check("assets/.git", Some(("assets/.git", Foreign::VersionControl)));
        check("a/.git/config/.env", Some(("a/.git", Foreign::VersionControl)));
        check(".envrc", Some((".envrc", Foreign::Secrets)));
        check("scripts/.env.local", Some(("scripts/.env.local", Foreign::Secrets)));
        check("scripts/node_modules/x/index.js", Some(("scripts/node_modules", Foreign::Packages)));
        check("old.skill", Some(("old.skill", Foreign::Bundle)));
        check("a/__pycache__/b.cpython-311.pyc", Some(("a/__pycache__", Foreign::Cache)));
        assert_eq!(foreign_part("a/venv", true), Some(("a/venv", Foreign::Packages)));
    }
}
