//! A tool call as it comes over the wire.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// A tool call. Members that we do not know are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// The platform's id of the call; unique within a trigger.
    pub tool_call_id: String,
    /// Full name of the tool, with its prefix.
    pub tool_name: String,
    /// Arguments, not yet checked: see [`crate::Arguments::parse`].
    #[serde(default = "no_arguments")]
    pub args: Value,
    /// Who made the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<CallSource>,
    /// Echoed in the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_variable: Option<String>,
    /// Echoed in the result, exactly as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_index: Option<Number>,
}

/// Who made a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallSource {
    /// The model.
    Llm,
    /// A block of the platform's protocol.
    Block,
    /// Something that a later platform has.
    #[serde(other)]
    Other,
}

fn no_arguments() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_members_nulls_and_unknown_sources_are_tolerated() {
        let call: ToolCall = serde_json::from_value(json!({
            "toolCallId": "c1", "toolName": "octavus_code_run", "args": {"code": "1"}, "source": "workflow",
            "outputVariable": null, "blockIndex": 3, "threadId": "new in a later version"
        }))
        .unwrap();
        assert_eq!(call.source, Some(CallSource::Other));
        assert_eq!(call.output_variable, None);
        assert_eq!(call.block_index, Some(Number::from(3)));
    }

    #[test]
    fn absent_optionals_are_left_out_again() {
        let wire = json!({"toolCallId": "c1", "toolName": "t", "args": {}});
        let call: ToolCall = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(call).unwrap(), wire);
    }
}
