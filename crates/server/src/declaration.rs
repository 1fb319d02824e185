//! A declaration as it comes over the wire, and the files that it brings.
//!
//! Unknown members are refused: a misspelt limit that is silently ignored would be no limit. Files come as content, or by
//! a link to a file that this runner's store holds. No other URL is ever fetched, so nobody can make the runner send
//! requests into its network.

use std::{collections::BTreeMap, time::Duration};

use artifact::{ArtifactId, ArtifactStore, StoreErrorKind};
use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{Bytes, BytesMut};
use runner::{Declaration, InputFile, LimitsWanted, NetworkWanted};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;

use crate::problem::{Code, Problem};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const FILES: &str = "/v1/files/";
const CONTENT: &str = "/content";

/// The body of `PUT /v1/triggers/{id}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WireDeclaration {
    #[serde(default)]
    skills: Vec<String>,
    /// In milliseconds.
    sandbox_timeout: Option<u64>,
    limits: Option<WireLimits>,
    network: Option<WireNetwork>,
    env: Option<BTreeMap<String, String>>,
    inputs: Option<Vec<WireInput>>,
    metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireLimits {
    memory_bytes: Option<u64>,
    cpu_millis: Option<u32>,
    processes: Option<u32>,
    disk_bytes: Option<u64>,
    disk_inodes: Option<u64>,
    shm_bytes: Option<u64>,
    open_files: Option<u64>,
    file_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireNetwork {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireInput {
    path: String,
    content: Option<String>,
    url: Option<String>,
}

/// Content and links are the platform's data.
impl std::fmt::Debug for WireInput {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WireInput").field("path", &self.path).finish_non_exhaustive()
    }
}

impl WireDeclaration {
    /// The declaration, with all files in hand.
    pub(crate) async fn resolve(
        self,
        store: &dyn ArtifactStore,
        most_bytes: u64,
    ) -> Result<Declaration, Problem> {
        let network = match self.network {
            Some(WireNetwork { allow }) if !allow.is_empty() => NetworkWanted::Allow(allow),
            _ => NetworkWanted::None,
        };
        let mut inputs = Vec::new();
        let mut left = most_bytes;
        for input in self.inputs.unwrap_or_default() {
            let file = input.resolve(store, left).await?;
            left = left.saturating_sub(file.content.len() as u64);
            inputs.push(file);
        }
        Ok(Declaration {
            skills: self.skills,
            lifetime: self.sandbox_timeout.map(Duration::from_millis),
            limits: self.limits.map(WireLimits::wanted).unwrap_or_default(),
            network,
            env: self.env.unwrap_or_default().into_iter().collect(),
            inputs,
            metadata: self.metadata.unwrap_or_default(),
        })
    }
}

impl WireLimits {
    fn wanted(self) -> LimitsWanted {
        LimitsWanted {
            memory_bytes: self.memory_bytes,
            cpu_millis: self.cpu_millis,
            processes: self.processes,
            disk_bytes: self.disk_bytes,
            disk_inodes: self.disk_inodes,
            shm_bytes: self.shm_bytes,
            open_files: self.open_files,
            file_bytes: self.file_bytes,
        }
    }
}

impl WireInput {
    async fn resolve(self, store: &dyn ArtifactStore, left: u64) -> Result<InputFile, Problem> {
        let shown = self.path.escape_debug().to_string();
        let content = match (self.content, self.url) {
            (Some(content), None) => BASE64.decode(content).map(Bytes::from).map_err(|error| {
                let detail = format!("the content of input `{shown}` is not base64: {error}");
                Problem::new(Code::InvalidDeclaration, detail)
            })?,
            (None, Some(url)) => fetch(store, &shown, &url, left).await?,
            (Some(_), Some(_)) | (None, None) => {
                let detail = format!("input `{shown}` needs either content or url");
                return Err(Problem::new(Code::InvalidDeclaration, detail));
            }
        };
        Ok(InputFile { path: self.path, content })
    }
}

/// The content of a file in the store, by one of the links that lead to it.
async fn fetch(store: &dyn ArtifactStore, input: &str, url: &str, left: u64) -> Result<Bytes, Problem> {
    let refuse = |why: &str| {
        let detail = format!("the url of input `{input}` cannot be used: {why}");
        Problem::new(Code::InputUrlNotAllowed, detail)
    };
    let foreign = "only links to files of this runner are taken, other hosts cannot be allowed yet; send the content in base64";
    let failed = |error: artifact::StoreError| match error.kind() {
        StoreErrorKind::NotFound => refuse("the file does not exist"),
        StoreErrorKind::Deferred => refuse("the file is still on its way into the store"),
        StoreErrorKind::Full
        | StoreErrorKind::Mismatch
        | StoreErrorKind::Refused
        | StoreErrorKind::Unavailable => Problem::store(&error),
    };
    let id = find_id(url).ok_or_else(|| refuse(foreign))?;
    let ours = store.url(&id).await.map_err(failed)?.url;
    if !leads_to(url, &ours, &id) {
        return Err(refuse(foreign));
    }
    let content = store.open(&id).await.map_err(failed)?;
    let mut content = content
        .ok_or_else(|| refuse("this store's files cannot be read back; send the content in base64"))?;
    if content.metadata.size > left {
        let detail = format!("input `{input}` is larger than what is left of the limit for all inputs");
        return Err(Problem::new(Code::InvalidDeclaration, detail));
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(content.metadata.size).unwrap_or(0));
    while content.body.read_buf(&mut bytes).await.map_err(|error| Problem::store(&error))? > 0 {}
    Ok(bytes.freeze())
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
