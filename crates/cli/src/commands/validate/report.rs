//! What was found about one skill.
//!
//! A report keeps the lines that its findings mean and nothing else of the skill, so that thousands of them need little memory.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use skill::{
    BundleLimits, Diagnostic, Draft, Links, LoadError, Location, PackError, PackOptions, Rule, Severity,
    SkillName,
};
use validate::{Fixed, Member, Options};

use super::targets::Target;
use crate::{
    error::{CommandError, Kind},
    places,
};

/// The longest line that is kept for showing, in bytes.
const MAX_LINE: usize = 4_096;

/// What is found by looking for other files than `SKILL.md`, which nobody sees where only that came.
const OF_OTHER_FILES: [Rule; 5] = [
    Rule::LINK_MISSING,
    Rule::PATH_MISSING,
    Rule::REFERENCE_SPELLING,
    Rule::LICENSE_FILE,
    Rule::ANCHOR_MISSING,
];

/// What was found about one skill.
#[derive(Debug)]
pub(super) struct Report {
    /// Where the skill is, as it was named; `-` for standard input.
    pub(super) path: PathBuf,
    /// Whether that is a folder, so that paths of files can be joined to it.
    pub(super) is_folder: bool,
    /// The skill's name, when it has a good one.
    pub(super) slug: Option<String>,
    /// For comparing it with others.
    pub(super) member: Option<Member>,
    /// What fixes would change; only for folders.
    pub(super) fixed: Option<Fixed>,
    /// A directory among skills that is none.
    pub(super) is_empty_directory: bool,
    findings: Vec<Finding>,
}

/// A finding, and the line that it means.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) diagnostic: Diagnostic,
    /// The text of the line on which it starts; empty for a whole file.
    pub(super) line: String,
}

impl Report {
    /// Checks a target.
    pub(super) fn of(target: &Target, options: &Options) -> Result<Self, CommandError> {
        match target {
            Target::Path { path, linked } => {
                let mut report = Self::of_draft(path, Draft::open(path), options)?;
                if *linked {
                    let diagnostic = Diagnostic::new(
                        Rule::LINKED_SKILL,
                        Location::file("SKILL.md"),
                        "the skill's directory is a symbolic link",
                    );
                    let diagnostic = diagnostic.with_help("move the skill here, or name the place itself");
                    report.add(options.filter(vec![diagnostic]));
                }
                Ok(report)
            }
            Target::Input(bytes) => {
                if bytes.starts_with(b"PK") {
                    let draft = Draft::from_bundle(Cursor::new(bytes), &BundleLimits::default());
                    return Self::of_draft(Path::new("-"), draft, options);
                }
                let draft = Draft::from_files([("SKILL.md", bytes.as_slice())], None);
                let mut report = Self::of_draft(Path::new("-"), draft, options)?;
                report.retain(|finding| !OF_OTHER_FILES.contains(&finding.diagnostic.rule));
                Ok(report)
            }
        }
    }

    fn of_draft(
        path: &Path,
        draft: Result<Draft, LoadError>,
        options: &Options,
    ) -> Result<Self, CommandError> {
        match draft {
            Ok(draft) => Self::checked(path, &draft, options),
            Err(error) => Self::of_error(path, error, options),
        }
    }

    fn checked(path: &Path, draft: &Draft, options: &Options) -> Result<Self, CommandError> {
        let found = validate::check(draft, options);
        let is_folder = path.is_dir();
        let fixed = if is_folder && found.iter().any(|diagnostic| diagnostic.fix.is_some()) {
            let fixed = validate::fix(draft, &found);
            Some(fixed.map_err(|error| CommandError::of(Kind::User, "SKILL_UNREADABLE", &error))?)
        } else {
            None
        };
        let mut found = found;
        found.extend(options.filter(too_large(path, draft)));
        let mut lines = Lines { draft, file: None };
        let findings =
            found.into_iter().map(|diagnostic| Finding { line: lines.of(&diagnostic), diagnostic }).collect();
        let slug = draft.frontmatter().and_then(|frontmatter| frontmatter.name());
        let slug = slug.filter(|name| skill::SkillName::parse(name).is_ok()).map(str::to_owned);
        Ok(Self {
            path: path.to_owned(),
            is_folder,
            slug,
            member: Member::new(draft),
            fixed,
            is_empty_directory: false,
            findings,
        })
    }

    /// Findings are a report; what cannot be read is an error.
    fn of_error(path: &Path, error: LoadError, options: &Options) -> Result<Self, CommandError> {
        let diagnostic = match &error {
            // Refused by everything that takes bundles, so it is an error whatever the profile says of the rule.
            LoadError::Bundle(bundle) => match bundle.rule() {
                Some(rule) => {
                    // The bundle as a whole is meant.
                    let diagnostic = Diagnostic::new(rule, Location::file(""), bundle.to_string());
                    match bundle.help() {
                        Some(help) => diagnostic.with_help(help),
                        None => diagnostic,
                    }
                }
                None => return Err(error.into()),
            },
            LoadError::Folder(folder) if std::error::Error::source(folder).is_none() => {
                Diagnostic::new(Rule::FOLDER_LIMITS, Location::file(""), folder.to_string())
                    .with_help("keep what the skill does not need out of its folder")
            }
            _ => return Err(error.into()),
        };
        let mut report = Self::without_skill(path);
        let mut found = options.filter(vec![diagnostic]);
        if matches!(error, LoadError::Bundle(_)) {
            found.iter_mut().for_each(|diagnostic| diagnostic.severity = Severity::Error);
        }
        report.add(found);
        Ok(report)
    }

    /// A directory among skills that is none.
    pub(super) fn of_empty(path: &Path, options: &Options) -> Self {
        let mut report = Self { is_empty_directory: true, ..Self::without_skill(path) };
        let diagnostic = Diagnostic::new(
            Rule::EMPTY_DIRECTORY,
            Location::file(""),
            "this directory among skills has no SKILL.md",
        );
        report.add(options.filter(vec![diagnostic.with_help("write its SKILL.md, or delete it")]));
        report
    }

    fn without_skill(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            is_folder: path.is_dir(),
            slug: None,
            member: None,
            fixed: None,
            is_empty_directory: false,
            findings: Vec::new(),
        }
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds findings that no line is shown for.
    pub(super) fn add(&mut self, found: Vec<Diagnostic>) {
        let new = found.into_iter().map(|diagnostic| Finding { diagnostic, line: String::new() });
        self.findings.extend(new);
    }

    /// Adds what was found in a sandbox, with the lines that are meant. What was found without one is not said twice.
    pub(super) fn add_deep(&mut self, found: Vec<Diagnostic>, options: &Options) {
        let Ok(draft) = Draft::open(&self.path) else { return };
        let found = validate::accept(&draft, found, options);
        let mut lines = Lines { draft: &draft, file: None };
        for diagnostic in found {
            let place = |diagnostic: &Diagnostic| diagnostic.location.span.map(|span| span.start.line);
            let is_known = self.findings.iter().any(|Finding { diagnostic: known, .. }| {
                known.rule == diagnostic.rule
                    && known.location.file == diagnostic.location.file
                    && (place(known) == place(&diagnostic) || known.rule == Rule::SYNTAX_ERROR)
            });
            if !is_known {
                self.findings.push(Finding { line: lines.of(&diagnostic), diagnostic });
            }
        }
        // As checks sort them: by file with SKILL.md first, then by place.
        self.findings.sort_by_cached_key(|Finding { diagnostic, .. }| {
            let file = &diagnostic.location.file;
            let start = diagnostic.location.span.map(|span| span.start.offset);
            (!file.eq_ignore_ascii_case("SKILL.md"), file.clone(), start, diagnostic.rule)
        });
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Finding) -> bool) {
        self.findings.retain(keep);
    }

    /// What a baseline in the directory `base` calls the skill: where it is from there, however it was named.
    pub(super) fn key(&self, base: &Path) -> String {
        if self.is_input() {
            return "-".to_owned();
        }
        places::from(base, &self.path).to_string_lossy().into_owned()
    }

    /// Whether the skill came on standard input, so that its files are nowhere.
    fn is_input(&self) -> bool {
        self.path == Path::new("-")
    }

    /// The same as [`Self::file`] for services that know files by their path from the top of the repository.
    pub(super) fn file_in_repository(&self, file: &str) -> String {
        let path = if self.is_folder && !file.is_empty() { self.path.join(file) } else { self.path.clone() };
        let path = if self.is_input() { path } else { places::in_repository(&path) };
        path.to_string_lossy().into_owned()
    }

    /// Where `file` of the skill is, for people and for programs that open files. A file in a bundle has no path of its
    /// own: then it is the bundle's.
    pub(super) fn file(&self, file: &str) -> String {
        if self.is_folder && !file.is_empty() {
            let joined = self.path.join(file);
            let joined = joined.to_string_lossy();
            joined.strip_prefix("./").unwrap_or(&joined).to_owned()
        } else {
            self.path.to_string_lossy().into_owned()
        }
    }
}

/// Whether a folder that can be read is still more than a bundle may hold. How well it packs is known when it is packed, so
/// that is done where it is in doubt.
fn too_large(path: &Path, draft: &Draft) -> Vec<Diagnostic> {
    let limits = BundleLimits::default();
    let bytes: u64 = draft.files().iter().map(|file| file.size).sum();
    if bytes <= limits.max_bundle_bytes || !path.is_dir() {
        return Vec::new();
    }
    let Ok(name) = SkillName::parse("any-name") else { return Vec::new() };
    let options = PackOptions { links: Links::CopyInside, ..PackOptions::default() };
    match skill::pack(path, &name, &options, &limits) {
        Err(error) if matches!(error, PackError::Limits(_)) || error.rule() == Some(Rule::ARCHIVE_LIMITS) => {
            let message = format!("the folder cannot be packed: {error}");
            vec![
                Diagnostic::new(Rule::FOLDER_LIMITS, Location::file(""), message).with_help(
                    "keep what the skill does not need out of its folder, or name it in .skillignore",
                ),
            ]
        }
        _ => Vec::new(),
    }
}

/// Lines of the skill's files; the last file is kept, as findings come in the order of files.
struct Lines<'draft> {
    draft: &'draft Draft,
    file: Option<(String, String)>,
}

impl Lines<'_> {
    fn of(&mut self, diagnostic: &Diagnostic) -> String {
        let Some(span) = diagnostic.location.span else { return String::new() };
        let file = &diagnostic.location.file;
        if self.file.as_ref().is_none_or(|(path, _)| path != file) {
            let bytes = self.draft.read(file, 1 << 20).unwrap_or_default();
            self.file = Some((file.clone(), String::from_utf8_lossy(&bytes).into_owned()));
        }
        let Some((_, text)) = &self.file else { return String::new() };
        let start = text.floor_char_boundary(span.start.offset.min(text.len()));
        let from = text[..start].rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let to = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
        let line = &text[from..to];
        line[..line.floor_char_boundary(MAX_LINE)].to_owned()
    }
}
