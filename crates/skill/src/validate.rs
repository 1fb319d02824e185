//! The rules about the fields of a skill.
//!
//! Each rule is one function from a [`Subject`] to diagnostics, so that rules can be added, chosen by a profile and tested one
//! by one. They are pure: whatever a rule looks at is in the subject.

use crate::{
    diagnostic::{Diagnostic, Location, Rule, Span},
    frontmatter::{Field, Frontmatter},
    name::{NameError, SkillName},
    yaml::Value,
};

/// What the rules look at.
#[derive(Debug)]
pub(crate) struct Subject<'skill> {
    /// The path of `SKILL.md` in the skill.
    pub(crate) file: &'skill str,
    pub(crate) frontmatter: &'skill Frontmatter,
    pub(crate) body: &'skill str,
    /// What the directory is called, where that is known.
    pub(crate) directory: Option<&'skill str>,
}

const RULES: [fn(&Subject<'_>, &mut Vec<Diagnostic>); 8] =
    [name, directory, description, compatibility, metadata, allowed_tools, unknown_fields, body];

/// The most characters of a description.
const MAX_DESCRIPTION: usize = 1024;
/// The most characters of a compatibility note.
const MAX_COMPATIBILITY: usize = 500;

/// Applies all rules.
pub(crate) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for rule in RULES {
        rule(subject, &mut found);
    }
    found
}

impl Subject<'_> {
    fn at(&self, span: Span) -> Location {
        Location::span(self.file, span)
    }

    fn value(&self, field: &Field) -> Location {
        self.at(field.value_span)
    }
}

fn name(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    const HELP: &str = "use 1 to 64 lowercase letters a-z, digits and single hyphens between them";
    let Some(field) = subject.frontmatter.field("name") else {
        let span = Span::at(subject.frontmatter.span().start);
        found.push(
            Diagnostic::new(Rule::NameMissing, subject.at(span), "the field `name` is missing")
                .with_help(HELP),
        );
        return;
    };
    let Some(text) = field.value.as_text().map(str::trim).filter(|text| !text.is_empty()) else {
        let message = format!("the name must be text; it is {}", describe(&field.value));
        found.push(Diagnostic::new(Rule::NameNotString, subject.value(field), message).with_help(HELP));
        return;
    };
    if let Err(error) = SkillName::parse(text) {
        let rule = match error {
            NameError::Empty => Rule::NameNotString,
            NameError::TooLong { .. } => Rule::NameTooLong,
            NameError::Uppercase { .. } => Rule::NameUppercase,
            NameError::OuterHyphen => Rule::NameOuterHyphen,
            NameError::DoubleHyphen => Rule::NameDoubleHyphen,
            NameError::Reserved => Rule::NameReserved,
            NameError::Character { character } if character.is_alphanumeric() => Rule::NameNotAscii,
            NameError::Character { .. } => Rule::NameCharacter,
        };
        let help = match slug_of(text) {
            Some(slug) => format!("for example `{slug}`; {HELP}"),
            None => HELP.to_owned(),
        };
        found.push(Diagnostic::new(rule, subject.value(field), error.to_string()).with_help(help));
    }
}

/// The nearest good name, as a proposal only.
fn slug_of(text: &str) -> Option<SkillName> {
    let dashed: String = text
        .to_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    SkillName::parse(&parts.join("-")).ok()
}

fn directory(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    let (Some(directory), Some(field)) = (subject.directory, subject.frontmatter.field("name")) else {
        return;
    };
    let Some(name) = subject.frontmatter.name() else { return };
    if directory != name {
        let message = format!("the directory is called `{}`, the skill `{name}`", directory.escape_debug());
        found.push(
            Diagnostic::new(Rule::DirectoryName, subject.value(field), message)
                .with_help("give both the same name"),
        );
    }
}

fn description(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    const HELP: &str = "say what the skill does and when to use it";
    let Some(field) = subject.frontmatter.field("description") else {
        let span = Span::at(subject.frontmatter.span().start);
        found.push(
            Diagnostic::new(Rule::DescriptionMissing, subject.at(span), "the field `description` is missing")
                .with_help(HELP),
        );
        return;
    };
    let Some(text) = field.value.as_text().filter(|text| !text.trim().is_empty()) else {
        let message = format!("the description must be text; it is {}", describe(&field.value));
        found.push(Diagnostic::new(Rule::DescriptionMissing, subject.value(field), message).with_help(HELP));
        return;
    };
    // The reference library counts code points of the whole value, also a block's last line break.
    let chars = text.chars().count();
    if chars > MAX_DESCRIPTION {
        let message =
            format!("the description has {chars} characters; at most {MAX_DESCRIPTION} are allowed");
        found.push(
            Diagnostic::new(Rule::DescriptionTooLong, subject.value(field), message)
                .with_help("move details into the body"),
        );
    }
}

fn compatibility(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    let Some(field) = subject.frontmatter.field("compatibility") else { return };
    match field.value.as_text() {
        // Left empty, it says nothing and harms nothing.
        None if field.value == Value::Null => {}
        None => {
            let message = format!("the compatibility must be text; it is {}", describe(&field.value));
            found.push(Diagnostic::new(Rule::CompatibilityNotString, subject.value(field), message));
        }
        Some(text) => {
            let chars = text.chars().count();
            if chars > MAX_COMPATIBILITY {
                let message = format!(
                    "the compatibility has {chars} characters; at most {MAX_COMPATIBILITY} are allowed"
                );
                found.push(Diagnostic::new(Rule::CompatibilityTooLong, subject.value(field), message));
            }
        }
    }
}

fn metadata(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    let Some(field) = subject.frontmatter.field("metadata") else { return };
    if !matches!(field.value, Value::Map(_)) {
        let message = format!("the metadata must be a map; it is {}", describe(&field.value));
        found.push(Diagnostic::new(Rule::MetadataNotMapping, subject.value(field), message));
    }
}

fn allowed_tools(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    let Some(field) = subject.frontmatter.field("allowed-tools") else { return };
    let form = match &field.value {
        Value::Text(text) if !text.contains(',') => return,
        Value::Text(_) => "separated by commas",
        other => other.kind(),
    };
    found.push(
        Diagnostic::new(
            Rule::AllowedToolsForm,
            subject.value(field),
            format!("the allowed tools must be text separated by spaces; they are {form}"),
        )
        .with_help(format!("write `allowed-tools: {}`", subject.frontmatter.allowed_tools().join(" "))),
    );
}

fn unknown_fields(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    for field in subject.frontmatter.unknown() {
        let key = field.key.escape_debug();
        let normal = field.key.to_ascii_lowercase().replace('_', "-");
        let help = if Frontmatter::KNOWN.contains(&normal.as_str()) {
            format!("did you mean `{normal}`?")
        } else {
            format!("move it below `metadata`; known fields: {}", Frontmatter::KNOWN.join(", "))
        };
        found.push(
            Diagnostic::new(Rule::UnknownField, subject.at(field.key_span), format!("unknown field `{key}`"))
                .with_help(help),
        );
    }
}

fn body(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    if subject.body.trim().is_empty() {
        found.push(
            Diagnostic::new(Rule::EmptyBody, Location::file(subject.file), "there are no instructions")
                .with_help("write below the frontmatter how to use the skill"),
        );
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "empty",
        other => other.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontmatter;

    fn check_fields(fields: &str, expected: &[&str]) {
        let text = format!("---\n{fields}\n---\nBody\n");
        let markdown = frontmatter::parse("SKILL.md", &text).expect("frontmatter that can be read");
        let subject = Subject {
            file: "SKILL.md",
            frontmatter: &markdown.frontmatter,
            body: &text[markdown.body..],
            directory: Some("qr-code"),
        };
        let found = check(&subject);
        let codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.rule.code()).collect();
        assert_eq!(codes, expected, "{fields}: {found:?}");
        assert!(found.iter().all(|diagnostic| diagnostic.location.span.is_some()));
    }

    #[test]
    fn every_rule_fires_on_its_case_and_only_there() {
        let good = "name: qr-code\ndescription: Makes codes";
        check_fields(good, &[]);
        check_fields("description: d", &["SB040"]);
        check_fields("name:\ndescription: d", &["SB041"]);
        check_fields("name: [a]\ndescription: d", &["SB041"]);
        check_fields(&format!("name: {}\ndescription: d", "a".repeat(65)), &["SB043", "SB050"]);
        check_fields("name: QR\ndescription: d", &["SB044", "SB050"]);
        check_fields("name: -qr\ndescription: d", &["SB045", "SB050"]);
        check_fields("name: q--r\ndescription: d", &["SB046", "SB050"]);
        check_fields("name: q_r\ndescription: d", &["SB047", "SB050"]);
        check_fields("name: 技能\ndescription: d", &["SB048", "SB050"]);
        check_fields("name: nul\ndescription: d", &["SB052", "SB050"]);
        check_fields("name: other\ndescription: d", &["SB050"]);
        check_fields("name: qr-code", &["SB060"]);
        check_fields("name: qr-code\ndescription: ' '", &["SB060"]);
        check_fields(&format!("name: qr-code\ndescription: {}", "é".repeat(1024)), &[]);
        check_fields(&format!("name: qr-code\ndescription: {}", "é".repeat(1025)), &["SB061"]);
        check_fields(&format!("{good}\ncompatibility: [x]"), &["SB070"]);
        check_fields(&format!("{good}\ncompatibility:"), &[]);
        check_fields(&format!("{good}\ncompatibility: {}", "x".repeat(500)), &[]);
        check_fields(&format!("{good}\ncompatibility: {}", "x".repeat(501)), &["SB071"]);
        check_fields(&format!("{good}\nmetadata: x"), &["SB080"]);
        check_fields(&format!("{good}\nallowed-tools: [Read, Write]"), &["SB090"]);
        check_fields(&format!("{good}\nallowed-tools: Read, Write"), &["SB090"]);
        check_fields(&format!("{good}\nallowed-tools: Read Write"), &[]);
        check_fields(&format!("{good}\nversion: 1.0\nauthor: a"), &[]);
        check_fields(&format!("{good}\ntriggers: a"), &["SB030"]);
    }

    #[test]
    fn help_proposes_what_would_be_good() {
        let text = "---\nname: My Skill!\ndescription: d\nallowed_tools: x\n---\nb";
        let markdown = frontmatter::parse("SKILL.md", text).unwrap();
        let subject =
            Subject { file: "SKILL.md", frontmatter: &markdown.frontmatter, body: "b", directory: None };
        let found = check(&subject);
        assert!(found[0].help.as_deref().unwrap().contains("`my-skill`"), "{:?}", found[0]);
        assert_eq!(found[1].help.as_deref(), Some("did you mean `allowed-tools`?"));
    }
}
