//! Where links lead.

use std::ops::Range;

use skill::{Diagnostic, Edit, Rule};

use super::{MAX_EACH_FILE, is_for_people, is_material};
use crate::{
    markdown::Link,
    paths::{Paths, Target, decoded, extension, folder, is_placeholder},
    pattern::Pattern,
    subject::{Findings, Subject, Text},
};

/// Words in brackets that are no link.
static FORM: Pattern = Pattern::new(r"(?m)\[[A-Z][a-z][^\]\[\n]*\](?:[^(\[:]|$)", &[&["["], &["]"]]);

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let paths = Paths::new(subject.draft);
    // What is for people may lead to what only the repository has.
    for path in subject.documents().filter(|path| !is_material(path) && !is_for_people(path)) {
        let Some((text, markdown)) = subject.markdown(path) else { continue };
        let reader = Reader { subject, paths: &paths, text };
        for diagnostic in markdown.links.iter().filter_map(|link| reader.look_at(link)).take(MAX_EACH_FILE) {
            findings.push(diagnostic);
        }
    }
}

/// Whether a target names a protocol, such as `https:` or `mailto:`.
fn has_scheme(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+.-".contains(character))
    })
}

struct Reader<'a> {
    subject: &'a Subject<'a>,
    paths: &'a Paths<'a>,
    text: &'a Text,
}

impl Reader<'_> {
    fn look_at(&self, link: &Link) -> Option<Diagnostic> {
        let target = link.destination.trim();
        if target.is_empty() || has_scheme(target) || target.starts_with("//") || target.contains("://") {
            return None;
        }
        let (file, fragment) = match target.split_once('#') {
            Some((file, fragment)) => (file, Some(fragment)),
            None => (target, None),
        };
        let file = file.split('?').next().unwrap_or_default();
        if file.is_empty() {
            return self.anchor(link, &self.text.path, fragment?);
        }
        if is_placeholder(file) && !matches!(self.resolve(file), Target::File(_) | Target::Directory(_)) {
            return None;
        }
        if file.starts_with(['/', '~']) || file.as_bytes().get(1) == Some(&b':') {
            let message = format!("the link leads to `{}`, which is not in the skill", shown(file));
            return Some(
                self.diagnostic(Rule::LINK_OUTSIDE, link, message)
                    .with_help("link to a file of the skill by a relative path, or to a full address"),
            );
        }
        self.relative(link, file, fragment)
    }

    fn relative(&self, link: &Link, file: &str, fragment: Option<&str>) -> Option<Diagnostic> {
        match self.resolve(file) {
            Target::File(path) => self.anchor(link, path, fragment?),
            Target::Directory(_) | Target::LeftOut => None,
            Target::OtherCase(path) => Some(self.other_case(link, file, path)),
            Target::Extension(path) => {
                let message = format!("the link says `{}`, the file is `{path}`", shown(file));
                Some(
                    self.diagnostic(Rule::REFERENCE_SPELLING, link, message)
                        .with_help("write the whole name with its extension"),
                )
            }
            Target::Outside => {
                let message = format!("`{}` leads out of the skill", shown(file));
                Some(self.diagnostic(Rule::LINK_OUTSIDE, link, message).with_help(
                    "copy what is needed into the skill, or name the other skill instead of its file",
                ))
            }
            Target::Missing => {
                let slashes = file.replace('\\', "/");
                if slashes != file && matches!(self.resolve(&slashes), Target::File(_) | Target::Directory(_))
                {
                    return Some(self.backslashes(link));
                }
                // `[text](url)` shows how links are written, and a line with `[Description]` is a form to be filled in.
                let is_form = FORM.is_match(self.text.line_around(link.target.start));
                if is_form || !self.looks_like_path(file) {
                    return None;
                }
                let message = format!("`{}` is not in the skill", shown(file));
                let diagnostic = self.diagnostic(Rule::LINK_MISSING, link, message);
                Some(match self.paths.similar(&slashes) {
                    Some(similar) => diagnostic.with_help(format!("did you mean `{similar}`?")),
                    None => diagnostic.with_help("add the file, or remove the link"),
                })
            }
        }
    }

    /// Whether a target that leads nowhere was meant as one of the skill's files: it has an extension, or begins where the
    /// skill has a directory. `[0,2,4](MON/WED/FRI)` and `[x](a/b)` are formulas and forms.
    fn looks_like_path(&self, file: &str) -> bool {
        let extension = extension(file);
        let is_extension = (1..=8).contains(&extension.len())
            && extension.chars().all(|character| character.is_ascii_alphanumeric())
            && extension.chars().any(|character| character.is_ascii_alphabetic());
        let top = file.trim_start_matches("./").split('/').next().unwrap_or_default();
        // `undefined` is what a generator of documents writes for a page that it did not find.
        is_extension && !file.contains([',', '(', ' ', '=', '@'])
            || file == "undefined"
            || file.contains('/') && (file.starts_with('.') || self.paths.has_directory(top))
    }

    fn resolve(&self, file: &str) -> Target<'_> {
        let here = folder(&self.text.path);
        match self.paths.resolve(here, &decoded(file)) {
            // A file may really be called `100%25.md`.
            Target::Missing => self.paths.resolve(here, file),
            target => target,
        }
    }

    fn other_case(&self, link: &Link, file: &str, path: &str) -> Diagnostic {
        let message = format!("the link says `{}`, the file is `{path}`", shown(file));
        let diagnostic = self
            .diagnostic(Rule::REFERENCE_SPELLING, link, message)
            .with_help("upper and lower case count in file names");
        // The letters can be put right where they are written plainly and as many as those of the path's end.
        let written = &self.text.content[link.target.clone()];
        let right = written.starts_with(file) && is_plain(file) && is_plain(path);
        match right.then(|| respelled(file, path)).flatten() {
            Some(text) => {
                let range = link.target.start..link.target.start + file.len();
                diagnostic.with_fix([Edit::Replace { file: self.text.path.clone(), range, text }])
            }
            None => diagnostic,
        }
    }

    fn backslashes(&self, link: &Link) -> Diagnostic {
        let written = &self.text.content[link.target.clone()];
        self.diagnostic(Rule::BACKSLASH_PATH, link, format!("`{}` has backslashes", shown(written)))
            .with_help("write `/` between directories")
            .with_fix([Edit::Replace {
                file: self.text.path.clone(),
                range: link.target.clone(),
                text: written.replace('\\', "/"),
            }])
    }

    fn anchor(&self, link: &Link, path: &str, fragment: &str) -> Option<Diagnostic> {
        let wanted = decoded(fragment).to_lowercase();
        let is_line =
            wanted.strip_prefix('l').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if wanted.is_empty() || wanted == "top" || is_line || is_placeholder(&wanted) {
            return None;
        }
        let (_, markdown) = self.subject.markdown(path)?;
        if markdown.anchors.is_empty() && path != self.text.path || markdown.has_anchor(&wanted) {
            return None;
        }
        let start = link.target.end.saturating_sub(fragment.len()).max(link.target.start);
        let message = format!("`{path}` has no heading for `#{}`", shown(fragment));
        let diagnostic = Diagnostic::new(Rule::ANCHOR_MISSING, self.text.at(start..link.target.end), message);
        let near = markdown.anchors.iter().find(|anchor| crate::paths::is_one_edit_away(anchor, &wanted));
        Some(match near {
            Some(near) => diagnostic.with_help(format!("did you mean `#{near}`?")),
            None => diagnostic.with_help("link to a heading that exists, or to the file alone"),
        })
    }

    fn diagnostic(&self, rule: Rule, link: &Link, message: String) -> Diagnostic {
        Diagnostic::new(rule, self.place(link), message)
    }

    fn place(&self, link: &Link) -> skill::Location {
        let range: Range<usize> = link.target.clone();
        self.text.at(range)
    }
}

/// What a reference is shown as: nothing in it may act on a terminal, and not much of it is needed.
pub(super) fn shown(reference: &str) -> String {
    let short: String = reference.chars().take(120).collect();
    short.escape_debug().to_string()
}

/// Whether a path stands in Markdown as it is.
fn is_plain(path: &str) -> bool {
    path.chars().all(|character| character.is_ascii_alphanumeric() || "_-./".contains(character))
}

/// `written` with the letters of `path`, when it is an end of that apart from case.
pub(super) fn respelled(written: &str, path: &str) -> Option<String> {
    let kept = written.len() - written.trim_start_matches(['.', '/']).len();
    let tail = written[kept..].trim_end_matches('/');
    let start = path.len().checked_sub(tail.len())?;
    let right = path.get(start..)?;
    let whole = start == 0 || path.as_bytes().get(start - 1) == Some(&b'/');
    (whole && right.eq_ignore_ascii_case(tail) && !extension(right).is_empty())
        .then(|| format!("{}{right}{}", &written[..kept], &written[kept + tail.len()..]))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    const RULES: [Rule; 5] = [
        Rule::LINK_MISSING,
        Rule::REFERENCE_SPELLING,
        Rule::BACKSLASH_PATH,
        Rule::ANCHOR_MISSING,
        Rule::LINK_OUTSIDE,
    ];

    fn in_body(body: &str) -> Vec<String> {
        let files = [
            ("SKILL.md", body),
            ("references/api.md", "# Errors & limits\n\n[up](../scripts/run.py) [root](scripts/run.py)\n"),
            ("references/a b.md", ""),
            ("references/My Notes.md", ""),
            ("scripts/run.py", ""),
        ];
        found(&files, &RULES).iter().map(|diagnostic| diagnostic.to_string()).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_good() {
        for body in [
            "[a](references/api.md) [b](./references/api.md#errors--limits) [c](references/a%20b.md)",
            "[a](<references/a b.md>) [b](references/) [c](scripts) [d](https://a.b/c.md) [e](mailto:a@b.c)",
            "[text](url) [x](path/to/file.md) [y](<name>.md) [z](references/{lang}.md) [v](#top) [w]()",
            "`[a](no.md)`\n\n```md\n[a](no.md)\n```\n\n<!-- [a](no.md) -->\n",
            "# Do it: now!\n\n[a](#do-it-now)",
            "- [part.md](./part.md) - [Description]",
            "Write to <user@example.com>. Days [0,2,4](MON/WED/FRI), [f](x.y, z), [v](1.0)",
        ] {
            assert_eq!(in_body(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn every_way_to_nowhere_has_its_rule_and_place() {
        for (body, wanted) in [
            (
                "é\r\n[a](references/b.md)",
                "SKILL.md:6:5: error[SB123]: `references/b.md` is not in the skill",
            ),
            (
                "[a](references/API.md)",
                "SKILL.md:5:5: warning[SB128]: the link says `references/API.md`, the file is `references/api.md`",
            ),
            (
                "[a](references/api)",
                "SKILL.md:5:5: warning[SB128]: the link says `references/api`, the file is `references/api.md`",
            ),
            (
                "[a](references\\api.md)",
                "SKILL.md:5:5: warning[SB130]: `references\\\\api.md` has backslashes",
            ),
            ("[a](undefined#x)", "SKILL.md:5:5: error[SB123]: `undefined` is not in the skill"),
            ("[a](references/b)", "SKILL.md:5:5: error[SB123]: `references/b` is not in the skill"),
            ("[a](#nothing)", "SKILL.md:5:6: warning[SB132]: `SKILL.md` has no heading for `#nothing`"),
            (
                "[a](references/api.md#error)",
                "SKILL.md:5:23: warning[SB132]: `references/api.md` has no heading for `#error`",
            ),
            ("[a](../b.md)", "SKILL.md:5:5: warning[SB137]: `../b.md` leads out of the skill"),
            (
                "[a](/etc/b.md)",
                "SKILL.md:5:5: warning[SB137]: the link leads to `/etc/b.md`, which is not in the skill",
            ),
        ] {
            assert_eq!(in_body(body), [wanted], "{body}");
        }
    }

    #[test]
    fn letters_are_put_right() {
        assert_eq!(
            respelled("./references/API.md", "references/api.md").as_deref(),
            Some("./references/api.md")
        );
        assert_eq!(respelled("../Api.md", "references/api.md").as_deref(), Some("../api.md"));
        assert_eq!(respelled("pi.md", "references/api.md"), None);
    }
}
