//! The heart: triggers, lazy creation of sandboxes, the six tools, and capture of what programs saved.
//!
//! A [`Runner`] owns one task per trigger, and that task alone owns the trigger's sandbox, so that every way out of
//! the task destroys it. Callers talk to a task by messages and never wait on a lock. Nothing here knows HTTP, names a
//! driver, or names a store.
//!
//! ```text
//!   Runner ── directory ── trigger task ── call ── lease (Sandbox) ── capture ── ArtifactStore
//!                              │             └─ tools: skill, code, file
//!                              ├─ records (results of earlier calls)
//!                              └─ progress (what readers follow)
//! ```
//!
//! Invariants: calls of one trigger run one after the other, in the order in which they were accepted. A tool call id
//! runs at most once. A trigger that runs no code has no sandbox. A result names a file only after the store has
//! acknowledged it. Every queue, table and log has a bound in [`Config`].

mod capture;
mod compile;
mod config;
mod declaration;
mod directory;
mod environment;
mod fault;
mod id;
mod pending;
mod progress;
mod report;
mod runner;
mod skills;
mod tools;
mod totals;
mod trigger;

#[cfg(test)]
mod tests;

pub use crate::{
    config::Config,
    declaration::{Declaration, DeclareError, InputFile, LimitsWanted, NetworkWanted},
    id::{InvalidTriggerId, TriggerId},
    pending::{CallError, CallOptions, CallRequest, PendingCall, StreamChoice},
    progress::{ProgressEvent, ProgressKind, ProgressStream},
    report::{
        CallAnswer, CallReport, CallState, CallStatus, OutputSink, ProgramReport, SandboxReport, TriggerFile,
        TriggerState, TriggerStatus,
    },
    runner::{Cancelled, Load, Parts, Runner, ShutdownReport},
    skills::{PrepareError, SkillEntry, Skills},
    totals::{CallOutcome, Totals, UploadOutcome},
};
