//! What a platform says of a trigger before its first call: skills, limits, environment, inputs.
//!
//! Checked as a whole before anything is kept, so that a sandbox is never made from half of a declaration. Nothing is
//! created here. The errors are sentences for the person who wrote the request.

use std::{fmt, time::Duration};

use bytes::Bytes;
use sandbox::{Limits, SandboxPath};
use serde_json::{Map, Value};

use crate::{Config, Shortage, environment, keep::weight};

/// Longest `env` of a trigger, names and values together, in bytes: it must fit one frame to init.
const ENVIRONMENT_BYTES: usize = 64 * 1024;
/// Most inputs of a trigger.
const INPUTS: usize = 1_000;
/// Longest metadata as JSON, in bytes.
const METADATA_BYTES: usize = 16 * 1024;

/// What a trigger is to have. Two equal declarations are the same declaration.
#[derive(Clone, Default, PartialEq)]
pub struct Declaration {
    /// Slugs of the enabled skills, in the order in which Python finds their packages.
    pub skills: Vec<String>,
    /// Life of the sandbox from its creation; `None` for the configured one.
    pub lifetime: Option<Duration>,
    /// Limits that differ from the configured ones.
    pub limits: LimitsWanted,
    /// Which hosts the sandbox may reach.
    pub network: NetworkWanted,
    /// Variables for programs, beside ours.
    pub env: Vec<(String, String)>,
    /// Files to put into the sandbox before the first program.
    pub inputs: Vec<InputFile>,
    /// Kept and shown with the trigger's state; means nothing to us.
    pub metadata: Map<String, Value>,
}

/// Limits that a trigger asks for; `None` for the configured value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsWanted {
    /// See [`Limits::memory_bytes`].
    pub memory_bytes: Option<u64>,
    /// See [`Limits::cpu_millis`].
    pub cpu_millis: Option<u32>,
    /// See [`Limits::processes`].
    pub processes: Option<u32>,
    /// See [`Limits::disk_bytes`].
    pub disk_bytes: Option<u64>,
    /// See [`Limits::disk_inodes`].
    pub disk_inodes: Option<u64>,
    /// See [`Limits::shm_bytes`].
    pub shm_bytes: Option<u64>,
    /// See [`Limits::open_files`].
    pub open_files: Option<u64>,
    /// See [`Limits::file_bytes`].
    pub file_bytes: Option<u64>,
}

/// The network that a trigger asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetworkWanted {
    /// Loopback only.
    #[default]
    None,
    /// These hosts.
    Allow(Vec<String>),
}

/// A file that the sandbox starts with.
#[derive(Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Where: relative to `/workspace`, or absolute below `/workspace` or `/output`.
    pub path: String,
    /// Its bytes.
    pub content: Bytes,
}

/// Values of variables may be secrets: only the names are shown.
impl fmt::Debug for Declaration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("Declaration")
            .field("skills", &self.skills)
            .field("lifetime", &self.lifetime)
            .field("limits", &self.limits)
            .field("network", &self.network)
            .field("env", &names)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

/// The bytes are the platform's data: only their number is shown.
impl fmt::Debug for InputFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InputFile")
            .field("path", &self.path)
            .field("bytes", &self.content.len())
            .finish()
    }
}

/// Why a declaration, or the skills of a call, cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclareError {
    /// A slug that the registry does not have.
    #[error("skill `{}` is not known; known skills: {}", slug.escape_debug(), available.join(", "))]
    UnknownSkill {
        /// As given.
        slug: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// A network was asked for and the operator has configured none.
    #[error(
        "network access is not configured on this runner; declare no network, or ask the operator to allow hosts"
    )]
    NetworkNotConfigured,
    /// A variable that cannot be set.
    #[error("environment variable `{}` cannot be set: {reason}", name.escape_debug())]
    InvalidEnvironment {
        /// As given.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// An input that cannot be put.
    #[error("input `{}` cannot be put into the sandbox: {reason}", path.escape_debug())]
    InvalidInput {
        /// As given.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// Zero, or more than the operator allows.
    #[error("{what} of {asked} is not allowed: it must be between 1 and {most}")]
    OutOfRange {
        /// What was asked for.
        what: &'static str,
        /// How much.
        asked: u64,
        /// How much is allowed.
        most: u64,
    },
    /// The sandbox already exists and was made from another declaration.
    #[error(
        "the trigger already has a sandbox that was made from another declaration; end the trigger, or use a new id"
    )]
    Conflict,
    /// A skill that comes after the sandbox needs dependencies that the sandbox does not have.
    #[error(
        "skill `{slug}` brings dependencies and the sandbox already exists; declare it before the first call"
    )]
    SkillTooLate {
        /// The skill.
        slug: String,
    },
    /// The trigger has ended.
    #[error("the trigger is closed")]
    Closed,
    /// There is too much of something; a later try may work.
    #[error("{shortage}")]
    Busy {
        /// Of what.
        shortage: Shortage,
        /// When to try again.
        retry_after: Duration,
    },
    /// The runner is shutting down.
    #[error("the runner is shutting down")]
    ShuttingDown {
        /// When to try again, elsewhere or here.
        retry_after: Duration,
    },
}

impl Declaration {
    /// About the bytes that it takes in memory, as it came and as it is carried out.
    pub(crate) fn weight(&self) -> usize {
        let env: usize = self.env.iter().map(|(name, value)| 100 + 2 * (name.len() + value.len())).sum();
        let inputs: usize =
            self.inputs.iter().map(|input| 200 + 2 * input.path.len() + input.content.len()).sum();
        let metadata = weight(&Value::Object(self.metadata.clone()));
        1000 + env + inputs + metadata + self.skills.iter().map(|slug| 50 + slug.len()).sum::<usize>()
    }

    /// What it comes to under this configuration.
    ///
    /// # Errors
    /// The first thing in it that cannot be had. Whether its skills exist is not looked at here.
    pub(crate) fn check(&self, config: &Config) -> Result<Resolved, DeclareError> {
        if self.network != NetworkWanted::None {
            return Err(DeclareError::NetworkNotConfigured);
        }
        let lifetime = self.lifetime.unwrap_or(config.lifetime);
        in_range("sandboxTimeout (ms)", milliseconds(lifetime), milliseconds(config.most_lifetime))?;
        let limits = self.limits.resolve(&config.limits, &config.most_limits)?;
        let mut bytes = 0;
        for (name, value) in &self.env {
            environment::check_variable(name, value)
                .map_err(|reason| DeclareError::InvalidEnvironment { name: name.clone(), reason })?;
            bytes += name.len() + value.len();
        }
        in_range_or_zero("env (bytes)", bytes as u64, ENVIRONMENT_BYTES as u64)?;
        in_range_or_zero("number of inputs", self.inputs.len() as u64, INPUTS as u64)?;
        let mut inputs = Vec::with_capacity(self.inputs.len());
        let mut bytes = 0_u64;
        for input in &self.inputs {
            let refuse = |reason| DeclareError::InvalidInput { path: input.path.clone(), reason };
            let path = SandboxPath::writable(&input.path)
                .map_err(|_| refuse("it must be a file below /workspace or /output"))?;
            if input.path.ends_with('/') || sandbox::layout::WRITABLE.contains(&path.as_str()) {
                return Err(refuse("it names a directory"));
            }
            bytes += input.content.len() as u64;
            if input.content.len() as u64 > limits.file_bytes {
                return Err(refuse("it is larger than the limit of one file"));
            }
            inputs.push((path, input.content.clone()));
        }
        in_range_or_zero("size of all inputs (bytes)", bytes, config.input_bytes)?;
        let metadata = serde_json::to_string(&self.metadata).map_or(0, |text| text.len());
        in_range_or_zero("metadata (bytes)", metadata as u64, METADATA_BYTES as u64)?;
        Ok(Resolved { limits, lifetime, env: self.env.clone(), inputs })
    }
}

impl LimitsWanted {
    fn resolve(&self, standard: &Limits, most: &Limits) -> Result<Limits, DeclareError> {
        let pick = |what, wanted: Option<u64>, standard: u64, most: u64| match wanted {
            None => Ok(standard),
            Some(asked) => in_range(what, asked, most).map(|()| asked),
        };
        let pick_u32 = |what, wanted: Option<u32>, standard: u32, most: u32| match wanted {
            None => Ok(standard),
            Some(asked) => in_range(what, asked.into(), most.into()).map(|()| asked),
        };
        Ok(Limits {
            memory_bytes: pick(
                "memory (bytes)",
                self.memory_bytes,
                standard.memory_bytes,
                most.memory_bytes,
            )?,
            cpu_millis: pick_u32("cpu (thousandths)", self.cpu_millis, standard.cpu_millis, most.cpu_millis)?,
            processes: pick_u32("processes", self.processes, standard.processes, most.processes)?,
            disk_bytes: pick("disk (bytes)", self.disk_bytes, standard.disk_bytes, most.disk_bytes)?,
            disk_inodes: pick("disk (inodes)", self.disk_inodes, standard.disk_inodes, most.disk_inodes)?,
            shm_bytes: pick("shared memory (bytes)", self.shm_bytes, standard.shm_bytes, most.shm_bytes)?,
            open_files: pick("open files", self.open_files, standard.open_files, most.open_files)?,
            file_bytes: pick("file size (bytes)", self.file_bytes, standard.file_bytes, most.file_bytes)?,
        })
    }
}

/// A declaration that can be carried out. Without `Debug`, since its variables may be secrets.
#[derive(Clone)]
pub(crate) struct Resolved {
    pub(crate) limits: Limits,
    pub(crate) lifetime: Duration,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) inputs: Vec<(SandboxPath, Bytes)>,
}

fn in_range(what: &'static str, asked: u64, most: u64) -> Result<(), DeclareError> {
    if asked == 0 {
        return Err(DeclareError::OutOfRange { what, asked, most });
    }
    in_range_or_zero(what, asked, most)
}

fn in_range_or_zero(what: &'static str, asked: u64, most: u64) -> Result<(), DeclareError> {
    if asked > most { Err(DeclareError::OutOfRange { what, asked, most }) } else { Ok(()) }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declaration: Declaration, expected: &str) {
        let error = declaration.check(&Config::standard()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }

    fn input(path: &str, bytes: usize) -> Declaration {
        let content = Bytes::from(vec![0; bytes]);
        Declaration { inputs: vec![InputFile { path: path.into(), content }], ..Declaration::default() }
    }

    #[test]
    fn an_empty_declaration_has_the_configured_values() {
        let resolved = Declaration::default().check(&Config::standard()).unwrap();
        assert_eq!(resolved.limits, Limits::standard());
        assert_eq!(resolved.lifetime, Duration::from_secs(300));
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_the_reason() {
        let network = NetworkWanted::Allow(vec!["example.com".into()]);
        check(Declaration { network, ..Declaration::default() }, "network access is not configured");
        for milliseconds in [0, 3_600_001] {
            let lifetime = Some(Duration::from_millis(milliseconds));
            check(Declaration { lifetime, ..Declaration::default() }, "between 1 and 3600000");
        }
        let limits = LimitsWanted { memory_bytes: Some(1 << 40), ..LimitsWanted::default() };
        check(
            Declaration { limits, ..Declaration::default() },
            "memory (bytes) of 1099511627776 is not allowed",
        );
        let env = vec![("OUTPUT_DIR".into(), "/".into())];
        check(Declaration { env, ..Declaration::default() }, "`OUTPUT_DIR` cannot be set");
        let env = vec![("A".into(), "x".repeat(70_000))];
        check(Declaration { env, ..Declaration::default() }, "env (bytes)");
        let metadata = Map::from_iter([("a".to_owned(), Value::from("x".repeat(17_000)))]);
        check(Declaration { metadata, ..Declaration::default() }, "metadata (bytes)");
    }

    #[test]
    fn secrets_are_not_shown() {
        let env = vec![("API_KEY".to_owned(), "s3cret".to_owned())];
        let shown = format!("{:?}", Declaration { env, ..input("a", 3) });
        assert!(shown.contains("API_KEY") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn inputs_stay_inside_and_small() {
        for path in ["/etc/passwd", "../../etc/passwd", "/skills/a/x", "", "a\0b"] {
            check(input(path, 1), "must be a file below /workspace");
        }
        for path in ["/workspace", "data/", "/output/.", "."] {
            check(input(path, 1), "names a directory");
        }
        check(input("a", (100 << 20) + 1), "size of all inputs");
        let resolved = input("data/a.csv", 3).check(&Config::standard()).unwrap();
        assert_eq!(resolved.inputs[0].0.as_str(), "/workspace/data/a.csv");
    }
}
