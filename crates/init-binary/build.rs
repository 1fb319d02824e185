//! Builds the `init` crate as a static executable, with a cargo of its own below `OUT_DIR`: a workspace has one set of
//! link flags for all its members, and only init must be static.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../..");
    for path in ["crates/init", "crates/init-protocol", "crates/seccomp", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let target = variable("TARGET");
    let target_dir = out.join("target");
    let mut cargo = Command::new(variable("CARGO"));
    // Settings of the outer build must not leak in: a lint driver as compiler, coverage flags, another target directory.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let outer = ["CARGO_", "RUSTC", "RUSTFLAGS", "RUSTDOC"].iter().any(|prefix| text.starts_with(prefix));
        if outer
            && text != "CARGO_HOME"
            && !text.starts_with("CARGO_NET_")
            && !text.starts_with("CARGO_REGISTR")
        {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(&workspace)
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static -Crelocation-model=static")
        .args([
            "build",
            "--locked",
            "--package",
            "init",
            "--profile",
            "init",
            "--target",
            &target,
            "--target-dir",
        ])
        .arg(&target_dir);
    let status = cargo.status().expect("cargo runs");
    assert!(
        status.success(),
        "init could not be built for {target} (is the static C library, libc6-dev, installed?)"
    );
    let built = target_dir.join(&target).join("init/init");
    fs::copy(&built, out.join("init")).expect("init was built");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
