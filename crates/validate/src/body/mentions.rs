//! Paths of the skill that are mentioned without being links: in sentences, in code, in commands.

use std::{collections::BTreeSet, ops::Range};

use skill::{Diagnostic, Edit, Rule};

use super::{MAX_EACH_FILE, is_for_people, is_material, links::shown};
use crate::{
    markdown::Markdown,
    paths::{Paths, Target, extension, folder, is_placeholder, name},
    pattern::Pattern,
    subject::{Findings, Subject, Text},
};

/// The longest beginning of a path that is looked at.
const MAX_PREFIX: usize = 200;

/// Words right before a path that make it an example, or a file that is yet to be made.
static EXAMPLE: Pattern = Pattern::new(
    r"(?i)(?:\be\.g\.|\bi\.e\.|\bfor instance|\bfor example|\bsuch as|\blike|\bexamples?:?|\bcreat(?:e|es|ed|ing)\b[^.;]*|\bsav(?:e|es|ed|ing)\b[^.;]*|\bgenerat(?:e|es|ed|ing)\b[^.;|]*|\bwrit(?:e|es|ten|ing)\b[^.;]*|\bproduc(?:e|es|ing)\b[^.;]*|\bstor(?:e|es|ing)\b[^.;]*|\bmov(?:e|es|ing)\b[^.;]*|\bput(?:s|ting)?\b[^.;]*|\bplace[sd]?\b[^.;]*|\bnam(?:e|ed|ing)\b[^.;]*|\bbundl(?:e|ed|ing)\b[^.;]*|\bwould\b[^.;]*|\bimagine\b[^.;]*|\bmkdir\b[^;&|]*|\btouch\b[^;&|]*|\bcp\b[^;&|]*|\bmv\b[^;&|]*|>>?|(?:^|\s)-o|--(?:out\w*|dest\w*|save\w*)[ =]|\badd(?:ing|ed|s)?\b[^.;]*|\bnew\b[^.;]*|\bno\b|\bnot\b[^.;]*|\bmissing\b[^.;]*|\bif (?:present|it exists|available|there is|you have)[^.;]*|\boptional(?:ly)?\b[^.;]*|[└├│]\S*\s*)[\s\x22'`*(:=]*$",
    &[],
);
/// Words right before a path that send a reader there, or run what is there.
static SENDS: Pattern = Pattern::new(
    r"(?i)\b(?:run|runs|running|execute|executes|executing|see|read|reads|reading|load|loads|consult|open|follow|invoke|refer to|reference|references|check|review|via|use|uses|using|call|calls|documented in|described in|detailed in|listed in|details in|found in|in|with)\b[^.;]{0,40}$",
    &[],
);
/// The program right before a path that runs or reads what is there.
static RUNS: Pattern = Pattern::new(
    r"(?i)(?:^|[\s`(;&|])(?:python3?(?:\s+-u)?|uv run(?:\s+python3?)?|bash|sh|zsh|node|npx tsx|tsx|deno run|ruby|perl|source|cat|\.)\s+(?:\S+/)?$",
    &[],
);

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let paths = Paths::new(subject.draft);
    // `asset/` is what somebody writes who means `assets/`.
    let known = FURTHER.map(|name| (name, if name == "asset" { "assets" } else { name }));
    let known: Vec<&str> =
        known.into_iter().filter(|(_, real)| paths.has_directory(real)).map(|(name, _)| name).collect();
    let own: Vec<String> =
        [subject.draft.directory(), subject.frontmatter().and_then(|fields| fields.name())]
            .into_iter()
            .flatten()
            .map(str::to_lowercase)
            .collect();
    let documents = subject.documents().filter(|path| !is_material(path) && !is_for_people(path));
    for path in documents {
        let Some((text, markdown)) = subject.markdown(path) else { continue };
        let reader = Reader { paths: &paths, own: &own, text, markdown };
        let start = if path == subject.file() { subject.draft.body_start().unwrap_or_default() } else { 0 };
        let mut seen = BTreeSet::new();
        for range in mentioned(&text.content, start, &known) {
            let found = &text.content[range.clone()];
            // Each path is said once, and no file is read to the end for more of the same.
            if seen.len() >= MAX_EACH_FILE || seen.contains(found) {
                continue;
            }
            if let Some(diagnostic) = reader.look_at(range) {
                seen.insert(found);
                findings.push(diagnostic);
            }
        }
    }
}

/// Further directories that many skills have; only those that this one has count.
const FURTHER: [&str; 6] = ["examples", "templates", "resources", "docs", "data", "asset"];

/// What looks like a path in one of the directories that skills have, or in one of the `known` ones that this skill has, from
/// byte `start` on.
fn mentioned(content: &str, mut start: usize, known: &[&str]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    while let Some(at) = content[start..].find(['/', '\\']) {
        let separator = start + at;
        let before = &content[start..separator];
        let directory = ["scripts", "references", "assets"].into_iter().find(|known| before.ends_with(known));
        start = separator + 1;
        let directory = directory.or_else(|| known.iter().copied().find(|known| before.ends_with(known)));
        let Some(directory) = directory else { continue };
        let ends = |character: char| !character.is_alphanumeric() && !"_.+@/\\-".contains(character);
        let rest = &content[start..];
        let path = rest[..rest.find(ends).unwrap_or(rest.len())].trim_end_matches(['.', '+', '@']);
        if !path.is_empty() {
            found.push(separator - directory.len()..start + path.len());
            start += path.len();
        }
    }
    found
}

struct Reader<'a> {
    paths: &'a Paths<'a>,
    own: &'a [String],
    text: &'a Text,
    markdown: &'a Markdown,
}

impl Reader<'_> {
    fn look_at(&self, range: Range<usize>) -> Option<Diagnostic> {
        let content = &self.text.content;
        let prefix = self.prefix(range.start)?;
        // A link has been looked at as such; what it is called does not count.
        if self.markdown.link_at(range.start).is_some() || self.markdown.is_comment(range.start) {
            return None;
        }
        let written = content[range.clone()].trim_end_matches(['.', '-']);
        let range = range.start..range.start + written.len();
        if content[range.end..].starts_with(['<', '{', '*', '$', '[', '%', '…', '?', '('])
            || written.contains("..")
        {
            return None;
        }
        let slashes = written.replace('\\', "/");
        let reference = format!("{prefix}{slashes}");
        let target = self.paths.resolve(folder(&self.text.path), &reference);
        if written.contains('\\') {
            return self.backslashes(written, &slashes, &target, range);
        }
        match target {
            Target::File(_) | Target::Directory(_) | Target::LeftOut | Target::Outside => None,
            Target::OtherCase(path) => {
                let message = format!("`{}` is mentioned, the file is `{path}`", shown(written));
                let diagnostic =
                    Diagnostic::new(Rule::REFERENCE_SPELLING, self.text.at(range.clone()), message)
                        .with_help("upper and lower case count in file names");
                Some(match super::links::respelled(written, path) {
                    Some(text) => {
                        diagnostic.with_fix([Edit::Replace { file: self.text.path.clone(), range, text }])
                    }
                    None => diagnostic,
                })
            }
            // In a sentence, `scripts/run` is how people speak of `scripts/run.py`; a command needs the name.
            Target::Extension(path) => {
                self.markdown.code_at(range.start)?;
                let message = format!("`{}` is mentioned, the file is `{path}`", shown(written));
                Some(
                    Diagnostic::new(Rule::REFERENCE_SPELLING, self.text.at(range), message)
                        .with_help("write the whole name with its extension"),
                )
            }
            Target::Missing => self.missing(written, range),
        }
    }

    fn missing(&self, written: &str, range: Range<usize>) -> Option<Diagnostic> {
        let extension = extension(written);
        let looks_like_file = (1..=5).contains(&extension.len())
            && extension.chars().all(|character| character.is_ascii_alphanumeric())
            && !extension.chars().all(|character| character.is_ascii_digit());
        if !looks_like_file || is_placeholder(written) || !self.is_meant(range.start) {
            return None;
        }
        // Files that configure something are shown for the user's own project.
        if self.markdown.code_at(range.start).is_some_and(|block| is_configuration(&block.info)) {
            return None;
        }
        let message = format!("`{}` is not in the skill", shown(written));
        let diagnostic = Diagnostic::new(Rule::PATH_MISSING, self.text.at(range), message);
        Some(match self.paths.similar(written) {
            Some(similar) => diagnostic.with_help(format!("did you mean `{similar}`?")),
            None => diagnostic.with_help("add the file, or stop mentioning it"),
        })
    }

    fn backslashes(
        &self,
        written: &str,
        slashes: &str,
        target: &Target<'_>,
        range: Range<usize>,
    ) -> Option<Diagnostic> {
        if !matches!(target, Target::File(_) | Target::Directory(_)) || name(slashes).is_empty() {
            return None;
        }
        let message = format!("`{}` has backslashes", shown(written));
        let diagnostic = Diagnostic::new(Rule::BACKSLASH_PATH, self.text.at(range.clone()), message)
            .with_help("write `/` between directories");
        // In a block of code the rest of the command may be made for another system, too.
        if self.markdown.code_at(range.start).is_some() {
            return Some(diagnostic);
        }
        Some(diagnostic.with_fix([Edit::Replace {
            file: self.text.path.clone(),
            range,
            text: slashes.to_owned(),
        }]))
    }

    /// What stands before a path and belongs to it, as far as it leads to this skill; `None` when it leads elsewhere.
    fn prefix(&self, start: usize) -> Option<&str> {
        let content = &self.text.content;
        let from = content.floor_char_boundary(start.saturating_sub(MAX_PREFIX));
        let before = &content[from..start];
        let ends = |character: char| character.is_whitespace() || "\"'`()[]|,;=:>│├└─".contains(character);
        let begin =
            before.rfind(ends).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        // `<skill-dir>/scripts` has a bracket before the slash, which is no quotation.
        let prefix = match before[begin..].strip_prefix('/') {
            Some("") if before[..begin].ends_with('>') => {
                let open = before.rfind('<')?;
                &before[open..]
            }
            _ => &before[begin..],
        };
        if prefix.is_empty() {
            return Some("");
        }
        let place = prefix.strip_suffix(['/', '\\'])?;
        if place.split('/').all(|part| matches!(part, "." | "..")) {
            return Some(prefix);
        }
        let lower = place.to_lowercase();
        let is_variable = matches!(
            lower.trim_matches(['$', '{', '}', '<', '>']).replace('-', "_").as_str(),
            "skill_dir"
                | "claude_skill_dir"
                | "basedir"
                | "skill_root"
                | "skill_path"
                | "skill_directory"
                | "skill"
        );
        let is_own = self.own.iter().any(|own| name(&lower) == own);
        (is_variable || is_own).then_some("")
    }

    /// Whether the path at a byte is one of the skill's own, and not one of a project or one that is yet to be made: the skill
    /// has such a directory or is named before it, and the text sends its reader there.
    fn is_meant(&self, offset: usize) -> bool {
        let content = &self.text.content;
        let path = &content[offset..];
        let directory = path.split(['/', '\\']).next().unwrap_or_default();
        let start = content.floor_char_boundary(offset.saturating_sub(MAX_PREFIX));
        let line = content[start..offset].rsplit(['\n', '\r']).next().unwrap_or_default();
        let word = line.rfind([' ', '`', '"', '\'', '(']).map_or(0, |at| at + 1);
        let (before, prefix) = line.split_at(word);
        let is_named = prefix.contains(['$', '{', '<'])
            || self.own.iter().any(|own| prefix.to_lowercase().contains(own.as_str()));
        let has_directory = self.paths.has_directory(directory) || directory == "asset";
        let is_code = self.markdown.is_code(offset);
        if !(has_directory || is_named) {
            return false;
        }
        RUNS.is_match(before)
            || !EXAMPLE.is_match(before)
                && (is_named || SENDS.is_match(before) || is_code && self.is_alone(before))
    }

    /// Whether nothing stands before a path but the sign of a list or the quotation mark of its code.
    fn is_alone(&self, before: &str) -> bool {
        before.trim_matches([' ', '\t', '`', '-', '*', '$', '.', '/', '|']).is_empty()
    }
}

/// Whether a block of code of this language configures a project rather than says what to do.
fn is_configuration(info: &str) -> bool {
    let language = info.split([' ', ',', '{', ':']).next().unwrap_or_default().to_ascii_lowercase();
    matches!(
        language.as_str(),
        "yaml"
            | "yml"
            | "json"
            | "jsonc"
            | "toml"
            | "ini"
            | "xml"
            | "dockerfile"
            | "makefile"
            | "groovy"
            | "hcl"
            | "diff"
            | "nginx"
    )
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    const RULES: [Rule; 3] = [Rule::PATH_MISSING, Rule::REFERENCE_SPELLING, Rule::BACKSLASH_PATH];

    fn in_body(body: &str) -> Vec<String> {
        let files =
            [("SKILL.md", body), ("references/api.md", ""), ("scripts/run.py", ""), ("scripts/lib/a.py", "")];
        found(&files, &RULES).iter().map(|diagnostic| diagnostic.to_string()).collect()
    }

    #[test]
    fn what_is_there_or_is_no_reference_is_good() {
        for body in [
            "Run `scripts/run.py`, read references/api.md. See scripts/ and `./scripts/lib`.",
            "`$SKILL_DIR/scripts/run.py` `<skill-dir>/scripts/run.py` `~/.x/skills/my-skill/scripts/run.py`",
            "`scripts/<name>.py` scripts/*.py `references/{lang}.md` scripts/... scripts/your_script.py",
            "`other-skill/scripts/no.py` `$HOME/scripts/no.py` src/assets/no.png myscripts/no.py",
            "Create `scripts/new.py` first. Save to assets/out.png. A file, e.g. scripts/rotate.py",
            "See `scripts/run`. Your project's assets/app.css. It writes references/out.md",
            "```sh\npython scripts/run.py --output references/out.md > references/log.txt\n```",
            "https://example.com/assets/logo.png",
            "<!-- scripts/no.py -->",
            "```yaml\nrun: python scripts/no.py\n```",
        ] {
            assert_eq!(in_body(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn what_is_not_there_is_found_where_it_is_written() {
        for (body, wanted) in [
            ("é: run `scripts/no.py`", "SKILL.md:5:9: warning[SB124]: `scripts/no.py` is not in the skill"),
            (
                "```sh\npython ./scripts/no.py\n```",
                "SKILL.md:6:10: warning[SB124]: `scripts/no.py` is not in the skill",
            ),
            (
                "${SKILL_DIR}/scripts/no.py.",
                "SKILL.md:5:14: warning[SB124]: `scripts/no.py` is not in the skill",
            ),
            (
                "<skill-dir>/scripts/no.py",
                "SKILL.md:5:13: warning[SB124]: `scripts/no.py` is not in the skill",
            ),
            (
                "`references/API.md`",
                "SKILL.md:5:2: warning[SB128]: `references/API.md` is mentioned, the file is `references/api.md`",
            ),
            (
                "```sh\npython scripts/run\n```",
                "SKILL.md:6:8: warning[SB128]: `scripts/run` is mentioned, the file is `scripts/run.py`",
            ),
            (
                "Generate it with `python scripts/no.py --output x`.",
                "SKILL.md:5:26: warning[SB124]: `scripts/no.py` is not in the skill",
            ),
            (
                "For example, run `python scripts/no.py`.",
                "SKILL.md:5:26: warning[SB124]: `scripts/no.py` is not in the skill",
            ),
            (
                "python skills/my-skill/scripts/no.py",
                "SKILL.md:5:24: warning[SB124]: `scripts/no.py` is not in the skill",
            ),
            ("`scripts\\run.py`", "SKILL.md:5:2: warning[SB130]: `scripts\\\\run.py` has backslashes"),
        ] {
            assert_eq!(in_body(body), [wanted], "{body}");
        }
    }
}
