//! Decompressing: once to nowhere to see that everything is as declared, then to disk.
//!
//! Data is streamed through small buffers, so memory does not depend on the bundle. Files are only created (`O_EXCL`) in a
//! fresh directory with mode 0700 in which no link ever exists, so there is nothing that a path could be led astray by. Modes are
//! 0644, 0755 for files that were executable and directories; times, owners and special bits of the bundle are dropped.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Instant,
};

use flate2::bufread::DeflateDecoder;
use tempfile::TempDir;

use super::{
    BundleLimits,
    check::{Plan, PlannedEntry},
    error::BundleError,
};
use crate::{
    content::Folder,
    ignored::{Foreign, foreign_part},
    skill::SkillFile,
};

const BUFFER: usize = 64 * 1024;
/// The longest path that Linux takes, with its NUL.
const PATH_MAX: usize = 4096;

/// A bundle on disk. Dropping it removes it.
#[derive(Debug)]
pub struct UnpackedBundle {
    directory: TempDir,
    top: Option<String>,
    files: Vec<SkillFile>,
    foreign: BTreeMap<String, Foreign>,
}

impl UnpackedBundle {
    /// The skill's folder, with `SKILL.md` in it.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("skill")
    }

    /// The name of the top folder in the bundle, when it had one.
    pub fn top(&self) -> Option<&str> {
        self.top.as_deref()
    }

    /// The files on disk that may belong to a skill, sorted by path.
    pub fn files(&self) -> &[SkillFile] {
        &self.files
    }

    /// Removes from disk what never belongs to a skill, and gives the paths. A folder that somebody will work in must not
    /// have a stranger's `.git`: its hooks and settings run programs.
    pub fn remove_foreign(&mut self) -> io::Result<Vec<(String, Foreign)>> {
        let root = self.root();
        for path in self.foreign.keys() {
            let full = root.join(path);
            if full.is_dir() { fs::remove_dir_all(full)? } else { fs::remove_file(full)? }
        }
        Ok(std::mem::take(&mut self.foreign).into_iter().collect())
    }

    /// Moves the skill's folder to `destination` at once (on the same file system; nothing or an empty directory may be there).
    pub fn persist(self, destination: &Path) -> io::Result<()> {
        fs::rename(self.root(), destination)
    }

    /// Hands the directory over to a [`Folder`].
    pub(crate) fn into_folder(self) -> io::Result<(Folder, Option<String>)> {
        let root = fs::canonicalize(self.root())?;
        Ok((Folder::owned(root, self.directory.keep()), self.top))
    }
}

/// Decompresses everything to nowhere.
pub(super) fn verify(
    bundle: &mut (impl Read + Seek),
    plan: &Plan,
    limits: &BundleLimits,
    deadline: Instant,
) -> Result<(), BundleError> {
    let mut total = 0;
    for entry in &plan.entries {
        total += copy(bundle, entry, &mut io::sink(), deadline)?;
        // Declared sizes were checked, and no entry gives more than it declares; this holds even if that is ever changed.
        if total > limits.max_total_bytes {
            return Err(BundleError::TotalTooLarge { size: total, limit: limits.max_total_bytes });
        }
    }
    Ok(())
}

/// Writes what `plan` says into a fresh directory below `parent`.
pub(super) fn write(
    bundle: &mut (impl Read + Seek),
    plan: &Plan,
    parent: &Path,
    limits: &BundleLimits,
) -> Result<UnpackedBundle, BundleError> {
    let deadline = Instant::now() + limits.max_duration;
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| BundleError::Write { path, source }
    };
    let longest = plan.entries.iter().filter_map(|entry| entry.path.as_ref()).map(String::len).max();
    // Better now than in the middle: the name of the fresh directory and of `skill` come on top.
    if parent.as_os_str().len() + longest.unwrap_or_default() + 64 > PATH_MAX {
        return Err(failed(parent)(io::Error::from(io::ErrorKind::InvalidFilename)));
    }
    let directory = tempfile::Builder::new()
        .prefix(".unpack-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(failed(parent))?;
    let (files, foreign) = listed(plan);
    let unpacked = UnpackedBundle { directory, top: plan.top.clone(), files, foreign };
    let root = unpacked.root();
    make_directory(&root, Path::new("")).map_err(failed(&root))?;
    for planned in &plan.entries {
        let Some(path) = planned.path.as_deref().map(Path::new) else { continue };
        if planned.directory {
            make_directory(&root, path).map_err(failed(path))?;
            continue;
        }
        make_directory(&root, path.parent().unwrap_or(Path::new(""))).map_err(failed(path))?;
        let mode = if planned.executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(root.join(path))
            .map_err(failed(path))?;
        // The content was verified, but the file behind the reader may have been changed since: everything is checked again.
        copy(bundle, planned, &mut file, deadline)?;
        // Set again, as the process may mask bits at creation.
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed(path))?;
    }
    Ok(unpacked)
}

/// The files of `plan` that may belong to a skill, and the topmost paths of what never does.
fn listed(plan: &Plan) -> (Vec<SkillFile>, BTreeMap<String, Foreign>) {
    let (mut files, mut foreign) = (Vec::new(), BTreeMap::new());
    for planned in &plan.entries {
        let Some(path) = &planned.path else { continue };
        if let Some((part, reason)) = foreign_part(path, planned.directory) {
            foreign.insert(part.to_owned(), reason);
        } else if !planned.directory {
            let (path, size, executable) = (path.clone(), planned.entry.size, planned.executable);
            files.push(SkillFile { path, size, executable });
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    (files, foreign)
}

/// Makes the directory `path` below `root`, with its parents, all with mode 0755.
fn make_directory(root: &Path, path: &Path) -> io::Result<()> {
    let full = root.join(path);
    if full.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(root, parent)?;
    }
    DirBuilder::new().mode(0o755).create(&full)?;
    fs::set_permissions(&full, Permissions::from_mode(0o755))
}

/// Decompresses one entry into `to` and makes sure that it is what was declared; gives the number of bytes.
fn copy(
    bundle: &mut (impl Read + Seek),
    planned: &PlannedEntry,
    to: &mut impl Write,
    deadline: Instant,
) -> Result<u64, BundleError> {
    let entry = &planned.entry;
    bundle.seek(SeekFrom::Start(entry.data)).map_err(BundleError::Read)?;
    let data = BufReader::with_capacity(BUFFER, bundle.by_ref().take(entry.compressed));
    let (size, crc, consumed) = if planned.deflated {
        let mut decoder = DeflateDecoder::new(data);
        let (size, crc) = pump(&mut decoder, planned, to, deadline)?;
        (size, crc, decoder.total_in())
    } else {
        let mut data = data;
        let (size, crc) = pump(&mut data, planned, to, deadline)?;
        (size, crc, size)
    };
    // Bytes behind the end of the compressed stream would be a hiding place.
    if size != entry.size || consumed != entry.compressed {
        return Err(BundleError::Size { name: entry.name() });
    }
    if crc != entry.crc {
        return Err(BundleError::Checksum { name: entry.name() });
    }
    Ok(size)
}

fn pump(
    from: &mut impl Read,
    planned: &PlannedEntry,
    to: &mut impl Write,
    deadline: Instant,
) -> Result<(u64, u32), BundleError> {
    let entry = &planned.entry;
    let mut buffer = vec![0; BUFFER];
    let mut crc = crc32fast::Hasher::new();
    let mut size = 0_u64;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok((size, crc.finalize())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The decoder says what is wrong with the data in these two ways; anything else comes from the reader below it.
            Err(error)
                if planned.deflated
                    && matches!(
                        error.kind(),
                        io::ErrorKind::InvalidInput
                            | io::ErrorKind::UnexpectedEof
                            | io::ErrorKind::InvalidData
                    ) =>
            {
                return Err(BundleError::Data { name: entry.name() });
            }
            Err(error) => return Err(BundleError::Read(error)),
        };
        size += count as u64;
        // The bomb that declares little and gives much ends here, before its excess is used for anything.
        if size > entry.size {
            return Err(BundleError::Size { name: entry.name() });
        }
        if Instant::now() > deadline {
            return Err(BundleError::Time);
        }
        crc.update(&buffer[..count]);
        to.write_all(&buffer[..count])
            .map_err(|source| BundleError::Write { path: entry.name().to_string(), source })?;
    }
}
