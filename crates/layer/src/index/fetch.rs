//! Requests to the index and to the hosts that its pages name.
//!
//! Redirections are followed here, one by one, and every URL is looked at before it is asked: http or https only, the
//! operator's own index or a host whose addresses are all public. Names are resolved once, by the check itself, so that a
//! second answer cannot differ from the one that was looked at. Credentials go to the origin that they were given for.

use std::{
    collections::HashSet,
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Certificate, Client, NoProxy, Proxy, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION},
    redirect::Policy,
};

use super::{
    address::is_public,
    settings::{Settings, without_credentials},
};

/// Bound on redirections in a row.
const MAX_REDIRECTS: usize = 5;

/// Longest time until a host has taken a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Tries of a request that failed for the moment.
const TRIES: u32 = 3;

/// Bound on a file of certificates.
const MAX_CERTIFICATES: u64 = 16 * 1024 * 1024;

/// Why something did not come. The text fits after "the index …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// It answered with this status.
    Status { host: String, status: u16 },
    /// No connection, or it broke.
    Unreachable { host: String },
    /// No byte for too long.
    Silent { host: String },
    /// A link leads where nothing may be asked.
    Refused { url: String, why: &'static str },
    /// More bytes than allowed.
    TooLarge { host: String, limit: u64 },
    /// What came is no page, no file, or cut.
    Broken { host: String, why: &'static str },
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { host, status } => write!(f, "the index answered {status} (`{host}`)"),
            Self::Unreachable { host } => write!(f, "the package index could not be reached (`{host}`)"),
            Self::Silent { host } => write!(f, "the index does not answer (`{host}`)"),
            Self::Refused { url, why } => write!(f, "the index leads to `{url}`: {why}"),
            Self::TooLarge { host, limit } => {
                write!(f, "the index sent more than {} MiB (`{host}`)", limit / (1024 * 1024))
            }
            Self::Broken { host, why } => write!(f, "the index sent {why} (`{host}`)"),
        }
    }
}

/// A client that asks only whom it may.
#[derive(Debug)]
pub(crate) struct Fetcher {
    client: Client,
    indexes: Vec<Url>,
}

impl Fetcher {
    /// Asks nobody yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, String> {
        let mut names: HashSet<String> = HashSet::new();
        let proxies = settings.http_proxy.iter().chain(&settings.https_proxy);
        names.extend(settings.indexes.iter().chain(proxies).filter_map(Url::host_str).map(str::to_owned));
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .user_agent("skillbox")
            .connect_timeout(CONNECT)
            .read_timeout(settings.silence)
            .dns_resolver(Arc::new(Names(names)));
        let no_proxy = || settings.no_proxy.as_deref().and_then(NoProxy::from_string);
        let said = |error: reqwest::Error| error.to_string();
        if let Some(url) = &settings.http_proxy {
            builder = builder.proxy(Proxy::http(url.clone()).map_err(said)?.no_proxy(no_proxy()));
        }
        if let Some(url) = &settings.https_proxy {
            builder = builder.proxy(Proxy::https(url.clone()).map_err(said)?.no_proxy(no_proxy()));
        }
        let mut certificates = Vec::new();
        for path in &settings.certificates {
            let small = fs::metadata(path)
                .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_CERTIFICATES);
            let read = if small { fs::read(path).ok() } else { None };
            let read =
                read.ok_or_else(|| format!("the certificates in `{}` cannot be read", path.display()))?;
            let parsed = Certificate::from_pem_bundle(&read)
                .map_err(|_| format!("`{}` holds no certificates", path.display()))?;
            certificates.extend(parsed);
        }
        if !certificates.is_empty() {
            // As with pip: who names a file means that file.
            builder = builder.tls_certs_only(certificates);
        }
        let trusts = |url: &Url| {
            let host = url.host_str().unwrap_or_default();
            let port = url.port_or_known_default().unwrap_or_default();
            settings.trusted.iter().any(|trusted| *trusted == host || *trusted == format!("{host}:{port}"))
        };
        if !settings.indexes.is_empty() && settings.indexes.iter().all(trusts) {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        Ok(Self { client: builder.build().map_err(said)?, indexes: settings.indexes.clone() })
    }

    /// The answer with status 200, and the URL that it came from.
    pub(crate) async fn get(&self, url: &Url, accept: &str) -> Result<(Response, Url), FetchError> {
        let mut tries = 1;
        loop {
            match self.get_once(url.clone(), accept).await {
                Err(
                    FetchError::Unreachable { .. }
                    | FetchError::Status { status: 429 | 500 | 502 | 503 | 504, .. },
                ) if tries < TRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn get_once(&self, mut url: Url, accept: &str) -> Result<(Response, Url), FetchError> {
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url)?;
            let own = self.own(&url);
            // Credentials in a link of a page are the page's, and go nowhere.
            let _no_host = url.set_username("").is_err() || url.set_password(None).is_err();
            let mut request =
                self.client.get(url.clone()).header(ACCEPT, accept).header(ACCEPT_ENCODING, "gzip");
            if let Some(index) = own
                && !index.username().is_empty()
            {
                let decoded =
                    |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
                request = request.basic_auth(decoded(index.username()), index.password().map(decoded));
            }
            let response = request.send().await.map_err(|error| failure(&url, &error))?;
            match response.status() {
                StatusCode::OK => return Ok((response, url)),
                status if status.is_redirection() => {
                    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                    let next = location.and_then(|location| url.join(location).ok());
                    let next = next.ok_or_else(|| FetchError::Broken {
                        host: host(&url),
                        why: "a redirection to nowhere",
                    })?;
                    if url.scheme() == "https" && next.scheme() == "http" {
                        return Err(refused(&next, "a redirection from https to http is not followed"));
                    }
                    url = next;
                }
                status => return Err(FetchError::Status { host: host(&url), status: status.as_u16() }),
            }
        }
        Err(FetchError::Broken { host: host(&url), why: "one redirection after the other" })
    }

    /// The index that a URL belongs to.
    fn own(&self, url: &Url) -> Option<&Url> {
        self.indexes.iter().find(|index| index.origin() == url.origin())
    }

    /// Whether a URL may be asked at all. What a name resolves to is looked at by [`Names`].
    pub(crate) fn check(&self, url: &Url) -> Result<(), FetchError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(url, "only http and https are asked"));
        }
        if self.own(url).is_some() {
            return Ok(());
        }
        let name = url.host_str().unwrap_or_default();
        let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        // The index's own host on its usual ports, as where a page over http has links over https; any other port of it
        // is another service.
        let usual = matches!(url.port_or_known_default(), Some(80 | 443));
        if self.indexes.iter().any(|index| index.host_str() == Some(name)) {
            return if usual {
                Ok(())
            } else {
                Err(refused(url, "that is another service on the index's host"))
            };
        }
        match literal {
            Ok(address) if !is_public(address) => Err(refused(url, "that address is not public")),
            _ => Ok(()),
        }
    }
}

/// Reads a body whole, decompressed, up to a limit.
pub(crate) async fn body(mut response: Response, url: &Url, limit: u64) -> Result<Vec<u8>, FetchError> {
    let too_large = || FetchError::TooLarge { host: host(url), limit };
    let zipped = match response
        .headers()
        .get(CONTENT_ENCODING)
        .map(|value| value.as_bytes().to_ascii_lowercase())
    {
        None => false,
        Some(encoding) if encoding == b"identity" => false,
        Some(encoding) if encoding == b"gzip" || encoding == b"x-gzip" => true,
        Some(_) => {
            return Err(FetchError::Broken { host: host(url), why: "an encoding that was not asked for" });
        }
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(url, &error))? {
        if bytes.len() as u64 + chunk.len() as u64 > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    if !zipped {
        return Ok(bytes);
    }
    // Attack: a few kilobytes that unpack to gigabytes.
    let mut plain = Vec::new();
    let mut reader = io::Read::take(flate2::read::MultiGzDecoder::new(&bytes[..]), limit + 1);
    io::Read::read_to_end(&mut reader, &mut plain)
        .map_err(|_| FetchError::Broken { host: host(url), why: "half a page" })?;
    if plain.len() as u64 > limit { Err(too_large()) } else { Ok(plain) }
}

pub(crate) fn failure(url: &Url, error: &reqwest::Error) -> FetchError {
    if let Some(name) = find_private(error) {
        return refused(url, name);
    }
    // A read timeout is one of the body or of the head, a connect timeout says that nobody is there.
    if error.is_timeout() && !error.is_connect() {
        FetchError::Silent { host: host(url) }
    } else if error.is_body() || error.is_decode() {
        FetchError::Broken { host: host(url), why: "half an answer" }
    } else {
        FetchError::Unreachable { host: host(url) }
    }
}

fn find_private(error: &reqwest::Error) -> Option<&'static str> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<Private>() {
            return Some("that name has an address that is not public");
        }
        source = error.source();
    }
    None
}

pub(crate) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or("no host");
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

fn refused(url: &Url, why: &'static str) -> FetchError {
    FetchError::Refused { url: crate::requirement::shorten(&without_credentials(url)), why }
}

/// Resolves names: those of the operator's settings to whatever they are, all others to public addresses only.
#[derive(Debug)]
struct Names(HashSet<String>);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let own = self.0.contains(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One bad answer refuses all: the client would fall back to it.
            if !own && found.iter().any(|address| !is_public(address.ip())) {
                return Err(Box::new(Private) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A foreign name that leads inside.
#[derive(Debug, thiserror::Error)]
#[error("not a public address")]
struct Private;

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn fetcher(index: &str) -> Fetcher {
        let variables = [("PIP_CONFIG_FILE", "/dev/null"), ("PIP_INDEX_URL", index)];
        let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Fetcher::new(&Settings::of(&variables)).unwrap()
    }

    #[test]
    fn links_lead_to_the_index_or_outside() {
        let fetcher = fetcher("http://10.0.0.5:3141/simple/");
        let allowed = |url: &str| fetcher.check(&Url::parse(url).unwrap()).is_ok();
        for good in [
            "http://10.0.0.5:3141/x.whl",
            "https://10.0.0.5/x.whl",
            "https://files.example/x.whl",
            "http://1.1.1.1/",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "http://10.0.0.5:9000/",
            "http://10.0.0.6/",
            "http://127.0.0.1:3141/",
            "http://[::1]/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "ftp://files.example/x.whl",
            "data:text/plain,x",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_foreign_name_of_this_machine_is_refused() {
        let fetcher = fetcher("http://index.example/simple/");
        let error = fetcher.get(&Url::parse("http://localhost:9/x.whl").unwrap(), "*/*").await.unwrap_err();
        assert!(matches!(&error, FetchError::Refused { .. }), "{error}");
    }
}
