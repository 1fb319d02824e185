//! Any bytes as the files of a skill and as a bundle: nothing may panic, hang or grow.

#![no_main]

#[path = "../exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
