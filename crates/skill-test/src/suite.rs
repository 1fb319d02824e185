//! The tests of one skill: its test files, read and held against the rest of the skill.
//!
//! Files are looked up in the skill's own list and never joined to a directory, so that a fixture cannot be a file of
//! the host, whatever links there are.

use std::sync::Arc;

use skill::{ReadError, Skill, Span};
use tool::ToolName;

use crate::{
    fields::nearest,
    format::{self, Case, SUFFIX, Step, TestFile},
    place,
    problem::{At, Problem, Problems},
};

/// Where test files are.
const FOLDER: &str = "tests/";
/// The most bytes of a test file.
const MAX_FILE: u64 = 1 << 20;

/// A skill with its tests.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The skill.
    pub skill: Arc<Skill>,
    /// Its test files, sorted by path.
    pub files: Vec<TestFile>,
}

impl Suite {
    /// Reads the tests of a skill: all of `tests/**/*.test.yaml`, or the one file that is asked for.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(skill: &Arc<Skill>, only: Option<&str>) -> Result<Self, Vec<Problem>> {
        let mut files: Vec<TestFile> = Vec::new();
        let mut wrong = Vec::new();
        for file in skill.files().iter().filter(|file| only.is_none_or(|only| only == file.path)) {
            if !file.path.starts_with(FOLDER) {
                continue;
            }
            if file.path.ends_with(".test.yml") {
                let mut problems = Problems::new(&file.path);
                problems
                    .add(Span::at(skill::Position::START), format!("test files end with `{SUFFIX}`"))
                    .help("rename it; as it is, it would never be run");
                wrong.extend(problems.into_list());
            } else if file.path.ends_with(SUFFIX) {
                match read(skill, &file.path, file.size) {
                    Ok(file) => {
                        wrong.extend(twice(&files, &file));
                        files.push(file);
                    }
                    Err(problems) => wrong.extend(problems),
                }
            }
        }
        if wrong.is_empty() { Ok(Self { skill: Arc::clone(skill), files }) } else { Err(wrong) }
    }

    /// How many cases there are.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.files.iter().map(|file| file.cases.len()).sum()
    }
}

fn read(skill: &Skill, path: &str, size: u64) -> Result<TestFile, Vec<Problem>> {
    let mut problems = Problems::new(path);
    let begin = Span::at(skill::Position::START);
    if size > MAX_FILE {
        problems.add(begin, format!("the file has {size} bytes; at most {MAX_FILE} are read"));
        return Err(problems.into_list());
    }
    let text = match skill.read_text(path) {
        Ok(text) => text,
        Err(error) => {
            let message = match error {
                ReadError::NotText { .. } => "the file is not UTF-8".to_owned(),
                other => other.to_string(),
            };
            problems.add(begin, message);
            return Err(problems.into_list());
        }
    };
    let mut file = format::parse(path, &text, skill.name().as_str())?;
    let folder = place::folder(path);
    for case in &mut file.cases {
        check_case(skill, folder, case, &mut problems);
    }
    let found = problems.into_list();
    if found.is_empty() { Ok(file) } else { Err(found) }
}

/// A name that another file of the skill has already.
fn twice(files: &[TestFile], new: &TestFile) -> Vec<Problem> {
    let mut problems = Problems::new(&new.path);
    for case in &new.cases {
        let same = |file: &&TestFile| file.cases.iter().any(|other| other.name == case.name);
        if let Some(file) = files.iter().find(same) {
            problems.add(case.span, format!("a case in `{}` has the same name", file.path));
        }
    }
    problems.into_list()
}

/// What a case names must be there.
fn check_case(skill: &Skill, folder: &str, case: &mut Case, problems: &mut Problems) {
    for input in &case.inputs {
        find(skill, folder, &input.fixture, problems);
    }
    for step in &mut case.steps {
        if let Some(file) = step.code_file.clone()
            && let Some(path) = find(skill, folder, &file, problems)
        {
            match skill.read_text(&path) {
                Ok(code) => step.args["code"] = code.into(),
                Err(error) => _ = problems.add(file.span, error.to_string()),
            }
        }
        check_script(skill, step, problems);
    }
}

/// The path of a fixture, relative to the skill's root.
fn find(skill: &Skill, folder: &str, named: &At<String>, problems: &mut Problems) -> Option<String> {
    let shown = named.value.escape_debug();
    let Some(path) = place::join(folder, &named.value) else {
        problems
            .add(named.span, format!("`{shown}` leads out of the skill"))
            .help("a fixture is a file of the skill, relative to the folder of the test file");
        return None;
    };
    if skill.file(&path).is_none() {
        let all: Vec<&str> = skill.files().iter().map(|file| file.path.as_str()).collect();
        let help = match nearest(&path, &all) {
            Some(near) => format!("there is `{near}`"),
            None => "paths are relative to the folder of the test file".to_owned(),
        };
        problems.add(named.span, format!("the skill has no file `{}`", path.escape_debug())).help(help);
        return None;
    }
    Some(path)
}

fn check_script(skill: &Skill, step: &Step, problems: &mut Problems) {
    if step.tool != ToolName::SkillRun || step.expect.error.is_some() {
        return;
    }
    let Some(name) = step.args.get("script").and_then(|script| script.as_str()) else { return };
    if step.args["skill"] == skill.name().as_str()
        && let Err(error) = skill.resolve_script(name)
    {
        let names: Vec<&str> = skill.scripts().iter().map(|script| script.path.as_str()).collect();
        let help = match names.as_slice() {
            [] => "the skill has no scripts".to_owned(),
            names => format!("the skill has {}", crate::fields::listed(names)),
        };
        problems.add(step.span, error.to_string()).help(help);
    }
}
