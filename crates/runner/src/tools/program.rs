//! `skill_run` and `code_run`: a program in the sandbox, then capture, then the result.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{ExecOutcome, ExecRequest, SandboxError, SandboxPath, StreamKind, Termination};
use tokio::time::{Instant, sleep};
use tool::{
    CutText, Ending, ExecResult, Inventory, MemoryKills, Observed, OutputFile, ToolError, ToolOutput, hint,
    names_packages,
};

use crate::{
    CallReport, ProgramReport, StreamChoice,
    capture::{Captured, Destination, capture},
    environment,
    fault::chain,
    progress::{ProgressKind, stream_name},
    tools::{file::file_error, own_files},
    trigger::{Job, LAST_CAPTURE, Lease, Reason, Stop, acquire, skill_directory},
};

/// How long listing, fetching and uploading after a call may take before the rest counts as failed uploads.
const CAPTURE: Duration = Duration::from_secs(60);

/// How long init may take to end a cancelled program, beyond the grace period.
const KILL_MARGIN: Duration = Duration::from_secs(1);

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Program {
    /// Found by `PATH` in the sandbox.
    pub(crate) interpreter: &'static str,
    /// What it interprets.
    pub(crate) start: Start,
    pub(crate) args: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) stdin: Option<Bytes>,
    /// The slug, for a skill's script.
    pub(crate) skill: Option<String>,
    /// What the call asked for.
    pub(crate) timeout: Option<Duration>,
}

/// What an interpreter interprets.
#[derive(Debug)]
pub(crate) enum Start {
    /// A file that is there.
    File(String),
    /// Code that has to be written first.
    Code { extension: &'static str, code: Bytes },
}

/// Runs it. Whatever it does is a result; only a sandbox that breaks is an error.
pub(crate) async fn run(
    job: &mut Job,
    slot: &mut Option<Lease>,
    report: &mut CallReport,
    program: Program,
) -> Result<ToolOutput, Stop> {
    let lease = acquire(job, slot, report).await?;
    if job.cancel.is_cancelled() {
        return Err(ToolError::cancelled().into());
    }
    match run_in(job, lease, report, program).await {
        Ok(Ran { result, after: None }) => Ok(ToolOutput::Exec(result)),
        Ok(Ran { result, after: Some(reason) }) => {
            retire(job, slot, reason).await;
            Ok(ToolOutput::Exec(result))
        }
        Err(stop) => {
            // After a fault nothing that the sandbox has can be believed, so it goes.
            if matches!(stop, Stop::Tool { fault: Some(_), .. }) {
                retire(job, slot, Reason::Broken).await;
            }
            Err(stop)
        }
    }
}

/// Destroys the sandbox in the slot.
pub(crate) async fn retire(job: &Job, slot: &mut Option<Lease>, reason: Reason) {
    if let Some(lease) = slot.take() {
        job.retire(lease, reason).await;
    }
}

/// A program that ran, and why its sandbox must go, if it must.
struct Ran {
    result: ExecResult,
    after: Option<Reason>,
}

async fn run_in(
    job: &mut Job,
    lease: &mut Lease,
    report: &mut CallReport,
    program: Program,
) -> Result<Ran, Stop> {
    let request = prepare(job, lease, program).await?;
    let left = lease.sandbox.remaining();
    let asked = request.timeout;
    let request = ExecRequest { timeout: asked.min(left), ..request };
    lease.dirty = true;
    let outcome = exec(job, lease, &request).await;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(SandboxError::TooLarge { .. }) => {
            let problem = "arguments and environment are too long together; pass data as a file".to_owned();
            return Err(ToolError::invalid_arguments(&job.call.tool_name, &[problem]).into());
        }
        Err(error) => {
            if lease.sandbox.is_usable() {
                // The program may have saved something before init gave up on it.
                capture_call(job, lease, report, LAST_CAPTURE).await;
            }
            return Err(lost(&error));
        }
    };
    let hurried = outcome.termination == Termination::Cancelled;
    let captured = capture_call(job, lease, report, if hurried { LAST_CAPTURE } else { CAPTURE }).await;
    let ending = match outcome.termination {
        Termination::TimedOut if asked < left => Ending::TimedOut { limit: asked },
        Termination::TimedOut => Ending::SandboxTimeOver { limit: lease.lifetime },
        Termination::Signaled(signal) => Ending::Signaled(signal),
        Termination::Exited(_) | Termination::Cancelled => Ending::Exited(outcome.termination.exit_code()),
    };
    let result = result(lease, report, &outcome, ending, &captured).await;
    report.program = Some(ProgramReport {
        termination: outcome.termination,
        exit_code: result.exit_code,
        usage: outcome.usage,
        out_of_memory: outcome.out_of_memory,
    });
    if let Some(error) = &captured.broken {
        // What it saved is lost, at least in part: that must not look like a success.
        return Err(lost(error));
    }
    if hurried {
        return Err(ToolError::cancelled().into());
    }
    let after = matches!(ending, Ending::SandboxTimeOver { .. }).then_some(Reason::TimeOver);
    Ok(Ran { result, after })
}

/// Writes the code where there is some, and says how to start it.
async fn prepare(job: &mut Job, lease: &mut Lease, program: Program) -> Result<ExecRequest, Stop> {
    let mut program = program;
    let mut python_path = lease.python_path(program.skill.as_deref());
    if let Some(skill) = program.skill.as_deref().and_then(|slug| job.plan.find(slug)) {
        // For `from scripts.x import y`. First, since a package may have a `scripts` of its own.
        python_path.insert(0, skill_directory(skill));
        own_files::resolve(&mut lease.sandbox, skill, &mut program.args)
            .await
            .map_err(|error| lost(&error))?;
    }
    let file = match program.start {
        Start::File(path) => path,
        Start::Code { extension, code } => {
            python_path.push(sandbox::layout::WORKSPACE.to_owned());
            lease.codes += 1;
            let path = SandboxPath::code_file(lease.codes, extension);
            match lease.sandbox.write(&path, &code).await {
                Ok(Ok(())) => path.as_str().to_owned(),
                Ok(Err(error)) => return Err(file_error(path.as_str(), &error)),
                Err(error) => return Err(lost(&error)),
            }
        }
    };
    let skill_dir = program.skill.as_ref().map(|slug| format!("{}/{slug}", sandbox::layout::SKILLS));
    let config = &job.core.config;
    let mut argv = vec![program.interpreter.to_owned(), file];
    argv.extend(program.args);
    Ok(ExecRequest {
        argv,
        env: environment::build(&job.plan.resolved.env, skill_dir.as_deref(), &python_path),
        cwd: program.cwd,
        stdin: job.options.stdin.take().or(program.stdin),
        // Without a wish, the call may take what is left of the sandbox's time.
        timeout: program.timeout.unwrap_or(Duration::MAX),
        grace: config.grace,
        stream_limit: match job.options.whole_streams {
            StreamChoice::Configured => Some(config.stream_limit),
            StreamChoice::Whole => None,
        },
    })
}

async fn exec(job: &mut Job, lease: &mut Lease, request: &ExecRequest) -> Result<ExecOutcome, SandboxError> {
    let Job { progress, call, options, cancel, .. } = job;
    let mut on_output = |stream: StreamKind, bytes: &[u8]| {
        // Whole streams are for the sink alone: they need not be text.
        if let StreamChoice::Configured = options.whole_streams {
            progress.push(ProgressKind::Output {
                tool_call_id: call.tool_call_id.clone(),
                stream: stream_name(stream),
                text: String::from_utf8_lossy(bytes).into_owned(),
            });
        }
        if let Some(sink) = &mut options.sink {
            sink(stream, bytes);
        }
    };
    let ignored = async {
        cancel.cancelled().await;
        sleep(request.grace + KILL_MARGIN).await;
    };
    tokio::select! {
        outcome = lease.sandbox.exec(request, cancel, &mut on_output) => outcome,
        // Only an init that was taken over does not obey. Its sandbox counts as left in the middle, so it goes.
        () = ignored => Err(SandboxError::Broken { reason: "init did not end a cancelled program".to_owned() }),
    }
}

/// Captures `/output` for this call, into the report.
pub(crate) async fn capture_call(
    job: &Job,
    lease: &mut Lease,
    report: &mut CallReport,
    time: Duration,
) -> Captured {
    let begin = Instant::now();
    let to = Destination {
        store: &*job.core.store,
        counts: &job.core.counts,
        trigger: job.trigger.as_str(),
        limits: job.core.config.output,
        entries: job.core.config.output_entries,
        deadline: begin + time,
    };
    let mut on_file = |file: &OutputFile| {
        let file = serde_json::to_value(file).unwrap_or_default();
        job.progress.push(ProgressKind::File { tool_call_id: Some(job.call.tool_call_id.clone()), file });
    };
    let mut captured = capture(&mut lease.sandbox, &mut lease.seen, &to, &mut on_file).await;
    let arrivals = std::mem::take(&mut captured.arrivals);
    job.core.announce(&job.progress, Some(&job.call.tool_call_id), arrivals);
    lease.dirty = captured.incomplete;
    report.capture = begin.elapsed();
    report.files.clone_from(&captured.files);
    captured
}

async fn result(
    lease: &mut Lease,
    report: &CallReport,
    outcome: &ExecOutcome,
    ending: Ending,
    captured: &Captured,
) -> ExecResult {
    let cut = |stream: &sandbox::CappedStream| CutText {
        head: stream.head.clone(),
        omitted_characters: stream.omitted_characters,
        tail: stream.tail.clone(),
    };
    let over = matches!(ending, Ending::SandboxTimeOver { .. });
    let result = ExecResult {
        exit_code: outcome.termination.exit_code(),
        duration_ms: u64::try_from(outcome.usage.wall.as_millis()).unwrap_or(u64::MAX),
        output_files: captured.files.clone(),
        sandbox_restarted: report.sandbox.as_ref().is_some_and(|sandbox| sandbox.restarted),
        remaining_ms: (!over)
            .then(|| u64::try_from(lease.sandbox.remaining().as_millis()).unwrap_or(u64::MAX)),
        ..ExecResult::default()
    };
    let result = result.streams(cut(&outcome.stdout), cut(&outcome.stderr));
    let mut result = match ending {
        Ending::TimedOut { .. } | Ending::SandboxTimeOver { .. } => result.timed_out(),
        Ending::Exited(_) | Ending::Signaled(_) => result,
    };
    let memory = outcome.out_of_memory.map(|memory| MemoryKills {
        killed: memory.killed,
        limit: lease.limits.memory_bytes,
        peak: memory.peak_bytes,
    });
    if memory.is_some() {
        result = result.out_of_memory();
    }
    let packages = if captured.broken.is_none() && names_packages(ending, &result.stderr) {
        lease.inventory().await
    } else {
        Inventory::default()
    };
    let observed =
        Observed { ending, memory, stderr: &result.stderr, packages: &packages, has_network: false };
    let notes = [hint(&observed), captured.note.clone()];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    result.hint = (!notes.is_empty()).then(|| notes.join(" "));
    result
}

/// The sandbox broke while it was used.
pub(crate) fn lost(error: &SandboxError) -> Stop {
    Stop::fault(ToolError::sandbox_lost(), chain(error))
}
