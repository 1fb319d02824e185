//! What the program in the sandbox reports, and what that means for the author of the skill.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use skill::{Diagnostic, Location, Rule, Span};

/// The most findings about one script; a program that took over the report can write any number.
const MAX_FOUND: usize = 100;

/// A line of the report.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// A script is looked at now.
    Start {
        /// Which one.
        start: String,
    },
    /// A script was looked at.
    Looked(Looked),
}

/// A script that was looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Looked {
    /// Path relative to the skill's root.
    pub(super) path: String,
    found: Vec<Found>,
}

/// One thing that was found.
#[derive(Debug, Deserialize)]
struct Found {
    kind: FoundKind,
    /// From 1.
    line: usize,
    #[serde(default)]
    module: String,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FoundKind {
    /// It is not valid in its language.
    Syntax,
    /// A module that no package here has.
    Missing,
    /// A module that is in the skill, but not found from the script.
    Local,
    /// An import that fails in another way.
    Import,
    /// The process ended, or did not.
    Ends,
    /// `--help` fails.
    Help,
}

impl Looked {
    /// A script during which the program itself was ended.
    pub(super) fn ended(path: String, ending: &str) -> Self {
        let found =
            Found { kind: FoundKind::Ends, line: 1, module: String::new(), message: ending.to_owned() };
        Self { path, found: vec![found] }
    }

    /// What is said about it; `texts` are those of the skill's scripts.
    pub(super) fn diagnostics(&self, texts: &BTreeMap<String, String>) -> Vec<Diagnostic> {
        // The report comes out of a sandbox: a path that is none of them means nothing.
        let Some(text) = texts.get(&self.path) else { return Vec::new() };
        let mut missing = BTreeSet::new();
        self.found
            .iter()
            // A package that is missing is missing in every line that imports from it.
            .filter(|found| found.kind != FoundKind::Missing || missing.insert(found.module.as_str()))
            .take(MAX_FOUND)
            .map(|found| found.diagnostic(&self.path, text))
            .collect()
    }
}

impl Found {
    fn diagnostic(&self, path: &str, text: &str) -> Diagnostic {
        let location = match line(text, self.line) {
            Some(range) => Location::span(path, Span::in_text(text, range)),
            None => Location::file(path),
        };
        let (message, module) = (clean(&self.message), clean(&self.module));
        let top = module.split('.').next().unwrap_or_default();
        let diagnostic = |rule: Rule, message: String| Diagnostic::new(rule, location.clone(), message);
        match self.kind {
            FoundKind::Syntax => diagnostic(Rule::SYNTAX_ERROR, format!("in a sandbox: {message}")),
            FoundKind::Missing => {
                let found = format!("in a sandbox, the module `{module}` is not there");
                diagnostic(Rule::SMOKE_TEST, found).with_help(validate::advice_for(&module))
            }
            FoundKind::Local => {
                let found = format!("in a sandbox, `{module}` of the skill is not found from here");
                diagnostic(Rule::LOCAL_IMPORT, found)
                    .with_help(format!("put `{top}` beside the script, or add its folder to `sys.path`"))
            }
            FoundKind::Import => {
                let found = format!("in a sandbox, importing `{module}` fails: {message}");
                diagnostic(Rule::SMOKE_TEST, found)
                    .with_help("pin a version of the package that it works with")
            }
            FoundKind::Ends if module.is_empty() => diagnostic(
                Rule::SMOKE_TEST,
                format!("in a sandbox, the script could not be looked at: {message}"),
            ),
            FoundKind::Ends => diagnostic(
                Rule::SMOKE_TEST,
                format!("in a sandbox, importing `{module}` does not come back: {message}"),
            ),
            FoundKind::Help => diagnostic(Rule::NO_HELP, format!("in a sandbox, `--help` fails: {message}")),
        }
    }
}

/// The bytes of a line without the white space around it. What is missing at the end is said of the line behind it: then it is
/// the last one.
fn line(text: &str, number: usize) -> Option<std::ops::Range<usize>> {
    let number = number.min(text.lines().count());
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if index + 1 == number {
            let begin = start + (line.len() - line.trim_start().len());
            return Some(begin.min(start + line.trim_end().len())..start + line.trim_end().len());
        }
        start += line.len();
    }
    None
}

/// A text of a stranger as part of a sentence.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> BTreeMap<String, String> {
        [("scripts/a.py".to_owned(), "import os\n\nif True:\n    import yaml\n".to_owned())].into()
    }

    fn shown(report: &str) -> Vec<String> {
        let mut all = Vec::new();
        for line in report.lines() {
            if let Ok(Step::Looked(looked)) = serde_json::from_str(line) {
                all.extend(looked.diagnostics(&texts()).iter().map(Diagnostic::to_string));
            }
        }
        all
    }

    #[test]
    fn a_report_has_places_and_advice() {
        let report = r#"{"start": "scripts/a.py"}
            {"path": "scripts/a.py", "found": [{"kind": "missing", "line": 4, "module": "yaml", "message": "No module"},
            {"kind": "help", "line": 1, "message": "ValueError: a"}]}"#
            .replace("},\n            ", "}, ");
        assert_eq!(
            shown(&report),
            [
                "scripts/a.py:4:5: error[SB219]: in a sandbox, the module `yaml` is not there",
                "scripts/a.py:1:1: info[SB217]: in a sandbox, `--help` fails: ValueError: a",
            ]
        );
    }

    #[test]
    fn a_report_of_a_stranger_is_harmless() {
        for report in [
            "",
            "[]",
            r#"{"path": "/etc/passwd", "found": [{"kind": "syntax", "line": 1, "message": "x"}]}"#,
            r#"{"path": "scripts/a.py", "found": [{"kind": "other", "line": 1, "message": "x"}]}"#,
        ] {
            assert_eq!(shown(report), [""; 0], "{report}");
        }
        let one = r#"{"kind": "syntax", "line": 1, "message": "x"}"#;
        let many = format!(r#"{{"path": "scripts/a.py", "found": [{}]}}"#, [one; 500].join(","));
        assert_eq!(shown(&many).len(), MAX_FOUND);
        let far =
            r#"{"path": "scripts/a.py", "found": [{"kind": "syntax", "line": 99, "message": "a\u001b[2J"}]}"#;
        assert_eq!(shown(far), ["scripts/a.py:4:5: error[SB200]: in a sandbox: a[2J"]);
    }
}
