//! The environment that pip and uv are started with.
//!
//! They work on behalf of an untrusted bundle, so they get nothing of what a runner may have in its environment: object
//! store keys, tokens, database URLs. Where the index is and how it is reached is not for them either
//! ([`crate::index::Settings`]).

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// All that a tool has: no questions, no colours, no building, no settings but those of the command line.
const SET: [(&str, &str); 13] = [
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("NO_COLOR", "1"),
    ("PYTHONHASHSEED", "0"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    // The one name that keeps pip from looking for configuration files anywhere.
    ("PIP_CONFIG_FILE", "/dev/null"),
    ("UV_NO_CONFIG", "1"),
    ("UV_NO_CACHE", "1"),
    ("UV_NO_PROGRESS", "1"),
    ("UV_PYTHON_DOWNLOADS", "never"),
    // The runner asks the index, waits for it, and tries again.
    ("UV_HTTP_TIMEOUT", "3600"),
    ("UV_HTTP_RETRIES", "0"),
];

/// The environment of a tool. Nothing of the operator's but the day up to which packages count.
pub(crate) fn for_tools(all: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let mut set = SET.map(|(name, value)| (OsString::from(name), OsString::from(value))).to_vec();
    set.extend(get(all, "UV_EXCLUDE_NEWER").map(|day| ("UV_EXCLUDE_NEWER".into(), day.to_owned())));
    set
}

/// The value of one variable.
pub(crate) fn get<'a>(all: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    all.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
}

/// The first executable of that name on the path. Relative entries are ignored: they would depend on where the
/// command was started, which may be the folder of an untrusted skill.
pub(crate) fn find_program(all: &[(OsString, OsString)], name: &str) -> Option<PathBuf> {
    find_programs(all, name).into_iter().next()
}

/// All of that name, in the order of the path. Shims of version managers are scripts that want their user's home, and
/// count for nothing.
pub(crate) fn find_programs(all: &[(OsString, OsString)], name: &str) -> Vec<PathBuf> {
    let Some(path) = get(all, "PATH") else { return Vec::new() };
    env::split_paths(path)
        .filter(|folder| folder.is_absolute() && folder.file_name() != Some(OsStr::new("shims")))
        .map(|folder| folder.join(name))
        .filter(|path| is_executable(path))
        .collect()
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    //! Secrets stay behind, the ways to an index pass.

    use super::*;

    #[test]
    fn nothing_of_the_operator_passes() {
        let all = [
            "AWS_SECRET_ACCESS_KEY",
            "SKILLBOX_TOKEN",
            "PYTHONPATH",
            "LD_PRELOAD",
            "HOME",
            "HTTPS_PROXY",
            "PIP_INDEX_URL",
            "PIP_NO_DEPS",
            "PIP_PREFIX",
            "PIP_TARGET",
            "PIP_USER",
            "UV_INDEX_CORP_PASSWORD",
            "UV_NO_BINARY",
            "UV_CONFIG_FILE",
            "PATH",
        ];
        let all: Vec<_> = all.iter().map(|name| (OsString::from(name), OsString::from("secret"))).collect();
        let given = for_tools(&all);
        assert_eq!(given.len(), SET.len());
        assert!(given.iter().all(|(_, value)| value != "secret"), "{given:?}");
    }

    #[test]
    fn relative_folders_of_the_path_are_ignored() {
        let all = |path: &str| vec![(OsString::from("PATH"), OsString::from(path))];
        assert_eq!(find_program(&all(".:bin:/usr/bin:/bin"), "sh").unwrap().file_name().unwrap(), "sh");
        assert_eq!(find_program(&all("src:."), "lib.rs"), None);
        assert_eq!(find_program(&all("/etc"), "passwd"), None);
        assert_eq!(find_program(&[], "sh"), None);
    }
}
