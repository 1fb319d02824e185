//! Progress of what takes a while, on standard error: one line that spins and goes away. Nothing at all where it would not
//! be seen or would disturb.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use layer::{Event, Step};

use crate::{escape, output::Output};

/// The line. Made before it is known whether there is anything to wait for; shown with the first step.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    output: Output,
}

impl Progress {
    /// A line that is not shown yet.
    pub(crate) fn new(output: Output) -> Self {
        let bar = output.progress.then(|| {
            let bar = ProgressBar::hidden();
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, output }
    }

    /// Takes a step of a resolver.
    pub(crate) fn step(&self, event: Event<'_>) {
        let message = describe(event.step, event.packages);
        match &self.bar {
            Some(bar) if event.step == Step::Ready => bar.finish_and_clear(),
            Some(bar) => {
                if bar.is_hidden() {
                    bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(Duration::from_millis(100));
                }
                bar.set_message(message);
            }
            None if self.output.verbose => self.output.note(&message),
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How many of several things are done.
#[derive(Debug)]
pub(crate) struct Counter {
    bar: Option<ProgressBar>,
}

impl Counter {
    /// A line that is shown at once.
    pub(crate) fn new(output: Output, total: usize) -> Self {
        let bar = output.progress.then(|| {
            let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
            if let Ok(style) =
                ProgressStyle::with_template("{spinner:.cyan} {pos} of {len} done {elapsed:.dim}")
            {
                bar.set_style(style);
            }
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }

    /// One more is done. What is printed meanwhile does not mix with the line.
    pub(crate) fn done<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                bar.suspend(print)
            }
            None => print(),
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn describe(step: Step, packages: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut names: Vec<String> = packages.iter().take(SHOWN).map(|name| escape::line(name)).collect();
    if packages.len() > SHOWN {
        names.push(format!("{} more", packages.len() - SHOWN));
    }
    let names = names.join(", ");
    match step {
        Step::Waiting => format!("waiting for another skillbox that prepares {names}"),
        Step::Resolving => format!("choosing versions of {names}"),
        Step::Installing => format!("installing {names}"),
        Step::Compiling => format!("compiling {names}"),
        Step::Ready => format!("ready: {names}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let packages: Vec<String> = ["a==1", "b==2", "c==3", "d==4", "e\x1b==5"].map(str::to_owned).into();
        assert_eq!(describe(Step::Installing, &packages), "installing a==1, b==2, c==3, 2 more");
        assert_eq!(describe(Step::Resolving, &packages[4..]), "choosing versions of e\\e==5");
    }
}
