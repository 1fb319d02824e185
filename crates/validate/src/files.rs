//! `SKILL.md` as a file among files: further ones, line ends, characters that do not belong there, leftovers of merges.

use skill::{Diagnostic, Edit, Location, Rule, is_sample};

use crate::{
    Check,
    subject::{Findings, Subject},
};

pub(crate) const CHECKS: &[Check] = &[
    several_skill_files,
    carriage_returns,
    control_characters,
    empty_body,
    conflict_markers,
    nested_archives,
];

fn several_skill_files(subject: &Subject<'_>, found: &mut Findings) {
    let others = subject.draft.files().iter().filter(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        file.path.contains('/') && name.eq_ignore_ascii_case("SKILL.md")
    });
    for file in others {
        if is_sample(&file.path) {
            continue;
        }
        found.push(
            Diagnostic::new(
                Rule::SKILL_FILE_SEVERAL,
                Location::file(&file.path),
                "there is another SKILL.md below the skill's own",
            )
            .with_help("make it a skill of its own beside this one, or give the file another name; no bundle can have both"),
        );
    }
}

fn carriage_returns(subject: &Subject<'_>, found: &mut Findings) {
    let Some(text) = subject.skill_text() else { return };
    let Some(first) = text.content.find('\r') else { return };
    let edits = text.content.match_indices('\r').map(|(at, _)| {
        let pair = text.content[at + 1..].starts_with('\n');
        Edit::Replace {
            file: text.path.clone(),
            range: at..at + 1,
            text: if pair { String::new() } else { "\n".to_owned() },
        }
    });
    found.push(
        Diagnostic::new(Rule::CARRIAGE_RETURNS, text.at(first..first + 1), "lines end with carriage returns")
            .with_help("save the file with LF line ends")
            .with_fix(edits),
    );
}

fn control_characters(subject: &Subject<'_>, found: &mut Findings) {
    let Some(text) = subject.skill_text() else { return };
    let odd = text.content.char_indices().filter(|(_, character)| {
        character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{85}')
    });
    for (at, character) in odd {
        let range = at..at + character.len_utf8();
        let message = format!("there is a control character (U+{:04X})", u32::from(character));
        found.push(
            Diagnostic::new(Rule::CONTROL_CHARACTER, text.at(range.clone()), message)
                .with_help("delete it")
                .with_fix([Edit::Replace { file: text.path.clone(), range, text: String::new() }]),
        );
    }
}

fn empty_body(subject: &Subject<'_>, found: &mut Findings) {
    let Some((text, start)) = subject.body() else { return };
    if text.content[start..].trim().is_empty() {
        found.push(
            Diagnostic::new(Rule::EMPTY_BODY, Location::file(&text.path), "there are no instructions")
                .with_help("write below the frontmatter how to use the skill"),
        );
    }
}

fn conflict_markers(subject: &Subject<'_>, found: &mut Findings) {
    let Some(text) = subject.skill_text() else { return };
    let marks = |line: &str, mark: &str| {
        line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let has = |mark: &str| text.lines().any(|(_, line)| marks(line, mark));
    // A row of equal signs alone is a heading; the three together are a conflict.
    if !(has("<<<<<<<") && has("=======") && has(">>>>>>>")) {
        return;
    }
    if let Some((range, _)) = text.lines().find(|(_, line)| marks(line, "<<<<<<<")) {
        found.push(
            Diagnostic::new(Rule::CONFLICT_MARKERS, text.at(range), "two versions of the text stand here")
                .with_help("keep one of them and delete the markers"),
        );
    }
}

fn nested_archives(subject: &Subject<'_>, found: &mut Findings) {
    const ENDINGS: [&str; 11] =
        [".zip", ".skill", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".whl", ".jar", ".7z", ".rar"];
    for file in subject.draft.files() {
        let path = file.path.to_ascii_lowercase();
        if ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            let message = "this archive is a file like any other; what is in it was not checked";
            found.push(
                Diagnostic::new(Rule::ARCHIVE_NESTED, Location::file(&file.path), message)
                    .with_help("ship the files themselves where they are needed"),
            );
        }
    }
}
