//! `skillbox validate`: everything that can be said about skills without running them.
//!
//! Text goes to standard output like a compiler's messages, with the line that is meant; JSON has one entry a skill.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skill::{Diagnostic, LoadError, Severity, Skill, SkillDirectory, SourceLimits, SourceProblem, Span};

use crate::{
    args::Validate,
    error::CommandError,
    escape,
    exit::Exit,
    output::{self, BAD, DIM, Output, WEAK},
};

/// The longest line of a skill that is shown, in characters.
const EXCERPT: usize = 160;

/// What was found about one skill.
#[derive(Debug)]
struct Report {
    path: PathBuf,
    slug: Option<String>,
    diagnostics: Vec<Diagnostic>,
    /// What is no matter of diagnostics: a bundle that is refused, with its code.
    refused: Option<Refused>,
    /// The text of `SKILL.md`, and its name, for excerpts.
    source: Option<(String, String)>,
}

#[derive(Debug)]
struct Refused {
    code: Option<&'static str>,
    message: String,
    help: Option<&'static str>,
}

pub(crate) fn execute(command: &Validate, output: Output) -> Result<Exit, CommandError> {
    let mut reports = Vec::new();
    for path in &command.paths {
        look_at(path, &mut reports)?;
    }
    let fails =
        |severity: Severity| severity == Severity::Error || command.strict && severity == Severity::Warning;
    let count = |wanted: Severity| {
        let found = reports.iter().flat_map(|report| &report.diagnostics);
        found.filter(|diagnostic| diagnostic.severity == wanted).count()
    };
    let errors = count(Severity::Error) + reports.iter().filter(|report| report.refused.is_some()).count();
    let warnings = count(Severity::Warning);
    if output.json {
        let documents: Vec<Value> = reports.iter().map(|report| report.document(&fails)).collect();
        match <[Value; 1]>::try_from(documents) {
            // One skill is the common case, and the form that platforms' own tools have.
            Ok([one]) => output.print_json(&one)?,
            Err(many) => output.print_json(&json!({"schemaVersion": 1, "skills": many}))?,
        }
    } else {
        let mut text = String::new();
        for report in &reports {
            report.write(&mut text);
        }
        output::print(&text)?;
        output.note(&format!(
            "{}, {} in {}",
            counted(errors, "error"),
            counted(warnings, "warning"),
            counted(reports.len(), "skill")
        ));
    }
    let failed = errors > 0 || command.strict && warnings > 0;
    Ok(if failed { Exit::FINDINGS } else { Exit::OK })
}

/// A skill, or every skill of a directory.
fn look_at(path: &Path, reports: &mut Vec<Report>) -> Result<(), CommandError> {
    if !path.is_dir() || has_skill_file(path) {
        reports.push(Report::of(path, Skill::load(path))?);
        return Ok(());
    }
    let directory = SkillDirectory::open(path, &SourceLimits::default())
        .map_err(|error| CommandError::io(format!("`{}` cannot be read", path.display()), &error))?;
    let before = reports.len();
    for skill in directory.skills() {
        let place = skill.root().map_or_else(|| path.join(skill.name().as_str()), Path::to_path_buf);
        reports.push(Report::of_skill(&place, skill));
    }
    for problem in directory.problems() {
        match problem {
            SourceProblem::NotLoaded { path, error } => reports.push(Report::of_error(path, error)?),
            SourceProblem::Shadowed { name, path } => {
                let message = format!("another skill in this directory is called `{name}`, too");
                let refused = Refused { code: Some("SB400"), message, help: None };
                reports.push(Report::refused(path, refused));
            }
            other => return Err(CommandError::of(crate::error::Kind::User, "SKILL_UNREADABLE", other)),
        }
    }
    if reports.len() == before {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(CommandError::from(LoadError::Io { path: path.to_owned(), source }));
    }
    reports[before..].sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

fn has_skill_file(directory: &Path) -> bool {
    let Ok(mut entries) = std::fs::read_dir(directory) else { return false };
    entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().eq_ignore_ascii_case("SKILL.md")))
}

impl Report {
    fn of(path: &Path, loaded: Result<Skill, LoadError>) -> Result<Self, CommandError> {
        match loaded {
            Ok(skill) => Ok(Self::of_skill(path, &skill)),
            Err(error) => Self::of_error(path, &error),
        }
    }

    fn of_skill(path: &Path, skill: &Skill) -> Self {
        Self {
            path: path.to_owned(),
            slug: Some(skill.name().to_string()),
            diagnostics: skill.diagnostics().to_vec(),
            refused: None,
            source: Some((skill.skill_file().to_owned(), skill.source().to_owned())),
        }
    }

    fn refused(path: &Path, refused: Refused) -> Self {
        Self {
            path: path.to_owned(),
            slug: None,
            diagnostics: Vec::new(),
            refused: Some(refused),
            source: None,
        }
    }

    /// Findings are a report; what cannot be read is an error.
    fn of_error(path: &Path, error: &LoadError) -> Result<Self, CommandError> {
        match error {
            LoadError::Invalid { diagnostics } => Ok(Self {
                path: path.to_owned(),
                slug: None,
                diagnostics: diagnostics.clone(),
                refused: None,
                source: skill_file(path, diagnostics),
            }),
            LoadError::Bundle(bundle) if bundle.rule().is_some() => {
                let (code, message) = (bundle.rule().map(skill::Rule::code), bundle.to_string());
                Ok(Self::refused(path, Refused { code, message, help: bundle.help() }))
            }
            LoadError::Folder(folder) if std::error::Error::source(folder).is_none() => {
                Ok(Self::refused(path, Refused { code: None, message: folder.to_string(), help: None }))
            }
            other => Err(CommandError::from(other)),
        }
    }

    fn document(&self, fails: &dyn Fn(Severity) -> bool) -> Value {
        let entry = |diagnostic: &Diagnostic| {
            let mut entry = json!({
                "rule": diagnostic.rule.code(),
                "severity": diagnostic.severity.to_string(),
                "message": diagnostic.message,
                "path": diagnostic.location.file,
            });
            if let Some(span) = diagnostic.location.span {
                entry["line"] = json!(span.start.line);
                entry["column"] = json!(span.start.column);
                entry["endLine"] = json!(span.end.line);
                entry["endColumn"] = json!(span.end.column);
            }
            if let Some(help) = &diagnostic.help {
                entry["help"] = json!(help);
            }
            entry
        };
        let of = |severity: Severity| {
            self.diagnostics.iter().filter(move |diagnostic| diagnostic.severity == severity).map(entry)
        };
        let mut errors: Vec<Value> = of(Severity::Error).collect();
        if let Some(refused) = &self.refused {
            let mut error = json!({"severity": "error", "message": refused.message});
            if let Some(code) = refused.code {
                error["rule"] = json!(code);
            }
            if let Some(help) = refused.help {
                error["help"] = json!(help);
            }
            errors.push(error);
        }
        let valid =
            self.refused.is_none() && !self.diagnostics.iter().any(|diagnostic| fails(diagnostic.severity));
        let mut document = json!({
            "schemaVersion": 1,
            "valid": valid,
            "source": self.path.to_string_lossy(),
            "errors": errors,
            "warnings": of(Severity::Warning).collect::<Vec<_>>(),
            "infos": of(Severity::Info).collect::<Vec<_>>(),
        });
        if let Some(slug) = &self.slug {
            document["slug"] = json!(slug);
        }
        document
    }

    fn write(&self, text: &mut String) {
        for diagnostic in &self.diagnostics {
            self.write_diagnostic(diagnostic, text);
        }
        if let Some(refused) = &self.refused {
            let code = refused.code.map(|code| format!("[{code}]")).unwrap_or_default();
            text.push_str(&format!("{BAD}error{code}{BAD:#}: {}\n", escape::line(&refused.message)));
            text.push_str(&format!(" {DIM}-->{DIM:#} {}\n", self.shown_path()));
            if let Some(help) = refused.help {
                text.push_str(&format!("  {DIM}={DIM:#} help: {help}\n"));
            }
        }
    }

    fn shown_path(&self) -> String {
        escape::line(&self.path.to_string_lossy())
    }

    fn write_diagnostic(&self, diagnostic: &Diagnostic, text: &mut String) {
        let style = match diagnostic.severity {
            Severity::Error => BAD,
            Severity::Warning => WEAK,
            Severity::Info => DIM,
        };
        let (severity, code) = (diagnostic.severity, diagnostic.rule.code());
        text.push_str(&format!(
            "{style}{severity}[{code}]{style:#}: {}\n",
            escape::line(&diagnostic.message)
        ));
        let location = escape::line(&diagnostic.location.to_string());
        let place = if self.path.is_dir() { self.shown_path() + "/" } else { self.shown_path() + ": " };
        text.push_str(&format!(" {DIM}-->{DIM:#} {place}{location}\n"));
        if let (Some(span), Some((file, source))) = (diagnostic.location.span, &self.source)
            && *file == diagnostic.location.file
        {
            text.push_str(&excerpt(source, span));
        }
        if let Some(help) = &diagnostic.help {
            text.push_str(&format!("  {DIM}={DIM:#} help: {}\n", escape::line(help)));
        }
    }
}

/// The text that findings of a folder point into.
fn skill_file(path: &Path, diagnostics: &[Diagnostic]) -> Option<(String, String)> {
    let file =
        diagnostics.iter().find(|diagnostic| diagnostic.location.span.is_some())?.location.file.clone();
    let folder = if path.is_dir() { path } else { path.parent()? };
    let is_named = |name: &str| file.eq_ignore_ascii_case(name);
    // Only what is named like it is read; the rest of a folder is none of this command's business.
    if !is_named("SKILL.md") {
        return None;
    }
    let text = std::fs::read_to_string(folder.join(&file)).ok()?;
    Some((file, text))
}

/// The line that is meant, with what is meant underlined.
fn excerpt(source: &str, span: Span) -> String {
    let Some(line) = source.lines().nth(span.start.line.saturating_sub(1)) else { return String::new() };
    let shown: String = line.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let start = span.start.column.saturating_sub(1).min(EXCERPT);
    let end = if span.end.line == span.start.line {
        span.end.column.saturating_sub(1)
    } else {
        shown.chars().count()
    };
    let width = end.min(EXCERPT).saturating_sub(start).max(1);
    let number = span.start.line.to_string();
    let gap = " ".repeat(number.len());
    format!(
        "{DIM}{gap} |{DIM:#}\n{DIM}{number} |{DIM:#} {}\n{DIM}{gap} |{DIM:#} {}{WEAK}{}{WEAK:#}\n",
        escape::line(&shown),
        " ".repeat(start),
        "^".repeat(width)
    )
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use skill::Position;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_excerpt_points_at_what_is_meant() {
        let position = |line, column| Position { offset: 0, line, column };
        let span = Span { start: position(2, 7), end: position(2, 14) };
        assert_eq!(
            plain(&excerpt("---\nname: QR-Code\n", span)),
            "  |\n2 | name: QR-Code\n  |       ^^^^^^^\n"
        );
        let beyond = Span { start: position(9, 1), end: position(9, 2) };
        assert_eq!(excerpt("one line", beyond), "");
    }

    #[test]
    fn hostile_lines_are_cut_and_harmless() {
        let at = |column| Position { offset: 0, line: 1, column };
        let source = format!("\x1b[2J{}", "x".repeat(10_000));
        let shown = plain(&excerpt(&source, Span { start: at(1), end: at(9_000) }));
        assert!(!shown.contains('\x1b') && shown.len() < 3 * EXCERPT, "{shown}");
    }

    #[test]
    fn a_folder_of_good_and_bad_skills_has_a_report_for_each() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in
            [("good", "---\nname: good\ndescription: Does things.\n---\nBody\n"), ("bad", "no frontmatter\n")]
        {
            std::fs::create_dir(directory.path().join(name)).unwrap();
            std::fs::write(directory.path().join(name).join("SKILL.md"), text).unwrap();
        }
        let mut reports = Vec::new();
        look_at(directory.path(), &mut reports).unwrap();
        let slugs: Vec<Option<&str>> = reports.iter().map(|report| report.slug.as_deref()).collect();
        assert_eq!(slugs, [None, Some("good")]);
        let fails = |severity| severity == Severity::Error;
        assert_eq!(reports[0].document(&fails)["valid"], false);
        assert_eq!(reports[1].document(&fails)["valid"], true);
    }
}
