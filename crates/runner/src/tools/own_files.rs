//! Arguments of a script that name files of its skill, as the documents of skills write them: `assets/form.docx`.
//!
//! A script runs in `/workspace`, so a relative path leads there. What a model put there comes first; only where it has
//! nothing of that name does an argument stand for the skill's own file.

use sandbox::{FileErrorKind, Sandbox, SandboxError, SandboxPath};
use skill::Skill;

use crate::trigger::skill_directory;

/// Makes absolute what names a file or directory of the skill, and nothing in `/workspace`.
///
/// # Errors
/// The sandbox broke down.
pub(crate) async fn resolve(
    sandbox: &mut Sandbox,
    skill: &Skill,
    args: &mut [String],
) -> Result<(), SandboxError> {
    for arg in args {
        let (before, path) = split(arg);
        if !is_own(skill, path) {
            continue;
        }
        let Ok(there) = SandboxPath::readable(path) else { continue };
        // No bytes are wanted: a directory answers that it is no file, and is there all the same.
        let is_there = match sandbox.read(&there, 0, 0).await? {
            Ok(_) => true,
            Err(error) => error.kind != FileErrorKind::NotFound,
        };
        if !is_there {
            *arg = format!("{before}{}/{}", skill_directory(skill), path.trim_start_matches("./"));
        }
    }
    Ok(())
}

/// `--template=assets/a.docx` in two; all of another argument may be a path.
fn split(arg: &str) -> (&str, &str) {
    match arg.find('=') {
        Some(at) if arg.starts_with('-') => arg.split_at(at + 1),
        _ => ("", arg),
    }
}

/// Whether it is the path of something in the skill. A single word is none: it may mean anything.
fn is_own(skill: &Skill, path: &str) -> bool {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let below =
        |file: &str| file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    path.contains('/') && skill.files().iter().any(|file| below(&file.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_skill_are_its_own() {
        let skill = Skill::from_files([
            ("SKILL.md", "---\nname: a\ndescription: Does a. Use it in tests.\n---\n".to_owned()),
            ("assets/sets/one.json", "{}".to_owned()),
        ])
        .unwrap();
        for own in ["assets/sets/one.json", "./assets/sets/one.json", "assets/sets", "assets/sets/"] {
            assert!(is_own(&skill, own), "{own}");
        }
        for other in ["assets", "SKILL.md", "assets/set", "/assets/sets", "assets/sets/../x", "", "/", "x/y"]
        {
            assert!(!is_own(&skill, other), "{other}");
        }
        assert_eq!(split("--in=a/b"), ("--in=", "a/b"));
        assert_eq!(split("x=a/b"), ("", "x=a/b"));
    }
}
