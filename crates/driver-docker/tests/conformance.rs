//! The conformance suite on the docker driver, against a daemon of its own.
//!
//! The daemon has its own directories and socket, so nothing of another one on this machine is touched. What is missing
//! (`dockerd`, the image that `make setup` makes) is said, and is a failure where `REQUIRE` names `docker`.

#![expect(clippy::print_stdout, reason = "what is skipped has to be said")]

use std::process::ExitCode;

use crate::dockerd::Engine;

#[expect(dead_code, reason = "the tests of the whole use the rest of it")]
#[path = "../../../tests/it/support/dockerd.rs"]
mod dockerd;
#[path = "conformance/harness.rs"]
mod harness;
#[path = "conformance/own.rs"]
mod own;

fn main() -> ExitCode {
    harness::run(Engine::Docker, "docker")
}
