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

use crate::{
    bundle::BundleLimits,
    draft::{Draft, LoadError},
    folder::FolderLimits,
    name::SkillName,
    skill::Skill,
};

/// Hidden directories in which agents look for the skills of a project, in their `skills`. Every other hidden directory holds
/// version control, caches and settings.
const OF_AGENTS: [&str; 3] = [".agents", ".claude", ".github"];

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
    places: BTreeMap<SkillName, PathBuf>,
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
    #[error("duplicate skill `{name}`: using {}, ignoring {}", .used.display(), .path.display())]
    Shadowed {
        /// The name.
        name: SkillName,
        /// The one that is used.
        used: PathBuf,
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

impl SourceProblem {
    /// Whether this is only a bundle that lies beside the folder it was packed from.
    pub fn is_packed_bundle(&self) -> bool {
        let Self::Shadowed { used, path, .. } = self else { return false };
        path.extension().is_some() && path.parent() == used.parent() && is_packed_from(path, used)
    }
}

impl SkillDirectory {
    /// Loads all skills below `path`: folders with a `SKILL.md` and `.skill` files. A path that is a skill itself counts as one.
    /// Of a folder and the bundle that was packed from it, the folder is used.
    pub fn open(path: impl Into<PathBuf>, limits: &SourceLimits) -> io::Result<Self> {
        let path = path.into();
        let FoundSkills { paths: found, packed, mut problems, .. } = find_skills(&path, limits)?;
        let mut skills: BTreeMap<SkillName, Arc<Skill>> = BTreeMap::new();
        let mut places: BTreeMap<SkillName, PathBuf> = BTreeMap::new();
        for path in found {
            match load(&path, limits) {
                Ok(skill) => match places.get(skill.name()) {
                    None => {
                        places.insert(skill.name().clone(), path);
                        skills.insert(skill.name().clone(), Arc::new(skill));
                    }
                    Some(used) => problems.push(SourceProblem::Shadowed {
                        name: skill.name().clone(),
                        used: used.clone(),
                        path,
                    }),
                },
                Err(error) => problems.push(SourceProblem::NotLoaded { path, error }),
            }
        }
        for (bundle, folder) in packed {
            if let Some((name, _)) = places.iter().find(|(_, place)| **place == folder) {
                problems.push(SourceProblem::Shadowed { name: name.clone(), used: folder, path: bundle });
            }
        }
        Ok(Self { path, skills, places, problems })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The skills, sorted by name.
    pub fn skills(&self) -> impl Iterator<Item = &Arc<Skill>> {
        self.skills.values()
    }

    /// Where the skills are, in the order of their names.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.values().map(PathBuf::as_path)
    }

    /// The skill called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<Skill>> {
        self.skills.get(name)
    }

    /// What is not used, and why.
    pub fn problems(&self) -> &[SourceProblem] {
        &self.problems
    }

    pub(crate) fn into_parts(self) -> (BTreeMap<SkillName, Arc<Skill>>, Vec<SourceProblem>) {
        (self.skills, self.problems)
    }
}

/// Where skills are, before anything is known about them.
#[derive(Debug, Default)]
pub struct FoundSkills {
    /// Folders with a file called like `SKILL.md` in any case, and `.skill` files; the nearer ones first, then by name.
    pub paths: Vec<PathBuf>,
    /// Which of them are links.
    pub linked: Vec<PathBuf>,
    /// Bundles beside the folder of the same skill, as `pack` leaves them there, and that folder; the bundle is none of `paths`.
    pub packed: Vec<(PathBuf, PathBuf)>,
    /// Directories beside skills that hold nothing, or parts of a skill without `SKILL.md`.
    pub empty: Vec<PathBuf>,
    /// What was not looked at.
    pub problems: Vec<SourceProblem>,
}

/// Finds the skills below `path`, without reading more of them than their names. A path that is a skill itself counts as one.
///
/// Hidden directories are not searched, apart from `skills` in those of agents: `.claude`, `.agents` and `.github`.
pub fn find_skills(path: &Path, limits: &SourceLimits) -> io::Result<FoundSkills> {
    let mut search = Search { limits, seen: BTreeSet::new(), found: FoundSkills::default() };
    if is_skill(path)? {
        search.found.paths.push(path.to_path_buf());
    } else {
        search.walk(path)?;
    }
    Ok(search.found)
}

fn load(path: &Path, limits: &SourceLimits) -> Result<Skill, LoadError> {
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
        let mut bundles = Vec::new();
        for child in children {
            let name = child.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            if OF_AGENTS.contains(&name.as_ref()) && !fs::symlink_metadata(&child)?.is_symlink() {
                let skills = child.join("skills");
                if depth < self.limits.max_depth
                    && fs::symlink_metadata(&skills).is_ok_and(|metadata| metadata.is_dir())
                    && self.seen.insert(fs::canonicalize(&skills)?)
                {
                    next.push(skills);
                }
                continue;
            }
            if name.starts_with('.') || name == "node_modules" || name == "__MACOSX" {
                continue;
            }
            let link = fs::symlink_metadata(&child)?.is_symlink();
            let Ok(metadata) = fs::metadata(&child) else { continue };
            if metadata.is_file() {
                if child.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("skill")) {
                    bundles.push(child);
                }
                continue;
            }
            // A linked skill is taken; a linked tree is not searched, and does not hide the tree that it leads to.
            if !metadata.is_dir()
                || link && !is_skill(&child)?
                || !self.seen.insert(fs::canonicalize(&child)?)
            {
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
            if depth < self.limits.max_depth {
                next.push(child);
            }
        }
        let folders = self.found.paths[before..].to_vec();
        for bundle in bundles {
            match folders.iter().find(|folder| is_packed_from(&bundle, folder)) {
                Some(folder) => self.found.packed.push((bundle, folder.clone())),
                None => self.found.paths.push(bundle),
            }
        }
        self.found.paths[before..].sort();
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

/// Whether a bundle is called like the skill in a folder beside it: by the folder, or by its `SKILL.md`.
fn is_packed_from(bundle: &Path, folder: &Path) -> bool {
    let Some(stem) = bundle.file_stem() else { return false };
    folder.file_name() == Some(stem)
        || Draft::open(folder).is_ok_and(|draft| {
            draft.frontmatter().and_then(|frontmatter| frontmatter.name()) == stem.to_str()
        })
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
        let (good, second) = (root.path().join("good"), root.path().join("second"));
        assert_eq!(
            problems[1],
            format!("duplicate skill `good`: using {}, ignoring {}", good.display(), second.display())
        );
    }

    #[test]
    fn skills_of_agents_are_found_and_no_other_hidden_ones() {
        let root = tempfile::tempdir().unwrap();
        for (directory, name) in [
            (".claude/skills/a", "a"),
            (".agents/skills/group/b", "b"),
            (".github/skills/c", "c"),
            ("packages/web/.claude/skills/d", "d"),
            ("skills/e", "e"),
            (".cache/skills/f", "f"),
            (".claude/worktrees/g", "g"),
            (".github/h", "h"),
        ] {
            put(root.path(), directory, name, "x");
        }
        // The same skills for another agent, as many repositories have them.
        std::os::unix::fs::symlink("../.claude/skills", root.path().join(".agents/skills/linked")).unwrap();
        let directory = SkillDirectory::open(root.path(), &SourceLimits::default()).unwrap();
        assert_eq!(names(&directory), ["a", "b", "c", "d", "e"]);
        assert!(directory.problems().is_empty(), "{:?}", directory.problems());
    }

    #[test]
    fn a_linked_tree_does_not_hide_the_tree_itself() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "tree/a", "a", "x");
        std::os::unix::fs::symlink("tree", root.path().join("link")).unwrap();
        let directory = SkillDirectory::open(root.path(), &SourceLimits::default()).unwrap();
        assert_eq!(names(&directory), ["a"]);
    }

    #[test]
    fn a_bundle_beside_its_folder_is_no_second_skill() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "a", "a", "x");
        put(root.path(), "folder-of-b", "b", "x");
        for bundle in ["a.skill", "b.skill", "c.skill"] {
            fs::write(root.path().join(bundle), "").unwrap();
        }
        let found = find_skills(root.path(), &SourceLimits::default()).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(root.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(&found.paths), ["a", "c.skill", "folder-of-b"]);
        let packed: Vec<PathBuf> = found.packed.iter().map(|(bundle, _)| bundle.clone()).collect();
        assert_eq!(names(&packed), ["a.skill", "b.skill"]);
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
