//! One call, from its turn to its answer.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tool::{Arguments, OutputFile, ToolCall, ToolError, ToolOutput, answer};
use tracing::Instrument as _;

use crate::{
    CallAnswer, CallError, CallOptions, CallOutcome, CallReport, Tenant, TriggerId,
    pending::CallReply,
    progress::{ProgressKind, ProgressLog},
    runner::Core,
    tools,
    trigger::{Lease, Plan, Reason, lease::View},
};

/// How long a cancelled call may take to end, its last capture included. What takes longer is a sandbox that does not
/// answer, or a store that does not.
const CANCEL_LIMIT: Duration = Duration::from_secs(12);

/// Everything that one call needs, beside the sandbox.
pub(crate) struct Job {
    pub(crate) core: Arc<Core>,
    pub(crate) trigger: TriggerId,
    pub(crate) progress: ProgressLog,
    pub(crate) plan: Plan,
    pub(crate) call: ToolCall,
    pub(crate) tenant: Tenant,
    pub(crate) options: CallOptions,
    pub(crate) received: Instant,
    pub(crate) cancel: CancellationToken,
    pub(crate) had_sandbox: bool,
    pub(crate) view: View,
}

/// A call that is over.
pub(crate) struct Done {
    pub(crate) lease: Option<Lease>,
    pub(crate) had_sandbox: bool,
    pub(crate) files: Vec<OutputFile>,
    pub(crate) reply: CallReply,
}

/// Why a call has no output.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is answered with an error; `fault` where something of ours broke.
    Tool { error: ToolError, fault: Option<String> },
    /// It is not answered: it did not run and may be sent again.
    Refused(CallError),
}

impl Stop {
    /// An error whose cause is ours: the caller gets the sentence, the log the cause.
    pub(crate) fn fault(error: ToolError, fault: impl Into<String>) -> Self {
        Self::Tool { error, fault: Some(fault.into()) }
    }
}

impl From<ToolError> for Stop {
    fn from(error: ToolError) -> Self {
        Self::Tool { error, fault: None }
    }
}

impl Job {
    /// Carries the call out, in a span of its own.
    pub(crate) async fn carry_out(self, lease: Option<Lease>) -> Done {
        let span = tracing::info_span!(
            "tool_call",
            trigger.id = %self.trigger,
            tool.name = tracing::field::Empty,
            skill.name = tracing::field::Empty,
            sandbox.id = tracing::field::Empty,
            sandbox.driver = self.core.driver.name(),
        );
        self.answer(lease).instrument(span).await
    }

    async fn answer(mut self, mut lease: Option<Lease>) -> Done {
        let begin = Instant::now();
        let mut report = CallReport { queued: begin - self.received, ..CallReport::default() };
        self.progress.push(ProgressKind::CallStarted {
            tool_call_id: self.call.tool_call_id.clone(),
            tool_name: self.call.tool_name.clone(),
        });
        let cancel = self.cancel.clone();
        let overdue = async {
            cancel.cancelled().await;
            sleep(CANCEL_LIMIT).await;
        };
        let outcome = tokio::select! {
            outcome = self.dispatch(&mut lease, &mut report) => Some(outcome),
            () = overdue => None,
        };
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => {
                // A request was left in the middle, so nothing can be asked of this sandbox any more.
                if let Some(lease) = lease.take() {
                    self.retire(lease, Reason::Broken).await;
                }
                Err(Stop::fault(ToolError::cancelled(), "a cancelled call did not end in time"))
            }
        };
        report.took = begin.elapsed();
        let files = report.files.clone();
        let outcome = match outcome {
            Ok(output) => {
                if let (Some(lease), Some(_)) = (&mut lease, &report.sandbox) {
                    lease.restart_untold = false;
                }
                Ok(output)
            }
            Err(Stop::Tool { error, fault }) => {
                if let Some(fault) = fault {
                    tracing::error!(code = %error.code(), error = fault, "a tool call failed");
                    report.fault = Some(fault);
                }
                // A file that is not there may have been in the sandbox before this one: the first answer has to say so.
                match (&mut lease, &report.sandbox) {
                    (Some(lease), Some(sandbox)) if sandbox.restarted => {
                        lease.restart_untold = false;
                        Err(error.after_restart())
                    }
                    _ => Err(error),
                }
            }
            Err(Stop::Refused(refusal)) => {
                tracing::warn!(error = %refusal, "a tool call was refused");
                self.core.counts.call(report.tool, CallOutcome::Refused);
                self.finished(None, Some("BUSY".to_owned()), report.took);
                return Done { lease, had_sandbox: self.had_sandbox, files, reply: Err(refusal) };
            }
        };
        let answer = answer(&self.call, &outcome);
        let exit_code = report.program.map(|program| program.exit_code);
        tracing::info!(
            duration_ms = milliseconds(report.took),
            queued_ms = milliseconds(report.queued),
            capture_ms = milliseconds(report.capture),
            exit_code,
            files = answer.result.files.len(),
            code = answer.code.map(tool::ErrorCode::as_str),
            "a tool call is done"
        );
        self.core.counts.call(report.tool, CallOutcome::of(answer.code, &report));
        self.finished(exit_code, answer.code.map(|code| code.to_string()), report.took);
        let reply = Ok(Arc::new(CallAnswer { answer, report }));
        Done { lease, had_sandbox: self.had_sandbox, files, reply }
    }

    async fn dispatch(
        &mut self,
        lease: &mut Option<Lease>,
        report: &mut CallReport,
    ) -> Result<ToolOutput, Stop> {
        let prefix = &self.core.config.tool_prefix;
        let span = tracing::Span::current();
        if let Some(tool) = prefix.parse(&self.call.tool_name) {
            // Only names of ours get into the log: others are a caller's text.
            span.record("tool.name", prefix.name(tool));
            report.tool = Some(tool);
        }
        if self.cancel.is_cancelled() {
            return Err(ToolError::cancelled().into());
        }
        let arguments = Arguments::of_call(&self.call, prefix)?;
        let slug = match &arguments {
            Arguments::SkillRead(read) => Some(&read.skill),
            Arguments::SkillList(list) => Some(&list.skill),
            Arguments::SkillRun(run) => Some(&run.skill),
            Arguments::CodeRun(_) | Arguments::FileWrite(_) | Arguments::FileRead(_) => None,
        };
        if let Some(skill) = slug.and_then(|slug| self.plan.find(slug)) {
            span.record("skill.name", skill.name().as_str());
            report.skill = Some(skill.name().to_string());
        }
        match arguments {
            Arguments::SkillRead(read) => tools::skill::read(&self.plan, read).await,
            Arguments::SkillList(list) => tools::skill::list(&self.plan, &list),
            Arguments::SkillRun(run) => {
                let program = tools::skill::program(&self.plan, run)?;
                tools::program::run(self, lease, report, program).await
            }
            Arguments::CodeRun(run) => {
                let program = tools::code::program(run);
                tools::program::run(self, lease, report, program).await
            }
            Arguments::FileWrite(write) => tools::file::write(self, lease, report, write).await,
            Arguments::FileRead(read) => tools::file::read(self, lease, report, read).await,
        }
    }

    /// Destroys the sandbox.
    pub(crate) async fn retire(&self, lease: Lease, reason: Reason) {
        self.view.clear();
        lease.retire(reason, &self.progress).await;
    }

    fn finished(&self, exit_code: Option<i32>, code: Option<String>, took: Duration) {
        let tool_call_id = self.call.tool_call_id.clone();
        let duration_ms = milliseconds(took);
        self.progress.push(ProgressKind::CallFinished { tool_call_id, exit_code, code, duration_ms });
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
