//! What stands at a path, read as far as it can be, whether or not it is a skill.
//!
//! A draft keeps going where loading would stop, so that whoever checks a skill sees everything that is wrong with it at
//! once: a missing name does not hide a broken script. Loading is a draft that was found good enough
//! ([`Draft::into_skill`]). Only what loading depends on is judged here; the other rules are the business of validation.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use crate::{
    bundle::{self, BundleError, BundleLimits},
    content::{Content, Folder, ReadError},
    diagnostic::{Diagnostic, Edit, Location, Position, Severity, Span},
    fields,
    folder::{self, FolderError, FolderLimits},
    frontmatter::{self, Frontmatter, MAX_SKILL_FILE},
    name::SkillName,
    rule::Rule,
    script::{self, Script, Scripts},
    skill::{Skill, SkillFile},
};

/// Whatever stands where a skill is expected.
#[derive(Debug)]
pub struct Draft {
    content: Content,
    files: Vec<SkillFile>,
    ignored: Vec<String>,
    directory: Option<String>,
    is_bundle: bool,
    skill_file: Option<String>,
    source: Option<String>,
    frontmatter: Option<Frontmatter>,
    body: Option<usize>,
    scripts: Scripts,
    diagnostics: Vec<Diagnostic>,
}

impl Draft {
    /// Reads whatever is at `path`: a skill's folder, the `SKILL.md` in it, or a bundle. Default limits.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let metadata = fs::metadata(path).map_err(|source| LoadError::io(path, source))?;
        if metadata.is_dir() {
            return Self::from_directory(path, &FolderLimits::default());
        }
        if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md")) {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Self::from_directory(parent.unwrap_or(Path::new(".")), &FolderLimits::default());
        }
        let bundle = fs::File::open(path).map_err(|source| LoadError::io(path, source))?;
        Self::from_bundle(bundle, &BundleLimits::default())
    }

    /// Reads a folder, which stays where it is.
    pub fn from_directory(path: impl AsRef<Path>, limits: &FolderLimits) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let root = fs::canonicalize(path).map_err(|source| LoadError::io(path, source))?;
        let directory = root.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        Self::from_folder(Folder::borrowed(root), directory.as_deref(), limits)
    }

    /// Reads a bundle: checks it, unpacks it below the system's temporary directory, and removes that with the draft.
    pub fn from_bundle(bundle: impl io::Read + io::Seek, limits: &BundleLimits) -> Result<Self, LoadError> {
        let parent = std::env::temp_dir();
        let unpacked = bundle::unpack_bundle(bundle, &parent, limits)?;
        let folder = unpacked.into_folder().map_err(|source| LoadError::io(&parent, source))?;
        folder.0.doom();
        let draft = Self::from_folder(folder.0, folder.1.as_deref(), &limits.folder())?;
        Ok(Self { is_bundle: true, ..draft })
    }

    /// Reads files in memory, which the caller answers for; paths are relative to the skill's root. `directory` is what the
    /// folder would be called, where that is known.
    pub fn from_files<P, B>(
        files: impl IntoIterator<Item = (P, B)>,
        directory: Option<&str>,
    ) -> Result<Self, LoadError>
    where
        P: Into<String>,
        B: Into<Vec<u8>>,
    {
        let files: BTreeMap<String, Vec<u8>> =
            files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect();
        let list = files
            .iter()
            .map(|(path, bytes)| SkillFile {
                path: path.clone(),
                size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                executable: false,
            })
            .collect();
        let listing = folder::Listing { files: list, ..folder::Listing::default() };
        Self::assemble(Content::Memory(Arc::new(files)), listing, directory)
    }

    /// Reads `folder`; `directory` is what the author called it, where that is known.
    pub(crate) fn from_folder(
        folder: Folder,
        directory: Option<&str>,
        limits: &FolderLimits,
    ) -> Result<Self, LoadError> {
        let content = Content::Folder { folder: Arc::new(folder), max_file_bytes: limits.max_file_bytes };
        let root = content.root().map(Path::to_path_buf).unwrap_or_default();
        let listing = folder::list(&root, limits)?;
        Self::assemble(content, listing, directory)
    }

    /// Reads content whose files are known.
    pub(crate) fn from_content(
        content: Content,
        files: Vec<SkillFile>,
        directory: Option<&str>,
    ) -> Result<Self, LoadError> {
        Self::assemble(content, folder::Listing { files, ..folder::Listing::default() }, directory)
    }

    fn assemble(
        content: Content,
        listing: folder::Listing,
        directory: Option<&str>,
    ) -> Result<Self, LoadError> {
        let folder::Listing { files, ignored, mut diagnostics } = listing;
        let skill_file = find_skill_file(&files, &mut diagnostics);
        let source = match &skill_file {
            None => None,
            Some(file) => match read_skill_file(&content, file)? {
                Ok(source) => Some(source),
                Err(diagnostic) => {
                    diagnostics.push(diagnostic);
                    None
                }
            },
        };
        let (mut frontmatter, mut body) = (None, None);
        if let (Some(file), Some(source)) = (&skill_file, &source) {
            let markdown = frontmatter::parse(file, source);
            diagnostics.extend(markdown.diagnostics);
            if let Some(frontmatter) = &markdown.frontmatter {
                fields::check(file, source, frontmatter, &mut diagnostics);
            }
            (frontmatter, body) = (markdown.frontmatter, markdown.body);
        }
        let scripts = script::find(&content, &files, skill_file.as_deref(), &mut diagnostics)?;
        Ok(Self {
            content,
            files,
            ignored,
            directory: directory.map(str::to_owned),
            is_bundle: false,
            skill_file,
            source,
            frontmatter,
            body,
            scripts,
            diagnostics,
        })
    }

    /// The skill, when it can be used: it has a good name, or a good directory instead, and a description.
    pub fn into_skill(self) -> Result<Skill, LoadError> {
        // Other spellings are read to say what is in them, but no client would find them.
        let found = self.skill_file.filter(|file| matches!(file.as_str(), "SKILL.md" | "skill.md"));
        let (Some(file), Some(source), Some(frontmatter), Some(body)) =
            (found, self.source, self.frontmatter, self.body)
        else {
            return Err(LoadError::Invalid { diagnostics: self.diagnostics });
        };
        // A name that cannot be a slug was reported; a good name of the directory still identifies the skill.
        let name = [frontmatter.name(), self.directory.as_deref()]
            .into_iter()
            .flatten()
            .find_map(|name| SkillName::parse(name).ok());
        let (Some(name), Some(description)) = (name, frontmatter.description().map(str::to_owned)) else {
            return Err(LoadError::Invalid { diagnostics: self.diagnostics });
        };
        Ok(Skill {
            name,
            description,
            frontmatter,
            file,
            source,
            body,
            files: self.files,
            scripts: self.scripts,
            diagnostics: self.diagnostics,
            content: self.content,
            digest: OnceLock::new(),
        })
    }

    /// All files, sorted by path.
    pub fn files(&self) -> &[SkillFile] {
        &self.files
    }

    /// What is there, but never belongs to a skill (caches, version control, `.env`): paths, sorted, a directory with `/` at its
    /// end. At most a few hundred.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Whether it was unpacked from a bundle: what is ignored was then given away all the same.
    pub fn is_bundle(&self) -> bool {
        self.is_bundle
    }

    /// What the skill's directory is called, where that is known.
    pub fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }

    /// The canonical path of the folder; `None` in memory.
    pub fn root(&self) -> Option<&Path> {
        self.content.root()
    }

    /// The path of the file that describes the skill, also where it is spelled in another case than any client wants.
    pub fn skill_file(&self) -> Option<&str> {
        self.skill_file.as_deref()
    }

    /// That file's text, when it is UTF-8 and not too large.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The fields at the top, when they could be read.
    pub fn frontmatter(&self) -> Option<&Frontmatter> {
        self.frontmatter.as_ref()
    }

    /// Where the instructions begin in [`Draft::source`], in bytes; `None` when the frontmatter has no end.
    pub fn body_start(&self) -> Option<usize> {
        self.body
    }

    /// The scripts in `scripts/` and at the root, sorted by path.
    pub fn scripts(&self) -> &[Script] {
        &self.scripts.listed
    }

    /// The other files that could be run, sorted by path.
    pub fn hidden_scripts(&self) -> &[Script] {
        &self.scripts.hidden
    }

    /// What its Python scripts need.
    pub fn requirements(&self) -> &crate::Requirements {
        &self.scripts.requirements
    }

    /// What was found so far, with the severities of the default profile.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The file at `path`, which must be spelled as in [`Draft::files`].
    pub fn file(&self, path: &str) -> Option<&SkillFile> {
        let index = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        self.files.get(index)
    }

    /// Reads at most `limit` bytes of a file.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let file = self.file(path).ok_or_else(|| ReadError::NotFound { path: path.to_owned() })?;
        self.content.head(&file.path, limit)
    }
}

/// Why a skill cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is nothing, or it cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be listed or is too large.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The bundle is refused.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file that describes the skill cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is there is no skill.
    #[error("not a valid skill: {}", first_error(.diagnostics))]
    Invalid {
        /// All findings; at least one is an error.
        diagnostics: Vec<Diagnostic>,
    },
}

impl LoadError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    /// The findings, when it is a matter of findings.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Invalid { diagnostics } => diagnostics,
            _ => &[],
        }
    }
}

fn first_error(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .iter()
        .find(|diagnostic| diagnostic.severity == Severity::Error)
        .map_or_else(String::new, Diagnostic::to_string)
}

/// Chooses the file that describes the skill.
fn find_skill_file(files: &[SkillFile], diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let at_root = |name: &str| files.iter().any(|file| file.path == name);
    let (upper, lower) = (at_root("SKILL.md"), at_root("skill.md"));
    if upper && lower {
        diagnostics.push(
            Diagnostic::new(
                Rule::SKILL_FILE_TWICE,
                Location::file("skill.md"),
                "both SKILL.md and skill.md exist",
            )
            .with_help("delete `skill.md`; SKILL.md is used"),
        );
    }
    if upper {
        return Some("SKILL.md".to_owned());
    }
    if lower {
        diagnostics.push(
            Diagnostic::new(
                Rule::SKILL_FILE_LOWERCASE,
                Location::file("skill.md"),
                "the file is called skill.md",
            )
            .with_help("rename it to `SKILL.md`; many clients look for exactly that")
            .with_fix([Edit::Rename { file: "skill.md".to_owned(), to: "SKILL.md".to_owned() }]),
        );
        return Some("skill.md".to_owned());
    }
    if let Some(file) = files.iter().find(|file| file.path.eq_ignore_ascii_case("SKILL.md")) {
        let message = format!("the file is called {}, not SKILL.md", file.path);
        diagnostics.push(
            Diagnostic::new(Rule::SKILL_FILE_CASE, Location::file(&file.path), message)
                .with_help("rename it to `SKILL.md`")
                .with_fix([Edit::Rename { file: file.path.clone(), to: "SKILL.md".to_owned() }]),
        );
        return Some(file.path.clone());
    }
    let mut near = files.iter().filter(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        name.eq_ignore_ascii_case("SKILL.md") || name.eq_ignore_ascii_case("SKILLS.md")
    });
    let left_out = diagnostics.iter().any(|found| found.location.file.eq_ignore_ascii_case("SKILL.md"));
    let help = match near.next() {
        _ if left_out => "put the file itself there; why it is left out is said beside this".to_owned(),
        Some(file) => {
            format!("there is `{}`; a skill's SKILL.md stands at its root", file.path.escape_debug())
        }
        None => "create a SKILL.md with a name, a description and instructions".to_owned(),
    };
    diagnostics.push(
        Diagnostic::new(Rule::SKILL_FILE_MISSING, Location::file("SKILL.md"), "SKILL.md is missing")
            .with_help(help),
    );
    None
}

fn read_skill_file(content: &Content, file: &str) -> Result<Result<String, Diagnostic>, ReadError> {
    let bytes = content.head(file, MAX_SKILL_FILE + 1)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > MAX_SKILL_FILE) {
        let message = format!("the file has more than {MAX_SKILL_FILE} bytes");
        return Ok(Err(Diagnostic::new(Rule::TOO_LARGE, Location::file(file), message)
            .with_help("move details into files in `references/`")));
    }
    Ok(String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let position = Position {
            offset: valid,
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        };
        Diagnostic::new(
            Rule::NOT_UTF8,
            Location::span(file, Span::at(position)),
            format!("the file is not UTF-8 (byte {valid})"),
        )
        .with_help("save the file as UTF-8")
    }))
}
