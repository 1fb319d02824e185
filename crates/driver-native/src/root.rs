//! What a sandbox's root directory is made of.

use std::fs;
use std::io;
use std::path::Path;

use crate::wire::RootEntry;

/// Top-level names that a sandbox has of its own, whatever the root directory has there.
const OWN: [&str; 12] = [
    "dev",
    "proc",
    "sys",
    "tmp",
    "run",
    "workspace",
    "output",
    "skills",
    "layers",
    "root",
    "home",
    "lost+found",
];

/// Parts of the host's /etc that programs below /usr need and that tell nothing of the host.
const FROM_ETC: [&str; 10] = [
    "alternatives",
    "fonts",
    "ImageMagick-6",
    "ImageMagick-7",
    "ghostscript",
    "ld.so.cache",
    "ld.so.conf",
    "libreoffice",
    "mime.types",
    "ssl/openssl.cnf",
];

/// The host's `/usr`, the links (or directories) beside it that lead into it, and an /etc of our own making.
pub(crate) fn host() -> io::Result<Vec<RootEntry>> {
    let mut entries = vec![bind("/usr", "/usr")];
    for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        match fs::symlink_metadata(name) {
            Ok(metadata) if metadata.is_symlink() => {
                let target = fs::read_link(name)?.to_string_lossy().into_owned();
                entries.push(RootEntry::Link { path: name.to_owned(), target });
            }
            Ok(_) => entries.push(bind(name, name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    for name in FROM_ETC {
        let path = format!("/etc/{name}");
        if fs::exists(&path)? {
            // A copy costs once; a mount would cost in every sandbox.
            entries.push(RootEntry::Copy { source: path.clone(), path });
        }
    }
    for (name, content) in own_etc() {
        entries.push(RootEntry::File { path: format!("/etc/{name}"), content: content.into() });
    }
    Ok(entries)
}

/// Everything of a directory with a root file system but the places that a sandbox has of its own.
pub(crate) fn directory(root: &Path) -> io::Result<Vec<RootEntry>> {
    if !root.join("usr").is_dir() {
        let message = format!("{} has no usr: it is not a root file system", root.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let root = fs::canonicalize(root)?;
    let mut entries = Vec::new();
    for entry in fs::read_dir(&root)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if OWN.contains(&name.as_str()) {
            continue;
        }
        let path = format!("/{name}");
        if entry.file_type()?.is_symlink() {
            let target = fs::read_link(entry.path())?.to_string_lossy().into_owned();
            entries.push(RootEntry::Link { path, target });
        } else {
            entries.push(bind(&path, &entry.path().to_string_lossy()));
        }
    }
    Ok(entries)
}

fn bind(path: &str, source: &str) -> RootEntry {
    RootEntry::Bind { path: path.to_owned(), source: source.to_owned() }
}

fn own_etc() -> Vec<(&'static str, String)> {
    let user = sandbox::layout::USER_ID;
    vec![
        (
            "passwd",
            format!(
                "root:x:0:0:root:/:/usr/sbin/nologin\n\
                 user:x:{user}:{user}:user:/tmp:/bin/bash\n\
                 nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\nuser:x:{user}:\nnogroup:x:65534:\n")),
        ("hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n".to_owned()),
        ("hostname", "sandbox\n".to_owned()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n".to_owned()),
        // Empty: the name server is then the one on loopback, where nobody listens. So a look-up fails at once, with the words
        // that it has in containers, and the kernel counts it.
        ("resolv.conf", String::new()),
    ]
}
