//! In what two skills differ: the fields of their frontmatter, and their files by content and mode.
//!
//! Pure data. Texts are compared line by line by whoever shows them.

use std::collections::BTreeMap;

use crate::{
    content::ReadError,
    skill::{Digest, Skill},
    yaml::{Node, Value},
};

/// In what two skills differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Fields of the frontmatter, in the order of the second skill, then those that it has not.
    pub fields: Vec<FieldChange>,
    /// Files, sorted by path.
    pub files: Vec<FileChange>,
}

impl Comparison {
    /// Whether they differ in nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.files.is_empty()
    }
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldChange {
    /// Its name; those of maps are joined with a dot.
    pub field: String,
    /// Its value in the first skill, if it is there.
    pub before: Option<String>,
    /// Its value in the second skill, if it is there.
    pub after: Option<String>,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileChange {
    /// Path relative to the skill's root.
    pub path: String,
    /// The file in the first skill, if it is there.
    pub before: Option<FileState>,
    /// The file in the second skill, if it is there.
    pub after: Option<FileState>,
}

/// What can be compared of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileState {
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of its content.
    pub digest: Digest,
    /// Whether it may be executed.
    pub executable: bool,
}

/// How a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the second skill has it.
    Added,
    /// Only the first skill has it.
    Removed,
    /// Its content differs, and maybe its mode.
    Content,
    /// Only its mode differs.
    Mode,
}

impl FileChange {
    /// How it differs.
    pub fn change(&self) -> Change {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before.digest == after.digest => Change::Mode,
            (Some(_), Some(_)) => Change::Content,
            (Some(_), None) => Change::Removed,
            (None, _) => Change::Added,
        }
    }
}

/// Compares two skills. Every file of both is read.
pub fn compare(before: &Skill, after: &Skill) -> Result<Comparison, ReadError> {
    Ok(Comparison { fields: fields(before, after), files: files(before, after)? })
}

fn files(before: &Skill, after: &Skill) -> Result<Vec<FileChange>, ReadError> {
    let mut all: BTreeMap<&str, (Option<FileState>, Option<FileState>)> = BTreeMap::new();
    for file in before.files() {
        all.entry(&file.path).or_default().0 = Some(state(before, file)?);
    }
    for file in after.files() {
        all.entry(&file.path).or_default().1 = Some(state(after, file)?);
    }
    let differing = all.into_iter().filter(|(_, (before, after))| before != after);
    Ok(differing.map(|(path, (before, after))| FileChange { path: path.to_owned(), before, after }).collect())
}

fn state(skill: &Skill, file: &crate::skill::SkillFile) -> Result<FileState, ReadError> {
    Ok(FileState { size: file.size, digest: skill.file_digest(file)?, executable: file.executable })
}

fn fields(before: &Skill, after: &Skill) -> Vec<FieldChange> {
    let (before, after) = (flat(before), flat(after));
    let find = |fields: &[(String, String)], wanted: &str| {
        fields.iter().rfind(|(field, _)| field == wanted).map(|(_, value)| value.clone())
    };
    let mut changes: Vec<FieldChange> = Vec::new();
    for (field, _) in after.iter().chain(&before) {
        let (old, new) = (find(&before, field), find(&after, field));
        if old != new && !changes.iter().any(|change| change.field == *field) {
            changes.push(FieldChange { field: field.clone(), before: old, after: new });
        }
    }
    changes
}

/// All fields with the values of maps under names of their own.
fn flat(skill: &Skill) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for field in skill.frontmatter().fields() {
        flatten(&field.key, &field.value, &mut out);
    }
    out
}

fn flatten(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Map(pairs) if !pairs.is_empty() => {
            for (key, node) in pairs {
                flatten(&format!("{name}.{}", show(key)), &node.value, out);
            }
        }
        other => out.push((name.to_owned(), text(other))),
    }
}

fn show(node: &Node) -> String {
    text(&node.value)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.clone(),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}: {}", show(key), show(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(frontmatter: &str, files: &[(&str, &str)]) -> Skill {
        let head = format!("---\nname: a\ndescription: Does a thing.\n{frontmatter}---\nBody\n");
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Skill::from_files(files.chain([("SKILL.md".to_owned(), head)])).unwrap()
    }

    #[test]
    fn equal_skills_have_no_differences() {
        let one = skill("license: MIT\n", &[("a.md", "a")]);
        assert!(compare(&one, &skill("license: MIT\n", &[("a.md", "a")])).unwrap().is_empty());
    }

    #[test]
    fn files_are_told_by_what_became_of_them() {
        let before = skill("", &[("a.md", "a"), ("b.md", "b"), ("c.md", "c")]);
        let after = skill("", &[("a.md", "a"), ("b.md", "bb"), ("d.md", "d")]);
        let found = compare(&before, &after).unwrap();
        let changes: Vec<_> = found.files.iter().map(|file| (file.path.as_str(), file.change())).collect();
        assert_eq!(changes, [("b.md", Change::Content), ("c.md", Change::Removed), ("d.md", Change::Added)]);
        assert_eq!(found.files[0].after.unwrap().size, 2);
        assert!(found.fields.is_empty());
    }

    #[test]
    fn a_mode_alone_is_a_difference() {
        let state = |executable| FileState { size: 1, digest: Digest::of("x"), executable };
        let change = FileChange { path: "x".into(), before: Some(state(false)), after: Some(state(true)) };
        assert_eq!(change.change(), Change::Mode);
    }

    #[test]
    fn fields_are_compared_by_their_meaning() {
        let before =
            skill("license: 'MIT'\nmetadata:\n  version: 1.0\n  team: x\nallowed-tools: Read\n", &[]);
        let after =
            skill("metadata:\n  team: x\n  version: '1.1'\nlicense: MIT\ncompatibility: [a, b]\n", &[]);
        let found = compare(&before, &after).unwrap();
        let fields: Vec<_> = found
            .fields
            .iter()
            .map(|change| (change.field.as_str(), change.before.as_deref(), change.after.as_deref()))
            .collect();
        assert_eq!(
            fields,
            [
                ("metadata.version", Some("1.0"), Some("1.1")),
                ("compatibility", None, Some("[a, b]")),
                ("allowed-tools", Some("Read"), None),
            ]
        );
    }
}
