//! Tests of skills: files beside a skill that say what to run and what must come of it.
//!
//! A test file (`tests/*.test.yaml`) has cases. Each case gets a trigger, and so a sandbox, of its own, by the runner that it
//! is given: the same path as a tool call of a platform. What is wrong with a file is found before anything runs; what is
//! wrong with a skill is a failed case. Nothing here knows a driver, a store by name, or a terminal.
//!
//! ```text
//!   Skill ── Suite (files, cases, steps) ── Selected ── schedule::run ── CaseReport ── whoever shows it
//!              yaml, fields, format, expect              │   execute: declare, call, check, end
//!                                                        └── Runner
//! ```
//!
//! | module | is |
//! |---|---|
//! | `yaml`, `fields`, `quantity`, `place` | values with their places in a file |
//! | `format`, `expect` | what a file says |
//! | `suite` | a file held against its skill |
//! | `execute`, `schedule` | cases carried out |
//! | `check`, `snapshot`, `failure` | what came of them, held against what is expected |
//! | `junit`, `schema` | forms for other programs |

mod check;
mod execute;
mod expect;
mod failure;
mod fields;
mod format;
mod junit;
mod place;
mod problem;
mod quantity;
#[cfg(test)]
mod samples;
mod schedule;
mod schema;
mod snapshot;
mod suite;
mod yaml;

pub use crate::{
    execute::{CaseReport, Status},
    expect::{
        Bounds, CsvCheck, ErrorExpect, Expect, FileCheck, FileExpect, ImageCheck, PointerCheck, TextCheck,
    },
    failure::{DiffLine, Failure, Subject},
    format::{Case, Input, SUFFIX, Step, TestFile, parse},
    junit::junit,
    problem::{At, Problem},
    quantity::Comparison,
    schedule::{Counts, Options, Selected, run},
    schema::SCHEMA,
    suite::Suite,
};
