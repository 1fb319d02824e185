//! Baselines: findings that were there when checking began, so that only new ones count.
//!
//! A finding is recognised by skill, file, rule and the text of its line, not by its line number, so that text above it may
//! change. Where a skill is, is said from the directory of the baseline's file. Each entry covers as many findings as it says; one more of the same is new.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skill::Diagnostic;

/// The version of the file format.
const VERSION: u32 = 1;

/// Accepted findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    entries: BTreeMap<Key, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Key {
    skill: String,
    file: String,
    rule: String,
    /// The line that is meant, without white space around it; empty for a whole file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    line: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    version: u32,
    findings: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    skill: String,
    file: String,
    rule: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    line: String,
    count: usize,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// It was written by a newer version.
    #[error("the baseline has version {0}; this version reads {VERSION}")]
    Version(u32),
    /// It is no baseline.
    #[error("not a baseline: {0}")]
    Form(String),
}

impl Baseline {
    /// Adds a finding of the skill at `skill`, whose meant line is `line`.
    pub fn add(&mut self, skill: &str, diagnostic: &Diagnostic, line: &str) {
        *self.entries.entry(key(skill, diagnostic, line)).or_default() += 1;
    }

    /// Takes a finding out; `false` when it is not there, or not as often.
    pub fn take(&mut self, skill: &str, diagnostic: &Diagnostic, line: &str) -> bool {
        let key = key(skill, diagnostic, line);
        let Some(count) = self.entries.get_mut(&key) else { return false };
        *count -= 1;
        if *count == 0 {
            self.entries.remove(&key);
        }
        true
    }

    /// Those of its findings that `keep` takes, by where their skill is and the code of their rule.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str, &str) -> bool) -> Self {
        let entries = self.entries.iter().filter(|(key, _)| keep(&key.skill, &key.rule));
        Self { entries: entries.map(|(key, count)| (key.clone(), *count)).collect() }
    }

    /// The same without the findings of `other`.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        for (key, count) in &other.entries {
            if let Some(here) = self.entries.get_mut(key) {
                *here = here.saturating_sub(*count);
            }
        }
        self.entries.retain(|_, count| *count > 0);
        self
    }

    /// How many findings are in it.
    pub fn len(&self) -> usize {
        self.entries.values().sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The baseline as the value of its JSON file, entries sorted.
    pub fn to_file(&self) -> impl Serialize + use<> {
        let findings = self
            .entries
            .iter()
            .map(|(key, count)| Entry {
                skill: key.skill.clone(),
                file: key.file.clone(),
                rule: key.rule.clone(),
                line: key.line.clone(),
                count: *count,
            })
            .collect();
        File { version: VERSION, findings }
    }

    /// Reads a baseline from its JSON file.
    pub fn from_file<'de, D: serde::Deserializer<'de>>(file: D) -> Result<Self, BaselineError> {
        let file = File::deserialize(file).map_err(|error| BaselineError::Form(error.to_string()))?;
        if file.version != VERSION {
            return Err(BaselineError::Version(file.version));
        }
        let entries = file.findings.into_iter().filter(|entry| entry.count > 0).map(|entry| {
            let Entry { skill, file, rule, line, count } = entry;
            (Key { skill, file, rule, line }, count)
        });
        Ok(Self { entries: entries.collect() })
    }
}

fn key(skill: &str, diagnostic: &Diagnostic, line: &str) -> Key {
    Key {
        skill: skill.to_owned(),
        file: diagnostic.location.file.clone(),
        rule: diagnostic.rule.code().to_owned(),
        line: line.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use skill::{Location, Rule};

    use super::*;

    #[test]
    fn a_finding_is_known_by_its_line_and_only_as_often() {
        let finding = Diagnostic::new(Rule::EMPTY_BODY, Location::file("SKILL.md"), "m");
        let mut baseline = Baseline::default();
        baseline.add("a", &finding, " x ");
        baseline.add("a", &finding, "x");
        let text = serde_json::to_string(&baseline.to_file()).unwrap();
        let mut read = Baseline::from_file(&mut serde_json::Deserializer::from_str(&text)).unwrap();
        assert_eq!((read.clone(), read.len()), (baseline, 2));
        assert!(!read.take("a", &finding, "y"));
        assert!(!read.take("b", &finding, "x"));
        assert!(read.take("a", &finding, "x") && read.take("a", &finding, "x"));
        assert!(!read.take("a", &finding, "x"));
        assert!(read.is_empty());
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        let read = |text: &str| Baseline::from_file(&mut serde_json::Deserializer::from_str(text));
        assert!(matches!(read("{}"), Err(BaselineError::Form(_))));
        assert!(matches!(read(r#"{"version":2,"findings":[]}"#), Err(BaselineError::Version(2))));
    }
}
