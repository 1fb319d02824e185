//! The two fields that loading depends on: the name and the description.
//!
//! What else can be said about fields is said by validation; here stands what decides whether a skill can be offered to a
//! model at all, and under which name.

use crate::{
    diagnostic::{Diagnostic, Edit, Location, Span},
    frontmatter::{Field, Frontmatter},
    name::{NameError, SkillName},
    rule::Rule,
    yaml::Value,
};

/// The most characters of a description.
const MAX_DESCRIPTION: usize = 1024;

/// Checks both; `file` is the name of the file, `source` its text, and `directory` what its folder is called, where that is known.
pub(crate) fn check(
    file: &str,
    source: &str,
    directory: Option<&str>,
    frontmatter: &Frontmatter,
    found: &mut Vec<Diagnostic>,
) {
    let directory = directory.and_then(|directory| SkillName::parse(directory).ok());
    let subject = Subject { file, source, directory, frontmatter };
    name(&subject, found);
    description(&subject, found);
}

struct Subject<'skill> {
    file: &'skill str,
    source: &'skill str,
    directory: Option<SkillName>,
    frontmatter: &'skill Frontmatter,
}

impl Subject<'_> {
    fn value(&self, field: &Field) -> Location {
        Location::span(self.file, field.value_span)
    }

    /// Where a field is missed: where the fields begin.
    fn begin(&self) -> Location {
        Location::span(self.file, Span::at(self.frontmatter.span().start))
    }
}

fn name(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    const HELP: &str = "use 1 to 64 lowercase letters a-z, digits and single hyphens between them";
    let Some(field) = subject.frontmatter.field("name") else {
        found.push(
            Diagnostic::new(Rule::NAME_MISSING, subject.begin(), "the field `name` is missing")
                .with_help(HELP),
        );
        return;
    };
    let Some(text) = field.value.as_text().map(str::trim).filter(|text| !text.is_empty()) else {
        let message = format!("the name must be text; it is {}", describe(&field.value));
        found.push(Diagnostic::new(Rule::NAME_NOT_STRING, subject.value(field), message).with_help(HELP));
        return;
    };
    let Err(error) = SkillName::parse(text) else { return };
    let rule = match error {
        NameError::Empty => Rule::NAME_NOT_STRING,
        NameError::TooLong { .. } => Rule::NAME_TOO_LONG,
        NameError::Uppercase { .. } => Rule::NAME_UPPERCASE,
        NameError::OuterHyphen => Rule::NAME_OUTER_HYPHEN,
        NameError::DoubleHyphen => Rule::NAME_DOUBLE_HYPHEN,
        NameError::Reserved => Rule::NAME_RESERVED,
        NameError::Character { character } if character.is_alphanumeric() => Rule::NAME_NOT_ASCII,
        NameError::Character { .. } => Rule::NAME_CHARACTER,
    };
    let diagnostic = Diagnostic::new(rule, subject.value(field), error.to_string());
    let spelled = subject.directory.clone().filter(|directory| is_same_word(directory, text));
    let near = spelled.or_else(|| SkillName::near(text));
    found.push(match near {
        Some(slug) => {
            let diagnostic = diagnostic.with_help(format!("for example `{slug}`; {HELP}"));
            let range = field.value_span.start.offset..field.value_span.end.offset;
            // A block or an alias is not the name itself; and where letters would be lost, a person must choose.
            let plain = subject.source.get(range.clone()).map(unquoted) == Some(text);
            let mends = [
                Rule::NAME_UPPERCASE,
                Rule::NAME_OUTER_HYPHEN,
                Rule::NAME_DOUBLE_HYPHEN,
                Rule::NAME_CHARACTER,
            ]
            .contains(&rule);
            if plain && mends && text.is_ascii() {
                diagnostic.with_fix([Edit::Replace {
                    file: subject.file.to_owned(),
                    range,
                    text: slug.to_string(),
                }])
            } else {
                diagnostic
            }
        }
        None => diagnostic.with_help(HELP),
    });
}

/// Whether the folder's name is a good spelling of the name: the same letters and digits.
fn is_same_word(directory: &SkillName, name: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    letters(directory.as_str()) == letters(name)
}

/// A scalar as it is written, without its quotes.
fn unquoted(written: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| written.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(written)
        .trim()
}

fn description(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    const HELP: &str = "say what the skill does and when to use it";
    let Some(field) = subject.frontmatter.field("description") else {
        found.push(
            Diagnostic::new(Rule::DESCRIPTION_MISSING, subject.begin(), "the field `description` is missing")
                .with_help(HELP),
        );
        return;
    };
    let Some(text) = field.value.as_text().filter(|text| !text.trim().is_empty()) else {
        let message = format!("the description must be text; it is {}", describe(&field.value));
        found.push(Diagnostic::new(Rule::DESCRIPTION_MISSING, subject.value(field), message).with_help(HELP));
        return;
    };
    // The reference library counts code points of the whole value, also a block's last line break.
    let chars = text.chars().count();
    if chars > MAX_DESCRIPTION {
        let message =
            format!("the description has {chars} characters; at most {MAX_DESCRIPTION} are allowed");
        found.push(
            Diagnostic::new(Rule::DESCRIPTION_TOO_LONG, subject.value(field), message)
                .with_help("move details into the body"),
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
        let markdown = frontmatter::parse("SKILL.md", &text);
        let mut found = Vec::new();
        check(
            "SKILL.md",
            &text,
            None,
            &markdown.frontmatter.expect("frontmatter that can be read"),
            &mut found,
        );
        let codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.rule.code()).collect();
        assert_eq!(codes, expected, "{fields}: {found:?}");
        assert!(found.iter().all(|diagnostic| diagnostic.location.span.is_some()));
    }

    #[test]
    fn every_rule_fires_on_its_case_and_only_there() {
        check_fields("name: qr-code\ndescription: Makes codes", &[]);
        check_fields("description: d", &["SB040"]);
        check_fields("name:\ndescription: d", &["SB041"]);
        check_fields("name: [a]\ndescription: d", &["SB041"]);
        check_fields(&format!("name: {}\ndescription: d", "a".repeat(65)), &["SB043"]);
        check_fields("name: QR\ndescription: d", &["SB044"]);
        check_fields("name: -qr\ndescription: d", &["SB045"]);
        check_fields("name: q--r\ndescription: d", &["SB046"]);
        check_fields("name: q_r\ndescription: d", &["SB047"]);
        check_fields("name: 技能\ndescription: d", &["SB048"]);
        check_fields("name: nul\ndescription: d", &["SB052"]);
        check_fields("name: qr-code", &["SB060"]);
        check_fields("name: qr-code\ndescription: ' '", &["SB060"]);
        check_fields(&format!("name: qr-code\ndescription: {}", "é".repeat(1024)), &[]);
        check_fields(&format!("name: qr-code\ndescription: {}", "é".repeat(1025)), &["SB061"]);
    }

    #[test]
    fn the_folder_says_how_a_name_is_spelled() {
        let proposed = |name: &str, directory: &str| {
            let text = format!("---\nname: {name}\ndescription: d\n---\nb");
            let mut found = Vec::new();
            let frontmatter = frontmatter::parse("SKILL.md", &text).frontmatter.unwrap();
            check("SKILL.md", &text, Some(directory), &frontmatter, &mut found);
            let fix = found[0].fix.clone().unwrap();
            let [Edit::Replace { text, .. }] = fix.edits.as_slice() else { panic!("{fix:?}") };
            text.clone()
        };
        assert_eq!(proposed("NameMismatch", "name-mismatch"), "name-mismatch");
        assert_eq!(proposed("NameMismatch", "other"), "namemismatch");
    }

    #[test]
    fn help_proposes_what_would_be_good_and_the_fix_writes_it() {
        let text = "---\nname: 'My Skill!'\ndescription: d\n---\nb";
        let mut found = Vec::new();
        check("SKILL.md", text, None, &frontmatter::parse("SKILL.md", text).frontmatter.unwrap(), &mut found);
        assert!(found[0].help.as_deref().unwrap().contains("`my-skill`"), "{:?}", found[0]);
        let Some(Edit::Replace { range, text: new, .. }) =
            found[0].fix.as_ref().and_then(|fix| fix.edits.first())
        else {
            panic!("no fix")
        };
        assert_eq!((&text[range.clone()], new.as_str()), ("'My Skill!'", "my-skill"));
    }
}
