//! `skillbox diff`: in what two skills differ, folders or bundles.
//!
//! Between a folder and a bundle, what counts is what would ship: tests and other files that stay with the author are no
//! difference.
//!
//! Made for a reviewer who does not trust the second skill: whatever is in it is shown escaped, and nothing is left unsaid
//! because it is no text or too large.

mod lines;

use std::{io::Cursor, path::Path};

use serde_json::{Map, Value, json};
use skill::{
    BundleLimits, Change, Comparison, FieldChange, FileChange, FileState, Links, PackOptions, Skill,
    TestFiles, compare, pack,
};

use self::lines::{Hunk, Lines, Text};
use crate::{
    args::Diff,
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    output::{self, BAD, DIM, GOOD, Output},
    units::show_size,
};

/// How many characters of a digest tell files apart for people.
const DIGEST: usize = 12;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Names,
    Counts,
    Lines,
}

pub(crate) fn execute(command: &Diff, output: Output) -> Result<Exit, CommandError> {
    let (mut before, mut after) = (load(&command.before)?, load(&command.after)?);
    // A bundle is what a folder ships, so beside one the folder is taken as it would ship.
    match (is_bundle(&command.before), is_bundle(&command.after)) {
        (true, false) => after = as_packed(&after, &before)?,
        (false, true) => before = as_packed(&before, &after)?,
        _ => {}
    }
    let unreadable = |error| CommandError::of(Kind::User, "SKILL_UNREADABLE", &error);
    let found = compare(&before, &after).map_err(unreadable)?;
    let detail = match (command.name_only, command.stat) {
        (true, _) => Detail::Names,
        (_, true) => Detail::Counts,
        _ => Detail::Lines,
    };
    let mut texts = Vec::with_capacity(found.files.len());
    for file in &found.files {
        texts.push(match (detail, file.change()) {
            (Detail::Names, _) | (_, Change::Mode) => Text::Unseen,
            _ => lines::compare(content(&before, file, file.before)?, content(&after, file, file.after)?),
        });
    }
    if output.json {
        output.print_json(&document(command, (&before, &after), &found, &texts, detail)?)?;
    } else {
        output::print(&text(&found, &texts, detail))?;
        if found.is_empty() {
            output.note("no differences");
        }
    }
    Ok(if found.is_empty() { Exit::OK } else { Exit::FINDINGS })
}

/// Loads a skill. Whatever goes wrong is an error: 1 means that they differ.
fn load(path: &std::path::Path) -> Result<Skill, CommandError> {
    Skill::load(path).map_err(CommandError::from)
}

fn is_bundle(path: &Path) -> bool {
    path.is_file() && !path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md"))
}

/// The skill of a folder as it comes out of a bundle: without what does not ship, and with the modes of a bundle. Tests ship
/// where the bundle that it is compared with has some.
fn as_packed(skill: &Skill, bundle: &Skill) -> Result<Skill, CommandError> {
    let Some(root) = skill.root() else { return Err(CommandError::usage("the skill has no folder")) };
    let has_tests = bundle.files().iter().any(|file| file.path.starts_with("tests/"));
    let options = PackOptions {
        tests: if has_tests { TestFiles::Include } else { TestFiles::LeaveOut },
        links: Links::CopyInside,
        ..PackOptions::default()
    };
    let limits = BundleLimits::default();
    let packed = pack(root, skill.name(), &options, &limits).map_err(|error| {
        CommandError::of(Kind::User, "SKILL_UNREADABLE", &error)
            .hint("`skillbox pack` says what keeps the folder from being packed")
    })?;
    Skill::from_bundle(Cursor::new(packed.bytes), &limits).map_err(CommandError::from)
}

/// The content of a file where it is there and short enough to be compared by lines.
fn content(
    skill: &Skill,
    file: &FileChange,
    state: Option<FileState>,
) -> Result<Option<Vec<u8>>, CommandError> {
    match state {
        None => Ok(Some(Vec::new())),
        Some(state) if state.size > lines::MAX_BYTES => Ok(None),
        Some(_) => skill
            .read(&file.path)
            .map(Some)
            .map_err(|error| CommandError::of(Kind::User, "SKILL_UNREADABLE", &error)),
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Content => "changed",
        Change::Mode => "mode",
    }
}

fn mode(state: FileState) -> &'static str {
    if state.executable { "755" } else { "644" }
}

fn document(
    command: &Diff,
    (before, after): (&Skill, &Skill),
    found: &Comparison,
    texts: &[Text],
    detail: Detail,
) -> Result<Value, CommandError> {
    let side = |path: &std::path::Path, skill: &Skill| -> Result<Value, CommandError> {
        let digest =
            skill.digest().map_err(|error| CommandError::of(Kind::User, "SKILL_UNREADABLE", &error))?;
        Ok(json!({
            "path": path.to_string_lossy(),
            "slug": skill.name().as_str(),
            "digest": digest.to_string(),
        }))
    };
    let state = |state: FileState| json!({"size": state.size, "sha256": state.digest.to_string(), "executable": state.executable});
    let field = |change: &FieldChange| {
        let mut entry = Map::from_iter([("field".to_owned(), json!(change.field))]);
        let values = [("before", &change.before), ("after", &change.after)];
        entry.extend(
            values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?)))),
        );
        Value::Object(entry)
    };
    let file = |(file, text): (&FileChange, &Text)| {
        let mut entry = json!({"path": file.path, "change": word(file.change())});
        if let Some(before) = file.before {
            entry["before"] = state(before);
        }
        if let Some(after) = file.after {
            entry["after"] = state(after);
        }
        match text {
            Text::Unseen => {}
            Text::Binary => entry["binary"] = json!(true),
            Text::TooLarge => entry["tooLarge"] = json!(true),
            Text::Lines(lines) => {
                entry["linesAdded"] = json!(lines.added);
                entry["linesRemoved"] = json!(lines.removed);
                if detail == Detail::Lines {
                    entry["diff"] = json!(lines.hunks.iter().map(Hunk::raw).collect::<String>());
                }
            }
        }
        entry
    };
    Ok(json!({
        "schemaVersion": 1,
        "same": found.is_empty(),
        "before": side(&command.before, before)?,
        "after": side(&command.after, after)?,
        "fields": found.fields.iter().map(field).collect::<Vec<_>>(),
        "files": found.files.iter().zip(texts).map(file).collect::<Vec<_>>(),
    }))
}

fn text(found: &Comparison, texts: &[Text], detail: Detail) -> String {
    let mut out = String::new();
    if detail == Detail::Lines && !found.fields.is_empty() {
        out.push_str("frontmatter\n");
        for change in &found.fields {
            let field = escape::line(&change.field);
            for (value, style, mark) in [(&change.before, BAD, '-'), (&change.after, GOOD, '+')] {
                if let Some(value) = value {
                    out.push_str(&format!("{style}{mark} {field}: {}{style:#}\n", escape::line(value)));
                }
            }
        }
    }
    for (file, text) in found.files.iter().zip(texts) {
        let path = escape::line(&file.path);
        if detail == Detail::Lines && !out.is_empty() {
            out.push('\n');
        }
        let about = about(file, text);
        let about = if detail == Detail::Names || about.is_empty() {
            String::new()
        } else {
            format!("  {DIM}{about}{DIM:#}")
        };
        out.push_str(&format!("{:<8} {path}{about}\n", word(file.change())));
        if let (Detail::Lines, Text::Lines(lines)) = (detail, text) {
            write_lines(file, &path, lines, &mut out);
        }
    }
    out
}

/// What is said of a file beside its name.
fn about(file: &FileChange, text: &Text) -> String {
    let mut parts = Vec::new();
    let brief = |state: FileState| {
        let digest = state.digest.to_string();
        format!("{} sha256 {}", show_size(state.size), &digest[..DIGEST])
    };
    match text {
        Text::Unseen => {}
        Text::Lines(lines) => parts.push(format!("+{} -{}", lines.added, lines.removed)),
        Text::Binary | Text::TooLarge => {
            let kind = if *text == Text::Binary { "binary" } else { "too large to show" };
            let states = [file.before, file.after].into_iter().flatten().map(brief).collect::<Vec<_>>();
            parts.push(format!("{kind}: {}", states.join(" → ")));
        }
    }
    match (file.before, file.after) {
        (Some(before), Some(after)) if before.executable != after.executable => {
            let word = if file.change() == Change::Mode { "" } else { "mode " };
            parts.push(format!("{word}{} → {}", mode(before), mode(after)));
        }
        (None, Some(after)) if after.executable => parts.push(format!("mode {}", mode(after))),
        _ => {}
    }
    parts.join(", ")
}

/// In the form that `patch` reads, but for escaped characters.
fn write_lines(file: &FileChange, path: &str, lines: &Lines, out: &mut String) {
    if lines.hunks.is_empty() {
        return;
    }
    let name = |state: Option<FileState>, side: char| match state {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    out.push_str(&format!("--- {}\n+++ {}\n", name(file.before, 'a'), name(file.after, 'b')));
    for hunk in &lines.hunks {
        out.push_str(&format!("{DIM}{}{DIM:#}\n", hunk.header));
        for line in &hunk.lines {
            let shown = escape::line(&line.text);
            match line.mark {
                '-' => out.push_str(&format!("{BAD}-{shown}{BAD:#}\n")),
                '+' => out.push_str(&format!("{GOOD}+{shown}{GOOD:#}\n")),
                mark => out.push_str(&format!("{mark}{shown}\n")),
            }
            if !line.ends {
                out.push_str("\\ No newline at end of file\n");
            }
        }
    }
}
