//! One file's path for different readers: people here, services that know the repository, files that stay where they are.
//!
//! Only the spelling changes: links are not followed, and nothing has to exist.

use std::path::{Component, Path, PathBuf};

/// `path` without `.` and `..`, from the root.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// `path` as it is written from `base`, which is a directory.
pub(crate) fn from(base: &Path, path: &Path) -> PathBuf {
    let (base, path) = (absolute(base), absolute(path));
    let common = base.components().zip(path.components()).take_while(|(left, right)| left == right).count();
    let up = base.components().skip(common).map(|_| Component::ParentDir);
    let written: PathBuf = up.chain(path.components().skip(common)).collect();
    if written.as_os_str().is_empty() { PathBuf::from(".") } else { written }
}

/// `path` from the working directory when it is below it, else from the root.
pub(crate) fn from_here(path: &Path) -> PathBuf {
    let whole = absolute(path);
    match whole.strip_prefix(absolute(Path::new("."))) {
        Ok(inner) if inner.as_os_str().is_empty() => PathBuf::from("."),
        Ok(inner) => inner.to_owned(),
        Err(_) => whole,
    }
}

/// `path` from the top of the repository that it is in, as services name files; as it is written where there is none.
pub(crate) fn in_repository(path: &Path) -> PathBuf {
    let whole = absolute(path);
    let top = whole.ancestors().find(|directory| directory.join(".git").exists());
    match top.and_then(|top| whole.strip_prefix(top).ok()) {
        Some(inner) if !inner.as_os_str().is_empty() => inner.to_owned(),
        Some(_) => PathBuf::from("."),
        None => path.strip_prefix("./").unwrap_or(path).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_for_their_readers() {
        let check = |base: &str, path: &str, wanted: &str| {
            assert_eq!(from(Path::new(base), Path::new(path)), PathBuf::from(wanted), "{base} {path}");
        };
        check("/a/b", "/a/b/c/d", "c/d");
        check("/a/b/", "/a/./b", ".");
        check("/a/b", "/a/x/../c", "../c");
        check("/", "/a", "a");
        let here = std::env::current_dir().unwrap();
        assert_eq!(from_here(&here.join("x/../y")), PathBuf::from("y"));
        assert_eq!(from_here(&here), PathBuf::from("."));
        assert_eq!(from_here(Path::new("/nowhere/y")), PathBuf::from("/nowhere/y"));
    }

    #[test]
    fn services_are_told_paths_from_the_top_of_the_repository() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("repository/.git")).unwrap();
        let skill = directory.path().join("repository/tools/../skills/a/SKILL.md");
        assert_eq!(in_repository(&skill), PathBuf::from("skills/a/SKILL.md"));
        assert_eq!(in_repository(Path::new("/nowhere/a")), PathBuf::from("/nowhere/a"));
    }
}
