//! Checks of group scripts: whether programs can start, find what they need, and leave what they make where it is found.
//!
//! Scripts run in the skill's folder, which is read-only, without network, with an empty standard input, and with the packages
//! that the skill declares beside those of the image. What a script does is read from its text, so a finding says what
//! stands there, and not that it will happen.

mod behaviour;
mod imports;
mod node;
mod packages;
mod paths;
mod programs;
mod requirements;
mod start;
mod syntax;

use std::cell::OnceCell;

pub use self::packages::advice_for;

use skill::Language;

use crate::{
    Check,
    python::Python,
    shell::Shell,
    subject::{Subject, Text},
};

pub(crate) const CHECKS: &[Check] = &[
    syntax::check,
    start::check,
    start::check_compiled,
    behaviour::check_python,
    behaviour::check_shell,
    behaviour::check_node,
    imports::check,
    node::check,
    requirements::check,
    programs::check,
    paths::check,
];

/// Folders whose programs are material for the model, and not run as part of the skill.
const MATERIAL: [&str; 13] = [
    "asset",
    "assets",
    "template",
    "templates",
    "example",
    "examples",
    "reference",
    "references",
    "test",
    "tests",
    "evals",
    "fixtures",
    "docs",
];

/// The programs of a skill, taken apart when somebody asks for them.
#[derive(Debug, Default)]
pub(crate) struct ProgramCache {
    python: OnceCell<Vec<(String, Python)>>,
    shell: OnceCell<Vec<(String, Shell)>>,
}

impl Subject<'_> {
    /// The Python scripts, also those that are only material.
    pub(crate) fn pythons(&self) -> impl Iterator<Item = (&Text, &Python)> {
        let parsed = self.parsed.python.get_or_init(|| {
            let texts = self.scripts_in(Language::Python);
            texts.map(|text| (text.path.clone(), Python::parse(&text.content))).collect()
        });
        parsed.iter().filter_map(|(path, python)| Some((self.text(path)?, python)))
    }

    /// The shell scripts, also those that are only material.
    pub(crate) fn shells(&self) -> impl Iterator<Item = (&Text, &Shell)> {
        let parsed = self.parsed.shell.get_or_init(|| {
            let texts = self.scripts_in(Language::Bash);
            texts.map(|text| (text.path.clone(), Shell::parse(&text.content))).collect()
        });
        parsed.iter().filter_map(|(path, shell)| Some((self.text(path)?, shell)))
    }

    /// The scripts in one language as texts.
    fn scripts_in(&self, language: Language) -> impl Iterator<Item = &Text> {
        let scripts = self.draft.scripts().iter().chain(self.draft.hidden_scripts());
        scripts.filter(move |script| script.language == language).filter_map(|script| self.text(&script.path))
    }
}

/// Whether a file is run as part of the skill, and not only shown, copied or tested with.
pub fn is_run(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let is_test = name.starts_with("test_")
        || name == "conftest.py"
        || name.contains("_test.")
        || name.contains(".test.");
    !is_test && parts.all(|folder| !MATERIAL.contains(&folder.to_ascii_lowercase().as_str()))
}

/// The lines of a list in `data/` that are no comments.
fn list(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests;
