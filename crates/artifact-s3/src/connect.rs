//! From an operator's options to clients: where the bucket is, how it is addressed, whose credentials are used.
//!
//! Credentials come from the standard chain of AWS (environment, profile, web identity, container, instance), and are
//! never seen here. A store with an endpoint of its own is taken for one that is not AWS: it is addressed by path and
//! gets only those checksums that an operation names, since many know no others.

use std::{env, fmt, str::FromStr, time::Duration};

use artifact::{StoreError, StoreErrorKind};
use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::ProfileFileRegionProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_s3::{
    Client,
    config::{
        Builder, Credentials as Given, RequestChecksumCalculation, ResponseChecksumValidation,
        interceptors::InterceptorContext,
        retry::{ClassifyRetry, RetryAction},
    },
};

/// Attempts of one request, the first one included. With the pauses below they span some seconds.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// What one attempt of a request with little or no content may take.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(15);
/// The longest life that a presigned link can have.
const LONGEST_LINK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Where a store of one's own is said to be when nobody says. It only has to be the same on both sides.
const ANY_REGION: &str = "us-east-1";

/// How to reach a bucket.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket, and what its keys begin with.
    pub location: Location,
    /// Where the store is; `None` for AWS, or what `AWS_ENDPOINT_URL_S3` says.
    pub endpoint: Option<String>,
    /// Where those who follow links find the store, if that is another place.
    pub public_endpoint: Option<String>,
    /// The region; `None` for what the environment or the profile says.
    pub region: Option<String>,
    /// How the bucket is named in requests.
    pub addressing: Addressing,
    /// Who asks.
    pub credentials: Credentials,
    /// How long links work.
    pub link_lifetime: Duration,
}

/// Who asks.
#[derive(Clone)]
pub enum Credentials {
    /// Whom the standard chain of AWS finds.
    Chain,
    /// This key and no other.
    Key {
        /// Its public part.
        id: String,
        /// Its secret part.
        secret: String,
    },
}

/// The secret must not get into logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("Chain"),
            Self::Key { id, .. } => f.debug_struct("Key").field("id", id).finish_non_exhaustive(),
        }
    }
}

/// How the bucket is named in requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// In the path where there is an endpoint, else in the host.
    Automatic,
    /// `https://endpoint/bucket/key`
    Path,
    /// `https://bucket.endpoint/key`
    Host,
}

/// A bucket, and what its keys begin with: `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub(crate) bucket: String,
    /// Empty, or with a slash at its end.
    pub(crate) prefix: String,
}

/// Not `s3://bucket` or `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected s3://BUCKET or s3://BUCKET/PREFIX, {0}")]
pub struct InvalidUrl(&'static str);

impl FromStr for Location {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let rest = text.strip_prefix("s3://").ok_or(InvalidUrl("beginning with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_name) {
            return Err(InvalidUrl("with a bucket of 3 to 63 lower case letters, digits, dots and hyphens"));
        }
        let prefix = prefix.trim_end_matches('/');
        // What stands in every key must mean the same to every store and proxy on the way.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
        let is_part =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_plain);
        if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(is_part)) {
            return Err(InvalidUrl("with a prefix of letters, digits and `-_.=` between single slashes"));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Clients for one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    /// For our own requests.
    pub(crate) requests: Client,
    /// Only signs; it never connects.
    pub(crate) links: Client,
    /// For messages.
    pub(crate) endpoint: Option<String>,
}

/// Clients for these options. Reads the environment and the profile; asks nobody but, for the region, the instance.
pub(crate) async fn connect(options: &S3Options) -> Result<Clients, StoreError> {
    let refused = |what: String, hint: &str| StoreError::new(StoreErrorKind::Refused, what).with_hint(hint);
    if options.link_lifetime > LONGEST_LINK || options.link_lifetime < Duration::from_secs(1) {
        return Err(refused(
            "sign links with this lifetime".to_owned(),
            "S3 allows 1 second to 7 days: set `--link-lifetime` to at most 168h",
        ));
    }
    let endpoint = options.endpoint.clone().or_else(endpoint_of_environment);
    for url in [&endpoint, &options.public_endpoint].into_iter().flatten() {
        if !is_endpoint(url) {
            return Err(refused(
                format!("use the S3 endpoint `{url}`"),
                "an endpoint is http:// or https://, a host, and perhaps a port; the bucket is not part of it",
            ));
        }
    }
    let config = load(options, endpoint.is_some()).await;
    if config.region().is_none() {
        return Err(refused(
            format!("reach `{}`: the region is not known", options.location),
            "name it with `--s3-region`, or set AWS_REGION",
        ));
    }
    let build = |endpoint: Option<&String>| {
        let mut builder = Builder::from(&config).retry_classifier(TooMany);
        let path = match options.addressing {
            Addressing::Automatic => endpoint.is_some(),
            Addressing::Path => true,
            Addressing::Host => false,
        };
        builder = builder.force_path_style(path);
        if let Some(url) = endpoint {
            builder = builder
                .endpoint_url(url)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        builder
    };
    let requests = build(endpoint.as_ref()).build();
    // A link must work in a browser, which sends no header that the link would ask for.
    let links = build(options.public_endpoint.as_ref().or(endpoint.as_ref()))
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Ok(Clients { requests: Client::from_conf(requests), links: Client::from_conf(links), endpoint })
}

async fn load(options: &S3Options, own_store: bool) -> SdkConfig {
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE);
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(retries)
        .timeout_config(timeouts(ATTEMPT));
    let loader = match &options.credentials {
        Credentials::Chain => loader,
        Credentials::Key { id, secret } => {
            loader.credentials_provider(Given::new(id, secret, None, None, "options"))
        }
    };
    match &options.region {
        Some(region) => loader.region(Region::new(region.clone())).load().await,
        // An instance of AWS is not asked in which region somebody else's store is.
        None if own_store => {
            let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new())
                .or_else(Region::new(ANY_REGION));
            loader.region(chain).load().await
        }
        None => loader.load().await,
    }
}

/// 429 means a pause, whatever code the answer has: stores that are not AWS have none that the SDK knows.
#[derive(Debug)]
struct TooMany;

impl ClassifyRetry for TooMany {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response() {
            Some(response) if response.status().as_u16() == 429 => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "too many requests"
    }
}

/// Time limits of a request of which one attempt may take this long.
pub(crate) fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build()
}

/// What the SDK would take from the environment. We must know it too, since such a store is not AWS.
fn endpoint_of_environment() -> Option<String> {
    let ignored = env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_ok_and(|value| value == "true");
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    if ignored { None } else { set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")) }
}

fn is_endpoint(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.trim_end_matches('/');
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>\\".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_name_a_bucket_and_perhaps_a_prefix() {
        let check = |text: &str, bucket: &str, prefix: &str| {
            let location: Location = text.parse().unwrap();
            assert_eq!((location.bucket.as_str(), location.prefix.as_str()), (bucket, prefix), "{text}");
        };
        check("s3://outputs", "outputs", "");
        check("s3://outputs/", "outputs", "");
        check("s3://my.out-puts/a/b_c=1", "my.out-puts", "a/b_c=1/");
        check("s3://outputs/a/", "outputs", "a/");
        for bad in [
            "",
            "outputs",
            "s3:outputs",
            "s3://",
            "s3://ab",
            "s3:///a",
            "s3://Outputs",
            "s3://out_puts",
            "s3://outputs/a//b",
            "s3://outputs/../b",
            "s3://outputs/a b",
            "s3://outputs/ä",
            "s3://outputs/a?b",
        ] {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_have_a_scheme_and_a_host() {
        for good in ["http://127.0.0.1:3900", "https://s3.example.com/", "http://[::1]:1/base"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in ["", "s3.example.com", "https://", "ftp://x", "http://user@x", "http://x?y", "http://a b"]
        {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
