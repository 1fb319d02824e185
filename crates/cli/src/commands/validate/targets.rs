//! Which skills are meant by the paths of a command line.
//!
//! A path may be a skill's folder, a bundle, a directory of skills, or any file in a skill, as commit hooks name them; a skill
//! that is meant twice is checked once.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use skill::{SourceLimits, SourceProblem, find_skills};

use crate::{
    error::{CommandError, Kind},
    skills,
};

/// The most that is read from standard input, in bytes: the largest bundle.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// What is to be checked.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) all: Vec<Target>,
    /// Directories among skills that are none.
    pub(super) empty: Vec<PathBuf>,
    /// The canonical paths of all targets, so that none is checked twice.
    seen: BTreeSet<PathBuf>,
}

impl Targets {
    /// Adds a target that is not there yet.
    pub(super) fn add(&mut self, target: Target) {
        if let Target::Path { path, .. } = &target {
            let real = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if !self.seen.insert(real) {
                return;
            }
        }
        self.all.push(target);
    }
}

/// One skill to check.
#[derive(Debug)]
pub(super) enum Target {
    /// A folder or a bundle.
    Path {
        path: PathBuf,
        /// The directory among skills is a link.
        linked: bool,
    },
    /// What came on standard input.
    Input(Vec<u8>),
}

pub(super) fn find(paths: &[PathBuf]) -> Result<Targets, CommandError> {
    let mut targets = Targets::default();
    for path in paths {
        if path == Path::new("-") {
            targets.add(Target::Input(input()?));
            continue;
        }
        let unreadable = |error| CommandError::io(format!("`{}` cannot be read", path.display()), &error);
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => not_found(path),
            _ => unreadable(error),
        })?;
        if !metadata.is_dir() {
            targets.add(Target::Path { path: of_file(path)?, linked: false });
            continue;
        }
        // Many skills are no reason to stop; a run over a whole disk is.
        let limits = SourceLimits { max_depth: 8, max_directories: 200_000, ..SourceLimits::default() };
        let found = find_skills(path, &limits).map_err(unreadable)?;
        if found.paths.is_empty() && found.empty.is_empty() {
            return Err(not_found(path));
        }
        for problem in found.problems {
            match problem {
                SourceProblem::Unreadable { .. } | SourceProblem::TooManyDirectories { .. } => {
                    return Err(
                        CommandError::of(Kind::User, "SKILL_UNREADABLE", &problem).hint(skills::NAME_FEWER)
                    );
                }
                _ => {}
            }
        }
        let mut paths = found.paths;
        paths.sort();
        for path in paths {
            let linked = found.linked.contains(&path);
            targets.add(Target::Path { path, linked });
        }
        targets.empty.extend(found.empty);
    }
    Ok(targets)
}

/// The skill that a file is, describes, or belongs to.
fn of_file(path: &Path) -> Result<PathBuf, CommandError> {
    let folder = |file: &Path| match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md")) {
        return Ok(folder(path));
    }
    if path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("skill") || ending.eq_ignore_ascii_case("zip"))
        || begins_a_zip(path)
    {
        return Ok(path.to_owned());
    }
    let is_skill =
        |directory: &Path| ["SKILL.md", "skill.md"].iter().any(|name| directory.join(name).is_file());
    // As it was written where that is enough; above the working directory only the whole path has a name.
    let written = folder(path);
    let whole = fs::canonicalize(&written).unwrap_or_default();
    if let Some(found) = written.ancestors().chain(whole.ancestors()).find(|directory| {
        // The last ancestor of a relative path is empty and means the working directory.
        is_skill(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })
    }) {
        return Ok(if found.as_os_str().is_empty() { PathBuf::from(".") } else { found.to_owned() });
    }
    Err(CommandError::new(
        Kind::User,
        "SKILL_NOT_FOUND",
        format!("`{}` is no bundle, and in no skill", path.display()),
    )
    .hint("name a folder with a SKILL.md, a .skill bundle, or a file in a skill"))
}

fn begins_a_zip(path: &Path) -> bool {
    let mut head = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *b"PK\x03\x04"
}

fn input() -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_INPUT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandError::io("standard input cannot be read", &error))?;
    Ok(bytes)
}

fn not_found(path: &Path) -> CommandError {
    CommandError::new(Kind::User, "SKILL_NOT_FOUND", format!("there is no skill at `{}`", path.display()))
        .hint("name a folder with a SKILL.md, a .skill bundle, or a directory of them")
}
