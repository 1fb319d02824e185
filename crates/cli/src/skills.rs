//! Skills that are named on the command line: each a folder, its `SKILL.md`, or a bundle.

use std::{error::Error as _, path::PathBuf, sync::Arc};

use skill::{Catalog, Severity, Skill, SourceProblem};

use crate::{error::CommandError, escape, output::Output};

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

/// Says that something in a directory of skills is not used.
pub(crate) fn warn(problem: &SourceProblem, output: Output) {
    let mut text = problem.to_string();
    let mut next = problem.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    output.warn(&escape::line(&text));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn skill(root: &Path, name: &str) -> PathBuf {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!("---\nname: {name}\ndescription: Does things.\n---\nBody\n");
        std::fs::write(folder.join("SKILL.md"), text).unwrap();
        folder
    }

    #[test]
    fn the_order_is_the_one_of_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (skill(directory.path(), "a"), skill(directory.path(), "b"));
        let (_, slugs) = catalog(load(&[b.join("SKILL.md"), a]).unwrap());
        assert_eq!(slugs, ["b", "a"]);
    }

    #[test]
    fn what_is_no_skill_and_what_comes_twice_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let a = skill(directory.path(), "a");
        assert_eq!(load(&[directory.path().join("x")]).unwrap_err().code, "SKILL_NOT_FOUND");
        assert_eq!(load(&[a.clone(), a]).unwrap_err().code, "USAGE");
    }
}
