//! Tool calls that could not be carried out: a code to branch on and a sentence for the model.
//!
//! The sentences are written here and nowhere else. Each says what was wrong and what would work. Values that came
//! from a caller are shortened and their control characters escaped before they are quoted.

use std::fmt;

use serde::Serialize;

use crate::{
    name::{ToolName, ToolPrefix},
    show::{list, quoted, size},
};

/// Why a tool call could not be carried out. A program that failed is not an error: it is a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolError {
    code: ErrorCode,
    message: String,
}

/// What callers branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// No tool of this name.
    UnknownTool,
    /// No such skill, or one that is not enabled for the trigger.
    SkillNotFound,
    /// The skill has no such script.
    ScriptNotFound,
    /// The script is there, but nothing can run it.
    ScriptNotRunnable,
    /// Arguments that the tool does not take.
    InvalidArguments,
    /// No such file.
    FileNotFound,
    /// A directory, a device, or not a text file where one is needed.
    NotAFile,
    /// More bytes than a limit allows.
    FileTooLarge,
    /// The file system of the sandbox is full.
    NoSpace,
    /// The path is allowed, but the file's mode is not.
    PermissionDenied,
    /// The path leaves the directories that the tools may use.
    PathNotAllowed,
    /// No sandbox could be made. Ours, not the caller's.
    SandboxStartFailed,
    /// The sandbox ended under the call. Ours, not the caller's.
    SandboxLost,
    /// What a skill needs could not be installed.
    DependenciesFailed,
    /// The call was cancelled.
    Cancelled,
    /// The trigger has ended.
    TriggerClosed,
}

/// Which limit a file that is too large hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeLimit {
    /// Of `octavus_file_write`, in bytes.
    Content(u64),
    /// Of one read, in bytes.
    Read(u64),
}

impl ErrorCode {
    /// The name as it goes over the wire: `SKILL_NOT_FOUND`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownTool => "UNKNOWN_TOOL",
            Self::SkillNotFound => "SKILL_NOT_FOUND",
            Self::ScriptNotFound => "SCRIPT_NOT_FOUND",
            Self::ScriptNotRunnable => "SCRIPT_NOT_RUNNABLE",
            Self::InvalidArguments => "INVALID_ARGUMENTS",
            Self::FileNotFound => "FILE_NOT_FOUND",
            Self::NotAFile => "NOT_A_FILE",
            Self::FileTooLarge => "FILE_TOO_LARGE",
            Self::NoSpace => "NO_SPACE",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::PathNotAllowed => "PATH_NOT_ALLOWED",
            Self::SandboxStartFailed => "SANDBOX_START_FAILED",
            Self::SandboxLost => "SANDBOX_LOST",
            Self::DependenciesFailed => "DEPENDENCIES_FAILED",
            Self::Cancelled => "CANCELLED",
            Self::TriggerClosed => "TRIGGER_CLOSED",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ToolError {}

impl ToolError {
    /// What to branch on.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sentence for the model; never empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same for a call that got a fresh sandbox in place of an earlier one, and could not say so in a result.
    #[must_use]
    pub fn after_restart(mut self) -> Self {
        self.message
            .push_str(". The sandbox was restarted since the last call: files of earlier calls are gone");
        self
    }

    /// The tool does not exist.
    #[must_use]
    pub fn unknown_tool(name: &str, prefix: &ToolPrefix) -> Self {
        let tools: Vec<String> = ToolName::ALL.into_iter().map(|tool| prefix.name(tool)).collect();
        Self::of(ErrorCode::UnknownTool, format!("Unknown tool: {}. Tools: {}", quoted(name), list(&tools)))
    }

    /// `problems` are fragments such as `language must be one of python, bash`.
    #[must_use]
    pub fn invalid_arguments(tool: &str, problems: &[String]) -> Self {
        let problems =
            if problems.is_empty() { "they are not understood".to_owned() } else { problems.join("; ") };
        Self::of(ErrorCode::InvalidArguments, format!("Invalid arguments for {tool}: {problems}"))
    }

    /// The slug is unknown or not enabled for the trigger; `available` are those that are.
    #[must_use]
    pub fn skill_not_found<S: AsRef<str>>(slug: &str, available: &[S]) -> Self {
        let available = match available {
            [] => "No skill is enabled here".to_owned(),
            some => format!("Available skills: {}", list(some)),
        };
        Self::of(ErrorCode::SkillNotFound, format!("Skill not found: {}. {available}", quoted(slug)))
    }

    /// The skill has no such script; `scripts` are those that it has.
    #[must_use]
    pub fn script_not_found<S: AsRef<str>>(slug: &str, script: &str, scripts: &[S]) -> Self {
        let scripts = match scripts {
            [] => format!("{slug} has no scripts"),
            some => format!("Scripts of {slug}: {}", list(some)),
        };
        Self::of(ErrorCode::ScriptNotFound, format!("Script not found: {}. {scripts}", plain(script)))
    }

    /// The name fits several scripts.
    #[must_use]
    pub fn script_ambiguous<S: AsRef<str>>(slug: &str, script: &str, candidates: &[S]) -> Self {
        let candidates = list(candidates);
        Self::of(
            ErrorCode::ScriptNotFound,
            format!(
                "Script not found: {} fits several scripts of {slug}: {candidates}. Name one of them",
                plain(script)
            ),
        )
    }

    /// The script exists, but there is nothing to run it with. `runnable` says what could be run, for example
    /// `Python and Bash scripts can be run`.
    #[must_use]
    pub fn script_not_runnable(script: &str, runnable: &str) -> Self {
        Self::of(ErrorCode::ScriptNotRunnable, format!("Script cannot be run: {}. {runnable}", plain(script)))
    }

    /// The skill has no such bundled file; `files` are those that it has.
    #[must_use]
    pub fn bundled_file_not_found<S: AsRef<str>>(slug: &str, path: &str, files: &[S]) -> Self {
        let path = plain(path);
        Self::of(
            ErrorCode::FileNotFound,
            format!("No such file in {slug}: {path}. Files of {slug}: {}", list(files)),
        )
    }

    /// The bundled file is not text.
    #[must_use]
    pub fn bundled_file_not_text(slug: &str, path: &str) -> Self {
        let path = plain(path);
        Self::of(
            ErrorCode::NotAFile,
            format!("Not a text file: {path}. Programs find it at /skills/{slug}/{path} in the sandbox"),
        )
    }

    /// No file at this path.
    #[must_use]
    pub fn file_not_found(path: &str) -> Self {
        Self::of(ErrorCode::FileNotFound, format!("No such file: {}", plain(path)))
    }

    /// Something else than a regular file.
    #[must_use]
    pub fn not_a_file(path: &str) -> Self {
        Self::of(
            ErrorCode::NotAFile,
            format!(
                "Not a regular file: {}. Give the path of a file; directories can be listed with code",
                plain(path)
            ),
        )
    }

    /// More bytes than may be written or read at once.
    #[must_use]
    pub fn file_too_large(path: &str, bytes: u64, limit: SizeLimit) -> Self {
        let advice = match limit {
            SizeLimit::Content(limit) => {
                format!("At most {} can be written at once; produce larger files with code", size(limit))
            }
            SizeLimit::Read(limit) => {
                format!("At most {} can be read at once; use offset and limit", size(limit))
            }
        };
        Self::of(
            ErrorCode::FileTooLarge,
            format!("File too large: {} is {}. {advice}", plain(path), size(bytes)),
        )
    }

    /// The sandbox has no room for the file.
    #[must_use]
    pub fn no_space(path: &str) -> Self {
        Self::of(
            ErrorCode::NoSpace,
            format!("No space left for {}. Delete files that are not needed any more", plain(path)),
        )
    }

    /// The file's mode, or its directory's, forbids it.
    #[must_use]
    pub fn permission_denied(path: &str) -> Self {
        Self::of(ErrorCode::PermissionDenied, format!("Permission denied: {}", plain(path)))
    }

    /// The path leads out of the directories that the tools may use: by `..`, a symbolic link, or from the root.
    #[must_use]
    pub fn path_not_allowed(path: &str) -> Self {
        Self::of(
            ErrorCode::PathNotAllowed,
            format!(
                "Path not allowed: {}. Readable: /workspace, /output, /skills; writable: /workspace, /output",
                plain(path)
            ),
        )
    }

    /// No sandbox could be made. The reason is logged, not told.
    #[must_use]
    pub fn sandbox_start_failed() -> Self {
        Self::of(ErrorCode::SandboxStartFailed, "The sandbox could not be started".to_owned())
    }

    /// The sandbox ended, or could not be believed any more, while the call ran.
    #[must_use]
    pub fn sandbox_lost() -> Self {
        Self::of(
            ErrorCode::SandboxLost,
            "The sandbox ended unexpectedly and its files are gone. The next call gets a fresh one"
                .to_owned(),
        )
    }

    /// The packages that a skill asks for could not be had, so it cannot run.
    #[must_use]
    pub fn dependencies_failed(slug: &str, reason: &str) -> Self {
        let reason = quoted(reason);
        let reason = &reason[1..reason.len() - 1];
        Self::of(
            ErrorCode::DependenciesFailed,
            format!("The dependencies of {slug} could not be installed: {reason}"),
        )
    }

    /// The call was stopped.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::of(ErrorCode::Cancelled, "Cancelled".to_owned())
    }

    /// The trigger has ended; no more calls are taken.
    #[must_use]
    pub fn trigger_closed() -> Self {
        Self::of(ErrorCode::TriggerClosed, "The trigger is closed".to_owned())
    }

    fn of(code: ErrorCode, message: String) -> Self {
        Self { code, message }
    }
}

fn plain(value: &str) -> String {
    let shown = quoted(value);
    // Quotes only where the value would not read as one word on its own.
    let bare = &shown[1..shown.len() - 1];
    if bare.is_empty() || bare != value || value.contains(' ') { shown } else { bare.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &ToolError, code: &str, message: &str) {
        assert_eq!((error.code().as_str(), error.message()), (code, message));
        assert_eq!(serde_json::to_value(error.code()).unwrap(), code);
    }

    #[test]
    fn each_row_of_the_contract_has_its_sentence_and_code() {
        check(
            &ToolError::skill_not_found("x", &["qr-code", "data-analysis"]),
            "SKILL_NOT_FOUND",
            r#"Skill not found: "x". Available skills: qr-code, data-analysis"#,
        );
        check(
            &ToolError::script_not_found("qr-code", "scripts/x.py", &["scripts/generate.py"]),
            "SCRIPT_NOT_FOUND",
            "Script not found: scripts/x.py. Scripts of qr-code: scripts/generate.py",
        );
        check(
            &ToolError::invalid_arguments(
                "octavus_code_run",
                &["language must be one of python, bash".to_owned()],
            ),
            "INVALID_ARGUMENTS",
            "Invalid arguments for octavus_code_run: language must be one of python, bash",
        );
        check(
            &ToolError::file_not_found("/workspace/a.csv"),
            "FILE_NOT_FOUND",
            "No such file: /workspace/a.csv",
        );
        check(
            &ToolError::not_a_file("/workspace"),
            "NOT_A_FILE",
            "Not a regular file: /workspace. Give the path of a file; directories can be listed with code",
        );
        check(
            &ToolError::file_too_large("/workspace/a", 11 << 20, SizeLimit::Content(10 << 20)),
            "FILE_TOO_LARGE",
            "File too large: /workspace/a is 11 MB. At most 10 MB can be written at once; produce larger files with code",
        );
        check(
            &ToolError::permission_denied("/workspace/a"),
            "PERMISSION_DENIED",
            "Permission denied: /workspace/a",
        );
        check(
            &ToolError::path_not_allowed("/etc/shadow"),
            "PATH_NOT_ALLOWED",
            "Path not allowed: /etc/shadow. Readable: /workspace, /output, /skills; writable: /workspace, /output",
        );
        check(&ToolError::sandbox_start_failed(), "SANDBOX_START_FAILED", "The sandbox could not be started");
        check(&ToolError::cancelled(), "CANCELLED", "Cancelled");
        check(&ToolError::trigger_closed(), "TRIGGER_CLOSED", "The trigger is closed");
    }

    #[test]
    fn nothing_enabled_and_no_scripts_are_said() {
        assert_eq!(
            ToolError::skill_not_found::<&str>("x", &[]).message(),
            r#"Skill not found: "x". No skill is enabled here"#
        );
        assert_eq!(
            ToolError::script_not_found::<&str>("notes", "a.py", &[]).message(),
            "Script not found: a.py. notes has no scripts"
        );
    }

    /// A caller's value must not be able to write lines of its own into the message, or blow it up.
    #[test]
    fn values_are_escaped_and_shortened() {
        let error = ToolError::file_not_found("/workspace/a\n\u{1b}[31mSystem: \u{202e}x");
        assert_eq!(error.message(), r#"No such file: "/workspace/a\n\u{1b}[31mSystem: \u{202e}x""#);
        let long = ToolError::path_not_allowed(&"x".repeat(100_000));
        assert!(long.message().len() < 600, "{}", long.message().len());
        assert_eq!(ToolError::file_not_found("").message(), r#"No such file: """#);
    }
}
