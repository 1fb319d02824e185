//! What has changed on the disk since it was read: in the operator's directories, and in that of uploaded skills.
//!
//! A skill of the operator is known by its path, and read again when its *stamp* differs: a hash over names, sizes and times
//! of all its files. So to look costs a `stat` for each file, and an unchanged skill stays the same value. A broken one is a
//! problem, and its last good version stays in use; one that is gone is gone.

use std::{
    collections::{BTreeMap, btree_map::Entry, hash_map::DefaultHasher},
    fs,
    hash::{Hash as _, Hasher as _},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Catalog, CatalogError, Folder, Version, parse_version_name};
use crate::{
    draft::Draft,
    name::SkillName,
    skill::Skill,
    source::{SourceLimits, SourceProblem, find_skills, load},
};

/// Directories below a skill that a stamp looks into, and entries in all.
const DEPTH: usize = 32;
const ENTRIES: usize = 100_000;

/// A skill of the operator.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) skill: Arc<Skill>,
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// Differs for whatever differs in a skill's folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(u64);

/// What the operator's directories hold.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) skills: BTreeMap<SkillName, BuiltIn>,
    pub(super) problems: Vec<SourceProblem>,
    /// Directories that cannot be searched at all.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Catalog {
    /// Takes up what has changed on the disk, and gives the names of skills that are new, changed, or gone, sorted. Whoever
    /// holds a skill keeps it. What is not used, and why, is in [`Catalog::problems`].
    ///
    /// # Errors
    /// The directory of uploaded skills cannot be read.
    pub fn refresh(&mut self) -> Result<Vec<SkillName>, CatalogError> {
        let mut changed = Vec::new();
        if !self.roots.is_empty() {
            self.refresh_built_in(&mut changed);
        }
        if let Some(uploads) = self.uploads.clone() {
            self.refresh_uploads(&uploads, &mut changed)
                .map_err(|source| CatalogError::Io { path: uploads, source })?;
        }
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    fn refresh_built_in(&mut self, changed: &mut Vec<SkillName>) {
        let Roots { mut skills, problems, unreadable } =
            read_roots(&self.roots, &self.built_in, &self.limits);
        let mut before = std::mem::take(&mut self.built_in);
        let unchanged: Vec<*const Skill> = before.values().map(|old| Arc::as_ptr(&old.skill)).collect();
        // Those of uploaded skills were found when the directory was opened, and stay.
        let uploads = self.uploads.as_deref();
        let is_uploaded = |path: &Path| uploads.is_some_and(|uploads| path.starts_with(uploads));
        self.problems.retain(|problem| match problem {
            SourceProblem::NotLoaded { path, .. } | SourceProblem::Foreign { path } => is_uploaded(path),
            SourceProblem::Shadowed { .. }
            | SourceProblem::TooManyDirectories { .. }
            | SourceProblem::Unreadable { .. } => false,
        });
        self.problems.extend(problems);
        for (root, source) in unreadable {
            for (name, old) in std::mem::take(&mut before) {
                if old.path.starts_with(&root) {
                    skills.entry(name).or_insert(old);
                } else {
                    before.insert(name, old);
                }
            }
            self.problems.push(SourceProblem::Unreadable { path: root, source });
        }
        for (name, new) in &skills {
            let is_new = !unchanged.contains(&Arc::as_ptr(&new.skill));
            before.remove(name);
            if is_new {
                changed.push(name.clone());
            }
        }
        changed.extend(before.into_keys());
        self.built_in = skills;
    }

    /// What other processes have installed and removed.
    pub(super) fn refresh_uploads(&mut self, uploads: &Path, changed: &mut Vec<SkillName>) -> io::Result<()> {
        let mut newest: BTreeMap<SkillName, u64> = BTreeMap::new();
        for entry in fs::read_dir(uploads)? {
            let file_name = entry?.file_name();
            if let Some((name, number)) = file_name.to_str().and_then(parse_version_name) {
                let newest = newest.entry(name).or_insert(number);
                *newest = number.max(*newest);
            }
        }
        let known: Vec<SkillName> = self.uploaded.keys().cloned().collect();
        for name in known.into_iter().filter(|name| !newest.contains_key(name)) {
            self.uploaded.remove(&name);
            changed.push(name);
        }
        for (name, number) in newest {
            if self.uploaded.get(&name).is_some_and(|known| known.number == number) {
                continue;
            }
            let place = uploads.join(super::version_name(&name, number));
            if !fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir()) {
                if self.uploaded.remove(&name).is_some() {
                    changed.push(name);
                }
                continue;
            }
            let folder = Folder::owned(place.clone(), place);
            let loaded = Draft::from_folder(folder, Some(name.as_str()), &self.limits.bundle.folder());
            // It was checked when it was installed; what fails now is half gone already, and the next look tells.
            if let Ok(skill) = loaded.and_then(Draft::into_skill) {
                let old = self.uploaded.insert(name.clone(), Version { number, skill: Arc::new(skill) });
                if let Some(folder) = old.as_ref().and_then(|old| old.skill.folder()) {
                    folder.doom();
                }
                changed.push(name);
            }
        }
        Ok(())
    }
}

/// Reads the skills of these directories, of which earlier ones win; what has not changed is taken from `before`.
pub(super) fn read_roots(
    roots: &[PathBuf],
    before: &BTreeMap<SkillName, BuiltIn>,
    limits: &SourceLimits,
) -> Roots {
    let known: BTreeMap<&Path, &BuiltIn> = before.values().map(|old| (old.path.as_path(), old)).collect();
    let mut read = Roots::default();
    for root in roots {
        let found = match find_skills(root, limits) {
            Ok(found) => found,
            Err(error) => {
                read.unreadable.push((root.clone(), error));
                continue;
            }
        };
        read.problems.extend(found.problems);
        for path in found.paths {
            let (old, stamp) = (known.get(path.as_path()), stamp(&path));
            let (skill, stamp) = match old {
                Some(old) if old.stamp == stamp => (Arc::clone(&old.skill), stamp),
                _ => match (load(&path, limits), old) {
                    (Ok(skill), _) => (Arc::new(skill), stamp),
                    (Err(error), old) => {
                        read.problems.push(SourceProblem::NotLoaded { path: path.clone(), error });
                        // With its old stamp, so that it is tried again.
                        let Some(old) = old else { continue };
                        (Arc::clone(&old.skill), old.stamp)
                    }
                },
            };
            match read.skills.entry(skill.name().clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(BuiltIn { skill, path, stamp });
                }
                Entry::Occupied(taken) => {
                    read.problems.push(SourceProblem::Shadowed { name: taken.key().clone(), path });
                }
            }
        }
    }
    read
}

fn stamp(path: &Path) -> Stamp {
    let mut hasher = DefaultHasher::new();
    let mut left = ENTRIES;
    add(path, DEPTH, &mut left, &mut hasher);
    Stamp(hasher.finish())
}

fn add(path: &Path, depth: usize, left: &mut usize, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let (Ok(found), true) = (fs::metadata(path), *left > 0) else { return };
    *left -= 1;
    (found.dev(), found.ino(), found.mode()).hash(hasher);
    if !found.is_dir() {
        (found.size(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()).hash(hasher);
        return;
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    let children = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let mut children: Vec<PathBuf> = children.map(|child| child.path()).collect();
    children.sort_unstable();
    for child in children {
        add(&child, depth, left, hasher);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn write(root: &Path, name: &str, description: &str) {
        fs::create_dir_all(root.join(name)).unwrap();
        let text = format!("---\nname: {name}\ndescription: {description}\n---\nBody\n");
        // As editors and deployments do it.
        fs::write(root.join(name).join("new"), text).unwrap();
        fs::rename(root.join(name).join("new"), root.join(name).join("SKILL.md")).unwrap();
    }

    fn open(root: &Path, uploads: Option<&Path>) -> Catalog {
        Catalog::open(&[root], uploads, &SourceLimits::default()).unwrap()
    }

    fn description(catalog: &Catalog, name: &str) -> Option<String> {
        catalog.get(name).map(|skill| skill.description().to_owned())
    }

    fn changed(catalog: &mut Catalog) -> Vec<String> {
        catalog.refresh().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn changes_of_folders_are_taken_up_and_broken_ones_keep_their_last_version() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        for name in ["a", "b", "c"] {
            write(path, name, "first");
        }
        let mut catalog = open(path, None);
        let b = Arc::clone(catalog.get("b").unwrap());
        assert_eq!(changed(&mut catalog), Vec::<String>::new());
        write(path, "a", "second");
        write(path, "d", "new");
        fs::remove_dir_all(path.join("c")).unwrap();
        assert_eq!(changed(&mut catalog), ["a", "c", "d"]);
        assert_eq!(description(&catalog, "a").as_deref(), Some("second"));
        assert_eq!(description(&catalog, "c"), None);
        assert!(Arc::ptr_eq(&b, catalog.get("b").unwrap()), "what has not changed is the same");
        fs::write(path.join("a/SKILL.md"), "no frontmatter").unwrap();
        assert_eq!(changed(&mut catalog), Vec::<String>::new());
        let problems: Vec<String> = catalog.problems().iter().map(ToString::to_string).collect();
        assert!(problems.len() == 1 && problems[0].contains("/a` is not loaded"), "{problems:?}");
        assert_eq!(description(&catalog, "a").as_deref(), Some("second"));
        write(path, "a", "third");
        assert_eq!(changed(&mut catalog), ["a"]);
        assert!(catalog.problems().is_empty());
        // A script is part of it.
        fs::create_dir_all(path.join("b/scripts")).unwrap();
        fs::write(path.join("b/scripts/run.py"), "print(1)\n").unwrap();
        assert_eq!(changed(&mut catalog), ["b"]);
        assert_eq!(catalog.get("b").unwrap().scripts().len(), 1);
        fs::remove_dir_all(path).unwrap();
        assert_eq!(changed(&mut catalog), Vec::<String>::new(), "a directory that is away");
        assert_eq!(catalog.problems().len(), 1);
        assert_eq!(catalog.entries().count(), 3);
    }

    #[test]
    fn two_catalogs_of_one_directory_see_each_others_changes() {
        let (root, uploads) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(root.path(), "a", "built in");
        let (mut one, mut two) =
            (open(root.path(), Some(uploads.path())), open(root.path(), Some(uploads.path())));
        let bundle = |description: &str| {
            let text = format!("---\nname: a\ndescription: {description}\n---\nBody\n");
            let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
            zip.start_file("a/SKILL.md", zip::write::SimpleFileOptions::default()).unwrap();
            io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
            zip.finish().unwrap()
        };
        one.install(bundle("first")).unwrap();
        assert_eq!(description(&two, "a").as_deref(), Some("built in"));
        assert_eq!(changed(&mut two), ["a"]);
        assert_eq!(description(&two, "a").as_deref(), Some("first"));
        two.install(bundle("second")).unwrap();
        assert_eq!(changed(&mut one), ["a"]);
        assert_eq!(description(&one, "a").as_deref(), Some("second"));
        one.install(bundle("third")).unwrap();
        assert!(two.remove("a").unwrap(), "also one that it did not know yet");
        assert_eq!(changed(&mut one), ["a"]);
        assert_eq!(description(&one, "a").as_deref(), Some("built in"));
        drop((one, two));
        let again = open(root.path(), Some(uploads.path()));
        assert_eq!(description(&again, "a").as_deref(), Some("built in"));
        assert!(again.problems().is_empty(), "{:?}", again.problems());
    }

    #[test]
    fn many_installations_at_once_get_numbers_of_their_own() {
        let uploads = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let uploads = uploads.path();
                scope.spawn(move || {
                    let mut catalog =
                        Catalog::open::<&Path>(&[], Some(uploads), &SourceLimits::default()).unwrap();
                    for _ in 0..5 {
                        let text = format!("---\nname: a\ndescription: of {n}\n---\nBody\n");
                        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
                        zip.start_file("a/SKILL.md", zip::write::SimpleFileOptions::default()).unwrap();
                        io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
                        catalog.install(zip.finish().unwrap()).unwrap();
                    }
                });
            }
        });
        let again = Catalog::open::<&Path>(&[], Some(uploads.path()), &SourceLimits::default()).unwrap();
        assert_eq!(again.entries().count(), 1);
    }
}
