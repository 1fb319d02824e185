//! Many cases, several at a time; told in the order in which they stand in their files, whichever is done first.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use runner::{Runner, TriggerId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    execute::{CaseReport, Status, execute},
    format::{Case, TestFile},
    suite::Suite,
};

/// How cases are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many at a time; at least one.
    pub jobs: usize,
    /// How long a program may run where its case does not say.
    pub timeout: Duration,
    /// Whether snapshots that do not fit are rewritten.
    pub update: bool,
    /// Whether the first failure is the last.
    pub fail_fast: bool,
}

/// A case that is to be run.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Its skill.
    pub suite: Arc<Suite>,
    file: usize,
    case: usize,
}

impl Selected {
    /// All cases of a suite.
    #[must_use]
    pub fn all(suite: &Arc<Suite>) -> Vec<Self> {
        let of_file = |(file, its): (usize, &TestFile)| {
            (0..its.cases.len()).map(move |case| (file, case)).collect::<Vec<_>>()
        };
        let places = suite.files.iter().enumerate().flat_map(of_file);
        places.map(|(file, case)| Self { suite: Arc::clone(suite), file, case }).collect()
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &TestFile {
        &self.suite.files[self.file]
    }

    /// The case itself.
    #[must_use]
    pub fn case(&self) -> &Case {
        &self.file().cases[self.case]
    }

    /// The name that is shown and filtered by: `qr-code › makes a PNG`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} › {}", self.suite.skill.name(), self.case().name)
    }
}

/// How many cases went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything was as expected.
    pub passed: usize,
    /// Something was not.
    pub failed: usize,
    /// Not to be run, as the file says.
    pub skipped: usize,
    /// The file asks for what cannot be had.
    pub broken: usize,
    /// Stopped, or never started.
    pub not_run: usize,
}

impl Counts {
    fn add(&mut self, status: &Status) {
        match status {
            Status::Passed => self.passed += 1,
            Status::Failed => self.failed += 1,
            Status::Skipped(_) => self.skipped += 1,
            Status::Broken => self.broken += 1,
            Status::NotRun => self.not_run += 1,
        }
    }
}

/// Runs cases. `on_report` hears of each in order, as soon as those before it are done, and of every one exactly once;
/// the trigger of a case has ended by then, but the store still has its files.
///
/// # Panics
/// Where a case panics, which is a fault of ours.
pub async fn run(
    runner: &Runner,
    cases: &[Selected],
    options: &Options,
    cancel: &CancellationToken,
    mut on_report: impl AsyncFnMut(&Selected, &CaseReport),
) -> Counts {
    let mut counts = Counts::default();
    let mut running = JoinSet::new();
    let mut waiting = cases.iter().enumerate();
    let mut done: BTreeMap<usize, CaseReport> = BTreeMap::new();
    let mut next = 0;
    // Ends what runs beside a failure that shall be the last.
    let stop = cancel.child_token();
    loop {
        while running.len() < options.jobs.max(1)
            && let Some((number, selected)) = waiting.next()
        {
            let (runner, selected, options) = (runner.clone(), selected.clone(), options.clone());
            let stop = stop.clone();
            running.spawn(
                async move { (number, execute(&runner, &selected, &trigger(), &options, &stop).await) },
            );
        }
        match running.join_next().await {
            None => return counts,
            Some(Ok((number, report))) => {
                counts.add(&report.status);
                if options.fail_fast && matches!(report.status, Status::Failed | Status::Broken) {
                    stop.cancel();
                }
                done.insert(number, report);
            }
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => {}
        }
        while let Some(report) = done.remove(&next) {
            on_report(&cases[next], &report).await;
            next += 1;
        }
    }
}

/// A name for a trigger that this process has not used before.
fn trigger() -> TriggerId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    TriggerId::parse(&format!("test_{number}")).expect("a short name without control characters")
}
