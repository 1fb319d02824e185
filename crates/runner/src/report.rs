//! What a call answers: the tool result for the model, and a report with what people and metrics want to know.

use std::time::Duration;

use sandbox::{OutOfMemory, SandboxId, StreamKind, Termination, Usage};
use serde::Serialize;
use tool::{Answer, OutputFile, ToolName};

/// One finished call.
#[derive(Clone, Debug)]
pub struct CallAnswer {
    /// Result and events, in the contract's order.
    pub answer: Answer,
    /// How it went.
    pub report: CallReport,
}

/// How a call went, beside its result. Nothing of it is for the model.
#[derive(Clone, Debug, Default)]
pub struct CallReport {
    /// The tool; `None` where the call named none of ours.
    pub tool: Option<ToolName>,
    /// The skill that the call named, where it exists.
    pub skill: Option<String>,
    /// The sandbox; `None` where the call had none.
    pub sandbox: Option<SandboxReport>,
    /// The program; `None` where none ran.
    pub program: Option<ProgramReport>,
    /// The call's output files: stored, or left out with the reason. Also there when the call was cancelled.
    pub files: Vec<OutputFile>,
    /// From the request until its turn came.
    pub queued: Duration,
    /// From its turn until the answer, creation of the sandbox and uploads included.
    pub took: Duration,
    /// Part of `took` that listing, fetching and uploading took.
    pub capture: Duration,
    /// What broke, as a chain of causes, where it was our fault. For operators and the CLI, never for callers.
    pub fault: Option<String>,
}

/// The sandbox of a call.
#[derive(Clone, Debug)]
pub struct SandboxReport {
    /// Its name.
    pub id: SandboxId,
    /// What made it.
    pub driver: &'static str,
    /// How long it took to make it and to put skills and inputs in, where this call did; resolving dependencies is not
    /// counted.
    pub created_in: Option<Duration>,
    /// It took the place of one whose files are gone, and no result before this one has said so.
    pub restarted: bool,
}

/// The program of a call.
#[derive(Clone, Copy, Debug)]
pub struct ProgramReport {
    /// How it ended.
    pub termination: Termination,
    /// As the result has it: 124 after a timeout, 128 and the number of the signal that killed it.
    pub exit_code: i32,
    /// What it used.
    pub usage: Usage,
    /// What the kernel killed for memory meanwhile: the program itself, or a process of it.
    pub out_of_memory: Option<OutOfMemory>,
}

/// What the state of a trigger is. Shown by `GET /v1/triggers/{id}`.
#[derive(Clone, Debug)]
pub struct TriggerStatus {
    /// Where it is in its life.
    pub state: TriggerState,
    /// Slugs of its skills.
    pub skills: Vec<String>,
    /// Its calls, in the order in which they came.
    pub calls: Vec<CallStatus>,
    /// All output files that were stored or failed to be, with the call that made each.
    pub files: Vec<TriggerFile>,
    /// Its living sandbox.
    pub sandbox: Option<SandboxId>,
    /// Time left of the living sandbox.
    pub remaining: Option<Duration>,
    /// As declared.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// Where a trigger is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerState {
    /// No sandbox, no call.
    Idle,
    /// A call is being carried out.
    Running,
    /// A sandbox waits for the next call.
    Ready,
    /// It takes no more calls.
    Ended,
}

/// One call in a [`TriggerStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStatus {
    /// The platform's id of it.
    pub tool_call_id: String,
    /// Full name of the tool, as the call had it.
    pub tool_name: String,
    /// Where it is.
    pub state: CallState,
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CallState {
    /// It waits for its turn.
    Queued,
    /// It is being carried out.
    Running,
    /// It has a result.
    Done,
    /// It has an error.
    Failed,
}

/// An output file of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerFile {
    /// The call that made it; `None` for what the last capture found after the trigger was ended.
    pub tool_call_id: Option<String>,
    /// The file.
    pub file: OutputFile,
}

/// Gets what a program prints as it comes, from the trigger's task; it must return at once. Bytes of any kind where whole
/// streams were asked for, else text of whole characters.
pub type OutputSink = Box<dyn FnMut(StreamKind, &[u8]) + Send + Sync>;
