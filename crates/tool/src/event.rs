//! What goes to a client as events, and the file part that a chat shows.
//!
//! The SDKs silently drop an event with a `null` optional, an unknown `errorType` or an unknown `source`, so those
//! two are enums of exactly the values that the SDKs know.

use serde::Serialize;
use serde_json::Value;

/// A stored file, as a tool result carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReference {
    /// Id of the artifact.
    pub id: String,
    /// Media type, already corrected by content.
    pub media_type: String,
    /// Presigned URL.
    pub url: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A stored file, as a chat message carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "file", rename_all = "camelCase")]
pub struct FilePart {
    /// Id of the artifact.
    pub id: String,
    /// Media type, already corrected by content.
    pub media_type: String,
    /// Presigned URL.
    pub url: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The call that made the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl FilePart {
    /// The file part of a file that a call made.
    #[must_use]
    pub fn new(file: FileReference, tool_call_id: Option<String>) -> Self {
        let FileReference { id, media_type, url, filename, size } = file;
        Self { id, media_type, url, filename, size, tool_call_id }
    }
}

/// An event of a tool call's stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum StreamEvent {
    /// The call has a result.
    ToolOutputAvailable {
        /// The call.
        tool_call_id: String,
        /// The result; the only member anywhere that may be `null`.
        output: Value,
    },
    /// The call could not be carried out.
    ToolOutputError {
        /// The call.
        tool_call_id: String,
        /// Never empty.
        error: String,
    },
    /// The call stored a file.
    FileAvailable {
        /// Id of the artifact.
        id: String,
        /// Media type.
        media_type: String,
        /// Presigned URL.
        url: String,
        /// Name for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
        /// Size in bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// The call that made the file.
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_call_id: Option<String>,
    },
    /// The stream is complete.
    Finish {
        /// Why.
        finish_reason: FinishReason,
    },
    /// The request as a whole failed.
    Error {
        /// What kind of failure.
        error_type: ErrorType,
        /// For people; never empty.
        message: String,
        /// Where it arose.
        source: ErrorSource,
        /// Whether the same request may succeed later.
        retryable: bool,
        /// Seconds to wait before that.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        /// What callers branch on.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The tool that it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        tool: Option<ToolInfo>,
    },
}

impl StreamEvent {
    /// The event for a file that a call made.
    #[must_use]
    pub fn file_available(file: FileReference, tool_call_id: &str) -> Self {
        let FileReference { id, media_type, url, filename, size } = file;
        Self::FileAvailable {
            id,
            media_type,
            url,
            filename,
            size,
            tool_call_id: Some(tool_call_id.to_owned()),
        }
    }

    /// The last event of a stream.
    #[must_use]
    pub fn finish() -> Self {
        Self::Finish { finish_reason: FinishReason::Stop }
    }
}

/// Why a stream is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// All was done.
    Stop,
}

/// Kinds of failure that the SDKs know and we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// No or a wrong token.
    AuthenticationError,
    /// Not allowed.
    PermissionError,
    /// A request that is not understood.
    ValidationError,
    /// No such thing.
    NotFoundError,
    /// Too much at once.
    RateLimitError,
    /// Running failed.
    ExecutionError,
    /// A tool failed.
    ToolError,
    /// A broken exchange.
    ProtocolError,
    /// Ours.
    InternalError,
    /// Not known.
    UnknownError,
}

/// Where a failure arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorSource {
    /// The service.
    Platform,
    /// A tool.
    Tool,
    /// The caller.
    Client,
}

/// The tool that an error is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolInfo {
    /// Full name.
    pub name: String,
    /// The call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: impl Serialize, expected: Value) {
        assert_eq!(serde_json::to_value(value).unwrap(), expected);
    }

    fn file() -> FileReference {
        FileReference {
            id: "file_1".into(),
            media_type: "image/png".into(),
            url: "https://x/1".into(),
            filename: None,
            size: None,
        }
    }

    #[test]
    fn events_have_the_shapes_of_the_contract() {
        check(
            StreamEvent::ToolOutputAvailable { tool_call_id: "c".into(), output: Value::Null },
            json!({"type": "tool-output-available", "toolCallId": "c", "output": null}),
        );
        check(
            StreamEvent::ToolOutputError { tool_call_id: "c".into(), error: "no".into() },
            json!({"type": "tool-output-error", "toolCallId": "c", "error": "no"}),
        );
        check(
            StreamEvent::file_available(file(), "c"),
            json!({"type": "file-available", "id": "file_1", "mediaType": "image/png", "url": "https://x/1", "toolCallId": "c"}),
        );
        check(StreamEvent::finish(), json!({"type": "finish", "finishReason": "stop"}));
        check(
            StreamEvent::Error {
                error_type: ErrorType::RateLimitError,
                message: "Too many triggers".into(),
                source: ErrorSource::Platform,
                retryable: true,
                retry_after: Some(1),
                code: None,
                tool: Some(ToolInfo { name: "octavus_code_run".into(), call_id: None }),
            },
            json!({"type": "error", "errorType": "rate_limit_error", "message": "Too many triggers", "source": "platform",
                   "retryable": true, "retryAfter": 1, "tool": {"name": "octavus_code_run"}}),
        );
    }

    #[test]
    fn a_file_part_says_that_it_is_one() {
        let full = FileReference { filename: Some("qr.png".into()), size: Some(7), ..file() };
        check(
            FilePart::new(full, Some("c".into())),
            json!({"type": "file", "id": "file_1", "mediaType": "image/png", "url": "https://x/1", "filename": "qr.png",
                   "size": 7, "toolCallId": "c"}),
        );
        check(
            FilePart::new(file(), None),
            json!({"type": "file", "id": "file_1", "mediaType": "image/png", "url": "https://x/1"}),
        );
    }
}
