//! Holds what a tool call came to against what was expected of it.

mod files;
mod json;
mod text;

use std::time::Duration;

use artifact::ArtifactStore;
use runner::CallAnswer;
use serde_json::Value as Json;
use skill::{Skill, Span};

use crate::{
    expect::ErrorExpect,
    failure::{Failure, Subject},
    format::Step,
    network::Network,
    problem::At,
    quantity::Comparison,
    snapshot,
};

/// What is looked at beside the answer.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) skill: &'a Skill,
    /// The folder of the test file.
    pub(crate) folder: &'a str,
    /// Where output files are.
    pub(crate) store: &'a dyn ArtifactStore,
    /// How long the program was allowed to run.
    pub(crate) timeout: Duration,
    /// How often it tried to reach the network, where that is expected of it and could be counted.
    pub(crate) attempts: Option<u64>,
    /// Snapshots that do not fit are collected to be rewritten, and are no failures.
    pub(crate) update: bool,
    pub(crate) failures: Vec<Failure>,
    /// The new content of snapshots, by path.
    pub(crate) rewrites: Vec<(String, String)>,
}

impl Checker<'_> {
    /// Checks one step.
    pub(crate) async fn step(&mut self, step: &Step, answer: &CallAnswer) {
        let expect = &step.expect;
        let result = &answer.answer.result;
        match (&expect.error, &result.error) {
            (Some(expected), Some(message)) => {
                self.error(expected, answer.answer.code.map(tool::ErrorCode::as_str), message);
                return;
            }
            (Some(expected), None) => {
                let message = "expected the call to be refused, but it was carried out";
                self.failures.push(Failure::new(Subject::Error, expected.span, message));
            }
            (None, Some(message)) => {
                let code = answer.answer.code.map(|code| format!(" ({code})")).unwrap_or_default();
                let fault =
                    answer.report.fault.as_deref().map(|fault| format!(": {fault}")).unwrap_or_default();
                let subject = if fault.is_empty() { Subject::Error } else { Subject::Sandbox };
                let message = format!("the call was refused{code}: {message}{fault}");
                self.failures.push(Failure::new(subject, step.span, message));
                return;
            }
            (None, None) => {}
        }
        let value = result.result.as_ref().unwrap_or(&Json::Null);
        if step.is_program() && expect.error.is_none() {
            self.ending(step, value);
            for (key, checks, subject) in
                [("stdout", &expect.stdout, Subject::Stdout), ("stderr", &expect.stderr, Subject::Stderr)]
            {
                let text = value.get(key).and_then(Json::as_str).unwrap_or_default();
                for check in checks {
                    self.text(&check.value, check.span, text, &Named { subject, name: key });
                }
            }
        }
        if let Some(most) = expect.max_duration {
            let took = answer.report.program.map_or(answer.report.took, |program| program.usage.wall);
            if took > most.value {
                let message = format!("expected at most {}, took {}", shown(most.value), shown(took));
                self.failures.push(Failure::new(Subject::Time, most.span, message));
            }
        }
        if let Some(wanted) = expect.network {
            let message = match (wanted.value, self.attempts) {
                (Network::None, Some(0)) | (Network::Attempted, Some(1..)) => None,
                (Network::None, Some(count)) => {
                    Some(format!("expected no attempt to reach the network, but the kernel counted {count}"))
                }
                (Network::Attempted, Some(0)) => {
                    Some("expected an attempt to reach the network, but there was none".to_owned())
                }
                (_, None) => {
                    Some("the kernel of this sandbox counts no attempts to reach the network".to_owned())
                }
            };
            if let Some(message) = message {
                self.failures.push(Failure::new(Subject::Network, wanted.span, message));
            }
        }
        for check in &expect.result {
            if let Err(message) = json::check(value, &check.value, "the result") {
                self.failures.push(Failure::new(Subject::Result, check.span, message));
            }
        }
        self.files(expect, &answer.report.files).await;
    }

    fn error(&mut self, expected: &At<ErrorExpect>, code: Option<&str>, message: &str) {
        if let Some(wanted) = expected.value.code.map(tool::ErrorCode::as_str)
            && Some(wanted) != code
        {
            let told =
                format!("expected the error {wanted}, got {}: {message}", code.unwrap_or("another one"));
            self.failures.push(Failure::new(Subject::Error, expected.span, told));
        }
        for check in &expected.value.message {
            self.text(
                &check.value,
                check.span,
                message,
                &Named { subject: Subject::Error, name: "the error" },
            );
        }
    }

    /// How the program ended.
    fn ending(&mut self, step: &Step, result: &Json) {
        let flag = |name| result.get(name).and_then(Json::as_bool).unwrap_or(false);
        let (timed_out, out_of_memory) = (flag("timedOut"), flag("oomKilled"));
        let exit_code = result.get("exitCode").and_then(Json::as_i64).unwrap_or(-1);
        let expect = &step.expect;
        let said = |wanted: Option<At<bool>>| wanted.is_some_and(|wanted| wanted.value);
        // Nobody who says nothing of it expects a program to fail.
        let implied = !said(expect.timed_out) && !said(expect.out_of_memory);
        let wanted = match expect.exit_code {
            Some(wanted) => Some(wanted),
            None => implied.then(|| At::new(Comparison::equal(0), step.span)),
        };
        let how = if timed_out {
            format!("{exit_code}: timed out after {}", shown(self.timeout))
        } else if out_of_memory {
            format!("{exit_code}: it was killed for memory")
        } else {
            exit_code.to_string()
        };
        if let Some(wanted) = wanted
            && !wanted.value.holds(exit_code)
        {
            let message = format!("expected exit code {}, got {how}", wanted.value);
            self.failures.push(Failure::new(Subject::Ending, wanted.span, message));
        }
        let flags = [
            (expect.timed_out, timed_out, "a timeout", "no timeout"),
            (
                expect.out_of_memory,
                out_of_memory,
                "it to be killed for memory",
                "it not to be killed for memory",
            ),
        ];
        for (wanted, is, yes, no) in flags {
            if let Some(wanted) = wanted
                && wanted.value != is
            {
                let what = if wanted.value { yes } else { no };
                let message = format!("expected {what}, got exit code {how}");
                self.failures.push(Failure::new(Subject::Ending, wanted.span, message));
            }
        }
    }

    /// A snapshot: compares, or notes what it is to become.
    fn snapshot(&mut self, name: &str, span: Span, text: &str, named: &Named<'_>) {
        let Some(path) = crate::place::join(self.folder, name) else { return };
        let found = match snapshot::read(self.skill, &path) {
            Ok(found) => found,
            Err(error) => {
                let message = format!("the snapshot `{path}` cannot be read: {error}");
                self.failures.push(Failure::new(named.subject, span, message));
                return;
            }
        };
        let wanted = found.as_deref().map(|found| snapshot::joined(&found.lines().collect::<Vec<_>>()));
        let got = snapshot::normalize(wanted.as_deref().unwrap_or_default(), text);
        match wanted {
            Some(wanted) if wanted == got => {}
            _ if self.update => self.rewrites.push((path, got)),
            Some(wanted) => {
                let message =
                    format!("{} differs from the snapshot `{path}`; `--update` rewrites it", named.name);
                self.failures.push(Failure::new(named.subject, span, message).with_diff(&wanted, &got));
            }
            None => {
                let message = format!("the snapshot `{path}` is not there yet; `--update` writes it");
                self.failures.push(Failure::new(named.subject, span, message).with_diff("", &got));
            }
        }
    }
}

/// A text, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) subject: Subject,
    pub(crate) name: &'a str,
}

/// A time in a message.
fn shown(time: Duration) -> String {
    let milliseconds = time.as_millis();
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        _ => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
    }
}

#[cfg(test)]
mod tests;
