//! Where the daemon is: `DOCKER_HOST`, then the current context of the `docker` command, then the usual socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use data_encoding::HEXLOWER;
use sandbox::{DriverError, DriverErrorKind};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The socket of a daemon that was installed as usual.
const USUAL: &str = "unix:///var/run/docker.sock";

/// Longest time that the daemon may take to answer a request.
const PATIENCE: Duration = Duration::from_secs(120);

/// How to reach the daemon, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `unix://…`, `tcp://…` or `http://…`.
    pub(crate) url: String,
    /// Where it comes from, in words.
    pub(crate) source: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.url, self.source)
    }
}

impl Address {
    /// Finds it in the environment of this process.
    pub(crate) fn find() -> Result<Self, DriverError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let config = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".docker")));
        Self::of(variable("DOCKER_HOST"), variable("DOCKER_CONTEXT"), config.as_deref())
    }

    fn of(host: Option<String>, context: Option<String>, config: Option<&Path>) -> Result<Self, DriverError> {
        if let Some(url) = host {
            return Ok(Self { url, source: "from DOCKER_HOST".to_owned() });
        }
        let usual = Self { url: USUAL.to_owned(), source: "the usual place".to_owned() };
        let Some(config) = config else { return Ok(usual) };
        let context = context.or_else(|| {
            let text = std::fs::read(config.join("config.json")).ok()?;
            let settings: Value = serde_json::from_slice(&text).ok()?;
            Some(settings["currentContext"].as_str()?.to_owned())
        });
        let Some(context) = context.filter(|name| !name.is_empty() && name != "default") else {
            return Ok(usual);
        };
        // The docker command keeps a context in a directory named by the digest of the context's name.
        let digest = HEXLOWER.encode(&Sha256::digest(&context));
        let file = config.join("contexts/meta").join(digest).join("meta.json");
        let url = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
            .and_then(|meta| Some(meta["Endpoints"]["docker"]["Host"].as_str()?.to_owned()));
        match url {
            Some(url) => Ok(Self { url, source: format!("from the docker context `{context}`") }),
            None => Err(DriverError::new(
                DriverErrorKind::Unavailable,
                format!(
                    "the docker context `{context}` cannot be read from `{}`; set DOCKER_HOST, or choose another \
                     context with `docker context use`",
                    file.display()
                ),
            )),
        }
    }

    /// The path of a unix socket.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.url.strip_prefix("unix://").map(Path::new)
    }

    /// A client for it that speaks the newest version that both know.
    pub(crate) async fn connect(&self) -> Result<Docker, DriverError> {
        let client = if let Some(socket) = self.socket() {
            Docker::connect_with_unix(&socket.to_string_lossy(), PATIENCE.as_secs(), API_DEFAULT_VERSION)
        } else if self.url.starts_with("tcp://") || self.url.starts_with("http://") {
            Docker::connect_with_http(&self.url, PATIENCE.as_secs(), API_DEFAULT_VERSION)
        } else {
            return Err(DriverError::new(
                DriverErrorKind::Unavailable,
                format!("{self} is no address of a daemon that can be used here; use unix:// or tcp://"),
            ));
        };
        let client = client.map_err(|error| self.unreachable(error))?;
        client.negotiate_version().await.map_err(|error| self.unreachable(error))
    }

    /// The daemon does not answer.
    pub(crate) fn unreachable(&self, error: bollard::errors::Error) -> DriverError {
        DriverError::with_source(
            DriverErrorKind::Unavailable,
            format!("no Docker daemon answers at {self}; start it, or set DOCKER_HOST to where it listens"),
            error,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(config: &Path, name: &str, url: &str) {
        let directory = config.join("contexts/meta").join(HEXLOWER.encode(&Sha256::digest(name)));
        std::fs::create_dir_all(&directory).unwrap();
        let meta = serde_json::json!({"Name": name, "Endpoints": {"docker": {"Host": url}}});
        std::fs::write(directory.join("meta.json"), meta.to_string()).unwrap();
    }

    #[test]
    fn the_variable_comes_before_the_context_and_that_before_the_usual_place() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path();
        let find = |host: Option<&str>, context: Option<&str>| {
            Address::of(host.map(str::to_owned), context.map(str::to_owned), Some(config))
        };
        assert_eq!(find(None, None).unwrap().url, USUAL);
        std::fs::write(config.join("config.json"), r#"{"currentContext": "mine"}"#).unwrap();
        assert!(find(None, None).unwrap_err().message.contains("`mine`"));
        context(config, "mine", "unix:///mine.sock");
        context(config, "other", "tcp://127.0.0.1:2375");
        let mine = find(None, None).unwrap();
        assert_eq!((mine.url.as_str(), mine.socket()), ("unix:///mine.sock", Some(Path::new("/mine.sock"))));
        assert_eq!(find(None, Some("other")).unwrap().url, "tcp://127.0.0.1:2375");
        assert_eq!(find(None, Some("default")).unwrap().url, USUAL);
        assert_eq!(find(Some("unix:///host.sock"), Some("other")).unwrap().url, "unix:///host.sock");
    }

    #[tokio::test]
    async fn an_error_names_the_socket_that_was_tried() {
        let nowhere =
            Address { url: "unix:///nowhere/docker.sock".into(), source: "from DOCKER_HOST".into() };
        let error = nowhere.connect().await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Unavailable);
        assert!(error.message.contains("/nowhere/docker.sock (from DOCKER_HOST)"), "{error}");
        let odd = Address { url: "ssh://host".into(), source: "from DOCKER_HOST".into() };
        assert!(odd.connect().await.unwrap_err().message.contains("unix:// or tcp://"));
    }
}
