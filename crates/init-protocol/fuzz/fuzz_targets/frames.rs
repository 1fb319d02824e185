//! Any bytes as a stream, for both ends: nothing may panic or grow, and both must see the same frames.

#![no_main]

#[path = "../exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
