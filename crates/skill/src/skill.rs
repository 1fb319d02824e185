//! A skill, loaded: everything about it that can be said without running it.
//!
//! Immutable and cheap to share. Texts that decide how it is used (frontmatter, body, script heads, requirements) are read once at
//! load; other files stay where they are and are read when asked for, through the list made at load, so that a path from
//! outside is looked up and never joined to a directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use sha2::{Digest as _, Sha256};

use crate::{
    bundle::{self, BundleError, BundleLimits},
    content::{Content, Folder, ReadError},
    diagnostic::{Diagnostic, Location, Position, Rule, Severity, Span},
    folder::{self, FolderError, FolderLimits},
    frontmatter::{self, Frontmatter, MAX_SKILL_FILE},
    name::SkillName,
    requirements::{self, Requirements, RequirementsFile},
    script::{self, Language, Script, ScriptError},
    validate::{self, Subject},
};

/// How much of a script is read for its description and its inline metadata.
const SCRIPT_HEAD: u64 = 256 * 1024;
/// The most bytes of a `requirements.txt`.
const MAX_REQUIREMENTS: u64 = 256 * 1024;
/// 1980-01-01, the earliest time that ZIP readers inside a sandbox accept.
const TAR_TIME: u64 = 315_532_800;

/// One skill.
#[derive(Debug)]
pub struct Skill {
    name: SkillName,
    description: String,
    frontmatter: Frontmatter,
    /// The path of `SKILL.md`, which may be spelled in lower case.
    file: String,
    source: String,
    body: usize,
    files: Vec<SkillFile>,
    /// What is shown and found by every clear name.
    scripts: Vec<Script>,
    /// What can be run by its exact path only.
    hidden_scripts: Vec<Script>,
    requirements: Requirements,
    diagnostics: Vec<Diagnostic>,
    content: Content,
    digest: OnceLock<Digest>,
}

/// A file of a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkillFile {
    /// Path relative to the skill's root, with `/`.
    pub path: String,
    /// Bytes, when the skill was loaded.
    pub size: u64,
    /// Whether it may be executed, where that is recorded. Nothing depends on it but modes.
    pub executable: bool,
}

impl Skill {
    /// Loads whatever is at `path`: a skill's folder, the `SKILL.md` in it, or a bundle. Default limits.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
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

    /// Loads a skill's folder, which stays where it is.
    pub fn from_directory(path: impl AsRef<Path>, limits: &FolderLimits) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let root = fs::canonicalize(path).map_err(|source| LoadError::io(path, source))?;
        let directory = root.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        Self::from_folder(Folder::borrowed(root), directory.as_deref(), limits)
    }

    /// Loads a bundle: checks it, unpacks it below the system's temporary directory, and removes that with the skill.
    pub fn from_bundle(bundle: impl io::Read + io::Seek, limits: &BundleLimits) -> Result<Self, LoadError> {
        let parent = std::env::temp_dir();
        let unpacked = bundle::unpack_bundle(bundle, &parent, limits)?;
        let folder = unpacked.into_folder().map_err(|source| LoadError::io(&parent, source))?;
        folder.0.doom();
        Self::from_folder(folder.0, folder.1.as_deref(), &limits.folder())
    }

    /// Loads a skill from files in memory, which the caller answers for; paths are relative to the skill's root.
    pub fn from_files<P, B>(files: impl IntoIterator<Item = (P, B)>) -> Result<Self, LoadError>
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
        Self::assemble(Content::Memory(Arc::new(files)), list, None, Vec::new())
    }

    /// Loads the skill in `folder`; `directory` is what the author called its directory, where that is known.
    pub(crate) fn from_folder(
        folder: Folder,
        directory: Option<&str>,
        limits: &FolderLimits,
    ) -> Result<Self, LoadError> {
        let content = Content::Folder { folder: Arc::new(folder), max_file_bytes: limits.max_file_bytes };
        let root = content.root().map(Path::to_path_buf).unwrap_or_default();
        let (files, diagnostics) = folder::list(&root, limits)?;
        Self::assemble(content, files, directory, diagnostics)
    }

    fn assemble(
        content: Content,
        files: Vec<SkillFile>,
        directory: Option<&str>,
        mut diagnostics: Vec<Diagnostic>,
    ) -> Result<Self, LoadError> {
        let Some(file) = find_skill_file(&files, &mut diagnostics) else {
            return Err(LoadError::Invalid { diagnostics });
        };
        let source = match read_skill_file(&content, &file)? {
            Ok(source) => source,
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                return Err(LoadError::Invalid { diagnostics });
            }
        };
        let markdown = match frontmatter::parse(&file, &source) {
            Ok(markdown) => markdown,
            Err(found) => {
                diagnostics.extend(found);
                return Err(LoadError::Invalid { diagnostics });
            }
        };
        diagnostics.extend(markdown.diagnostics);
        let frontmatter = markdown.frontmatter;
        diagnostics.extend(validate::check(&Subject {
            file: &file,
            frontmatter: &frontmatter,
            body: &source[markdown.body..],
            directory,
        }));
        // A name that cannot be a slug is reported above; a good name of the directory still identifies the skill.
        let name = [frontmatter.name(), directory]
            .into_iter()
            .flatten()
            .find_map(|name| SkillName::parse(name).ok());
        let (Some(name), Some(description)) = (name, frontmatter.description().map(str::to_owned)) else {
            return Err(LoadError::Invalid { diagnostics });
        };
        let found = find_scripts(&content, &files, &file, &mut diagnostics)?;
        Ok(Self {
            name,
            description,
            frontmatter,
            file,
            source,
            body: markdown.body,
            files,
            scripts: found.listed,
            hidden_scripts: found.hidden,
            requirements: found.requirements,
            diagnostics,
            content,
            digest: OnceLock::new(),
        })
    }

    /// The slug.
    pub fn name(&self) -> &SkillName {
        &self.name
    }

    /// What the skill does and when to use it.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The fields at the top of `SKILL.md`.
    pub fn frontmatter(&self) -> &Frontmatter {
        &self.frontmatter
    }

    /// `SKILL.md` below the frontmatter.
    pub fn body(&self) -> &str {
        &self.source[self.body..]
    }

    /// `SKILL.md` as a whole.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The path of `SKILL.md` relative to the root: that, or `skill.md`.
    pub fn skill_file(&self) -> &str {
        &self.file
    }

    /// The canonical path of the skill's folder; `None` for a skill in memory.
    pub fn root(&self) -> Option<&Path> {
        self.content.root()
    }

    /// All files, sorted by path.
    pub fn files(&self) -> &[SkillFile] {
        &self.files
    }

    /// The scripts in `scripts/` and at the root, sorted by path.
    pub fn scripts(&self) -> &[Script] {
        &self.scripts
    }

    /// The files in `references/`.
    pub fn references(&self) -> impl Iterator<Item = &SkillFile> {
        self.files.iter().filter(|file| file.path.starts_with("references/"))
    }

    /// The files in `assets/`.
    pub fn assets(&self) -> impl Iterator<Item = &SkillFile> {
        self.files.iter().filter(|file| file.path.starts_with("assets/"))
    }

    /// What its Python scripts need.
    pub fn requirements(&self) -> &Requirements {
        &self.requirements
    }

    /// What was found wrong but did not prevent loading.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Finds the script that `name` means: its path, with or without `scripts/`, or a file name or stem that only one has.
    pub fn resolve_script(&self, name: &str) -> Result<&Script, ScriptError> {
        // The model sees the skill's directory inside the sandbox and may well use it.
        let inside = name.strip_prefix("/skills/").and_then(|rest| rest.strip_prefix(self.name.as_str()));
        let name = inside.and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
        script::resolve(name, &self.scripts, &self.hidden_scripts, |path| self.file(path).is_some())
    }

    /// The file at `path`, which must be spelled as in [`Skill::files`], except for a leading `./`.
    pub fn file(&self, path: &str) -> Option<&SkillFile> {
        let path = path.strip_prefix("./").unwrap_or(path);
        let index = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        self.files.get(index)
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let file = self.file(path).ok_or_else(|| ReadError::NotFound { path: path.to_owned() })?;
        self.content.head(&file.path, u64::MAX)
    }

    /// Reads a text file; a byte order mark is taken off.
    pub fn read_text(&self, path: &str) -> Result<String, ReadError> {
        let text =
            String::from_utf8(self.read(path)?).map_err(|_| ReadError::NotText { path: path.to_owned() })?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    /// The digest of all paths and contents: SHA-256 over the lines `path`, NUL, hex SHA-256 of the file, sorted by path.
    /// Computed once; it does not depend on where the skill came from.
    pub fn digest(&self) -> Result<Digest, ReadError> {
        if let Some(digest) = self.digest.get() {
            return Ok(*digest);
        }
        let mut manifest = Manifest::default();
        for file in &self.files {
            manifest.add(&file.path, self.file_digest(file)?);
        }
        Ok(*self.digest.get_or_init(|| manifest.digest()))
    }

    /// The SHA-256 of one of the skill's files.
    pub fn file_digest(&self, file: &SkillFile) -> Result<Digest, ReadError> {
        let mut hash = HashWriter(Sha256::new());
        self.copy(file, &mut hash)?;
        Ok(Digest(hash.0.finalize().into()))
    }

    /// A tar of all files with their directories, to be put into a sandbox: paths relative to the skill's root, owned by root, modes
    /// 0644 and 0755, one fixed time; the same skill always gives the same bytes.
    pub fn tar(&self) -> Result<Vec<u8>, ReadError> {
        let size: u64 = self.files.iter().map(|file| file.size + 1024).sum();
        let mut builder = tar::Builder::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
        let mut made = BTreeSet::new();
        for file in &self.files {
            for (end, _) in file.path.match_indices('/') {
                if made.insert(&file.path[..end]) {
                    let mut header = tar_header(tar::EntryType::Directory, 0, 0o755);
                    append(&mut builder, &mut header, &file.path[..=end], &[])?;
                }
            }
            let bytes = self.content.head(&file.path, u64::MAX)?;
            let mode = if file.executable { 0o755 } else { 0o644 };
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let mut header = tar_header(tar::EntryType::Regular, size, mode);
            append(&mut builder, &mut header, &file.path, &bytes)?;
        }
        builder.into_inner().map_err(|source| ReadError::Io { path: String::new(), source })
    }

    fn copy(&self, file: &SkillFile, to: &mut impl Write) -> Result<u64, ReadError> {
        let mut from = self.content.open(&file.path)?;
        io::copy(&mut from, to).map_err(|source| ReadError::Io { path: file.path.clone(), source })
    }

    /// The folder that holds the files, for whoever replaces it.
    pub(crate) fn folder(&self) -> Option<&Arc<Folder>> {
        match &self.content {
            Content::Folder { folder, .. } => Some(folder),
            Content::Memory(_) => None,
        }
    }
}

fn tar_header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TAR_TIME);
    header
}

fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    header: &mut tar::Header,
    path: &str,
    bytes: &[u8],
) -> Result<(), ReadError> {
    builder.append_data(header, path, bytes).map_err(|source| ReadError::Io { path: path.to_owned(), source })
}

struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest of a list of files, which must come sorted by path.
#[derive(Debug, Default)]
pub(crate) struct Manifest(Sha256);

impl Manifest {
    pub(crate) fn add(&mut self, path: &str, digest: Digest) {
        self.0.update(path.as_bytes());
        self.0.update(b"\0");
        self.0.update(digest.to_string());
        self.0.update(b"\n");
    }

    pub(crate) fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
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
                Rule::SkillFileTwice,
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
                Rule::SkillFileLowercase,
                Location::file("skill.md"),
                "the file is called skill.md",
            )
            .with_help("rename it to `SKILL.md`; many clients look for exactly that"),
        );
        return Some("skill.md".to_owned());
    }
    if let Some(file) = files.iter().find(|file| file.path.eq_ignore_ascii_case("SKILL.md")) {
        let message = format!("the file is called {}, not SKILL.md", file.path);
        diagnostics.push(
            Diagnostic::new(Rule::SkillFileCase, Location::file(&file.path), message)
                .with_help("rename it to `SKILL.md`"),
        );
        return None;
    }
    let mut near = files.iter().filter(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        name.eq_ignore_ascii_case("SKILL.md") || name.eq_ignore_ascii_case("SKILLS.md")
    });
    let help = match near.next() {
        Some(file) => {
            format!("there is `{}`; a skill's SKILL.md stands at its root", file.path.escape_debug())
        }
        None => "create a SKILL.md with a name, a description and instructions".to_owned(),
    };
    diagnostics.push(
        Diagnostic::new(Rule::SkillFileMissing, Location::file("SKILL.md"), "SKILL.md is missing")
            .with_help(help),
    );
    None
}

fn read_skill_file(content: &Content, file: &str) -> Result<Result<String, Diagnostic>, ReadError> {
    let bytes = content.head(file, MAX_SKILL_FILE + 1)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > MAX_SKILL_FILE) {
        let message = format!("the file has more than {MAX_SKILL_FILE} bytes");
        return Ok(Err(Diagnostic::new(Rule::TooLarge, Location::file(file), message)
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
            Rule::NotUtf8,
            Location::span(file, Span::at(position)),
            format!("the file is not UTF-8 (byte {valid})"),
        )
        .with_help("save the file as UTF-8")
    }))
}

struct Scripts {
    listed: Vec<Script>,
    hidden: Vec<Script>,
    requirements: Requirements,
}

fn find_scripts(
    content: &Content,
    files: &[SkillFile],
    skill_file: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Scripts, ReadError> {
    let mut found = Scripts { listed: Vec::new(), hidden: Vec::new(), requirements: Requirements::default() };
    for file in files {
        if matches!(file.path.as_str(), "requirements.txt" | "scripts/requirements.txt") {
            match String::from_utf8(content.head(&file.path, MAX_REQUIREMENTS)?) {
                Ok(text) => {
                    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
                    found.requirements.files.push(RequirementsFile { path: file.path.clone(), text });
                }
                Err(_) => diagnostics.push(
                    Diagnostic::new(Rule::NotUtf8, Location::file(&file.path), "the file is not UTF-8")
                        .with_help("save the file as UTF-8"),
                ),
            }
        }
        let in_scripts = file.path.starts_with("scripts/");
        let listed = in_scripts || !file.path.contains('/');
        let name = file.path.rsplit('/').next().unwrap_or_default();
        // A package marker is never an entry point.
        if file.path == skill_file || name == "__init__.py" {
            continue;
        }
        // Only where scripts are expected is it worth opening every file to look for a shebang.
        let head = if listed { content.head(&file.path, SCRIPT_HEAD)? } else { Vec::new() };
        let Some(language) = Language::detect(&file.path, &head) else { continue };
        let text = String::from_utf8_lossy(&head);
        if listed && language == Language::Python {
            match requirements::script_metadata(&file.path, &text) {
                Ok(metadata) => found.requirements.scripts.extend(metadata),
                Err(error) => diagnostics.push(Diagnostic::new(
                    Rule::ScriptMetadata,
                    Location::file(&file.path),
                    error.to_string(),
                )),
            }
        }
        let script = Script {
            path: file.path.clone(),
            language,
            size: file.size,
            description: script::description(language, &text),
            usage: script::usage(language, name, &text),
        };
        if listed { &mut found.listed } else { &mut found.hidden }.push(script);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
