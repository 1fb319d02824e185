//! One error for all commands, and the one place that says whose fault an error of a library is, which exit code it
//! has, and what to do next.
//!
//! Shown as `error: …`, `  caused by: …`, an empty line, `hint: …`; as `{error, code}` under `--json`.

use std::error::Error;

use artifact::{StoreError, StoreErrorKind};
use layer::LayerError;
use runner::{CallError, DeclareError, PrepareError};
use sandbox::{DriverError, DriverErrorKind};
use skill::{CatalogError, LoadError, ScriptError};
use tool::ErrorCode;

use crate::exit::Exit;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line, or a file that it names, is wrong.
    User,
    /// A skill or bundle is not what it must be.
    Refused,
    /// The machine or the configuration is wrong.
    Configuration,
    /// There is no such script.
    NoScript,
    /// The script is there, but nothing can run it.
    NotRunnable,
    /// No sandbox could be made, or it broke.
    Sandbox,
    /// Ctrl-C.
    Interrupted,
    /// Whoever read our standard output went away.
    BrokenPipe,
    /// Anything else is a fault of ours.
    Internal,
}

impl Kind {
    /// How the process ends.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::User | Self::Configuration => Exit::USAGE,
            Self::NoScript => Exit::NO_SCRIPT,
            Self::NotRunnable => Exit::NOT_RUNNABLE,
            Self::Sandbox => Exit::SANDBOX,
            Self::Interrupted => Exit::INTERRUPTED,
            Self::BrokenPipe => Exit::BROKEN_PIPE,
            Self::Refused | Self::Internal => Exit::FINDINGS,
        }
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandError {
    pub(crate) kind: Kind,
    /// For scripts that read JSON.
    pub(crate) code: &'static str,
    /// A lowercase fragment.
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    /// What to do next.
    pub(crate) hint: Option<Box<str>>,
    /// Long output of a tool, shown with `-v`.
    pub(crate) detail: Option<Box<str>>,
}

impl CommandError {
    /// An error without a cause.
    pub(crate) fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, code, message, causes: Vec::new(), hint: None, detail: None }
    }

    /// An error of a library, with its causes.
    pub(crate) fn of(kind: Kind, code: &'static str, error: &dyn Error) -> Self {
        Self::new(kind, code, error.to_string()).caused_by(error.source())
    }

    /// A mistake on the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::User, "USAGE", message)
    }

    /// A file that cannot be read or written.
    pub(crate) fn io(doing: impl Into<String>, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Kind::BrokenPipe, "BROKEN_PIPE", "standard output was closed");
        }
        Self::new(Kind::User, "IO", doing).caused_by(Some(error))
    }

    /// The user wants no more.
    pub(crate) fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "CANCELLED", "cancelled")
    }

    /// The causes, outermost first. One that only repeats what stands above it is left out.
    pub(crate) fn caused_by(mut self, mut next: Option<&dyn Error>) -> Self {
        while let Some(cause) = next {
            let text = cause.to_string();
            if self.causes.last().unwrap_or(&self.message) != &text {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// The message with its causes as one line, for the log.
    pub(crate) fn line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(cause);
        }
        line
    }

    /// With what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same for `run` and `code`, where 1 would look like the program's own code.
    pub(crate) fn beside_a_program(mut self) -> Self {
        if self.kind == Kind::Internal {
            self.kind = Kind::Sandbox;
        }
        self
    }

    /// The same where nothing ran that could have had an exit code, as in `doctor` and `serve`.
    pub(crate) fn without_a_program(mut self) -> Self {
        if self.kind == Kind::Sandbox {
            self.kind = Kind::Internal;
        }
        self
    }

    /// The error of a tool call. `fault` is what broke, where it was our fault.
    pub(crate) fn of_tool(code: ErrorCode, message: &str, fault: Option<&str>) -> Self {
        let kind = match code {
            ErrorCode::ScriptNotFound => Kind::NoScript,
            ErrorCode::ScriptNotRunnable => Kind::NotRunnable,
            ErrorCode::SandboxStartFailed | ErrorCode::SandboxLost => Kind::Sandbox,
            ErrorCode::Cancelled => Kind::Interrupted,
            ErrorCode::TriggerClosed => Kind::Internal,
            _ => Kind::User,
        };
        let mut error = Self::new(kind, code.as_str(), message);
        error.causes.extend(fault.map(str::to_owned));
        if kind == Kind::Sandbox {
            error.hint("run `skillbox doctor` to see what this machine can give")
        } else {
            error
        }
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        Self::from(&error)
    }
}

impl From<&LoadError> for CommandError {
    fn from(error: &LoadError) -> Self {
        match error {
            LoadError::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::new(Kind::User, "SKILL_NOT_FOUND", format!("there is no skill at `{}`", path.display()))
                    .hint("name a folder with a SKILL.md, or a .skill bundle")
            }
            LoadError::Invalid { .. } => Self::of(Kind::User, "SKILL_INVALID", error)
                .hint("run `skillbox validate` on it to see everything that is wrong"),
            LoadError::Bundle(bundle) => {
                let new =
                    Self::of(Kind::User, bundle.rule().map_or("SKILL_UNREADABLE", skill::Rule::code), error);
                match bundle.help() {
                    Some(help) => new.hint(help),
                    None => new,
                }
            }
            _ => Self::of(Kind::User, "SKILL_UNREADABLE", error),
        }
    }
}

impl From<CatalogError> for CommandError {
    fn from(error: CatalogError) -> Self {
        match &error {
            CatalogError::Load(load) => Self::from(load),
            _ => Self::of(Kind::Configuration, "SKILLS_UNUSABLE", &error),
        }
    }
}

impl From<ScriptError> for CommandError {
    fn from(error: ScriptError) -> Self {
        let (kind, code, scripts) = match &error {
            ScriptError::NotFound { scripts, .. } => (Kind::NoScript, "SCRIPT_NOT_FOUND", scripts.as_slice()),
            ScriptError::NotAScript { scripts, .. } => {
                (Kind::NotRunnable, "SCRIPT_NOT_RUNNABLE", scripts.as_slice())
            }
            _ => (Kind::NoScript, "SCRIPT_NOT_FOUND", [].as_slice()),
        };
        let new = Self::of(kind, code, &error);
        match scripts {
            [] => new,
            scripts => new.hint(format!("the skill has {}", list(scripts))),
        }
    }
}

impl From<LayerError> for CommandError {
    fn from(error: LayerError) -> Self {
        let new = Self::of(Kind::Sandbox, "DEPENDENCIES_FAILED", &error);
        new.with_layer(&error)
    }
}

impl CommandError {
    fn with_layer(mut self, error: &LayerError) -> Self {
        self.hint = error.hint().map(Into::into);
        self.detail = error.detail().map(Into::into);
        if self.hint.is_none() && self.detail.is_some() {
            self.hint = Some("the same command with `-v` shows all that the tool printed".into());
        }
        self
    }
}

impl From<PrepareError> for CommandError {
    fn from(error: PrepareError) -> Self {
        match &error {
            PrepareError::Dependencies { source, .. } => {
                Self::of(Kind::Sandbox, "DEPENDENCIES_FAILED", &error).with_layer(source)
            }
            PrepareError::Unknown { .. } => Self::of(Kind::User, "SKILL_NOT_FOUND", &error),
            PrepareError::Files { .. } => Self::of(Kind::User, "SKILL_UNREADABLE", &error),
        }
    }
}

impl From<DriverError> for CommandError {
    fn from(error: DriverError) -> Self {
        match error.kind {
            DriverErrorKind::Wall => Self::of(Kind::Configuration, "WALL_MISSING", &error)
                .hint("run `skillbox doctor` to see each wall and how to get it"),
            DriverErrorKind::NotFound => Self::of(Kind::Configuration, "NOT_FOUND", &error),
            _ => Self::of(Kind::Sandbox, "SANDBOX_START_FAILED", &error)
                .hint("run `skillbox doctor` to see what this machine can give"),
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind() {
            StoreErrorKind::Refused | StoreErrorKind::Full => Kind::Configuration,
            _ => Kind::Internal,
        };
        let message = format!("failed to {error}");
        let new = Self::new(kind, "STORE", message).caused_by(Error::source(&error));
        match error.hint() {
            Some(hint) => new.hint(hint),
            None => new,
        }
    }
}

impl From<DeclareError> for CommandError {
    fn from(error: DeclareError) -> Self {
        let (kind, code) = match error {
            DeclareError::UnknownSkill { .. } => (Kind::User, "SKILL_NOT_FOUND"),
            DeclareError::Busy { .. } | DeclareError::ShuttingDown { .. } => (Kind::Sandbox, "BUSY"),
            _ => (Kind::User, "INVALID_ARGUMENTS"),
        };
        Self::of(kind, code, &error)
    }
}

impl From<CallError> for CommandError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Skills(declare) => Self::from(declare),
            CallError::Busy { .. } | CallError::ShuttingDown { .. } => {
                Self::of(Kind::Sandbox, "BUSY", &error)
            }
            _ => Self::of(Kind::Internal, "INTERNAL", &error),
        }
    }
}

/// Names in backticks, the first few.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        shown.push(format!("and {} more", names.len() - SHOWN));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::*;

    #[test]
    fn each_kind_has_its_documented_code() {
        let kinds = [
            (Kind::User, 2),
            (Kind::Refused, 1),
            (Kind::Configuration, 2),
            (Kind::Sandbox, 125),
            (Kind::NotRunnable, 126),
            (Kind::NoScript, 127),
            (Kind::Interrupted, 130),
            (Kind::Internal, 1),
        ];
        for (kind, code) in kinds {
            assert_eq!(kind.exit(), Exit(code), "{kind:?}");
        }
    }

    #[test]
    fn causes_are_kept_in_order_and_not_repeated() {
        let source = io::Error::other("disk on fire");
        let error = CommandError::from(LoadError::Io { path: PathBuf::from("a/b"), source });
        assert_eq!(
            (error.message.as_str(), error.causes.as_slice()),
            ("cannot read `a/b`", ["disk on fire".to_owned()].as_slice())
        );
        let transparent =
            CatalogError::Load(LoadError::Io { path: "a".into(), source: io::Error::other("x") });
        assert_eq!(CommandError::from(transparent).causes, ["x"]);
    }

    #[test]
    fn a_missing_skill_says_what_would_do() {
        let source = io::ErrorKind::NotFound.into();
        let error = CommandError::from(LoadError::Io { path: "qr".into(), source });
        assert_eq!(error.kind.exit(), Exit::USAGE);
        assert!(error.hint.unwrap().contains("SKILL.md"));
    }

    #[test]
    fn drivers_tell_configuration_from_sandbox_faults() {
        let check = |kind, exit| {
            let error = CommandError::from(DriverError::new(kind, "x"));
            assert_eq!(error.kind.exit(), exit, "{kind:?}");
        };
        check(DriverErrorKind::Wall, Exit::USAGE);
        check(DriverErrorKind::NotFound, Exit::USAGE);
        check(DriverErrorKind::Unavailable, Exit::SANDBOX);
        check(DriverErrorKind::System, Exit::SANDBOX);
    }

    #[test]
    fn tool_errors_become_the_codes_of_a_shell() {
        let check =
            |code, exit| assert_eq!(CommandError::of_tool(code, "m", None).kind.exit(), exit, "{code}");
        check(ErrorCode::ScriptNotFound, Exit::NO_SCRIPT);
        check(ErrorCode::ScriptNotRunnable, Exit::NOT_RUNNABLE);
        check(ErrorCode::SandboxStartFailed, Exit::SANDBOX);
        check(ErrorCode::SandboxLost, Exit::SANDBOX);
        check(ErrorCode::Cancelled, Exit::INTERRUPTED);
        check(ErrorCode::InvalidArguments, Exit::USAGE);
        let fault = CommandError::of_tool(ErrorCode::SandboxStartFailed, "m", Some("clone: no"));
        assert_eq!(fault.causes, ["clone: no"]);
    }

    #[test]
    fn beside_a_program_nothing_of_ours_is_a_1() {
        let internal = CommandError::from(CallError::Internal);
        assert_eq!(internal.kind.exit(), Exit::FINDINGS);
        assert_eq!(internal.beside_a_program().kind.exit(), Exit::SANDBOX);
    }

    #[test]
    fn an_unknown_script_lists_the_known_ones() {
        let error = ScriptError::NotFound { name: "x".into(), scripts: vec!["scripts/a.py".into()] };
        let error = CommandError::from(error);
        assert_eq!(error.kind.exit(), Exit::NO_SCRIPT);
        assert_eq!(error.hint.as_deref().unwrap(), "the skill has `scripts/a.py`");
    }
}
