//! The outside contract in one place: the six tools, their arguments and results, events, definitions, prompt.
//!
//! Pure data and pure functions. Nothing here does I/O, knows HTTP, or knows how a sandbox works, so that the whole
//! contract can be read, and tested, on its own. Two rules hold everywhere: what is absent is left out of the JSON
//! and never `null` (clients silently drop events with a `null`), and an error is never an empty string (it would
//! leave the tool call running for ever in a client).

mod answer;
mod arguments;
mod call;
mod definitions;
mod error;
mod event;
mod hint;
mod inventory;
mod name;
mod parameters;
mod prompt;
mod result;
mod show;

pub use crate::{
    answer::{Answer, ToolResult, answer},
    arguments::{Arguments, CodeRun, FileRead, FileWrite, Language, SkillList, SkillRead, SkillRun},
    call::{CallSource, ToolCall},
    definitions::{DefinitionStyle, definitions},
    error::{ErrorCode, SizeLimit, ToolError},
    event::{ErrorSource, ErrorType, FilePart, FileReference, FinishReason, StreamEvent, ToolInfo},
    hint::{Ending, MemoryKills, Observed, hint, names_packages},
    inventory::{INVENTORY_BYTES, Inventory},
    name::{InvalidPrefix, ToolName, ToolPrefix},
    prompt::{PromptNetwork, PromptSettings, PromptSkill, prompt},
    result::{
        BundledFile, ContentEncoding, CutText, ExecResult, FileReadResult, FileWriteResult, OutputFile,
        OutputFileState, ScriptEntry, SkillListResult, SkillReadResult, ToolOutput, Truncated,
    },
};
