//! What the operator says about the index: in the variables that pip and uv have for it, and in pip's own file.
//!
//! Only these few settings count, and for both tools alike. Nothing is looked for in working directories, above the
//! cache or beside the skill; whoever may write there is not the operator. What else pip or uv could be told (`no-deps`,
//! `prefix`, sources that are built) never reaches them.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;

use crate::environment::get;

/// Where packages come from when nobody says otherwise.
const DEFAULT_INDEX: &str = "https://pypi.org/simple/";

/// Bound on pip's configuration file.
const MAX_FILE: u64 = 256 * 1024;

/// Longest time without a byte when the operator sets none.
const SILENCE: Duration = Duration::from_secs(30);

/// The operator's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Asked in this order; the first that knows a name has it, so that nobody can offer another package of that name
    /// in a later one.
    pub(crate) indexes: Vec<Url>,
    /// Directories with wheels.
    pub(crate) links: Vec<PathBuf>,
    /// Files with certificates, beside those of the system.
    pub(crate) certificates: Vec<PathBuf>,
    /// `host` or `host:port` whose certificate is not looked at.
    pub(crate) trusted: Vec<String>,
    pub(crate) http_proxy: Option<Url>,
    pub(crate) https_proxy: Option<Url>,
    pub(crate) no_proxy: Option<String>,
    /// Longest time without a byte.
    pub(crate) silence: Duration,
}

impl Settings {
    /// Reads them out of an environment. What is no URL or not absolute is left out.
    pub(crate) fn of(variables: &[(OsString, OsString)]) -> Self {
        let file = PipFile::find(variables);
        let text = |name: &str| get(variables, name).and_then(OsStr::to_str).filter(|text| !text.is_empty());
        let either = |names: &[&str], key: &str| {
            names.iter().find_map(|name| text(name)).map(str::to_owned).or_else(|| file.get(key))
        };
        let all = |names: &[&str], key: &str| -> Vec<String> {
            let mut values: Vec<String> =
                names.iter().filter_map(|name| text(name)).map(str::to_owned).collect();
            values.extend(file.get(key));
            values.iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
        };
        let no_index =
            either(&["UV_NO_INDEX", "PIP_NO_INDEX"], "no-index").is_some_and(|value| truth(&value));
        let mut indexes = Vec::new();
        if !no_index {
            let extra = all(&["UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"], "extra-index-url");
            indexes.extend(extra.iter().filter_map(|entry| named_index(entry, &text)));
            let default = either(&["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"], "index-url");
            indexes.extend(named_index(default.as_deref().unwrap_or(DEFAULT_INDEX), &text));
            let mut known = Vec::new();
            indexes.retain(|url| {
                !known.contains(url) && {
                    known.push(url.clone());
                    true
                }
            });
        }
        let proxy = |names: &[&str]| {
            let value = names.iter().find_map(|name| text(name))?;
            if value.contains("://") {
                Url::parse(value).ok()
            } else {
                Url::parse(&format!("http://{value}")).ok()
            }
        };
        let for_all = ["PIP_PROXY", "ALL_PROXY", "all_proxy"];
        let links = all(&["UV_FIND_LINKS", "PIP_FIND_LINKS"], "find-links");
        let paths = links.iter().filter_map(|link| match link.strip_prefix("file://") {
            Some(_) => Url::parse(link).ok()?.to_file_path().ok(),
            None => Some(PathBuf::from(link)),
        });
        let certificates = ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
        let mut certificates: Vec<PathBuf> =
            certificates.iter().filter_map(|name| text(name)).map(PathBuf::from).collect();
        certificates.extend(file.get("cert").map(PathBuf::from));
        certificates.dedup();
        let seconds = either(&["UV_HTTP_TIMEOUT", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"], "timeout");
        Self {
            indexes,
            links: paths.filter(|path| path.is_absolute()).collect(),
            certificates: certificates.into_iter().filter(|path| path.is_absolute()).collect(),
            trusted: all(&["UV_INSECURE_HOST", "PIP_TRUSTED_HOST"], "trusted-host"),
            http_proxy: proxy(&["http_proxy", "HTTP_PROXY"]).or_else(|| proxy(&for_all)),
            https_proxy: proxy(&["https_proxy", "HTTPS_PROXY"]).or_else(|| proxy(&for_all)),
            no_proxy: text("no_proxy").or_else(|| text("NO_PROXY")).map(str::to_owned),
            silence: seconds
                .and_then(|seconds| seconds.parse().ok())
                .filter(|seconds| (1..=3600).contains(seconds))
                .map_or(SILENCE, Duration::from_secs),
        }
    }

    /// Where packages come from, for keys and receipts: without credentials.
    pub(crate) fn names(&self) -> Vec<String> {
        let links = self.links.iter().map(|path| path.display().to_string());
        self.indexes.iter().map(without_credentials).chain(links).collect()
    }
}

/// A URL as people may see it.
pub(crate) fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    // Neither fails for a URL with a host, and only such have credentials.
    let _no_host = url.set_username("").is_err() || url.set_password(None).is_err();
    url.to_string()
}

/// `url`, or uv's `name=url` with credentials in variables of that name.
fn named_index<'a>(entry: &str, text: &impl Fn(&str) -> Option<&'a str>) -> Option<Url> {
    let (name, url) = match entry.split_once('=') {
        Some((name, url)) if !name.contains([':', '/']) => (Some(name), url),
        _ => (None, entry),
    };
    let mut url =
        Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    if let Some(name) = name {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        if let Some(user) = text(&format!("UV_INDEX_{name}_USERNAME")) {
            url.set_username(user).ok()?;
        }
        if let Some(password) = text(&format!("UV_INDEX_{name}_PASSWORD")) {
            url.set_password(Some(password)).ok()?;
        }
    }
    Some(url)
}

fn truth(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t")
}

/// What pip's configuration files say in `[global]` and `[install]`; later files win, as with pip.
#[derive(Debug, Default)]
struct PipFile(Vec<(String, String)>);

impl PipFile {
    fn find(variables: &[(OsString, OsString)]) -> Self {
        let home = get(variables, "HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let config = get(variables, "XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        let named = get(variables, "PIP_CONFIG_FILE").map(PathBuf::from);
        let mut files = Vec::new();
        if named.as_deref() != Some(Path::new("/dev/null")) && !variables.is_empty() {
            files.push(PathBuf::from("/etc/pip.conf"));
            files.extend(home.map(|home| home.join(".pip/pip.conf")));
            files.extend(config.map(|config| config.join("pip/pip.conf")));
            files.extend(named.filter(|path| path.is_absolute()));
        }
        let mut found = Self::default();
        for path in files {
            let small =
                fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_FILE);
            if small && let Ok(text) = fs::read_to_string(&path) {
                found.read(&text);
            }
        }
        found
    }

    fn read(&mut self, text: &str) {
        let mut counts = false;
        for line in text.lines() {
            let continued = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                counts = matches!(section, "global" | "install");
            } else if counts
                && continued
                && let Some((_, value)) = self.0.last_mut()
            {
                value.push(' ');
                value.push_str(line);
            } else if counts && let Some((key, value)) = line.split_once(['=', ':']) {
                self.0.push((key.trim().to_ascii_lowercase().replace('_', "-"), value.trim().to_owned()));
            }
        }
    }

    fn get(&self, key: &str) -> Option<String> {
        self.0
            .iter()
            .rev()
            .find(|(known, value)| known == key && !value.is_empty())
            .map(|(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Settings {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        Settings::of(&variables)
    }

    fn urls(variables: &[(&str, &str)]) -> Vec<String> {
        of(variables).indexes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_tools_variables_count_and_private_indexes_come_first() {
        assert_eq!(urls(&[]), [DEFAULT_INDEX]);
        let own = [("PIP_CONFIG_FILE", "/dev/null"), ("PIP_INDEX_URL", "https://a.example/simple")];
        assert_eq!(urls(&own), ["https://a.example/simple/"]);
        let mixed = [
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("UV_DEFAULT_INDEX", "https://b.example/"),
            ("UV_INDEX", "corp=https://c.example/x/"),
            ("UV_INDEX_CORP_USERNAME", "me"),
            ("UV_INDEX_CORP_PASSWORD", "secret"),
            ("PIP_EXTRA_INDEX_URL", "https://d.example/ ftp://e.example/ ../f"),
        ];
        assert_eq!(
            urls(&mixed),
            ["https://me:secret@c.example/x/", "https://d.example/", "https://b.example/"]
        );
        assert_eq!(of(&mixed).names(), ["https://c.example/x/", "https://d.example/", "https://b.example/"]);
        let none =
            [("PIP_CONFIG_FILE", "/dev/null"), ("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", "/a file:///b c")];
        assert_eq!(of(&none).names(), ["/a", "/b"]);
    }

    #[test]
    fn of_pips_file_only_the_index_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pip.conf");
        let text = "[global]\nindex_url = https://a.example/simple\nextra-index-url =\n  https://b.example/\n  https://c.example/\n\
            no-deps = true\nprefix = /x\n[list]\nindex-url = https://wrong.example/\n[install]\ntrusted-host: a.example\n";
        fs::write(&file, text).unwrap();
        let settings = of(&[("PIP_CONFIG_FILE", file.to_str().unwrap())]);
        assert_eq!(
            settings.names(),
            ["https://b.example/", "https://c.example/", "https://a.example/simple/"]
        );
        assert_eq!(settings.trusted, ["a.example"]);
    }
}
