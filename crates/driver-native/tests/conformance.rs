//! The conformance suite on the native driver: here as whoever runs it, and once more as others and elsewhere.
//!
//! Run by root, it starts itself again as an ordinary user with subordinate ids, as one without, and in a small virtual
//! machine with a stock Debian kernel and nothing but cgroup v2, there as root and as users. What is not there is
//! said, and is a failure where `REQUIRE` names it (`user`, `qemu`).

#![expect(clippy::print_stdout, reason = "what is skipped has to be said")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use driver_native::{Config, LAUNCHER_COMMAND, NativeDriver, RootDirectory, run_launcher};
use libtest_mimic::{Arguments, Failed, Trial};
use sandbox::conformance::{CASES, Case};
use sandbox::{Driver as _, Wall};
use tokio::runtime::Runtime;

/// Set for the runs that this run starts.
const INNER: &str = "SKILLBOX_CONFORMANCE_INNER";

/// The ordinary user with subordinate ids that `make setup` makes.
const USER: &str = "skillbox-test";

/// Seconds that the whole suite may take in the virtual machine, which has no hardware to help it.
const MACHINE_LIMIT: &str = "1200";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(LAUNCHER_COMMAND) {
        return run_launcher();
    }
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let driver = Arc::new(runtime.block_on(start()));
    let driver_for = || Arc::clone(&driver);
    let trials = CASES.iter().filter_map(|case| trial(*case, &runtime, driver_for())).collect();
    let here = libtest_mimic::run(&arguments, trials);
    runtime.block_on(driver.shutdown()).expect("the driver ends in order");
    if std::env::var_os(INNER).is_some() {
        return here.exit_code();
    }
    // One after the other, and after the figures of this machine were held: the virtual one takes all of its CPUs.
    let there = libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, elsewhere());
    if here.has_failed() { here.exit_code() } else { there.exit_code() }
}

async fn start() -> NativeDriver {
    let config = Config {
        root: RootDirectory::Host,
        layer_roots: Vec::new(),
        runtime_directory: None,
        // Root must have all walls; ordinary users have what their machine gives them.
        allow_missing: if is_root() { BTreeSet::new() } else { BTreeSet::from(Wall::ALL) },
        launcher: None,
    };
    NativeDriver::start(config).await.unwrap_or_else(|error| panic!("no driver: {error}: {:?}", error.source))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A case as a test; one that this machine cannot hold is said, and left out.
fn trial(case: Case, runtime: &Arc<Runtime>, driver: Arc<NativeDriver>) -> Option<Trial> {
    if let Some(reason) = driver.cannot_hold(case.name) {
        // Root must have all walls: the driver would not have started.
        assert!(!is_root(), "{}: {reason}", case.name);
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

/// The same suite as other users and on another kernel.
fn elsewhere() -> Vec<Trial> {
    let mut trials = Vec::new();
    if is_root() {
        trials.push(Trial::test("elsewhere::as_a_user_with_subordinate_ids", || as_user(USER)));
        trials.push(Trial::test("elsewhere::as_a_user_without_subordinate_ids", || as_user("nobody")));
    }
    for user in ["root", "delegated", "plain"] {
        trials.push(Trial::test(format!("elsewhere::on_pure_cgroup_v2_as_{user}"), move || in_machine(user)));
    }
    trials
}

fn as_user(user: &str) -> Result<(), Failed> {
    let known = Command::new("id").arg(user).output().is_ok_and(|output| output.status.success());
    if !known {
        return not_here("user", &format!("there is no user {user} (`make setup` makes it)"));
    }
    // A place that the user can reach and write.
    let place = tempfile::tempdir()?;
    let executable = place.path().join("conformance");
    std::fs::copy(std::env::current_exe()?, &executable)?;
    let owner = Command::new("chown").args(["-R", user]).arg(place.path()).status()?;
    if !owner.success() {
        return Err("the user's directory could not be prepared".into());
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", group_of(user)?.as_str(), "--init-groups", "--reset-env"]);
    command.arg("env").arg(format!("{INNER}=1")).arg(format!("XDG_RUNTIME_DIR={}", place.path().display()));
    command.arg(&executable).arg("--test-threads=2").current_dir(place.path());
    finish(command)
}

fn group_of(user: &str) -> Result<String, Failed> {
    let output = Command::new("id").args(["-gn", user]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn in_machine(user: &str) -> Result<(), Failed> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vm");
    let ready = Command::new(scripts.join("prepare.sh"))
        .arg("--check")
        .output()
        .is_ok_and(|out| out.status.success());
    if !ready {
        return not_here("qemu", "the virtual machine is not prepared (`make setup` prepares it)");
    }
    let executable: PathBuf = std::env::current_exe()?;
    let mut command = Command::new(scripts.join("run.sh"));
    command.args(["--limit", MACHINE_LIMIT, "--user", user, "--env", &format!("{INNER}=1")]);
    command.args(["--env", "SKILLBOX_CONFORMANCE_SLOWNESS=8"]).arg(executable).arg("--test-threads=2");
    finish(command)
}

fn finish(mut command: Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Err(format!("{}:\n{said}", output.status).into())
}

fn not_here(capability: &str, why: &str) -> Result<(), Failed> {
    let required = std::env::var("REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name == capability) {
        return Err(why.into());
    }
    println!("skipped: {why}");
    Ok(())
}
