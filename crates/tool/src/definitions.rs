//! The six tool definitions, in the forms that platforms and providers take.
//!
//! JSON Schema as all providers accept it: no combinators at the root, every object with `properties`.

use serde_json::{Map, Value, json};

use crate::{
    name::{ToolName, ToolPrefix},
    parameters::{Kind, Parameter, Presence},
};

/// Who the definitions are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefinitionStyle {
    /// `{name, description, inputSchema}`, also what MCP has.
    #[default]
    Octavus,
    /// `{type: "function", function: {name, description, parameters}}`.
    OpenAi,
    /// `{name, description, input_schema}`.
    Anthropic,
}

impl DefinitionStyle {
    /// The style with this name: `octavus`, `openai` or `anthropic`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "octavus" => Some(Self::Octavus),
            "openai" => Some(Self::OpenAi),
            "anthropic" => Some(Self::Anthropic),
            _ => None,
        }
    }
}

/// The definitions for a trigger with these skills enabled. With none enabled, no tool is offered at all.
#[must_use]
pub fn definitions<S: AsRef<str>>(skills: &[S], prefix: &ToolPrefix, style: DefinitionStyle) -> Vec<Value> {
    if skills.is_empty() {
        return Vec::new();
    }
    let slugs: Vec<&str> = skills.iter().map(AsRef::as_ref).collect();
    ToolName::ALL.into_iter().map(|tool| definition(tool, &slugs, prefix, style)).collect()
}

fn definition(tool: ToolName, slugs: &[&str], prefix: &ToolPrefix, style: DefinitionStyle) -> Value {
    let name = prefix.name(tool);
    let description = tool.description();
    let schema = schema(tool, slugs, prefix);
    match style {
        DefinitionStyle::Octavus => json!({"name": name, "description": description, "inputSchema": schema}),
        DefinitionStyle::OpenAi => {
            json!({"type": "function", "function": {"name": name, "description": description, "parameters": schema}})
        }
        DefinitionStyle::Anthropic => {
            json!({"name": name, "description": description, "input_schema": schema})
        }
    }
}

fn schema(tool: ToolName, slugs: &[&str], prefix: &ToolPrefix) -> Value {
    let parameters = tool.parameters();
    let properties: Map<String, Value> = parameters
        .iter()
        .map(|parameter| (parameter.name.to_owned(), property(parameter, slugs, prefix)))
        .collect();
    let required: Vec<&str> = parameters
        .iter()
        .filter(|parameter| parameter.presence == Presence::Required)
        .map(|parameter| parameter.name)
        .collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn property(parameter: &Parameter, slugs: &[&str], prefix: &ToolPrefix) -> Value {
    let mut property = match parameter.kind {
        Kind::Slug => json!({"type": "string", "enum": slugs}),
        Kind::Text => json!({"type": "string"}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
        Kind::Strings => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Object => json!({"type": "object", "properties": {}, "additionalProperties": true}),
        Kind::Integer(minimum) => json!({"type": "integer", "minimum": minimum}),
    };
    property["description"] = json!(parameter.description.replace("{prefix}", &prefix.to_string()));
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_octavus_form_is_the_committed_one() {
        let committed: Value = serde_json::from_str(include_str!("../definitions.json")).unwrap();
        let printed = definitions(&["qr-code"], &ToolPrefix::default(), DefinitionStyle::Octavus);
        // As text as well: the order of members is part of what a model reads.
        assert_eq!(
            serde_json::to_string_pretty(&printed).unwrap(),
            serde_json::to_string_pretty(&committed).unwrap()
        );
    }

    #[test]
    fn styles_differ_only_in_their_wrapping() {
        let prefix = ToolPrefix::default();
        let octavus = definitions(&["a", "b"], &prefix, DefinitionStyle::Octavus);
        let openai = definitions(&["a", "b"], &prefix, DefinitionStyle::OpenAi);
        let anthropic = definitions(&["a", "b"], &prefix, DefinitionStyle::Anthropic);
        assert_eq!((octavus.len(), openai.len(), anthropic.len()), (6, 6, 6));
        for ((octavus, openai), anthropic) in octavus.iter().zip(&openai).zip(&anthropic) {
            assert_eq!(openai["type"], "function");
            assert_eq!(openai["function"]["parameters"], octavus["inputSchema"]);
            assert_eq!(anthropic["input_schema"], octavus["inputSchema"]);
            assert_eq!(anthropic["name"], octavus["name"]);
            assert_eq!(openai["function"]["name"], octavus["name"]);
            assert_eq!(openai["function"]["description"], octavus["description"]);
        }
        assert_eq!(octavus[0]["inputSchema"]["properties"]["skill"]["enum"], json!(["a", "b"]));
    }

    #[test]
    fn no_skill_no_tools() {
        let none: [&str; 0] = [];
        assert!(definitions(&none, &ToolPrefix::default(), DefinitionStyle::OpenAi).is_empty());
    }

    #[test]
    fn a_configured_prefix_is_used_in_the_texts_too() {
        let prefix = ToolPrefix::new("my_").unwrap();
        let all = serde_json::to_string(&definitions(&["a"], &prefix, DefinitionStyle::Octavus)).unwrap();
        assert!(all.contains("as my_skill_list names it") && !all.contains("octavus_"));
        assert!(!all.contains("{prefix}"));
    }

    /// What providers refuse: combinators at the root, an object without `properties`, lookaround in patterns.
    #[test]
    fn providers_accept_the_schemas() {
        fn walk(value: &Value) {
            if let Some(object) = value.as_object() {
                if object.get("type") == Some(&json!("object")) {
                    assert!(object.contains_key("properties"), "{value}");
                }
                for key in ["oneOf", "anyOf", "allOf", "$ref", "$schema", "pattern", "format"] {
                    assert!(!object.contains_key(key), "{key} in {value}");
                }
                object.values().for_each(walk);
            }
        }
        for definition in definitions(&["a"], &ToolPrefix::default(), DefinitionStyle::Octavus) {
            walk(&definition["inputSchema"]);
        }
    }
}
