//! Input files that come by URL: files of this runner's store, and files of hosts that the operator has listed.
//!
//! Whoever may declare a trigger chooses the URL, so the runner must not become a way into its own network: no host is
//! asked but those that are listed, each with its port, and no redirection is followed. A link to the store is not
//! taken at its word either; the file that it names is read from the store itself. What is fetched counts towards the bytes
//! that all requests may hold, as bodies do.

use std::{fmt, str::FromStr, time::Duration};

use artifact::{ArtifactId, ArtifactStore, StoreError, StoreErrorKind};
use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, StatusCode, Url, redirect::Policy};
use tokio::io::AsyncReadExt as _;

use crate::{
    app::App,
    body::Held,
    problem::{Code, Problem},
};

const FILES: &str = "/v1/files/";
const CONTENT: &str = "/content";
/// Longest time until a listed host has taken a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longest time for a whole file.
const FETCH_TIME: Duration = Duration::from_secs(60);

/// A host from which inputs may be fetched: `files.example.com` (on the usual port of the URL's scheme), or
/// `files.example.com:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputHost {
    name: String,
    port: Option<u16>,
}

impl FromStr for InputHost {
    type Err = InvalidInputHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser that will read callers' URLs, so that both spell a host the same way. FTP, since the parser drops a
        // scheme's own port, and this one's is never meant.
        let url = Url::parse(&format!("ftp://{text}/")).map_err(|_| InvalidInputHost)?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !plain || !url.username().is_empty() || url.password().is_some() || text.contains(['/', '@']) {
            return Err(InvalidInputHost);
        }
        let name = url.host_str().filter(|name| !name.is_empty()).ok_or(InvalidInputHost)?;
        Ok(Self { name: name.to_owned(), port: url.port() })
    }
}

impl InputHost {
    fn allows(&self, url: &Url) -> bool {
        let usual = match url.scheme() {
            "https" => 443,
            "http" => 80,
            _ => return false,
        };
        let port = url.port().unwrap_or(usual);
        url.host_str() == Some(self.name.as_str()) && port == self.port.unwrap_or(usual)
    }
}

/// Not a host with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host is written as `files.example.com` or `files.example.com:8443`, without a scheme and a path")]
pub struct InvalidInputHost;

/// A client for the listed hosts.
#[derive(Clone, Debug)]
pub(crate) struct HostClient {
    client: Client,
    hosts: Vec<InputHost>,
}

impl HostClient {
    /// Asks nobody yet.
    pub(crate) fn new(hosts: Vec<InputHost>) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            // A redirection would lead wherever the host likes.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIME)
            .timeout(FETCH_TIME)
            .build()?;
        Ok(Self { client, hosts })
    }

    fn allows(&self, url: &Url) -> bool {
        self.hosts.iter().any(|host| host.allows(url))
    }

    async fn get(&self, url: Url) -> Result<Response, GetError> {
        let response = self.client.get(url).send().await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            other => Err(GetError::Status(other.as_u16())),
        }
    }
}

/// Why a file did not come. Nothing of what the host said gets to the caller but its status.
#[derive(Clone, Copy, Debug)]
enum GetError {
    Status(u16),
    TimedOut,
    Unreachable,
}

impl From<reqwest::Error> for GetError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::TimedOut } else { Self::Unreachable }
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(formatter, "its host answered with status {status}"),
            Self::TimedOut => write!(formatter, "its host took more than {} s", FETCH_TIME.as_secs()),
            Self::Unreachable => formatter.write_str("its host cannot be reached"),
        }
    }
}

/// The inputs of one declaration. To be kept as long as the declaration holds what was fetched.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    store: &'a dyn ArtifactStore,
    hosts: &'a HostClient,
    held: Held<'a>,
}

impl<'a> Inputs<'a> {
    pub(crate) fn new(app: &'a App) -> Self {
        Self { store: &**app.runner.store(), hosts: &app.input_hosts, held: Held::new(app) }
    }

    /// The content behind a URL, at most `left` bytes. `input` is how the input is called in messages.
    pub(crate) async fn fetch(&mut self, input: &str, url: &str, left: u64) -> Result<Bytes, Problem> {
        if let Some(id) = self.own(input, url).await? {
            return self.read(input, &id, left).await;
        }
        let allowed = Url::parse(url).ok().filter(|url| self.hosts.allows(url));
        let url = allowed.ok_or_else(|| refuse(input, &self.foreign()))?;
        if url.scheme() == "https" && !cfg!(feature = "https-inputs") {
            return Err(refuse(input, "this executable was built without https (feature `https-inputs`)"));
        }
        let failed = |error: GetError| refuse(input, &error.to_string());
        let mut response = self.hosts.get(url).await.map_err(failed)?;
        if response.content_length().is_some_and(|length| length > left) {
            return Err(too_large(input));
        }
        let mut bytes = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| failed(error.into()))? {
            if bytes.len() as u64 + piece.len() as u64 > left {
                return Err(too_large(input));
            }
            self.held.more(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// The file of the store that a URL leads to.
    async fn own(&self, input: &str, url: &str) -> Result<Option<ArtifactId>, Problem> {
        let Some(id) = find_id(url) else { return Ok(None) };
        let ours = self.store.url(&id).await.map_err(|error| failed(input, &error))?.url;
        Ok(leads_to(url, &ours, &id).then_some(id))
    }

    async fn read(&mut self, input: &str, id: &ArtifactId, left: u64) -> Result<Bytes, Problem> {
        let content = self.store.open(id).await.map_err(|error| failed(input, &error))?;
        let Some(mut content) = content else {
            return Err(refuse(input, "this store's files cannot be read back; send the content in base64"));
        };
        if content.metadata.size > left {
            return Err(too_large(input));
        }
        let size = usize::try_from(content.metadata.size).map_err(|_| too_large(input))?;
        self.held.more(size)?;
        let mut bytes = BytesMut::with_capacity(size);
        while content.body.read_buf(&mut bytes).await.map_err(|error| Problem::store(&error))? > 0 {}
        Ok(bytes.freeze())
    }

    fn foreign(&self) -> String {
        let hosts: Vec<String> = self.hosts.hosts.iter().map(ToString::to_string).collect();
        if hosts.is_empty() {
            return "only links to files of this runner are taken, since the operator has listed no other host; \
                    send the content in base64"
                .to_owned();
        }
        format!("only links to files of this runner and to {} are taken", hosts.join(", "))
    }
}

impl fmt::Display for InputHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

fn refuse(input: &str, why: &str) -> Problem {
    Problem::new(Code::InputUrlNotAllowed, format!("the url of input `{input}` cannot be used: {why}"))
}

fn too_large(input: &str) -> Problem {
    let detail = format!("input `{input}` is larger than what is left of the limit for all inputs");
    Problem::new(Code::InvalidDeclaration, detail)
}

fn failed(input: &str, error: &StoreError) -> Problem {
    match error.kind() {
        StoreErrorKind::NotFound => refuse(input, "the file does not exist"),
        StoreErrorKind::Deferred => refuse(input, "the file is still on its way into the store"),
        StoreErrorKind::Full
        | StoreErrorKind::Mismatch
        | StoreErrorKind::Refused
        | StoreErrorKind::Unavailable => Problem::store(error),
    }
}

/// The first thing in a URL that is the id of an artifact.
fn find_id(url: &str) -> Option<ArtifactId> {
    let at = url.find("file_")?;
    url.get(at..at + ArtifactId::LENGTH)?.parse().ok()
}

/// Whether a URL leads to the artifact that the store's own URL leads to: the same but for query and signature, or our
/// stable link to it, with or without the host.
fn leads_to(url: &str, ours: &str, id: &ArtifactId) -> bool {
    let without_query = |url: &str| url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let (given, ours) = (without_query(url), without_query(ours));
    let stable = format!("{FILES}{id}");
    let base = ours.strip_suffix(CONTENT).and_then(|ours| ours.strip_suffix(&stable));
    given == ours
        || given == stable
        || given == format!("{stable}{CONTENT}")
        || base.is_some_and(|base| given == format!("{base}{stable}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_allowed_with_their_ports() {
        let allows = |host: &str, url: &str| {
            let host: InputHost = host.parse().unwrap();
            Url::parse(url).is_ok_and(|url| host.allows(&url))
        };
        for (host, url) in [
            ("files.example.com", "https://files.example.com/a?b#c"),
            ("files.example.com", "http://FILES.example.com/a"),
            ("Files.Example.com", "https://files.example.com:443/a"),
            ("files.example.com:8443", "https://files.example.com:8443/a"),
            ("127.0.0.1:9000", "http://127.0.0.1:9000/a"),
            ("[::1]:9000", "http://[::1]:9000/a"),
        ] {
            assert!(allows(host, url), "{host} {url}");
        }
        for (host, url) in [
            ("files.example.com", "https://files.example.com:8443/a"),
            ("files.example.com", "https://a.files.example.com/"),
            ("files.example.com", "https://files.example.com.evil.example/"),
            ("files.example.com", "https://files.example.com@evil.example/"),
            ("files.example.com", "https://evil.example/?files.example.com"),
            ("files.example.com", "ftp://files.example.com/a"),
            ("files.example.com", "file://files.example.com/etc/passwd"),
            ("files.example.com:8443", "https://files.example.com/a"),
            ("127.0.0.1:9000", "http://127.0.0.1:9001/a"),
            ("10.0.0.1", "http://169.254.169.254/latest"),
        ] {
            assert!(!allows(host, url), "{host} {url}");
        }
        for bad in ["", ":80", "a b", "http://x", "x/y", "u@x", "x?y", "x#y", "x:99999"] {
            assert_eq!(bad.parse::<InputHost>(), Err(InvalidInputHost), "{bad}");
        }
    }

    #[test]
    fn only_links_to_the_file_itself_lead_to_it() {
        let id: ArtifactId = format!("file_{}", "a".repeat(40)).parse().unwrap();
        let ours = format!("https://files.example.com/base/v1/files/{id}/content?exp=1&sig=a.b");
        let check = |url: &str| find_id(url).is_some_and(|found| found == id && leads_to(url, &ours, &id));
        for good in [
            ours.clone(),
            format!("https://files.example.com/base/v1/files/{id}/content"),
            format!("https://files.example.com/base/v1/files/{id}"),
            format!("/v1/files/{id}"),
            format!("/v1/files/{id}/content?exp=9&sig=old"),
        ] {
            assert!(check(&good), "{good}");
        }
        for bad in [
            "https://example.com/data.csv".to_owned(),
            format!("https://evil.example/v1/files/{id}"),
            format!("https://evil.example/base/v1/files/{id}/content?exp=1&sig=a.b"),
            format!("https://files.example.com/v1/files/{id}"),
            format!("http://files.example.com/base/v1/files/{id}"),
            format!("http://169.254.169.254/?x=/v1/files/{id}"),
            format!("file:///v1/files/{id}"),
            format!("https://files.example.com/base/v1/files/{id}/content/../../x"),
            id.to_string(),
            format!("file_{}", "A".repeat(40)),
            "file_é".to_owned(),
        ] {
            assert!(!check(&bad), "{bad}");
        }
    }
}
