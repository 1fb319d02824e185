//! All skills that a runner offers: built-in directories, and uploaded ones that win over built-in ones of the same name.
//!
//! Directories may change while they are used: [`Catalog::refresh`] takes up what is new, keeps the last good version of
//! what is broken, and tells.
//!
//! The uploaded directory may belong to several catalogs, of several processes: whoever changes it holds its lock, and the
//! others find the change when they refresh. A version of a skill lives in `<slug>@<number>`, and the highest number counts: a new version appears by one rename, so a crash leaves either the old or the new one, never half
//! of both. A removal puts an empty file with the next number there. What no longer counts is removed when the last reader
//! lets go of it, or when the directory is opened again.

mod refresh;

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

use self::refresh::{BuiltIn, Stamp, read_roots};
use crate::{
    bundle,
    content::Folder,
    draft::{Draft, LoadError},
    name::SkillName,
    skill::Skill,
    source::{SourceLimits, SourceProblem},
};

/// Held by whoever changes the directory of uploaded skills.
const LOCK: &str = ".lock";

/// All skills by name.
#[derive(Debug)]
pub struct Catalog {
    /// Directories of the operator, of which earlier ones win.
    roots: Vec<PathBuf>,
    built_in: BTreeMap<SkillName, BuiltIn>,
    uploaded: BTreeMap<SkillName, Version>,
    uploads: Option<PathBuf>,
    limits: SourceLimits,
    problems: Vec<SourceProblem>,
}

/// A skill in the catalog.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CatalogEntry<'catalog> {
    /// The skill.
    pub skill: &'catalog Arc<Skill>,
    /// Where it comes from.
    pub origin: Origin,
    /// The built-in skill that is not used because of this one.
    pub shadows: Option<&'catalog Arc<Skill>>,
}

/// Where a skill comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A directory of the operator.
    BuiltIn,
    /// An installation.
    Uploaded,
}

/// What an installation did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Installed {
    /// The skill as it is now.
    pub skill: Arc<Skill>,
    /// Whether no uploaded skill of this name was there before.
    pub created: bool,
}

/// Why a skill is not installed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The bundle is refused, or it is no skill.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no directory for uploaded skills.
    #[error("skills cannot be uploaded: no directory for them is configured")]
    ReadOnly,
    /// The directory of uploaded skills cannot be used.
    #[error("cannot write below `{}`", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

#[derive(Debug)]
struct Version {
    number: u64,
    skill: Arc<Skill>,
}

impl Catalog {
    /// Loads the skills of the `built_in` directories, of which earlier ones win, and of the `uploads` directory, which is
    /// created when missing.
    pub fn open<P: AsRef<Path>>(
        built_in: &[P],
        uploads: Option<&Path>,
        limits: &SourceLimits,
    ) -> Result<Self, CatalogError> {
        let mut catalog = Self {
            roots: built_in.iter().map(|path| path.as_ref().to_path_buf()).collect(),
            built_in: BTreeMap::new(),
            uploaded: BTreeMap::new(),
            uploads: None,
            limits: limits.clone(),
            problems: Vec::new(),
        };
        let read = read_roots(&catalog.roots, &BTreeMap::new(), limits);
        if let Some((path, source)) = read.unreadable.into_iter().next() {
            return Err(CatalogError::Load(LoadError::Io { path, source }));
        }
        (catalog.built_in, catalog.problems) = (read.skills, read.problems);
        if let Some(uploads) = uploads {
            let error = |source| CatalogError::Io { path: uploads.to_path_buf(), source };
            fs::create_dir_all(uploads).map_err(error)?;
            let uploads = fs::canonicalize(uploads).map_err(error)?;
            let _lock = lock(&uploads).map_err(error)?;
            catalog.read_uploads(&uploads).map_err(error)?;
            catalog.uploads = Some(uploads);
        }
        Ok(catalog)
    }

    /// A catalog of skills that are loaded already, shared or not; nothing can be uploaded.
    pub fn from_skills(skills: impl IntoIterator<Item = impl Into<Arc<Skill>>>) -> Self {
        let mut catalog = Self {
            roots: Vec::new(),
            built_in: BTreeMap::new(),
            uploaded: BTreeMap::new(),
            uploads: None,
            limits: SourceLimits::default(),
            problems: Vec::new(),
        };
        for skill in skills {
            catalog.insert(skill.into());
        }
        catalog
    }

    /// The skill called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<Skill>> {
        self.entry(name).map(|entry| entry.skill)
    }

    /// The skill called `name`, with where it comes from.
    pub fn entry(&self, name: &str) -> Option<CatalogEntry<'_>> {
        let built_in = self.built_in.get(name).map(|built_in| &built_in.skill);
        match self.uploaded.get(name) {
            Some(version) => {
                Some(CatalogEntry { skill: &version.skill, origin: Origin::Uploaded, shadows: built_in })
            }
            None => built_in.map(|skill| CatalogEntry { skill, origin: Origin::BuiltIn, shadows: None }),
        }
    }

    /// All skills that are used, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = CatalogEntry<'_>> {
        let mut names: Vec<&SkillName> = self.built_in.keys().chain(self.uploaded.keys()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().filter_map(|name| self.entry(name.as_str()))
    }

    /// What was found but is not used, and why.
    pub fn problems(&self) -> &[SourceProblem] {
        &self.problems
    }

    /// Installs a bundle, instead of an uploaded skill of the same name when there is one.
    pub fn install(&mut self, mut bundle: impl Read + Seek) -> Result<Installed, CatalogError> {
        let uploads = self.uploads.clone().ok_or(CatalogError::ReadOnly)?;
        let error = |source| CatalogError::Io { path: uploads.clone(), source };
        let _lock = lock(&uploads).map_err(error)?;
        self.refresh_uploads(&uploads, &mut Vec::new()).map_err(error)?;
        let unpacked =
            bundle::unpack_bundle(&mut bundle, &uploads, &self.limits.bundle).map_err(LoadError::from)?;
        let root = fs::canonicalize(unpacked.root()).map_err(error)?;
        let limits = self.limits.bundle.folder();
        // Loaded where it was unpacked first: only what loads may take the place of the old version.
        let name =
            Draft::from_folder(Folder::borrowed(root), unpacked.top(), &limits)?.into_skill()?.name().clone();
        let number = self.next_number(&uploads, &name).map_err(error)?;
        let place = uploads.join(version_name(&name, number));
        unpacked.persist(&place).map_err(error)?;
        let folder = Folder::owned(place.clone(), place);
        let skill = Arc::new(Draft::from_folder(folder, Some(name.as_str()), &limits)?.into_skill()?);
        let old = self.uploaded.insert(name, Version { number, skill: Arc::clone(&skill) });
        let created = old.is_none();
        if let Some(folder) = old.as_ref().and_then(|old| old.skill.folder()) {
            folder.doom();
        }
        Ok(Installed { skill, created })
    }

    /// Removes the uploaded skill called `name`, so that a built-in one shows again; `false` when there is none.
    pub fn remove(&mut self, name: &str) -> Result<bool, CatalogError> {
        let Some(uploads) = self.uploads.clone() else { return Ok(false) };
        let error = |source| CatalogError::Io { path: uploads.clone(), source };
        let _lock = lock(&uploads).map_err(error)?;
        // Another process may have changed it.
        self.refresh_uploads(&uploads, &mut Vec::new()).map_err(error)?;
        let Some((name, version)) = self.uploaded.get_key_value(name) else { return Ok(false) };
        // The file comes first: from here on the skill is gone, even if the runner dies before its folder is.
        let number = self.next_number(&uploads, name).map_err(error)?;
        fs::File::create_new(uploads.join(version_name(name, number))).map_err(error)?;
        if let Some(folder) = version.skill.folder() {
            folder.doom();
        }
        let name = name.clone();
        self.uploaded.remove(&name);
        Ok(true)
    }

    /// Adds a built-in skill, unless there is one of its name.
    fn insert(&mut self, skill: Arc<Skill>) {
        match self.built_in.entry(skill.name().clone()) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let path = skill.root().map(Path::to_path_buf).unwrap_or_default();
                vacant.insert(BuiltIn { skill, path, stamp: Stamp::default() });
            }
            std::collections::btree_map::Entry::Occupied(taken) => {
                let path = skill.root().map(Path::to_path_buf).unwrap_or_default();
                self.problems.push(SourceProblem::Shadowed { name: taken.key().clone(), path });
            }
        }
    }

    fn read_uploads(&mut self, uploads: &Path) -> io::Result<()> {
        let mut versions: BTreeMap<SkillName, BTreeMap<u64, PathBuf>> = BTreeMap::new();
        let mut paths = fs::read_dir(uploads)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        for path in paths {
            let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match parse_version_name(file_name) {
                Some((name, number)) => {
                    versions.entry(name).or_default().insert(number, path);
                }
                // An installation that was cut off.
                None if file_name.starts_with(".unpack-") => remove(&path)?,
                None if file_name == LOCK => {}
                None => self.problems.push(SourceProblem::Foreign { path }),
            }
        }
        for (name, mut numbered) in versions {
            let Some((number, newest)) = numbered.pop_last() else { continue };
            // Old versions go before the mark of a removal goes; in the other order one of them could come back.
            for old in numbered.values() {
                remove(old)?;
            }
            if !fs::symlink_metadata(&newest)?.is_dir() {
                remove(&newest)?;
                continue;
            }
            let folder = Folder::owned(newest.clone(), newest.clone());
            match Draft::from_folder(folder, Some(name.as_str()), &self.limits.bundle.folder())
                .and_then(Draft::into_skill)
            {
                Ok(skill) => {
                    self.uploaded.insert(name, Version { number, skill: Arc::new(skill) });
                }
                Err(error) => self.problems.push(SourceProblem::NotLoaded { path: newest, error }),
            }
        }
        Ok(())
    }

    /// A number above all that were ever used for `name` and are still on disk.
    fn next_number(&self, uploads: &Path, name: &SkillName) -> io::Result<u64> {
        let mut number = self.uploaded.get(name).map_or(0, |version| version.number);
        for entry in fs::read_dir(uploads)? {
            let file_name = entry?.file_name();
            if let Some((other, used)) = file_name.to_str().and_then(parse_version_name)
                && other == *name
            {
                number = number.max(used);
            }
        }
        Ok(number + 1)
    }
}

/// Waits for the lock of a directory; it is free when the file is closed, or its process dies.
fn lock(uploads: &Path) -> io::Result<fs::File> {
    let file = fs::File::options().write(true).create(true).truncate(false).open(uploads.join(LOCK))?;
    file.lock()?;
    Ok(file)
}

/// `@` is in no skill name, so the two parts can always be told apart.
fn version_name(name: &SkillName, number: u64) -> String {
    format!("{name}@{number}")
}

fn parse_version_name(text: &str) -> Option<(SkillName, u64)> {
    let (name, number) = text.split_once('@')?;
    Some((SkillName::parse(name).ok()?, number.parse().ok().filter(|number| *number < u64::MAX)?))
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests;
