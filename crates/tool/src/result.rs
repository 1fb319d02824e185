//! What the six tools answer with when the call was carried out.
//!
//! A program's exit code, timeout or lack of memory is part of an [`ExecResult`], never an error.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use crate::event::FileReference;

/// The result of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolOutput {
    /// Of `skill_read`.
    SkillRead(SkillReadResult),
    /// Of `skill_list`.
    SkillList(SkillListResult),
    /// Of `skill_run` and `code_run`.
    Exec(ExecResult),
    /// Of `file_write`.
    FileWrite(FileWriteResult),
    /// Of `file_read`.
    FileRead(FileReadResult),
}

impl ToolOutput {
    /// The JSON that the model sees.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let value = match self {
            Self::SkillRead(result) => serde_json::to_value(result),
            Self::SkillList(result) => serde_json::to_value(result),
            Self::Exec(result) => serde_json::to_value(result),
            Self::FileWrite(result) => serde_json::to_value(result),
            Self::FileRead(result) => serde_json::to_value(result),
        };
        value.expect("these types have only string keys and no failing serializer")
    }

    /// The output files that the call stored or left out.
    #[must_use]
    pub fn output_files(&self) -> &[OutputFile] {
        match self {
            Self::Exec(result) => &result.output_files,
            Self::FileWrite(result) => &result.output_files,
            Self::SkillRead(_) | Self::SkillList(_) | Self::FileRead(_) => &[],
        }
    }
}

/// One text file of a skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillReadResult {
    /// The slug.
    pub skill: String,
    /// The file, relative to the skill's root.
    pub path: String,
    /// Its text.
    pub content: String,
    /// All files of the skill, relative to its root.
    pub files: Vec<String>,
    /// Where the skill is in the sandbox: `/skills/<slug>`.
    pub directory: String,
}

/// What a skill has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillListResult {
    /// The slug.
    pub skill: String,
    /// What `skill_run` can run.
    pub scripts: Vec<ScriptEntry>,
    /// Documents to read when needed.
    pub references: Vec<BundledFile>,
    /// Files that scripts use.
    pub assets: Vec<BundledFile>,
}

/// A script of a skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptEntry {
    /// Relative to the skill's root.
    pub path: String,
    /// `python`, `bash`, ….
    pub language: String,
    /// In bytes.
    pub size: u64,
    /// First line of its documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A file of a skill that is not a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledFile {
    /// Relative to the skill's root.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// How a program ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecResult {
    /// 128 plus the signal's number for a program that a signal killed.
    pub exit_code: i32,
    /// Standard output, cut to its limit.
    pub stdout: String,
    /// Standard error, cut to its limit.
    pub stderr: String,
    /// Wall clock of the program.
    pub duration_ms: u64,
    /// New or changed files in `/output`, and those left out with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_files: Vec<OutputFile>,
    /// The call's time, or the sandbox's, was over. Set by [`ExecResult::timed_out`].
    #[serde(skip_serializing_if = "is_false")]
    pub timed_out: bool,
    /// The kernel killed the program, or a process of it, for memory. Set by [`ExecResult::out_of_memory`].
    #[serde(skip_serializing_if = "is_false")]
    pub oom_killed: bool,
    /// How much of the streams was left out.
    #[serde(skip_serializing_if = "Truncated::is_none")]
    pub truncated: Truncated,
    /// What to do about a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The sandbox of earlier calls is gone; this call had a fresh one.
    #[serde(skip_serializing_if = "is_false")]
    pub sandbox_restarted: bool,
    /// What is left of the sandbox's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

impl ExecResult {
    /// Marks a program that was ended because its time was over: 124, `timedOut`, a last line of stderr.
    #[must_use]
    pub fn timed_out(mut self) -> Self {
        self.exit_code = 124;
        self.timed_out = true;
        if !self.stderr.is_empty() && !self.stderr.ends_with('\n') {
            self.stderr.push('\n');
        }
        self.stderr.push_str("[command timed out]");
        self
    }

    /// Marks a call in which the kernel killed a process for memory. The exit code stays what it is: 137 where that was the
    /// program itself.
    #[must_use]
    pub fn out_of_memory(mut self) -> Self {
        self.oom_killed = true;
        self
    }

    /// Sets both streams; what was cut out is said in the text and in `truncated`.
    #[must_use]
    pub fn streams(mut self, stdout: CutText, stderr: CutText) -> Self {
        self.truncated = Truncated { stdout: stdout.omitted(), stderr: stderr.omitted() };
        self.stdout = stdout.into_text();
        self.stderr = stderr.into_text();
        self
    }
}

/// Characters left out of each stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Truncated {
    /// Of standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<u64>,
    /// Of standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<u64>,
}

impl Truncated {
    fn is_none(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }
}

/// A stream whose middle may be missing. Whoever reads the stream does the cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutText {
    /// The beginning.
    pub head: String,
    /// Characters left out after it.
    pub omitted_characters: u64,
    /// The end.
    pub tail: String,
}

impl CutText {
    /// Head and tail, with a line between that says how much is missing.
    #[must_use]
    pub fn into_text(self) -> String {
        let mut text = self.head;
        if self.omitted_characters > 0 {
            text.push_str(&format!("\n... truncated {} characters ...\n", self.omitted_characters));
        }
        text.push_str(&self.tail);
        text
    }

    fn omitted(&self) -> Option<u64> {
        (self.omitted_characters > 0).then_some(self.omitted_characters)
    }
}

/// A file that a call saved in `/output`: stored, or left out with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Path below `/output`, made safe to show; also the file name of the file part.
    pub name: String,
    /// Path in the sandbox, made safe to show.
    pub path: String,
    /// Media type, corrected by content.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// What became of it.
    pub state: OutputFileState,
}

/// What became of an output file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputFileState {
    /// The store has acknowledged it.
    Stored {
        /// Id of the artifact.
        id: String,
        /// Presigned URL.
        url: String,
    },
    /// It is not in the store yet, but will be, under this id.
    Deferred {
        /// The id that the artifact will have.
        id: String,
        /// Why it is not there, for people: `Upload failed`. Never empty.
        error: String,
    },
    /// It is not in the store.
    Failed {
        /// Why, for people: `Upload failed`. Never empty.
        error: String,
    },
}

impl OutputFile {
    /// The reference of a stored file; none for a file that is not in the store.
    #[must_use]
    pub fn reference(&self) -> Option<FileReference> {
        match &self.state {
            OutputFileState::Stored { id, url } => Some(FileReference {
                id: id.clone(),
                media_type: self.media_type.clone(),
                url: url.clone(),
                filename: Some(self.name.clone()),
                size: Some(self.size),
            }),
            OutputFileState::Deferred { .. } | OutputFileState::Failed { .. } => None,
        }
    }
}

impl Serialize for OutputFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("path", &self.path)?;
        map.serialize_entry("mediaType", &self.media_type)?;
        map.serialize_entry("size", &self.size)?;
        match &self.state {
            OutputFileState::Stored { url, .. } => map.serialize_entry("url", url)?,
            OutputFileState::Deferred { id, error } => {
                map.serialize_entry("id", id)?;
                map.serialize_entry("error", error)?;
            }
            OutputFileState::Failed { error } => map.serialize_entry("error", error)?,
        }
        map.end()
    }
}

/// A file was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileWriteResult {
    /// Absolute path in the sandbox.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// The file itself, when it is under `/output`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_files: Vec<OutputFile>,
    /// The sandbox of earlier calls is gone; this call had a fresh one.
    #[serde(skip_serializing_if = "is_false")]
    pub sandbox_restarted: bool,
}

/// A range of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReadResult {
    /// Absolute path in the sandbox.
    pub path: String,
    /// Of the whole file, in bytes.
    pub size: u64,
    /// First byte of `content`.
    pub offset: u64,
    /// The bytes, as `encoding` says.
    pub content: String,
    /// How `content` is encoded.
    pub encoding: ContentEncoding,
    /// Whether the file goes on after `content`.
    pub truncated: bool,
    /// Media type, corrected by content.
    pub media_type: String,
    /// The sandbox of earlier calls is gone; this call had a fresh one.
    #[serde(skip_serializing_if = "is_false")]
    pub sandbox_restarted: bool,
}

impl FileReadResult {
    /// The result for these bytes of a file: as text where they are UTF-8, else in base64. Where a limit has cut a
    /// character in two, the text ends before it.
    #[must_use]
    pub fn new(path: String, size: u64, offset: u64, bytes: &[u8], media_type: String) -> Self {
        let end = offset.saturating_add(bytes.len() as u64);
        let (content, encoding, used) = match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), ContentEncoding::Utf8, bytes.len()),
            // Only an incomplete last character of a file that goes on, and only where something is left.
            Err(error) if error.error_len().is_none() && end < size && error.valid_up_to() > 0 => {
                let used = error.valid_up_to();
                (String::from_utf8_lossy(&bytes[..used]).into_owned(), ContentEncoding::Utf8, used)
            }
            Err(_) => (STANDARD.encode(bytes), ContentEncoding::Base64, bytes.len()),
        };
        let truncated = offset.saturating_add(used as u64) < size;
        Self { path, size, offset, content, encoding, truncated, media_type, sandbox_restarted: false }
    }
}

/// How file content travels in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ContentEncoding {
    /// As it is.
    #[serde(rename = "utf-8")]
    Utf8,
    /// In base64.
    #[serde(rename = "base64")]
    Base64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored() -> OutputFile {
        OutputFile {
            name: "qr.png".into(),
            path: "/output/qr.png".into(),
            media_type: "image/png".into(),
            size: 1234,
            state: OutputFileState::Stored { id: "file_1".into(), url: "https://x/1".into() },
        }
    }

    #[test]
    fn a_plain_result_has_only_what_is_always_there() {
        let result = ExecResult { stdout: "hi\n".into(), duration_ms: 12, ..ExecResult::default() };
        assert_eq!(
            ToolOutput::Exec(result).to_value(),
            json!({"exitCode": 0, "stdout": "hi\n", "stderr": "", "durationMs": 12})
        );
    }

    #[test]
    fn a_file_that_comes_later_has_its_id_and_the_error() {
        let state = OutputFileState::Deferred { id: "file_1".into(), error: "Upload failed".into() };
        let file = OutputFile { state, ..stored() };
        assert_eq!(
            json!(file),
            json!({"name": "qr.png", "path": "/output/qr.png", "mediaType": "image/png", "size": 1234,
                   "id": "file_1", "error": "Upload failed"})
        );
        assert!(file.reference().is_none());
    }

    #[test]
    fn a_full_result_has_the_names_of_the_contract() {
        let failed =
            OutputFile { state: OutputFileState::Failed { error: "Upload failed".into() }, ..stored() };
        let result = ExecResult {
            output_files: vec![stored(), failed],
            hint: Some("split the work".into()),
            sandbox_restarted: true,
            remaining_ms: Some(0),
            ..ExecResult::default()
        }
        .streams(
            CutText { head: "a".into(), omitted_characters: 51234, tail: "z".into() },
            CutText { head: "Traceback".into(), ..CutText::default() },
        )
        .timed_out();
        assert_eq!(
            ToolOutput::Exec(result).to_value(),
            json!({
                "exitCode": 124, "stdout": "a\n... truncated 51234 characters ...\nz",
                "stderr": "Traceback\n[command timed out]", "durationMs": 0,
                "outputFiles": [
                    {"name": "qr.png", "path": "/output/qr.png", "mediaType": "image/png", "size": 1234, "url": "https://x/1"},
                    {"name": "qr.png", "path": "/output/qr.png", "mediaType": "image/png", "size": 1234, "error": "Upload failed"}
                ],
                "timedOut": true, "truncated": {"stdout": 51234}, "hint": "split the work", "sandboxRestarted": true,
                "remainingMs": 0
            })
        );
    }

    #[test]
    fn out_of_memory_keeps_the_exit_code() {
        let result =
            ToolOutput::Exec(ExecResult { exit_code: 3, ..ExecResult::default() }.out_of_memory()).to_value();
        assert_eq!((&result["exitCode"], &result["oomKilled"]), (&json!(3), &json!(true)));
    }

    #[test]
    fn read_bytes_are_text_where_they_can_be() {
        let read = |bytes: &[u8], size| {
            let result = FileReadResult::new("/workspace/a".into(), size, 0, bytes, "text/plain".into());
            (result.content, result.encoding, result.truncated)
        };
        assert_eq!(read("añ".as_bytes(), 3), ("añ".into(), ContentEncoding::Utf8, false));
        // The limit fell into the middle of ñ.
        assert_eq!(read(b"a\xC3", 3), ("a".into(), ContentEncoding::Utf8, true));
        // The same bytes, but the file ends there: not UTF-8.
        assert_eq!(read(b"a\xC3", 2), ("YcM=".into(), ContentEncoding::Base64, false));
        assert_eq!(read(b"\x89PNG", 100), ("iVBORw==".into(), ContentEncoding::Base64, true));
        // Progress is made even where a limit is smaller than one character.
        assert_eq!(read(b"\xC3", 2), ("ww==".into(), ContentEncoding::Base64, true));
        assert_eq!(read(b"", 0), (String::new(), ContentEncoding::Utf8, false));
    }
}
