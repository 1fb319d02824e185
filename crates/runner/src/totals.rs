//! What a runner has done since it started, as numbers for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

use sandbox::Termination;
use tool::{ErrorCode, ToolName};

use crate::CallReport;

/// How a call went, in one word. A program that fails is not the runner's fault, and a fault is never a program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// It did what was asked for; its program, where it had one, exited with 0.
    Succeeded,
    /// Its program ended in another way.
    ProgramFailed,
    /// Its program ran out of time.
    TimedOut,
    /// Its program ran out of memory.
    OutOfMemory,
    /// It was stopped.
    Cancelled,
    /// It could not be carried out as it was asked for, such as for a file that is not there.
    Error,
    /// Something of ours, or of the machine, failed.
    Fault,
    /// It was not carried out, and may be sent again.
    Refused,
}

/// What became of an output file when a call wanted to store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UploadOutcome {
    /// The store has it.
    Stored,
    /// The store failed; the file is kept, and will be sent again.
    Deferred,
    /// The store failed, and nobody keeps the file.
    Failed,
}

/// The numbers of one moment. They only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Calls that are over, by tool (`None` where a call named none of ours) and by outcome. All pairs are there.
    pub calls: Vec<(Option<ToolName>, CallOutcome, u64)>,
    /// Output files by what became of them. All outcomes are there.
    pub uploads: Vec<(UploadOutcome, u64)>,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Succeeded,
        Self::ProgramFailed,
        Self::TimedOut,
        Self::OutOfMemory,
        Self::Cancelled,
        Self::Error,
        Self::Fault,
        Self::Refused,
    ];

    /// As metrics name it: `program_failed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::ProgramFailed => "program_failed",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
            Self::Fault => "fault",
            Self::Refused => "refused",
        }
    }

    /// Of a call that was answered.
    pub(crate) fn of(code: Option<ErrorCode>, report: &CallReport) -> Self {
        match (code, report.program) {
            (Some(ErrorCode::Cancelled), _) => Self::Cancelled,
            (Some(_), _) if report.fault.is_some() => Self::Fault,
            (Some(_), _) => Self::Error,
            (None, None) => Self::Succeeded,
            (None, Some(program)) if program.out_of_memory.is_some() => Self::OutOfMemory,
            (None, Some(program)) => match program.termination {
                Termination::TimedOut => Self::TimedOut,
                Termination::Cancelled => Self::Cancelled,
                Termination::Exited(0) => Self::Succeeded,
                Termination::Exited(_) | Termination::Signaled(_) => Self::ProgramFailed,
            },
        }
    }
}

impl UploadOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stored, Self::Deferred, Self::Failed];

    /// As metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }
}

/// The six tools, and calls of none of them.
const TOOLS: usize = ToolName::ALL.len() + 1;

/// Where it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: [[AtomicU64; CallOutcome::ALL.len()]; TOOLS],
    uploads: [AtomicU64; UploadOutcome::ALL.len()],
}

impl Counts {
    pub(crate) fn call(&self, tool: Option<ToolName>, outcome: CallOutcome) {
        let row = tool.and_then(|tool| ToolName::ALL.iter().position(|one| *one == tool));
        let row = &self.calls[row.unwrap_or(TOOLS - 1)];
        add(&row[outcome as usize]);
    }

    pub(crate) fn upload(&self, outcome: UploadOutcome) {
        add(&self.uploads[outcome as usize]);
    }

    pub(crate) fn totals(&self) -> Totals {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let tools = ToolName::ALL.into_iter().map(Some).chain([None]);
        let calls = tools.zip(&self.calls).flat_map(|(tool, row)| {
            CallOutcome::ALL.into_iter().zip(row).map(move |(outcome, count)| (tool, outcome, of(count)))
        });
        let uploads = UploadOutcome::ALL.into_iter().zip(&self.uploads);
        Totals {
            calls: calls.collect(),
            uploads: uploads.map(|(outcome, count)| (outcome, of(count))).collect(),
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_has_its_own_count() {
        let counts = Counts::default();
        for outcome in CallOutcome::ALL {
            counts.call(Some(ToolName::FileRead), outcome);
            counts.call(None, outcome);
        }
        counts.call(None, CallOutcome::Error);
        for outcome in UploadOutcome::ALL {
            counts.upload(outcome);
        }
        let Totals { calls, uploads } = counts.totals();
        assert_eq!(calls.len(), 7 * 8);
        for (tool, outcome, count) in calls {
            let expected = match (tool, outcome) {
                (None, CallOutcome::Error) => 2,
                (None | Some(ToolName::FileRead), _) => 1,
                _ => 0,
            };
            assert_eq!(count, expected, "{tool:?} {outcome:?}");
        }
        assert_eq!(uploads, UploadOutcome::ALL.map(|outcome| (outcome, 1)));
    }
}
