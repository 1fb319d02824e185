//! The files of a layer: checked, freed of what depends on this host, sealed.
//!
//! What the tools unpack comes from strangers. It is never executed on the host, and what a file system could do
//! with it (links, devices, setuid bits) is taken away here. `.pth` files stay and do nothing: Python reads them in
//! site directories only, and a layer is put on the sandbox's `PYTHONPATH`, which is not one.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::error::LayerError;

/// Bound on the number of files and directories of a layer; a large scientific set has a tenth of it.
const MAX_ENTRIES: u64 = 300_000;

/// Bound on the depth of directories, since walking recurses.
const MAX_DEPTH: usize = 64;

/// What is known of sound content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inspected {
    /// sha256 over paths, modes and bytes, in the order of names. Byte code is left out: it is made from the rest
    /// and differs from run to run.
    pub(crate) digest: String,
    pub(crate) bytes: u64,
}

/// Refuses what a layer may not hold, and removes what depends on this host: foreign byte code, paths of the
/// host's interpreter in scripts.
pub(crate) fn inspect(root: &Path, limit: u64) -> Result<Inspected, LayerError> {
    // uv leaves this file behind in a target directory.
    match fs::remove_file(root.join(".lock")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", &root.join(".lock"))(error));
        }
        _ => {}
    }
    neutralize_scripts(&root.join("bin"))?;
    let mut walk = Walk { root, limit, hash: Sha256::new(), bytes: 0, entries: 0 };
    walk.directory(root, 0)?;
    Ok(Inspected { digest: HEXLOWER.encode(&walk.hash.finalize()), bytes: walk.bytes })
}

/// Makes every file read-only, and nothing setuid: files 0444 or 0555, directories 0755. Their owner can remove them, as
/// everybody expects of a cache; sandboxes have them mounted read-only.
pub(crate) fn seal(directory: &Path) -> Result<(), LayerError> {
    for path in children(directory)? {
        let metadata = fs::symlink_metadata(&path).map_err(io_error("read", &path))?;
        if metadata.is_dir() {
            seal(&path)?;
        } else {
            let mode = if metadata.mode() & 0o111 == 0 { 0o444 } else { 0o555 };
            set_mode(&path, mode)?;
        }
    }
    set_mode(directory, 0o755)
}

/// Bytes below a directory. What vanishes while it is counted counts nothing.
pub(crate) fn size(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            // Blocks, not length: a sparse file costs nothing, a small one a block.
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// Removes a directory that may hold sealed ones.
pub(crate) fn remove(directory: &Path) -> io::Result<()> {
    unseal(directory);
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// As far as it goes; what cannot be changed makes the removal fail and is reported there.
fn unseal(directory: &Path) {
    // Not through links: `file_type` of an entry does not follow them.
    if set_mode(directory, 0o700).is_err() {
        return;
    }
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unseal(&entry.path());
        }
    }
}

struct Walk<'a> {
    root: &'a Path,
    limit: u64,
    hash: Sha256,
    bytes: u64,
    entries: u64,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, depth: usize) -> Result<(), LayerError> {
        if depth > MAX_DEPTH {
            return Err(self.refuse(directory, "directories are nested too deeply"));
        }
        let mut paths = children(directory)?;
        paths.sort();
        for path in paths {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(self.refuse(&path, "there are too many files"));
            }
            let metadata = fs::symlink_metadata(&path).map_err(io_error("read", &path))?;
            let kind = metadata.file_type();
            if kind.is_dir() {
                // Attack: byte code that does not belong to the source beside it.
                if path.file_name().is_some_and(|name| name == "__pycache__") {
                    fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
                } else {
                    self.directory(&path, depth + 1)?;
                }
            } else if kind.is_file() {
                self.file(&path, &metadata)?;
            } else if kind.is_symlink() {
                // Attack: a link to a file of the host, followed by whoever mounts or copies the layer.
                return Err(self.refuse(&path, "symbolic links are not allowed"));
            } else {
                return Err(self.refuse(&path, "only files and directories are allowed"));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, metadata: &fs::Metadata) -> Result<(), LayerError> {
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.bytes > self.limit {
            return Err(LayerError::TooLarge { limit: self.limit });
        }
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        let Some(name) = relative.to_str() else {
            return Err(self.refuse(path, "its name is not UTF-8"));
        };
        let mut file = fs::File::open(path).map_err(io_error("read", path))?;
        // Lengths come first, so that no two trees give the same bytes to the hash.
        self.hash.update(u64::try_from(name.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.hash.update(name.as_bytes());
        self.hash.update([u8::from(metadata.mode() & 0o111 != 0)]);
        self.hash.update(metadata.len().to_le_bytes());
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match io::Read::read(&mut file, &mut chunk).map_err(io_error("read", path))? {
                0 => return Ok(()),
                read => self.hash.update(&chunk[..read]),
            }
        }
    }

    fn refuse(&self, path: &Path, reason: &'static str) -> LayerError {
        let path = path.strip_prefix(self.root).unwrap_or(path);
        LayerError::Content { path: crate::requirement::shorten(&path.to_string_lossy()), reason }
    }
}

/// Console scripts start with the path of the interpreter that installed them, which is no business of a sandbox.
fn neutralize_scripts(bin: &Path) -> Result<(), LayerError> {
    // A `bin` that is a link or missing is left to the walk.
    if !fs::symlink_metadata(bin).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    for path in children(bin)? {
        if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let Some(end) = text.iter().position(|byte| *byte == b'\n') else { continue };
        let first = String::from_utf8_lossy(&text[..end]);
        if text.starts_with(b"#!/bin/sh\n'''exec'") {
            // The form for interpreters with long paths: it has the path on its second line, and cannot work inside.
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        } else if first.starts_with("#!") && first.contains("python") {
            let mut changed = b"#!/usr/bin/env python3".to_vec();
            changed.extend_from_slice(&text[end..]);
            fs::write(&path, changed).map_err(io_error("write", &path))?;
        }
    }
    Ok(())
}

fn children(directory: &Path) -> Result<Vec<std::path::PathBuf>, LayerError> {
    let entries = fs::read_dir(directory).map_err(io_error("list", directory))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(io_error("list", directory))).collect()
}

fn set_mode(path: &Path, mode: u32) -> Result<(), LayerError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_error("change the mode of", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = path.to_owned();
    move |source| LayerError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    //! Hostile content, and that the digest tells trees apart.

    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn digest(root: &tempfile::TempDir) -> String {
        inspect(root.path(), LIMIT).unwrap().digest
    }

    #[test]
    fn links_and_special_files_are_refused() {
        let root = tree(&[("a.py", "")]);
        symlink("/etc/passwd", root.path().join("link")).unwrap();
        let error = inspect(root.path(), LIMIT).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`link` in the dependencies is refused: symbolic links are not allowed"
        );
        let root = tree(&[("a.py", "")]);
        symlink("/etc", root.path().join("bin")).unwrap();
        assert!(inspect(root.path(), LIMIT).is_err());
        let root = tree(&[("pkg/a.py", "")]);
        let _listener = UnixListener::bind(root.path().join("pkg/socket")).unwrap();
        assert!(inspect(root.path(), LIMIT).is_err());
    }

    #[test]
    fn the_limit_is_on_the_sum() {
        let root = tree(&[("a", &"x".repeat(600_000)), ("b", &"x".repeat(600_000))]);
        assert!(matches!(inspect(root.path(), LIMIT), Err(LayerError::TooLarge { .. })));
        assert!(inspect(root.path(), 1_200_000).is_ok());
        assert!(size(root.path()) >= 1_200_000);
    }

    #[test]
    fn the_digest_tells_trees_apart_and_ignores_byte_code() {
        let plain = digest(&tree(&[("ab", "c"), ("d", "")]));
        assert_eq!(plain, digest(&tree(&[("d", ""), ("ab", "c")])));
        assert_eq!(
            plain,
            digest(&tree(&[("d", ""), ("ab", "c"), ("__pycache__/x.pyc", "evil"), (".lock", "")]))
        );
        assert_ne!(plain, digest(&tree(&[("a", "bc"), ("d", "")])));
        assert_ne!(plain, digest(&tree(&[("ab", "c"), ("d/e", "")])));
    }

    #[test]
    fn foreign_byte_code_and_host_paths_are_removed() {
        let root = tree(&[
            ("pkg/__pycache__/x.cpython-311.pyc", "evil"),
            ("bin/tool", "#!/home/someone/.venv/bin/python3\nprint(1)\n"),
            ("bin/long", "#!/bin/sh\n'''exec' \"/home/someone/python3\" \"$0\" \"$@\"\n' '''\n"),
            ("bin/other", "#!/bin/sh\necho\n"),
        ]);
        inspect(root.path(), LIMIT).unwrap();
        assert!(!root.path().join("pkg/__pycache__").exists() && !root.path().join("bin/long").exists());
        let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
        assert_eq!(read("bin/tool"), "#!/usr/bin/env python3\nprint(1)\n");
        assert_eq!(read("bin/other"), "#!/bin/sh\necho\n");
    }

    #[test]
    fn sealed_content_is_read_only_and_can_be_removed() {
        let root = tree(&[("pkg/a.py", ""), ("bin/x", "")]);
        set_mode(&root.path().join("bin/x"), 0o4777).unwrap();
        seal(root.path()).unwrap();
        let mode = |name: &str| fs::metadata(root.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("pkg"), mode("pkg/a.py"), mode("bin/x"), mode("")), (0o755, 0o444, 0o555, 0o755));
        remove(root.path()).unwrap();
        assert!(!root.path().exists());
        remove(root.path()).unwrap();
    }
}
