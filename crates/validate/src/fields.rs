//! The fields of the frontmatter, beyond what loading already judges.

mod description;
mod tools;

use skill::{Diagnostic, Edit, Field, Location, Rule, SkillName, Value};
use unicode_script::UnicodeScript as _;

use crate::{
    Check,
    subject::{Findings, Subject, Text},
};

pub(crate) const CHECKS: &[Check] =
    &[name, description::check, compatibility, metadata, tools::check, license, version, author];

/// The most characters of a compatibility note.
const MAX_COMPATIBILITY: usize = 500;

/// Where the value of a field stands.
fn value(text: &Text, field: &Field) -> Location {
    text.at(field.value_span.start.offset..field.value_span.end.offset)
}

/// A value as it is written, quotes included.
fn written<'text>(text: &'text Text, field: &Field) -> &'text str {
    text.content.get(field.value_span.start.offset..field.value_span.end.offset).unwrap_or_default()
}

/// The edit that puts `new` in the place of a value.
fn replace(text: &Text, field: &Field, new: String) -> Edit {
    Edit::Replace {
        file: text.path.clone(),
        range: field.value_span.start.offset..field.value_span.end.offset,
        text: new,
    }
}

fn name(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let (Some(field), Some(name)) = (frontmatter.field("name"), frontmatter.name()) else { return };
    if written(text, field) == name && is_other_scalar(name) {
        found.push(
            Diagnostic::new(
                Rule::NAME_SCALAR,
                value(text, field),
                format!("YAML reads `{name}` as something other than text"),
            )
            .with_help("put it in quotes")
            .with_fix([replace(text, field, format!("\"{name}\""))]),
        );
    }
    let mut scripts: Vec<_> = name
        .chars()
        .filter(|character| character.is_alphabetic())
        .map(|character| character.script())
        .filter(|script| {
            !matches!(script, unicode_script::Script::Common | unicode_script::Script::Inherited)
        })
        .collect();
    scripts.sort_by_key(|script| script.full_name());
    scripts.dedup();
    if scripts.len() > 1 && !is_japanese_or_korean(&scripts) {
        let names: Vec<&str> = scripts.iter().map(|script| script.full_name()).collect();
        found.push(
            Diagnostic::new(
                Rule::NAME_MIXED_SCRIPTS,
                value(text, field),
                format!("the name mixes letters of {}", names.join(" and ")),
            )
            .with_help("use letters of one script; those that look alike imitate another name"),
        );
    }
    let lower = name.to_lowercase();
    if let Some(brand) = ["claude", "anthropic"].into_iter().find(|brand| lower.contains(brand)) {
        found.push(
            Diagnostic::new(
                Rule::NAME_BRAND,
                value(text, field),
                format!("uploads to Claude's products refuse names with `{brand}`"),
            )
            .with_help("leave the word out"),
        );
    }
    // A name that only has to be mended is that of the directory then.
    let mended = SkillName::near(name);
    if let Some(directory) = subject.draft.directory()
        && directory != name
        && mended.is_none_or(|mended| mended.as_str() != directory)
    {
        let message = format!(
            "the directory is called `{}`, the skill `{}`",
            directory.escape_debug(),
            name.escape_debug()
        );
        found.push(
            Diagnostic::new(Rule::DIRECTORY_NAME, value(text, field), message)
                .with_help("give both the same name"),
        );
    }
}

/// What YAML's core schemas, old and new, take for a number, a date or a truth value.
fn is_other_scalar(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", ".nan", ".inf"];
    let digits = text.trim_start_matches(['-', '+']).replace('_', "");
    let date = digits.len() == 10
        && digits
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    words.contains(&lower.as_str())
        || date
        || digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
            && (digits.parse::<f64>().is_ok()
                || digits.strip_prefix("0x").is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok())
                || digits.strip_prefix("0o").is_some_and(|octal| u64::from_str_radix(octal, 8).is_ok()))
}

/// Languages that are written in several scripts at once.
fn is_japanese_or_korean(scripts: &[unicode_script::Script]) -> bool {
    use unicode_script::Script::{Bopomofo, Han, Hangul, Hiragana, Katakana, Latin};
    let all = |allowed: &[unicode_script::Script]| scripts.iter().all(|script| allowed.contains(script));
    all(&[Han, Hiragana, Katakana, Latin]) || all(&[Han, Hangul, Latin]) || all(&[Han, Bopomofo, Latin])
}

fn compatibility(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let Some(field) = frontmatter.field("compatibility") else { return };
    let at = value(text, field);
    match &field.value {
        Value::Null => found.push(empty_compatibility(at)),
        Value::Text(content) if content.trim().is_empty() => found.push(empty_compatibility(at)),
        Value::Text(content) => {
            let chars = content.chars().count();
            if chars > MAX_COMPATIBILITY {
                let message = format!(
                    "the compatibility has {chars} characters; at most {MAX_COMPATIBILITY} are allowed"
                );
                found.push(
                    Diagnostic::new(Rule::COMPATIBILITY_TOO_LONG, at, message)
                        .with_help("name what is needed, and explain it in the body"),
                );
            }
        }
        other => {
            let message = format!("the compatibility must be text; it is {}", other.kind());
            found.push(
                Diagnostic::new(Rule::COMPATIBILITY_NOT_STRING, at, message)
                    .with_help("write one sentence, such as `Needs Python 3.11 and git.`"),
            );
        }
    }
}

fn empty_compatibility(at: Location) -> Diagnostic {
    Diagnostic::new(Rule::COMPATIBILITY_EMPTY, at, "the compatibility is empty")
        .with_help("say what the skill needs, or delete the field")
}

fn metadata(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let Some(field) = frontmatter.field("metadata") else { return };
    let Value::Map(pairs) = &field.value else {
        let message = format!("the metadata must be a map; it is {}", field.value.kind());
        found.push(
            Diagnostic::new(Rule::METADATA_NOT_MAPPING, value(text, field), message)
                .with_help("write one `key: value` a line, indented below `metadata:`"),
        );
        return;
    };
    for (key, node) in pairs {
        let range = node.span.start.offset..node.span.end.offset;
        let name = key.value.as_text().unwrap_or_default().escape_debug().to_string();
        match &node.value {
            Value::List(_) | Value::Map(_) => {
                let message = format!("the value of `{name}` must be text; it is {}", node.value.kind());
                found.push(
                    Diagnostic::new(Rule::METADATA_VALUE, text.at(range), message)
                        .with_help("write it as one text, such as `a, b`"),
                );
            }
            Value::Text(content) if name == "version" && content.parse::<f64>().is_ok() => {
                // In quotes it is text for every reader.
                if text.content.get(range.clone()) == Some(content.as_str()) {
                    found.push(
                        Diagnostic::new(
                            Rule::METADATA_NUMBER,
                            text.at(range.clone()),
                            format!("many readers take `{content}` for a number and drop zeros at its end"),
                        )
                        .with_help("put it in quotes")
                        .with_fix([Edit::Replace {
                            file: text.path.clone(),
                            range,
                            text: format!("\"{content}\""),
                        }]),
                    );
                }
            }
            _ => {}
        }
    }
}

fn license(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let is_license = |path: &str| {
        let name = path.to_ascii_lowercase();
        !path.contains('/')
            && ["license", "licence", "copying", "notice"].iter().any(|start| name.starts_with(start))
    };
    let has_file = subject.draft.files().iter().any(|file| is_license(&file.path));
    let Some((field, license)) = frontmatter.field("license").zip(frontmatter.license()) else {
        if !has_file {
            found.push(
                Diagnostic::new(Rule::LICENSE_MISSING, Location::file(&text.path), "no licence is given")
                    .with_help("add `license:` with an SPDX identifier such as `MIT`, or a LICENSE file"),
            );
        }
        return;
    };
    let file = license
        .split(|character: char| character.is_whitespace() || "`'\"()[],;".contains(character))
        .map(|word| word.trim_end_matches('.'))
        .find(|word| {
            let lower = word.to_ascii_lowercase();
            let named =
                lower.starts_with("license") || lower.starts_with("licence") || lower.starts_with("copying");
            named
                && (lower.ends_with(".txt")
                    || lower.ends_with(".md")
                    || lower.chars().all(char::is_alphabetic) && word.chars().all(char::is_uppercase))
        });
    match file {
        Some(file) if subject.draft.file(file).is_none() => found.push(
            Diagnostic::new(
                Rule::LICENSE_FILE,
                value(text, field),
                format!("there is no `{}` in the skill", file.escape_debug()),
            )
            .with_help("add the file, or name the licence by its SPDX identifier"),
        ),
        Some(_) => {}
        None if spdx::Expression::parse(license).is_err() => {
            let near = spdx::imprecise_license_id(license).filter(|(_, length)| *length == license.len());
            let diagnostic = Diagnostic::new(
                Rule::LICENSE_NOT_SPDX,
                value(text, field),
                "the licence is no SPDX identifier",
            );
            found.push(match near {
                Some((id, _)) => diagnostic.with_help(format!("write `{}`", id.name)),
                None => diagnostic.with_help("see https://spdx.org/licenses"),
            });
        }
        None => {}
    }
}

fn version(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let Some(field) = frontmatter.field("version") else { return };
    if frontmatter.version().is_some_and(|version| semver::Version::parse(version).is_ok()) {
        return;
    }
    let diagnostic =
        Diagnostic::new(Rule::VERSION_NOT_SEMVER, value(text, field), "the version is no semantic version")
            .with_help("write major.minor.patch, such as `1.2.0`");
    let numbers = field.value.as_text().map(str::trim).unwrap_or_default();
    let parts: Vec<&str> = numbers.split('.').collect();
    let numeric = parts.iter().all(|part| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    });
    found.push(if numeric && parts.len() < 3 && written(text, field).trim_matches(['"', '\'']) == numbers {
        let full = format!("{numbers}{}", ".0".repeat(3 - parts.len()));
        diagnostic.with_fix([replace(text, field, full)])
    } else {
        diagnostic
    });
}

fn author(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(text), Some(frontmatter)) = (subject.skill_text(), subject.frontmatter()) else { return };
    let Some(field) = frontmatter.field("author") else { return };
    if !matches!(field.value, Value::Text(_)) {
        let message = format!("the author must be text; it is {}", field.value.kind());
        found.push(
            Diagnostic::new(Rule::AUTHOR_NOT_STRING, value(text, field), message)
                .with_help("write one text, such as `Ann Example`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_takes_for_something_else() {
        for text in ["1", "1.5", "0x1f", "0o17", "1_000", "2024-01-01", "true", "No", "off", "null", "1e3"] {
            assert!(is_other_scalar(text), "{text}");
        }
        for text in ["a", "1a", "v1", "qr-code", "2024-01", "nan", "inf", "-"] {
            assert!(!is_other_scalar(text), "{text}");
        }
    }
}
