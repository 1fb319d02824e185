//! The figures as a table for people and as JSON for machines.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::fs;
use std::path::Path;

use serde::Serialize;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<(f64, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
    /// Medians of both sides in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<(f64, f64)>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    void: bool,
}

impl Row {
    /// A ratio with its interval, and the medians of both sides in milliseconds.
    pub(crate) fn ratio(
        name: &str,
        value: f64,
        interval: (f64, f64),
        goal: Option<f64>,
        milliseconds: (f64, f64),
        void: bool,
    ) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit: "×",
            interval: Some(interval),
            goal,
            milliseconds: Some(milliseconds),
            void,
        }
    }

    /// A figure of its own, where less is better if there is a goal.
    pub(crate) fn figure(name: &str, value: f64, unit: &'static str, goal: Option<f64>) -> Self {
        Self { name: name.to_owned(), value, unit, interval: None, goal, milliseconds: None, void: false }
    }
}

/// How busy the machine was.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    load: String,
    pressure: String,
    kernel: String,
    cpus: usize,
}

impl Machine {
    pub(crate) fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            load: read("/proc/loadavg"),
            pressure: read("/proc/pressure/cpu").lines().next().unwrap_or_default().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
        }
    }
}

/// A line that is written over.
pub(crate) fn progress(round: usize, rounds: usize) {
    eprint!("\rround {round} of {rounds} ");
    if round == rounds {
        eprintln!();
    }
}

/// A remark beside the table.
pub(crate) fn note(text: &str) {
    eprintln!("note: {text}");
}

/// The table.
pub(crate) fn print(machine: &Machine, rows: &[Row]) {
    println!("Linux {}, {} CPUs, load {}, {}", machine.kernel, machine.cpus, machine.load, machine.pressure);
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    for row in rows {
        let interval = row.interval.map_or(String::new(), |(low, high)| format!(" [{low:.2} to {high:.2}]"));
        let milliseconds =
            row.milliseconds.map_or(String::new(), |(ours, theirs)| format!("  {ours:.2} / {theirs:.2} ms"));
        let goal = match row.goal {
            Some(goal) if row.value <= goal => format!("  goal ≤ {goal}: met"),
            Some(goal) => format!("  goal ≤ {goal}: NOT met"),
            None => String::new(),
        };
        let void = if row.void { "  VOID: the machine was too busy" } else { "" };
        println!("{:width$}  {:8.2} {}{interval}{milliseconds}{goal}{void}", row.name, row.value, row.unit);
    }
}

/// All figures and the machine.
pub(crate) fn write_json(path: &Path, machine: &Machine, rows: &[Row]) -> anyhow::Result<()> {
    let document = serde_json::json!({"machine": machine, "machineAfter": Machine::now(), "rows": rows});
    Ok(fs::write(path, serde_json::to_string_pretty(&document)?)?)
}

/// An error with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
