//! Which files are reached from `SKILL.md`, and how.
//!
//! Every text that is reached is cut into words that may be paths, and each is looked up by its last component. This is generous:
//! a name that stands anywhere counts, a directory that is mentioned counts for all that is in it, and so does a module
//! that a script imports. What is reported as mentioned nowhere really is.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet, VecDeque},
};

use skill::{Diagnostic, Location, Rule};

use super::{is_for_people, is_material};
use crate::{
    paths::{Paths, decoded, extension, folder, is_one_edit_away, name, without_extension},
    subject::{Findings, Subject, Text},
};

/// Directories that need no explanation.
const DIRECTORIES: [&str; 23] = [
    "scripts",
    "references",
    "assets",
    "evals",
    "evaluations",
    "tests",
    "test",
    "templates",
    "examples",
    "docs",
    "resources",
    "agents",
    "lib",
    "src",
    "data",
    "config",
    "configs",
    "schemas",
    "fonts",
    "images",
    "hooks",
    "commands",
    "rules",
];
/// How many files of one directory are reported one by one.
const MAX_EACH: usize = 3;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    // Without instructions nothing is mentioned, which another rule says.
    let Some((body, start)) = subject.body() else { return };
    if body.content[start..].trim().is_empty() {
        return;
    }
    let graph = Graph::of(subject);
    graph.chains(subject, findings);
    graph.orphans(subject, findings);
    graph.directories(subject, findings);
}

struct Graph<'a> {
    paths: Paths<'a>,
    index: Index<'a>,
    /// How many documents away from `SKILL.md` a file is.
    reached: BTreeMap<&'a str, usize>,
    /// Documents that are reached through another document only, and where.
    deep: Vec<(&'a str, Location, String)>,
}

/// The paths by what a text would call them.
#[derive(Default)]
struct Index<'a> {
    /// Keys are the last component, and the last two: `name` and `folder/name`.
    names: BTreeMap<String, Vec<&'a str>>,
    stems: BTreeMap<String, Vec<&'a str>>,
    directories: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> Index<'a> {
    fn of(paths: &Paths<'a>) -> Self {
        let mut index = Self::default();
        for path in paths.below("") {
            // A name with spaces is met as its last word.
            let last = name(path).rsplit(|character| !is_word(character)).next().unwrap_or_default();
            enter(&mut index.names, path, last);
            enter(&mut index.stems, path, without_extension(last));
        }
        for path in paths.directories().filter(|path| !path.is_empty()) {
            enter(&mut index.directories, path, name(path));
        }
        index
    }
}

/// Enters `path` as `last`, and as that with the directory before it.
fn enter<'a>(map: &mut BTreeMap<String, Vec<&'a str>>, path: &'a str, last: &str) {
    let last = last.to_lowercase();
    let before = name(folder(path)).to_lowercase();
    map.entry(format!("{before}/{last}")).or_default().push(path);
    map.entry(last).or_default().push(path);
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || "_.+@~/\\-%".contains(character)
}

fn is_code(path: &str) -> bool {
    matches!(
        extension(path).as_str(),
        "py" | "js"
            | "mjs"
            | "cjs"
            | "ts"
            | "tsx"
            | "jsx"
            | "sh"
            | "bash"
            | "rb"
            | "pl"
            | "go"
            | "r"
            | "ps1"
            | ""
    )
}

fn is_document(path: &str) -> bool {
    extension(path) == "md"
}

/// A text whose words are looked up.
struct Source<'a> {
    path: &'a str,
    text: &'a Text,
    /// How many documents away from `SKILL.md` what it names is, at most.
    depth: usize,
    is_code: bool,
    is_document: bool,
    is_python: bool,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a Text, depth: usize) -> Self {
        let is_document = is_document(path);
        let depth = depth + usize::from(is_document);
        Self { path, text, depth, is_code: is_code(path), is_document, is_python: extension(path) == "py" }
    }
}

impl<'a> Graph<'a> {
    fn of(subject: &'a Subject<'a>) -> Self {
        let paths = Paths::new(subject.draft);
        let index = Index::of(&paths);
        let root = subject.file();
        let mut graph = Self { paths, index, reached: BTreeMap::from([(root, 0)]), deep: Vec::new() };
        let mut open = VecDeque::from([root]);
        while let Some(path) = open.pop_front() {
            let Some(text) = subject.text(path) else { continue };
            let depth = graph.reached.get(path).copied().unwrap_or_default();
            let source = Source::new(path, text, depth);
            graph.follow(&source, &mut open);
            if let Some((_, markdown)) = subject.markdown(path) {
                for link in &markdown.links {
                    let target = decoded(link.destination.split('#').next().unwrap_or_default());
                    graph.mention(&source, &target, link.target.clone(), &mut open);
                }
            }
        }
        graph
    }

    /// Looks up every word of a text.
    fn follow(&mut self, source: &Source<'a>, open: &mut VecDeque<&'a str>) {
        let mut seen: HashSet<&str> = HashSet::new();
        let content = &source.text.content;
        let mut at = 0;
        while let Some(begin) = content[at..].find(is_word) {
            let start = at + begin;
            let length =
                content[start..].find(|character| !is_word(character)).unwrap_or(content.len() - start);
            at = start + length;
            let word = &content[start..at];
            if (2..=1024).contains(&word.len()) && seen.insert(word) {
                self.mention(source, word, start..at, open);
            }
        }
    }

    fn mention(
        &mut self,
        source: &Source<'a>,
        word: &str,
        range: std::ops::Range<usize>,
        open: &mut VecDeque<&'a str>,
    ) {
        for path in self.meant(source, word) {
            if self.reached.contains_key(path) {
                continue;
            }
            self.reached.insert(path, source.depth);
            open.push_back(path);
            if is_document(path) && source.is_document && source.depth > 1 {
                self.deep.push((path, source.text.at(range.clone()), source.path.to_owned()));
            }
        }
    }

    /// The files that a word may name.
    fn meant(&self, source: &Source<'_>, word: &str) -> Vec<&'a str> {
        let raw = word.to_lowercase().replace('\\', "/");
        let word = raw.trim_end_matches(['.', '-', '~', '@']).trim_start_matches('@');
        let mut parts = word.rsplit('/').filter(|part| !matches!(*part, "" | "." | ".."));
        let Some(last) = parts.next() else { return Vec::new() };
        let last = last.rsplit(|character| !is_word(character)).next().unwrap_or_default();
        let before = parts.next();
        let key = match before {
            Some(before) if !before.contains(['%', '~']) => Cow::Owned(format!("{before}/{last}")),
            _ => Cow::Borrowed(last),
        };
        let key = key.as_ref();
        let mut found = self.index.names.get(key).cloned().unwrap_or_default();
        let may_name_more = source.is_code || word.contains('/');
        if may_name_more {
            for directory in self.index.directories.get(key).into_iter().flatten() {
                found.extend(self.paths.below(directory));
            }
        }
        // `references/lang-` before a placeholder stands for all that begin so.
        if let Some(before) = before
            && raw.ends_with(['-', '_'])
        {
            for directory in self.index.directories.get(before).into_iter().flatten() {
                found.extend(self.paths.below(directory));
            }
        }
        if may_name_more {
            found.extend(self.index.stems.get(key).into_iter().flatten());
        }
        self.modules(source, word, &mut found);
        found
    }

    /// `office.pack` in a script, or behind `python -m`, is the module `office/pack.py`.
    fn modules(&self, source: &Source<'_>, word: &str, found: &mut Vec<&'a str>) {
        if word.contains('/') || !(source.is_python || word.contains('.')) {
            return;
        }
        let mut package = None;
        for part in word.split('.').filter(|part| !part.is_empty()) {
            for path in self.index.stems.get(part).into_iter().flatten() {
                let is_in_package =
                    || package.is_some_and(|package| name(&folder(path).to_lowercase()) == package);
                if extension(path) == "py" && (source.is_python || is_in_package()) {
                    found.push(path);
                }
            }
            if source.is_python {
                // Importing a package runs its `__init__.py`, which may import anything beside it.
                for directory in self.index.directories.get(part).into_iter().flatten() {
                    found.extend(self.paths.below(directory).filter(|path| name(path) == "__init__.py"));
                }
            }
            package = Some(part);
        }
    }

    fn chains(&self, subject: &Subject<'_>, findings: &mut Findings) {
        for (path, location, from) in &self.deep {
            if is_material(path) || is_for_people(path) || is_for_people(from) || is_material(from) {
                continue;
            }
            let message = format!("`{path}` is only reached through `{from}`");
            findings.push(
                Diagnostic::new(Rule::REFERENCE_CHAIN, location.clone(), message).with_help(format!(
                    "name it in `{}`, too, and say there when to read it",
                    subject.file()
                )),
            );
        }
    }

    fn orphans(&self, subject: &Subject<'_>, findings: &mut Findings) {
        let mut by_folder: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in subject.draft.files() {
            let path = file.path.as_str();
            if self.reached.contains_key(path) || needs_no_mention(path) {
                continue;
            }
            if is_for_people(path) {
                if folder(path).is_empty() {
                    let message = format!("`{path}` is for people, and nothing in the skill mentions it");
                    findings.push(
                        Diagnostic::new(Rule::FILE_FOR_PEOPLE, Location::file(path), message).with_help(
                            "keep it outside the skill, or put what a model needs into `SKILL.md`",
                        ),
                    );
                }
                continue;
            }
            by_folder.entry(folder(path)).or_default().push(path);
        }
        for (folder, paths) in by_folder {
            let help = "say in `SKILL.md` when to use it, or delete it";
            if paths.len() <= MAX_EACH {
                for path in paths {
                    findings.push(
                        Diagnostic::new(Rule::FILE_UNREFERENCED, Location::file(path), "unreferenced file")
                            .with_help(help),
                    );
                }
                continue;
            }
            let place =
                if folder.is_empty() { "the skill's root".to_owned() } else { format!("`{folder}/`") };
            let message = format!("unreferenced file, and {} more in {place}", paths.len() - 1);
            findings.extend(paths.first().map(|path| {
                Diagnostic::new(Rule::FILE_UNREFERENCED, Location::file(*path), message).with_help(
                    "say in `SKILL.md` when to use them, or delete them; naming the directory is enough",
                )
            }));
        }
    }

    fn directories(&self, subject: &Subject<'_>, findings: &mut Findings) {
        for directory in self.paths.directories().filter(|path| !path.is_empty() && !path.contains('/')) {
            let mut files = self.paths.below(directory);
            if DIRECTORIES.contains(&directory)
                || directory.starts_with(['.', '_'])
                || self.paths.below(directory).any(|path| self.reached.contains_key(path))
            {
                continue;
            }
            let Some(first) = files.next() else { continue };
            let lower = directory.to_lowercase();
            let meant = ["scripts", "references", "assets"]
                .into_iter()
                .find(|known| *known == lower || is_one_edit_away(known, &lower))
                .filter(|known| !self.paths.has_directory(known));
            let message = format!("`{directory}/` is no directory that the standard names");
            let diagnostic = Diagnostic::new(Rule::DIRECTORY_UNKNOWN, Location::file(first), message);
            findings.push(match meant {
                Some(meant) => diagnostic.with_help(format!("did you mean `{meant}/`?")),
                None => diagnostic.with_help(format!(
                    "mention it in `{}`, or use `scripts/`, `references/` or `assets/`",
                    subject.file()
                )),
            });
        }
    }
}

/// Whether a file has its use without being mentioned.
fn needs_no_mention(path: &str) -> bool {
    let file = name(path);
    let lower = file.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let known = matches!(
        stem,
        "license" | "licence" | "licenses" | "copying" | "notice" | "dockerfile" | "makefile" | "conftest"
    ) || matches!(
        lower.as_str(),
        "__init__.py"
            | "__main__.py"
            | "setup.py"
            | "setup.cfg"
            | "pyproject.toml"
            | "package.json"
            | "package-lock.json"
            | "uv.lock"
            | "poetry.lock"
            | "yarn.lock"
            | "pnpm-lock.yaml"
            | "tsconfig.json"
            | "go.mod"
            | "go.sum"
            | "cargo.toml"
            | "cargo.lock"
            | "skill.md"
            | "py.typed"
            | "environment.yml"
            | "pipfile"
            | "pipfile.lock"
            | "metadata.json"
            | "_meta.json"
            | "skill.json"
            | "plugin.json"
            | "manifest.json"
            | "index.md"
    );
    let is_test = lower.starts_with("test_")
        || lower.contains("_test.")
        || lower.contains(".test.")
        || lower.contains(".spec.");
    known
        || is_test
        || lower.starts_with("requirements") && lower.ends_with(".txt")
        || lower.contains("license")
        || path.split('/').any(|part| part.starts_with('.'))
        || ["sig", "sigstore", "ofl", "map"].contains(&extension(path).as_str())
        || path.split('/').any(|part| {
            matches!(
                part.to_lowercase().as_str(),
                "tests"
                    | "test"
                    | "__tests__"
                    | "evals"
                    | "eval"
                    | "evaluations"
                    | "fixtures"
                    | "agents"
                    | "hooks"
                    | "commands"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    const RULES: [Rule; 4] =
        [Rule::REFERENCE_CHAIN, Rule::FILE_UNREFERENCED, Rule::FILE_FOR_PEOPLE, Rule::DIRECTORY_UNKNOWN];

    fn shown(files: &[(&str, &str)]) -> Vec<String> {
        found(files, &RULES).iter().map(|diagnostic| diagnostic.to_string()).collect()
    }

    #[test]
    fn what_is_reached_in_any_way_is_referenced() {
        let files = [
            (
                "SKILL.md",
                "Run `scripts/run.py` and `python -m scripts.tool`; fonts are in `assets/fonts/`.\n\
                 See [notes](references/my%20notes.md) and `themes/{name}.md`, or GUIDE.md.",
            ),
            ("GUIDE.md", ""),
            ("LICENSE.txt", ""),
            ("assets/fonts/a/x.ttf", ""),
            ("references/my notes.md", ""),
            ("requirements.txt", ""),
            ("scripts/__init__.py", ""),
            ("scripts/run.py", "import helper\nfrom office.pack import pack\nopen('../data.json')\n"),
            ("scripts/tool.py", ""),
            ("scripts/helper.py", "from . import deeper\n"),
            ("scripts/deeper.py", ""),
            ("scripts/office/pack.py", ""),
            ("scripts/office/__init__.py", "from .more import x\n"),
            ("scripts/office/more.py", ""),
            ("data.json", ""),
            ("tests/test_run.py", ""),
            ("themes/dark.md", ""),
        ];
        assert_eq!(shown(&files), [""; 0]);
    }

    #[test]
    fn what_nothing_mentions_is_found() {
        let files = [
            ("SKILL.md", "Run `scripts/run.py`."),
            ("README.md", "scripts/old.py"),
            ("scripts/run.py", ""),
            ("scripts/old.py", "import older"),
            ("scripts/older.py", ""),
            ("script/x.py", ""),
            ("themes/a.md", ""),
            ("themes/b.md", ""),
            ("themes/c.md", ""),
            ("themes/d.md", ""),
        ];
        assert_eq!(
            shown(&files),
            [
                "README.md: info[SB133]: `README.md` is for people, and nothing in the skill mentions it",
                "script/x.py: warning[SB127]: unreferenced file",
                "script/x.py: info[SB135]: `script/` is no directory that the standard names",
                "scripts/old.py: warning[SB127]: unreferenced file",
                "scripts/older.py: warning[SB127]: unreferenced file",
                "themes/a.md: warning[SB127]: unreferenced file, and 3 more in `themes/`",
                "themes/a.md: info[SB135]: `themes/` is no directory that the standard names",
            ]
        );
    }

    #[test]
    fn a_document_behind_a_document_is_found() {
        let files = [
            ("SKILL.md", "Read references/a.md."),
            ("references/a.md", "Then [b](b.md)."),
            ("references/b.md", "Back to [a](a.md) and SKILL.md."),
        ];
        assert_eq!(
            shown(&files),
            [
                "references/a.md:1:10: warning[SB126]: `references/b.md` is only reached through `references/a.md`"
            ]
        );
    }
}
