//! The conformance suite on the docker driver, against a daemon of its own.
//!
//! The daemon has its own directories and socket, so nothing of another one on this machine is touched. What is missing
//! (`dockerd`, the image that `make setup` makes) is said, and is a failure where `REQUIRE` names `docker`.

#![expect(clippy::print_stdout, reason = "what is skipped has to be said")]

use std::process::ExitCode;
use std::sync::Arc;

use driver_docker::DockerDriver;
use libtest_mimic::{Arguments, Trial};
use sandbox::Driver as _;
use sandbox::conformance::{CASES, Case};
use tokio::runtime::Runtime;

use crate::dockerd::Dockerd;

#[expect(dead_code, reason = "the tests of the whole use the rest of it")]
#[path = "../../../tests/it/support/dockerd.rs"]
mod dockerd;
#[path = "conformance/own.rs"]
mod own;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let daemon = match Dockerd::start() {
        Ok(daemon) => Arc::new(daemon),
        Err(why) => return not_here(&why),
    };
    let image = match daemon.image() {
        Ok(image) => image,
        Err(why) => return not_here(&why),
    };
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let directory = tempfile::tempdir().expect("a directory");
    let layers = directory.path().join("layers");
    let driver = runtime.block_on(own::driver(daemon.host(), &image, &layers, directory.path()));
    let driver = Arc::new(driver);
    let mut trials: Vec<Trial> =
        CASES.iter().map(|case| trial(*case, Arc::clone(&runtime), Arc::clone(&driver))).collect();
    trials.extend(own_trials(&runtime, &daemon, &image));
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

fn own_trials(runtime: &Arc<Runtime>, daemon: &Arc<Dockerd>, image: &str) -> Vec<Trial> {
    let with = |name: &str, run: fn(&Runtime, &Dockerd, &str)| {
        let (runtime, daemon, image) = (Arc::clone(runtime), Arc::clone(daemon), image.to_owned());
        Trial::test(name, move || {
            run(&runtime, &daemon, &image);
            Ok(())
        })
    };
    vec![
        with("docker::layers_are_mounted_where_the_daemon_sees_them", |runtime, daemon, image| {
            runtime.block_on(own::layers_are_mounted_where_the_daemon_sees_them(daemon, image));
        }),
        with("docker::layers_are_volumes_where_the_daemon_does_not_see_them", |runtime, _, _| {
            runtime.block_on(own::layers_are_volumes_where_the_daemon_does_not_see_them());
        }),
        with("docker::out_of_memory_is_told_by_a_daemon_elsewhere", |runtime, daemon, image| {
            runtime.block_on(own::out_of_memory_is_told_by_a_daemon_elsewhere(daemon, image));
        }),
    ]
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
