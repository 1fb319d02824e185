//! The conformance suite on the docker driver, against a Podman service of its own.
//!
//! The same cases as for Docker, by the same code. What is missing (`podman`, the image that `make setup` makes) is said,
//! and is a failure where `REQUIRE` names `podman`.

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
    harness::run(Engine::Podman, "podman")
}
