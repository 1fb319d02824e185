//! What `run` and `code` have in common: one call that runs a program, its streams live, its files delivered.

use std::{
    io::Read as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use artifact::ArtifactStore;
use bytes::Bytes;
use runner::{
    CallAnswer, CallOptions, CallRequest, Declaration, InputFile, LimitsWanted, OutputSink, ProgramReport,
    StreamChoice,
};
use sandbox::Termination;
use serde_json::{Map, Value, json};
use skill::Catalog;
use tokio_util::sync::CancellationToken;
use tool::{Ending, Inventory, Observed, ToolCall, ToolName, ToolPrefix};

use crate::{
    args::{Global, Program},
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    files::{self, Delivered, NotDelivered, OutputDirectory},
    interrupt::{Interrupt, block_on},
    options::InputSpec,
    output::{DIM, Output},
    sandboxes::{self, OneRunner},
    streams::{Kept, KeptText, Live, Sequences},
    units::{milliseconds, show_duration, show_size},
};

/// How much longer than the program its sandbox may live: for what comes before and after it.
const AROUND: Duration = Duration::from_secs(60);

/// A program to run.
pub(crate) struct Job {
    pub(crate) tool: ToolName,
    /// Without the timeout.
    pub(crate) args: Value,
    /// What JSON says of the program.
    pub(crate) labels: Map<String, Value>,
    pub(crate) catalog: (Catalog, Vec<String>),
}

/// Runs it and shows what came of it.
pub(crate) fn execute(
    job: Job,
    program: &Program,
    global: &Global,
    output: Output,
) -> Result<Exit, CommandError> {
    let prepared = Prepared::read(program)?;
    let done = block_on(async |interrupt| run(job, program, prepared, global, output, &interrupt).await)
        .map_err(CommandError::beside_a_program)?;
    done.show(program, output)
}

/// What is read before anything starts.
struct Prepared {
    inputs: Vec<InputFile>,
    stdin: Option<Bytes>,
}

impl Prepared {
    fn read(program: &Program) -> Result<Self, CommandError> {
        let inputs = program.inputs.iter().map(InputSpec::read).collect::<Result<_, _>>()?;
        let stdin = match &program.stdin {
            None => None,
            Some(path) if path == Path::new("-") => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut bytes)
                    .map_err(|error| CommandError::io("standard input cannot be read", &error))?;
                Some(Bytes::from(bytes))
            }
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| {
                    CommandError::io(format!("`{}` cannot be read", path.display()), &error)
                })?;
                Some(Bytes::from(bytes))
            }
        };
        Ok(Self { inputs, stdin })
    }
}

/// A program that ran.
struct Done {
    trigger: String,
    labels: Map<String, Value>,
    answer: Arc<CallAnswer>,
    ran: ProgramReport,
    took: Duration,
    delivered: Vec<Delivered>,
    /// Under JSON.
    kept: KeptText,
    hint: Option<String>,
}

async fn run(
    job: Job,
    program: &Program,
    prepared: Prepared,
    global: &Global,
    output: Output,
    interrupt: &Interrupt,
) -> Result<Done, CommandError> {
    let Job { tool, mut args, labels, catalog } = job;
    args["timeout"] = json!(milliseconds(program.timeout));
    let declaration = Declaration {
        lifetime: Some(program.timeout.saturating_add(AROUND)),
        limits: LimitsWanted { memory_bytes: Some(program.memory), ..LimitsWanted::default() },
        env: program.env.clone(),
        inputs: prepared.inputs,
        ..Declaration::default()
    };
    let cancel = interrupt.token();
    let one = OneRunner::start(global, catalog, output, interrupt).await?;
    tokio::select! {
        prepared = one.prepare(output) => prepared?,
        () = cancel.cancelled() => {
            one.stop().await;
            return Err(CommandError::interrupted());
        }
    }
    let trigger = sandboxes::trigger()?;
    let begin = Instant::now();
    let streams = Streams::start(program, output);
    let request = CallRequest {
        call: call(tool, args),
        skills: Vec::new(),
        options: CallOptions {
            stdin: prepared.stdin,
            sink: Some(streams.sink()),
            whole_streams: StreamChoice::Whole,
        },
    };
    let stop = CancellationToken::new();
    let called = {
        let mut calling = std::pin::pin!(one.call(&trigger, declaration, request, &stop));
        tokio::select! {
            called = &mut calling => called,
            () = streams.reader_gone() => {
                stop.cancel();
                calling.await
            }
            () = cancel.cancelled() => {
                streams.stop();
                stop.cancel();
                calling.await
            }
        }
    };
    let took = begin.elapsed();
    let (kept, broken, error_tail) = streams.finish();
    let delivered = match &called {
        Ok(answer) => deliver(answer, program, &one.store).await,
        Err(_) => Vec::new(),
    };
    one.stop().await;
    let answer = called?;
    if broken {
        return Err(CommandError::new(Kind::BrokenPipe, "BROKEN_PIPE", "standard output was closed"));
    }
    if cancel.is_cancelled() {
        // What it had saved is delivered all the same.
        note_files(&delivered, output);
        return Err(CommandError::interrupted());
    }
    let Some(ran) = answer.report.program else { return Err(refused(&answer)) };
    if answer.answer.code.is_some() {
        return Err(refused(&answer));
    }
    let hint = hint(&answer, &ran, program, &error_tail);
    Ok(Done { trigger: trigger.to_string(), labels, answer, ran, took, delivered, kept, hint })
}

/// The one call of a trigger.
pub(crate) fn call(tool: ToolName, args: Value) -> ToolCall {
    ToolCall {
        tool_call_id: "call_1".to_owned(),
        tool_name: ToolPrefix::default().name(tool),
        args,
        source: None,
        output_variable: None,
        block_index: None,
    }
}

async fn deliver(answer: &CallAnswer, program: &Program, store: &dyn ArtifactStore) -> Vec<Delivered> {
    let files = &answer.report.files;
    if program.no_output {
        let unwanted =
            |file: &tool::OutputFile| Delivered { file: file.clone(), place: Err(NotDelivered::Unwanted) };
        return files.iter().map(unwanted).collect();
    }
    OutputDirectory::new(&program.output.directory).deliver(files, store).await
}

/// The call was not carried out.
pub(crate) fn refused(answer: &CallAnswer) -> CommandError {
    let message = answer.answer.result.error.as_deref().unwrap_or("the call failed");
    match answer.answer.code {
        Some(code) => CommandError::of_tool(code, message, answer.report.fault.as_deref()),
        None => CommandError::new(Kind::Internal, "INTERNAL", message),
    }
}

/// Where the program's text goes.
enum Streams {
    Live(Live),
    Kept(Kept),
}

impl Streams {
    fn start(program: &Program, output: Output) -> Self {
        if output.json {
            return Self::Kept(Kept::default());
        }
        Self::Live(Live::start(if program.raw { Sequences::Raw } else { Sequences::Escaped }))
    }

    fn sink(&self) -> OutputSink {
        match self {
            Self::Live(live) => live.sink(),
            Self::Kept(kept) => kept.sink(),
        }
    }

    async fn reader_gone(&self) {
        match self {
            Self::Live(live) => live.reader_gone().await,
            Self::Kept(_) => std::future::pending().await,
        }
    }

    fn stop(&self) {
        if let Self::Live(live) = self {
            live.stop();
        }
    }

    /// What was kept, whether a reader went away, and the end of standard error.
    fn finish(self) -> (KeptText, bool, String) {
        match self {
            Self::Live(live) => {
                let written = live.finish();
                (KeptText::default(), written.broken, written.error_tail)
            }
            Self::Kept(kept) => {
                let kept = kept.take();
                let tail = kept.stderr
                    [kept.stderr.floor_char_boundary(kept.stderr.len().saturating_sub(16 << 10))..]
                    .to_owned();
                (kept, false, tail)
            }
        }
    }
}

/// What to do about a failure. Where limits or the skill have to be changed, that is for a person, who can; the rest is what a
/// model would be told.
fn hint(answer: &CallAnswer, ran: &ProgramReport, program: &Program, error_tail: &str) -> Option<String> {
    if ran.out_of_memory.is_some() {
        return Some(format!("give it more memory with `--memory`; it had {}", show_size(program.memory)));
    }
    if ran.termination == Termination::TimedOut {
        return Some(format!(
            "give it more time with `--timeout`; it had {}",
            show_duration(program.timeout)
        ));
    }
    if ran.exit_code != 0
        && let Some(module) = missing_module(error_tail)
    {
        let module = escape::line(module);
        return Some(if answer.report.skill.is_some() {
            format!("add the package that has `{module}` to the skill's requirements.txt")
        } else {
            format!(
                "nothing can be installed in a sandbox; `-s SKILL` brings the packages of a skill that needs `{module}`"
            )
        });
    }
    // The same words that a model gets.
    let ending = match ran.termination {
        Termination::Signaled(signal) => Ending::Signaled(signal),
        Termination::Exited(code) => Ending::Exited(code),
        Termination::TimedOut | Termination::Cancelled => return None,
    };
    let packages = Inventory::default();
    tool::hint(&Observed {
        ending,
        memory: None,
        stderr: error_tail,
        packages: &packages,
        has_network: false,
    })
}

/// The module that Python did not find.
fn missing_module(error_tail: &str) -> Option<&str> {
    let (_, rest) = error_tail.rsplit_once("ModuleNotFoundError: No module named '")?;
    let (module, _) = rest.split_once('\'')?;
    (!module.is_empty() && module.len() < 100).then_some(module)
}

impl Done {
    fn show(&self, program: &Program, output: Output) -> Result<Exit, CommandError> {
        let lost = self.delivered.iter().find_map(|delivered| match &delivered.place {
            Err(NotDelivered::Lost(why)) => Some((delivered, why)),
            _ => None,
        });
        if output.json {
            output.print_json(&self.document())?;
        } else {
            note_files(&self.delivered, output);
            self.note_ending(program, output);
            output.note(&self.summary());
            if let Some(hint) = &self.hint {
                output.hint(hint);
            }
        }
        let exit = self.exit();
        match lost {
            Some((delivered, why)) if exit == Exit::OK && !output.json => {
                let name = &delivered.file.name;
                let message = format!("output file `{name}` could not be written");
                Err(CommandError {
                    causes: vec![why.clone()],
                    ..CommandError::new(Kind::Sandbox, "OUTPUT_LOST", message)
                })
            }
            Some(_) if exit == Exit::OK => Ok(Exit::SANDBOX),
            _ => Ok(exit),
        }
    }

    fn exit(&self) -> Exit {
        if self.ran.termination == Termination::TimedOut {
            Exit::TIMEOUT
        } else {
            Exit::of_program(self.ran.exit_code)
        }
    }

    fn note_ending(&self, program: &Program, output: Output) {
        if let Some(memory) = self.ran.out_of_memory {
            let who = match (self.ran.termination, memory.killed) {
                (Termination::Signaled(9), _) => "the program was".to_owned(),
                (_, 1) => "a process of the program was".to_owned(),
                (_, more) => format!("{more} processes of the program were"),
            };
            output.warn(&format!("{who} killed: its {} of memory were full", show_size(program.memory)));
        }
        if self.ran.termination == Termination::TimedOut {
            output
                .warn(&format!("the program was stopped: its {} were over", show_duration(program.timeout)));
        } else if let Termination::Signaled(signal) = self.ran.termination
            && self.ran.out_of_memory.is_none()
        {
            output.warn(&format!("the program was killed by signal {signal}"));
        }
    }

    /// `exit code 3 · 41 ms (sandbox 6 ms, program 33 ms) · peak 18 MB · no network`; success is not said.
    fn summary(&self) -> String {
        let sandbox =
            self.sandbox().map(|time| format!("sandbox {}, ", show_duration(time))).unwrap_or_default();
        let code = match self.ran.exit_code {
            0 => String::new(),
            code => format!("exit code {code} · "),
        };
        format!(
            "  {DIM}{code}{} ({sandbox}program {}) · peak {} · no network{DIM:#}",
            show_duration(self.took),
            show_duration(self.ran.usage.wall),
            show_size(self.peak()),
        )
    }

    fn sandbox(&self) -> Option<Duration> {
        self.answer.report.sandbox.as_ref().and_then(|sandbox| sandbox.created_in)
    }

    fn peak(&self) -> u64 {
        let controller = self.ran.out_of_memory.and_then(|memory| memory.peak_bytes).unwrap_or(0);
        controller.max(self.ran.usage.peak_rss_bytes)
    }

    fn document(&self) -> Value {
        let mut document = Map::new();
        let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
        put("schemaVersion", json!(1));
        put("trigger", json!(self.trigger));
        for (key, value) in &self.labels {
            put(key, value.clone());
        }
        put("exitCode", json!(self.exit().0));
        put("timedOut", json!(self.ran.termination == Termination::TimedOut));
        put("oom", json!(self.ran.out_of_memory.is_some()));
        put("stdout", json!(self.kept.stdout));
        put("stderr", json!(self.kept.stderr));
        put("truncated", json!(self.kept.truncated));
        put("durationMs", json!(milliseconds(self.took)));
        let mut usage = json!({
            "programMs": milliseconds(self.ran.usage.wall),
            "cpuMs": milliseconds(self.ran.usage.cpu),
            "peakMemoryBytes": self.peak(),
        });
        if let Some(time) = self.sandbox() {
            usage["sandboxMs"] = json!(milliseconds(time));
        }
        put("usage", usage);
        if let Some(hint) = &self.hint {
            put("hint", json!(hint));
        }
        let (here, elsewhere): (Vec<_>, Vec<_>) = self.delivered.iter().partition(|file| file.place.is_ok());
        put("files", here.iter().map(|file| file_part(file)).collect());
        if !elsewhere.is_empty() {
            put("leftOut", elsewhere.iter().map(|file| left_out(file)).collect());
        }
        Value::Object(document)
    }
}

/// A file on the disk, in the shape of a file part.
fn file_part(delivered: &Delivered) -> Value {
    let file = &delivered.file;
    let mut part = json!({"type": "file"});
    if let Some(reference) = file.reference() {
        part["id"] = json!(reference.id);
    }
    part["mediaType"] = json!(file.media_type);
    part["filename"] = json!(file.name);
    part["size"] = json!(file.size);
    if let Ok(path) = &delivered.place {
        part["url"] = json!(files::url(path));
        part["path"] = json!(path.to_string_lossy());
    }
    part
}

fn left_out(delivered: &Delivered) -> Value {
    let reason = match &delivered.place {
        Err(NotDelivered::LeftOut(why) | NotDelivered::Lost(why)) => why.as_str(),
        Err(NotDelivered::Unwanted) => "no output was asked for",
        Ok(_) => "",
    };
    json!({"filename": delivered.file.name, "size": delivered.file.size, "error": reason})
}

/// One line for each file.
pub(crate) fn note_files(delivered: &[Delivered], output: Output) {
    for Delivered { file, place } in delivered {
        let name = escape::line(&file.name);
        match place {
            Ok(path) => {
                let media_type = escape::line(&file.media_type);
                output.note(&format!("→ {}  {media_type}  {}", files::shown(path), show_size(file.size)));
            }
            Err(NotDelivered::Unwanted) => {}
            Err(NotDelivered::LeftOut(why)) => {
                output.warn(&format!("`{name}` was left out: {}", escape::line(why)));
            }
            Err(NotDelivered::Lost(why)) => {
                output.warn(&format!("`{name}` could not be written: {}", escape::line(why)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_missing_module_is_found() {
        let trace = "Traceback …\nModuleNotFoundError: No module named 'a'\n…\nModuleNotFoundError: No module named 'b.c'\n";
        assert_eq!(missing_module(trace), Some("b.c"));
        assert_eq!(missing_module("ModuleNotFoundError: No module named ''"), None);
        assert_eq!(missing_module("ImportError"), None);
    }
}
