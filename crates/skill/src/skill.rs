//! A skill, loaded: everything about it that can be said without running it.
//!
//! Immutable and cheap to share. Texts that decide how it is used (frontmatter, body, script heads, requirements) are read once at
//! load; other files stay where they are and are read when asked for, through the list made at load, so that a path from
//! outside is looked up and never joined to a directory.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    sync::{Arc, OnceLock},
};

use sha2::{Digest as _, Sha256};

use crate::{
    bundle::BundleLimits,
    content::{Content, Folder, ReadError},
    diagnostic::Diagnostic,
    draft::{Draft, LoadError},
    folder::FolderLimits,
    frontmatter::Frontmatter,
    name::SkillName,
    requirements::Requirements,
    script::{self, Script, ScriptError, Scripts},
};

/// 1980-01-01, the earliest time that ZIP readers inside a sandbox accept.
const TAR_TIME: u64 = 315_532_800;

/// One skill.
#[derive(Debug)]
pub struct Skill {
    pub(crate) name: SkillName,
    pub(crate) description: String,
    pub(crate) frontmatter: Frontmatter,
    /// The path of `SKILL.md`, which may be spelled in lower case.
    pub(crate) file: String,
    pub(crate) source: String,
    pub(crate) body: usize,
    pub(crate) files: Vec<SkillFile>,
    pub(crate) scripts: Scripts,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) content: Content,
    pub(crate) digest: OnceLock<Digest>,
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
        Draft::open(path)?.into_skill()
    }

    /// Loads a skill's folder, which stays where it is.
    pub fn from_directory(path: impl AsRef<Path>, limits: &FolderLimits) -> Result<Self, LoadError> {
        Draft::from_directory(path, limits)?.into_skill()
    }

    /// Loads a bundle: checks it, unpacks it below the system's temporary directory, and removes that with the skill.
    pub fn from_bundle(bundle: impl io::Read + io::Seek, limits: &BundleLimits) -> Result<Self, LoadError> {
        Draft::from_bundle(bundle, limits)?.into_skill()
    }

    /// Loads a skill from files in memory, which the caller answers for; paths are relative to the skill's root.
    pub fn from_files<P, B>(files: impl IntoIterator<Item = (P, B)>) -> Result<Self, LoadError>
    where
        P: Into<String>,
        B: Into<Vec<u8>>,
    {
        Draft::from_files(files, None)?.into_skill()
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
        &self.scripts.listed
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
        &self.scripts.requirements
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
        script::resolve(name, &self.scripts.listed, &self.scripts.hidden, |path| self.file(path).is_some())
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
    /// 0644 and 0755, one fixed time; the same skill always gives the same bytes. What begins with `#!` is executable, and
    /// scripts have the line ends of Unix, whatever the bundle had.
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
            let bytes = unix_lines(&file.path, self.content.head(&file.path, u64::MAX)?);
            // Bundles made elsewhere have lost their modes, and a script that calls another one by its name needs them.
            let mode = if file.executable || bytes.starts_with(SHEBANG) { 0o755 } else { 0o644 };
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

/// What a file begins with that says what runs it.
const SHEBANG: &[u8] = b"#!";

/// A script with the line ends of Unix: with those of Windows, bash and the kernel take the `\r` for a part of the last
/// word of each line. Other files stay as they are.
fn unix_lines(path: &str, bytes: Vec<u8>) -> Vec<u8> {
    let is_script = bytes.starts_with(SHEBANG) || path.ends_with(".sh") || path.ends_with(".bash");
    let first_end = bytes.iter().position(|byte| *byte == b'\n');
    let is_of_windows = first_end.is_some_and(|end| bytes[..end].ends_with(b"\r"));
    if !is_script || !is_of_windows {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(index + 1) != Some(&b'\n') {
            out.push(*byte);
        }
    }
    out
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

#[cfg(test)]
mod tests;
