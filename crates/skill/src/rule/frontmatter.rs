//! The frontmatter as YAML, before anything is known about its fields.

super::rules! { Frontmatter:
    FRONTMATTER_MISSING = "SB020" "frontmatter-missing" [E E E E]
        "`SKILL.md` does not start with frontmatter.",
        "Name and description stand there; without them the skill cannot be offered to a model.",
        "# My skill",
        "---\nname: my-skill\ndescription: Counts words in a text.\n---\n# My skill";
    FRONTMATTER_UNCLOSED = "SB021" "frontmatter-unclosed" [E E E E]
        "The frontmatter is not closed.",
        "Nobody can tell where the fields end and the instructions begin.",
        "---\nname: my-skill\n# My skill",
        "---\nname: my-skill\n---\n# My skill";
    DELIMITER = "SB022" "delimiter" [W W E W]
        "A line that delimits the frontmatter is not exactly `---`.",
        "Readers differ: some take spaces or text beside the dashes, others then see no frontmatter.",
        "--- \nname: my-skill\n ---",
        "---\nname: my-skill\n---";
    DASHES_IN_VALUE = "SB023" "dashes-in-value" [W W W W]
        "A value contains `---`.",
        "The reference library ends the frontmatter at any three dashes, also inside a value, and cuts it off there.",
        "description: Draws lines --- and boxes.",
        "description: Draws lines and boxes.";
    FRONTMATTER_NOT_MAPPING = "SB024" "frontmatter-not-mapping" [E E E E]
        "The frontmatter is empty or not a mapping.",
        "It must have fields, each with a name and a value.",
        "---\njust text\n---",
        "---\nname: my-skill\ndescription: Counts words in a text.\n---";
    INVALID_YAML = "SB025" "invalid-yaml" [E E E W]
        "The frontmatter is not valid YAML.",
        "Most readers then drop the skill; the commonest reason is a colon in a value without quotes.",
        "description: Use this: when counting",
        "description: \"Use this: when counting\"";
    FLOW_STYLE = "SB026" "flow-style" [W E W W]
        "A list or map is written in flow style.",
        "The reference library refuses `[…]` and `{…}`, even when they are empty.",
        "metadata: {team: docs}",
        "metadata:\n  team: docs";
    DUPLICATE_KEY = "SB027" "duplicate-key" [E E W W]
        "A key occurs twice.",
        "Some readers refuse it, others silently take the last one.",
        "name: my-skill\nname: other",
        "name: my-skill";
    YAML_REFERENCE = "SB028" "yaml-reference" [W E W W]
        "Anchors, aliases or tags stand in the frontmatter.",
        "The reference library refuses them, and they can make a short text expand without bound.",
        "license: &l MIT",
        "license: MIT";
    YAML_BUDGET = "SB029" "yaml-budget" [E E E E]
        "The frontmatter has too many or too deeply nested values.",
        "No honest skill needs a thousand values; aliases of aliases would fill the memory of whoever reads them.",
        "metadata: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "metadata:\n  team: docs";
    UNKNOWN_FIELD = "SB030" "unknown-field" [W E E W]
        "A field that the standard does not know.",
        "The reference library refuses it. What is your own belongs below `metadata`.",
        "triggers: words, texts",
        "metadata:\n  triggers: words, texts";
    PLATFORM_FIELD = "SB031" "platform-field" [I E E I]
        "`version` or `author` stand at the top level.",
        "This platform takes them there; the standard wants them below `metadata`, and the reference library refuses them elsewhere.",
        "version: 1.0.0",
        "metadata:\n  version: \"1.0.0\"";
    CLIENT_FIELD = "SB032" "client-field" [W E I I]
        "A field that only one client knows.",
        "Claude Code acts on it, everybody else ignores or refuses it.",
        "argument-hint: FILE",
        "compatibility: Takes a file name as its argument in Claude Code.";
    FIELD_SPELLING = "SB033" "field-spelling" [E E E W]
        "A field differs from a known one only by case or underscore.",
        "It is read as an unknown field, and what it says is lost.",
        "allowed_tools: Read",
        "allowed-tools: Read";
}
