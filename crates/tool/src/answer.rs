//! From a call and how it went to the tool result and the events, in the contract's order.

use serde::Serialize;
use serde_json::{Number, Value};

use crate::{
    call::ToolCall,
    error::{ErrorCode, ToolError},
    event::{FileReference, StreamEvent},
    result::{OutputFile, ToolOutput},
};

/// The tool result of one call and its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// For the model.
    pub result: ToolResult,
    /// First `tool-output-available` or `tool-output-error`, then one `file-available` for each stored file. The
    /// `finish` event belongs to the request, not to the call.
    pub events: Vec<StreamEvent>,
    /// Why the call could not be carried out. Not on the wire: for exit codes, HTTP states and metrics.
    pub code: Option<ErrorCode>,
}

/// The result of one call on the wire: either `result` or `error`, never both.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// Of the call.
    pub tool_call_id: String,
    /// Of the call.
    pub tool_name: String,
    /// The call was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The call could not be carried out. Never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_variable: Option<String>,
    /// Of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_index: Option<Number>,
    /// The stored files. Older SDKs drop this, so the events say it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileReference>,
}

/// Puts together what goes back for `call`.
#[must_use]
pub fn answer(call: &ToolCall, outcome: &Result<ToolOutput, ToolError>) -> Answer {
    let mut result = ToolResult {
        tool_call_id: call.tool_call_id.clone(),
        tool_name: call.tool_name.clone(),
        result: None,
        error: None,
        output_variable: call.output_variable.clone(),
        block_index: call.block_index.clone(),
        files: Vec::new(),
    };
    let tool_call_id = call.tool_call_id.clone();
    match outcome {
        Ok(output) => {
            let value = output.to_value();
            result.result = Some(value.clone());
            result.files = output.output_files().iter().filter_map(OutputFile::reference).collect();
            let mut events = vec![StreamEvent::ToolOutputAvailable { tool_call_id, output: value }];
            events.extend(
                result.files.iter().map(|file| StreamEvent::file_available(file.clone(), &call.tool_call_id)),
            );
            Answer { result, events, code: None }
        }
        Err(error) => {
            let message = error.message().to_owned();
            result.error = Some(message.clone());
            let events = vec![StreamEvent::ToolOutputError { tool_call_id, error: message }];
            Answer { result, events, code: Some(error.code()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::result::{ExecResult, OutputFileState};

    fn call(extra: Value) -> ToolCall {
        let mut wire = json!({"toolCallId": "c1", "toolName": "octavus_code_run", "args": {}});
        wire.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(wire).unwrap()
    }

    fn file(name: &str, state: OutputFileState) -> OutputFile {
        OutputFile {
            name: name.into(),
            path: format!("/output/{name}"),
            media_type: "image/png".into(),
            size: 3,
            state,
        }
    }

    #[test]
    fn a_program_that_failed_is_a_result_with_its_files() {
        let output = ToolOutput::Exec(ExecResult {
            exit_code: 1,
            stdout: "Error: no data".into(),
            output_files: vec![
                file("a.png", OutputFileState::Stored { id: "file_a".into(), url: "https://x/a".into() }),
                file("b.png", OutputFileState::Failed { error: "Upload failed".into() }),
            ],
            ..ExecResult::default()
        });
        let answer =
            answer(&call(json!({"outputVariable": "X", "blockIndex": 2, "source": "llm"})), &Ok(output));
        let result = json!({"exitCode": 1, "stdout": "Error: no data", "stderr": "", "durationMs": 0, "outputFiles": [
            {"name": "a.png", "path": "/output/a.png", "mediaType": "image/png", "size": 3, "id": "file_a", "url": "https://x/a"},
            {"name": "b.png", "path": "/output/b.png", "mediaType": "image/png", "size": 3, "error": "Upload failed"}]});
        assert_eq!(
            serde_json::to_value(&answer.result).unwrap(),
            json!({"toolCallId": "c1", "toolName": "octavus_code_run", "result": result, "outputVariable": "X", "blockIndex": 2,
                   "files": [{"id": "file_a", "mediaType": "image/png", "url": "https://x/a", "filename": "a.png", "size": 3}]})
        );
        assert_eq!(
            serde_json::to_value(&answer.events).unwrap(),
            json!([{"type": "tool-output-available", "toolCallId": "c1", "output": result},
                   {"type": "file-available", "id": "file_a", "mediaType": "image/png", "url": "https://x/a",
                    "filename": "a.png", "size": 3, "toolCallId": "c1"}])
        );
        assert_eq!(answer.code, None);
    }

    #[test]
    fn a_call_that_could_not_be_carried_out_is_an_error_only() {
        let answer = answer(&call(json!({})), &Err(ToolError::cancelled()));
        assert_eq!(
            serde_json::to_value(&answer.result).unwrap(),
            json!({"toolCallId": "c1", "toolName": "octavus_code_run", "error": "Cancelled"})
        );
        assert_eq!(
            serde_json::to_value(&answer.events).unwrap(),
            json!([{"type": "tool-output-error", "toolCallId": "c1", "error": "Cancelled"}])
        );
        assert_eq!(answer.code, Some(ErrorCode::Cancelled));
    }
}
