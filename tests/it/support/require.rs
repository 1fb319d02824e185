//! What a test needs from the machine, and what happens where that is missing.
//!
//! A test that cannot run says `skipped: no <what>` and passes, so that a laptop without a tool can run the rest. Where
//! `REQUIRE` names the capability (CI does), it fails instead: otherwise a green run would prove nothing.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::{docker, images, s3::Garage, skillbox};

/// Whether the test can go on. The capabilities are `native`, `cgroup` (limits of memory, processes and CPU),
/// `docker`, `images` (mmdebstrap, to build them), `office` (the large one), `node`, `uv`, `s3`, `garage`, `curl`,
/// `qemu`, `bwrap`, `pty`, `zbar`, `pre-commit` and `skills-ref` (the reference library).
#[must_use]
pub(crate) fn require(capability: &str) -> bool {
    let missing = match capability {
        "native" => native(),
        "cgroup" => {
            missing_walls().contains(&"cgroup".to_owned()).then(|| "this user can make none".to_owned())
        }
        "docker" => docker::missing(),
        "node" => programs(&["node", "npm"]),
        "uv" => programs(&["uv"]),
        // The server runs in this process; the name says that a run has tested it.
        "s3" => None,
        "curl" => programs(&["curl"]),
        "garage" => Garage::installed().is_none().then(|| "run `make setup`".to_owned()),
        "images" => programs(&["mmdebstrap"]).or_else(native),
        "office" => (!images::is_there("office") && !is_demanded("office"))
            .then(|| "it takes minutes to build, so it is built only where REQUIRE names it".to_owned()),
        "qemu" => programs(&["qemu-system-x86_64"]),
        "bwrap" => programs(&["bwrap"]),
        "pty" => programs(&["script"]),
        "pre-commit" => pre_commit().is_none().then(|| "run `make setup`".to_owned()),
        "zbar" => programs(&["zbarimg"]),
        "skills-ref" => (!skillbox::repository().join("target/tools/skills-ref/bin/python").exists())
            .then(|| "run `make setup`".to_owned()),
        other => panic!("no test may require `{other}`: nothing here knows how to look for it"),
    };
    let Some(why) = missing else { return true };
    assert!(!is_demanded(capability), "REQUIRE names {capability}, but there is none: {why}");
    eprintln!("skipped: no {capability}: {why}");
    false
}

/// Whether `REQUIRE` names it.
fn is_demanded(capability: &str) -> bool {
    env::var("REQUIRE").unwrap_or_default().split(',').any(|name| name.trim() == capability)
}

/// Whether sandboxes can be made here is known once one was.
fn native() -> Option<String> {
    static STATE: OnceLock<Option<String>> = OnceLock::new();
    STATE
        .get_or_init(|| {
            let tried = skillbox::command().args(["code", "-l", "bash", "-c", "true"]).output().unwrap();
            (!tried.status.success()).then(|| String::from_utf8_lossy(&tried.stderr).trim().to_owned())
        })
        .clone()
}

/// The walls that this machine cannot give to this user, as `doctor` names them.
pub(crate) fn missing_walls() -> &'static [String] {
    static MISSING: OnceLock<Vec<String>> = OnceLock::new();
    MISSING.get_or_init(|| {
        let told = skillbox::run(&["--json", "doctor"]).json();
        let checks = told["checks"].as_array().unwrap_or_else(|| panic!("{told}")).iter();
        let missing =
            checks.filter(|check| check["state"] != "good").filter_map(|check| check["wall"].as_str());
        missing.map(str::to_owned).collect()
    })
}

fn programs(names: &[&str]) -> Option<String> {
    names.iter().find(|name| find(name).is_none()).map(|name| format!("`{name}` is not on PATH"))
}

/// Where pre-commit is: on `PATH`, or where `make setup` puts it.
pub(crate) fn pre_commit() -> Option<PathBuf> {
    let installed = skillbox::repository().join("target/tools/bin/pre-commit");
    find("pre-commit").or_else(|| installed.is_file().then_some(installed))
}

/// Where a program is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| fs::metadata(file).is_ok_and(|m| m.is_file()))
}

/// Runs a program that only prepares something for a test; it must succeed.
pub(crate) fn prepare(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        done.status.success(),
        "{command:?}: {}\n{}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}
