//! The skills that a change touches: `validate --changed`, as hooks of commits call it.
//!
//! A hook is given the files of a change. Most repositories have files that belong to no skill, so those are skipped. What a
//! change removes is named by no hook, although it breaks skills as easily; git is asked for that. The search for the skill
//! around a file ends at the top of its repository.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use skill::{SourceLimits, find_skills, is_sample};

use super::targets::{Target, Targets};
use crate::{places, skills::has_skill_file};

/// The skills around the files at `paths`, and around those that are removed.
pub(super) fn find(paths: &[PathBuf]) -> Targets {
    let mut targets = Targets::default();
    let removed = removed();
    let changed = paths.iter().filter_map(|path| touched(path));
    let hurt = removed.iter().filter_map(|path| touched(path).or_else(|| beheaded(path)));
    for path in changed.chain(hurt) {
        targets.add(Target::Path { path: places::from_here(&path), linked: false });
    }
    targets
}

/// The skill that a file is or belongs to; `None` where it belongs to none.
fn touched(path: &Path) -> Option<PathBuf> {
    let path = places::absolute(path);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("skill")) && path.is_file() {
        return Some(path);
    }
    let mut found: Option<&Path> = None;
    for directory in path.ancestors().skip(1) {
        if has_skill_file(directory) {
            let is_outer = |inner: &Path| {
                let below = inner.strip_prefix(directory).unwrap_or(inner).join("SKILL.md");
                below.to_str().is_some_and(is_sample)
            };
            // A skill within another's samples is one of its files; beside its own files it is a skill of its own.
            if found.is_none_or(is_outer) {
                found = Some(directory);
            }
        }
        if directory.join(".git").exists() {
            break;
        }
    }
    found.map(Path::to_path_buf)
}

/// The folder whose `SKILL.md` was removed, if git still has other files in it that are no skills of their own.
fn beheaded(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    let is_skill_file = path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md"));
    let holds_skills =
        || find_skills(folder, &SourceLimits::default()).is_ok_and(|found| !found.paths.is_empty());
    let is_left =
        || git(&["ls-files", "-z", "--", &folder.to_string_lossy()]).is_some_and(|left| !left.is_empty());
    (is_skill_file && folder.is_dir() && !holds_skills() && is_left()).then(|| folder.to_path_buf())
}

/// The files that the change removes: those of the index, or those between the two revisions that pre-commit names. None
/// where there is no repository.
fn removed() -> Vec<PathBuf> {
    let Some(top) = git(&["rev-parse", "--show-toplevel"]) else { return Vec::new() };
    let top = PathBuf::from(top.trim_end_matches('\n'));
    let reference =
        |name: &str| env::var(name).ok().filter(|value| !value.is_empty() && !value.starts_with('-'));
    let range = match (reference("PRE_COMMIT_FROM_REF"), reference("PRE_COMMIT_TO_REF")) {
        (Some(from), Some(to)) => format!("{from}...{to}"),
        _ => "--cached".to_owned(),
    };
    let listed =
        git(&["diff", "--name-only", "--no-renames", "--no-ext-diff", "--diff-filter=D", "-z", &range]);
    let listed = listed.unwrap_or_default();
    listed.split('\0').filter(|name| !name.is_empty()).map(|name| top.join(name)).collect()
}

/// What git says; `None` where it is not there or fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn put(root: &Path, path: &str) -> PathBuf {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        path
    }

    #[test]
    fn a_file_leads_to_its_skill_and_to_nothing_outside_its_repository() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("repository");
        put(directory.path(), "SKILL.md");
        put(&root, ".git/HEAD");
        for skill in ["skills/a", "skills/a/assets/sample", "skills/a/inner"] {
            put(&root, &format!("{skill}/SKILL.md"));
        }
        for (path, wanted) in [
            ("skills/a/requirements.txt", Some("skills/a")),
            ("skills/a/scripts/deep/run.py", Some("skills/a")),
            ("skills/a/SKILL.md", Some("skills/a")),
            ("skills/a/assets/sample/SKILL.md", Some("skills/a")),
            ("skills/a/inner/x.md", Some("skills/a/inner")),
            ("scripts/deploy.sh", None),
            ("assets/app.css", None),
        ] {
            // Also where it is there no more.
            assert_eq!(touched(&root.join(path)), wanted.map(|wanted| root.join(wanted)), "{path}");
        }
        let bundle = put(&root, "dist/a.skill");
        assert_eq!(touched(&bundle), Some(bundle));
    }
}
