//! Byte code of a layer, made where hostile sources can do no harm.
//!
//! Compiling runs nothing of a package, but six kilobytes of source can be written so that the compiler takes gigabytes
//! and minutes for them. So sources are handed to a [`Compiler`], which the runner makes from its sandboxes, in bounded
//! batches; what comes back is data of strangers: a plain file for a source of the batch, or nothing. A batch that runs
//! into a limit stays without byte code, and works all the same.

use std::{
    collections::HashSet,
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use crate::{error::LayerError, python::PythonVersion};

/// Most bytes of sources in one batch.
const BATCH_BYTES: u64 = 24 * 1024 * 1024;

/// Most sources in one batch.
const BATCH_FILES: usize = 4_000;

/// A larger source is left as it is.
const SOURCE_BYTES: u64 = 4 * 1024 * 1024;

/// Most bytes of one file of byte code.
const CODE_BYTES: u64 = 32 * 1024 * 1024;

/// Makes byte code, under limits, where nothing of the host can be reached.
#[async_trait]
pub trait Compiler: fmt::Debug + Send + Sync {
    /// Compiles the sources of a tar, and answers with a tar in which `a/__pycache__/b.cpython-311.pyc` is the byte code
    /// of `a/b.py`. What does not compile is missing there. Python checks neither time nor content of the sources later.
    ///
    /// # Errors
    /// See [`CompileError`].
    async fn compile(&self, sources: Vec<u8>) -> Result<Vec<u8>, CompileError>;
}

/// Why there is no byte code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// No sandbox was free in time.
    #[error("no sandbox was free to compile in")]
    Busy,
    /// The sources took more memory or time than they may.
    #[error("compiling took more than it may: {reason}")]
    Limit {
        /// Which limit.
        reason: String,
    },
    /// The sandbox could not be made, or broke down.
    #[error("the sandbox to compile in failed: {reason}")]
    Failed {
        /// Why.
        reason: String,
    },
}

/// Compiles all sources below `content`. Says how many batches stayed without byte code.
pub(crate) async fn compile(
    compiler: &dyn Compiler,
    content: &Path,
    version: PythonVersion,
) -> Result<usize, LayerError> {
    let root = content.to_owned();
    let batches = super::resolver::blocking(move || {
        let mut sources = Vec::new();
        collect(&root, &root, &mut sources).map_err(io_error("read", &root))?;
        Ok(split(sources))
    })
    .await?;
    let mut left_out = 0;
    for batch in batches {
        let (root, paths) = (content.to_owned(), batch.clone());
        let sources =
            super::resolver::blocking(move || pack(&root, &paths).map_err(io_error("read", &root))).await?;
        match compiler.compile(sources).await {
            Ok(tar) => {
                let root = content.to_owned();
                super::resolver::blocking(move || {
                    unpack(&root, &batch, version, &tar).map_err(io_error("write byte code below", &root))
                })
                .await?;
            }
            Err(CompileError::Limit { .. }) => left_out += 1,
            Err(error) => return Err(LayerError::Compile { source: error }),
        }
    }
    Ok(left_out)
}

/// The sources below a directory, relative to the root, with their sizes.
fn collect(root: &Path, directory: &Path, found: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Neither follows links.
        let (kind, metadata) = (entry.file_type()?, entry.metadata()?);
        let path = entry.path();
        if kind.is_dir() {
            collect(root, &path, found)?;
        } else if kind.is_file()
            && path.extension().is_some_and(|extension| extension == "py")
            && metadata.len() <= SOURCE_BYTES
            && let Ok(relative) = path.strip_prefix(root)
        {
            found.push((relative.to_owned(), metadata.len()));
        }
    }
    Ok(())
}

fn split(mut sources: Vec<(PathBuf, u64)>) -> Vec<Vec<PathBuf>> {
    sources.sort();
    let mut batches: Vec<Vec<PathBuf>> = Vec::new();
    let mut bytes = BATCH_BYTES;
    for (path, size) in sources {
        match batches.last_mut() {
            Some(batch) if bytes + size <= BATCH_BYTES && batch.len() < BATCH_FILES => {
                batch.push(path);
                bytes += size;
            }
            _ => {
                batches.push(vec![path]);
                bytes = size;
            }
        }
    }
    batches
}

fn pack(root: &Path, paths: &[PathBuf]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.mode(tar::HeaderMode::Deterministic);
    for path in paths {
        tar.append_path_with_name(root.join(path), path)?;
    }
    tar.into_inner()
}

/// Where the byte code of a source is.
fn place(source: &Path, version: PythonVersion) -> Option<PathBuf> {
    let stem = source.file_stem()?.to_str()?;
    let name = format!("{stem}.cpython-{}{}.pyc", version.major, version.minor);
    Some(source.parent()?.join("__pycache__").join(name))
}

/// Takes what belongs to a source of the batch; the rest is nobody's.
fn unpack(root: &Path, batch: &[PathBuf], version: PythonVersion, tar: &[u8]) -> io::Result<()> {
    let mut wanted: HashSet<PathBuf> = batch.iter().filter_map(|source| place(source, version)).collect();
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        // Attack: a broken tar, links, paths that lead out, files for other sources. What came before it is sound.
        let Ok(mut entry) = entry else { return Ok(()) };
        let Ok(path) = entry.path().map(|path| path.into_owned()) else { return Ok(()) };
        if !entry.header().entry_type().is_file() || entry.size() > CODE_BYTES || !wanted.remove(&path) {
            continue;
        }
        let mut code = Vec::new();
        if entry.read_to_end(&mut code).is_err() {
            return Ok(());
        }
        let path = root.join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, code)?;
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = path.to_owned();
    move |source| LayerError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11, patch: None };

    #[test]
    fn batches_are_bounded() {
        let small = (0..BATCH_FILES + 1).map(|number| (PathBuf::from(format!("{number}.py")), 1)).collect();
        assert_eq!(split(small).iter().map(Vec::len).collect::<Vec<_>>(), [BATCH_FILES, 1]);
        let large = (0..13).map(|number| (PathBuf::from(format!("{number}.py")), SOURCE_BYTES)).collect();
        assert_eq!(split(large).iter().map(Vec::len).collect::<Vec<_>>(), [6, 6, 1]);
        assert!(split(Vec::new()).is_empty());
    }

    #[test]
    fn only_byte_code_of_the_batch_is_taken() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/b.py"), "x = 1").unwrap();
        let mut sources = Vec::new();
        collect(root.path(), root.path(), &mut sources).unwrap();
        let batch = split(sources).remove(0);
        assert!(!pack(root.path(), &batch).unwrap().is_empty());

        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind: tar::EntryType| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(4);
            // Written as bytes, since the crate itself refuses what leads out.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            tar.append(&header, &b"code"[..]).unwrap();
        };
        add("../evil.pyc", tar::EntryType::Regular);
        add("a/b.py", tar::EntryType::Regular);
        add("a/__pycache__/other.cpython-311.pyc", tar::EntryType::Regular);
        add("a/__pycache__/b.cpython-311.pyc", tar::EntryType::Symlink);
        add("a/__pycache__/b.cpython-311.pyc", tar::EntryType::Regular);
        unpack(root.path(), &batch, PYTHON, &tar.into_inner().unwrap()).unwrap();
        let found: Vec<_> = fs::read_dir(root.path().join("a/__pycache__")).unwrap().flatten().collect();
        assert_eq!(found.len(), 1);
        assert_eq!(fs::read(root.path().join("a/__pycache__/b.cpython-311.pyc")).unwrap(), b"code");
        assert_eq!(fs::read(root.path().join("a/b.py")).unwrap(), b"x = 1");
        unpack(root.path(), &batch, PYTHON, b"no tar").unwrap();
    }
}
