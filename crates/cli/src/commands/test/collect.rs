//! From paths to the tests that are there, and to everything that is wrong with them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use skill::{LoadError, Skill, SkillDirectory, SourceLimits, SourceProblem, Span};
use skill_test::{Problem, SUFFIX, Selected, Suite};

use crate::{
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    files,
    output::{self, BAD, DIM, Output},
    places,
    skills::{self, has_skill_file},
};

/// The longest line of a test file that is shown, in characters.
const EXCERPT: usize = 120;

/// The tests of some skills.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// In the order of the paths, and by name within a directory.
    pub(crate) suites: Vec<(Origin, Arc<Suite>)>,
    /// What is wrong: nothing is run then.
    pub(crate) problems: Problems,
}

/// Where a skill is, for people.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A folder.
    Folder(PathBuf),
    /// A bundle: its files have no place of their own.
    Bundle(PathBuf),
}

/// Where the files of skills are, by the names of the skills.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    origins: BTreeMap<String, Origin>,
}

/// Mistakes in test files, to be shown all at once.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Shown>,
}

#[derive(Debug)]
struct Shown {
    /// The file for people.
    file: String,
    problem: Problem,
    /// The line that is meant.
    excerpt: Option<String>,
}

/// Finds the tests below some paths.
pub(crate) fn collect(paths: &[PathBuf]) -> Result<Collected, CommandError> {
    let mut collected = Collected::default();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(SUFFIX) && path.is_file() {
            let (root, inner) = skill_of(path)?;
            let skill = Arc::new(Skill::load(&root)?);
            collected.add(skill, Origin::Folder(near(&root)), Some(&inner))?;
        } else if path.is_dir() && !has_skill_file(path) {
            collected.directory(path)?;
        } else {
            let skill = Arc::new(Skill::load(path)?);
            let origin = match skill.root().filter(|_| path.is_dir() || !is_bundle(path)) {
                Some(root) => Origin::Folder(near(root)),
                None => Origin::Bundle(path.clone()),
            };
            collected.add(skill, origin, None)?;
        }
    }
    Ok(collected)
}

impl Collected {
    /// Every skill of a directory.
    fn directory(&mut self, path: &Path) -> Result<(), CommandError> {
        let directory = SkillDirectory::open(path, &SourceLimits::default())
            .map_err(|error| CommandError::io(format!("`{}` cannot be read", path.display()), &error))?;
        // What cannot be loaded cannot be tested, and must not look as if it were fine.
        if let Some(problem) = directory.problems().iter().find(|problem| !problem.is_packed_bundle()) {
            return Err(match problem {
                SourceProblem::NotLoaded { path, error } => {
                    let mut of_skill = CommandError::from(error);
                    of_skill.message = format!("`{}`: {}", path.display(), of_skill.message);
                    of_skill.hint("run `skillbox validate` on the directory to see everything that is wrong")
                }
                other => CommandError::of(Kind::User, "SKILL_UNREADABLE", other).hint(skills::NAME_FEWER),
            });
        }
        let mut found = false;
        for skill in directory.skills() {
            found = true;
            let origin = match skill.root() {
                Some(root) if root.starts_with(std::fs::canonicalize(path).unwrap_or_default()) => {
                    Origin::Folder(near(root))
                }
                _ => Origin::Bundle(path.join(format!("{}.skill", skill.name()))),
            };
            self.add(Arc::clone(skill), origin, None)?;
        }
        if !found {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(CommandError::from(LoadError::Io { path: path.to_owned(), source }));
        }
        Ok(())
    }

    fn add(&mut self, skill: Arc<Skill>, origin: Origin, only: Option<&str>) -> Result<(), CommandError> {
        let same = self.suites.iter_mut().find(|(_, suite)| suite.skill.name() == skill.name());
        if let Some((_, suite)) = &same
            && (suite.skill.root() != skill.root() || skill.root().is_none())
        {
            return Err(CommandError::usage(format!("two of the skills are called `{}`", skill.name())));
        }
        match (Suite::load(&skill, only), same) {
            (Ok(new), None) => self.suites.push((origin, Arc::new(new))),
            (Ok(new), Some((_, suite))) => {
                let mut both = Suite::clone(suite);
                let is_new =
                    |file: &skill_test::TestFile| suite.files.iter().all(|known| known.path != file.path);
                both.files.extend(new.files.into_iter().filter(is_new));
                *suite = Arc::new(both);
            }
            (Err(problems), _) => self.problems.add(&skill, &origin, problems),
        }
        Ok(())
    }

    pub(crate) fn is_bundle(&self, case: &Selected) -> bool {
        let its = |(_, suite): &&(Origin, Arc<Suite>)| Arc::ptr_eq(suite, &case.suite);
        self.suites.iter().find(its).is_some_and(|(origin, _)| matches!(origin, Origin::Bundle(_)))
    }

    pub(crate) fn places(&self) -> Place {
        let origins =
            self.suites.iter().map(|(origin, suite)| (suite.skill.name().to_string(), origin.clone()));
        Place { origins: origins.collect() }
    }
}

impl Place {
    /// Of one skill in a folder.
    pub(crate) fn of_folder(skill: &Skill, root: &Path) -> Self {
        Self { origins: BTreeMap::from([(skill.name().to_string(), Origin::Folder(near(root)))]) }
    }

    /// Where a case's test file is from the top of the repository, for services that know files by that.
    pub(crate) fn in_repository(&self, case: &Selected) -> String {
        let file = &case.file().path;
        let path = match self.origins.get(case.suite.skill.name().as_str()) {
            Some(Origin::Folder(folder)) => places::in_repository(&folder.join(file)),
            Some(Origin::Bundle(bundle)) => places::in_repository(bundle),
            None => PathBuf::from(file),
        };
        path.to_string_lossy().into_owned()
    }

    /// Where a skill's file is, for people.
    pub(crate) fn shown(&self, case: &Selected, file: &str) -> String {
        match self.origins.get(case.suite.skill.name().as_str()) {
            Some(origin) => origin.shown(file),
            None => escape::line(file),
        }
    }
}

impl Origin {
    fn shown(&self, file: &str) -> String {
        match self {
            Self::Folder(folder) => files::shown(&folder.join(file)),
            Self::Bundle(bundle) => format!("{}:{}", files::shown(bundle), escape::line(file)),
        }
    }
}

impl Problems {
    /// Of one skill in a folder.
    pub(crate) fn of_folder(skill: &Skill, root: &Path, problems: Vec<Problem>) -> Self {
        let mut all = Self::default();
        all.add(skill, &Origin::Folder(near(root)), problems);
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn add(&mut self, skill: &Skill, origin: &Origin, problems: Vec<Problem>) {
        for problem in problems {
            let text = skill.read_text(&problem.file).ok();
            let line = text.and_then(|text| {
                text.lines().nth(problem.span.start.line.saturating_sub(1)).map(str::to_owned)
            });
            self.list.push(Shown { file: origin.shown(&problem.file), problem, excerpt: line });
        }
    }

    /// As text, all of them, already harmless for a terminal.
    pub(crate) fn text(&self) -> String {
        self.list.iter().map(Shown::text).collect()
    }

    /// `2 mistakes in test files`
    pub(crate) fn summary(&self) -> String {
        match self.list.len() {
            1 => "1 mistake in test files".to_owned(),
            count => format!("{count} mistakes in test files"),
        }
    }

    /// Shows them as the result of the command.
    pub(crate) fn show(&self, output: Output) -> Result<Exit, CommandError> {
        if output.json {
            let entries: Vec<Value> = self.list.iter().map(Shown::entry).collect();
            output
                .print_json(&json!({"error": self.summary(), "code": "TESTS_BROKEN", "problems": entries}))?;
        } else {
            output::print(&self.text())?;
            output.note(&format!("{}; nothing was run", self.summary()));
        }
        Ok(Exit::USAGE)
    }
}

impl Shown {
    fn text(&self) -> String {
        let Span { start, end } = self.problem.span;
        let mut text = format!(
            "{BAD}error{BAD:#}: {}\n {DIM}-->{DIM:#} {}:{}:{}\n",
            escape::line(&self.problem.message),
            self.file,
            start.line,
            start.column
        );
        if let Some(line) = &self.excerpt {
            let number = start.line.to_string();
            let margin = " ".repeat(number.len());
            let shown: String = line.chars().take(EXCERPT).collect();
            // Tabs are shown as they are, so they stand before the mark, too.
            let before: String = line
                .chars()
                .take(start.column.saturating_sub(1).min(EXCERPT))
                .map(|character| if character == '\t' { '\t' } else { ' ' })
                .collect();
            let length = if end.line == start.line { end.column.saturating_sub(start.column) } else { 1 };
            let marks = "^".repeat(length.clamp(1, EXCERPT));
            text.push_str(&format!(
                "{DIM}{margin} |{DIM:#}\n{DIM}{number} |{DIM:#} {}\n{DIM}{margin} |{DIM:#} {before}{BAD}{marks}{BAD:#}\n",
                escape::line(&shown).replace("\\t", "\t"),
            ));
        }
        if let Some(help) = &self.problem.help {
            text.push_str(&format!("  = help: {}\n", escape::line(help)));
        }
        text
    }

    fn entry(&self) -> Value {
        let start = self.problem.span.start;
        let mut entry = json!({"file": self.file, "line": start.line, "column": start.column,
            "message": self.problem.message});
        if let Some(help) = &self.problem.help {
            entry["help"] = json!(help);
        }
        entry
    }
}

/// The skill that a test file belongs to, and the file's path in it.
fn skill_of(file: &Path) -> Result<(PathBuf, String), CommandError> {
    let real = std::fs::canonicalize(file)
        .map_err(|error| CommandError::io(format!("`{}` cannot be read", file.display()), &error))?;
    let Some(root) = real.ancestors().skip(1).find(|folder| has_skill_file(folder)) else {
        return Err(CommandError::usage(format!("`{}` belongs to no skill", file.display()))
            .hint("a test file is in the folder `tests` of a skill, beside its SKILL.md"));
    };
    let inner = real.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
    if !inner.starts_with("tests/") {
        return Err(CommandError::usage(format!(
            "`{}` is not in the folder `tests` of its skill",
            file.display()
        )));
    }
    Ok((root.to_owned(), inner.to_owned()))
}

fn is_bundle(path: &Path) -> bool {
    path.is_file() && !path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md"))
}

/// A path as short as it can be from here.
fn near(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(std::fs::canonicalize);
    match here.ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf)) {
        Some(inner) => inner,
        None => path.to_owned(),
    }
}
