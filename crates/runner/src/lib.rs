//! The heart: triggers, lazy creation of sandboxes, the six tools, and capture of what programs saved.
//!
//! A [`Runner`] owns one task per trigger, and that task alone owns the trigger's sandbox, so that every way out of
//! the task destroys it. Callers talk to a task by messages and never wait on a lock. Nothing here knows HTTP, names a
//! driver, or names a store.
//!
//! ```text
//!   Runner ── directory ── trigger task ── call ── lease (Sandbox) ── capture ── ArtifactStore
//!                              │             └─ tools: skill, code, file
//!                              ├─ places (who gets a sandbox, and which one gives way)
//!                              ├─ records (results of earlier calls) ─┐
//!                              └─ progress (what readers follow) ─────┴─ keep (one bound of bytes for all triggers)
//! ```
//!
//! Invariants: calls of one trigger run one after the other, in the order in which they were accepted. A tool call id
//! runs at most once. A trigger that runs no code has no sandbox. A result names a file only after the store has
//! acknowledged it. Every queue, table and log has a bound in [`Config`].

mod capture;
mod config;
mod declaration;
mod directory;
mod environment;
mod fault;
mod id;
mod keep;
mod pending;
mod places;
mod progress;
mod report;
mod runner;
mod shortage;
mod skills;
mod tenant;
mod tools;
mod totals;
mod trigger;

#[cfg(test)]
mod tests;

pub use crate::{
    config::Config,
    declaration::{Declaration, DeclareError, InputFile, LimitsWanted, NetworkWanted},
    id::{InvalidTriggerId, TriggerId},
    keep::KeptBytes,
    pending::{CallError, CallOptions, CallRequest, PendingCall, StreamChoice},
    progress::{ProgressEvent, ProgressKind, ProgressStream},
    report::{
        CallAnswer, CallReport, CallState, CallStatus, OutputSink, ProgramReport, SandboxReport, TriggerFile,
        TriggerState, TriggerStatus, TriggerSummary,
    },
    runner::{Cancelled, FollowError, Load, Parts, Runner, ShutdownReport},
    shortage::Shortage,
    skills::{PrepareError, Refreshed, SkillEntry, Skills},
    tenant::Tenant,
    totals::{CallOutcome, Totals, UploadOutcome},
};
