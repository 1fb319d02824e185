//! What a sandbox's root directory is made of.

use std::fs;
use std::io;
use std::path::Path;

use sandbox::provided;

use crate::wire::RootEntry;

/// Top-level names that a sandbox has of its own, whatever the root directory has there.
const OWN: [&str; 13] = [
    ".skillbox",
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

/// Parts of the host's `/etc` that what is installed in `/usr` reads, by kind. A `*` at the end stands for any rest, which
/// is a version. Nothing of it is the operator's: no host, no user, no network, no key, no address of a proxy or an index.
const FROM_ETC: [&str; 60] = [
    // Which of several programs a name stands for, and where libraries are.
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    // Names and numbers that are the same everywhere.
    "ethertypes",
    "magic",
    "magic.mime",
    "mailcap",
    "mime.types",
    "protocols",
    "rpc",
    "services",
    // Certificates of authorities, without keys.
    "ca-certificates.conf",
    "crypto-policies",
    "pki/ca-trust/extracted",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "ssl/certs",
    "ssl/openssl.cnf",
    // Fonts, languages, paper, documents.
    "dictionaries-common",
    "fonts",
    "ghostscript",
    "groff",
    "libpaper.d",
    "libreoffice",
    "locale.alias",
    "pango",
    "papersize",
    "paperspecs",
    "sgml",
    "texmf",
    "tidy.conf",
    "xml",
    // Interpreters, and what belongs to them.
    "emacs",
    "erlang",
    "ghc*",
    "guile",
    "java*",
    "jvm*",
    "lua*",
    "matplotlibrc",
    "maven",
    "octave*",
    "perl",
    "php",
    "python*",
    "R",
    // Pictures, terminals, tools.
    "ImageMagick-*",
    "OpenCL",
    "gprofng.rc",
    "gtk-*",
    "inputrc",
    "terminfo",
    "vim",
    // What system it is; the same as in `/usr/lib/os-release`.
    "debian_version",
    "fedora-release",
    "lsb-release",
    "os-release",
    "redhat-release",
];

/// Names that are left out wherever they are below [`FROM_ETC`]: where an operator may have written a password, a key or an
/// address down.
const NEVER: [&str; 8] = [
    "*.key",
    "Renviron.site",
    "Rprofile.site",
    "htpasswd",
    "jmxremote.password",
    "private",
    "settings-security.xml",
    "settings.xml",
];

/// Whether a name is one of a list in which a `*` stands for any rest, at the beginning or at the end.
fn is_listed(name: &str, list: &[&str]) -> bool {
    list.iter().any(|listed| match (listed.strip_suffix('*'), listed.strip_prefix('*')) {
        (Some(beginning), _) => name.starts_with(beginning),
        (None, Some(end)) => name.ends_with(end),
        (None, None) => name == *listed,
    })
}

/// Whether a file or directory below [`FROM_ETC`] must not be copied, by its own name.
pub(crate) fn is_never_copied(name: &str) -> bool {
    is_listed(name, &NEVER)
}

/// The paths of [`FROM_ETC`] that this machine has.
fn from_etc(etc: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let (deep, plain): (Vec<&str>, Vec<&str>) = FROM_ETC.iter().partition(|path| path.contains('/'));
    for entry in fs::read_dir(etc)? {
        if let Ok(name) = entry?.file_name().into_string()
            && is_listed(&name, &plain)
        {
            found.push(name);
        }
    }
    for path in deep {
        if fs::symlink_metadata(etc.join(path)).is_ok() {
            found.push(path.to_owned());
        }
    }
    found.sort_unstable();
    Ok(found)
}

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
    let etc = from_etc(Path::new("/etc"))?;
    for name in &etc {
        let path = format!("/etc/{name}");
        // A copy costs once; a mount would cost in every sandbox.
        entries.push(RootEntry::Copy { source: path.clone(), path });
    }
    for (name, content) in own_etc() {
        if !etc.iter().any(|copied| copied == name) {
            entries.push(RootEntry::File { path: format!("/etc/{name}"), content: content.into() });
        }
    }
    entries.push(RootEntry::Link {
        path: "/etc/localtime".to_owned(),
        target: "/usr/share/zoneinfo/Etc/UTC".to_owned(),
    });
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

/// What is made up. `protocols` and `services` are for machines that have none.
fn own_etc() -> Vec<(&'static str, String)> {
    let user = sandbox::layout::USER_ID;
    let entry = provided::passwd_entry("user", "/bin/bash");
    vec![
        (
            "passwd",
            format!(
                "root:x:0:0:root:/:/usr/sbin/nologin\n{entry}\n\
                 nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\nuser:x:{user}:\nnogroup:x:65534:\n")),
        ("hosts", provided::HOSTS.to_owned()),
        ("hostname", format!("{}\n", provided::HOSTNAME)),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n\
             ethers: files\nrpc: files\n"
                .to_owned(),
        ),
        ("protocols", provided::PROTOCOLS.to_owned()),
        ("services", provided::SERVICES.to_owned()),
        ("timezone", "Etc/UTC\n".to_owned()),
        // Empty: the name server is then the one on loopback, where nobody listens. So a look-up fails at once, with the words
        // that it has in containers, and the kernel counts it.
        ("resolv.conf", String::new()),
    ]
}

/// What every sandbox has, beside its root directory.
pub(crate) fn provided() -> Vec<RootEntry> {
    let path = format!("{}/python", sandbox::layout::COMMANDS);
    vec![RootEntry::Program { path, content: provided::PYTHON.into() }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_version_are_listed() {
        let plain = |name: &str| is_listed(name, &FROM_ETC);
        assert!(plain("python3.11") && plain("java-17-openjdk") && plain("fonts"));
        for host in [
            "passwd",
            "shadow",
            "hosts",
            "hostname",
            "resolv.conf",
            "environment",
            "ssl",
            "pip.conf",
            "npmrc",
        ] {
            assert!(!plain(host), "{host}");
        }
    }

    #[test]
    fn what_an_operator_may_have_written_is_never_copied() {
        for name in ["server.key", "private", "settings.xml", "Renviron.site"] {
            assert!(is_never_copied(name), "{name}");
        }
        assert!(!is_never_copied("m2.conf") && !is_never_copied("ca-certificates.crt"));
    }

    #[test]
    fn only_what_is_listed_is_found() {
        let etc = tempfile::tempdir().unwrap();
        for directory in ["ssl/certs", "ssl/private", "R", "ImageMagick-6"] {
            fs::create_dir_all(etc.path().join(directory)).unwrap();
        }
        for file in ["passwd", "services", "ssl/openssl.cnf"] {
            fs::write(etc.path().join(file), "").unwrap();
        }
        let found = from_etc(etc.path()).unwrap();
        assert_eq!(found, ["ImageMagick-6", "R", "services", "ssl/certs", "ssl/openssl.cnf"]);
    }
}
