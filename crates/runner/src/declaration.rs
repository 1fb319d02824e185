//! What a platform says of a trigger before its first call: skills, limits, environment, inputs.
//!
//! Checked as a whole before anything is kept, so that a sandbox is never made from half of a declaration. Nothing is
//! created here. The errors are sentences for the person who wrote the request.

use std::{fmt, time::Duration};

use bytes::Bytes;
use sandbox::{Limits, SandboxPath};
use serde_json::{Map, Value};

use crate::{Config, environment};

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
    /// Less than what works, or more than the operator allows.
    #[error("{what} of {asked} is not allowed: it must be between {least} and {most}")]
    OutOfRange {
        /// What was asked for.
        what: &'static str,
        /// How much.
        asked: u64,
        /// The least that works.
        least: u64,
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
    /// There are too many triggers; a later try may work.
    #[error("too many triggers are open")]
    Busy {
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
    /// What it comes to under this configuration.
    ///
    /// # Errors
    /// The first thing in it that cannot be had. Whether its skills exist is not looked at here.
    pub(crate) fn check(&self, config: &Config) -> Result<Resolved, DeclareError> {
        if self.network != NetworkWanted::None {
            return Err(DeclareError::NetworkNotConfigured);
        }
        let lifetime = self.lifetime.unwrap_or(config.lifetime);
        in_range("sandboxTimeout (ms)", milliseconds(lifetime), 1, milliseconds(config.most_lifetime))?;
        let limits = self.limits.resolve(config)?;
        let mut bytes = 0;
        for (name, value) in &self.env {
            environment::check_variable(name, value)
                .map_err(|reason| DeclareError::InvalidEnvironment { name: name.clone(), reason })?;
            bytes += name.len() + value.len();
        }
        in_range("env (bytes)", bytes as u64, 0, ENVIRONMENT_BYTES as u64)?;
        in_range("number of inputs", self.inputs.len() as u64, 0, INPUTS as u64)?;
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
        in_range("size of all inputs (bytes)", bytes, 0, config.input_bytes)?;
        let metadata = serde_json::to_string(&self.metadata).map_or(0, |text| text.len());
        in_range("metadata (bytes)", metadata as u64, 0, METADATA_BYTES as u64)?;
        Ok(Resolved { limits, lifetime, env: self.env.clone(), inputs })
    }
}

/// What a trigger may ask for of one limit, under the name that the declaration has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRange {
    /// The member of `limits`.
    pub member: &'static str,
    /// The least with which a program can work.
    pub least: u64,
    /// What a trigger has that does not ask.
    pub standard: u64,
    /// The most that the operator allows.
    pub most: u64,
}

/// The least of each limit with which a sandbox starts and runs Python: below these a sandbox fails in ways that say nothing
/// of a limit.
mod least {
    pub(super) const MEMORY_BYTES: u64 = 32 << 20;
    pub(super) const CPU_MILLIS: u64 = 10;
    pub(super) const PROCESSES: u64 = 8;
    pub(super) const DISK_BYTES: u64 = 1 << 20;
    pub(super) const DISK_INODES: u64 = 64;
    pub(super) const SHM_BYTES: u64 = 64 << 10;
    pub(super) const OPEN_FILES: u64 = 32;
    pub(super) const FILE_BYTES: u64 = 64 << 10;
}

/// What triggers may ask for under this configuration.
#[must_use]
pub fn limit_ranges(config: &Config) -> [LimitRange; 8] {
    let (standard, most) = (&config.limits, &config.most_limits);
    let range = |member, least: u64, standard: u64, most: u64| LimitRange {
        member,
        // An operator who configured less has tried it.
        least: least.min(standard),
        standard,
        most,
    };
    [
        range("memoryBytes", least::MEMORY_BYTES, standard.memory_bytes, most.memory_bytes),
        range("cpuMillis", least::CPU_MILLIS, standard.cpu_millis.into(), most.cpu_millis.into()),
        range("processes", least::PROCESSES, standard.processes.into(), most.processes.into()),
        range("diskBytes", least::DISK_BYTES, standard.disk_bytes, most.disk_bytes),
        range("diskInodes", least::DISK_INODES, standard.disk_inodes, most.disk_inodes),
        range("shmBytes", least::SHM_BYTES, standard.shm_bytes, most.shm_bytes),
        range("openFiles", least::OPEN_FILES, standard.open_files, most.open_files),
        range("fileBytes", least::FILE_BYTES, standard.file_bytes, most.file_bytes),
    ]
}

impl LimitsWanted {
    fn resolve(&self, config: &Config) -> Result<Limits, DeclareError> {
        let [memory, cpu, processes, disk, inodes, shm, open, file] = limit_ranges(config);
        let pick = |range: LimitRange, wanted: Option<u64>| match wanted {
            None => Ok(range.standard),
            Some(asked) if (range.least..=range.most).contains(&asked) => Ok(asked),
            Some(asked) => {
                let LimitRange { member, least, most, .. } = range;
                Err(DeclareError::OutOfRange { what: member, asked, least, most })
            }
        };
        // The maximum is of the same width, so what passed it fits.
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Ok(Limits {
            memory_bytes: pick(memory, self.memory_bytes)?,
            cpu_millis: pick(cpu, self.cpu_millis.map(u64::from)).map(narrow)?,
            processes: pick(processes, self.processes.map(u64::from)).map(narrow)?,
            disk_bytes: pick(disk, self.disk_bytes)?,
            disk_inodes: pick(inodes, self.disk_inodes)?,
            shm_bytes: pick(shm, self.shm_bytes)?,
            open_files: pick(open, self.open_files)?,
            file_bytes: pick(file, self.file_bytes)?,
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

fn in_range(what: &'static str, asked: u64, least: u64, most: u64) -> Result<(), DeclareError> {
    if (least..=most).contains(&asked) {
        Ok(())
    } else {
        Err(DeclareError::OutOfRange { what, asked, least, most })
    }
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
            "memoryBytes of 1099511627776 is not allowed: it must be between 33554432 and",
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
