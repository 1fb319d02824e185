//! The conformance suite, and this driver's own tests, against a daemon that is started for them.

use std::process::ExitCode;
use std::sync::Arc;

use driver_docker::DockerDriver;
use libtest_mimic::{Arguments, Trial};
use sandbox::Driver as _;
use sandbox::conformance::{CASES, Case};
use tokio::runtime::Runtime;

use crate::dockerd::{Dockerd, Engine};
use crate::own;

/// Runs all of it.
pub(crate) fn run(engine: Engine, capability: &str) -> ExitCode {
    let arguments = Arguments::from_args();
    let daemon = match Dockerd::start_as(engine, None) {
        Ok(daemon) => Arc::new(daemon),
        Err(why) => return not_here(capability, &why),
    };
    let image = match daemon.image() {
        Ok(image) => image,
        Err(why) => return not_here(capability, &why),
    };
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let directory = tempfile::tempdir().expect("a directory");
    let layers = directory.path().join("layers");
    let driver = runtime.block_on(own::driver(daemon.host(), &image, &layers, directory.path()));
    let driver = Arc::new(driver);
    let mut trials: Vec<Trial> =
        CASES.iter().filter_map(|case| trial(*case, &runtime, Arc::clone(&driver))).collect();
    trials.extend(own_trials(engine, &runtime, &daemon, &image));
    let conclusion = libtest_mimic::run(&arguments, trials);
    runtime.block_on(driver.shutdown()).expect("the driver ends in order");
    assert_eq!(daemon.containers(), Vec::<String>::new(), "containers are left");
    assert_eq!(daemon.volumes(), Vec::<String>::new(), "volumes are left");
    conclusion.exit_code()
}

/// A case as a test; one that this engine cannot hold is said, and left out.
fn trial(case: Case, runtime: &Arc<Runtime>, driver: Arc<DockerDriver>) -> Option<Trial> {
    if let Some(reason) = driver.cannot_hold(case.name) {
        println!("skipped: {}: {reason}", case.name);
        return None;
    }
    let runtime = Arc::clone(runtime);
    Some(Trial::test(case.name, move || {
        // The case's panic is the trial's failure; libtest-mimic catches it.
        runtime.block_on((case.run)(&*driver));
        Ok(())
    }))
}

fn own_trials(engine: Engine, runtime: &Arc<Runtime>, daemon: &Arc<Dockerd>, image: &str) -> Vec<Trial> {
    let with = |name: &str, run: fn(&Runtime, &Dockerd, &str)| {
        let (runtime, daemon, image) = (Arc::clone(runtime), Arc::clone(daemon), image.to_owned());
        Trial::test(name, move || {
            run(&runtime, &daemon, &image);
            Ok(())
        })
    };
    let mounted = with("docker::layers_are_mounted_where_the_daemon_sees_them", |runtime, daemon, image| {
        runtime.block_on(own::layers_are_mounted_where_the_daemon_sees_them(daemon, image));
    });
    let of_engine = match engine {
        Engine::Docker => vec![
            with("docker::layers_are_volumes_where_the_daemon_does_not_see_them", |runtime, _, _| {
                runtime.block_on(own::layers_are_volumes_where_the_daemon_does_not_see_them(Engine::Docker));
            }),
            with("docker::out_of_memory_is_told_by_a_daemon_elsewhere", |runtime, daemon, image| {
                runtime.block_on(own::out_of_memory_is_told_by_a_daemon_elsewhere(daemon, image));
            }),
        ],
        Engine::Podman => vec![
            with("podman::layers_are_volumes_where_the_service_does_not_see_them", |runtime, _, _| {
                runtime.block_on(own::layers_are_volumes_where_the_daemon_does_not_see_them(Engine::Podman));
            }),
            with("podman::podman_elsewhere_is_refused", |runtime, daemon, image| {
                runtime.block_on(own::podman_elsewhere_is_refused(daemon, image));
            }),
            with("podman::a_profile_that_is_gone_makes_no_sandbox", |runtime, daemon, image| {
                runtime.block_on(own::a_profile_that_is_gone_makes_no_sandbox(daemon, image));
            }),
        ],
    };
    std::iter::once(mounted).chain(of_engine).collect()
}

fn not_here(capability: &str, why: &str) -> ExitCode {
    let required = std::env::var("REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name.trim() == capability) {
        println!("REQUIRE names {capability}, but there is none: {why}");
        return ExitCode::FAILURE;
    }
    println!("skipped: no {capability}: {why}");
    ExitCode::SUCCESS
}
