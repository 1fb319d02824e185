//! One look at a skill: check, run, test; and what is shown of it, which is what is not as it was the time before.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use runner::{CallRequest, Declaration};
use serde_json::{Value, json};
use skill::{Severity, Skill};
use skill_test::{Options, Selected, Status, Suite};
use tokio_util::sync::CancellationToken;
use tool::ToolName;

use crate::{
    args::Dev,
    commands::{
        dev::findings::{Checked, Finding, check},
        program,
        test::{Place, Problems, counts, failure_lines, jobs, line_of, width},
    },
    error::CommandError,
    escape, files,
    output::{self, BAD, DIM, GOOD, Output, WEAK},
    progress::Progress,
    sandboxes::{self, OneRunner},
    skills,
    units::{milliseconds, show_duration, show_size},
};

/// How long a program of a test may run where its case does not say.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Most names of changed files in one line.
const NAMES: usize = 5;

/// What stays from look to look.
pub(crate) struct Workbench<'a> {
    one: &'a OneRunner,
    root: &'a Path,
    run: Option<Vec<String>>,
    command: &'a Dev,
    output: Output,
    last: Last,
}

/// What was shown the time before.
#[derive(Debug, Default)]
struct Last {
    findings: Option<Vec<Finding>>,
    /// Exit code, streams and files of the script, or why there are none.
    run: Option<String>,
    /// What is wrong with the test files, or with the dependencies.
    trouble: Option<String>,
    /// What was shown of each case, without times.
    cases: BTreeMap<String, (Status, String)>,
}

impl<'a> Workbench<'a> {
    /// One at which nothing was looked at yet.
    pub(crate) fn new(
        one: &'a OneRunner,
        root: &'a Path,
        run: Option<Vec<String>>,
        command: &'a Dev,
        output: Output,
    ) -> Self {
        Self { one, root, run, command, output, last: Last::default() }
    }

    /// Looks once. `stop` drops the rest of it.
    pub(crate) async fn look(
        &mut self,
        changed: &[String],
        stop: &CancellationToken,
    ) -> Result<(), CommandError> {
        if !changed.is_empty() {
            let mut names: Vec<String> = changed.iter().take(NAMES).map(|name| escape::line(name)).collect();
            if changed.len() > NAMES {
                names.push(format!("{} more", changed.len() - NAMES));
            }
            output::print(&format!("\n{DIM}changed: {}{DIM:#}\n", names.join(", ")))?;
        }
        let root = self.root.to_owned();
        let Ok(Checked { skill, findings }) = tokio::task::spawn_blocking(move || check(&root)).await else {
            return Ok(());
        };
        self.show_findings(findings)?;
        let Some(skill) = skill else {
            return output::print(&format!("{DIM}nothing is run before that is right{DIM:#}\n"));
        };
        self.one.runner.skills().replace(skills::shared_catalog(vec![Arc::clone(&skill)]).0).await;
        if !self.prepare(&skill, stop).await? {
            return Ok(());
        }
        if let Some(words) = self.run.clone() {
            self.run(&skill, &words, stop).await?;
        }
        if !self.command.no_test && !stop.is_cancelled() {
            self.test(&skill, stop).await?;
        }
        Ok(())
    }

    fn show_findings(&mut self, findings: Vec<Finding>) -> Result<(), CommandError> {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let summary = match (errors, warnings) {
            (0, 0) => format!("{GOOD}check{GOOD:#}  nothing wrong"),
            (0, warnings) => format!("{WEAK}check{WEAK:#}  {}", counted(warnings, "warning")),
            (errors, 0) => format!("{BAD}check{BAD:#}  {}", counted(errors, "error")),
            (errors, warnings) => {
                format!("{BAD}check{BAD:#}  {}, {}", counted(errors, "error"), counted(warnings, "warning"))
            }
        };
        let last = self.last.findings.take();
        let known = last.as_deref().unwrap_or_default();
        let new: Vec<&Finding> = findings.iter().filter(|finding| !known.contains(finding)).collect();
        let gone: Vec<&Finding> = known.iter().filter(|finding| !findings.contains(finding)).collect();
        let same = if last.is_some() && new.is_empty() && gone.is_empty() { ", as before" } else { "" };
        let mut text = format!("{summary}{same}\n");
        for finding in new {
            text.push_str(&format!("  {}\n", escape::line(&finding.text)));
        }
        for finding in gone {
            text.push_str(&format!("  {DIM}gone: {}{DIM:#}\n", escape::line(&finding.text)));
        }
        self.last.findings = Some(findings);
        output::print(&text)
    }

    /// Makes the skill's dependencies ready; `false` where the look ends here.
    async fn prepare(&mut self, skill: &Skill, stop: &CancellationToken) -> Result<bool, CommandError> {
        let progress = Progress::new(self.output);
        let told = |event: layer::Event<'_>| progress.step(event);
        let prepared = tokio::select! {
            prepared = self.one.runner.prepare_skill(skill.name().as_str(), &told) => prepared,
            () = stop.cancelled() => return Ok(false),
        };
        match prepared {
            Ok(()) => Ok(true),
            Err(error) => {
                let error = CommandError::from(error);
                let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
                let hint = error.hint.map(|hint| format!("\n  {hint}")).unwrap_or_default();
                self.trouble(&escape::text(&format!("{}{causes}", error.message)), &escape::text(&hint))?;
                Ok(false)
            }
        }
    }

    /// Shows why nothing can be run or tested; both texts are harmless for a terminal.
    fn trouble(&mut self, what: &str, details: &str) -> Result<(), CommandError> {
        let now = format!("{what}{details}");
        let same = self.last.trouble.as_ref() == Some(&now);
        self.last.trouble = Some(now);
        let (details, same) = if same { ("", ", as before") } else { (details, "") };
        output::print(&format!("{BAD}error{BAD:#}  {what}{same}{details}\n"))
    }

    async fn run(
        &mut self,
        skill: &Skill,
        words: &[String],
        stop: &CancellationToken,
    ) -> Result<(), CommandError> {
        let Some((script, args)) = words.split_first() else { return Ok(()) };
        let slug = skill.name().to_string();
        let options = &self.command.program;
        let args =
            json!({"skill": slug, "script": script, "args": args, "timeout": milliseconds(options.timeout)});
        // Inputs may have been saved since, too.
        let prepared = match program::Prepared::read(options) {
            Ok(prepared) => prepared,
            Err(error) => return self.trouble(&escape::text(&error.message), ""),
        };
        let declaration =
            Declaration { skills: vec![slug], ..program::declaration(options, prepared.inputs) };
        let mut request = CallRequest::new(program::call(ToolName::SkillRun, args));
        request.options.stdin = prepared.stdin;
        let answer = self.one.call(&sandboxes::trigger()?, declaration, request, stop).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        let result = &answer.answer.result;
        let script = escape::line(script);
        let (summary, details) = match (&result.result, &result.error) {
            (Some(value), _) => {
                let code = value.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
                let style = if code == 0 { GOOD } else { BAD };
                let delivered = program::deliver(&answer, options, &self.one.store).await;
                let mut details = String::new();
                for (name, color) in [("stdout", DIM), ("stderr", WEAK)] {
                    let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
                    for line in text.lines() {
                        details.push_str(&format!("  {color}│{color:#} {}\n", escape::line(line)));
                    }
                }
                for file in &delivered {
                    let size = show_size(file.file.size);
                    details.push_str(&match &file.place {
                        Ok(path) => format!(
                            "  → {}  {}  {size}\n",
                            files::shown(path),
                            escape::line(&file.file.media_type)
                        ),
                        Err(why) => {
                            format!("  {WEAK}→{WEAK:#} {}: {}\n", escape::line(&file.file.name), reason(why))
                        }
                    });
                }
                if let Some(hint) = value.get("hint").and_then(Value::as_str) {
                    details.push_str(&format!("  hint: {}\n", escape::line(hint)));
                }
                (format!("{style}run{style:#}    {script}: exit code {code}"), details)
            }
            (None, error) => {
                let error = error.as_deref().unwrap_or("the call failed");
                (format!("{BAD}run{BAD:#}    {}", escape::line(error)), String::new())
            }
        };
        let took = answer.report.program.map(|program| program.usage.wall);
        let took = took.map(|took| format!(", {}", show_duration(took))).unwrap_or_default();
        let now = format!("{summary}\n{details}");
        if self.last.run.as_ref() == Some(&now) {
            return output::print(&format!("{summary}{took}, as before\n"));
        }
        self.last.run = Some(now);
        output::print(&format!("{summary}{took}\n{details}"))
    }

    async fn test(&mut self, skill: &Arc<Skill>, stop: &CancellationToken) -> Result<(), CommandError> {
        let suite = match Suite::load(skill, None) {
            Ok(suite) => Arc::new(suite),
            Err(problems) => {
                let problems = Problems::of_folder(skill, self.root, problems);
                let text = problems.text();
                return self.trouble(&problems.summary(), &format!("\n{}", text.trim_end()));
            }
        };
        self.last.trouble = None;
        let cases = Selected::all(&suite);
        if cases.is_empty() {
            return output::print(&format!(
                "{DIM}test   no tests yet; docs/testing-skills.md says how to write them{DIM:#}\n"
            ));
        }
        let options = Options { jobs: jobs(None), timeout: TEST_TIMEOUT, update: false, fail_fast: false };
        let places = Place::of_folder(skill, self.root);
        let (begin, mut reports) = (Instant::now(), Vec::new());
        let counted = skill_test::run(&self.one.runner, &cases, &options, stop, async |_, report| {
            reports.push(report.clone());
        })
        .await;
        if stop.is_cancelled() {
            return Ok(());
        }
        let took = begin.elapsed();
        let mut text = String::new();
        let mut now = BTreeMap::new();
        for (case, report) in cases.iter().zip(&reports) {
            let failures = failure_lines(case, report, &places, self.output.verbose);
            let before = self.last.cases.get(&case.case().name);
            let is_good = matches!(report.status, Status::Passed | Status::Skipped(_));
            // A case that passes is worth a word only where it did not before.
            let is_news = match before {
                Some((status, shown)) => *status != report.status || *shown != failures,
                None => !is_good,
            };
            if is_news {
                text.push_str(&line_of(case, report, width(&cases)));
                text.push_str(&failures);
            }
            now.insert(case.case().name.clone(), (report.status.clone(), failures));
        }
        let failing = counted.failed + counted.broken;
        let same =
            if !self.last.cases.is_empty() && text.is_empty() && failing > 0 { ", as before" } else { "" };
        let style = if failing > 0 { BAD } else { GOOD };
        self.last.cases = now;
        output::print(&format!("{style}test{style:#}   {}{same}\n{text}", counts(&counted, took)))
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn reason(why: &files::NotDelivered) -> String {
    match why {
        files::NotDelivered::LeftOut(why) | files::NotDelivered::Lost(why) => escape::line(why),
        files::NotDelivered::Unwanted => String::new(),
    }
}
