//! The names of the six tools. The prefix before them can be configured, since platforms reserve prefixes.

use std::fmt;

/// One of the six tools, without its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ToolName {
    /// Read `SKILL.md` or another text file of a skill.
    SkillRead,
    /// List the scripts and other files of a skill.
    SkillList,
    /// Run a script of a skill.
    SkillRun,
    /// Run Python or Bash code.
    CodeRun,
    /// Write a file in the sandbox.
    FileWrite,
    /// Read a file from the sandbox.
    FileRead,
}

impl ToolName {
    /// All six, in the order in which they are offered.
    pub const ALL: [Self; 6] =
        [Self::SkillRead, Self::SkillList, Self::SkillRun, Self::CodeRun, Self::FileWrite, Self::FileRead];

    /// The name without the prefix: `code_run`.
    #[must_use]
    pub fn stem(self) -> &'static str {
        match self {
            Self::SkillRead => "skill_read",
            Self::SkillList => "skill_list",
            Self::SkillRun => "skill_run",
            Self::CodeRun => "code_run",
            Self::FileWrite => "file_write",
            Self::FileRead => "file_read",
        }
    }

    /// Whether the tool runs without a sandbox, and so must never create one.
    #[must_use]
    pub fn needs_no_sandbox(self) -> bool {
        matches!(self, Self::SkillRead | Self::SkillList)
    }
}

/// What stands before the name of every tool: `octavus_` unless configured otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolPrefix(String);

/// The prefix would make names that providers refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tool prefix `{prefix}` must be at most 40 ASCII letters, digits, `_` or `-`")]
pub struct InvalidPrefix {
    /// What was given.
    pub prefix: String,
}

impl ToolPrefix {
    /// Takes a prefix; an empty one is fine.
    ///
    /// # Errors
    ///
    /// Providers accept only ASCII letters, digits, `_` and `-` in a tool's name, and 64 of them.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if prefix.len() > 40 || !prefix.bytes().all(allowed) {
            return Err(InvalidPrefix { prefix: prefix.to_owned() });
        }
        Ok(Self(prefix.to_owned()))
    }

    /// The full name of a tool.
    #[must_use]
    pub fn name(&self, tool: ToolName) -> String {
        format!("{}{}", self.0, tool.stem())
    }

    /// The tool with this full name.
    #[must_use]
    pub fn parse(&self, name: &str) -> Option<ToolName> {
        let stem = name.strip_prefix(&self.0)?;
        ToolName::ALL.into_iter().find(|tool| tool.stem() == stem)
    }
}

impl Default for ToolPrefix {
    fn default() -> Self {
        Self("octavus_".to_owned())
    }
}

impl fmt::Display for ToolPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_with_any_valid_prefix_and_only_with_it() {
        for prefix in ["octavus_", "", "my-", "x_"] {
            let prefix = ToolPrefix::new(prefix).unwrap();
            for tool in ToolName::ALL {
                assert_eq!(prefix.parse(&prefix.name(tool)), Some(tool));
            }
        }
        let default = ToolPrefix::default();
        assert_eq!(default.name(ToolName::CodeRun), "octavus_code_run");
        for name in
            ["code_run", "octavus_", "octavus_code_run ", "Octavus_code_run", "octavus_octavus_code_run"]
        {
            assert_eq!(default.parse(name), None, "{name}");
        }
    }

    #[test]
    fn prefixes_that_providers_refuse_are_refused() {
        for prefix in ["a.b", "ä", "a b", &"x".repeat(41)] {
            assert!(ToolPrefix::new(prefix).is_err(), "{prefix}");
        }
    }
}
