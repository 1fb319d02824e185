//! A directory of skills: finds the skills in it and loads them.
//!
//! The order never depends on the file system, a broken skill never hides the others, and what was wrong is kept, so that a
//! skill that is missing can be explained.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{bundle::BundleLimits, draft::LoadError, folder::FolderLimits, name::SkillName, skill::Skill};

/// Bounds of a search for skills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// How deep below the directory a skill may be.
    pub max_depth: usize,
    /// The most directories that are looked into.
    pub max_directories: usize,
    /// Bounds of each skill's folder.
    pub folder: FolderLimits,
    /// Bounds of each bundle.
    pub bundle: BundleLimits,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self {
            max_depth: 4,
            max_directories: 2_000,
            folder: FolderLimits::default(),
            bundle: BundleLimits::default(),
        }
    }
}

/// The skills of one directory.
#[derive(Debug)]
pub struct SkillDirectory {
    path: PathBuf,
    skills: BTreeMap<SkillName, Arc<Skill>>,
    problems: Vec<SourceProblem>,
}

/// Something in a directory of skills that is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceProblem {
    /// A skill that cannot be loaded.
    #[error("skill at `{}` is not loaded", .path.display())]
    NotLoaded {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        error: LoadError,
    },
    /// A skill whose name another one has.
    #[error("skill `{name}` at `{}` is not used: another one of this name is used instead", .path.display())]
    Shadowed {
        /// The name.
        name: SkillName,
        /// The one that is not used.
        path: PathBuf,
    },
    /// Not everything was looked at.
    #[error("only the first {limit} directories below `{}` were searched for skills", .path.display())]
    TooManyDirectories {
        /// The directory.
        path: PathBuf,
        /// The most allowed.
        limit: usize,
    },
    /// A directory that cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something in the directory of uploaded skills that was not put there by an installation.
    #[error("`{}` is no installed skill", .path.display())]
    Foreign {
        /// What it is.
        path: PathBuf,
    },
}

impl SkillDirectory {
    /// Loads all skills below `path`: folders with a `SKILL.md` and `.skill` files. A path that is a skill itself counts as one.
    pub fn open(path: impl Into<PathBuf>, limits: &SourceLimits) -> io::Result<Self> {
        let path = path.into();
        let FoundSkills { paths: found, mut problems, .. } = find_skills(&path, limits)?;
        let mut skills: BTreeMap<SkillName, Arc<Skill>> = BTreeMap::new();
        for path in found {
            match load(&path, limits) {
                Ok(skill) => match skills.entry(skill.name().clone()) {
                    std::collections::btree_map::Entry::Vacant(vacant) => {
                        vacant.insert(Arc::new(skill));
                    }
                    std::collections::btree_map::Entry::Occupied(taken) => {
                        problems.push(SourceProblem::Shadowed { name: taken.key().clone(), path });
                    }
                },
                Err(error) => problems.push(SourceProblem::NotLoaded { path, error }),
            }
        }
        Ok(Self { path, skills, problems })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The skills, sorted by name.
    pub fn skills(&self) -> impl Iterator<Item = &Arc<Skill>> {
        self.skills.values()
    }

    /// The skill called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<Skill>> {
        self.skills.get(name)
    }

    /// What is not used, and why.
    pub fn problems(&self) -> &[SourceProblem] {
        &self.problems
    }
}

/// Where skills are, before anything is known about them.
#[derive(Debug, Default)]
pub struct FoundSkills {
    /// Folders with a file called like `SKILL.md` in any case, and `.skill` files; the nearer ones first, then by name.
    pub paths: Vec<PathBuf>,
    /// Which of them are links.
    pub linked: Vec<PathBuf>,
    /// Directories beside skills that hold nothing, or parts of a skill without `SKILL.md`.
    pub empty: Vec<PathBuf>,
    /// What was not looked at.
    pub problems: Vec<SourceProblem>,
}

/// Finds the skills below `path`, without reading them. A path that is a skill itself counts as one.
pub fn find_skills(path: &Path, limits: &SourceLimits) -> io::Result<FoundSkills> {
    let mut search = Search { limits, seen: BTreeSet::new(), found: FoundSkills::default() };
    if is_skill(path)? {
        search.found.paths.push(path.to_path_buf());
    } else {
        search.walk(path)?;
    }
    Ok(search.found)
}

pub(crate) fn load(path: &Path, limits: &SourceLimits) -> Result<Skill, LoadError> {
    if path.is_dir() {
        return Skill::from_directory(path, &limits.folder);
    }
    let bundle = fs::File::open(path).map_err(|source| LoadError::Io { path: path.to_path_buf(), source })?;
    Skill::from_bundle(bundle, &limits.bundle)
}

struct Search<'limits> {
    limits: &'limits SourceLimits,
    /// Canonical directories, so that links cannot lead in circles or count a skill twice.
    seen: BTreeSet<PathBuf>,
    found: FoundSkills,
}

impl Search<'_> {
    fn walk(&mut self, root: &Path) -> io::Result<()> {
        let mut level = vec![root.to_path_buf()];
        for depth in 1..=self.limits.max_depth {
            let mut next = Vec::new();
            for directory in level {
                match self.directory(&directory, depth, root, &mut next) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(source) if directory == root => return Err(source),
                    Err(source) => {
                        self.found.problems.push(SourceProblem::Unreadable { path: directory, source });
                    }
                }
            }
            level = next;
        }
        Ok(())
    }

    /// Looks at the children of one directory; `false` when the search is over.
    fn directory(
        &mut self,
        directory: &Path,
        depth: usize,
        root: &Path,
        next: &mut Vec<PathBuf>,
    ) -> io::Result<bool> {
        let mut children = fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        children.sort();
        let before = self.found.paths.len();
        let mut empty = Vec::new();
        for child in children {
            let name = child.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            // Hidden directories hold version control and caches, not skills.
            if name.starts_with('.') || name == "node_modules" || name == "__MACOSX" {
                continue;
            }
            let link = fs::symlink_metadata(&child)?.is_symlink();
            let Ok(metadata) = fs::metadata(&child) else { continue };
            if metadata.is_file() {
                if child.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("skill")) {
                    self.found.paths.push(child);
                }
                continue;
            }
            if !metadata.is_dir() || !self.seen.insert(fs::canonicalize(&child)?) {
                continue;
            }
            if self.seen.len() > self.limits.max_directories {
                let limit = self.limits.max_directories;
                self.found
                    .problems
                    .push(SourceProblem::TooManyDirectories { path: root.to_path_buf(), limit });
                return Ok(false);
            }
            if is_skill(&child)? {
                if link {
                    self.found.linked.push(child.clone());
                }
                self.found.paths.push(child);
                continue;
            }
            if is_part_of_a_skill(&child)? {
                empty.push(child.clone());
            }
            if !link && depth < self.limits.max_depth {
                // A linked skill is taken; a linked tree is not searched.
                next.push(child);
            }
        }
        // Only among skills is such a directory one that was begun or removed by half.
        if self.found.paths.len() > before {
            self.found.empty.append(&mut empty);
        }
        Ok(true)
    }
}

fn is_skill(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.file_name().eq_ignore_ascii_case("SKILL.md") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a directory is empty, or has nothing but what stands beside a `SKILL.md`.
fn is_part_of_a_skill(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if !matches!(entry?.file_name().to_str(), Some("scripts" | "references" | "assets" | "tests")) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_what_was_begun_are_told() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "a", "a", "x");
        fs::create_dir_all(root.path().join("begun/scripts")).unwrap();
        fs::create_dir_all(root.path().join("empty")).unwrap();
        fs::create_dir_all(root.path().join("docs/text")).unwrap();
        put(root.path(), "docs/text/b", "b", "x");
        std::os::unix::fs::symlink("docs/text/b", root.path().join("link")).unwrap();
        let found = find_skills(root.path(), &SourceLimits::default()).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(root.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(&found.paths), ["a", "link"]);
        assert_eq!(names(&found.linked), ["link"]);
        assert_eq!(names(&found.empty), ["begun", "empty"]);
    }

    fn skill_text(name: &str, description: &str) -> String {
        format!("---\nname: {name}\ndescription: {description}\n---\nBody\n")
    }

    fn put(root: &Path, directory: &str, name: &str, description: &str) {
        fs::create_dir_all(root.join(directory)).unwrap();
        fs::write(root.join(directory).join("SKILL.md"), skill_text(name, description)).unwrap();
    }

    fn names(directory: &SkillDirectory) -> Vec<&str> {
        directory.skills().map(|skill| skill.name().as_str()).collect()
    }

    #[test]
    fn skills_are_found_at_any_depth_and_sorted() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "zeta", "zeta", "z");
        put(root.path(), "group/deep/alpha", "alpha", "a");
        put(root.path(), "1/2/3/4/too-deep", "too-deep", "x");
        put(root.path(), ".git/hidden", "hidden", "x");
        put(root.path(), "node_modules/module", "module", "x");
        put(root.path(), "zeta/nested", "nested", "inside another skill");
        std::os::unix::fs::symlink(".", root.path().join("cycle")).unwrap();
        let directory = SkillDirectory::open(root.path(), &SourceLimits::default()).unwrap();
        assert_eq!(names(&directory), ["alpha", "zeta"]);
        assert!(directory.problems().is_empty(), "{:?}", directory.problems());
    }

    #[test]
    fn a_broken_skill_does_not_hide_the_others() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "good", "good", "g");
        fs::create_dir(root.path().join("bad")).unwrap();
        fs::write(root.path().join("bad/SKILL.md"), "no frontmatter").unwrap();
        fs::write(root.path().join("worse.skill"), "no zip").unwrap();
        put(root.path(), "second", "good", "the same name again");
        let directory = SkillDirectory::open(root.path(), &SourceLimits::default()).unwrap();
        assert_eq!(names(&directory), ["good"]);
        assert_eq!(directory.get("good").unwrap().description(), "g");
        let problems: Vec<String> = directory.problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(matches!(
            &directory.problems()[2],
            SourceProblem::NotLoaded { error: LoadError::Bundle(_), .. }
        ));
        assert!(problems[1].contains("`good`") && problems[1].contains("second"), "{problems:?}");
    }

    #[test]
    fn a_path_that_is_a_skill_counts_as_one_and_the_bound_holds() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "a", "a", "x");
        put(root.path(), "b", "b", "x");
        let directory = SkillDirectory::open(root.path().join("a"), &SourceLimits::default()).unwrap();
        assert_eq!(names(&directory), ["a"]);
        let limits = SourceLimits { max_directories: 1, ..SourceLimits::default() };
        let directory = SkillDirectory::open(root.path(), &limits).unwrap();
        assert_eq!(names(&directory), ["a"]);
        assert!(matches!(directory.problems(), [SourceProblem::TooManyDirectories { limit: 1, .. }]));
        assert!(SkillDirectory::open(root.path().join("none"), &limits).is_err());
    }
}
