//! The real executable, as a user starts it.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
};

/// The top directory of the source tree.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// One of the example skills.
pub(crate) fn example(name: &str) -> PathBuf {
    repository().join("skills-examples").join(name)
}

/// The executable, built once for this run and with this run's profile. `SKILLBOX` names another one to be tested.
pub(crate) fn executable() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(given) = env::var_os("SKILLBOX") {
            return PathBuf::from(given);
        }
        // This test is <target>/<profile>/deps/it-<hash>.
        let test = env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "cli", "--bin", "skillbox"]).current_dir(repository());
        build.env("CARGO_TARGET_DIR", profile.parent().unwrap());
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{build:?}");
        profile.join("skillbox")
    })
}

/// `skillbox` with an environment that only a test decides on, but for what a machine's set-up needs.
pub(crate) fn command() -> Command {
    let mut command = Command::new(executable());
    command.env_clear().stdin(Stdio::null());
    for name in [
        "PATH",
        "HOME",
        "XDG_RUNTIME_DIR",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "PIP_INDEX_URL",
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
    ] {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    // One cache of dependency layers for all tests of a build, so that packages are fetched once.
    command.env("XDG_CACHE_HOME", cache());
    command
}

/// Where they keep layers and what they know of images.
pub(crate) fn cache() -> PathBuf {
    let cache = executable().parent().unwrap().join("test-cache");
    fs::create_dir_all(&cache).unwrap();
    cache
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `skillbox` in a directory.
pub(crate) fn run_in(directory: &Path, args: &[&str]) -> Ran {
    Ran::of(command().args(args).current_dir(directory).output().unwrap())
}

/// Runs `skillbox` at the top of the source tree.
pub(crate) fn run(args: &[&str]) -> Ran {
    run_in(repository(), args)
}

impl Ran {
    /// What a run left behind that was started elsewhere.
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("skillbox writes UTF-8 here");
        Self { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", self.status))
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("not one JSON document ({error}): {:?}\n{}", self.stdout, self.stderr)
        })
    }

    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code(), 0, "{}{}", self.stdout, self.stderr);
        self
    }
}
