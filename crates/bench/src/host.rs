//! The references: the same work on the bare host.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// The Python that sandboxes use too.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What a first call does: Python that saves a file.
pub(crate) const SNIPPET: &str = "import os\nwith open(os.path.join(os.environ['OUTPUT_DIR'], 'out.txt'), 'w') as f:\n    f.write('hello')\n";

/// fork, exec and wait for `true`.
pub(crate) fn run_true() -> anyhow::Result<()> {
    succeed(Command::new("/usr/bin/true"))
}

/// The snippet on the host, in a fresh directory, checked like the sandbox's.
pub(crate) fn run_snippet() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let script = place.path().join("code.py");
    std::fs::write(&script, SNIPPET)?;
    let mut command = Command::new(PYTHON);
    command.arg(&script).env_clear().env("OUTPUT_DIR", place.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    succeed(command)?;
    let saved = std::fs::read(place.path().join("out.txt")).context("the snippet saved nothing")?;
    ensure!(saved == b"hello", "the snippet saved something else");
    Ok(())
}

/// `true` in bubblewrap with the same namespaces, where it is installed.
pub(crate) fn run_bubblewrap() -> anyhow::Result<()> {
    let mut command = Command::new("bwrap");
    command.args([
        "--unshare-all",
        "--die-with-parent",
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/bin",
        "/bin",
    ]);
    command.args([
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]);
    command.args(["--tmpfs", "/tmp", "--tmpfs", "/workspace", "--tmpfs", "/output", "/usr/bin/true"]);
    succeed(command)
}

/// Whether bubblewrap can be compared.
pub(crate) fn has_bubblewrap() -> bool {
    Path::new("/usr/bin/bwrap").exists() && run_bubblewrap().is_ok()
}

fn succeed(mut command: Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
