//! Skills that are named on the command line: each a folder, its `SKILL.md`, or a bundle.

use std::{
    borrow::Cow,
    env,
    error::Error as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use skill::{Catalog, LoadError, Severity, Skill, SkillDirectory, SourceLimits, SourceProblem, find_skills};

use crate::{error::CommandError, escape, output::Output};

/// What to do about a directory that cannot be searched to its end.
pub(crate) const NAME_FEWER: &str = "name the skills themselves, or a directory with little else in it";

/// These skills, in the order in which they are named. All of them must be skills.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<Skill>, CommandError> {
    let mut skills: Vec<Skill> = Vec::with_capacity(paths.len());
    for path in paths {
        let skill = Skill::load(path)?;
        if skills.iter().any(|other| other.name() == skill.name()) {
            return Err(CommandError::usage(format!("two of the skills are called `{}`", skill.name())));
        }
        skills.push(skill);
    }
    Ok(skills)
}

/// The skills at these paths, each a skill or a directory of skills, in the order in which they are named and by name within a
/// directory. What in a directory cannot be used is warned of.
pub(crate) fn load_all(paths: &[PathBuf], output: Output) -> Result<Vec<Skill>, CommandError> {
    let mut named = Vec::new();
    for path in paths {
        if !path.is_dir() || has_skill_file(path) {
            named.push(path.clone());
            continue;
        }
        let directory = SkillDirectory::open(path, &SourceLimits::default())
            .map_err(|error| CommandError::io(format!("`{}` cannot be read", path.display()), &error))?;
        directory.problems().iter().for_each(|problem| warn(problem, output));
        let before = named.len();
        named.extend(directory.places().map(Path::to_path_buf));
        if named.len() == before {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(CommandError::from(LoadError::Io { path: path.clone(), source }));
        }
    }
    load(&named)
}

/// The paths of a command line; without any, what is meant by where we are.
pub(crate) fn named_or_here(paths: &[PathBuf]) -> Cow<'_, [PathBuf]> {
    if paths.is_empty() { Cow::Owned(vec![here()]) } else { Cow::Borrowed(paths) }
}

/// The working directory if it is a skill or has skills, or else the skill that it is in.
pub(crate) fn here() -> PathBuf {
    around(Path::new("."), owner).unwrap_or_else(|| PathBuf::from("."))
}

/// The nearest skill above `directory`, relative to it, if there is none at it or below. It has to belong to whom `directory`
/// belongs, and so does everything between: in `/tmp`, anybody can put a skill above our directories.
fn around(directory: &Path, owner: impl Fn(&Path) -> Option<u32>) -> Option<PathBuf> {
    let full = env::current_dir().ok()?.join(directory).canonicalize().ok()?;
    let ours = owner(&full)?;
    let is_ours = |path: &Path| owner(path) == Some(ours);
    let (up, _) = full
        .ancestors()
        .take_while(|above| is_ours(above))
        .enumerate()
        .find(|(_, above)| skill_file(above).is_some_and(|file| is_ours(&file)))?;
    let is_far =
        up > 0 && find_skills(&full, &SourceLimits::default()).is_ok_and(|below| below.paths.is_empty());
    is_far.then(|| std::iter::repeat_n("..", up).collect())
}

/// The user to whom a file or directory belongs.
fn owner(path: &Path) -> Option<u32> {
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.uid())
}

/// Whether a directory has a `SKILL.md`, in whatever letters.
pub(crate) fn has_skill_file(directory: &Path) -> bool {
    skill_file(directory).is_some()
}

fn skill_file(directory: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(directory).ok()?.filter_map(Result::ok);
    entries.find(|entry| entry.file_name().eq_ignore_ascii_case("SKILL.md")).map(|entry| entry.path())
}

/// A catalog of skills, and their slugs in the order of the skills.
pub(crate) fn catalog(skills: Vec<Skill>) -> (Catalog, Vec<String>) {
    shared_catalog(skills.into_iter().map(Arc::new).collect())
}

/// The same of skills that somebody else holds, too.
pub(crate) fn shared_catalog(skills: Vec<Arc<Skill>>) -> (Catalog, Vec<String>) {
    let slugs = skills.iter().map(|skill| skill.name().to_string()).collect();
    (Catalog::from_skills(skills), slugs)
}

/// Mentions that a skill has findings, which matters to its author and to nobody else.
pub(crate) fn note_findings(skill: &Skill, output: Output) {
    let worth = |severity| severity != Severity::Info;
    let count = skill.diagnostics().iter().filter(|diagnostic| worth(diagnostic.severity)).count();
    if output.verbose && count > 0 {
        output.note(&format!("`{}` has {count} findings; `skillbox validate` shows them", skill.name()));
    }
}

/// Says in the log that something in a directory of skills is not used.
pub(crate) fn log_problem(problem: &SourceProblem) {
    tracing::warn!(error = with_causes(problem), "something in a directory of skills is not used");
}

/// The same for somebody at a terminal.
fn warn(problem: &SourceProblem, output: Output) {
    output.warn(&escape::line(&with_causes(problem)));
}

fn with_causes(problem: &SourceProblem) -> String {
    let mut text = problem.to_string();
    let mut next = problem.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(root: &Path, name: &str) -> PathBuf {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!("---\nname: {name}\ndescription: Does things.\n---\nBody\n");
        std::fs::write(folder.join("SKILL.md"), text).unwrap();
        folder
    }

    #[test]
    fn a_skill_is_found_from_within_it() {
        let directory = tempfile::tempdir().unwrap();
        let a = skill(directory.path(), "skills/a");
        std::fs::create_dir_all(a.join("tests/fixtures")).unwrap();
        assert_eq!(around(&a.join("tests/fixtures"), owner), Some(PathBuf::from("../..")));
        assert_eq!(around(&a, owner), None);
        assert_eq!(around(&directory.path().join("skills"), owner), None);
        // A repository that is a skill may have others in it.
        std::fs::write(directory.path().join("SKILL.md"), "").unwrap();
        assert_eq!(around(&directory.path().join("skills"), owner), None);
    }

    #[test]
    fn what_somebody_else_put_above_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let shared = skill(directory.path(), "shared");
        let mine = shared.join("mine/work");
        std::fs::create_dir_all(&mine).unwrap();
        assert_eq!(around(&mine, owner), Some(PathBuf::from("../..")));
        // A directory of somebody else, and a `SKILL.md` of somebody else in one that is ours.
        for (path, other) in [(shared.clone(), 1), (shared.join("SKILL.md"), 1), (shared.join("mine"), 1)] {
            let path = path.canonicalize().unwrap();
            let owner = |asked: &Path| if asked == path { Some(other) } else { Some(0) };
            assert_eq!(around(&mine, owner), None, "{}", path.display());
        }
    }

    #[test]
    fn the_order_is_the_one_of_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (skill(directory.path(), "a"), skill(directory.path(), "b"));
        let (_, slugs) = catalog(load(&[b.join("SKILL.md"), a]).unwrap());
        assert_eq!(slugs, ["b", "a"]);
    }

    #[test]
    fn a_directory_stands_for_its_skills() {
        let directory = tempfile::tempdir().unwrap();
        let many = directory.path().join("many");
        let (b, _, c) = (skill(&many, "b"), skill(&many, "a"), skill(directory.path(), "c"));
        let output = Output { json: false, quiet: true, verbose: false, progress: false };
        let named = |paths: &[PathBuf]| {
            let skills = load_all(paths, output).map_err(|error| error.code)?;
            Ok::<_, &str>(skills.iter().map(|skill| skill.name().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(named(&[c, many.clone()]).unwrap(), ["c", "a", "b"]);
        assert_eq!(named(&[b]).unwrap(), ["b"]);
        std::fs::create_dir(directory.path().join("none")).unwrap();
        assert_eq!(named(&[directory.path().join("none")]).unwrap_err(), "SKILL_NOT_FOUND");
    }

    #[test]
    fn what_is_no_skill_and_what_comes_twice_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let a = skill(directory.path(), "a");
        assert_eq!(load(&[directory.path().join("x")]).unwrap_err().code, "SKILL_NOT_FOUND");
        assert_eq!(load(&[a.clone(), a]).unwrap_err().code, "USAGE");
    }
}
