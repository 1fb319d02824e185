//! A declaration as it comes over the wire, and the files that it brings.
//!
//! Unknown members are refused: a misspelt limit that is silently ignored would be no limit. Files come as content, or by
//! URL: see [`crate::inputs`].

use std::{collections::BTreeMap, time::Duration};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use runner::{Declaration, InputFile, LimitsWanted, NetworkWanted};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    inputs::Inputs,
    problem::{Code, Problem},
};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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
        from: &mut Inputs<'_>,
        most_bytes: u64,
    ) -> Result<Declaration, Problem> {
        let network = match self.network {
            Some(WireNetwork { allow }) if !allow.is_empty() => NetworkWanted::Allow(allow),
            _ => NetworkWanted::None,
        };
        let mut inputs = Vec::new();
        let mut left = most_bytes;
        for input in self.inputs.unwrap_or_default() {
            let file = input.resolve(from, left).await?;
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
    async fn resolve(self, from: &mut Inputs<'_>, left: u64) -> Result<InputFile, Problem> {
        let shown = self.path.escape_debug().to_string();
        let content = match (self.content, self.url) {
            (Some(content), None) => BASE64.decode(content).map(Bytes::from).map_err(|error| {
                let detail = format!("the content of input `{shown}` is not base64: {error}");
                Problem::new(Code::InvalidDeclaration, detail)
            })?,
            (None, Some(url)) => from.fetch(&shown, &url, left).await?,
            (Some(_), Some(_)) | (None, None) => {
                let detail = format!("input `{shown}` needs either content or url");
                return Err(Problem::new(Code::InvalidDeclaration, detail));
            }
        };
        Ok(InputFile { path: self.path, content })
    }
}
