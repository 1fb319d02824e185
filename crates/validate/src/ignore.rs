//! Ignore comments: findings that the author has looked at and accepts.
//!
//! `skillbox: ignore SB129` in a comment stands for its own line and the next; `skillbox: ignore-file SB129` for the whole
//! file. Several codes or names may follow, with commas or spaces. In Markdown the comment is `<!-- … -->`, in scripts and YAML
//! `# …`, in JavaScript `// …`. A comment that ignores nothing is itself reported, so that none outlives its reason.

use std::{collections::BTreeSet, ops::Range};

use skill::{Diagnostic, Rule};

use crate::{
    Options,
    select::resolve,
    subject::{Subject, Text},
};

const MARK: &str = "skillbox: ignore";

/// An ignore comment.
#[derive(Debug)]
pub(crate) struct Comment {
    /// Where it stands.
    range: Range<usize>,
    /// The first line it is for; `None` for the whole file.
    line: Option<usize>,
    rules: Vec<Rule>,
    unknown: Vec<String>,
}

/// Rules that may find something only where the skill is run: a comment for them is not idle when nothing else was found.
const FOUND_BY_RUNNING: [Rule; 3] = [Rule::NO_HELP, Rule::LOCAL_IMPORT, Rule::SMOKE_TEST];

/// Drops what is ignored and adds what is wrong with the comments themselves.
pub(crate) fn apply(subject: &Subject<'_>, found: &mut Vec<Diagnostic>, options: &Options) {
    let about_comments = drop_ignored(subject, found);
    let about_comments = about_comments.into_iter().flat_map(|(comment, text, used)| {
        subject.text(&text).map(|text| comment.findings(text, used, options)).unwrap_or_default()
    });
    found.extend(options.selection.apply(about_comments.collect(), options.profile));
}

/// Drops what is ignored; gives all comments, where they stand, and whether they ignored something.
pub(crate) fn drop_ignored(
    subject: &Subject<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<(Comment, String, bool)> {
    // Only files with findings, and those that people write, can have comments that matter.
    let mut files: BTreeSet<&str> = found
        .iter()
        .map(|diagnostic| diagnostic.location.file.as_str())
        .filter_map(|path| subject.draft.file(path).map(|file| file.path.as_str()))
        .collect();
    files.extend(subject.draft.files().iter().map(|file| file.path.as_str()).filter(|path| is_written(path)));
    let mut dropped = vec![false; found.len()];
    let mut all = Vec::new();
    for path in files {
        let Some(text) = subject.text(path) else { continue };
        for comment in comments(text) {
            let mut used = false;
            for (diagnostic, dropped) in found.iter().zip(&mut dropped) {
                if diagnostic.location.file == path && comment.covers(diagnostic) {
                    *dropped = true;
                    used = true;
                }
            }
            all.push((comment, path.to_owned(), used));
        }
    }
    let mut dropped = dropped.into_iter();
    found.retain(|_| !dropped.next().unwrap_or_default());
    all
}

fn is_written(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| {
        matches!(
            extension,
            "md" | "py" | "sh" | "bash" | "js" | "mjs" | "cjs" | "txt" | "yaml" | "yml" | "toml"
        )
    })
}

impl Comment {
    fn covers(&self, diagnostic: &Diagnostic) -> bool {
        if !self.rules.contains(&diagnostic.rule) {
            return false;
        }
        match (self.line, diagnostic.location.span) {
            (None, _) => true,
            (Some(line), Some(span)) => (line..=line + 1).contains(&span.start.line),
            // What is said of a whole file cannot be told apart by lines.
            (Some(_), None) => false,
        }
    }

    fn findings(&self, text: &Text, used: bool, options: &Options) -> Vec<Diagnostic> {
        let at = text.at(self.range.clone());
        let mut found: Vec<Diagnostic> = self
            .unknown
            .iter()
            .map(|name| {
                let message = format!("there is no rule `{}`", name.escape_debug());
                Diagnostic::new(Rule::IGNORE_UNKNOWN, at.clone(), message)
                    .with_help("`skillbox rules` lists all of them")
            })
            .collect();
        // A rule that is not looked at finds nothing; that says nothing about the comment.
        let looked_at =
            self.rules.iter().any(|rule| options.selection.has(*rule) && !FOUND_BY_RUNNING.contains(rule));
        if !used && looked_at && self.unknown.is_empty() {
            let message = "this comment ignores nothing";
            found.push(Diagnostic::new(Rule::IGNORE_UNUSED, at, message).with_help("delete it"));
        }
        found
    }
}

fn comments(text: &Text) -> Vec<Comment> {
    if memchr::memmem::find(text.content.as_bytes(), MARK.as_bytes()).is_none() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, (range, line)) in text.lines().enumerate() {
        let Some(at) = line.find(MARK) else { continue };
        // Prose that explains the comment is no comment.
        let before = line[..at].trim_end();
        let Some(opening) = ["<!--", "#", "//", "/*", "--"].into_iter().find(|mark| before.ends_with(mark))
        else {
            continue;
        };
        let rest = &line[at + MARK.len()..];
        let (rest, whole_file) = match rest.strip_prefix("-file") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let end = rest.find("-->").or_else(|| rest.find("*/")).unwrap_or(rest.len());
        let (mut rules, mut unknown) = (Vec::new(), Vec::new());
        for name in rest[..end].split([',', ' ', '\t']).filter(|name| !name.is_empty()) {
            match resolve(name) {
                Ok(named) => rules.extend(named),
                Err(error) => unknown.push(error.choice),
            }
        }
        found.push(Comment {
            range: range.start + before.len() - opening.len()..range.start + line.trim_end().len(),
            line: (!whole_file).then_some(index + 1),
            rules,
            unknown,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use skill::{Draft, Location, Span};

    use super::*;
    use crate::{accept, check};

    const TEXT: &str =
        "---\nname: my-skill\ndescription: Counts words. Use it when asked.\nlicense: MIT\n---\nRun it.\n";

    #[test]
    fn what_only_a_run_can_find_is_ignored_too_and_its_comment_is_not_idle() {
        let script = "import numpy  # skillbox: ignore SB219\nimport scipy\n\nimport torch\n";
        let draft =
            Draft::from_files([("SKILL.md", TEXT), ("scripts/a.py", script)], Some("my-skill")).unwrap();
        let at = |line: usize| {
            let offset = script.lines().take(line - 1).map(|line| line.len() + 1).sum::<usize>();
            let span = Span::in_text(script, offset..offset + 6);
            Diagnostic::new(Rule::SMOKE_TEST, Location::span("scripts/a.py", span), "missing")
        };
        let left = accept(&draft, vec![at(1), at(2), at(4)], &Options::default());
        assert_eq!(left, [at(4)]);
        let found = check(&draft, &Options::default());
        assert!(!found.iter().any(|found| found.rule == Rule::IGNORE_UNUSED), "{found:?}");
    }

    #[test]
    fn prose_about_comments_is_none_and_the_end_of_a_comment_ends_it() {
        let text = Text::new(
            "a.md",
            "Write `skillbox: ignore SB129`.\n<!-- skillbox: ignore-file SB129, name-uppercase --> x\n"
                .to_owned(),
        );
        let found = comments(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].line, found[0].rules.len(), found[0].unknown.len()), (None, 2, 0));
    }
}
