//! The room as an executable of its own, for the tests of this crate. `skillbox` is its own room.

use std::process::ExitCode;

fn main() -> ExitCode {
    layer::run_room()
}
