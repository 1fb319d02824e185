//! The environment that pip and uv are started with.
//!
//! They talk to the outside on behalf of an untrusted bundle, so they get what they need to find an index, and
//! none of what else a runner may have in its environment: object store keys, tokens, database URLs.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// What may pass, in upper case; proxies are commonly written in lower case too.
const PASSED: [&str; 46] = [
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_HOME",
    "NETRC",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSL_CLIENT_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CONFIG_FILE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_FIND_LINKS",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_TRUSTED_HOST",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_TIMEOUT",
    "PIP_CACHE_DIR",
    "PIP_NO_CACHE_DIR",
    "PIP_KEYRING_PROVIDER",
    "UV_CONFIG_FILE",
    "UV_CACHE_DIR",
    "UV_NO_CACHE",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_NO_INDEX",
    "UV_FIND_LINKS",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_HTTP_TIMEOUT",
    "UV_EXCLUDE_NEWER",
];

/// Per-index names and passwords of uv (`UV_INDEX_<NAME>_PASSWORD`), and what pyenv's shims need to start a Python.
const PASSED_PREFIXES: [&str; 2] = ["UV_INDEX_", "PYENV_"];

/// Set whatever the caller has: no questions, no colours, no building, no downloads of interpreters.
const SET: [(&str, &str); 10] = [
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("NO_COLOR", "1"),
    ("PYTHONHASHSEED", "0"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_NO_INPUT", "1"),
    ("PIP_REQUIRE_VIRTUALENV", "0"),
    ("PIP_ROOT_USER_ACTION", "ignore"),
    ("UV_NO_PROGRESS", "1"),
    ("UV_PYTHON_DOWNLOADS", "never"),
];

/// The variables for a tool, out of all that the caller has.
pub(crate) fn for_tools(all: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let passed = |name: &OsStr| {
        name.to_str().is_some_and(|name| {
            let upper = name.to_ascii_uppercase();
            // Only proxies have a meaning in lower case.
            let known = PASSED.contains(&upper.as_str()) && (upper == name || upper.ends_with("_PROXY"));
            known || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
    };
    let set = SET.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    all.iter().filter(|(name, _)| passed(name)).cloned().chain(set).collect()
}

/// The value of one variable.
pub(crate) fn get<'a>(all: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    all.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
}

/// The first executable of that name on the path. Relative entries are ignored: they would depend on where the
/// command was started, which may be the folder of an untrusted skill.
pub(crate) fn find_program(all: &[(OsString, OsString)], name: &str) -> Option<PathBuf> {
    env::split_paths(get(all, "PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    //! Secrets stay behind, the ways to an index pass.

    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        let all: Vec<_> = all.iter().map(|name| (OsString::from(name), OsString::from("v"))).collect();
        for_tools(&all)
            .into_iter()
            .map(|(name, _)| name.into_string().unwrap())
            .take(for_tools(&all).len() - SET.len())
            .collect()
    }

    #[test]
    fn only_what_finds_an_index_passes() {
        let passed = ["PATH", "HOME", "https_proxy", "NO_PROXY", "PIP_INDEX_URL", "UV_INDEX_CORP_PASSWORD"];
        assert_eq!(names(&passed), passed);
        let kept = [
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "DATABASE_URL",
            "SKILLBOX_TOKEN",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "LD_PRELOAD",
            "PIP_TARGET",
            "PIP_NO_BINARY",
            "PIP_REQUIREMENT",
            "PIP_USER",
            "UV_NO_BINARY",
            "path",
            "UV_TARGET",
            "PIP_PREFIX",
        ];
        assert_eq!(names(&kept), Vec::<String>::new());
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
