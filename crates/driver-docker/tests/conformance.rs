//! The conformance suite on the docker driver, against a daemon of its own.
//!
//! The daemon has its own directories and socket, so nothing of another one on this machine is touched. What is missing
//! (`dockerd`, the image that `make setup` makes) is said, and is a failure where `REQUIRE` names `docker`.

#![expect(clippy::print_stdout, reason = "what is skipped has to be said")]

use std::process::ExitCode;
use std::sync::Arc;

use driver_docker::{Config, DockerDriver};
use libtest_mimic::{Arguments, Trial};
use sandbox::Driver as _;
use sandbox::conformance::{CASES, Case};
use tokio::runtime::Runtime;

use crate::dockerd::Dockerd;

#[path = "../../../tests/it/support/dockerd.rs"]
mod dockerd;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let daemon = match Dockerd::start() {
        Ok(daemon) => daemon,
        Err(why) => return not_here(&why),
    };
    let image = match daemon.image() {
        Ok(image) => image,
        Err(why) => return not_here(&why),
    };
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config {
        host: Some(daemon.host()),
        runtime_directory: Some(directory.path().to_owned()),
        ..Config::new(image)
    };
    let driver = runtime.block_on(DockerDriver::start(config));
    let driver = Arc::new(driver.unwrap_or_else(|error| panic!("no driver: {error}: {:?}", error.source)));
    let trials = CASES.iter().map(|case| trial(*case, Arc::clone(&runtime), Arc::clone(&driver))).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    runtime.block_on(driver.shutdown()).expect("the driver ends in order");
    assert_eq!(daemon.containers(), Vec::<String>::new(), "containers are left");
    assert_eq!(daemon.volumes(), Vec::<String>::new(), "volumes are left");
    conclusion.exit_code()
}

fn trial(case: Case, runtime: Arc<Runtime>, driver: Arc<DockerDriver>) -> Trial {
    Trial::test(case.name, move || {
        // The case's panic is the trial's failure; libtest-mimic catches it.
        runtime.block_on((case.run)(&*driver));
        Ok(())
    })
}

fn not_here(why: &str) -> ExitCode {
    let required = std::env::var("REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name.trim() == "docker") {
        println!("REQUIRE names docker, but there is none: {why}");
        return ExitCode::FAILURE;
    }
    println!("skipped: no docker: {why}");
    ExitCode::SUCCESS
}
